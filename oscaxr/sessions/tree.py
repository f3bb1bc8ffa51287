"""Open many sessions, as a tree; and what becomes of those that fail."""

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
from oscaxr.sessions.asked import many_sources
from oscaxr.sessions.settings import Table

Errors = Literal["raise", "collect"]


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
        and exports, at any depth), or session ids and paths or URLs of files. Different files of
        one session are joined, where their names or addresses say that they are.
    datadir : path-like, optional
        Folder below which the sessions' files are looked for. By default ``OSCAXR_DATADIR``.
    table : path-like or pandas.DataFrame, optional
        The session table, where `sessions` are ids, paths or a folder. By default
        ``OSCAXR_TABLE``, or the ``mouse_df.csv`` in the data folder, or in the folder to scan.
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
    sources = many_sources(sessions, datadir=datadir, table=table, options=chosen)
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
