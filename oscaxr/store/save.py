"""Saving sessions, trees of sessions, sequences and statistics to zarr or netCDF."""

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.atomic import atomic_target, explained
from oscaxr.errors import (
    CriterionError,
    ExportContentError,
    ExportError,
    MissingVariableError,
    PlaceError,
    UnsafeTargetError,
    few,
)
from oscaxr.files.remote import Place, RemoteFile, as_given, place_of
from oscaxr.model import names as n
from oscaxr.progress import Report, progress_bar
from oscaxr.store.encoding import Chunks, group_attrs, prepare, with_dtypes
from oscaxr.store.layout import (
    LAYOUT,
    PROVENANCE,
    SUFFIXES,
    Format,
    Kind,
    PathLike,
    format_named,
    layout_of,
)
from oscaxr.store.provenance import Origin
from oscaxr.store.upload import uploaded
from oscaxr.store.writing import Part, uninterrupted, write, writer_of

_ADVICE: Final = (
    ". What was there before is as it was. Is the disk full, or a limit on the size of files "
    "reached?"
)

Exportable = xr.Dataset | xr.DataArray | xr.DataTree


def save(
    obj: Exportable,
    path: PathLike,
    *,
    variables: str | Iterable[str] | None = None,
    roi: Any = None,
    segments: Any = None,
    dtype: Any | Mapping[Hashable, Any] | None = None,
    chunks: Chunks | None = None,
    compression: bool | str = True,
    overwrite: bool = False,
    timestamp: bool = False,
    digest: bool | None = None,
    progress: bool | Report | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Path | str:
    """Save a session, a tree of sessions, sequences or statistics to zarr or netCDF.

    Parameters
    ----------
    obj : xarray.Dataset, xarray.DataArray or xarray.DataTree
        What to save. Lazy data are read block by block and never held as a whole; small facts that
        are computed on first use are computed, once.
    path : path-like
        Where to: ``.zarr`` for a folder, ``.zarr.zip`` for one file (both zarr format 3), ``.nc``
        for netCDF-4. Folders on the way are made. Or an address in an object store that ends in
        ``.zarr`` (``s3://bucket/s.zarr``).
    variables : str or iterable of str, optional
        Data variables to keep; coordinates all stay.
    roi : array_like, slice or int, optional
        Labels of ROIs to keep, in this order; or a boolean for every ROI.
    segments : xarray.Dataset, array_like or slice, optional
        A selection of segments, or segment numbers; for sequences, those of these segments.
    dtype : dtype or mapping of name to dtype, optional
        Floating-point dtype of all floating data variables, e.g. ``"float32"``; or dtypes by
        variable. Coordinates keep theirs.
    chunks : mapping, optional
        Length of chunks by dim, or by variable and then by dim; -1 for the whole dim.
    compression : bool or str, optional
        True for the default, False for none; or a name: ``"zstd"``, ``"lz4"``, ``"gzip"``, ... for
        zarr, ``"zlib"``, ``"zstd"``, ... for netCDF.
    overwrite : bool, optional
        Whether to replace the export that is at `path`.
    timestamp : bool, optional
        Whether to note the time. Without it, equal data make equal exports.
    digest : bool, optional
        Whether to note the sha256 of source files; by default of those up to 8 GiB, in the
        background.
    progress : bool or callable, optional
        True for a progress bar on a terminal; or a function of (bytes done, bytes in all).
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    Path or str
        `path`; of an address, a str.

    Raises
    ------
    TargetExistsError
        If there is something at `path` and `overwrite` is False.
    UnsafeTargetError
        If `obj` is still read from what is at `path`, or what is there holds a file that `obj`
        comes from, is a link, or is no export and nothing else: only those are replaced.
    ExportContentError
        If `obj` holds something that would not come back as it is; all problems are listed.
    MissingVariableError, CriterionError
        If a part that is asked for is not there.
    ExportError
        If writing fails, e.g. because the disk is full.

    Notes
    -----
    What is saved comes back identical through :func:`oscaxr.open_session` and its like: values,
    dtypes, attributes and their types. For that, and to say where the data come from, an export
    has a few attributes more, whose names all begin with ``oscaxr_``. When it is opened with oscaxr
    they are taken off, and found as a dict under ``.encoding["provenance"]``.

    Plain ``xr.open_zarr`` and ``xr.open_dataset`` open exports too. (A packed store is given to
    them as ``zarr.storage.ZipStore(path, mode="r")``. Of the compressions of netCDF, readers other
    than the netCDF library know zlib only.) Without compression, sequences are read quickest.

    The target appears when it is complete: until then it is put together beside it, under a name
    that begins with a dot. Should the process be killed, the target is as it was before, and what
    is left of the new one is removed by the next export in that folder. All of it is forced to the
    disk first, so that a power failure leaves the old target or the new one, too.

    In an object store nothing can be renamed: the export is made in a temporary folder, then its
    objects are put, and the digest that completes it is put last. Until then readers refuse it. One
    that is replaced loses its digest first; what an interruption leaves can be replaced.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> path = save(ds, Path(tempfile.mkdtemp()) / "session.nc", variables=["dff", "run_velocity"])
    >>> with xr.open_dataset(path) as plain:
    ...     list(plain.data_vars)
    ['dff', 'run_velocity']
    """
    target = _place(path, overwrite, storage_options)
    file_format, packed = _format_of(target)
    groups, kind, name = _groups(obj)
    if kind == "DataTree" and (roi is not None or segments is not None):
        raise CriterionError("roi= and segments= differ by session: choose before making the tree")
    chosen = {
        group: choose(ds, variables=variables, roi=roi, segments=segments) if ds.variables else ds
        for group, ds in groups.items()
    }
    fitting = _chunks_by_group(chosen, chunks)
    layouts = {
        group: with_dtypes(ds, layout_of(ds, kind=kind, name=name), dtype)
        for group, ds in chosen.items()
    }
    parameters = {
        "variables": None if variables is None else _names(variables),
        "dtype": dtype if dtype is None or isinstance(dtype, Mapping) else str(np.dtype(dtype)),
        "chunks": chunks,
        "compression": compression,
        "roi": roi,
        "segments": segments,
    }
    with (
        Origin(groups, digest) as origin,
        _made(target, overwrite=overwrite, check=origin.check_target) as temporary,
    ):
        # Where all is one file, chunks need not share one.
        sharded = file_format == "zarr" and not packed
        parts = {
            group: Part(
                ds, prepare(ds, layout, file_format, fitting[group], sharded=sharded), layout
            )
            for (group, ds), layout in zip(chosen.items(), layouts.values(), strict=True)
        }
        make = writer_of(temporary, file_format, packed, compression)
        attrs = partial(_attrs, parts, origin, parameters, timestamp)
        with (
            progress_bar(target.name, show=progress, in_bytes=True) as report,
            explained(f"could not write {target}", _ADVICE),
        ):
            uninterrupted(partial(write, make, parts, attrs, report))
    return as_given(target)


def _made(
    target: Place, *, overwrite: bool, check: Callable[[Place], None]
) -> AbstractContextManager[Path]:
    """Give a temporary path, and make it the target if all goes well."""
    if isinstance(target, RemoteFile):
        return uploaded(target, overwrite=overwrite, check=check)
    return atomic_target(target, overwrite=overwrite, check=check)


def _place(path: PathLike, overwrite: bool, storage_options: Mapping[str, Any] | None) -> Place:
    """Return where to write: an address, or a place on this computer and not through a link."""
    try:
        target = place_of(path, storage_options)
        if isinstance(target, RemoteFile):
            return target
        # Libraries that read exports take no other names.
        str(target.absolute()).encode()
    except (PlaceError, UnicodeEncodeError) as error:
        raise ExportError(f"cannot save to {path}: {error}") from error
    if target.is_symlink() and (overwrite or not target.exists()):
        raise UnsafeTargetError(
            f"{target} is a link, to {os.path.realpath(target)}: what a link leads to is not "
            "replaced or made. Save to another path, or to that one itself."
        )
    return target


def _format_of(path: Place) -> tuple[Format, bool]:
    """Return the format that a path stands for, and whether it is packed into one file."""
    found = format_named(path)
    if found is None:
        endings = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise ExportError(
            f"cannot tell the format of {path}: the name of an export ends in {endings}"
        )
    return found, path.name.lower().endswith(".zip")


def _groups(obj: Exportable) -> tuple[dict[str, xr.Dataset], Kind, str | None]:
    """Return the Datasets to save by group, and what the whole is."""
    if isinstance(obj, xr.Dataset):
        return {"": obj}, "Dataset", None
    if isinstance(obj, xr.DataTree):
        nodes = {node.path.strip("/"): node.to_dataset(inherit=False) for node in obj.subtree}
        return nodes, "DataTree", obj.name
    if isinstance(obj, xr.DataArray):
        name = obj.name
        if name is not None and not isinstance(name, str):
            raise ExportContentError(f"the name of the array, {name!r}, is not a string")
        free = name if name and name not in obj.coords and name not in obj.dims else "values"
        while free in obj.coords or free in obj.dims:
            free += "_"
        ds = obj.to_dataset(name=free)
        ds.encoding = {
            key: obj.encoding[key] for key in ("source", PROVENANCE) if key in obj.encoding
        }
        return {"": ds}, "DataArray", name
    raise ExportContentError(
        f"cannot save a {type(obj).__name__}: give a Dataset, a DataArray or a DataTree"
    )


def _chunks_by_group(
    groups: Mapping[str, xr.Dataset], chunks: Chunks | None
) -> dict[str, Chunks | None]:
    """Return the chunks that concern each group; what is in none is refused with the largest."""
    if chunks is None:
        return dict.fromkeys(groups)
    if not isinstance(chunks, Mapping):
        raise ExportContentError(f"chunks={chunks!r}: give lengths by dim, e.g. {{'time': 1000}}")
    largest = max(groups, key=lambda group: len(groups[group].dims))
    there = {name for ds in groups.values() for name in (*ds.dims, *ds.variables)}
    return {
        group: {
            key: value
            for key, value in chunks.items()
            if key in ds.dims or key in ds.variables or (key not in there and group == largest)
        }
        for group, ds in groups.items()
    }


def _attrs(
    parts: Mapping[str, Part], origin: Origin, parameters: Mapping[str, Any], timestamp: bool
) -> dict[str, dict[str, Any]]:
    """Return the attributes of the groups, with what the export adds."""
    found = {}
    for group, part in parts.items():
        segments = n.SEQUENCE if n.SEQUENCE in part.ds.dims else n.SEGMENT
        asked = {
            **parameters,
            "roi": describe_subset(part.ds, n.ROI, parameters["roi"]),
            "segments": describe_subset(part.ds, segments, parameters["segments"]),
        }
        found[group] = {
            **group_attrs(part.ds, part.stored),
            **origin.attrs(group, part.ds, asked, timestamp=timestamp),
            LAYOUT: part.layout.to_json(),
        }
    return found


# -- the part that is asked for -------------------------------------------------------------------
def choose(
    ds: xr.Dataset,
    *,
    variables: str | Iterable[str] | None = None,
    roi: Any = None,
    segments: Any = None,
) -> xr.Dataset:
    """Return the part of a Dataset that is asked for; still lazy."""
    if variables is not None:
        wanted = _names(variables)
        if missing := [name for name in wanted if name not in ds.variables]:
            raise MissingVariableError(
                f"variables={variables!r}: there is no {', '.join(map(repr, missing))}; there are "
                f"{', '.join(map(str, ds.data_vars))}"
            )
        ds = ds.drop_vars([name for name in ds.data_vars if name not in wanted])
    if roi is not None:
        ds = _take(ds, n.ROI, roi, "roi")
    if segments is not None:
        dim = n.SEQUENCE if n.SEQUENCE in ds.dims else n.SEGMENT
        if isinstance(segments, xr.Dataset | xr.DataArray) and n.SEGMENT in segments.coords:
            segments = segments[n.SEGMENT].values
        ds = _take(ds, dim, segments, "segments")
        if n.FLOW_SEGMENT in ds.dims and dim == n.SEGMENT:
            kept = np.isin(ds[n.FLOW_SEGMENT].values, ds[n.SEGMENT].values)
            ds = ds.isel({n.FLOW_SEGMENT: np.flatnonzero(kept)})
    return ds


def _names(variables: Any) -> list[Any]:
    """Return the names of variables, one or several, as a list."""
    is_one = isinstance(variables, str) or not np.iterable(variables)
    names = [variables] if is_one else list(variables)
    if not all(isinstance(name, str) for name in names):
        raise MissingVariableError(f"variables={variables!r}: give the names of data variables")
    return names


def _take(ds: xr.Dataset, dim: str, wanted: Any, option: str) -> xr.Dataset:
    if dim not in ds.dims or dim not in ds.xindexes:
        raise CriterionError(
            f"{option}= chooses along {dim!r}, but this has the dims {', '.join(map(str, ds.dims))}"
        )
    if isinstance(wanted, Mapping | set | frozenset):
        raise CriterionError(f"{option}={wanted!r}: give labels in a list, or a slice of them")
    asked, size = np.atleast_1d(np.asarray(wanted)), ds.sizes[dim]
    index, labels = ds.get_index(dim), pd.Index(asked.ravel())
    if asked.ndim > 1:
        problem = f"has shape {asked.shape}: give labels in one row"
    elif asked.dtype.kind == "b" and asked.size != size:
        problem = f"has {asked.size} booleans, but there are {size} along {dim!r}"
    elif asked.dtype.kind == "b" or not asked.size:
        return ds.isel({dim: np.flatnonzero(asked)})
    elif not index.is_unique:
        problem = (
            f"chooses by the labels of {dim!r}, but some of them are there more than once: "
            f"{few(index[index.duplicated()].unique())}. Choose with isel first."
        )
    elif isinstance(wanted, slice):
        return ds.sel({dim: wanted})
    elif not labels.is_unique:
        repeated = few(labels[labels.duplicated()].unique())
        problem = (
            f"names the same {dim} more than once: {repeated}. It would be counted twice: give "
            "each once."
        )
    else:
        position = index.get_indexer(labels)
        if (position >= 0).all():
            return ds.isel({dim: position})
        there = (
            f"there are {size}, from {index.min()} to {index.max()}" if size else "there is none"
        )
        problem = f"asks for what is not there: no {dim} {few(asked[position < 0])}; {there}"
    raise CriterionError(f"{option}= {problem}")


def describe_subset(ds: xr.Dataset, dim: Hashable, asked: Any) -> Any:
    """Return the labels that a subset has along a dim, for the parameters of an export."""
    if asked is None:
        return None
    return ds[dim].values.tolist() if dim in ds.coords else int(ds.sizes.get(dim, 0))
