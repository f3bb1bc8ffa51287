"""To pynapple and to plain numpy."""

from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.model import names as n
from oscaxr.select.criteria import segment_part

Array = np.ndarray[Any, Any]


class Labelled(NamedTuple):
    """An array as plain numpy, with what its axes are.

    Parameters
    ----------
    values : ndarray
        The values.
    axes : tuple of str
        Name of each axis.
    labels : dict of str to ndarray
        Labels along each axis that has them.
    """

    values: Array
    axes: tuple[str, ...]
    labels: dict[str, Array]


def to_numpy(array: xr.DataArray, *axes: str) -> Labelled:
    """Return an array as plain numpy, with the names and labels of its axes.

    Parameters
    ----------
    array : xarray.DataArray
        Any array; lazy ones are read.
    *axes : str
        Those that come first, in this order; the others follow as they are.

    Returns
    -------
    Labelled
        ``values``, ``axes`` and ``labels``.

    Raises
    ------
    MissingVariableError
        If there is no such axis.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0, post=0.6)
    >>> to_numpy(u, "sequence", "rel_time", "roi").axes
    ('sequence', 'rel_time', 'roi')
    """
    unknown = [axis for axis in axes if axis not in array.dims]
    if unknown:
        raise MissingVariableError(
            f"no axis {', '.join(map(repr, unknown))}; there are {', '.join(map(str, array.dims))}"
        )
    ordered = array.transpose(*axes, ...) if axes else array
    names = tuple(str(dim) for dim in ordered.dims)
    labels = {dim: ordered[dim].values for dim in names if dim in ordered.coords}
    return Labelled(ordered.values, names, labels)


def to_pynapple(data: xr.DataArray | xr.Dataset, *, regular: bool = False) -> Any:
    """Return whole traces as pynapple time series, and segments as intervals.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Traces over ``time`` or ``stim_time``: of all ROIs, or one; read as a whole. Or, as a
        Dataset, a selection of segments (of a session, all of its segments).
    regular : bool, optional
        Put the frames on an even grid of times, as pynapple's ``compute_perievent`` and other
        functions ask: their values stay, and each frame's time is the nearest one of the grid.

    Returns
    -------
    pynapple.Tsd or pynapple.TsdFrame or pynapple.IntervalSet
        A ``Tsd`` for one trace; for several a ``TsdFrame`` whose columns are the ROIs, in their
        order, with their ids and the like as metadata. For segments an ``IntervalSet`` from their
        start to their stop, with all of their columns as metadata. Times in seconds.

    Raises
    ------
    SchemaError
        If an array has not exactly one clock, or more than one other dim; if frames are missing, so
        that with `regular` their times would move by more than half a frame; if segments are not in
        the order of time, or overlap (pynapple would join them).
    ImportError
        If pynapple is not installed.

    Notes
    -----
    The grid goes from the first frame to the last in equal steps. Frames are not evenly spaced:
    those of the microscope jitter by some 0.01 ms around it, those of the stimulus by up to 3 ms.
    Both are less than half a frame, so that no frame is lost or repeated, and nothing is averaged,
    as interpolation would (a fifth of the neighbour where a stimulus frame is 3 ms off, and a NaN
    would spread). Events are best taken from the true times, ``ds.time[frames]``: the frame nearest
    to one is the same on the grid.

    Segments follow each other without a gap, and pynapple does not let intervals touch: those that
    would end 1 microsecond early, as when pynapple itself mends it.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> to_pynapple(ds.dff).columns.tolist()  # doctest: +SKIP
    [0, 1, 2, 3]
    >>> len(to_pynapple(ds.osca.select(gabor_frame="A")))  # doctest: +SKIP
    12
    """
    if isinstance(data, xr.Dataset):
        return _intervals(segment_part(data))
    clocks = [dim for dim in data.dims if dim in (n.TIME, n.STIM_TIME)]
    if len(clocks) != 1 or data.ndim > 2:
        raise SchemaError(
            f"{data.name!r} has the dims {data.dims}; a time series has 'time' or 'stim_time' "
            "and at most one other (sequences are not time series: give whole traces)"
        )
    pynapple = _pynapple()
    (clock,) = clocks
    ordered = data.transpose(clock, ...)
    times = ordered[clock].values
    if regular:
        times = _even(times, str(clock))
    values = ordered.values
    if data.ndim == 1:
        return pynapple.Tsd(t=times, d=values, time_units="s")
    other = ordered.dims[1]
    labels = ordered[n.ROI if n.ROI in ordered.coords else other].values
    facts = {
        str(name): coord.values
        for name, coord in ordered.coords.items()
        if coord.dims == (other,) and name not in (other, n.ROI)
    }
    return pynapple.TsdFrame(t=times, d=values, columns=labels, time_units="s", metadata=facts)


def _pynapple() -> Any:
    try:
        return import_module("pynapple")
    except ImportError as error:
        raise ImportError(
            "to_pynapple needs pynapple, which is not installed: pip install 'oscaxr[pynapple]'"
        ) from error


def _even(times: Array, clock: str) -> Array:
    """Return the times of an even grid, one a frame; refuse them where frames are missing."""
    if len(times) < 2:
        return times
    grid = np.linspace(times[0], times[-1], len(times))
    moved, step = np.abs(grid - times).max(), grid[1] - grid[0]
    if not moved < step / 2:
        raise SchemaError(
            f"{clock} is too uneven for a regular grid: one value a frame would move frames by up "
            f"to {moved:.4g} s, of frames that are {step:.4g} s apart. Were frames left out? Give "
            f"the whole recording, or interpolate: array.interp({clock}=...)"
        )
    return grid


# What pynapple takes off intervals that touch.
_GAP: Final = 1e-6


def _intervals(segments: xr.Dataset) -> Any:
    """Return segments as intervals, in pynapple's terms without anything to mend."""
    start, stop = (segments[name].values for name in ("start_time", "stop_time"))
    if (np.diff(start) <= 0).any() or (start[1:] + _GAP < stop[:-1]).any():
        raise SchemaError(
            "segments overlap, or are not in the order of time, and pynapple would join or sort "
            "them: give them in their order, segments.sortby('segment')"
        )
    touching = np.append(stop[:-1] >= start[1:] - _GAP, False)
    stop = np.where(touching, np.append(start[1:], np.inf) - _GAP, stop)
    facts = {
        str(name): coord.values
        for name, coord in segments.coords.items()
        if coord.dims == (n.SEGMENT,)
    }
    return _pynapple().IntervalSet(start=start, end=stop, metadata=facts)
