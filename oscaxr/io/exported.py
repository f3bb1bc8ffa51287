"""Opening what an export wrote, as it was before."""

import json
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.backends.common import BackendArray
from xarray.core import indexing
from xarray.indexes import PandasIndex

from oscaxr.errors import ExportError, SessionNotFoundError
from oscaxr.io import netcdf
from oscaxr.io.hdf5 import Hdf5File
from oscaxr.io.zarr_chunks import variable_of
from oscaxr.model.encoding import (
    FORMAT,
    LAYOUT,
    PREFIX,
    PROVENANCE,
    SUFFIXES,
    Layout,
    convert,
    dtype_from,
    restore_attrs,
)

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[Any]
Exported = xr.Dataset | xr.DataArray | xr.DataTree
# Attributes by which other readers know what a variable was, by kind of dtype.
_ADDED_ATTRS = {"b": ("dtype",), "M": ("units", "calendar"), "m": ("units", "dtype")}
_JSON_FACTS = ("sources", "exported_from", "parameters")


def is_exported(path: PathLike) -> bool:
    """Say whether a path has the suffix of an export; does not look into it.

    Parameters
    ----------
    path : path-like
        Any path.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_exported("s.zarr"), is_exported("s.nwb")
    (True, False)
    """
    return os.fspath(path).lower().rstrip("/\\").endswith(SUFFIXES)


def open_exported(
    path: PathLike,
    *,
    chunks: Any = None,
    cache: bool | None = None,
    drop_variables: str | Iterable[str] | None = None,
) -> Any:
    """Open an export.

    Parameters
    ----------
    path : path-like
        What an export wrote: ``.zarr``, ``.zarr.zip`` or ``.nc``.
    chunks, cache : optional
        As for :func:`xarray.open_dataset`: dask arrays of these chunks; ``{}`` takes the file's.
    drop_variables : str or iterable of str, optional
        Names to leave out.

    Returns
    -------
    xarray.Dataset, xarray.DataArray or xarray.DataTree
        What was saved, identical and lazy. Where it came from is in ``.encoding["provenance"]``.

    Raises
    ------
    SessionNotFoundError
        If there is nothing at `path`.
    ExportError
        If what is there is not a complete export, or one of a later version.
    """
    place = _existing(path)
    with closing(_opened(place)) as file:
        layout = _layout(place, file.attrs(""))
        layouts = {"": layout}
        if layout.kind == "DataTree":
            layouts |= {group: _layout(place, file.attrs(group)) for group in file.groups()}
    dropped = (drop_variables,) if isinstance(drop_variables, str) else tuple(drop_variables or ())
    opened = {
        group: xr.open_dataset(
            place,
            engine=ExportedBackendEntrypoint,
            chunks=chunks,
            cache=cache,
            drop_variables=dropped,
            group=group,
        )
        for group in layouts
    }
    # xarray gives all coordinates that are named like their dim an index when it opens a file.
    opened = {group: _without_indexes(ds, layouts[group]) for group, ds in opened.items()}
    ds = opened[""]
    if layout.kind == "Dataset":
        return ds
    if layout.kind == "DataTree":
        tree = xr.DataTree.from_dict(
            {f"/{group}": ds for group, ds in opened.items()}, name=layout.name
        )
        tree.encoding.update(ds.encoding)
        tree.set_close(partial(_close_all, list(opened.values())))
        return tree
    if layout.variable in dropped:
        raise ExportError(f"{place}: drop_variables={drop_variables!r} leaves nothing of the array")
    array = ds[layout.variable].rename(layout.name)
    array.encoding.update(ds.encoding)
    array.set_close(ds.close)
    return array


