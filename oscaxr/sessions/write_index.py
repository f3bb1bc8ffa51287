"""Indexes of sessions: where their values lie, so that they open without their HDF5 files."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

from oscaxr.errors import AmbiguousSessionError, CriterionError, FormatError, listed
from oscaxr.files.remote import RemoteFile, as_given
from oscaxr.formats.registry import INDEX, NWB
from oscaxr.options import OpenOptions, PathLike, check_options
from oscaxr.progress import Report, progress_bar
from oscaxr.sessions.asked import many_sources
from oscaxr.sessions.open import SessionSource
from oscaxr.sessions.settings import Table, settled
from oscaxr.sessions.tree import node_of


def write_index(
    sessions: Any,
    path: PathLike,
    *,
    datadir: PathLike | None = None,
    table: Table | None = None,
    overwrite: bool = False,
    target_options: Mapping[str, Any] | None = None,
    progress: bool | Report = True,
    **options: Unpack[OpenOptions],
) -> Path | str:
    """Write an index of sessions: one JSON file that says where their values lie in NWB files.

    With it, :func:`open_session` opens a session without its HDF5 file being searched first, which
    over a network is what takes long. The index holds references of kerchunk (version 1, a group a
    session), so that plain xarray opens it, too. Nothing is copied but what is small.

    Parameters
    ----------
    sessions : pandas.DataFrame, path-like, or iterable of int or path-like
        As for :func:`open_sessions`: NWB files, their URLs, a folder, rows of the session table.
    path : path-like
        Where to: a file ``.json``, or its address in an object store (``s3://bucket/i.json``).
    datadir, table : optional
        As for :func:`open_sessions`; with a table, the index has its facts and numbers.
    overwrite : bool, optional
        Whether to replace a file that is there.
    target_options : mapping, optional
        How the object store of `path` is reached (``storage_options`` are for `sessions`).
    progress : bool or callable, optional
        Whether to show a progress bar on a terminal; or a function of (sessions done, all).
    **options
        How to open the sessions, as for :func:`open_session`: ``storage_options``,
        ``drop_variables``.

    Returns
    -------
    Path or str
        `path`; of an address, a str.

    Raises
    ------
    FormatError
        If the values of a session are stored so that they cannot be referred to: with other
        filters than gzip, or in several files. All sessions and variables are listed.
    AmbiguousSessionError
        If the same session is asked for twice.
    TargetExistsError
        If `path` exists, and is not to be overwritten.

    Notes
    -----
    The index has dF/F, running, pupil, both clocks, the stimulus table, ids of ROIs and the facts
    of the session; not the masks and images, nor the parameters of Gabor patches and squares. It
    has the addresses of local files with their whole path, and of each file its size and its time
    of change (on a server, its ETag): once a file was changed, the index has to be written again.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = tempfile.mkdtemp()
    >>> path = ox.sample.write_nwb(ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02), folder)
    >>> index = ox.write_index(path, f"{folder}/sessions.json")
    >>> with ox.open_session(index) as ds:
    ...     ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1).sizes["roi"]
    4
    """
    target = settled(path, target_options)
    if not INDEX.is_named(target.name):
        raise CriterionError(
            f"{target}: an index is a JSON file, so give a name that ends in .json"
        )
    sources = many_sources(sessions, datadir=datadir, table=table, options=check_options(options))
    found: dict[str, Any] = {}
    problems = []
    with progress_bar("indexing", show=progress) as report:
        for done, source in enumerate(sources, start=1):
            _refuse_secrets(source)
            with source.open() as ds:
                group = node_of(ds).strip("/")
                if group in found:
                    raise AmbiguousSessionError(f"{source}: {group} was asked for twice")
                try:
                    found[group] = INDEX.described(ds, NWB.stored_series)
                except FormatError as error:
                    problems.append(str(error))
            report(done, len(sources))
    if problems:
        raise FormatError(f"{len(problems)} session(s) cannot be indexed:{listed(problems)}")
    INDEX.write(found, target, version("oscaxr"), overwrite=overwrite)
    return as_given(target)


def _refuse_secrets(source: SessionSource) -> None:
    """Refuse addresses that an index may not say to everybody, or that will not last."""
    for place in source.places:
        if isinstance(place, RemoteFile) and place.url != str(place):
            raise CriterionError(
                f"{place} was given with a user, a query or a fragment, which an index does not "
                "keep: give an address that needs none, and a login as storage_options"
            )
