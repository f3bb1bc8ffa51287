"""Opening what an export wrote, as it was before."""

import os
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.indexes import PandasIndex

from oscaxr.arrays.xarray_internals import IndexedOnRead, LazilyIndexedArray, data_of
from oscaxr.errors import DamagedExportError, ExportError, SessionNotFoundError
from oscaxr.store.export_file import ExportFile, layout_from, opened_export
from oscaxr.store.layout import (
    PROVENANCE,
    SUFFIXES,
    Layout,
    convert,
    dtype_from,
    provenance_from,
    restore_attrs,
)

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[Any]
Exported = xr.Dataset | xr.DataArray | xr.DataTree
# Attributes by which other readers know what a variable was, by kind of dtype.
_ADDED_ATTRS = {"b": ("dtype",), "M": ("units", "calendar"), "m": ("units", "dtype")}


def is_exported(path: PathLike) -> bool:
    """Say whether a path has the suffix of an export; does not look into it."""
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
    layouts = layouts_of(place)
    layout = layouts[""]
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


def read_group(
    path: PathLike, group: str = "", drop_variables: str | Iterable[str] | None = None
) -> xr.Dataset:
    """Open one group as lazy variables, closable, as a backend of xarray gives them."""
    return ExportedBackendEntrypoint().open_dataset(
        _existing(path), drop_variables=drop_variables, group=group
    )


def provenance_of(path: PathLike) -> dict[str, Any]:
    """Return what an export says about where it came from; reads none of its data."""
    place = _existing(path)
    with opened_export(place) as file:
        attrs = file.attrs("") or {}
        layout_from(place, attrs)
        return provenance_from(attrs)


def layouts_of(path: Path) -> dict[str, Layout]:
    """Return what the groups of an export were before they were written."""
    with opened_export(path) as file:
        layout = layout_from(path, file.attrs(""))
        layouts = {"": layout}
        if layout.kind == "DataTree":
            layouts |= {group: layout_from(path, file.attrs(group)) for group in file.groups()}
    return layouts


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
        """Open one group."""
        path = Path(os.path.realpath(filename_or_obj))
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        with opened_export(path, keep=True) as file:
            ds = _read(file, path, group, dropped)
            ds.set_close(file.close)
            return ds


def _read(file: ExportFile, path: Path, group: str, dropped: set[str]) -> xr.Dataset:
    """Read one group."""
    attrs = file.attrs(group) or {}
    layout = layout_from(path, attrs)
    wanted = {name: layout.dims[name] for name in layout.order if name not in dropped}
    stored = file.variables(group, wanted)
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise DamagedExportError(
            f"{path} is damaged: it lacks {', '.join(missing)}. Export it again."
        )
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
    ds.encoding = {"source": str(path), PROVENANCE: provenance_from(attrs)}
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
    data: Any = data_of(stored)
    if stored.dtype != wanted:
        data = LazilyIndexedArray(_Converted(stored, dtype))
    return xr.Variable(stored.dims, data, restore_attrs(attrs, types), encoding)


class _Converted(IndexedOnRead):
    """A lazy variable whose values become another dtype when they are read."""

    def __init__(self, variable: xr.Variable, dtype: str) -> None:
        self.variable = variable
        self.name = dtype
        self.shape = variable.shape
        self.dtype = dtype_from(dtype)

    def _read(self, key: tuple[Any, ...]) -> Array:
        return convert(self.variable[key].values, self.name)
