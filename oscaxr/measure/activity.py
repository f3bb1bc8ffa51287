"""Which ROIs respond at all, and their traces reduced to lasting responses."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.percentiles import nan_percentiles
from oscaxr.errors import CriterionError, MissingVariableError, option
from oscaxr.measure.quality import few_rows, full_traces, labelled_by_roi, map_rois
from oscaxr.model import names as n
from oscaxr.model.segments import is_finite, recording_frames

ACTIVE_STD: Final = 3.0
PLATEAU_STD: Final = 3.0
PLATEAU_FRAMES: Final = 4


def active_rois(
    ds: xr.Dataset | xr.DataArray,
    *,
    stimulus: str | None = None,
    threshold: float = ACTIVE_STD,
) -> xr.DataArray:
    """Find the ROIs with at least one transient.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        A session, or its ``dff``, (time, roi) in any order.
    stimulus : {"gabors", "visflow", "grayscreen"}, optional
        Look only at the frames of this stimulus' segments; by default at the whole recording.
    threshold : float, optional
        Standard deviations above the median that make a transient.

    Returns
    -------
    xarray.DataArray
        (roi), bool, with the coordinates of the ROIs.

    Raises
    ------
    CriterionError
        If `stimulus` is not a stimulus type.
    MissingVariableError
        If there are no traces, or `stimulus` is given with traces alone.

    Notes
    -----
    A frame is a transient if the trace, median filtered over 5 frames (zeros beyond both ends), is
    above the median plus `threshold` standard deviations (ddof 0) of the filtered full trace. The
    threshold is that of the full trace for every stimulus. With `stimulus` all frames of its
    segments are looked at; the published function sees only the ends of each block. Where the
    window holds a NaN, the filtered trace is NaN and no transient.

    Examples
    --------
    >>> trace = np.zeros((100, 2))
    >>> trace[50:54, 1] = 1.0
    >>> active_rois(xr.DataArray(trace, dims=("time", "roi"))).values
    array([False,  True])
    """
    _check_threshold(threshold)
    dff = full_traces(ds)
    frames = None if stimulus is None else _stimulus_frames(ds, stimulus, dff.sizes[n.TIME])

    def kernel(rows: npt.NDArray[Any], _: slice) -> npt.NDArray[np.bool_]:
        return np.concatenate([_has_transient(part, frames, threshold) for part in few_rows(rows)])

    parts = map_rois(dff, kernel)
    found = labelled_by_roi(dff, np.concatenate([np.empty(0, dtype=bool), *parts]))
    found.attrs = {
        "long_name": "ROI has a transient",
        "stimulus": "all" if stimulus is None else stimulus,
    }
    return found.rename("active")


def plateau_traces(
    ds: xr.Dataset | xr.DataArray,
    *,
    threshold: float = PLATEAU_STD,
    min_frames: int = PLATEAU_FRAMES,
    keep_last: bool = False,
) -> xr.DataArray:
    """Reduce traces to their lasting responses.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        A session, or its ``dff``, (time, roi) in any order.
    threshold : float, optional
        Standard deviations above the median that a frame must reach.
    min_frames : int, optional
        Number of consecutive frames that must reach it.
    keep_last : bool, optional
        Keep the last stretch of each ROI that reaches the threshold, however short. The published
        function does, by oversight; to reproduce it.

    Returns
    -------
    xarray.DataArray
        As ``dff`` and of its precision: (x - median) / std in lasting responses, 1 everywhere else.
        In memory.

    Raises
    ------
    MissingVariableError
        If there are no traces.

    Notes
    -----
    Median and standard deviation (ddof 0) of the full trace, NaNs left out. A NaN ends a stretch,
    and is 1 in the result.

    Examples
    --------
    >>> trace = np.zeros(100)
    >>> trace[50:54] = 1.0
    >>> plateau_traces(xr.DataArray(trace[:, np.newaxis], dims=("time", "roi"))).values[48:55, 0]
    array([1.        , 1.        , 5.10310363, 5.10310363, 5.10310363,
           5.10310363, 1.        ])
    """
    _check_threshold(threshold)
    dff = full_traces(ds)
    dtype = dff.dtype if np.issubdtype(dff.dtype, np.floating) else np.dtype(np.float64)
    values = np.empty(dff.shape, dtype=dtype)
    columns_last = values if dff.get_axis_num(n.TIME) == 0 else values.T

    def kernel(rows: npt.NDArray[Any], columns: slice) -> None:
        reduced = [_plateaus(part, threshold, min_frames, keep_last) for part in few_rows(rows)]
        columns_last[:, columns] = np.concatenate(reduced).T

    map_rois(dff, kernel)
    result = dff.copy(data=values).rename("plateau")
    result.attrs = {
        **dff.attrs,
        "units": "1",
        "long_name": "plateau trace, standard deviations above the median",
        "scaled": 1,
    }
    return result


def filter_median_of_five(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Median filter traces over 5 frames, with zeros beyond both ends."""
    # A selection network of minima and maxima over whole arrays. The pairs of neighbours are
    # compared once and serve two frames each.
    padded = np.zeros((*rows.shape[:-1], rows.shape[-1] + 4))
    padded[..., 2:-2] = rows
    low = np.minimum(padded[..., :-1], padded[..., 1:])
    high = np.maximum(padded[..., :-1], padded[..., 1:])
    # Of two pairs, the least and the greatest of four cannot be the median of five.
    floor = np.maximum(low[..., :-3], low[..., 3:])
    ceiling = np.minimum(high[..., :-3], high[..., 3:])
    middle = padded[..., 2:-2]
    lower, upper = np.minimum(floor, ceiling), np.maximum(floor, ceiling)
    filtered: npt.NDArray[np.float64] = np.maximum(lower, np.minimum(upper, middle))
    return filtered


