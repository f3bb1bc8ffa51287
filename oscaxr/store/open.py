"""Opening what an export wrote, as it was before."""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Never

import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.indexes import PandasIndex

from oscaxr.arrays.lazy import OrthogonalArray, Reader
from oscaxr.errors import (
    ExportError,
    ForeignExportError,
    NoSessionError,
    OscaxrError,
    SessionNotFoundError,
    UncheckedExportWarning,
    listed,
    warn,
)
from oscaxr.files.remote import Place, RemoteFile, place_of
from oscaxr.formats.identity import with_table
from oscaxr.model import names as n
from oscaxr.model.dataset import check_structure, in_order, validate
from oscaxr.model.facts import FACT_BY_NAME
from oscaxr.renamed import refuse_keywords
from oscaxr.store.checks import BLIND_BYTES, MAX_RATIO, damaged
from oscaxr.store.foreign import refuse_foreign
from oscaxr.store.layout import (
    FORMAT,
    LAYOUT,
    PREFIX,
    PROVENANCE,
    Layout,
    PathLike,
    StoredGroup,
    format_named,
    metadata_digest,
    provenance_from,
    restore_attrs,
    restored,
    stored_encoding,
)
from oscaxr.store.netcdf import NetcdfFile
from oscaxr.store.zarr_read import ZarrFile

ExportFile = NetcdfFile | ZarrFile
_PLAIN_LAYOUT: Final = Layout()
_LISTED: Final = 10


