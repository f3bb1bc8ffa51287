"""Reading the bytes of one HDF5 dataset without HDF5's global lock, where that is safe.

Chunks whose only filter is gzip are read and inflated in two threads, each touched chunk once (for
data in one piece, see :mod:`oscaxr.files.contiguous`). Of a file on a server, the ranges of bytes
that are needed are fetched together. Where neither applies the caller reads through h5py.
"""

import os
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.lazy import Array, AxisIndex, Run, positions, read_runs, runs_of, take_outer
from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import Stamp, check_unchanged

if TYPE_CHECKING:
    from oscaxr.files.range_cache import RangeCache

_SEEKING = threading.Lock()
# macOS refuses to read 2 GB at once, where Linux gives less than was asked.
_AT_ONCE = 2**30
# Where what is read is a copy.
_COPIED_AT_ONCE = 2**24
# Below this many bytes a second thread costs more than it saves.
THREADED_BYTES = 4_000_000
# So many more rows than columns are taken for traces, not for windows.
TALL = 100
# Rows with less between them are fetched together: it would come with their blocks anyway.
NEAR_BYTES = 2**16
# So much of contiguous data on a server is worth a task of its own.
_TASK_BYTES = 8 * 2**20

Segment = tuple[int, slice, slice | Array]
Indices = tuple[AxisIndex, ...]


@dataclass(frozen=True)
class Contiguous:
    """Data in one piece at a known place of a file known by its stamp."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: Stamp | None
    offset: int

    @property
    def row_bytes(self) -> int:
        """How many bytes a row has."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize


@dataclass(frozen=True)
class Chunked:
    """Chunks that are each plain or deflated; their places in the file by position in the grid."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: Stamp | None
    chunk_shape: tuple[int, ...]
    deflated: bool
    offsets: Array
    sizes: Array


Storage = Contiguous | Chunked


def find_storage(dataset: h5py.Dataset, stamp: Stamp | None) -> Storage | None:
    """Say how a dataset can be read without HDF5."""
    if dataset.dtype.kind not in "fiub" or not dataset.ndim or not dataset.size:
        return None
    if dataset.external or dataset.is_virtual or dataset.file.userblock_size:
        return None
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)):
        # HDF5 has types that numpy has not: h5py reads those into the nearest one.
        return None
    if dataset.chunks is not None:
        return _chunk_table(dataset, stamp)
    offset = dataset.id.get_offset()
    return None if offset is None else Contiguous(dataset.shape, dataset.dtype, stamp, int(offset))


def _chunk_table(dataset: h5py.Dataset, stamp: Stamp | None) -> Chunked | None:
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]):
        return None
    chunk = dataset.chunks
    grid = tuple(-(-size // width) for size, width in zip(dataset.shape, chunk, strict=True))
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    if len(stored) != int(np.prod(grid)) or any(info.filter_mask for info in stored):
        return None
    place = np.array([info.chunk_offset for info in stored]) // np.array(chunk)
    # HDF5 itself reads zeros where an index of chunks that is damaged has none.
    if np.any(place >= grid) or len(np.unique(place, axis=0)) < len(place):
        raise FormatError(
            f"{dataset.file.filename}: the index of the chunks of {dataset.name} is damaged: fetch "
            "the file again"
        )
    offsets, sizes = np.empty(grid, np.int64), np.empty(grid, np.int64)
    offsets[tuple(place.T)] = [info.byte_offset for info in stored]
    sizes[tuple(place.T)] = [info.size for info in stored]
    return Chunked(dataset.shape, dataset.dtype, stamp, chunk, bool(filters), offsets, sizes)


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, open to be read without HDF5."""

    path: str
    descriptor: int

    def read_into(self, out: Array, offset: int) -> None:
        """Fill a contiguous array from a place of the file."""
        left = memoryview(out.reshape(-1).view(np.uint8).data)
        while len(left):
            if hasattr(os, "preadv"):
                n_bytes = os.preadv(self.descriptor, [left[:_AT_ONCE]], offset)
            else:
                # On Windows a place is sought and then read: one thread at a time.
                with _SEEKING:
                    os.lseek(self.descriptor, offset, os.SEEK_SET)
                    piece = os.read(self.descriptor, min(len(left), _COPIED_AT_ONCE))
                n_bytes = len(piece)
                left[:n_bytes] = piece
            if not n_bytes:
                raise FormatError(
                    f"{self.path} is truncated: it ends at byte {offset}, but its data run to byte "
                    f"{offset + len(left)}. Fetch the file again."
                )
            left, offset = left[n_bytes:], offset + n_bytes


