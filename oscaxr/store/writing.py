"""Writing an export block by block, into a zarr store or a netCDF file, and reading it back."""

import json
import math
import shutil
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array, OrthogonalArray
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.errors import DamagedExportError, ExportContentError, ExportError
from oscaxr.model import names as n
from oscaxr.progress import Report
from oscaxr.store import zarr_read
from oscaxr.store.encoding import Region, Stored, as_stored
from oscaxr.store.layout import (
    DIGESTED_BYTES,
    Format,
    Layout,
    StoredGroup,
    convert,
    digest_document,
    metadata_digest,
    values_digest,
)
from oscaxr.store.netcdf import NetcdfWriter
from oscaxr.store.zarr_files import DIGEST
from oscaxr.store.zarr_folder import Use, zarr_folder

BLOCK_BYTES: Final = 32 * 2**20

# Files hold these dims outermost, in this order of likelihood.
_OUTER_DIMS: Final = (n.TIME, n.STIM_TIME, n.SEQUENCE, n.SEGMENT, n.FLOW_SEGMENT, n.ROI)

# Blosc's codecs. Bit shuffling before zstd: for dF/F it is both smaller and quicker than bytes.
_BLOSC: Final = {"zstd": 3, "lz4": 5, "lz4hc": 5, "blosclz": 5, "zlib": 3}
# The first is the default.
COMPRESSIONS: Final[Mapping[Format, tuple[str, ...]]] = {
    "zarr": (*_BLOSC, "gzip"),
    "netcdf": ("zlib", "zstd", "bzip2"),
}
# Small facts that are computed from whole traces: the factors first, they find `valid` on the way.
_FIRST: Final = (n.DFF_MEDIAN, n.DFF_SPREAD)


# -- block by block -----------------------------------------------------------------------------
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
    kept: Array | None = None
    for piece in pieces:
        joined = piece if kept is None else np.concatenate([kept, piece], axis)
        whole = joined.shape[axis] // step * step
        head, rest = np.split(joined, [whole], axis)
        kept = rest if rest.shape[axis] else None
        if whole:
            yield head
    if kept is not None:
        yield kept


# -- a zarr store ---------------------------------------------------------------------------------
class ZarrWriter:
    """A zarr store that is being written."""

    def __init__(self, path: Path, *, compression: str, packed: bool = False) -> None:
        import zarr

        self._path = path
        self._compression = compression
        self._packed = packed
        self.folder = path.with_name(path.name + ".d") if packed else path
        self._use = Use()
        self._store = zarr_folder(self.folder, self._use)
        self._arrays: dict[tuple[str, str], Any] = {}
        try:
            self._root = zarr.open_group(self._store, mode="w", zarr_format=3)
        except BaseException:
            self.close()
            raise

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its arrays, empty."""
        place = self._root.require_group(group) if group else self._root
        with _quiet():
            for one in stored:
                self._arrays[group, one.name] = place.create_array(
                    one.name,
                    shape=one.variable.shape,
                    dtype=str if one.dtype is None else one.dtype,
                    chunks=one.chunks,
                    shards=one.shards,
                    compressors=self._compressors(one),
                    fill_value=_fill_value(one.dtype),
                    # Every chunk is written, so that one that is missing is known to be.
                    config={"write_empty_chunks": True},
                    dimension_names=[str(dim) for dim in one.variable.dims],
                    attributes=one.attrs,
                )

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""
        self._arrays[group, one.name][region or ...] = values

    def finish(self, attrs: Mapping[str, dict[str, Any]]) -> zarr_read.ZarrFile:
        """Write the attributes of the groups, and gather all metadata."""
        import zarr

        with _quiet():
            for group, values in attrs.items():
                # In one go: every change of an attribute writes the metadata anew.
                (self._root[group] if group else self._root).update_attributes(values)
            zarr.consolidate_metadata(self._store)
        return zarr_read.ZarrFile(self.folder)

    def read_back(self, group: str, found: StoredGroup) -> dict[str, str]:
        """Refuse chunks that have not their checksums; return these, by variable."""
        readers = {name: one.reader for name, one in found.variables.items()}
        try:
            return {
                name: reader.chunk_sums()
                for name, reader in readers.items()
                if isinstance(reader, zarr_read.ZarrReader)
            }
        except DamagedExportError as error:
            raise ExportError(f"what was written reads back otherwise: {error}") from error

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all; then pack the store if it is to be one file."""
        text = json.dumps(digest, indent=1, ensure_ascii=False)
        (self.folder / DIGEST).write_text(text, encoding="utf-8")
        if self._packed:
            pack(self.folder, self._path)

    def close(self) -> None:
        """Release what is open; where something failed, wait for what zarr still does."""
        self._arrays.clear()
        self._use.end()
        self._store.close()

    def _compressors(self, one: Stored) -> list[Any]:
        from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec

        # Neither blosc nor plain bytes tell that a bit has changed.
        checksum = Crc32cCodec()
        if not self._compression or not one.compressed or one.dtype is None:
            return [checksum]
        if self._compression == "gzip":
            return [GzipCodec(level=4), checksum]
        width = one.dtype.itemsize
        blosc = BloscCodec(
            cname=self._compression,  # type: ignore[arg-type] # one of its names
            clevel=_BLOSC[self._compression],
            typesize=width,
            shuffle="bitshuffle" if width > 1 else "noshuffle",
        )
        return [blosc, checksum]


