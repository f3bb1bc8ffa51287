"""Rules for one-dimensional traces: running outliers, missing frames, pupil shifts.

Pure numpy on one trace at a time, so that every reader and every measure applies the same rule.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from oscaxr.errors import SchemaError
from oscaxr.model import names as n

FloatArray = npt.NDArray[np.float64]

LONG_RUN = 5
"""Runs of missing frames longer than this are named in the warning about missing frames."""

_FIRST_SEARCH = 64


def remove_running_outliers(
    velocity: npt.ArrayLike, threshold: float = n.RUNNING_OUTLIER_CM_PER_S
) -> tuple[FloatArray, int, int]:
    """Set running outliers to NaN.

    Parameters
    ----------
    velocity : array_like
        Running velocity, (stimulus frame,), cm/s; NaN where frames were dropped.
    threshold : float, optional
        Largest step between two frames that is believed, cm/s.

    Returns
    -------
    cleaned : numpy.ndarray
        Copy of `velocity` as float64, outliers NaN.
    n_in_file : int
        Number of frames that were NaN already.
    n_added : int
        Number of frames the threshold made NaN.

    Raises
    ------
    SchemaError
        If `velocity` is not one-dimensional.

    Notes
    -----
    The walk of the published analyses. NaNs are left out. Wherever two neighbours differ by more
    than `threshold`, the frames after the step are outliers for as long as they differ by more
    than `threshold` from the frame before the step. When the step is the very first one, the frames
    are compared with standing still (0 cm/s) instead, and the first frame itself may go. A stretch
    of outliers that reaches the end of the recording ends there. Steps are those of the trace as it
    was given; a step inside a stretch already removed is passed over.

    Python only steps from one stretch of outliers to the next, never over frames.

    Examples
    --------
    >>> remove_running_outliers([1.0, 2.0, 200.0, 201.0, 3.0, float("nan")])
    (array([ 1.,  2., nan, nan,  3., nan]), 1, 2)
    """
    cleaned = np.array(velocity, dtype=np.float64)
    _check_one_dimensional(cleaned, "running velocity")
    present = ~np.isnan(cleaned)
    n_in_file = cleaned.size - int(np.count_nonzero(present))
    walked = cleaned[present] if n_in_file else cleaned.copy()
    with np.errstate(invalid="ignore"):
        steps = np.flatnonzero(np.abs(np.diff(walked)) > threshold)
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
    walked[outlier] = np.nan
    cleaned[present] = walked
    return cleaned, n_in_file, int(np.count_nonzero(outlier))


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
    """Fill NaNs linearly over sample number, holding the nearest value beyond the ends.

    Parameters
    ----------
    values : array_like
        One trace, (frame,).

    Returns
    -------
    numpy.ndarray
        A copy without NaN, of the same floating dtype. A trace of NaNs only stays as it is.

    Raises
    ------
    SchemaError
        If `values` is not one-dimensional.

    Examples
    --------
    >>> interpolate_nan([float("nan"), 1.0, float("nan"), 3.0, float("nan")])
    array([1., 1., 2., 3., 3.])
    """
    filled = np.array(values)
    if not np.issubdtype(filled.dtype, np.floating):
        filled = filled.astype(np.float64)
    _check_one_dimensional(filled, "trace to interpolate")
    missing = np.isnan(filled)
    if missing.any() and not missing.all():
        known = ~missing
        filled[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(known), filled[known])
    return filled


def center_shift(x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Return how far the pupil centre moved since the frame before.

    Parameters
    ----------
    x, y : array_like
        Position of the pupil centre, (two-photon frame,), in the same unit.

    Returns
    -------
    numpy.ndarray
        Euclidean distance from the last frame, (two-photon frame,), in the unit of `x` and `y`.
        The first value is NaN, and so is every value next to a missing position.

    Raises
    ------
    SchemaError
        If `x` and `y` are not one-dimensional or differ in length.

    Examples
    --------
    >>> center_shift([0.0, 3.0, 3.0], [0.0, 4.0, 5.0])
    array([nan,  5.,  1.])
    """
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


def nan_runs(values: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find the runs of consecutive NaNs in a trace.

    Parameters
    ----------
    values : array_like
        One trace, (frame,).

    Returns
    -------
    starts, lengths : numpy.ndarray
        First frame and number of frames of each run, (run,).

    Examples
    --------
    >>> nan_runs([1.0, float("nan"), float("nan"), 2.0, float("nan")])
    (array([1, 4]), array([2, 1]))
    """
    missing = np.isnan(np.asarray(values, dtype=np.float64))
    edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
    return edges[::2], edges[1::2] - edges[::2]


def dropped_frames_message(
    cleaned: npt.ArrayLike,
    n_in_file: int,
    n_added: int,
    *,
    tolerance: float = n.DROP_TOLERANCE,
) -> str | None:
    """Say how much of a running trace is missing, if that is more than usual.

    Parameters
    ----------
    cleaned : array_like
        Running velocity after :func:`remove_running_outliers`, (stimulus frame,).
    n_in_file, n_added : int
        The counts that function gave.
    tolerance : float, optional
        Fraction of the frames that may be missing without a word.

    Returns
    -------
    str or None
        The words of a warning, or None when no more than `tolerance` is missing.

    Examples
    --------
    >>> trace, n_in_file, n_added = remove_running_outliers([1.0] * 9 + [float("nan")])
    >>> dropped_frames_message(trace, n_in_file, n_added)
    '1 of 10 running frames (10.00 %) are missing: 1 in the file, 0 removed as outliers'
    >>> dropped_frames_message(trace, n_in_file, n_added, tolerance=0.2) is None
    True
    """
    trace = np.asarray(cleaned, dtype=np.float64)
    n_missing = n_in_file + n_added
    if not trace.size or n_missing / trace.size <= tolerance:
        return None
    message = (
        f"{n_missing} of {trace.size} running frames ({n_missing / trace.size:.2%}) are missing: "
        f"{n_in_file} in the file, {n_added} removed as outliers"
    ).replace("%)", " %)")
    starts, lengths = nan_runs(trace)
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
