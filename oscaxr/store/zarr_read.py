"""Reading the chunks of a zarr array without zarr's own machinery, where that is safe.

Zarr reads chunks one task each, gathers lists of rows slowly, and takes a chunk that is missing
for one that holds the fill value only. The chunks of an export are plain: numbers or text under at
most one compressor and a checksum, every one written. They are read with one call each, checked,
inflated in two threads, each touched chunk once. Any other array is read through zarr.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array, AxisIndex, Once, OrthogonalArray, read_increasing
from oscaxr.errors import DamagedExportError
from oscaxr.files import chunks
from oscaxr.store.store_files import OpenStore, StoreFiles
from oscaxr.store.zarr_metadata import ArrayMetadata

_CHECKSUM_BYTES: Final = 4
# What the index of a shard says of a chunk that is not there.
_ABSENT: Final = 2**64 - 1

Place = tuple[int, ...]
Inflate = Callable[[memoryview, Array], Array]
"""From the stored bytes, and memory that may be used, to the values of a chunk."""


def variable_of(metadata: ArrayMetadata, dims: Sequence[str], files: StoreFiles) -> xr.Variable:
    """Return a zarr array as a lazy variable."""
    if len(dims) != len(metadata.shape):
        raise DamagedExportError(
            f"{files.path} is damaged: {metadata.path} has shape {metadata.shape}, but the dims "
            f"{', '.join(dims) or 'of a scalar'}. Export it again."
        )
    reader = ZarrReader(metadata, files)
    data: Any = OrthogonalArray(reader) if metadata.shape else reader.read(())
    variable = xr.Variable(dims, data, dict(metadata.attrs))
    if metadata.shape:
        variable.encoding["preferred_chunks"] = dict(zip(dims, metadata.chunk_shape, strict=True))
    return variable


class ZarrReader:
    """An array of a zarr store, as the source of a lazy array."""

    def __init__(self, metadata: ArrayMetadata, files: StoreFiles) -> None:
        self.metadata = metadata
        self.files = files
        self.path = files.path
        self.shape = metadata.shape
        self.dtype = metadata.dtype
        self.chunk_shape = metadata.chunk_shape
        # Not a method: the reader would be part of a reference cycle, and outlive its session.
        self._storage = Once(partial(_find_storage, metadata, files))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ZarrReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.path).name}:{self.metadata.path}"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return read_increasing(self._read_increasing, indices)

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        storage = self._storage()
        if storage is None:
            return self._read_through_zarr(indices)
        return self._read_chunks(storage, indices)

    def _read_chunks(self, storage: "Storage", indices: tuple[AxisIndex, ...]) -> Array:
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

        def copy(part: slice) -> None:
            places = [tuple(place for place, _, _ in segments) for segments in work[part]]
            for segments, chunk in zip(work[part], storage.chunks(places), strict=True):
                target = tuple(destination for _, destination, _ in segments)
                out[target] = chunks.take_outer(chunk, tuple(local for _, _, local in segments))

        threaded = len(work) > 1 and len(work) * self.metadata.nbytes > chunks.THREADED_BYTES
        chunks.in_threads(copy, chunks.parts_for_threads(len(work)) if threaded else [slice(None)])
        return out

    def _read_through_zarr(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read an array that is laid out otherwise: by other software, or an earlier version."""
        import zarr
        from zarr.storage import LocalStore, ZipStore

        self.files.check_unchanged()
        store = (ZipStore if self.files.packed else LocalStore)(self.path, read_only=True)
        try:
            array: Any = zarr.open_array(store, path=self.metadata.path, mode="r")
            values = array.oindex[indices] if indices else array[...]
            return np.asarray(values).astype(self.dtype, copy=False)
        except Exception as error:
            raise DamagedExportError(
                f"{self.path}: {self.metadata.path} cannot be read through zarr "
                f"({type(error).__name__}: {error}). Export it again."
            ) from error
        finally:
            store.close()


def _find_storage(metadata: ArrayMetadata, files: StoreFiles) -> "Storage | None":
    plain = metadata.checked and sys.byteorder == "little"
    return Storage(metadata, files) if plain else None


