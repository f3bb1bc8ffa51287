"""Scaling of traces by whole-recording factors, and of stimulus parameters by their ranges."""

from collections.abc import Hashable
from typing import Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.arrays.computed import scaled
from oscaxr.errors import MissingVariableError, SchemaError, SessionMismatchError, few
from oscaxr.model import names as n
from oscaxr.model.traces import MEDIAN, SPREAD, check_same_session, scale_factors

Data = TypeVar("Data", xr.DataArray, xr.Dataset)

# Window of 1920 x 1200 px with the origin in its centre. The published analyses scale the
# vertical positions by a range that is not the window's.
PARAMETER_RANGES: Final[dict[str, tuple[float, float]]] = {
    "gabor_x": (-960.0, 960.0),
    "gabor_y": (-600.0, 600.0),
    "gabor_size": (204.0, 408.0),
    "gabor_orientation": (0.0, 360.0),
    "gabor_mean_orientation": (0.0, 360.0),
    "square_x": (-960.0, 960.0),
    "square_y": (-600.0, 600.0),
}
"""Full range of each stimulus parameter, in its own unit."""

# Coordinates that must not differ where the ROI numbers agree: the numbers are only rows.
_ROI_IDENTITY: Final = (n.ROI_ID, n.TRACKING_ID)


def scale(data: Data, ds: xr.Dataset | None = None) -> Data:
    """Scale traces or sequences: subtract the median of the full trace, divide by its spread.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Full traces or sequences of ``dff``, running or pupil, in any order of dims. An array is
        known by its attribute ``variable`` or its name. Of a Dataset, every variable that can be
        scaled is, and the others stay as they are.
    ds : xarray.Dataset
        The session the data come from; whole, or with tracked ROIs only.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `data`, float64, without unit, with the attribute ``scaled`` 1. Lazy where the data or
        the factors are: nothing but labels is read until the result is used.

    Raises
    ------
    SchemaError
        If the data were scaled, or had a baseline subtracted or were integrated, before; if the
        variable is not one that is scaled; or if an ROI has no label to align by.
    SessionMismatchError
        If the ROIs of `data` are not ROIs of the session.
    MissingVariableError
        If the session is not given, or lacks the variable.

    Notes
    -----
    ROIs are matched by their label ``roi``, never by position; where both sides know the ROIs'
    ids, tracking ids or the session id, these must agree too. Interpolated running and pupil data
    (attribute ``interpolated`` 1) are scaled by the factors of the interpolated trace.

    Examples
    --------
    >>> run = xr.DataArray([1.0, 2.0, 3.0, 4.0, 5.0], dims="stim_time", name="run_velocity")
    >>> scale(run, run.to_dataset()).values
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    """
    if not isinstance(ds, xr.Dataset):
        raise MissingVariableError("to scale, give the session: scale(data, ds)")
    if isinstance(data, xr.DataArray):
        return _scale_one(data, _variable_name(data, data.name), ds)
    names = {
        key: _variable_name(array, key)
        for key, array in data.data_vars.items()
        if _variable_name(array, key) in n.SPREAD_PERCENTILES
    }
    if not names:
        raise SchemaError(f"none of {[*data]} is scaled, only {sorted(n.SPREAD_PERCENTILES)}")
    changed = {key: _scale_one(data[key], name, ds) for key, name in names.items()}
    return data.assign(changed)


def scale_parameters(data: Data) -> Data:
    """Scale stimulus parameters to [-1, 1] by their full ranges.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        A stimulus parameter, known by its name: ``gabor_x``, ``gabor_y``, ``gabor_size``,
        ``gabor_orientation``, ``gabor_mean_orientation``, ``square_x`` or ``square_y``. Of a
        Dataset, every data variable of these is scaled; coordinates, which selections rely on, are
        not.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `data`, without unit, with the attribute ``scaled`` 1. NaN stays NaN.

    Raises
    ------
    SchemaError
        If there is no such parameter, or it was scaled before.

    Notes
    -----
    Positions by the window, -960 to 960 px across and -600 to 600 px down, sizes by 204 to 408 px,
    orientations by 0 to 360 degrees. Values beyond the range, such as squares that leave the
    window, lie beyond -1 and 1. The published analyses scale vertical positions differently.

    Examples
    --------
    >>> size = xr.DataArray([204.0, 306.0, 408.0], dims="patch", name="gabor_size")
    >>> scale_parameters(size).values
    array([-1.,  0.,  1.])
    """
    if isinstance(data, xr.DataArray):
        return _scale_parameter(data, data.name)
    found = [name for name in data.data_vars if name in PARAMETER_RANGES]
    if not found:
        raise SchemaError(f"none of {[*data]} has a range, only {sorted(PARAMETER_RANGES)}")
    return data.assign({name: _scale_parameter(data[name], name) for name in found})


