"""What selections and measures ask of a session: that data are its own, its traces as a whole."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import xarray as xr

from oscaxr.arrays.columns import column_reader, stored_width
from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, Once
from oscaxr.arrays.percentiles import column_factors, nan_percentiles
from oscaxr.arrays.xarray_internals import is_in_memory
from oscaxr.errors import MissingVariableError, SchemaError, SessionMismatchError
from oscaxr.model import names as n
from oscaxr.model.segments import CLOCK_DIMS, recording_frames
from oscaxr.model.signals import interpolate_nan

Data = TypeVar("Data", xr.DataArray, xr.Dataset)

MEDIAN: Final = "median"
SPREAD: Final = "spread"


def check_same_session(ds: xr.Dataset, asked: Any) -> None:
    """Refuse labelled data, segments, frames or times of another session."""
    if not isinstance(asked, xr.Dataset | xr.DataArray):
        return
    if "session_id" in ds.coords and "session_id" in asked.coords:
        mine = ds["session_id"].values
        theirs = np.unique(asked["session_id"].values)
        if (theirs != mine).any():
            raise SessionMismatchError(
                f"these data, segments, frames or times are of session "
                f"{', '.join(map(str, theirs))}, but the session is {mine}: take them from the "
                "session that they are used on"
            )


def interpolate(data: Data) -> Data:
    """Fill missing frames of running or pupil traces, linearly over the frames.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        A trace over ``time`` or ``stim_time``; or a session, whose running and pupil traces are
        filled.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `data`, without NaN, with the attribute ``interpolated`` 1. The ends are held at the
        nearest value. A trace of NaNs only stays as it is.

    Raises
    ------
    SchemaError
        If the array is not one trace over its clock. Sequences cannot be filled: what is beyond
        their ends is not known. Fill the trace before taking sequences.

    Examples
    --------
    >>> run = xr.DataArray([1.0, np.nan, 3.0], dims="stim_time", name="run_velocity")
    >>> interpolate(run).values
    array([1., 2., 3.])
    """
    if isinstance(data, xr.Dataset):
        names = [name for name in (n.RUN_VELOCITY, *n.PUPIL_VARIABLES) if name in data.data_vars]
        return data.assign({name: _interpolated(data[name]) for name in names})
    return _interpolated(data)


def _interpolated(array: xr.DataArray) -> xr.DataArray:
    if array.ndim != 1 or array.dims[0] not in (n.TIME, n.STIM_TIME):
        raise SchemaError(
            f"{array.name!r} has the dims {array.dims}; only a trace over {n.TIME!r} or "
            f"{n.STIM_TIME!r} can be interpolated. Interpolate before taking sequences"
        )
    if array.attrs.get("interpolated") == 1:
        return array
    dtype = array.dtype if np.issubdtype(array.dtype, np.floating) else np.dtype(np.float64)
    filled = computed(Once(partial(_filled, array.variable)), array.shape, dtype)
    data = filled.get_duck_array() if is_in_memory(array.variable) else filled
    return array.copy(deep=False, data=data).assign_attrs(interpolated=1)


def _filled(trace: xr.Variable) -> Array:
    return interpolate_nan(trace.values)


def scale_factors(ds: xr.Dataset, name: str, *, interpolate: bool = False) -> xr.Dataset:
    """Return the median and the spread that a variable is scaled by.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    name : str
        ``"dff"``, ``"run_velocity"`` or a pupil variable.
    interpolate : bool, optional
        Take the factors of the trace with its missing frames filled (running and pupil only).

    Returns
    -------
    xarray.Dataset
        ``median`` and ``spread`` in the unit of the variable; for ``dff`` (roi) with the
        coordinates of the ROIs, for the others single values. Computed when first used, if the
        variable is not in memory.

    Raises
    ------
    MissingVariableError
        If the session has no such variable.
    WindowError
        If the session was cut along the clock of a running or pupil trace.
    SchemaError
        If the variable is not one that is scaled, or `interpolate` is asked for dF/F.

    Notes
    -----
    Over the full trace, NaNs left out: for dF/F the median and the 95th less the 5th percentile,
    for running and pupil the median and the 75th less the 25th. The session's own ``dff_median``
    and ``dff_spread`` are used where it has them, so those who change ``dff`` should drop them. A
    session that was cut along the clock of a running or pupil trace is refused: the factors are
    those of the whole recording.

    Examples
    --------
    >>> run = xr.DataArray([1.0, 2.0, 3.0, 4.0, 5.0], dims="stim_time")
    >>> factors = scale_factors(xr.Dataset({"run_velocity": run}), "run_velocity")
    >>> float(factors["median"]), float(factors["spread"])
    (3.0, 2.0)
    """
    if name not in n.SPREAD_PERCENTILES:
        raise SchemaError(
            f"{name!r} has no scale factors; variables with them are {sorted(n.SPREAD_PERCENTILES)}"
        )
    if name == n.DFF:
        if interpolate:
            raise SchemaError("dF/F traces are not interpolated, so they have one set of factors")
        return _roi_factors(ds)
    trace = _variable(ds, name)
    for clock, dim in CLOCK_DIMS.items():
        if dim in trace.dims:
            recording_frames(ds, clock)
    if interpolate:
        trace = _interpolated(trace)
    kept = {"units": trace.attrs["units"]} if "units" in trace.attrs else {}
    attrs = {"variable": name, "interpolated": int(trace.attrs.get("interpolated", 0))}
    find = partial(_of_trace, trace.variable, name)
    return _when_used(find, trace.variable, (), kept).assign_attrs(attrs)


def _roi_factors(ds: xr.Dataset) -> xr.Dataset:
    """Return the factors of every ROI: the session's own, or computed from its traces."""
    if n.DFF_MEDIAN in ds and n.DFF_SPREAD in ds:
        # Not a new Dataset of the two: xarray would compare their coordinates, and so read them.
        found = ds[[n.DFF_MEDIAN, n.DFF_SPREAD]].rename(
            {n.DFF_MEDIAN: MEDIAN, n.DFF_SPREAD: SPREAD}
        )
    else:
        dff = _variable(ds, n.DFF)
        (dim,) = (name for name in dff.dims if name != n.TIME)
        coords = {key: c.variable for key, c in dff.coords.items() if c.dims == (dim,)}
        bare = dff.drop_vars(list(dff.coords))
        found = _when_used(partial(_of_rois, bare), dff.variable, (dim,)).assign_coords(coords)
    found.attrs = {"variable": n.DFF, "interpolated": 0}
    return found