def open_exported(
    path: PathLike,
    *,
    chunks: Any = None,
    cache: bool | None = None,
    drop_variables: str | Iterable[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> Any:
    """Open an export.

    Parameters
    ----------
    path : path-like
        What an export wrote: ``.zarr``, ``.zarr.zip`` or ``.nc``; or the address of one on a server
        (``https://``, ``s3://``, ...), of which only what is used is fetched (not ``.zarr.zip``).
    chunks, cache : optional
        As for :func:`xarray.open_dataset`: dask arrays of these chunks; ``{}`` takes the file's.
    drop_variables : str or iterable of str, optional
        Names to leave out.
    storage_options : mapping, optional
        How the server is reached, as for :func:`oscaxr.open_session`.

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
    known = ("chunks", "cache", "drop_variables", "storage_options")
    refuse_keywords("open_exported", unknown, known)
    place = existing(path, storage_options)
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
            storage_options=storage_options,
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
        closing = ExitStack()
        for each in opened.values():
            closing.callback(each.close)
        tree.set_close(closing.close)
        return tree
    if layout.variable in dropped:
        raise ExportError(f"{place}: drop_variables={drop_variables!r} leaves nothing of the array")
    array = ds[layout.variable].rename(layout.name)
    array.encoding.update(ds.encoding)
    array.set_close(ds.close)
    return array


class ExportedBackendEntrypoint(BackendEntrypoint):
    """Opens one group of an export as it was before."""

    description = "Open exports of oscaxr"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "group", "storage_options")

    def open_dataset(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: PathLike,
        *,
        drop_variables: Collection[str] = (),
        group: str = "",
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Open one group."""
        return read_group(existing(filename_or_obj, storage_options), group, drop_variables)


def open_session_export(
    path: Place, dropped: Collection[str], facts: Mapping[str, Any] | None
) -> xr.Dataset:
    """Open an export of a session, with the facts of the session table if there are any."""
    ds = read_group(path, drop_variables=dropped, check=check_session)
    try:
        return ds if facts is None else _with_facts(ds, facts, dropped)
    except BaseException:
        ds.close()
        raise


def check_session(path: Place, layout: Layout) -> None:
    """Refuse other exports than those of a session."""
    if layout.kind != "Dataset" or not any(n.SEGMENT in dims for dims in layout.dims.values()):
        raise NoSessionError(
            f"{path} holds a {layout.kind} that is no session: open it with oscaxr.open_exported"
        )


def _with_facts(ds: xr.Dataset, row: Mapping[str, Any], dropped: Collection[str]) -> xr.Dataset:
    """Add the facts of the session table to an export, as to a session's other files."""
    own = {name: ds[name].item() for name in ("session_id", "mouse_id") if name in ds.coords}
    coords, attrs = with_table(str(ds.encoding.get("source")), own, {}, row)
    with_facts = ds.assign_coords(
        {
            name: xr.Variable((), value, FACT_BY_NAME[name].attrs)
            for name, value in coords.items()
            if name not in dropped
        }
    ).assign_attrs(attrs)
    with_facts.set_close(ds.close)
    return with_facts


# -- one file, one group --------------------------------------------------------------------------
def read_group(
    path: PathLike | RemoteFile,
    group: str = "",
    drop_variables: Collection[str] = (),
    *,
    check: Callable[[Place, Layout], None] | None = None,
) -> xr.Dataset:
    """Open one group as lazy variables, closable, as a backend of xarray gives them."""
    # What `check` refuses, by the layout that an export notes, is refused before it is read.
    place = existing(path)
    with opened_export(place, keep=True) as file:
        found = file.group(group)
        if LAYOUT not in found.attrs:
            ds = _read_plain(found, place, drop_variables)
        else:
            layout = layout_from(place, found)
            if check is not None:
                check(place, layout)
            ds = read_own(found, place, group, drop_variables, layout)
        if file.remote:
            ds.encoding["remote_sources"] = (file.remote,)
        ds.set_close(file.close)
    return ds


def existing(
    path: PathLike | RemoteFile, storage_options: Mapping[str, Any] | None = None
) -> Place:
    """Return where an export really is."""
    where = place_of(path, storage_options)
    if isinstance(where, RemoteFile):
        return where
    place = where.resolve()
    if not place.exists():
        raise SessionNotFoundError(f"cannot open {place}: there is no such file or folder")
    return place


@contextmanager
def opened_export(path: Place, *, keep: bool = False) -> Iterator[ExportFile]:
    """Open the file or folder of an export; whatever fails meanwhile is damage to it."""
    with ExitStack() as stack:
        try:
            file = _export_file(path)
            stack.callback(file.close)
            yield file
        except OscaxrError:
            raise
        except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise damaged(
                path, f"cannot open it as an export: {type(error).__name__} {error}"
            ) from error
        if keep:
            stack.pop_all()


def _export_file(path: Place) -> ExportFile:
    if isinstance(path, RemoteFile):
        return ZarrFile(path) if format_named(path) == "zarr" else NetcdfFile(path)
    if not path.is_file() and not path.is_dir():
        raise damaged(path, "cannot open it as an export: it is no file and no folder")
    refuse_foreign(path)
    return NetcdfFile(path) if format_named(path) == "netcdf" else ZarrFile(path)


def layouts_of(path: PathLike, *, plain: Layout | None = None) -> dict[str, Layout]:
    """Return what the groups of an export were, or `plain` for what notes nothing of the kind."""
    place = existing(path)
    with opened_export(place) as file:
        root = file.group("")
        if plain is not None and LAYOUT not in root.attrs:
            return {"": plain}
        layout = layout_from(place, root)
        groups = file.groups() if layout.kind == "DataTree" else []
        return {"": layout} | {group: layout_from(place, file.group(group)) for group in groups}


def layout_from(path: Place, group: StoredGroup) -> Layout:
    """Return what a group of an export was before it was written."""
    if LAYOUT not in group.attrs:
        raise ForeignExportError(
            f"{path} was not written by oscaxr (it has no attribute {LAYOUT!r}). Open it with "
            "plain xarray: xr.open_dataset or xr.open_zarr."
        )
    layout = Layout.from_json(group.attrs[LAYOUT])
    if layout.format > FORMAT:
        raise ExportError(
            f"{path} was written by a later version of oscaxr "
            f"({group.attrs.get(PREFIX + 'version')}): its layout cannot be read. Install that "
            "version."
        )
    return layout


def read_own(
    found: StoredGroup, path: Place, group: str, dropped: Collection[str], layout: Layout
) -> xr.Dataset:
    """Read a group of what an export wrote."""
    digest = _checked_digest(found, path, group, layout)
    wanted = [name for name in layout.order if name not in dropped]
    if missing := [name for name in wanted if name not in found.variables]:
        raise damaged(path, f"it is damaged: it lacks {', '.join(missing)}")
    variables: dict[Hashable, xr.Variable] = {}
    for name in wanted:
        stored = found.variables[name]
        if stored.dims != tuple(layout.dims[name]):
            raise damaged(
                path, f"{name} has the dims {stored.dims}, not {tuple(layout.dims[name])}"
            )
        if name in layout.indexed:
            _check_size(stored.reader, path, name)
        variables[name] = restored(stored, layout, name, str(path), digest.get(name))
    coords = {name: variables.pop(name) for name in wanted if name in layout.coords}
    indexes = {
        name: _index(name, coords[name], dtype)
        for name, dtype in layout.indexed.items()
        if name in coords
    }
    for name, index in indexes.items():
        coords |= index.create_variables({name: coords[name]})
    attrs = {key: value for key, value in found.attrs.items() if key != "coordinates"}
    ds = xr.Dataset(
        variables,
        xr.Coordinates(coords, indexes),
        restore_attrs(attrs, layout.attr_types.get("", {})),
    )
    # xarray puts the coordinates last, which would change the order of the dims.
    ds = ds[wanted]
    ds.encoding = {"source": str(path), PROVENANCE: provenance_from(attrs)}
    return ds


def _index(name: str, stored: xr.Variable, dtype: str) -> PandasIndex:
    """Return the index that a coordinate had: strings may be held as objects or as pandas' own."""
    found = stored.to_index()
    if str(found.dtype) != dtype and stored.dtype.kind not in "OUT":
        raise ValueError(f"the index of {name}, of {stored.dtype}, cannot be of {dtype}")
    return PandasIndex(found.astype(dtype, copy=False).rename(name), stored.dims[0], stored.dtype)


def _checked_digest(
    found: StoredGroup, path: Place, group: str, layout: Layout
) -> Mapping[str, str]:
    """Hold a group against its digest; return the digests of the values of small variables."""
    digest = found.digest
    if digest is None and layout.format > 1 and not found.foreign:
        raise damaged(
            path, "it has no digest: it was copied in part, or written to by other software"
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
    if digest.get("metadata") != metadata_digest(found.description):
        raise damaged(
            path,
            f"what it says of {group or 'its parts'} was changed since it was written: names, "
            "attributes or shapes are not those of its digest",
        )
    return dict(digest["values"])


def _check_size(reader: Reader, path: Place, name: str) -> None:
    """Refuse coordinates, which are read at once, that no file of this size can hold."""
    claimed = math.prod(reader.shape) * reader.dtype.itemsize
    stored = path.stat().st_size if isinstance(path, Path) and path.is_file() else 0
    if claimed > max(BLIND_BYTES, MAX_RATIO * stored):
        raise damaged(path, f"{name} claims {claimed} bytes, more than it can hold")


def _read_plain(found: StoredGroup, path: Place, dropped: Collection[str]) -> xr.Dataset:
    """Read what plain xarray wrote from a session, and validate it: it carries no checks."""
    variables = {}
    for name, stored in found.variables.items():
        if name not in dropped:
            _check_size(stored.reader, path, name)
            variables[name] = xr.Variable(
                stored.dims,
                OrthogonalArray(stored.reader),
                stored.attrs,
                stored_encoding(stored, path),
            )
    ds = in_order(xr.decode_cf(xr.Dataset(variables, attrs=found.attrs)))
    problems = check_structure(ds, dropped=set(dropped)) if dropped else validate(ds)
    if lines := [str(problem) for problem in problems.at_level("error")]:
        raise ForeignExportError(
            f"{path} was not written by oscaxr, and is no session that plain xarray wrote. Open it "
            "with plain xarray: xr.open_dataset or xr.open_zarr. As a session it has problems:"
            + listed(lines, _LISTED)
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
    without.set_close(ds.close)
    return without