def provenance_of(path: PathLike) -> dict[str, Any]:
    """Return what an export says about where it came from; reads none of its data.

    Parameters
    ----------
    path : path-like
        The export.

    Returns
    -------
    dict
        ``version``, ``dandiset``, ``citation``, ``sources`` (a list of ``name``, ``bytes`` and
        ``sha256``), ``parameters`` and, where known, ``session_id``, ``exported_from``,
        ``created``. For a tree: of its root.

    Raises
    ------
    SessionNotFoundError
        If there is nothing at `path`.
    ExportError
        If what is there is not a complete export, or one of a later version.
    """
    place = _existing(path)
    with closing(_opened(place)) as file:
        attrs = file.attrs("") or {}
    _layout(place, attrs)
    return _provenance(attrs)


def _existing(path: PathLike) -> Path:
    place = Path(os.fspath(path))
    if not place.exists():
        raise SessionNotFoundError(f"cannot open {place}: there is no such file or folder")
    return place


def _close_all(opened: Iterable[xr.Dataset]) -> None:
    for ds in opened:
        ds.close()


class ExportedBackendEntrypoint(BackendEntrypoint):
    """Opens one group of an export as it was before."""

    description = "Open exports of oscaxr"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "group")

    def open_dataset(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: PathLike,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str = "",
    ) -> xr.Dataset:
        """Open one group.

        Parameters
        ----------
        filename_or_obj : path-like
            The export.
        drop_variables : str or iterable of str, optional
            Names to leave out.
        group : str, optional
            Path of the group; empty for the root.

        Returns
        -------
        xarray.Dataset
            Lazy.

        Raises
        ------
        ExportError
            If it is not a complete export, or one of a later version.
        """
        path = Path(os.path.realpath(filename_or_obj))
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        file = _opened(path)
        try:
            ds = _read(file, path, group, dropped)
        except BaseException:
            file.close()
            raise
        ds.set_close(file.close)
        return ds


def _read(file: "_Zarr | _Netcdf", path: Path, group: str, dropped: set[str]) -> xr.Dataset:
    """Read one group."""
    attrs = file.attrs(group) or {}
    layout = _layout(path, attrs)
    wanted = {name: layout.dims[name] for name in layout.order if name not in dropped}
    stored = file.variables(group, wanted)
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise ExportError(f"{path} is damaged: it lacks {', '.join(missing)}. Export it again.")
    variables: dict[bool, dict[Hashable, xr.Variable]] = {True: {}, False: {}}
    for name in wanted:
        types = layout.attr_types.get(name, {})
        variables[name in layout.coords][name] = _restored(
            stored[name], layout.dtypes[name], types, str(path)
        )
    attrs.pop("coordinates", None)
    ds = xr.Dataset(
        variables[False],
        variables[True],
        restore_attrs(attrs, layout.attr_types.get("", {})),
    )
    ds = _indexed(ds, layout)
    ds.encoding = {"source": str(path), PROVENANCE: _provenance(attrs)}
    return ds


