"""What a function returned for each of many sessions, as one object keyed by session."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.sessions import tree_of

Array = np.ndarray[Any, Any]

RESULT: Final = "result"
"""Name of an array that has none of its own in a tree of results."""

_SESSION_ID: Final = "session_id"
# Values of one kind make an array; numpy would turn others into text, or flags into numbers.
_KINDS: Final = ({"b"}, set("iufc"), {"U"}, {"M"}, {"m"})
_XARRAY: Final = xr.Dataset | xr.DataArray | xr.DataTree | xr.Variable | xr.Coordinates


@dataclass(frozen=True)
class Outcome:
    """What came of one session."""

    node: str
    value: Any
    reason: str
    facts: Mapping[str, Any]


def load(value: Any) -> None:
    """Read what is lazy in a result, in place, while its files are open."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            load(part)
    elif isinstance(value, xr.DataTree):
        for node in value.subtree:
            load(node.variables)
    elif isinstance(value, xr.Coordinates):
        load(value.variables)
    elif isinstance(value, xr.Dataset | xr.DataArray | xr.Variable):
        value.load()


def combined(outcomes: Sequence[Outcome]) -> Any:
    """Combine the results of many sessions."""
    values = {outcome.node: outcome.value for outcome in outcomes}
    if not values:
        return values
    if all(isinstance(value, _XARRAY) for value in values.values()):
        return tree_of(dict(part for item in values.items() for part in _nodes(*item)))
    for kind in (pd.DataFrame, pd.Series):
        if all(isinstance(value, kind) for value in values.values()):
            return pd.concat(values, names=["session"])
    array = _array_of(outcomes)
    return values if array is None else array


def _nodes(place: str, value: Any) -> Iterator[tuple[str, xr.Dataset]]:
    """Give the Datasets that an xarray object makes in a tree."""
    if isinstance(value, xr.DataTree):
        for node in value.subtree:
            yield (
                place + ("" if node is value else f"/{node.relative_to(value)}"),
                node.to_dataset(),
            )
    elif isinstance(value, xr.Coordinates):
        yield place, value.to_dataset()
    elif isinstance(value, xr.Variable):
        yield place, xr.Dataset({RESULT: value})
    elif isinstance(value, xr.DataArray):
        # A coordinate has its own name as a coordinate: the values stand beside it.
        name = RESULT if value.name is None or value.name in value.coords else value.name
        yield place, value.rename(None).to_dataset(name=name)
    else:
        yield place, value


def _array_of(outcomes: Sequence[Outcome]) -> xr.DataArray | None:
    """Return single values as an array over the sessions, None where they are not of one kind."""
    if not all(np.isscalar(one.value) or _is_single(one.value) for one in outcomes):
        return None
    values = [np.asarray(outcome.value) for outcome in outcomes]
    kinds = {value.dtype.kind for value in values}
    known = all(_SESSION_ID in outcome.facts for outcome in outcomes)
    if not known or not any(kinds <= k for k in _KINDS):
        return None
    names = [name for name in outcomes[0].facts if all(name in one.facts for one in outcomes)]
    coords = {
        name: (_SESSION_ID, np.array([outcome.facts[name] for outcome in outcomes]))
        for name in names
    }
    return xr.DataArray(np.array(values), dims=(_SESSION_ID,), coords=coords)


def _is_single(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not value.ndim
