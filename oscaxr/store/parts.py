"""Which part of an object is exported, and going through it block by block."""

import math
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.arrays.lazy import Array, OrthogonalArray
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.model import names as n
from oscaxr.store.layout import DIGESTED_BYTES

Region = tuple[slice, ...]

BLOCK_BYTES: Final = 32 * 2**20

# Files hold these dims outermost, in this order of likelihood.
_OUTER_DIMS: Final = (n.TIME, n.STIM_TIME, n.SEQUENCE, n.SEGMENT, n.FLOW_SEGMENT, n.ROI)


def blocks(variable: xr.Variable, chunks: tuple[int, ...]) -> Iterator[tuple[Region, Array]]:
    """Read a variable in blocks, the next one while the last one is being used."""
    if not variable.size:
        return
    if variable.nbytes <= DIGESTED_BYTES or not variable.ndim:
        yield tuple(map(slice, variable.shape)), np.asarray(variable.values)
        return
    axis = outer_axis(variable)
    row_bytes = max(1, math.prod(variable.shape) // variable.shape[axis] * variable.dtype.itemsize)
    wanted = max(1, BLOCK_BYTES // row_bytes)
    step = max(1, wanted // chunks[axis]) * chunks[axis]
    lengths = _lengths(variable, axis, wanted, step)
    start = 0
    for values in _aligned(_pieces(variable, axis, lengths), axis, step):
        stop = start + values.shape[axis]
        yield _region(variable.shape, axis, start, stop), values
        start = stop


def outer_axis(variable: xr.Variable) -> int:
    """Return the axis along which a variable is best read piece by piece."""
    if variable.chunks is not None:
        return int(np.argmax([len(lengths) for lengths in variable.chunks]))
    array = innermost(variable)
    if isinstance(array, OrthogonalArray):
        return array.order.index(0)
    return next((variable.dims.index(dim) for dim in _OUTER_DIMS if dim in variable.dims), 0)


def _lengths(variable: xr.Variable, axis: int, wanted: int, step: int) -> list[int]:
    """Return the lengths of the pieces to read."""
    size = variable.shape[axis]
    if variable.chunks is None:
        return [min(step, size - start) for start in range(0, size, step)]
    # Whole pieces of the graph, so that each is computed once.
    merged = [0]
    for length in variable.chunks[axis]:
        if merged[-1] and merged[-1] + length > wanted:
            merged.append(0)
        merged[-1] += length
    return merged


def _region(shape: tuple[int, ...], axis: int, start: int, stop: int) -> Region:
    return tuple(
        slice(start, stop) if a == axis else slice(0, size) for a, size in enumerate(shape)
    )


def _pieces(variable: xr.Variable, axis: int, lengths: list[int]) -> Iterator[Array]:
    """Read pieces along an axis; lazy ones ahead, in a thread."""
    bounds = list(accumulate(lengths, initial=0))
    regions = [_region(variable.shape, axis, *pair) for pair in pairwise(bounds)]

    def read(region: Region) -> Array:
        return np.asarray(variable[region].values)

    if len(regions) == 1 or isinstance(innermost(variable), np.ndarray):
        yield from map(read, regions)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, regions[0])
        for following in [*regions[1:], None]:
            values = coming.result()
            if following is not None:
                coming = pool.submit(read, following)
            yield values


def _aligned(pieces: Iterable[Array], axis: int, step: int) -> Iterator[Array]:
    """Cut and join pieces so that all but the last are multiples of the step."""
    kept: list[Array] = []
    for piece in pieces:
        kept.append(piece)
        length = sum(one.shape[axis] for one in kept)
        whole = length // step * step
        if not whole:
            continue
        joined = kept[0] if len(kept) == 1 else np.concatenate(kept, axis)
        head, rest = np.split(joined, [whole], axis)
        kept = [rest] if rest.shape[axis] else []
        yield head
    if kept:
        yield kept[0] if len(kept) == 1 else np.concatenate(kept, axis)


# -- the part that is asked for -------------------------------------------------------------------
def choose(
    ds: xr.Dataset,
    *,
    variables: str | Iterable[str] | None = None,
    roi: Any = None,
    segments: Any = None,
) -> xr.Dataset:
    """Return the part of a Dataset that is asked for; still lazy."""
    if variables is not None:
        wanted = [variables] if isinstance(variables, str) else list(variables)
        missing = [name for name in wanted if name not in ds.variables]
        if missing:
            raise MissingVariableError(
                f"variables={variables!r}: there is no {', '.join(map(repr, missing))}; there are "
                f"{', '.join(map(str, ds.data_vars))}"
            )
        ds = ds.drop_vars([name for name in ds.data_vars if name not in wanted])
    if roi is not None:
        ds = _take(ds, n.ROI, roi, "roi")
    if segments is not None:
        dim = n.SEQUENCE if n.SEQUENCE in ds.dims else n.SEGMENT
        if isinstance(segments, xr.Dataset | xr.DataArray) and n.SEGMENT in segments.coords:
            segments = segments[n.SEGMENT].values
        ds = _take(ds, dim, segments, "segments")
        if n.FLOW_SEGMENT in ds.dims and dim == n.SEGMENT:
            kept = np.isin(ds[n.FLOW_SEGMENT].values, ds[n.SEGMENT].values)
            ds = ds.isel({n.FLOW_SEGMENT: np.flatnonzero(kept)})
    return ds


def _take(ds: xr.Dataset, dim: str, wanted: Any, option: str) -> xr.Dataset:
    if dim not in ds.dims or dim not in ds.xindexes:
        raise CriterionError(
            f"{option}= chooses along {dim!r}, but this has the dims {', '.join(map(str, ds.dims))}"
        )
    asked = np.atleast_1d(np.asarray(wanted))
    if asked.ndim > 1:
        raise CriterionError(f"{option}= has shape {asked.shape}: give labels in one row")
    if asked.dtype.kind == "b":
        if asked.shape != (ds.sizes[dim],):
            raise CriterionError(
                f"{option}= has {asked.size} booleans, but there are {ds.sizes[dim]} along {dim!r}"
            )
        return ds.isel({dim: np.flatnonzero(asked)})
    if not asked.size:
        return ds.isel({dim: slice(0, 0)})
    index = ds.get_index(dim)
    if not index.is_unique:
        raise CriterionError(
            f"{option}= chooses by the labels of {dim!r}, but some of them are there more than "
            f"once: {_listed(index[index.duplicated()].unique())}. Choose with isel first."
        )
    if isinstance(wanted, slice):
        return ds.sel({dim: wanted})
    labels = pd.Index(asked)
    if not labels.is_unique:
        raise CriterionError(
            f"{option}= names the same {dim} more than once: "
            f"{_listed(labels[labels.duplicated()].unique())}. It would be counted twice: give "
            "each once."
        )
    position = index.get_indexer(labels)
    if (position < 0).any():
        raise CriterionError(
            f"{option}=: there is no {dim} {_listed(asked[position < 0])}; there are "
            f"{ds.sizes[dim]}, from {index.min()} to {index.max()}"
            if len(index)
            else f"{option}=: there is no {dim} {_listed(asked[position < 0])}; there is none"
        )
    return ds.isel({dim: position})


def _listed(labels: Iterable[Any]) -> str:
    found = list(labels)
    return ", ".join(map(str, found[:10])) + ", ..." * (len(found) > 10)


def describe_subset(ds: xr.Dataset, dim: Hashable, asked: Any) -> Any:
    """Return the labels that a subset has along a dim, for the parameters of an export."""
    if asked is None:
        return None
    return ds[dim].values.tolist() if dim in ds.coords else int(ds.sizes.get(dim, 0))
