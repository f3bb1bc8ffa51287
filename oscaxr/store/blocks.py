"""Going through a variable block by block, so that no more than two blocks are held at once."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import OrthogonalArray
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.model import names as n

Array = np.ndarray[Any, Any]
Region = tuple[slice, ...]

BLOCK_BYTES: Final = 32 * 2**20

# Files hold these dims outermost, in this order of likelihood.
_OUTER_DIMS: Final = (n.TIME, n.STIM_TIME, n.SEQUENCE, n.SEGMENT, n.FLOW_SEGMENT, n.ROI)


def blocks(variable: xr.Variable, chunks: tuple[int, ...]) -> Iterator[tuple[Region, Array]]:
    """Read a variable in blocks, the next one while the last one is being used."""
    if not variable.size:
        return
    if not variable.ndim:
        yield (), np.asarray(variable.values)
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
