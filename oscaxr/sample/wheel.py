"""From the running wheel to running velocity: the rule by which the published files were made."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Centimetres that the mouse runs when the wheel turns by one radian.
CM_PER_RADIAN: Final = 6.5 * 2.54 / 2 * (2 / 3)
WINDOW: Final = 5
_STALE: Final = 1e-8


def wheel_turns(velocity: NDArray[np.float64], clock: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what the wheel's log holds when the mouse runs at given velocities."""
    degrees = np.degrees(np.nan_to_num(velocity) * np.diff(clock) / CM_PER_RADIAN)
    return np.concatenate([[0.0], degrees]).astype(np.float32)


def running_velocity(turns: NDArray[np.float32], clock: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the running velocity from the wheel's log."""
    radians = turns[1:] * np.float32(np.pi / 180)
    velocity = radians / np.diff(clock) * CM_PER_RADIAN
    velocity[np.abs(radians) <= _STALE] = np.nan
    return median_filter(velocity)


def median_filter(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter by the median of five samples, as the published analysis's library did."""
    half = WINDOW // 2
    padded = np.pad(values, half)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    filtered = np.median(windows, axis=1)
    rows = np.flatnonzero(np.isnan(windows).any(axis=1))
    # The zeros beyond the ends come after the samples, also at the beginning.
    places = rows[:, np.newaxis] + np.arange(WINDOW)
    outside = (places < half) | (places >= len(values) + half)
    order = np.argsort(outside, axis=1, kind="stable")
    sorted_windows = _merge_sort(padded[np.take_along_axis(places, order, axis=1)])
    filtered[rows] = sorted_windows[:, half]
    return filtered


def _merge_sort(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort each row by merging halves; the right element goes first unless left <= right."""
    size = rows.shape[1]
    if size < 2:
        return rows
    left, right = _merge_sort(rows[:, : size // 2]), _merge_sort(rows[:, size // 2 :])
    merged = np.empty_like(rows)
    n_left, every = left.shape[1], np.arange(len(rows))
    taken = np.zeros(len(rows), dtype=np.int64)
    for place in range(size):
        from_right = place - taken
        first = left[every, np.minimum(taken, n_left - 1)]
        second = right[every, np.minimum(from_right, size - n_left - 1)]
        is_left = (taken < n_left) & ((from_right >= size - n_left) | (first <= second))
        merged[:, place] = np.where(is_left, first, second)
        taken += is_left
    return merged
