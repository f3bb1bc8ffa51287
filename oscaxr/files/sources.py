"""Which files a Dataset is read from: what its lazy variables, and graphs of dask, refer to."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.xarray_internals import data_of, is_in_memory
from oscaxr.files.remote import RemoteSource

# Where xarray's lazy arrays, and ours, keep what they read from.
_INNER: Final = ("array", "reader", "source", "file", "datastore", "_array", "store", "variable")
Source = Path | RemoteSource

_MAX_DEPTH: Final = 16
_MAX_GRAPH_ENTRIES: Final = 1000


def source_paths(ds: xr.Dataset, *, live: bool = False) -> list[Source]:
    """Find the files that a Dataset is read from, as far as it shows; or has still to read from."""
    lazy = [v for v in ds.variables.values() if not is_in_memory(v)]
    found: dict[Source, None] = {}
    held: Iterable[xr.Variable] = lazy if live else ds.variables.values()
    for encoding in (ds.encoding, *(v.encoding for v in held)) if lazy or not live else ():
        # Where a session is a folder, its files say more than the folder does.
        found |= dict.fromkeys(_sources(encoding.get("source_files") or encoding.get("source")))
        found |= dict.fromkeys(_sources(encoding.get("remote_sources")))
    for variable in lazy:
        found |= dict.fromkeys(_sources_behind(variable))
    return [path for path in found if isinstance(path, RemoteSource) or path.exists()]


def _sources(value: Any) -> Iterator[Source]:
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, RemoteSource):
            yield one
        elif isinstance(one, str | os.PathLike) and "://" not in str(one):
            yield Path(os.path.realpath(one))


def _sources_behind(variable: xr.Variable) -> Iterator[Source]:
    """Look for files in what a lazy variable reads from, and in the graph of one of dask."""
    data: Any = data_of(variable)
    graph = getattr(data, "__dask_graph__", None)
    pending: list[tuple[Any, int]] = [(data, 0)]
    if callable(graph):
        layers = getattr(graph(), "layers", None) or {"": graph()}
        for layer in layers.values():
            # What was opened is an entry of its own; layers of many entries only refer to it.
            if isinstance(layer, Mapping) and len(layer) <= _MAX_GRAPH_ENTRIES:
                pending += [(entry, 0) for entry in layer.values()]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, xr.Variable):
            yield from _sources(value.encoding.get("source"))
            value = data_of(value)
        for attribute in ("path", "_filename", "root", "remote"):
            yield from _sources(getattr(value, attribute, None))
        if depth < _MAX_DEPTH:
            inner = [getattr(value, name, None) for name in _INNER]
            if type(value).__name__ == "DataNode":
                inner.append(value.value)
            pending += [
                (one, depth + 1)
                for one in inner
                if one is not None and not isinstance(one, np.ndarray | str | type)
            ]
