"""Reading the chunks of a zarr array without zarr's own machinery, where that is safe.

Zarr reads chunks one task each, and gathers lists of rows slowly. The chunks of an export are
plain: little-endian numbers under at most one compressor. They are read with one call each,
inflated in two threads, each touched chunk once. Any other array is read through zarr.
"""

import os
import struct
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from oscaxr.errors import ExportError
from oscaxr.io import chunks
from oscaxr.model.computed import Once
from oscaxr.model.lazy import Array, AxisIndex, OrthogonalArray

_COMPRESSORS: Final = frozenset({"blosc", "zstd", "gzip"})
# Fixed part of the header that precedes a file within a zip file.
_ZIP_HEADER: Final = struct.Struct("<4s5H3I2H")

# What the index of a shard says of a chunk that is not there.
_ABSENT: Final = 2**64 - 1

Fetch = Callable[[str, int, int], bytes | None]
"""From key, first byte (negative: from the end) and number of bytes (-1: all) to bytes."""


def variable_of(array: Any, dims: Sequence[str], path: Path) -> xr.Variable:
    """Return a zarr array as a lazy variable.

    Parameters
    ----------
    array : zarr.Array
        The array.
    dims : sequence of str
        Its dims.
    path : Path
        The store: a folder or a zip file.

    Returns
    -------
    xarray.Variable
    """
    data: Any
    if array.dtype.kind not in "biufc":
        data = indexing.LazilyIndexedArray(_Whole(array))
    elif not array.ndim:
        data = np.asarray(array[...])
    else:
        data = OrthogonalArray(ZarrReader(array, path))
    variable = xr.Variable(dims, data, dict(array.attrs))
    if array.ndim:
        variable.encoding["preferred_chunks"] = dict(zip(dims, array.chunks, strict=True))
    return variable


class ZarrReader:
    """A numeric array of a zarr store, as the source of a lazy array.

    Parameters
    ----------
    array : zarr.Array
        The array.
    path : Path
        The store: a folder or a zip file.
    """

    def __init__(self, array: Any, path: Path) -> None:
        self.array = array
        self.path = str(path)
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.chunk_shape: tuple[int, ...] = array.chunks
        self._storage = Once(partial(_find_storage, array, path))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ZarrReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.path).name}:{self.array.path}"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.model.lazy.Reader`)."""
        increasing: list[AxisIndex] = []
        inverse: list[Array | None] = []
        for index in indices:
            if isinstance(index, np.ndarray) and np.any(np.diff(index) <= 0):
                unique, back = np.unique(index, return_inverse=True)
                increasing.append(unique)
                inverse.append(back)
            else:
                increasing.append(index)
                inverse.append(None)
        storage = self._storage()
        if storage is None:
            values = np.asarray(self.array.oindex[tuple(increasing)])
        else:
            values = self._read_chunks(storage, tuple(increasing))
        for axis, positions in enumerate(inverse):
            if positions is not None:
                values = values.take(positions, axis=axis)
        return values

    def read_windows(self, starts: Array, length: int, rest: tuple[slice, ...]) -> Array:
        """Read windows of consecutive rows: (window, length, ...)."""
        rows = (starts[:, None] + np.arange(length)).ravel()
        values = self.read((rows, *rest))
        return values.reshape(len(starts), length, *values.shape[1:])

    def _read_chunks(self, storage: "_Storage", indices: tuple[AxisIndex, ...]) -> Array:
        sizes = [
            len(range(*index.indices(size))) if isinstance(index, slice) else len(index)
            for index, size in zip(indices, self.shape, strict=True)
        ]
        out = np.empty(sizes, self.dtype)
        by_axis = [
            chunks.split_by_chunk(index, size, width)
            for index, size, width in zip(indices, self.shape, self.chunk_shape, strict=True)
        ]
        work = list(product(*by_axis))
        fill = self.array.fill_value

        def copy(part: slice) -> None:
            for segments in work[part]:
                target = tuple(destination for _, destination, _ in segments)
                place = tuple(place for place, _, _ in segments)
                raw = storage.read(place)
                if raw is None:
                    # Zarr writes no chunk that has the fill value only.
                    out[target] = fill
                    continue
                try:
                    chunk = np.frombuffer(storage.inflate(raw), self.dtype).reshape(
                        self.chunk_shape
                    )
                except Exception as error:
                    raise ExportError(
                        f"{self.path}: the chunk {place} of {self.array.path} is damaged or cut "
                        f"short ({error}). Export it again."
                    ) from error
                out[target] = chunks.take_outer(chunk, tuple(local for _, _, local in segments))

        n_bytes = int(np.prod(self.chunk_shape)) * self.dtype.itemsize
        threaded = len(work) > 1 and len(work) * n_bytes > chunks.THREADED_BYTES
        chunks.in_threads(copy, chunks.parts_for_threads(len(work)) if threaded else [slice(None)])
        return out


