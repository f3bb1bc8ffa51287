"""Writing an export: block by block, into zarr or netCDF, and reading back what was written."""

import json
import shutil
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.xarray_internals import NETCDF_LOCK
from oscaxr.errors import DamagedExportError, ExportContentError, ExportError
from oscaxr.model import names as n
from oscaxr.progress import Report
from oscaxr.store import netcdf_read, zarr_read
from oscaxr.store.encoding import Format, Stored, as_characters, as_stored
from oscaxr.store.layout import (
    DIGESTED_BYTES,
    ExportFile,
    Layout,
    StoredGroup,
    convert,
    digest_document,
    metadata_digest,
    values_digest,
)
from oscaxr.store.parts import Region, blocks

# Blosc's codecs. Bit shuffling before zstd: for dF/F it is both smaller and quicker than bytes.
_BLOSC: Final = {"zstd": 3, "lz4": 5, "lz4hc": 5, "blosclz": 5, "zlib": 3}
# The first is the default.
COMPRESSIONS: Final[Mapping[Format, tuple[str, ...]]] = {
    "zarr": (*_BLOSC, "gzip"),
    "netcdf": ("zlib", "zstd", "bzip2"),
}
_NETCDF_LEVEL: Final = {"zlib": 1, "zstd": 1}
# Small facts that are computed from whole traces: the factors first, they find `valid` on the way.
_FIRST: Final = (n.DFF_MEDIAN, n.DFF_SPREAD)


def compression_of(file_format: Format, compression: bool | str) -> str:
    """Return the name of a compression; empty for none."""
    allowed = COMPRESSIONS[file_format]
    if isinstance(compression, str) and compression not in allowed:
        name = "netCDF" if file_format == "netcdf" else file_format
        raise ExportContentError(
            f"compression={compression!r}: for {name} there are {', '.join(allowed)}, or True for "
            "the default and False for none"
        )
    return allowed[0] if compression is True else compression or ""


@dataclass(frozen=True)
class Part:
    """One group: what is saved of it, how it is stored and what it was."""

    ds: xr.Dataset
    stored: list[Stored]
    layout: Layout


class Writer(Protocol):
    """A store that is being written."""

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its variables, empty."""

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""

    def finish(self, attrs: Mapping[str, dict[str, Any]]) -> ExportFile:
        """Write the attributes of the groups, and open what was written."""

    def read_back(self, group: str, found: StoredGroup) -> None:
        """Refuse a group that is not what was written."""

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all."""

    def close(self) -> None:
        """Release what is open."""


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
                if found is None:
                    raise ExportError(f"what was written reads back otherwise: no group {group!r}")
                writer.read_back(group, found)
                entry["metadata"] = metadata_digest(found.description)
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