@contextmanager
def opened_unchanged(path: str, stamp: Stamp | None) -> Iterator[LocalFile]:
    """Open a file; refuse to read at places found in another file that had the same name."""
    check_unchanged(path, stamp, path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        check_unchanged(path, stamp, descriptor)
        yield LocalFile(path, descriptor)
    finally:
        os.close(descriptor)


@cache
def inflate() -> Callable[[Any, int], bytes | bytearray]:
    """Return the fastest inflater that is installed."""
    try:
        from deflate import zlib_decompress
    except ImportError:
        return _inflate
    return lambda data, size: zlib_decompress(data, size)


def _inflate(data: Any, size: int) -> bytes:
    """Inflate to no more than a size, whatever the data would unfold to."""
    engine = zlib.decompressobj()
    found = engine.decompress(data, size + 1)
    if not engine.eof:
        raise zlib.error(f"it does not unfold to {size} bytes")
    return found


def read_chunks(file: "LocalFile | CachedFile", storage: Chunked, indices: Indices) -> Array:
    """Read the outer product of the indices, inflating each touched chunk once."""
    by_axis = [
        split_by_chunk(index, size, width)
        for index, size, width in zip(indices, storage.shape, storage.chunk_shape, strict=True)
    ]
    shape = [axis[-1][1].stop if axis else 0 for axis in by_axis]
    # Each of a few long traces is laid out in one piece, as it will be worked on.
    is_tall = len(shape) == 2 and shape[0] > TALL * shape[1]
    out = np.empty(shape, storage.dtype, "F" if is_tall else "C")
    work = list(product(*by_axis))
    n_bytes = int(np.prod(storage.chunk_shape)) * storage.dtype.itemsize
    decompress = inflate()

    def copy(part: slice) -> None:
        for segments in work[part]:
            place = tuple(chunk for chunk, _, _ in segments)
            raw = np.empty(int(storage.sizes[place]), np.uint8)
            file.read_into(raw, int(storage.offsets[place]))
            try:
                data = decompress(raw, n_bytes) if storage.deflated else raw
                chunk = np.frombuffer(data, storage.dtype).reshape(storage.chunk_shape)
            except Exception as error:
                raise FormatError(
                    f"{file.path}: the chunk at {place} of a dataset of shape {storage.shape} is "
                    f"damaged or cut short ({error}). Fetch the file again."
                ) from error
            target = tuple(destination for _, destination, _ in segments)
            out[target] = take_outer(chunk, tuple(local for _, _, local in segments))

    threaded = len(work) > 1 and len(work) * n_bytes > THREADED_BYTES
    parts = parts_for_threads(len(work)) if threaded else [slice(None)]
    in_threads(copy, parts)
    return out


def split_by_chunk(index: AxisIndex, size: int, width: int) -> list[Segment]:
    """Split the index of an axis by chunk: (chunk, where it goes, where it is in the chunk)."""
    places = positions(index, size)
    chunks = places // width
    bounds = np.append(np.flatnonzero(np.diff(chunks, prepend=-1)), len(places)).tolist()
    # A run is taken as a slice, which copies nothing.
    is_run = isinstance(index, slice) and index.step in (None, 1)
    segments: list[Segment] = []
    for a, b in pairwise(bounds):
        chunk = int(chunks[a])
        local = places[a:b] - chunk * width
        inside = slice(int(local[0]), int(local[-1]) + 1) if is_run else local
        segments.append((chunk, slice(a, b), inside))
    return segments


def parts_for_threads(length: int) -> list[slice]:
    """Return ranges to share out between the threads."""
    # A few parts a thread, so that an uneven one does not leave the other idle.
    bounds = np.linspace(0, length, 4 * thread_count() + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]


def in_threads(function: Callable[[slice], None], parts: list[slice]) -> None:
    """Call a function for each range, in threads; the first error is raised."""
    if len(parts) == 1 or thread_count() == 1:
        for part in parts:
            function(part)
        return
    with ThreadPoolExecutor(thread_count()) as pool:
        for _ in pool.map(function, parts):
            pass


# -- files on a server ---------------------------------------------------------------------------
@dataclass(frozen=True)
class CachedFile:
    """A file on a server, open to be read without HDF5; what was fetched of it is kept."""

    path: str
    cache: "RangeCache"

    def read_into(self, out: Array, offset: int) -> None:
        """Fill a contiguous array from a place of the file."""
        data = self.cache.read(offset, offset + out.nbytes)
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)


