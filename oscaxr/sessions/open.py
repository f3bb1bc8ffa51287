"""Open one session, or many: by path, by id, or by mouse and session number."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal, Unpack

import xarray as xr

from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    FailedSessionsWarning,
    OscaxrError,
    SessionsFailedError,
    warn,
)
from oscaxr.options import OpenOptions, PathLike, check_options
from oscaxr.progress import progress_bar
from oscaxr.sessions import asked
from oscaxr.sessions.asked import Table
from oscaxr.sessions.table import session_row

Errors = Literal["raise", "collect"]


def open_session(
    session_id: int | PathLike | None = None,
    *,
    mouse: int | None = None,
    session: int | None = None,
    run_type: str | None = None,
    datadir: PathLike | None = None,
    table: Table | None = None,
    **options: Unpack[OpenOptions],
) -> xr.Dataset:
    """Open one session as a lazy Dataset.

    Parameters
    ----------
    session_id : int or path-like, optional
        The 9-digit session id, or the path of an NWB file, of a session's folder in the original
        layout (``ophys_session_<id>``), or of what :func:`oscaxr.save` wrote (``.zarr``,
        ``.zarr.zip``, ``.nc``: they hold the facts and the parts that were saved). Or the
        ``https://`` URL of an NWB file, of which only what is used is fetched.
    mouse, session : int, optional
        Number of the mouse and of its session, as in the session table, instead of the id.
    run_type : {"prod", "pilot"}, optional
        Tells apart mice that have the same number in production and pilot.
    datadir : path-like, optional
        Folder below which the session's files are looked for, at any depth: NWB files first, then
        its folder in the original layout, then its export.
    table : path-like or pandas.DataFrame, optional
        The session table. Needed for `mouse` and `session`, unless the numbers that
        :func:`oscaxr.find_sessions` gives are meant; otherwise optional: without it the facts of
        the session are those that its file knows.
    **options
        How to open it; an option that the session's format cannot honour is an error.

        - ``include``: heavy parts to have too, ``"squares"``, ``"templates"``, ``"movie"``, or
          ``"all"`` of them; they are lazy then as well.
        - ``drop_variables``: names to leave out.
        - ``chunks``: as for :func:`xarray.open_dataset`: dask arrays of these chunks; ``{}`` takes
          the file's.
        - ``storage_options``: how to read from a server: ``headers`` (mapping) or ``auth`` (user,
          password) where it needs a login; ``timeout`` (s), ``retries``, ``retry_wait`` (s);
          ``block_size`` (bytes fetched at least at a time), ``cache_size`` (bytes kept in a
          temporary file for each open file).
        - ``fluorescence`` (original layout): whether ``dff`` holds dF/F (``"dff"``, the default)
          or raw fluorescence (``"raw"``), which its attributes then say.
        - ``segmentation`` (original layout): which ROIs. Dendritic planes have those that EXTRACT
          found (``"extr"``, the default there) and those of the Allen segmentation (``"allen"``);
          somatic planes have the latter only.
        - ``keep_decoded`` (original layout): whether to keep the decoded stimulus log in the
          user's cache folder (or the one given), by its content, so that the session opens faster
          next time.

    Returns
    -------
    xarray.Dataset
        The same as ``xr.open_dataset(path, engine="oscaxr")`` gives, with the facts of the session
        table. Use ``with`` or ``.close()`` to release the file.

    Raises
    ------
    SessionNotFoundError
        If the table has no such session, or the folder none of its files.
    AmbiguousSessionError
        If several sessions or files fit.
    SessionMismatchError
        If the file's ids disagree with the table.
    OptionError
        If an option is misspelt, or one that the session's format cannot honour.
    FormatError
        If the file is not laid out as specified; all problems are listed.
    RemoteError
        If a server cannot be reached, or does not serve ranges of files.

    Warns
    -----
    DroppedFramesWarning
        If more than 0.0003 of the running frames are missing.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = tempfile.mkdtemp()
    >>> path = ox.sample.write_nwb(ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02), folder)
    >>> with ox.open_session(758519303, datadir=folder) as ds:
    ...     dict(ds.dff.sizes)["roi"]
    4
    """
    checked = check_options(options)
    numbered = mouse is not None or session is not None
    if session_id is None and not numbered:
        raise CriterionError("say which session: a session id, a path, or mouse= and session=")
    if session_id is not None and numbered:
        raise CriterionError("give a session id or path, or mouse= and session=, not both")
    if run_type is not None and table is None:
        raise CriterionError(f"run_type={run_type!r} is told by the session table: give table= too")
    known = None if table is None else asked.typed_table(table)
    if session_id is not None:
        return asked.id_or_path(session_id, datadir, known, checked, run_type).open()
    folder = asked.data_folder(datadir)
    if known is None:
        raise CriterionError(
            "mouse= and session= are numbers of the session table: give table= (the path of "
            "mouse_df.csv, or oscaxr.find_sessions(datadir) to number the sessions found)"
        )
    row = asked.plain(session_row(known, mouse=mouse, session=session, run_type=run_type))
    return asked.SessionSource((), row["session_id"], folder, facts=row, options=checked).open()


def open_sessions(
    sessions: Any,
    *,
    datadir: PathLike | None = None,
    table: Table | None = None,
    errors: Errors = "raise",
    progress: bool = True,
    **options: Unpack[OpenOptions],
) -> xr.DataTree:
    """Open many sessions as a tree of lazy Datasets.

    Parameters
    ----------
    sessions : pandas.DataFrame, path-like, or iterable of int or path-like
        Rows of the session table (:func:`oscaxr.session_table`, queried at will), the path of a
        session table (``.csv``), a folder to scan (for NWB files, folders in the original layout
        and exports, at any depth), or session ids and paths or URLs of files.
    datadir : path-like, optional
        Folder below which the sessions' files are looked for.
    table : path-like or pandas.DataFrame, optional
        The session table, where `sessions` are ids, paths or a folder.
    errors : {"raise", "collect"}, optional
        What to do about a session that cannot be opened: raise, or leave it out with a warning
        that gives the reason; the tree's attribute ``failures`` keeps it.
    progress : bool, optional
        Show a progress bar on a terminal.
    **options
        As for :func:`open_session`.

    Returns
    -------
    xarray.DataTree
        Nodes ``/mouse_6/session_1`` by the numbers of the table (``/pilot_mouse_2/...`` for
        pilots, whose mice are numbered anew), or ``/mouse_408021/session_758519303`` by the ids
        where there is no table; in the order asked for. The root holds no data. Without a table,
        the sessions of a folder are numbered as by :func:`oscaxr.find_sessions`, unless an export
        among them states its published numbers: then the others go by their ids.

    Raises
    ------
    OscaxrError
        As for :func:`open_session`, for the first session that cannot be opened.
    AmbiguousSessionError
        If the same session is asked for twice, or is in a folder more than once.
    SessionNotFoundError
        If there is no session in a folder.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = tempfile.mkdtemp()
    >>> table = ox.sample.write_mouse(folder, scale=0.02, n_rois=(4, 4, 4))
    >>> with ox.open_sessions(table.query("session <= 2"), datadir=folder) as tree:
    ...     [node.path for node in tree.leaves]
    ['/mouse_1/session_1', '/mouse_1/session_2']
    """
    check_errors(errors)
    # Without a cache, or a sweep over the tree would gather all that it reads.
    chosen = {**check_options(options), "cache": False}
    opened: dict[str, xr.Dataset] = {}
    failures: dict[str, str] = {}
    sources = asked.many_sources(sessions, datadir=datadir, table=table, options=chosen)
    with ExitStack() as stack, progress_bar("opening sessions", show=progress) as report:
        for done, source in enumerate(sources, start=1):
            try:
                ds = source.open()
                stack.callback(ds.close)
                node = node_of(ds)
                if node in opened:
                    ds.close()
                    raise AmbiguousSessionError(f"{source}: {node} was asked for twice")
                opened[node] = ds
            except OscaxrError as error:
                if errors == "raise":
                    raise
                failures[str(source)] = f"{type(error).__name__}: {error}"
            report(done, len(sources))
        stack.pop_all()
    return tree_of(opened, failures)


def facts_of(ds: xr.Dataset) -> dict[str, Any]:
    """Return what is said of a session by single values."""
    return {str(name): coord.values[()] for name, coord in ds.coords.items() if not coord.dims}


def node_of(ds: xr.Dataset) -> str:
    """Return the place of a session in a tree of sessions."""
    facts = facts_of(ds)
    if "mouse" in facts and "session" in facts:
        pilot = "pilot_" if facts.get("run_type") == "pilot" else ""
        return f"/{pilot}mouse_{facts['mouse']}/session_{facts['session']}"
    session = facts.get("session_id", ds.attrs.get("session_name", "unknown"))
    return f"/mouse_{facts.get('mouse_id', 'unknown')}/session_{session}"


def tree_of(
    nodes: Mapping[str, xr.Dataset | xr.DataTree], failures: Mapping[str, str] | None = None
) -> xr.DataTree:
    """Make a tree of sessions, or of results by session."""
    tree = xr.DataTree.from_dict(dict(nodes))
    for node, ds in nodes.items():
        # A node is made of a copy, which does not know how to close its files.
        tree[node].set_close(ds.close)
    if failures:
        tree.attrs["failures"] = warn_of_failures(failures)
    return tree


def warn_of_failures(failures: Mapping[str, str]) -> str:
    """Warn of sessions that failed and are left out."""
    lines = "\n".join(f"{name}: {reason}" for name, reason in failures.items())
    warn(f"{len(failures)} session(s) failed and are left out:\n{lines}", FailedSessionsWarning)
    return lines


def tell_failures(failures: Mapping[str, str], results: object, errors: Errors) -> None:
    """Raise or warn, as was asked for, where sessions failed."""
    if failures and errors == "raise":
        raise SessionsFailedError(dict(failures), results)
    if failures:
        warn_of_failures(failures)


def check_errors(errors: str) -> None:
    """Refuse a word that is no policy for failing sessions."""
    if errors not in ("raise", "collect"):
        raise CriterionError(f"errors={errors!r}: it is 'raise' or 'collect'")