def _when_used(
    find: Callable[[], dict[str, Array]],
    source: xr.Variable,
    dims: tuple[Hashable, ...],
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return factors that are found on first use, or at once if that reads no file."""
    once = Once(find)
    shape = tuple(source.sizes[dim] for dim in dims)
    parts = {part: computed(once, shape, np.float64, part) for part in (MEDIAN, SPREAD)}
    found = xr.Dataset({part: (dims, data, attrs) for part, data in parts.items()})
    return found.load() if is_in_memory(source) else found


def _of_trace(trace: xr.Variable, name: str) -> dict[str, Array]:
    low, middle, high = nan_percentiles(np.asarray(trace.values), _percentiles(name))
    return {MEDIAN: np.asarray(middle), SPREAD: np.asarray(high - low)}


def _of_rois(dff: xr.DataArray) -> dict[str, Array]:
    (dim,) = (name for name in dff.dims if name != n.TIME)
    low, middle, high = column_factors(
        column_reader(dff, n.TIME),
        dff.sizes[n.TIME],
        dff.sizes[dim],
        _percentiles(n.DFF),
        align=stored_width(dff, n.TIME),
    ).percentiles
    return {MEDIAN: middle, SPREAD: high - low}


def _percentiles(name: str) -> tuple[float, float, float]:
    low, high = n.SPREAD_PERCENTILES[name]
    return low, 50.0, high


def _variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    if name not in ds:
        raise MissingVariableError(
            f"asked for the scale factors of {name!r}, but the session has only "
            f"{[str(key) for key in ds.data_vars]}"
        )
    return ds[name]