def read_remote(
    cache: "RangeCache",
    storage: Storage,
    indices: Indices,
    through_hdf5: Callable[[Indices], Array],
) -> Array:
    """Read from a file on a server, fetching many ranges of bytes at a time."""
    pieces = []
    for part in parts_that_fit(storage, indices, cache.capacity, cache.blocksize):
        # Not while the lock of the HDF5 library is held: other threads fetch.
        cache.prefetch(spans_of(storage, part))
        if isinstance(storage, Contiguous):
            # HDF5 would ask for each row on its own where not all columns are wanted.
            rows = _RemoteRows(cache, storage)
            pieces.append(read_runs(rows, _near_rows(storage, part), storage.dtype))
        else:
            pieces.append(through_hdf5(part))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def fetched_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    """Return the part of contiguous data on a server that is best read at a time."""
    row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    if len(shape) < 2 or not row_bytes or not shape[0]:
        return None
    return (min(shape[0], max(1, _TASK_BYTES // row_bytes)), *shape[1:])


def spans_of(storage: Storage, indices: Indices) -> list[tuple[int, int]]:
    """Return the ranges of bytes that hold the outer product of the indices."""
    places = [positions(index, size) for index, size in zip(indices, storage.shape, strict=True)]
    if isinstance(storage, Contiguous):
        (rows,) = _near_rows(storage, indices[:1])
        return [_span(storage, covering) for covering, _, _ in rows]
    touched = [
        np.unique(place // width) for place, width in zip(places, storage.chunk_shape, strict=True)
    ]
    offsets = storage.offsets[np.ix_(*touched)].ravel()
    sizes = storage.sizes[np.ix_(*touched)].ravel()
    return list(zip(offsets.tolist(), (offsets + sizes).tolist(), strict=True))


def parts_that_fit(storage: Storage, indices: Indices, most: int, extra: int) -> Iterator[Indices]:
    """Split the index of the first axis so that each part needs no more than so many bytes."""
    n_bytes = sum(stop - start + extra for start, stop in spans_of(storage, indices))
    n_parts = -(-n_bytes // most)
    if n_parts <= 1:
        yield indices
        return
    index, *rest = indices
    first = positions(index, storage.shape[0])
    # Cut between rows of chunks, so that none is fetched and inflated twice.
    rows = first // (storage.chunk_shape[0] if isinstance(storage, Chunked) else 1)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    bounds = starts[np.unique(np.linspace(0, len(starts), n_parts, endpoint=False).astype(int))]
    for a, b in pairwise([*bounds.tolist(), len(first)]):
        if isinstance(index, slice):
            yield (slice(int(first[a]), int(first[b - 1]) + 1, index.step or 1), *rest)
        else:
            yield (index[a:b], *rest)


def _near_rows(storage: Contiguous, indices: Indices) -> list[list[Run]]:
    """Merge indices into runs: not where so much lies between that it is not worth fetching."""
    widths = (max(1, NEAR_BYTES // storage.row_bytes), *storage.shape[1:])
    return runs_of(indices, storage.shape[: len(indices)], widths[: len(indices)])


def _span(storage: Contiguous, rows: slice) -> tuple[int, int]:
    """Return the range of bytes that rows lie in."""
    start, width = storage.offset, storage.row_bytes
    return start + rows.start * width, start + rows.stop * width


@dataclass(frozen=True)
class _RemoteRows:
    """Contiguous data on a server, as an array that takes slices."""

    cache: "RangeCache"
    storage: Contiguous

    def __getitem__(self, covering: tuple[slice, ...]) -> Array:
        rows, *rest = covering
        data = np.frombuffer(self.cache.read(*_span(self.storage, rows)), self.storage.dtype)
        # A copy, as what was read is not to be written to.
        return data.reshape(-1, *self.storage.shape[1:])[(slice(None), *rest)].copy()
