"""A netCDF-4 file: read as HDF5, through h5netcdf and h5py; written with the netCDF library.

HDF5 files can name other files, and filters of other programs: none is followed. What h5py cannot
inflate (zstd, bzip2) is read through the netCDF library.
"""

import json
import math
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from oscaxr.arrays.lazy import (
    Array,
    ArrayReader,
    AxisIndex,
    Once,
    Reader,
    read_increasing,
    read_rows,
    read_whole,
)
from oscaxr.arrays.xarray_internals import NETCDF_LOCK
from oscaxr.errors import DamagedExportError, ExportError, FormatError
from oscaxr.files.hdf5 import Hdf5File, check_unchanged
from oscaxr.files.remote import Place, RemoteSource
from oscaxr.store.checks import MAX_DOCUMENT_BYTES, check_claim, damaged, unfit_hdf5_chunk
from oscaxr.store.encoding import Region, Stored, as_characters
from oscaxr.store.layout import (
    PREFIX,
    StoredGroup,
    StoredVariable,
    check_identity,
)

DIGEST: Final = PREFIX + "digest"
"""Attribute of each group that holds its digest."""

_FILTERS: Final = {1: "zlib", 2: "shuffle", 3: "fletcher32", 32015: "zstd", 307: "bzip2"}
_LEVELS: Final = {"zlib": 1, "zstd": 1}
_MAX_OBJECTS: Final = 100_000
_MAX_DEPTH: Final = 16
# What netCDF itself notes, besides what h5netcdf leaves out.
_INTERNAL: Final = frozenset({"_Encoding", "DIMENSION_LABELS", DIGEST})


# -- what a file says -----------------------------------------------------------------------------
class NetcdfFile:
    """A netCDF file that is read."""

    def __init__(self, path: Place) -> None:
        self._groups: list[str] = []
        try:
            self._file = Hdf5File(path)
        except FormatError as error:
            reason = str(error).replace("as an NWB session", "as an export")
            raise DamagedExportError(f"{reason} Or export it again.") from error

    @property
    def remote(self) -> RemoteSource | None:
        """What identifies it on a server."""
        return self._file.remote

    def groups(self) -> list[str]:
        """Return the paths of all groups, the root (empty) first."""
        if not self._groups:
            with self._file.handle() as handle:
                self._groups = ["", *_group_names(handle["/"].id, self._file.path)]
                _check_identity(handle, self._file.path, self._groups)
        return self._groups

    def group(self, group: str) -> StoredGroup:
        """Return what is said of a group."""
        import h5netcdf

        if group not in self.groups():
            raise damaged(self._file.path, f"it has no group {group}")
        with self._file.handle() as handle:
            root = h5netcdf.File(handle, "r", phony_dims="access")
            found = root[group] if group else root
            attrs = _attrs(found)
            digest = json.loads(attrs.pop(DIGEST, "null"))
            variables: dict[str, StoredVariable] = {}
            described: dict[str, Any] = {"": attrs}
            for name, variable in found.variables.items():
                dataset, its = variable._h5ds, _attrs(variable)
                described[name] = [dataset.shape, dataset.dtype.str, dataset.chunks, its]
                reader = NetcdfReader(self._file, dataset, "_Encoding" in variable.attrs)
                dims = tuple(variable.dimensions[: len(reader.shape)])
                variables[name] = StoredVariable(dims, its, reader)
        return StoredGroup(dict(attrs), variables, described, digest)

    def close(self) -> None:
        """Release the file; reading opens it again."""
        self._file.close()


def _check_identity(handle: h5py.File, path: str, groups: list[str]) -> None:
    """Hold the digests of all groups against the identity, where there is one."""
    noted = {name: handle[f"/{name}"].attrs.get(DIGEST, "{}") for name in groups}
    digests = {name: json.loads(text) for name, text in noted.items()}
    if identity := digests[""].pop("identity", None):
        check_identity(path, identity, {k: one for k, one in digests.items() if one}, groups)


def _attrs(place: Any) -> dict[str, Any]:
    found = {key: _value(value) for key, value in place.attrs.items()}
    return {key: value for key, value in found.items() if key == DIGEST or key not in _INTERNAL}


