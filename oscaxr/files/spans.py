"""Which bytes of a file an index of a dataset needs, and reading a remote one so."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from oscaxr.arrays.lazy import Array, AxisIndex
from oscaxr.files.chunks import Chunked, Contiguous, take_outer

if TYPE_CHECKING:
    from oscaxr.files.ranges import RangeFile

# Rows with less between them are fetched together: it would come with their blocks anyway.
NEAR_BYTES = 2**16
# So much of contiguous data is worth a task of its own.
_TASK_BYTES = 8 * 2**20

Indices = tuple[AxisIndex, ...]


def read_remote(
    ranges: "RangeFile",
    storage: Contiguous | Chunked,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    indices: Indices,
    through_hdf5: Callable[[Indices], Array],
) -> Array:
    """Read from a file on a server, fetching many ranges of bytes at a time."""
    parts = []
    for part in parts_that_fit(storage, indices, shape, dtype, ranges.capacity, ranges.blocksize):
        # Not while the lock of the HDF5 library is held: other threads fetch.
        ranges.prefetch(spans_of(storage, part, shape, dtype))
        if isinstance(storage, Contiguous):
            # HDF5 would ask for each row on its own where not all columns are wanted.
            parts.append(_rows(ranges, storage, part, shape, dtype))
        else:
            parts.append(through_hdf5(part))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fetched_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    """Return the part of contiguous data on a server that is best read at a time."""
    row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    if len(shape) < 2 or not row_bytes or not shape[0]:
        return None
    return (min(shape[0], max(1, _TASK_BYTES // row_bytes)), *shape[1:])


def spans_of(
    storage: Contiguous | Chunked, indices: Indices, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> list[tuple[int, int]]:
    """Return the ranges of bytes that hold the outer product of the indices."""
    places = [_positions(index, size) for index, size in zip(indices, shape, strict=True)]
    if isinstance(storage, Contiguous):
        row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
        return [
            (
                storage.offset + int(run[0]) * row_bytes,
                storage.offset + int(run[-1] + 1) * row_bytes,
            )
            for run in _runs(places[0], row_bytes)
        ]
    touched = [
        np.unique(place // width) for place, width in zip(places, storage.chunk_shape, strict=True)
    ]
    offsets = storage.offsets[np.ix_(*touched)].ravel()
    sizes = storage.sizes[np.ix_(*touched)].ravel()
    return list(zip(offsets.tolist(), (offsets + sizes).tolist(), strict=True))


def parts_that_fit(
    storage: Contiguous | Chunked,
    indices: Indices,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    most: int,
    extra: int,
) -> Iterator[Indices]:
    """Split the index of the first axis so that each part needs no more than so many bytes."""
    spans = spans_of(storage, indices, shape, dtype)
    n_bytes = sum(stop - start + extra for start, stop in spans)
    first = _positions(indices[0], shape[0])
    width = storage.chunk_shape[0] if isinstance(storage, Chunked) else 1
    n_parts = -(-n_bytes // most)
    if n_parts <= 1:
        yield indices
        return
    # Cut between rows of chunks, so that none is fetched and inflated twice.
    rows = first // width
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    bounds = starts[np.unique(np.linspace(0, len(starts), n_parts, endpoint=False).astype(int))]
    for a, b in pairwise([*bounds.tolist(), len(first)]):
        index = indices[0]
        if isinstance(index, slice):
            step = index.step or 1
            yield (slice(int(first[a]), int(first[b - 1]) + 1, step), *indices[1:])
        else:
            yield (index[a:b], *indices[1:])


def _positions(index: AxisIndex, size: int) -> Array:
    return np.arange(*index.indices(size)) if isinstance(index, slice) else index


def _runs(rows: Array, row_bytes: int) -> list[Array]:
    """Split increasing row numbers where so many lie between that they are not worth fetching."""
    near = max(1, NEAR_BYTES // row_bytes)
    return np.split(rows, np.flatnonzero(np.diff(rows) > near) + 1)


def _rows(
    ranges: "RangeFile",
    storage: Contiguous,
    indices: Indices,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Array:
    """Read rows of contiguous data, and pick columns from them."""
    rows = _positions(indices[0], shape[0])
    runs = _runs(rows, int(np.prod(shape[1:])) * dtype.itemsize)
    spans = spans_of(storage, indices, shape, dtype)
    pieces = []
    for run, (start, stop) in zip(runs, spans, strict=True):
        block = np.frombuffer(ranges.cache.read(start, stop), dtype).reshape(-1, *shape[1:])
        whole = len(run) == len(block)
        pieces.append(take_outer(block, (slice(None) if whole else run - run[0], *indices[1:])))
    # A copy, as what was read is not to be written to.
    return np.concatenate(pieces)
