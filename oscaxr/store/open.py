"""Opening what an export wrote, as it was before."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.indexes import PandasIndex

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, Once
from oscaxr.arrays.xarray_internals import IndexedOnRead, LazilyIndexedArray, data_of
from oscaxr.errors import (
    DamagedExportError,
    ExportError,
    ForeignExportError,
    OscaxrError,
    UncheckedExportWarning,
    warn,
)
from oscaxr.model.dataset import check_structure, validate
from oscaxr.store.checks import BLIND_BYTES, MAX_RATIO, damaged
from oscaxr.store.export_file import (
    ExportFile,
    PathLike,
    existing,
    identity_of,
    is_exported,
    layout_from,
    layouts_of,
    opened_export,
    provenance_of,
)
from oscaxr.store.layout import (
    LAYOUT,
    PROVENANCE,
    Layout,
    convert,
    dtype_from,
    metadata_digest,
    provenance_from,
    restore_attrs,
    restored_dtype,
    values_digest,
)

__all__ = [
    "check_complete",
    "identity_of",
    "is_exported",
    "layouts_of",
    "open_exported",
    "provenance_of",
    "read_group",
]

# Attributes by which other readers know what a variable was, by kind of dtype.
_ADDED_ATTRS: Final = {"b": ("dtype",), "M": ("units", "calendar"), "m": ("units", "dtype")}
_PLAIN_LAYOUT: Final = Layout()
_BLOCK_BYTES: Final = 32 * 2**20
_LISTED: Final = 10


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
    place = existing(path)
    layouts = layouts_of(place, plain=_PLAIN_LAYOUT)
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
    if layout is _PLAIN_LAYOUT:
        return opened[""]
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
    path: PathLike,
    group: str = "",
    drop_variables: str | Iterable[str] | None = None,
    *,
    check: Callable[[Path, Layout], None] | None = None,
) -> xr.Dataset:
    """Open one group as lazy variables, closable, as a backend of xarray gives them."""
    # What `check` refuses, by the layout that an export notes, is refused before it is read.
    dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
    place = existing(path)
    with opened_export(place, keep=True) as file:
        attrs = file.attrs(group)
        if attrs is not None and LAYOUT in attrs:
            layout = layout_from(place, attrs)
            if check is not None:
                check(place, layout)
            ds = _read_own(file, place, group, dropped, layout)
        else:
            ds = _read_plain(file, place, group, dropped)
        ds.set_close(file.close)
    return ds


def check_complete(path: Path, *, deep: bool = False) -> None:
    """Check that all data of an export are there and, on request, that they can be read."""
    problems: list[str] = []
    layouts = layouts_of(path)
    with opened_export(existing(path)) as file:
        for group, layout in layouts.items():
            found = file.problems(group, layout.order, checksums=deep)
            if not found:
                ds = _read_own(file, path, group, set(), layout)
                checked = set((file.digest(group) or {}).get("values", ()))
                for name, variable in ds.variables.items():
                    if deep or name in checked:
                        found += _unreadable(variable)
            problems += found
    if problems:
        more = len(problems) - _LISTED
        listed = problems[:_LISTED] + ([f"... and {more} more problems"] if more > 0 else [])
        raise DamagedExportError("\n".join(listed))


def _unreadable(variable: xr.Variable) -> list[str]:
    """Read a variable block by block; say why it cannot be."""
    try:
        if not variable.ndim or not variable.size:
            np.asarray(variable.values)
            return []
        rows, width = variable.shape[0], variable.encoding.get("preferred_chunks", {})
        step = width.get(variable.dims[0], 1)
        step *= max(1, _BLOCK_BYTES // max(1, step * variable.nbytes // rows))
        for start in range(0, rows, step):
            np.asarray(variable[start : start + step].values)
    except OscaxrError as error:
        return [str(error)]
    return []


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
        return read_group(filename_or_obj, group, drop_variables)


def _read_own(
    file: ExportFile, path: Path, group: str, dropped: set[str], layout: Layout
) -> xr.Dataset:
    """Read a group of what an export wrote."""
    attrs = file.attrs(group) or {}
    digest = _checked_digest(file, path, group, layout)
    wanted = [name for name in layout.order if name not in dropped]
    # Other software leaves out the chunks of fill values only.
    complete = not file.foreign(group)
    variables: dict[bool, dict[Hashable, xr.Variable]] = {True: {}, False: {}}
    missing = []
    for name in wanted:
        stored = file.variable(group, name, layout.dims[name], complete=complete)
        if stored is None:
            missing.append(name)
            continue
        if name in layout.indexed:
            _check_size(stored, path, name)
        restored = _restored(stored, layout, name, str(path), digest.get(name))
        variables[name in layout.coords][name] = restored
    if missing:
        raise damaged(str(path), f"it is damaged: it lacks {', '.join(missing)}")
    attrs.pop("coordinates", None)
    ds = xr.Dataset(
        variables[False],
        variables[True],
        restore_attrs(attrs, layout.attr_types.get("", {})),
    )
    ds = _indexed(ds, layout)
    ds.encoding = {"source": str(path), PROVENANCE: provenance_from(attrs)}
    return ds


def _checked_digest(file: ExportFile, path: Path, group: str, layout: Layout) -> Mapping[str, str]:
    """Hold a group against its digest; return the digests of the values of small variables."""
    digest = file.digest(group)
    if digest is None and layout.format > 1 and not file.foreign(group):
        raise damaged(
            str(path), "it has no digest: it was copied in part, or written to by other software"
        )
    if digest is None:
        if not group:
            warn(
                f"{path} carries no digest (an earlier version of oscaxr wrote it, or other "
                "software did it again), so that changes of its small parts are not noticed: "
                "oscaxr.save writes it with one.",
                UncheckedExportWarning,
            )
        return {}
    if digest.get("metadata") != metadata_digest(file.description(group)):
        raise damaged(
            str(path),
            f"what it says of {group or 'its parts'} was changed since it was written: names, "
            "attributes or shapes are not those of its digest",
        )
    return dict(digest["values"])


def _check_size(stored: xr.Variable, path: Path, name: str) -> None:
    """Refuse coordinates, which are read at once, that no file of this size can hold."""
    place = Path(path)
    size = place.stat().st_size if place.is_file() else BLIND_BYTES // MAX_RATIO
    if stored.nbytes > BLIND_BYTES and stored.nbytes > MAX_RATIO * size:
        raise damaged(str(path), f"{name} claims {stored.nbytes} bytes, more than it can hold")


def _read_plain(file: ExportFile, path: Path, group: str, dropped: set[str]) -> xr.Dataset:
    """Read what plain xarray wrote from a session, and validate it: it carries no checks."""
    attrs = file.attrs(group)
    names = [name for name in file.names(group) if name not in dropped]
    found = {name: file.variable(group, name, None, complete=False) for name in names}
    stored = {name: variable for name, variable in found.items() if variable is not None}
    for name, variable in stored.items():
        _check_size(variable, path, name)
        variable.encoding["source"] = str(path)
    ds = xr.decode_cf(xr.Dataset(stored, attrs=attrs))
    problems = check_structure(ds, dropped=dropped) if dropped else validate(ds)
    if lines := [str(problem) for problem in problems.at_level("error")]:
        raise ForeignExportError(
            f"{path} was not written by oscaxr, and is no session that plain xarray wrote. Open it "
            "with plain xarray: xr.open_dataset or xr.open_zarr. As a session it has problems:\n"
            + "\n".join(f"  - {line}" for line in lines[:_LISTED])
        )
    warn(
        f"{path} was written by plain xarray: it opens as a session, but carries no checks, so "
        "that what is missing, changed or damaged is not noticed. oscaxr.save writes it with them.",
        UncheckedExportWarning,
    )
    ds.encoding["source"] = str(path)
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
            if ds[name].dtype.kind not in "OUT":
                raise ValueError(f"the index of {name}, of {ds[name].dtype}, cannot be of {dtype}")
            # Strings may be held as objects or as pandas' own.
            index = PandasIndex(index.index.astype(dtype), index.dim, ds[name].dtype)
            variables = index.create_variables({name: ds.variables[name]})
            ds = ds.assign_coords(xr.Coordinates(variables, {name: index}))
    return ds


def _restored(
    stored: xr.Variable, layout: Layout, name: str, source: str, digest: str | None
) -> xr.Variable:
    """Return a variable as it was before it was written."""
    dtype, types = layout.dtypes[name], layout.attr_types.get(name, {})
    wanted = restored_dtype(dtype, stored.dtype, stored.size, variable=name)
    added = {"coordinates", *_ADDED_ATTRS.get(wanted.kind, ())}
    attrs = {key: value for key, value in stored.attrs.items() if key not in added}
    encoding = {"source": source}
    if "preferred_chunks" in stored.encoding:
        encoding["preferred_chunks"] = stored.encoding["preferred_chunks"]
    data: Any = data_of(stored)
    if digest is not None and stored.size:
        what = f"{source}: {name}"
        once = Once(partial(_verified, stored, dtype, digest, what))
        data = computed(once, stored.shape, wanted)
    elif stored.dtype != wanted:
        data = LazilyIndexedArray(_Converted(stored, dtype))
    return xr.Variable(stored.dims, data, restore_attrs(attrs, types), encoding)


def _verified(stored: xr.Variable, dtype: str, digest: str, what: str) -> Array:
    """Read a small variable, and hold its values against their digest."""
    values = convert(stored.values, dtype)
    if values_digest(values) != digest:
        raise DamagedExportError(
            f"{what} was changed since it was written: its values are not those of the digest. "
            "Export it again, or copy it again if it was copied."
        )
    return values


class _Converted(IndexedOnRead):
    """A lazy variable whose values become another dtype when they are read."""

    def __init__(self, variable: xr.Variable, dtype: str) -> None:
        self.variable = variable
        self.name = dtype
        self.shape = variable.shape
        self.dtype = dtype_from(dtype)

    def _read(self, key: tuple[Any, ...]) -> Array:
        return convert(self.variable[key].values, self.name)