def _scale_parameter(array: xr.DataArray, name: Hashable) -> xr.DataArray:
    if name not in PARAMETER_RANGES:
        raise SchemaError(f"{name!r} is no stimulus parameter of {sorted(PARAMETER_RANGES)}")
    if array.attrs.get("scaled") == 1:
        raise SchemaError(f"{name!r} is scaled already")
    low, high = PARAMETER_RANGES[str(name)]
    result = (array - low) * (2.0 / (high - low)) - 1.0
    result.attrs = {**array.attrs, "units": "1", "scaled": 1}
    return result


def _scale_one(array: xr.DataArray, name: Hashable, ds: xr.Dataset) -> xr.DataArray:
    _check_order(array, name)
    check_same_session(ds, array)
    interpolated = array.attrs.get("interpolated") == 1 and name != n.DFF
    factors = scale_factors(ds, str(name), interpolate=interpolated)
    middle, spread = factors[MEDIAN].variable, factors[SPREAD].variable
    if name == n.DFF:
        rows = _matching_rows(array, factors)
        middle, spread = middle[rows], spread[rows]
        middle.dims = spread.dims = [dim for dim in array.dims if dim in (n.ROI, n.TRACKING_ID)]
    # Bare variables: the labels were matched above, and coordinates are those of the data.
    result = array.copy(deep=False, data=scaled(array.variable, middle, spread))
    result.attrs = {**array.attrs, "units": "1", "scaled": 1}
    result.encoding = {}
    return result


def _variable_name(array: xr.DataArray, name: Hashable) -> Hashable:
    return cast("Hashable", array.attrs.get("variable", name))


def _check_order(array: xr.DataArray, name: Hashable) -> None:
    """Refuse what must not be scaled, or no longer."""
    problems = []
    if name not in n.SPREAD_PERCENTILES:
        problems.append(
            f"it has no scale factors, as {sorted(n.SPREAD_PERCENTILES)} have (set the array's "
            "name, or its attribute 'variable')"
        )
    if array.attrs.get("scaled") == 1:
        problems.append("it is scaled already")
    if "baseline" in array.attrs:
        problems.append("a baseline was subtracted from it; scale first")
    if array.attrs.get("integrated") == 1:
        problems.append("it is integrated; scale first")
    if problems:
        raise SchemaError(f"{name!r} cannot be scaled: " + "; ".join(problems))


def _matching_rows(array: xr.DataArray, factors: xr.Dataset) -> npt.NDArray[np.intp] | int:
    """Return the row of the factors of each ROI of the data, by label."""
    for what, labelled in (("data", array), ("factors", factors)):
        if n.ROI not in labelled.coords:
            raise SchemaError(f"the {what} have no labels {n.ROI!r} to match: {[*labelled.dims]}")
    wanted = np.atleast_1d(array[n.ROI].values)
    index = pd.Index(np.atleast_1d(factors[n.ROI].values))
    if not index.is_unique:
        twice = few(index[index.duplicated()])
        raise SessionMismatchError(f"the scale factors have ROIs twice: {twice}")
    rows: npt.NDArray[np.intp] = index.get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        raise SessionMismatchError(
            f"the scale factors lack {(rows < 0).sum()} of {wanted.size} ROIs of the data: "
            f"{few(wanted[rows < 0])}"
        )
    for name in _ROI_IDENTITY:
        if name in array.coords and name in factors.coords:
            ours = np.atleast_1d(array[name].values)
            theirs = np.atleast_1d(factors[name].values)[rows]
            differ = ours != theirs
            if differ.any():
                raise SessionMismatchError(
                    f"the factors are of another session: {name} differs for the ROIs "
                    f"{few(wanted[differ])}: {few(ours[differ])} against {few(theirs[differ])}"
                )
    return rows if array[n.ROI].ndim else int(rows[0])
