"""The groups of a netCDF-4 file, read as HDF5: variables lazy, nothing decoded.

Through h5py, for the readers of :mod:`oscaxr.files.hdf5_arrays`, which are quicker than the netCDF
library and may be used by several threads.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.xarray_internals import (
    NETCDF_LOCK,
    IndexedOnRead,
    IndexingSupport,
    LazilyIndexedArray,
)
from oscaxr.errors import DamagedExportError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import lazy_array

# What netCDF itself notes in attributes.
_INTERNAL: Final = frozenset(
    {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates"}
    | {"_NCProperties", "_nc3_strict", "_Encoding", "DIMENSION_LABELS"}
)
# netCDF's name of a variable that is called like a dim but has others.
_DISGUISE: Final = "_nc4_non_coord_"


def read_attrs(file: Hdf5File, group: str) -> dict[str, Any] | None:
    """Return the attributes of a group."""
    with file.handle() as handle:
        place = file.get(handle, group)
        return _attrs(place) if isinstance(place, h5py.Group) else None


def read_variables(
    file: Hdf5File, group: str, dims: Mapping[str, Sequence[str]]
) -> dict[str, xr.Variable]:
    """Return variables of a group as they are stored; text as fixed-width unicode."""
    found = {}
    with file.handle() as handle:
        for name, its_dims in dims.items():
            dataset = _dataset(file, handle, group, name)
            if dataset is None:
                continue
            data: Any
            if dataset.dtype.kind == "S":
                data = LazilyIndexedArray(_Text(file, dataset))
            elif not _is_readable(dataset):
                data = LazilyIndexedArray(_ThroughNetcdf(file, dataset))
            elif dataset.ndim:
                data = lazy_array(file, dataset)
            else:
                data = dataset[()]
            variable = xr.Variable(its_dims, data, _attrs(dataset))
            if dataset.chunks and len(dataset.chunks) == len(its_dims):
                variable.encoding["preferred_chunks"] = dict(
                    zip(its_dims, dataset.chunks, strict=True)
                )
            found[name] = variable
    return found


def group_names(file: Hdf5File) -> list[str]:
    """Return the paths of all groups of a file, the root (empty) first."""
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            names.append(name)

    with file.handle() as handle:
        handle.visititems(visit)
    return ["", *names]


def problems_of(file: Hdf5File, group: str, names: Sequence[str]) -> list[str]:
    """Say which data of variables are missing or cut short; reads no values."""
    size = Path(file.path).stat().st_size
    problems = []
    with file.handle() as handle:
        for name in names:
            dataset = _dataset(file, handle, group, name)
            if dataset is None or not dataset.size:
                continue
            missing, end = _extent(dataset)
            if missing:
                problems.append(f"{file.path}: {missing} of {dataset.name} were never written")
            if end > size:
                problems.append(
                    f"{file.path} is truncated: it has {size} bytes, but {dataset.name} runs to "
                    f"byte {end}"
                )
    return problems


def _extent(dataset: h5py.Dataset) -> tuple[str, int]:
    """Say what of a dataset was never written, and at which byte of the file its data end."""
    creation = dataset.id.get_create_plist()
    if creation.get_layout() == h5py.h5d.CONTIGUOUS:
        start = dataset.id.get_offset()
        return ("the values", 0) if start is None else ("", start + dataset.nbytes)
    if creation.get_layout() != h5py.h5d.CHUNKED:
        return "", 0
    ends: list[int] = []
    dataset.id.chunk_iter(lambda info: ends.append(info.byte_offset + info.size))
    wanted = math.prod(
        -(-length // width) for length, width in zip(dataset.shape, dataset.chunks, strict=True)
    )
    missing = wanted - len(ends)
    return f"{missing} of {wanted} chunks" if missing else "", max(ends, default=0)


def _dataset(file: Hdf5File, handle: h5py.File, group: str, name: str) -> h5py.Dataset | None:
    """Return a variable; None where there is no such."""
    for key in (f"{_DISGUISE}{name}", name):
        found = file.get(handle, f"{group}/{key}")
        if isinstance(found, h5py.Dataset):
            return found
    return None


def _is_readable(dataset: h5py.Dataset) -> bool:
    """Say whether h5py's HDF5 knows the compression of a dataset."""
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    return all(h5py.h5z.filter_avail(one) for one in filters)


class _ThroughNetcdf(IndexedOnRead):
    """A variable that only the netCDF library can inflate (zstd, bzip2)."""

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.path = file.path
        self.name = str(dataset.name)
        self.shape = dataset.shape
        self.dtype = dataset.dtype

    def _read(self, key: tuple[Any, ...]) -> Array:
        import netCDF4

        try:
            with NETCDF_LOCK, netCDF4.Dataset(self.path) as file:
                variable = file[self.name]
                variable.set_auto_maskandscale(False)
                variable.set_auto_chartostring(False)
                values: Array = np.asarray(variable[key])
        except (OSError, RuntimeError, LookupError) as error:
            raise DamagedExportError(
                f"{self.path}: {self.name} cannot be read ({error}). It is damaged: export it "
                "again, or copy it again if it was copied."
            ) from error
        return values


class _Text(IndexedOnRead):
    """Text that is stored as characters along one more dim."""

    support = IndexingSupport.BASIC

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.file = file
        self.name = str(dataset.name)
        # The characters themselves, which may be compressed in any way.
        self.through = None if _is_readable(dataset) else _ThroughNetcdf(file, dataset)
        self.shape = dataset.shape[:-1]
        self.width = dataset.shape[-1]
        self.dtype = np.dtype(f"U{self.width}")

    def _read(self, key: tuple[Any, ...]) -> Array:
        if self.through is not None:
            characters = np.ascontiguousarray(self.through._read((...,)))
        else:
            with self.file.handle() as file:
                characters = np.ascontiguousarray(file[self.name][()])
        text = characters.view(f"S{self.width}")[..., 0] if characters.size else characters[..., 0]
        values: Array = np.strings.decode(text, "utf-8").astype(self.dtype)[key]
        return values


def _attrs(place: Any) -> dict[str, Any]:
    return {key: _value(value) for key, value in place.attrs.items() if key not in _INTERNAL}


def _value(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        texts = [one.decode() if isinstance(one, bytes) else one for one in value.tolist()]
        return texts if len(texts) > 1 else texts[0]
    return value
