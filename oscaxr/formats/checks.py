"""What every layout checks: the parts that are asked for, the ids, the sizes of the arrays."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.arrays.xarray_internals import data_of
from oscaxr.errors import FormatError, SessionMismatchError


def check_ids(path: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a session whose ids are not those expected."""
    differ = [
        f"{name} is {found[name]} in the file, but {expected[name]} was expected"
        for name in ("session_id", "mouse_id", "date")
        if name in found and name in expected and found[name] != expected[name]
    ]
    if differ:
        raise SessionMismatchError(
            f"{path}: {'; '.join(differ)} (by its name, the session table, or the session's "
            "other files). It is another session: correct the table, or the file's name and place."
        )


def check_sizes(
    path: str, parts: Mapping[str, tuple[tuple[str, ...], Any]], dropped: Collection[str]
) -> None:
    """Refuse arrays that share a dim but differ in its size."""
    sizes: dict[str, dict[int, list[str]]] = {}
    for name, (dims, data) in parts.items():
        if name in dropped:
            continue
        for dim, size in zip(dims, np.shape(data), strict=True):
            sizes.setdefault(dim, {}).setdefault(size, []).append(name)
    problems = [
        f"{dim} is " + ", but ".join(f"{size} in {' and '.join(k)}" for size, k in found.items())
        for dim, found in sizes.items()
        if len(found) > 1
    ]
    if problems:
        raise FormatError(
            f"{path} has arrays that do not fit each other: {'; '.join(problems)}. Leave out those "
            "that are wrong with drop_variables, or fetch the file again."
        )


def set_preferred_chunks(ds: xr.Dataset) -> None:
    """Tell dask the file's own chunks, so that `chunks={}` inflates none of them twice."""
    for variable in ds.variables.values():
        chunk_shape = getattr(data_of(variable), "chunk_shape", None)
        if chunk_shape:
            variable.encoding["preferred_chunks"] = dict(
                zip(variable.dims, chunk_shape, strict=True)
            )
