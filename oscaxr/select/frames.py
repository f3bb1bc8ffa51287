"""From one clock to the other, and from frames to the segments they fall into."""

from typing import Any

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.model import names as n
from oscaxr.model.clocks import (
    CLOCK_DIMS,
    DIM_CLOCKS,
    Clock,
    check_clock,
    check_same_session,
    first_stimulus_frames,
    recording_frames,
)
from oscaxr.model.segments import nearest_frames

Array = np.ndarray[Any, Any]


def clock_of(ds: xr.Dataset, name: str) -> Clock:
    """Return the clock that a variable runs on."""
    dims = ds.variables[name].dims
    clocks = [DIM_CLOCKS[str(dim)] for dim in dims if dim in DIM_CLOCKS]
    if len(clocks) != 1:
        raise MissingVariableError(
            f"{name!r} has dims {dims}: it runs on neither clock ({', '.join(DIM_CLOCKS)}), so "
            "there are no windows of it"
        )
    return clocks[0]


def convert_frames(ds: xr.Dataset, frames: Any, to: Clock) -> xr.DataArray:
    """Convert frames of one clock to the nearest frames of the other.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    frames : array_like of int, any shape
        Frames of the clock that is not `to`.
    to : {"twop", "stim"}
        The clock to convert to.

    Returns
    -------
    xarray.DataArray of int64
        Of the shape (and, for a DataArray, the dims and coords) of `frames`; the frame nearest in
        time. A two-photon frame outside the stimulus has no stimulus frame: -1. (Nor would a
        stimulus frame outside the two-photon recording have one of that.)

    Raises
    ------
    WindowError
        If frames lie outside the recording.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> stim = convert_frames(ds, ds.start_frame_twop, to="stim")
    >>> bool((abs(stim - ds.start_frame_stim) <= 2).all())
    True
    """
    check_clock(to, "to")
    check_same_session(ds, frames)
    source: Clock = "stim" if to == "twop" else "twop"
    length = recording_frames(ds, source)
    recording_frames(ds, to)
    wanted = frames if isinstance(frames, xr.DataArray) else _as_array(frames)
    numbers = np.asarray(wanted.values)
    if numbers.dtype.kind not in "iu":
        raise WindowError(f"frames are whole numbers, but these are {numbers.dtype}")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= length):
        raise WindowError(
            f"frames {numbers.min()} to {numbers.max()} do not lie within the recording's "
            f"{length} {source} frames"
        )
    lookup = frame_lookup(ds, to)
    return wanted.copy(data=lookup[numbers]).assign_attrs(
        long_name=f"{'two-photon' if to == 'twop' else 'stimulus'} frame"
    )


def _as_array(values: Any) -> xr.DataArray:
    array = np.asarray(values)
    return xr.DataArray(array.astype(np.int64) if not array.size else array)


def frame_lookup(ds: xr.Dataset, to: Clock) -> Array:
    """Return for each frame of the other clock the nearest frame of this one."""
    # Times tell what is outside, not the frames of the stimulus table, so that it also holds for a
    # session that was cut along a clock or to some of its segments. For a whole session, the
    # two-photon frames with a stimulus frame are those from the table's first to its last (but for
    # the very last one, if it began after the last stimulus frame). A session of the original
    # layout knows the alignment itself (`aligned_frame_twop`), which is then used.
    if n.ALIGNED_FRAME_TWOP in ds.coords:
        aligned = ds[n.ALIGNED_FRAME_TWOP].values
        if to == "twop":
            return aligned.astype(np.int64)
        return first_stimulus_frames(aligned, ds.sizes[n.TIME])
    source: Clock = "stim" if to == "twop" else "twop"
    times, clock = ds[CLOCK_DIMS[source]].values, ds[CLOCK_DIMS[to]].values
    if not len(clock):
        return np.full(len(times), -1)
    half = 0.5 / float(ds.attrs[f"{source}_fps"])
    # The last frame lasts as long as the others.
    stop = clock[-1] + 1.0 / float(ds.attrs[f"{to}_fps"])
    outside = (times < clock[0] - half) | (times >= stop - half)
    return np.where(outside, -1, nearest_frames(clock, times))


def segments_at(ds: xr.Dataset, frames: Any, clock: Clock = "twop") -> xr.DataArray:
    """Return the segment that each frame falls into.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or a selection of its segments.
    frames : array_like of int, any shape
        Frames of `clock`.
    clock : {"twop", "stim"}, optional
        Their clock.

    Returns
    -------
    xarray.DataArray of int64
        Segment numbers, of the shape of `frames`; -1 where a frame falls into none.

    Notes
    -----
    The published tool's ``get_segs_by_frame``.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> ox.segments_at(ds, ds.start_frame_twop.values[:3]).values
    array([0, 1, 2])
    """
    check_clock(clock)
    check_same_session(ds, frames)
    wanted = frames if isinstance(frames, xr.DataArray) else _as_array(frames)
    start, stop = ds[f"start_frame_{clock}"].values, ds[f"stop_frame_{clock}"].values
    # A selection may have been put into another order.
    in_time = np.argsort(start, kind="stable")
    start, stop, numbers = start[in_time], stop[in_time], ds[n.SEGMENT].values[in_time]
    found = np.full(wanted.shape, -1, np.int64)
    if len(numbers):
        position = np.searchsorted(start, wanted.values, side="right") - 1
        inside = (position >= 0) & (wanted.values < stop[np.maximum(position, 0)])
        found = np.where(inside, numbers[np.maximum(position, 0)], -1)
    return wanted.copy(data=found).assign_attrs(long_name="segment number")