class Storage:
    """The chunks of an array that is laid out as exports lay them out."""

    def __init__(self, metadata: ArrayMetadata, files: StoreFiles) -> None:
        self.metadata = metadata
        self.files = files
        self._indexes: dict[str, Array] = {}
        self._inflate = _inflater(metadata)
        self._checksum = import_module("google_crc32c").value

    def chunks(self, places: Sequence[Place]) -> Iterator[Array]:
        """Read chunks one after another."""
        with OpenStore(self.files) as opened:
            memory = np.empty(self.metadata.chunk_shape, self.metadata.dtype)
            for place in places:
                raw = self._checked(self._stored(opened, place), f"chunk {_shown(place)}")
                try:
                    values = self._inflate(raw, memory)
                except Exception as error:
                    raise self._damaged(f"chunk {_shown(place)}", str(error)) from error
                yield values

    def check(self) -> None:
        """Check that every chunk is there, by names, sizes and indexes; reads no values."""
        with OpenStore(self.files) as opened:
            for place in product(*map(range, self.metadata.grid)):
                key, where = self.metadata.file_of(place), f"chunk {_shown(place)}"
                size = opened.size(key)
                start, length = (
                    (0, size) if self.metadata.per_shard is None else self._entry(opened, place)
                )
                if size is None or length is None:
                    raise self._missing(where, key)
                if start + length > size or length <= _CHECKSUM_BYTES:
                    raise self._damaged(where, f"it is cut short, to {size} bytes in {key}")

    def _stored(self, opened: OpenStore, place: Place) -> memoryview:
        key = self.metadata.file_of(place)
        raw = None
        if self.metadata.per_shard is None:
            raw = opened.read(key)
        else:
            start, length = self._entry(opened, place)
            if length is not None:
                raw = opened.read(key, start, length)
        if raw is None:
            raise self._missing(f"chunk {_shown(place)}", key)
        return raw

    def _entry(self, opened: OpenStore, place: Place) -> tuple[int, int | None]:
        """Return where in its shard a chunk begins, and its size; None where it is not there."""
        assert self.metadata.per_shard is not None
        key, counts = self.metadata.file_of(place), self.metadata.per_shard
        if key not in self._indexes:
            # At the end of the file.
            size = 16 * math.prod(counts) + _CHECKSUM_BYTES
            raw = opened.read(key, -size)
            if raw is None:
                return 0, None
            index = self._checked(raw, f"index of {key}")
            if len(index) != size - _CHECKSUM_BYTES:
                raise self._damaged(f"index of {key}", "it is cut short")
            self._indexes[key] = np.frombuffer(bytes(index), "<u8").reshape(*counts, 2)
        within = tuple(p % count for p, count in zip(place, counts, strict=True))
        start, length = (int(value) for value in self._indexes[key][within])
        return (0, None) if start == _ABSENT else (start, length)

    def _checked(self, raw: memoryview, what: str) -> memoryview:
        """Return what precedes the checksum, if it is what was written."""
        content = raw[:-_CHECKSUM_BYTES]
        stored = int.from_bytes(raw[-_CHECKSUM_BYTES:], "little")
        # It takes arrays, not memoryviews.
        if len(raw) <= _CHECKSUM_BYTES or self._checksum(np.frombuffer(content, "u1")) != stored:
            raise self._damaged(what, f"{len(raw)} bytes do not have the checksum they had")
        return content

    def _damaged(self, what: str, reason: str) -> DamagedExportError:
        return DamagedExportError(
            f"{self.files.path}: the {what} of {self.metadata.path} is damaged or cut short "
            f"({reason}). Export it again, or copy it again if it was copied."
        )

    def _missing(self, what: str, key: str) -> DamagedExportError:
        return DamagedExportError(
            f"{self.files.path}: the {what} of {self.metadata.path} is missing (it should be in "
            f"{key}; exports have every chunk). Export it again, or copy it again if it was copied."
        )


def _shown(place: Place) -> str:
    return f"({', '.join(map(str, place))})"


def _inflater(metadata: ArrayMetadata) -> Inflate:
    """Return what makes values of the stored bytes of a chunk."""
    shape, dtype = metadata.chunk_shape, metadata.dtype
    get_codec = import_module("numcodecs").get_codec
    decode = (
        None
        if metadata.compressor is None
        else get_codec({"id": metadata.compressor["name"]}).decode
    )
    if dtype.kind == "O":
        text = import_module("numcodecs.vlen").VLenUTF8().decode

        def words(raw: memoryview, memory: Array) -> Array:
            data = bytes(raw) if decode is None else bytes(decode(bytes(raw)))
            return np.asarray(text(data), object).reshape(shape)

        return words
    if decode is None:
        return lambda raw, memory: np.frombuffer(raw, dtype).reshape(shape)

    def numbers(raw: memoryview, memory: Array) -> Array:
        # Into memory that is there: new memory for each chunk costs as much as inflating it.
        decode(raw, memory)
        return memory

    return numbers
