"""Rules for one-dimensional traces: running outliers, missing frames, pupil shifts.

Pure numpy on one trace at a time, so that every reader and every measure applies the same rule.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from oscaxr.errors import DroppedFramesWarning, SchemaError, warn
from oscaxr.model import names as n

FloatArray = npt.NDArray[np.float64]

LONG_RUN = 5
"""Runs of missing frames longer than this are named in the warning about missing frames."""

_FIRST_SEARCH = 64

# Wheel of 6.5 inches; the mouse runs at two thirds of its radius.
CM_PER_RADIAN: Final = 6.5 * 2.54 / 2 * (2 / 3)
KERNEL: Final = 5
_STALE_RADIANS: Final = 1e-8


def wheel_velocity(turns: npt.NDArray[np.floating], clock: FloatArray) -> FloatArray:
    """Return running velocity (cm/s) from the degrees turned up to each time of a clock (s)."""
    # In the precision of the log: the numbers are those of the published reader.
    radians = turns[1:] * (np.pi / 180)
    velocity = np.asarray(radians / np.diff(clock) * CM_PER_RADIAN, np.float64)
    velocity[np.abs(radians) <= _STALE_RADIANS] = np.nan
    return median_filter(velocity)


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


def remove_running_outliers(
    velocity: npt.ArrayLike, threshold: float = n.RUNNING_OUTLIER_CM_PER_S
) -> tuple[FloatArray, int, int]:
    """Set running outliers to NaN."""
    # The walk of the published analyses. NaNs are left out. Wherever two neighbours differ by more
    # than `threshold`, the frames after the step are outliers for as long as they differ by more
    # than `threshold` from the frame before the step. When the step is the very first one, the
    # frames are compared with standing still (0 cm/s) instead, and the first frame itself may go. A
    # stretch of outliers that reaches the end of the recording ends there. Steps are those of the
    # trace as it was given; a step inside a stretch already removed is passed over.
    # Python only steps from one stretch of outliers to the next, never over frames.
    given = np.asarray(velocity, dtype=np.float64)
    _check_one_dimensional(given, "running velocity")
    missing = np.isnan(given)
    n_in_file = int(np.count_nonzero(missing))
    walked = given[~missing] if n_in_file else given
    # The copy that is returned serves for the steps first: memory touched once is quick.
    cleaned = np.empty_like(given)
    with np.errstate(invalid="ignore"):
        apart = np.subtract(walked[1:], walked[:-1], out=cleaned[: max(walked.size - 1, 0)])
        steps = np.flatnonzero(np.abs(apart, out=apart) > threshold)
    cleaned[:] = given
    if not steps.size:
        return cleaned, n_in_file, 0

    outlier = np.zeros(walked.size, dtype=bool)
    handled = -1
    for step in steps.tolist():
        if step <= handled:
            continue
        reference = walked[step]
        if step == 0:
            reference = 0.0
            outlier[0] = abs(walked[0]) > threshold
        handled = _last_beyond(walked, step, reference, threshold)
        outlier[step + 1 : handled + 1] = True
    found = np.flatnonzero(outlier)
    cleaned[np.flatnonzero(~missing)[found] if n_in_file else found] = np.nan
    return cleaned, n_in_file, found.size


def _last_beyond(walked: FloatArray, step: int, reference: float, threshold: float) -> int:
    """Return the last frame of the stretch after `step` that is beyond `threshold`."""
    start, length = step + 1, _FIRST_SEARCH
    while start < walked.size:
        beyond = np.abs(walked[start : start + length] - reference) > threshold
        first_back = int(np.argmin(beyond))
        if not beyond[first_back]:
            return start + first_back - 1
        # Doubling keeps both a short stretch and one of the whole recording cheap.
        start += beyond.size
        length *= 2
    return walked.size - 1


def interpolate_nan(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Fill NaNs linearly over sample number, holding the nearest value beyond the ends."""
    filled = np.array(values)
    if not np.issubdtype(filled.dtype, np.floating):
        filled = filled.astype(np.float64)
    _check_one_dimensional(filled, "trace to interpolate")
    return pd.Series(filled).interpolate(limit_direction="both").to_numpy()


def center_shift(x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Return how far the pupil centre moved since the frame before."""
    across, down = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _check_one_dimensional(across, "pupil centre, x")
    _check_one_dimensional(down, "pupil centre, y")
    if across.size != down.size:
        raise SchemaError(
            f"the pupil centre has {across.size} x positions but {down.size} y positions; "
            "both need one value a two-photon frame"
        )
    shift = np.full(across.size, np.nan)
    shift[1:] = np.hypot(np.diff(across), np.diff(down))
    return shift


def runs(chosen: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find the runs of consecutive True: where each begins, and how long it is."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return edges[::2], edges[1::2] - edges[::2]


def cleaned_running(velocity: npt.ArrayLike, source: str, *, quiet: bool = False) -> FloatArray:
    """Set running outliers to NaN; warn when many frames are missing."""
    cleaned, n_in_file, n_added = remove_running_outliers(velocity)
    message = dropped_frames_message(cleaned, n_in_file, n_added)
    if message and not quiet:
        warn(f"{source}: {message}", DroppedFramesWarning)
    return cleaned


def dropped_frames_message(cleaned: npt.ArrayLike, n_in_file: int, n_added: int) -> str | None:
    """Say how much of a running trace is missing, if that is more than usual."""
    trace = np.asarray(cleaned, dtype=np.float64)
    n_missing = n_in_file + n_added
    if not trace.size or n_missing / trace.size <= n.DROP_TOLERANCE:
        return None
    message = (
        f"{n_missing} of {trace.size} running frames ({n_missing / trace.size:.2%}) are missing: "
        f"{n_in_file} in the file, {n_added} removed as outliers"
    ).replace("%)", " %)")
    starts, lengths = runs(np.isnan(trace))
    long = np.flatnonzero(lengths > LONG_RUN)
    if long.size:
        worst = long[np.argmax(lengths[long])]
        message += (
            f"; {long.size} runs of more than {LONG_RUN} frames, the longest of "
            f"{lengths[worst]} from frame {starts[worst]}"
        )
    return message


def _check_one_dimensional(values: npt.NDArray[Any], what: str) -> None:
    if values.ndim != 1:
        raise SchemaError(f"the {what} has shape {values.shape}; it must be one value a frame")


FINE: Final = ""
HAS_NAN: Final = "NaN"
HAS_INFINITY: Final = "infinity"
HIGH_MEDIAN: Final = "median above mid-range"
NEGATIVE_MEAN: Final = "negative mean"
REASONS: Final = (FINE, HAS_NAN, HAS_INFINITY, HIGH_MEDIAN, NEGATIVE_MEAN)
REASON_DTYPE: Final = np.dtype(f"U{max(map(len, REASONS))}")

MAX_MEDIAN: Final = 0.5
"""A median further up the range of its trace than this is that of no transients."""


def reasons(
    median: npt.NDArray[np.float64], ranges: npt.NDArray[np.float64]
) -> npt.NDArray[np.str_]:
    """Say why each ROI is bad."""
    # The published reader's rules, over the whole recording: any NaN; any infinity; (median -
    # minimum) / (maximum - minimum) above 0.5; mean below 0. NWB files have no such ROIs.
    low, high, mean, n_nan = ranges
    with np.errstate(invalid="ignore", divide="ignore"):
        place = (median - low) / (high - low)
    return np.select(
        [n_nan > 0, np.isinf(low) | np.isinf(high), place > MAX_MEDIAN, mean < 0],
        REASONS[1:],
        FINE,
    ).astype(REASON_DTYPE)
