"""Variables of several sessions as one: sessions along a dim, ROIs of mice one after the other."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model import names as n

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
    contents: Sequence[xr.Dataset], labels: Sequence[str], names: Sequence[Hashable]
) -> xr.Dataset:
    """Lay the sessions of one mouse beside each other."""
    shared = set.intersection(*(set(content.coords) for content in contents))
    parts = [content.drop_vars(set(content.coords) - shared) for content in contents]
    counts = [part.sizes.get(n.SEQUENCE, 0) for part in parts]
    if n.SEQUENCE in parts[0].dims:
        parts = [_numbered(part, max(counts)) for part in parts]
    own = [name for name in parts[0].coords if {n.TRACKING_ID, n.SEQUENCE} & {*parts[0][name].dims}]
    together = _joined(parts, SESSION, [SESSION, SESSION_ID, *own], labels)
    if n.SEQUENCE in together.dims:
        number = xr.Variable(SESSION, counts, {"long_name": "number of sequences"})
        together = together.assign_coords(n_sequences=number)
    return together.assign_coords(_rates(contents, names))


def stacked(mice: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Put the ROIs of mice one after the other, sessions with the same number beside each other."""
    first = next(iter(mice.values()))
    if any(n.SEQUENCE in own.dims for own in mice.values()):
        raise SchemaError(
            "sequences of several mice cannot be stacked, since they have nothing to do with each "
            "other: average over 'sequence' first, or align each mouse by itself"
        )
    pooled = [str(name) for name, own in first.data_vars.items() if n.TRACKING_ID not in own.dims]
    if pooled:
        raise SchemaError(
            f"{', '.join(pooled)} do not run over ROIs, so they cannot be stacked over those of "
            "several mice: leave them out, or align each mouse by itself"
        )
    everywhere = set.intersection(*(set(own.variables) for own in mice.values()))
    numbers = sorted({int(number) for own in mice.values() for number in own[SESSION].values})
    # A fact that is the same in all sessions of one mouse may differ in those of another.
    varying = [
        name
        for name in everywhere
        if any(SESSION in own[name].dims and name != SESSION for own in mice.values())
    ]
    recorded = {"long_name": "mouse has a session of this number"}
    parts = []
    for own in mice.values():
        own = own.drop_vars(set(own.variables) - everywhere)
        flags = xr.Variable(SESSION, np.ones(own.sizes[SESSION], bool), recorded)
        facts = {
            name: own[name].variable.set_dims({SESSION: own.sizes[SESSION], **own[name].sizes})
            for name in varying
            if SESSION not in own[name].dims
        }
        own = own.assign_coords({**facts, RECORDED: flags}).drop_indexes(n.TRACKING_ID)
        parts.append(_extended(own.rename_dims({n.TRACKING_ID: TRACKED_ROI}), SESSION, numbers))
    coords = parts[0].coords.items()
    along = [name for name, c in coords if not c.dims or {SESSION, TRACKED_ROI} & {*c.dims}]
    return _joined(parts, TRACKED_ROI, along, list(mice))


def same_attrs(several: Iterable[Mapping[Any, Any]], context: object = None) -> dict[Any, Any]:
    """Return the attributes that are the same in all."""
    first, *others = several
    return {
        key: value
        for key, value in first.items()
        if all(key in other and np.array_equal(other[key], value) for other in others)
    }


def _joined(
    parts: Sequence[xr.Dataset], dim: str, own: Collection[Hashable], labels: Sequence[str]
) -> xr.Dataset:
    """Lay Datasets along a dim, and along it coordinates that are their own, or differ."""
    first, *others = parts
    along = [
        name
        for name, coord in first.coords.items()
        if name not in first.indexes
        and (name in own or not all(coord.variable.equals(one[name].variable) for one in others))
    ]
    try:
        return xr.concat(
            parts,
            dim,
            data_vars="all",
            coords=along,
            compat="override",
            join="exact",
            combine_attrs=same_attrs,
        )
    except ValueError as error:
        raise SchemaError(f"labels or sizes differ between {', '.join(labels)}: {error}") from error


def _numbered(content: xr.Dataset, length: int) -> xr.Dataset:
    """Give the sequences of a session numbers from 0, as many as the longest session has."""
    whole = {k: v.astype(np.float64) for k, v in content.data_vars.items() if v.dtype.kind in "iu"}
    content = content.assign(whole)
    if n.SEQUENCE in content.coords:
        content = content.reset_index(n.SEQUENCE).rename_vars({n.SEQUENCE: _LABEL})
    numbered = content.assign_coords({n.SEQUENCE: np.arange(content.sizes[n.SEQUENCE])})
    return _extended(numbered, n.SEQUENCE, range(length))


def _extended(ds: xr.Dataset, dim: str, labels: Sequence[int]) -> xr.Dataset:
    """Give a Dataset all of these labels along a dim, with missing values where it lacks one."""
    if ds.sizes[dim] == len(labels):
        return ds
    filled = {
        name: _fillable(array)
        for name, array in ds.variables.items()
        if dim in array.dims and name != dim
    }
    fills = {name: _FILLS[array.dtype.kind] for name, array in filled.items()}
    return ds.assign(filled).reindex({dim: list(labels)}, fill_value=fills)


def _fillable(array: xr.Variable) -> xr.Variable:
    """Return a variable whose dtype has a missing value."""
    if array.dtype.kind in _FILLS:
        return array
    return array.astype(str if array.dtype.kind in "OT" else np.float64)


def _rates(contents: Sequence[xr.Dataset], names: Sequence[Hashable]) -> dict[str, xr.Variable]:
    """Return the frame rates of the sessions, from their attributes."""
    result = {}
    for rate in _RATES:
        values = []
        for content in contents:
            places = [content.attrs, *(content[name].attrs for name in names)]
            values.append({float(own[rate]) for own in places if rate in own})
        # Variables on different clocks have several rates: none is the session's.
        if all(len(own) == 1 for own in values):
            attrs = {"long_name": "frame rate", "units": "Hz"}
            result[rate] = xr.Variable(SESSION, [own.pop() for own in values], attrs)
    return result
