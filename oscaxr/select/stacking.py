"""Variables of several sessions as one: sessions along a dim, ROIs of mice one after the other."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model import names as n

Array = np.ndarray[Any, Any]
Variables = dict[Hashable, xr.Variable]

TRACKED_ROI: Final = "tracked_roi"
"""The dim of the tracked ROIs of several mice."""
RECORDED: Final = "recorded"
SESSION: Final = "session"
SESSION_ID: Final = "session_id"

# Attributes that become coordinates along the sessions, as the rates differ between them.
_RATES: Final = ("fps", "twop_fps", "stim_fps")
_LABEL: Final = "sequence_label"
# Stands for what is not there, by the kind of the dtype; other kinds become float with NaN.
_FILLS: Final[Mapping[str, Any]] = {"f": np.nan, "U": "", "b": False, "i": -1}


def side_by_side(
    contents: Sequence[xr.Dataset], labels: Sequence[str], names: Sequence[Hashable], dim: str
) -> Variables:
    """Stack the variables of the sessions of one mouse."""
    shared = set.intersection(*(set(content.coords) for content in contents))
    result: Variables = {}
    counts = [content.sizes.get(n.SEQUENCE, 0) for content in contents]
    for name in (*names, *(name for name in contents[0].coords if name in shared)):
        variables = [content[name].variable.to_base_variable() for content in contents]
        dims = variables[0].dims
        if name in (n.TRACKING_ID, n.REL_FRAME) and dims == (name,):
            result[name] = variables[0]
            continue
        variables = [variable.transpose(*dims) for variable in variables]
        if n.SEQUENCE in dims:
            variables = [_padded(own, max(counts), data=name in names) for own in variables]
        elif name not in names and n.TRACKING_ID not in dims and name not in (SESSION, SESSION_ID):
            if all(own.equals(variables[0]) for own in variables):
                attrs = same_attrs([own.attrs for own in variables])
                result[name] = xr.Variable(dims, variables[0].data, attrs)
                continue
            if dims == (name,):
                raise SchemaError(f"labels {name!r} differ between sessions ({', '.join(labels)})")
        target = _LABEL if name == n.SEQUENCE else name
        result[target] = _stack(name, variables, labels, dim)
    if n.SEQUENCE in contents[0].dims:
        result[n.SEQUENCE] = xr.Variable(n.SEQUENCE, np.arange(max(counts)))
        result["n_sequences"] = xr.Variable(dim, counts, {"long_name": "number of sequences"})
    return result | _rates(contents, names, dim)


def stacked(mice: Mapping[str, Variables], names: Sequence[Hashable], dim: str) -> Variables:
    """Put the ROIs of mice one after the other, sessions with the same number beside each other."""
    first = next(iter(mice.values()))
    if any(n.SEQUENCE in own for own in mice.values()):
        raise SchemaError(
            "sequences of several mice cannot be stacked, since they have nothing to do with each "
            "other: average over 'sequence' first, or align each mouse by itself"
        )
    pooled = [str(name) for name in names if n.TRACKING_ID not in first[name].dims]
    if pooled:
        raise SchemaError(
            f"{', '.join(pooled)} do not run over ROIs, so they cannot be stacked over those of "
            "several mice: leave them out, or align each mouse by itself"
        )
    everywhere = set.intersection(*(set(own) for own in mice.values()))
    numbers = sorted({int(number) for own in mice.values() for number in own[SESSION].values})
    counts = [own[n.TRACKING_ID].size for own in mice.values()]
    there = [np.isin(numbers, own[SESSION].values) for own in mice.values()]
    result: Variables = {
        SESSION: xr.Variable(dim, numbers, first[SESSION].attrs),
        RECORDED: xr.Variable(
            (dim, TRACKED_ROI),
            np.repeat(np.stack(there, axis=1), counts, axis=1),
            {"long_name": "mouse has a session of this number"},
        ),
    }
    for name in first:
        if name not in everywhere or name == SESSION:
            continue
        own = [variables[name] for variables in mice.values()]
        if _is_common(own, dim):
            result[name] = own[0]
            continue
        if own[0].dims == (name,) and name != n.TRACKING_ID:
            raise SchemaError(f"the labels {name!r} differ between mice ({', '.join(mice)})")
        along_sessions = any(dim in variable.dims for variable in own)
        parts = [
            _over_rois(variable, count, has, dim if along_sessions else None)
            for variable, count, has in zip(own, counts, there, strict=True)
        ]
        dims = parts[0].dims
        result[name] = xr.Variable(
            dims,
            np.concatenate(
                [part.transpose(*dims).data for part in parts], axis=dims.index(TRACKED_ROI)
            ),
            same_attrs([variable.attrs for variable in own]),
        )
    return result


def same_attrs(several: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Return the attributes that are the same in all."""
    first, *others = several
    return {
        key: value
        for key, value in first.items()
        if all(key in other and np.array_equal(other[key], value) for other in others)
    }


