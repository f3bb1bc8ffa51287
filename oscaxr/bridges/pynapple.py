"""To pynapple and to plain numpy."""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.model import names as n


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

    values: np.ndarray[Any, Any]
    axes: tuple[str, ...]
    labels: dict[str, np.ndarray[Any, Any]]


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


def to_pynapple(trace: xr.DataArray) -> Any:
    """Return whole traces as pynapple time series.

    Parameters
    ----------
    trace : xarray.DataArray
        Traces over ``time`` or ``stim_time``: of all ROIs, or one. Read as a whole.

    Returns
    -------
    pynapple.Tsd or pynapple.TsdFrame
        A ``Tsd`` for one trace; for several a ``TsdFrame`` whose columns are the ROIs, in their
        order, with their ids and the like as metadata. Times in seconds.

    Raises
    ------
    SchemaError
        If there is not exactly one clock, and at most one other dim.
    ImportError
        If pynapple is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> to_pynapple(ds.dff).columns.tolist()  # doctest: +SKIP
    [0, 1, 2, 3]
    """
    clocks = [dim for dim in trace.dims if dim in (n.TIME, n.STIM_TIME)]
    if len(clocks) != 1 or trace.ndim > 2:
        raise SchemaError(
            f"{trace.name!r} has the dims {trace.dims}; a time series has 'time' or 'stim_time' "
            "and at most one other (sequences are not time series: give whole traces)"
        )
    try:
        pynapple = import_module("pynapple")
    except ImportError as error:
        raise ImportError(
            "to_pynapple needs pynapple, which is not installed: pip install 'oscaxr[pynapple]'"
        ) from error
    (clock,) = clocks
    ordered = trace.transpose(clock, ...)
    times, values = ordered[clock].values, ordered.values
    if trace.ndim == 1:
        return pynapple.Tsd(t=times, d=values, time_units="s")
    other = ordered.dims[1]
    labels = ordered[n.ROI if n.ROI in ordered.coords else other].values
    facts = {
        str(name): coord.values
        for name, coord in ordered.coords.items()
        if coord.dims == (other,) and name not in (other, n.ROI)
    }
    return pynapple.TsdFrame(t=times, d=values, columns=labels, time_units="s", metadata=facts)