def _value(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        texts = [one.decode() if isinstance(one, bytes) else one for one in value.tolist()]
        return texts if len(texts) > 1 else texts[0]
    return value


# -- what a variable holds ------------------------------------------------------------------------
class NetcdfReader:
    """A variable of a file, text as fixed-width unicode; checked before it is first read."""

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset, encoded: bool) -> None:
        self.file = file
        self.name = str(dataset.name)
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.chunk_shape: tuple[int, ...] | None = dataset.chunks
        if self.dtype.kind == "S":
            check_claim(file.path, self.name, dataset.nbytes, dataset.id.get_storage_size())
            width = self.shape[-1] * self.dtype.itemsize
            self.shape, self.chunk_shape = self.shape[:-1], None
            self.dtype = np.dtype(f"{'U' if encoded else 'S'}{width}")
        self._reader = Once(partial(_proven, file, self.name, self.dtype))

    def check_all(self, *, checksums: bool = False) -> None:
        """Refuse data that are missing or cut short; netCDF has no checksums."""
        _prove(self.file, self.name, unfold=checksums)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        reader: Reader = self._reader()
        return reader.read(indices)


def _proven(file: Hdf5File, name: str, dtype: np.dtype[Any]) -> Reader:
    """Return what reads a dataset, once it is known to be what it claims."""
    _prove(file, name)
    with file.handle() as handle:
        dataset = handle[name]
        if dtype.kind == "O":
            # Text of any length, as other software writes it.
            check_claim(file.path, name, dataset.nbytes, file.size)
            return ArrayReader(np.asarray(dataset.asstr()[()], object))
        known = all(h5py.h5z.filter_avail(one) for one in _filters(dataset.id))
        through = _ThroughHdf5 if known or file.is_remote else _ThroughNetcdf
        reader = through(file, dataset)
    if dtype.kind not in "SU":
        return reader
    characters = np.ascontiguousarray(read_whole(reader))
    if dtype.kind == "S":
        return ArrayReader(characters.view(dtype)[..., 0])
    text = characters.view(f"S{dtype.itemsize // 4}")[..., 0]
    return ArrayReader(np.strings.decode(text, "utf-8").astype(dtype))


class _ThroughHdf5:
    """A variable of numbers, read when it is indexed."""

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.file = file
        self.name = str(dataset.name)
        self.shape = dataset.shape
        self.dtype = dataset.dtype

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return read_increasing(self._read_increasing, indices)

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        with self.file.handle() as file:
            dataset = file[self.name]
            return read_rows(dataset, indices, dataset.chunks)


class _ThroughNetcdf(_ThroughHdf5):
    """A variable that only the netCDF library can inflate (zstd, bzip2)."""

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        import netCDF4

        path = self.file.path
        check_unchanged(path, self.file.stamp, path)
        try:
            with NETCDF_LOCK, netCDF4.Dataset(path) as file:
                variable = file[self.name]
                variable.set_auto_maskandscale(False)
                variable.set_auto_chartostring(False)
                return np.asarray(variable[indices or ...])
        except (OSError, RuntimeError, LookupError) as error:
            raise damaged(path, f"{self.name} cannot be read ({error}): damaged") from error


# -- what is refused ------------------------------------------------------------------------------
def _group_names(group: Any, path: str, above: str = "") -> list[str]:
    """Return the paths of the groups below a group."""
    _check_group(group, path)
    found: list[str] = []
    for name in group:
        item = h5py.h5o.open(group, name)
        if isinstance(item, h5py.h5g.GroupID):
            if above.count("/") > _MAX_DEPTH or len(found) > _MAX_OBJECTS:
                raise damaged(path, "its groups have no end")
            place = above + name.decode()
            found += [place, *_group_names(item, path, f"{place}/")]
    return found


def _check_group(group: Any, path: str) -> None:
    """Refuse what leads out of a file or is of none of its types; reads no values."""
    if len(group) > _MAX_OBJECTS:
        raise damaged(path, f"it has more than {_MAX_OBJECTS} groups and variables")
    items = {"the file": group}
    for name in group:
        shown = name.decode(errors="replace")
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise damaged(path, f"{shown} is a link, which is not followed")
        items[shown] = h5py.h5o.open(group, name)
    for shown, item in items.items():
        # In one go: asked for one by one, HDF5 reads the values of all for each of them.
        if size := h5py.h5a.iterate(item, _too_long, info=True):
            raise damaged(path, f"an attribute of {shown} has {size} bytes")
        if isinstance(item, h5py.h5d.DatasetID):
            _check_dataset(item, path, shown)


