"""Datasets of an HDF5 file as the sources of lazy arrays: as they are stored, and ROI masks."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.lazy import (
    Array,
    AxisIndex,
    Once,
    Reader,
    read_increasing,
    view_of,
)
from oscaxr.files import chunks, spans
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.model.derived import to_boolean

# Masks are decoded this many bytes at a time: they are gone over twice while in the cache.
BLOCK_BYTES = 1_000_000

Storage = chunks.Contiguous | chunks.Chunked | None


class DatasetReader:
    """A numeric dataset of a file, as the source of a lazy array."""

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.file = file.holder(dataset)
        self.name = str(dataset.name)
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.chunk_shape: tuple[int, ...] | None = dataset.chunks
        if self.file.is_remote and dataset.chunks is None:
            self.chunk_shape = spans.fetched_shape(self.shape, self.dtype)
        # Not a bound method: a reader that refers to itself lives until garbage is collected.
        self._storage = Once(partial(_find_storage, self.file, self.name))

    def __deepcopy__(self, memo: dict[int, Any]) -> "DatasetReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.file.path).name}:{self.name}"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        mapped = self.view()
        if mapped is not None:
            return chunks.read_mapped(mapped, indices)
        return read_increasing(self._read_increasing, indices)

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        storage = self._storage()
        if self.file.is_remote:
            return self._read_remote(storage, indices)
        if isinstance(storage, chunks.Chunked):
            return chunks.read_chunks(self.file.path, storage, self.shape, self.dtype, indices)
        return self.read_through_hdf5(indices)

    def _read_remote(self, storage: Storage, indices: tuple[AxisIndex, ...]) -> Array:
        if storage is None or not indices:
            return self.read_through_hdf5(indices)
        with self.file.handle() as file:
            ranges = file.ranges
        return spans.read_remote(
            ranges, storage, self.shape, self.dtype, indices, self.read_through_hdf5
        )

    def view(self) -> Array | None:
        """Return the whole dataset as a read-only view of the file, where it lies in one piece."""
        if self.file.is_remote:
            return None
        storage = self._storage()
        if isinstance(storage, chunks.Contiguous):
            return chunks.map_contiguous(self.file.path, storage, self.shape, self.dtype)
        return None

    def read_windows(self, starts: Array, length: int, rest: tuple[slice, ...]) -> Array | None:
        """Read windows of consecutive rows: (window, length, ...); None where there is no view."""
        mapped = self.view()
        return None if mapped is None else chunks.read_mapped_windows(mapped, starts, length, rest)

    def read_through_hdf5(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read slices that cover the indices with h5py, in runs, and pick from them."""
        if not indices:
            with self.file.handle() as file:
                return np.asarray(file[self.name][()])
        first, *rest = indices
        covering = tuple(
            slice(int(i[0]), int(i[-1]) + 1) if isinstance(i, np.ndarray) else i for i in rest
        )
        inner = tuple(i - i[0] if isinstance(i, np.ndarray) else slice(None) for i in rest)
        with self.file.handle() as file:
            dataset = file[self.name]
            if isinstance(first, slice):
                return chunks.take_outer(dataset[(first, *covering)], (slice(None), *inner))
            # Rows nearer than a chunk are read together: their chunk is inflated anyway.
            gap = self.chunk_shape[0] if self.chunk_shape else 64
            bounds = [0, *(np.flatnonzero(np.diff(first) > gap) + 1).tolist(), len(first)]
            pieces = [
                chunks.take_outer(
                    dataset[(slice(int(first[a]), int(first[b - 1]) + 1), *covering)],
                    (first[a:b] - first[a], *inner),
                )
                for a, b in pairwise(bounds)
            ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _find_storage(file: Hdf5File, name: str) -> Storage:
    with file.handle() as handle:
        # A file on a server has no inode: it is checked by its size and ETag.
        return chunks.find_storage(handle[name], (0, 0) if file.is_remote else None)


class MaskReader:
    """Boolean ROI masks from whatever weights a file stores."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.dtype = np.dtype(bool)

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        # Whole masks are decoded, whatever part of the field is asked for: whether a mask counts as
        # empty depends on all of its weights.
        rois, height, width = indices
        whole = tuple(slice(0, size, 1) for size in self.shape[1:])
        is_whole = isinstance(height, slice) and isinstance(width, slice)
        is_whole = is_whole and (height, width) == whole
        view = view_of(self.reader)
        rows = np.arange(self.shape[0])[rois]
        field = np.broadcast_to(np.False_, self.shape[1:])[height][:, width].shape
        masks = np.empty((len(rows), *field), bool)
        mask_bytes = int(np.prod(self.shape[1:])) * self.reader.dtype.itemsize
        step = max(1, BLOCK_BYTES // mask_bytes)

        def decode(start: int) -> None:
            some = rows[start : start + step]
            adjacent = np.array_equal(some, np.arange(some[0], some[0] + len(some)))
            if view is not None and adjacent:
                block = to_boolean(view[some[0] : some[-1] + 1])
            else:
                block = to_boolean(self.reader.read((some, *whole)))
            masks[start : start + step] = block if is_whole else block[:, height][:, :, width]

        with ThreadPoolExecutor(thread_count()) as pool:
            for _ in pool.map(decode, range(0, len(rows), step)):
                pass
        return masks