# -- zarr -----------------------------------------------------------------------------------------
class ZarrWriter:
    """A zarr store that is being written."""

    def __init__(self, path: Path, *, compression: str, packed: bool = False) -> None:
        import zarr

        self._path = path
        self._compression = compression
        self._packed = packed
        self.folder = path.with_name(path.name + ".d") if packed else path
        self._root = zarr.open_group(self.folder, mode="w", zarr_format=3)
        self._arrays: dict[tuple[str, str], Any] = {}

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

    def finish(self, attrs: Mapping[str, dict[str, Any]]) -> ExportFile:
        """Write the attributes of the groups, and gather all metadata."""
        import zarr

        with _quiet():
            for group, values in attrs.items():
                # In one go: every change of an attribute writes the metadata anew.
                (self._root[group] if group else self._root).update_attributes(values)
            zarr.consolidate_metadata(self._root.store)
        return zarr_read.ZarrFile(self.folder)

    def read_back(self, group: str, found: StoredGroup) -> None:
        """Refuse chunks that have not their checksums."""
        try:
            for variable in found.variables.values():
                variable.reader.check_all(checksums=True)
        except DamagedExportError as error:
            raise ExportError(f"what was written reads back otherwise: {error}") from error

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all; then pack the store if it is to be one file."""
        text = json.dumps(digest, indent=1, ensure_ascii=False)
        (self.folder / zarr_read.DIGEST).write_text(text, encoding="utf-8")
        if self._packed:
            pack(self.folder, self._path)

    def close(self) -> None:
        """Release what is open."""
        self._arrays.clear()
        self._root.store.close()

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
        for file in sorted(folder.rglob("*"), key=lambda one: (one.name == zarr_read.DIGEST, one)):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                info.file_size = file.stat().st_size
                with file.open("rb") as source, packed.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)
    with zipfile.ZipFile(path) as packed:
        if wrong := packed.testzip():
            raise ExportError(f"what was written reads back otherwise: {wrong}")
    shutil.rmtree(folder)


# -- netCDF ---------------------------------------------------------------------------------------
class NetcdfWriter:
    """A netCDF-4 file that is being written, with the netCDF library."""

    def __init__(self, path: Path, *, compression: str) -> None:
        import netCDF4

        self._compression = compression
        # Sources may be read in another thread through the same library, which is not thread-safe.
        with NETCDF_LOCK:
            self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        self._path = path
        self._variables: dict[tuple[str, str], Any] = {}
        self._written: list[tuple[str, Stored, Region, int]] = []

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group, its dims and its variables, empty."""
        with NETCDF_LOCK:
            place = self._file.createGroup(group) if group else self._file
            for one in stored:
                for dim, size in one.variable.sizes.items():
                    if dim not in place.dimensions:
                        place.createDimension(str(dim), size)
                self._variables[group, one.name] = self._create(place, one)

    def _create(self, place: Any, one: Stored) -> Any:
        options: dict[str, Any] = {}
        compression = self._compression if one.compressed else ""
        if one.variable.ndim and one.variable.size:
            if compression:
                options = {"compression": compression, "shuffle": True}
                options["complevel"] = _NETCDF_LEVEL.get(compression, 4)
            if compression or one.chosen:
                options["chunksizes"] = one.chunks
            else:
                options["contiguous"] = True
        variable = place.createVariable(
            one.name, one.dtype, one.variable.dims, fill_value=False, **options
        )
        variable.set_auto_maskandscale(False)
        variable.set_auto_chartostring(False)
        _set_attrs(variable, one.attrs)
        return variable

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""
        with NETCDF_LOCK:
            self._variables[group, one.name][region or ...] = values
        self._written.append((group, one, region, _checksum(values)))

    def finish(self, attrs: Mapping[str, dict[str, Any]]) -> ExportFile:
        """Write the attributes of the groups."""
        with NETCDF_LOCK:
            for group, values in attrs.items():
                _set_attrs(self._file[group] if group else self._file, values)
            self._file.sync()
            self._file.close()
        return netcdf_read.NetcdfFile(self._path)

    def read_back(self, group: str, found: StoredGroup) -> None:
        """Refuse values that are not those that were written."""
        for its_group, one, region, checksum in self._written:
            if its_group != group:
                continue
            reader = found.variables[one.name].reader
            if one.dtype == "S1":
                whole = reader.read((slice(None),) * len(reader.shape))
                values = as_characters(whole, one.variable.shape[-1])[region or ...]
            else:
                values = reader.read(region)
            if _checksum(values) != checksum:
                raise ExportError(f"what was written of {one.name} reads back otherwise")

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all: with the root after all other groups."""
        import netCDF4

        with NETCDF_LOCK, netCDF4.Dataset(self._path, "a") as file:
            for group in sorted(digest["groups"], reverse=True):
                entry = digest["groups"][group]
                entry = entry if group else entry | {"identity": digest["identity"]}
                (file[group] if group else file).setncattr(netcdf_read.DIGEST, json.dumps(entry))

    def close(self) -> None:
        """Release the file, whatever state it is in."""
        self._variables.clear()
        with NETCDF_LOCK:
            if self._file.isopen():
                self._file.close()


def _set_attrs(place: Any, attrs: dict[str, Any]) -> None:
    for key, value in attrs.items():
        if isinstance(value, list) and isinstance(value[0], str):
            place.setncattr_string(key, value)
        else:
            place.setncattr(key, np.int64(value) if isinstance(value, int) else value)


def _checksum(values: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