def _find_storage(array: Any, path: Path) -> "_Storage | None":
    """Return how chunks are found and inflated; None to leave it to zarr."""
    codecs = array.metadata.to_dict()["codecs"]
    per_shard = None
    if codecs[0]["name"] == "sharding_indexed":
        sharding = codecs[0]["configuration"]
        index_codecs = [codec["name"] for codec in sharding["index_codecs"]]
        if len(codecs) > 1 or index_codecs != ["bytes", "crc32c"]:
            return None
        if sharding.get("index_location", "end") != "end":
            return None
        codecs = sharding["codecs"]
        per_shard = tuple(
            shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True)
        )
    first, *others = codecs
    little = first.get("configuration", {}).get("endian", "little") == "little"
    plain = not others or (len(others) == 1 and others[0]["name"] in _COMPRESSORS)
    if not (first["name"] == "bytes" and little and plain and sys.byteorder == "little"):
        return None
    inflate: Callable[[bytes], Any] = _same
    if others:
        inflate = import_module("numcodecs").get_codec({"id": others[0]["name"]}).decode
    fetch = _zip_fetch(path) if path.is_file() else _folder_fetch(path)
    prefix = f"{array.path}/"
    encode = array.metadata.encode_chunk_key
    return _Storage(fetch, inflate, lambda place: prefix + encode(place), per_shard)


class _Whole(BackendArray):
    """A small array, e.g. of text, that is read as a whole."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        values: Array = np.asarray(self.array[...])[key]
        return values


class _Storage:
    """Where the chunks of an array are."""

    def __init__(
        self,
        fetch: Fetch,
        inflate: Callable[[bytes], Any],
        key: Callable[[tuple[int, ...]], str],
        per_shard: tuple[int, ...] | None,
    ) -> None:
        self.fetch = fetch
        self.inflate = inflate
        self.key = key
        self.per_shard = per_shard
        self._indexes: dict[tuple[int, ...], Array | None] = {}

    def read(self, place: tuple[int, ...]) -> bytes | None:
        """Read the bytes of a chunk, None where it was not written."""
        if self.per_shard is None:
            return self.fetch(self.key(place), 0, -1)
        shard = tuple(p // n for p, n in zip(place, self.per_shard, strict=True))
        if shard not in self._indexes:
            self._indexes[shard] = self._read_index(shard)
        index = self._indexes[shard]
        if index is None:
            return None
        within = tuple(p % n for p, n in zip(place, self.per_shard, strict=True))
        start, size = (int(value) for value in index[within])
        return None if start == _ABSENT else self.fetch(self.key(shard), start, size)

    def _read_index(self, shard: tuple[int, ...]) -> Array | None:
        assert self.per_shard is not None
        size = 16 * int(np.prod(self.per_shard))
        # At the end of the file, followed by a checksum of 4 bytes.
        raw = self.fetch(self.key(shard), -(size + 4), size)
        return None if raw is None else np.frombuffer(raw, "<u8").reshape(*self.per_shard, 2)


def _same(data: bytes) -> bytes:
    return data


def _folder_fetch(folder: Path) -> Fetch:
    root = f"{folder}{os.sep}"

    def fetch(key: str, start: int, size: int) -> bytes | None:
        try:
            descriptor = os.open(root + key, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            if start < 0 or size < 0:
                length = os.fstat(descriptor).st_size
                start = max(0, start + length) if start < 0 else start
                size = length - start if size < 0 else size
            return os.pread(descriptor, size, start)
        finally:
            os.close(descriptor)

    return fetch


def _zip_fetch(path: Path) -> Fetch:
    with zipfile.ZipFile(path) as packed:
        places = {info.filename: (info.header_offset, info.file_size) for info in packed.infolist()}

    def fetch(key: str, start: int, size: int) -> bytes | None:
        if key not in places:
            return None
        offset, length = places[key]
        start = max(0, start + length) if start < 0 else start
        with path.open("rb") as file:
            file.seek(offset)
            header = _ZIP_HEADER.unpack(file.read(_ZIP_HEADER.size))
            file.seek(header[-2] + header[-1] + start, os.SEEK_CUR)
            return file.read(length - start if size < 0 else size)

    return fetch