def _without_indexes(ds: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Drop the indexes that were not there."""
    surplus = [name for name in ds.xindexes if str(name) not in layout.indexed]
    if not surplus:
        return ds
    without = ds.drop_indexes(surplus)
    without.encoding = ds.encoding
    without.set_close(ds.close)
    return without


def _indexed(ds: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Give coordinates the indexes that they had."""
    ds = _without_indexes(ds, layout)
    for name, dtype in layout.indexed.items():
        if name not in ds.coords:
            continue
        if name not in ds.xindexes:
            ds = ds.set_xindex(name)
        index = ds.xindexes[name]
        if isinstance(index, PandasIndex) and str(index.index.dtype) != dtype:
            # Strings may be held as objects or as pandas' own.
            index = PandasIndex(index.index.astype(dtype), index.dim, ds[name].dtype)
            variables = index.create_variables({name: ds.variables[name]})
            ds = ds.assign_coords(xr.Coordinates(variables, {name: index}))
    return ds


def _restored(
    stored: xr.Variable, dtype: str, types: Mapping[str, str], source: str
) -> xr.Variable:
    """Return a variable as it was before it was written."""
    wanted = dtype_from(dtype)
    added = {"coordinates", *_ADDED_ATTRS.get(wanted.kind, ())}
    attrs = {key: value for key, value in stored.attrs.items() if key not in added}
    encoding = {"source": source}
    if "preferred_chunks" in stored.encoding:
        encoding["preferred_chunks"] = stored.encoding["preferred_chunks"]
    data: Any = stored._data
    if stored.dtype != wanted:
        data = indexing.LazilyIndexedArray(_Converted(stored, dtype))
    return xr.Variable(stored.dims, data, restore_attrs(attrs, types), encoding)


class _Converted(BackendArray):
    """A lazy variable whose values become another dtype when they are read."""

    def __init__(self, variable: xr.Variable, dtype: str) -> None:
        self.variable = variable
        self.name = dtype
        self.shape = variable.shape
        self.dtype = dtype_from(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        return convert(self.variable[key].values, self.name)


def _layout(path: Path, attrs: Mapping[str, Any] | None) -> Layout:
    if attrs is None or LAYOUT not in attrs:
        raise ExportError(
            f"{path} was not written by oscaxr (it has no attribute {LAYOUT!r}). Open it with "
            "plain xarray: xr.open_dataset or xr.open_zarr."
        )
    layout = Layout.from_json(attrs[LAYOUT])
    if layout.format > FORMAT:
        raise ExportError(
            f"{path} was written by a later version of oscaxr ({attrs.get(PREFIX + 'version')}): "
            "its layout cannot be read. Install that version."
        )
    return layout


def _provenance(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an export says about where it came from."""
    found = {
        key.removeprefix(PREFIX): value
        for key, value in attrs.items()
        if key.startswith(PREFIX) and key != LAYOUT
    }
    plain = restore_attrs(found, {"session_id": "int"} if "session_id" in found else {})
    return {
        str(key): json.loads(value) if key in _JSON_FACTS else value for key, value in plain.items()
    }


# -- the files ------------------------------------------------------------------------------------
def _opened(path: Path) -> "_Netcdf | _Zarr":
    """Open the file or folder of an export."""
    try:
        return _Netcdf(path) if path.name.lower().endswith(".nc") else _Zarr(path)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot open {path} as an export: {error}. Export it again.") from error


class _Netcdf:
    """A netCDF file."""

    def __init__(self, path: Path) -> None:
        self._file = Hdf5File(path)

    def attrs(self, group: str) -> dict[str, Any] | None:
        return netcdf.read_attrs(self._file, group)

    def groups(self) -> list[str]:
        return netcdf.group_names(self._file)

    def variables(self, group: str, dims: Mapping[str, Sequence[str]]) -> dict[str, xr.Variable]:
        return netcdf.read_variables(self._file, group, dims)

    def close(self) -> None:
        self._file.close()


class _Zarr:
    """A zarr store, in a folder or in one zip file."""

    def __init__(self, path: Path) -> None:
        import zarr

        store: Any = path
        if path.is_file():
            from zarr.storage import ZipStore

            store = ZipStore(path, mode="r")
        self._path = path
        self._root: Any = zarr.open_group(store, mode="r")

    def attrs(self, group: str) -> dict[str, Any] | None:
        return dict(self._group(group).attrs)

    def groups(self) -> list[str]:
        import zarr

        members = self._root.members(max_depth=None)
        return ["", *sorted(name for name, one in members if isinstance(one, zarr.Group))]

    def variables(self, group: str, dims: Mapping[str, Sequence[str]]) -> dict[str, xr.Variable]:
        # All at once: each call of zarr's goes through another thread.
        arrays = dict(self._group(group).arrays())
        return {
            name: variable_of(arrays[name], its, self._path)
            for name, its in dims.items()
            if name in arrays
        }

    def close(self) -> None:
        self._root.store.close()

    def _group(self, group: str) -> Any:
        return self._root[group] if group else self._root