def _too_long(name: bytes, info: Any) -> int | None:
    return int(info.data_size) if info.data_size > MAX_DOCUMENT_BYTES else None


def _filters(dataset: Any) -> list[int]:
    creation = dataset.get_create_plist()
    return [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]


def _check_dataset(dataset: Any, path: str, shown: str) -> None:
    creation, kind = dataset.get_create_plist(), dataset.get_type().get_class()
    if kind not in (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM):
        raise damaged(path, f"the type of {shown} is none of numbers, booleans and text")
    if creation.get_external_count() or creation.get_layout() == h5py.h5d.VIRTUAL:
        raise damaged(path, f"the values of {shown} are in another file, which is not followed")
    filters = _filters(dataset)
    # What is deflated twice unfolds to a million times its size.
    if not _FILTERS.keys() >= set(filters) or len(set(filters)) < len(filters):
        raise damaged(path, f"{shown} has the filters {filters}, which exports have not")


def _prove(file: Hdf5File, name: str, *, unfold: bool = True) -> None:
    """Refuse a dataset that is not what it claims; small chunks are unfolded for it."""
    with file.handle() as handle:
        dataset = handle[name]
        layout = dataset.id.get_create_plist().get_layout()
        if dataset.size and layout != h5py.h5d.COMPACT:
            _check_values(dataset, layout, file, unfold)


def _check_values(dataset: h5py.Dataset, layout: int, file: Hdf5File, unfold: bool) -> None:
    """Refuse values that were never written, or that cannot be what the dataset claims."""
    name, path, file_size = dataset.name, file.path, file.size
    stored: list[Any] = []
    if layout == h5py.h5d.CONTIGUOUS:
        chunk_bytes, start = dataset.nbytes, dataset.id.get_offset()
        if start is None:
            raise damaged(path, f"the values of {name} were never written")
        end = start + dataset.nbytes
    else:
        wanted = math.prod(-(-n // w) for n, w in zip(dataset.shape, dataset.chunks, strict=True))
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if wanted > file_size:
            raise damaged(path, f"{wanted} chunks of {name} are more than the file has bytes")
        dataset.id.chunk_iter(stored.append)
        if missing := wanted - len(stored):
            raise damaged(path, f"{missing} of {wanted} chunks of {name} were never written")
        end = max(one.byte_offset + one.size for one in stored)
    if end > file_size:
        raise damaged(
            path, f"it is truncated: it has {file_size} bytes, but {name} runs to byte {end}"
        )
    names = [_FILTERS[number] for number in _filters(dataset.id)]
    for one in stored:
        if problem := unfit_hdf5_chunk(dataset, names, one, chunk_bytes, unfold=unfold):
            raise damaged(path, f"a chunk of {name} {problem}")


# -- writing ---------------------------------------------------------------------------------------
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
                options["complevel"] = _LEVELS.get(compression, 4)
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

    def finish(self, attrs: Mapping[str, dict[str, Any]]) -> NetcdfFile:
        """Write the attributes of the groups."""
        with NETCDF_LOCK:
            for group, values in attrs.items():
                _set_attrs(self._file[group] if group else self._file, values)
            self._file.sync()
            self._file.close()
        return NetcdfFile(self._path)

    def read_back(self, group: str, found: StoredGroup) -> dict[str, str]:
        """Refuse values that are not those that were written; chunks have no checksums."""
        for _, one, region, checksum in (own for own in self._written if own[0] == group):
            reader = found.variables[one.name].reader
            if one.dtype == "S1":
                whole = as_characters(read_whole(reader), one.variable.shape[-1])
            values = whole[region or ...] if one.dtype == "S1" else reader.read(region)
            if _checksum(values) != checksum:
                raise ExportError(f"what was written of {one.name} reads back otherwise")
        return {}

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all: with the root after all other groups."""
        import netCDF4

        with NETCDF_LOCK, netCDF4.Dataset(self._path, "a") as file:
            for group in sorted(digest["groups"], reverse=True):
                entry = digest["groups"][group]
                entry = entry if group else entry | {"identity": digest["identity"]}
                (file[group] if group else file).setncattr(DIGEST, json.dumps(entry))

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
