"""Writing a netCDF-4 file, with the netCDF library."""

import json
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.xarray_internals import NETCDF_LOCK
from oscaxr.errors import ExportContentError, ExportError
from oscaxr.store.encoding import Stored, as_characters, as_stored
from oscaxr.store.layout import metadata_digest
from oscaxr.store.netcdf_read import DIGEST, NetcdfFile
from oscaxr.store.parts import Region

COMPRESSIONS: Final = ("zlib", "zstd", "bzip2")
LEVEL: Final = 1


class NetcdfWriter:
    """A netCDF-4 file that is being written."""

    def __init__(self, path: Path, *, compression: bool | str = True) -> None:
        import netCDF4

        if isinstance(compression, str) and compression not in COMPRESSIONS:
            raise ExportContentError(
                f"compression={compression!r}: for netCDF there are {', '.join(COMPRESSIONS)}, or "
                "True for the default and False for none"
            )
        self._compression = "zlib" if compression is True else compression or ""
        # Sources may be read in another thread through the same library, which is not thread-safe.
        self._lock = NETCDF_LOCK
        with self._lock:
            self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        self._path = path
        self._variables: dict[tuple[str, str], Any] = {}
        self._written: list[tuple[str, Stored, Region, int]] = []

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group, its dims and its variables, empty."""
        with self._lock:
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
                if compression in ("zlib", "zstd"):
                    options["complevel"] = LEVEL
            if compression or one.chosen:
                options["chunksizes"] = one.chunks
            else:
                options["contiguous"] = True
        variable = place.createVariable(
            one.name,
            one.dtype,
            one.variable.dims,
            fill_value=False,
            **options,
        )
        variable.set_auto_maskandscale(False)
        variable.set_auto_chartostring(False)
        _set_attrs(variable, one.attrs)
        return variable

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""
        if one.dtype is not None:
            values = as_stored(values, one.dtype)
        with self._lock:
            self._variables[group, one.name][region or ...] = values
        self._written.append((group, one, region, _checksum(values)))

    def finish(self, attrs: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Write the attributes of the groups, and read back what was written."""
        with self._lock:
            for group, values in attrs.items():
                _set_attrs(self._file[group] if group else self._file, values)
            self._file.sync()
            self._file.close()
        with closing(NetcdfFile(self._path)) as file:
            for group, one, region, checksum in self._written:
                dims = [str(dim) for dim in one.variable.dims]
                dims = dims[:-1] if one.dtype == "S1" else dims
                found = file.variable(group, one.name, dims, complete=True)
                if found is None or _read_back(found, one, region) != checksum:
                    raise ExportError(f"what was written of {one.name} reads back otherwise")
            return {group: metadata_digest(file.description(group)) for group in attrs}

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all: with the root after all other groups."""
        import netCDF4

        groups = sorted(digest["groups"], reverse=True)
        with self._lock, netCDF4.Dataset(self._path, "a") as file:
            for group in groups:
                entry = digest["groups"][group]
                entry = entry if group else entry | {"identity": digest["identity"]}
                (file[group] if group else file).setncattr(DIGEST, json.dumps(entry))

    def close(self) -> None:
        """Release the file, whatever state it is in."""
        self._variables.clear()
        with self._lock:
            if self._file.isopen():
                self._file.close()


def _set_attrs(place: Any, attrs: dict[str, Any]) -> None:
    for key, value in attrs.items():
        if isinstance(value, list) and isinstance(value[0], str):
            place.setncattr_string(key, value)
        else:
            place.setncattr(key, np.int64(value) if isinstance(value, int) else value)


def _read_back(found: xr.Variable, one: Stored, region: Region) -> int:
    if one.dtype == "S1":
        return _checksum(as_characters(found.values, one.variable.shape[-1])[region or ...])
    return _checksum(found[region].values)


def _checksum(values: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
