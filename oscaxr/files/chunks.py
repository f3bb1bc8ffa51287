"""Reading the bytes of one HDF5 dataset without HDF5's global lock, where that is safe.

Contiguous data are sliced from a read-only memory map; chunks whose only filter is gzip are read
with ``pread`` and inflated in two threads, each touched chunk once. Where neither applies the
caller reads through h5py.
"""

import mmap
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.lazy import Array, AxisIndex
from oscaxr.errors import FormatError

# Below this many bytes a second thread costs more than it saves.
THREADED_BYTES = 4_000_000

Segment = tuple[int, slice, slice | Array]


@dataclass(frozen=True)
class Contiguous:
    """Data in one piece at a known place of a file known by its inode and size."""

    offset: int
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Chunked:
    """Chunks that are each plain or deflated; their places in the file by position in the grid."""

    chunk_shape: tuple[int, ...]
    deflated: bool
    offsets: Array
    sizes: Array
    stamp: tuple[int, int]


def find_storage(
    dataset: h5py.Dataset, stamp: tuple[int, int] | None = None
) -> Contiguous | Chunked | None:
    """Say how a dataset can be read without HDF5."""
    if dataset.dtype.kind not in "fiub" or not dataset.ndim or not dataset.size:
        return None
    if dataset.external:
        return None
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)):
        # HDF5 has types that numpy has not: h5py reads those into the nearest one.
        return None
    if dataset.file.userblock_size:
        return None
    if stamp is None:
        stamp = _stamp(Path(dataset.file.filename).stat())
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None or dataset.is_virtual:
            return None
        return Contiguous(int(offset), stamp)
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]):
        return None
    return _chunk_table(dataset, bool(filters), stamp)