def _stimulus_frames(
    ds: xr.Dataset | xr.DataArray, stimulus: str, n_time: int
) -> npt.NDArray[np.bool_]:
    """Return which two-photon frames belong to segments of a stimulus."""
    if stimulus not in n.STIMULUS_TYPES:
        raise CriterionError(f"stimulus={stimulus!r}: it may be {list(n.STIMULUS_TYPES)}")
    needed = ("stimulus_type", "start_frame_twop", "stop_frame_twop")
    missing = [name for name in needed if name not in ds.coords]
    if missing:
        raise MissingVariableError(f"to find {stimulus!r}, {missing} are needed: give the session")
    if isinstance(ds, xr.Dataset):
        recording_frames(ds, "twop")
    shown = ds["stimulus_type"].values == stimulus
    edges = np.zeros(n_time + 1, dtype=np.int64)
    np.add.at(edges, np.clip(ds["start_frame_twop"].values[shown], 0, n_time), 1)
    np.add.at(edges, np.clip(ds["stop_frame_twop"].values[shown], 0, n_time), -1)
    inside: npt.NDArray[np.bool_] = np.cumsum(edges[:-1]) > 0
    return inside


def _check_threshold(threshold: Any) -> None:
    """Refuse what is no number of standard deviations."""
    if not is_finite(threshold):
        raise CriterionError(
            f"{option('threshold', threshold)}: give a finite number of standard deviations"
        )


def _has_transient(
    rows: npt.NDArray[Any], frames: npt.NDArray[np.bool_] | None, threshold: float
) -> npt.NDArray[np.bool_]:
    filtered = filter_median_of_five(rows)
    middle, std = _median_and_std(filtered)
    with np.errstate(invalid="ignore"):
        above: npt.NDArray[np.bool_] = filtered > (middle + threshold * std)[:, np.newaxis]
    if frames is not None:
        above &= frames
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(above, axis=1)
    return found


def _median_and_std(
    rows: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the median and the standard deviation (ddof 0) of each row, NaNs left out."""
    middle = nan_percentiles(rows.T, (50.0,), threads=1)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        std = rows.std(axis=1, dtype=np.float64)
        holed = np.isnan(std) & ~np.isnan(middle)
        if holed.any():
            std[holed] = np.nanstd(rows[holed].astype(np.float64), axis=1)
    return middle, std


def _plateaus(
    rows: npt.NDArray[Any], threshold: float, min_frames: int, keep_last: bool
) -> npt.NDArray[np.float64]:
    middle, std = _median_and_std(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = (rows - middle[:, np.newaxis]) / std[:, np.newaxis]
        above = deviation >= threshold
    kept = _lasting(above, min_frames)
    if keep_last:
        kept |= _last_stretch(above)
    return np.where(kept, deviation, 1.0)


def _lasting(above: npt.NDArray[np.bool_], min_frames: int) -> npt.NDArray[np.bool_]:
    """Keep the stretches of at least so many frames: an erosion, then the dilation back."""
    n_time = above.shape[1]
    kept = np.zeros_like(above)
    if n_time < min_frames:
        return kept
    n_starts = n_time - min_frames + 1
    starts = above[:, :n_starts].copy()
    for offset in range(1, min_frames):
        starts &= above[:, offset : offset + n_starts]
    for offset in range(min_frames):
        kept[:, offset : offset + n_starts] |= starts
    return kept


def _last_stretch(above: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    frames = np.arange(above.shape[1])
    last = np.where(above, frames, -1).max(axis=1, initial=-1)[:, np.newaxis]
    gap = np.where(~above & (frames < last), frames, -1).max(axis=1, initial=-1)[:, np.newaxis]
    stretch: npt.NDArray[np.bool_] = (frames > gap) & (frames <= last)
    return stretch