@contextmanager
def _quiet() -> Iterator[None]:
    """Let zarr not warn of what other readers ignore (gathered metadata) or seldom meet (bytes)."""
    with zarr_read.SETTINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        warnings.filterwarnings("ignore", r"The data type \(NullTerminatedBytes")
        yield


def _fill_value(dtype: np.dtype[Any] | None) -> Any:
    """Return what readers of zarr put in place of a chunk that is missing: no plausible value."""
    if dtype is None:
        return "(missing)"
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(limits.min if dtype.kind == "i" else limits.max)
    return dtype.type(0) if dtype.kind == "b" else b""


def pack(folder: Path, path: Path) -> None:
    """Put a store into one zip file, each of its files as it is, and remove the folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
        # What makes the store complete is the last, and it is always the same date: equal stores
        # make equal files.
        for file in sorted(folder.rglob("*"), key=lambda one: (one.name == DIGEST, one)):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                info.file_size = file.stat().st_size
                with file.open("rb") as source, packed.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)
    with zipfile.ZipFile(path) as packed:
        if wrong := packed.testzip():
            raise ExportError(f"what was written reads back otherwise: {wrong}")
    shutil.rmtree(folder)


# -- all of it ------------------------------------------------------------------------------------
Writer = ZarrWriter | NetcdfWriter


def writer_of(
    path: Path, file_format: Format, packed: bool, compression: bool | str
) -> Callable[[], Writer]:
    """Return what makes a writer."""
    allowed = COMPRESSIONS[file_format]
    if isinstance(compression, str) and compression not in allowed:
        name = "netCDF" if file_format == "netcdf" else file_format
        raise ExportContentError(
            f"compression={compression!r}: for {name} there are {', '.join(allowed)}, or True for "
            "the default and False for none"
        )
    codec = allowed[0] if compression is True else compression or ""
    if file_format == "netcdf":
        return partial(NetcdfWriter, path, compression=codec)
    return partial(ZarrWriter, path, compression=codec, packed=packed)


@dataclass(frozen=True)
class Part:
    """One group: what is saved of it, how it is stored and what it was."""

    ds: xr.Dataset
    stored: list[Stored]
    layout: Layout


def write(
    make: Callable[[], Writer],
    parts: Mapping[str, Part],
    attrs: Callable[[], dict[str, dict[str, Any]]],
    report: Report,
    stop: threading.Event,
) -> None:
    """Write all groups, then what completes them."""
    with closing(make()) as writer:
        every = [(group, one) for group, part in parts.items() for one in part.stored]
        total, done = sum(one.nbytes for _, one in every), 0
        digests: dict[str, dict[str, Any]] = {group: {"values": {}} for group in parts}
        report(done, total)
        for group, part in parts.items():
            writer.create(group, part.stored)
        for group, one in sorted(every, key=lambda pair: pair[1].name not in _FIRST):
            dtype, digest = parts[group].layout.dtypes[one.name], one.digest
            for region, values in blocks(one.variable, one.shards or one.chunks):
                if stop.is_set():
                    return
                writer.write(group, one, region, as_stored(values, one.dtype))
                if one.variable.nbytes <= DIGESTED_BYTES and one.variable.dtype.kind not in "OUTS":
                    digest = values_digest(convert(values, dtype))
                done += one.nbytes * values.size // max(1, one.variable.size)
                report(done, total)
            if digest is not None:
                digests[group]["values"][one.name] = digest
        with closing(writer.finish(attrs())) as file:
            for group, entry in digests.items():
                found = file.group(group)
                sums = writer.read_back(group, found)
                # What has a digest of its values needs none of its chunks.
                chunks = {name: sum_ for name, sum_ in sums.items() if name not in entry["values"]}
                entry |= {"metadata": metadata_digest(found.description), "chunks": chunks}
        writer.seal(digest_document(digests))


def uninterrupted(work: Callable[[threading.Event], None]) -> None:
    """Work in a thread that signals do not reach, and stop it between two blocks if one comes."""
    # Ctrl-C interrupts the main thread wherever it is. Zarr, called by it, would go on writing in
    # threads of its own, into a folder that is being removed; a lock of the netCDF library would
    # stay locked. Here, only the waiting is interrupted, and leaving waits for what was begun.
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(copy_context().run, work, stop).result()
        except BaseException:
            stop.set()
            raise