def _chunk_table(dataset: h5py.Dataset, deflated: bool, stamp: tuple[int, int]) -> Chunked | None:
    chunk = dataset.chunks
    grid = tuple(-(-size // width) for size, width in zip(dataset.shape, chunk, strict=True))
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    if len(stored) != int(np.prod(grid)) or any(info.filter_mask for info in stored):
        return None
    place = np.array([info.chunk_offset for info in stored]) // np.array(chunk)
    offsets, sizes = np.empty(grid, np.int64), np.empty(grid, np.int64)
    offsets[tuple(place.T)] = [info.byte_offset for info in stored]
    sizes[tuple(place.T)] = [info.size for info in stored]
    return Chunked(chunk, deflated, offsets, sizes, stamp)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_size


def _check_unchanged(path: str, descriptor: int, storage: Contiguous | Chunked) -> None:
    """Refuse to read at places found in another file that had the same name."""
    if _stamp(os.fstat(descriptor)) != storage.stamp:
        raise FormatError(
            f"{path} was replaced or cut since it was opened, so where its data lie is no longer "
            "known. Open the session again; fetch the file again if it was cut short."
        )


@cache
def inflate() -> Callable[[bytes, int], bytes | bytearray]:
    """Return the fastest inflater that is installed."""
    try:
        from deflate import zlib_decompress
    except ImportError:
        return lambda data, size: zlib.decompress(data, bufsize=size)
    return lambda data, size: zlib_decompress(data, size)


def map_contiguous(
    path: str, storage: Contiguous, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Map a contiguous dataset, read-only."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    # An ndarray over a plain map, not numpy.memmap: the subclass slows every view made of it.
    with open(path, "rb") as file:  # noqa: PTH123 (a file descriptor is what is wanted)
        _check_unchanged(path, file.fileno(), storage)
        size = os.fstat(file.fileno()).st_size
        if size < storage.offset + n_bytes:
            raise FormatError(
                f"{path} is truncated: it has {size} bytes, but its data run to byte "
                f"{storage.offset + n_bytes}. Fetch the file again."
            )
        start = storage.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(
            file.fileno(),
            storage.offset - start + n_bytes,
            access=mmap.ACCESS_READ,
            offset=start,
        )
    return np.ndarray(shape, dtype, buffer=mapped, offset=storage.offset - start)


def read_mapped(data: Array, indices: tuple[AxisIndex, ...]) -> Array:
    """Copy the outer product of the indices out of a mapped array."""
    first, *rest = indices
    if not any(isinstance(index, np.ndarray) for index in indices):
        view = data[indices]
        return _filled(view.shape, data.dtype, lambda out, part: np.copyto(out[part], view[part]))
    whole = all(_is_whole(index, size) for index, size in zip(rest, data.shape[1:], strict=True))
    if not whole or not isinstance(first, np.ndarray):
        return np.ascontiguousarray(take_outer(data, indices))

    def take(out: Array, part: slice) -> None:
        # mode="clip" lets numpy write straight into `out`; the caller gives existing rows.
        np.take(data, first[part], axis=0, out=out[part], mode="clip")

    return _filled((len(first), *data.shape[1:]), data.dtype, take)


def read_mapped_windows(data: Array, starts: Array, length: int, rest: tuple[slice, ...]) -> Array:
    """Copy windows of consecutive rows out of a mapped array, each in one piece."""
    if starts.size and (starts.min() < 0 or starts.max() + length > len(data)):
        raise IndexError("window out of range")
    view = data[(slice(None), *rest)]
    windows = np.lib.stride_tricks.as_strided(
        view,
        (len(data) - length + 1, length, *view.shape[1:]),
        (view.strides[0], *view.strides),
        writeable=False,
    )
    shape = (len(starts), *windows.shape[1:])
    return _filled(shape, data.dtype, lambda out, part: np.copyto(out[part], windows[starts[part]]))


def _filled(
    shape: tuple[int, ...], dtype: np.dtype[Any], copy: Callable[[Array, slice], None]
) -> Array:
    """Return a new array filled range by range, in threads where that is quicker."""
    out = np.empty(shape, dtype)
    threaded = out.nbytes > THREADED_BYTES
    in_threads(partial(copy, out), parts_for_threads(len(out)) if threaded else [slice(None)])
    return out


def read_chunks(
    path: str,
    storage: Chunked,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    indices: tuple[AxisIndex, ...],
) -> Array:
    """Read the outer product of the indices, inflating each touched chunk once."""
    sizes = [
        len(range(*index.indices(size))) if isinstance(index, slice) else len(index)
        for index, size in zip(indices, shape, strict=True)
    ]
    out = np.empty(sizes, dtype)
    by_axis = [
        split_by_chunk(index, size, width)
        for index, size, width in zip(indices, shape, storage.chunk_shape, strict=True)
    ]
    work = list(product(*by_axis))
    n_bytes = int(np.prod(storage.chunk_shape)) * dtype.itemsize
    decompress = inflate()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _check_unchanged(path, descriptor, storage)
    except FormatError:
        os.close(descriptor)
        raise

    def copy(part: slice) -> None:
        for segments in work[part]:
            place = tuple(chunk for chunk, _, _ in segments)
            size = int(storage.sizes[place])
            raw = os.pread(descriptor, size, int(storage.offsets[place]))
            try:
                data = decompress(raw, n_bytes) if storage.deflated else raw
                chunk = np.frombuffer(data, dtype).reshape(storage.chunk_shape)
            except Exception as error:
                raise FormatError(
                    f"{path}: the chunk at {place} of a dataset of shape {shape} is damaged or "
                    f"cut short ({error}). Fetch the file again."
                ) from error
            target = tuple(destination for _, destination, _ in segments)
            out[target] = take_outer(chunk, tuple(local for _, _, local in segments))

    try:
        threaded = len(work) > 1 and len(work) * n_bytes > THREADED_BYTES
        in_threads(copy, parts_for_threads(len(work)) if threaded else [slice(None)])
    finally:
        os.close(descriptor)
    return out


def split_by_chunk(index: AxisIndex, size: int, width: int) -> list[Segment]:
    """Split the index of an axis by chunk: (chunk, where it goes, where it is in the chunk)."""
    if isinstance(index, slice) and index.step in (None, 1):
        start, stop, _ = index.indices(size)
        first, last = start // width, (stop - 1) // width
        return [
            (
                chunk,
                slice(max(chunk * width, start) - start, min((chunk + 1) * width, stop) - start),
                slice(max(start - chunk * width, 0), min(stop - chunk * width, width)),
            )
            for chunk in range(first, last + 1)
        ]
    positions = np.arange(*index.indices(size)) if isinstance(index, slice) else index
    chunks = positions // width
    bounds = np.append(np.flatnonzero(np.diff(chunks, prepend=-1)), len(positions)).tolist()
    return [
        (int(chunks[a]), slice(a, b), positions[a:b] - chunks[a] * width)
        for a, b in pairwise(bounds)
    ]


def take_outer(values: Array, indices: tuple[slice | Array, ...]) -> Array:
    """Return the outer product of indices of an array in memory."""
    values = values[tuple(i if isinstance(i, slice) else slice(None) for i in indices)]
    for axis, index in enumerate(indices):
        if isinstance(index, np.ndarray):
            values = values[(slice(None),) * axis + (index,)]
    return values


def _is_whole(index: AxisIndex, size: int) -> bool:
    return isinstance(index, slice) and index.indices(size) == (0, size, 1)


def parts_for_threads(length: int) -> list[slice]:
    """Return ranges to share out between the threads."""
    # A few parts a thread, so that an uneven one does not leave the other idle.
    bounds = np.linspace(0, length, 4 * thread_count() + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]


def in_threads(function: Callable[[slice], None], parts: list[slice]) -> None:
    """Call a function for each range, in threads; the first error is raised."""
    if len(parts) == 1:
        function(parts[0])
        return
    with ThreadPoolExecutor(thread_count()) as pool:
        for _ in pool.map(function, parts):
            pass
