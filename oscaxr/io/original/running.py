"""Running velocity, from the turns of the wheel in the stimulus log."""

from typing import Final

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError

FloatArray = npt.NDArray[np.float64]

KERNEL: Final = 5
_STALE_RADIANS: Final = 1e-8
# Wheel of 6.5 inches; the mouse runs at two thirds of its radius.
_CM_PER_RADIAN: Final = 6.5 * 2.54 / 2 * (2 / 3)
_GAP: Final = 100


def running_velocity(dx: npt.NDArray[np.floating], rising: FloatArray) -> FloatArray:
    """Return running velocity from the turns of the wheel."""
    # The definition of the published reader. The first sample has no known duration. Pulses after a
    # gap of more than 100 times the median interval are not those of the session.
    kept = pulses_of_session(rising)
    if len(kept) != len(dx):
        raise FormatError(
            f"the wheel has {len(dx)} samples in the stimulus log, but the sync file has "
            f"{len(kept)} stimulus pulses: pulses are missing from one of them, or the files are "
            "of different sessions"
        )
    # In the precision of the log: the numbers are those of the published reader.
    radians = dx[1:] * (np.pi / 180)
    velocity = np.asarray(radians / np.diff(kept) * _CM_PER_RADIAN, np.float64)
    velocity[np.abs(radians) <= _STALE_RADIANS] = np.nan
    return median_filter(velocity)


def pulses_of_session(rising: FloatArray) -> FloatArray:
    """Return the pulses before the first long gap."""
    gaps = np.diff(rising)
    long = np.flatnonzero(gaps > _GAP * np.median(gaps)) if gaps.size else np.empty(0, int)
    return rising[: long[0] + 1] if long.size else rising


def median_filter(values: FloatArray) -> FloatArray:
    """Return the median of each 5 samples, with the published reader's way beside NaNs."""
    # A NaN has no place in an order, and what a sorting routine makes of it depends on the routine.
    # The published velocities follow from a merge sort of the samples inside the recording, in
    # their order, followed by the zeros beyond it, in which the left one of two is taken if it
    # compares as less or equal. Windows without NaN have an ordinary median.
    half = KERNEL // 2
    padded = np.pad(values, half)
    windows = np.lib.stride_tricks.sliding_window_view(padded, KERNEL)
    filtered = np.partition(windows, half, axis=1)[:, half] if len(values) else values.copy()
    inside = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.ones(len(values), bool), half), KERNEL
    )
    odd = np.flatnonzero(np.isnan(windows).any(axis=1))
    if odd.size:
        # Samples inside the recording first, in their order; then the zeros.
        order = np.argsort(~inside[odd], axis=1, kind="stable")
        filtered[odd] = _merge_sorted(np.take_along_axis(windows[odd], order, axis=1))[:, half]
    return filtered


def _merge_sorted(rows: FloatArray) -> FloatArray:
    """Merge sort each row, NaN comparing as neither less nor equal."""
    length = rows.shape[1]
    if length < 2:
        return rows
    left, right = _merge_sorted(rows[:, : length // 2]), _merge_sorted(rows[:, length // 2 :])
    merged = np.empty_like(rows)
    at_left = np.zeros(len(rows), np.intp)
    at_right = np.zeros(len(rows), np.intp)
    each = np.arange(len(rows))
    for place in range(length):
        next_left = left[each, np.minimum(at_left, left.shape[1] - 1)]
        next_right = right[each, np.minimum(at_right, right.shape[1] - 1)]
        is_left = (at_right == right.shape[1]) | (
            (at_left < left.shape[1]) & (next_left <= next_right)
        )
        merged[:, place] = np.where(is_left, next_left, next_right)
        at_left += is_left
        at_right += ~is_left
    return merged