def _stack(
    name: Hashable, variables: Sequence[xr.Variable], labels: Sequence[str], dim: str
) -> xr.Variable:
    if len({variable.shape for variable in variables}) > 1:
        sizes = "; ".join(
            f"{label}: {dict(variable.sizes)}"
            for label, variable in zip(labels, variables, strict=True)
        )
        raise SchemaError(f"{name!r} differs in size between sessions ({sizes})")
    data = np.stack([variable.data for variable in variables])
    attrs = same_attrs([variable.attrs for variable in variables])
    return xr.Variable((dim, *variables[0].dims), data, attrs)


def _padded(variable: xr.Variable, length: int, *, data: bool) -> xr.Variable:
    """Lengthen a variable along ``sequence`` by missing values."""
    if data and variable.dtype.kind in "iu":
        variable = variable.astype(np.float64)
    missing = length - variable.sizes[n.SEQUENCE]
    if not missing:
        return variable
    variable, fill = _fillable(variable)
    padded: xr.Variable = variable.pad({n.SEQUENCE: (0, missing)}, constant_values=fill)
    return padded.astype(variable.dtype, copy=False)


def _fillable(variable: xr.Variable) -> tuple[xr.Variable, Any]:
    """Return a variable whose dtype has a missing value, and that value."""
    kind = variable.dtype.kind
    if kind in _FILLS:
        return variable, _FILLS[kind]
    if kind in "OT":
        return variable.astype(str), ""
    return variable.astype(np.float64), np.nan


def _rates(contents: Sequence[xr.Dataset], names: Sequence[Hashable], dim: str) -> Variables:
    """Return the frame rates of the sessions, from their attributes."""
    result: Variables = {}
    for rate in _RATES:
        values = []
        for content in contents:
            places = [content.attrs, *(content[name].attrs for name in names)]
            values.append({float(own[rate]) for own in places if rate in own})
        # Variables on different clocks have several rates: none is the session's.
        if all(len(own) == 1 for own in values):
            attrs = {"long_name": "frame rate", "units": "Hz"}
            result[rate] = xr.Variable(dim, [own.pop() for own in values], attrs)
    return result


def _is_common(variables: Sequence[xr.Variable], dim: str) -> bool:
    """Whether something has dims, but not of sessions or ROIs, and is the same for all mice."""
    dims = variables[0].dims
    own = not dims or {dim, n.TRACKING_ID} & set(dims)
    return not own and all(other.equals(variables[0]) for other in variables)


def _over_rois(variable: xr.Variable, count: int, there: Array, dim: str | None) -> xr.Variable:
    """Give a variable the dim ``tracked_roi`` and, if they count, all sessions."""
    dims = [TRACKED_ROI if own == n.TRACKING_ID else own for own in variable.dims]
    variable = xr.Variable(dims, variable.data, variable.attrs)
    sizes: dict[Hashable, int] = {TRACKED_ROI: count}
    if dim is not None:
        # A fact that is the same in all sessions of this mouse may differ in those of another.
        sizes[dim] = variable.sizes.get(dim, int(there.sum()))
    variable = variable.set_dims(sizes | dict(variable.sizes))
    if dim is None or there.all():
        return variable
    variable, fill = _fillable(variable)
    order, dtype = variable.dims, variable.dtype
    # The first session stands in for those that are not there, and is then replaced.
    standing_in = variable.isel({dim: np.where(there, np.cumsum(there) - 1, 0)})
    filled = standing_in.where(xr.Variable(dim, there), fill)
    result: xr.Variable = filled.transpose(*order).astype(dtype, copy=False)
    return result
