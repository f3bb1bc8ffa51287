"""Open a session: by path, by id, or by mouse and session number."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from oscaxr.catalog import session_row
from oscaxr.catalog import sessions as read_table
from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.io.backend import OscaxrBackendEntrypoint
from oscaxr.io.locate import find_session_files

PathLike = str | os.PathLike[Any]


def open_session(
    session_id: int | PathLike | None = None,
    *,
    mouse: int | None = None,
    session: int | None = None,
    runtype: str | None = None,
    datadir: PathLike | None = None,
    sessions: PathLike | pd.DataFrame | None = None,
    include: str | Collection[str] = (),
    drop_variables: str | Iterable[str] | None = None,
    chunks: Any = None,
) -> xr.Dataset:
    """Open one session as a lazy Dataset.

    Parameters
    ----------
    session_id : int or path-like, optional
        The 9-digit session id, or the path of an NWB file.
    mouse, session : int, optional
        Number of the mouse and of its session, as in the session table, instead of the id.
    runtype : {"prod", "pilot"}, optional
        Tells apart mice that have the same number in production and pilot.
    datadir : path-like, optional
        Folder below which the session's files are looked for, at any depth.
    sessions : path-like or pandas.DataFrame, optional
        The session table. Needed for `mouse` and `session`, unless the numbers that
        :func:`oscaxr.find_sessions` gives are meant; otherwise optional: without it the facts of
        the session are those that its file knows.
    include : str or collection of str, optional
        Heavy parts to have too: ``"squares"``, ``"templates"``, ``"movie"``, or ``"all"``. They
        are lazy then as well.
    drop_variables : str or iterable of str, optional
        Names to leave out.
    chunks : optional
        As for :func:`xarray.open_dataset`: dask arrays of these chunks; ``{}`` takes the file's.

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
    FormatError
        If the file is not laid out as specified; all problems are listed.

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
    paths, row = _find(session_id, mouse, session, runtype, datadir, sessions)
    return xr.open_dataset(
        paths[0],
        engine=OscaxrBackendEntrypoint,
        chunks=chunks,
        drop_variables=drop_variables,
        include=include,
        files=tuple(paths[1:]),
        facts=None if row is None else row.to_dict(),
    )


def _find(
    session_id: int | PathLike | None,
    mouse: int | None,
    session: int | None,
    runtype: str | None,
    datadir: PathLike | None,
    sessions: PathLike | pd.DataFrame | None,
) -> "tuple[tuple[Path, ...], pd.Series[Any] | None]":
    """Return the files of the session that was asked for, and its row of the table."""
    table = None if sessions is None else read_table(_plain(sessions))
    numbered = mouse is not None or session is not None
    if session_id is None and not numbered:
        raise CriterionError("say which session: a session id, a path, or mouse= and session=")
    if session_id is not None and numbered:
        raise CriterionError("give a session id or path, or mouse= and session=, not both")
    if isinstance(session_id, str | os.PathLike) and not _is_number(session_id):
        path = Path(session_id)
        row = None if table is None else _row_of_file(table, path)
        return (path,), row
    if datadir is None:
        raise CriterionError(
            "say where to look: datadir= is the folder below which the session's files lie (or "
            "give the path of a file)"
        )
    if table is None and numbered:
        raise CriterionError(
            "mouse= and session= are numbers of the session table: give sessions= (the path of "
            "mouse_df.csv, or oscaxr.find_sessions(datadir) to number the sessions found)"
        )
    if table is None:
        assert session_id is not None
        return find_session_files(Path(datadir), int(str(session_id))), None
    row = session_row(
        table,
        session_id=None if session_id is None else int(str(session_id)),
        mouse=mouse,
        session=session,
        run_type=runtype,
    )
    start_time = str(row.get("full_timestamp", "")) or None
    paths = find_session_files(
        Path(datadir), int(row["sessid"]), mouse_id=int(row["mouseid"]), start_time=start_time
    )
    return paths, row


def _plain(sessions: PathLike | pd.DataFrame) -> str | Path | pd.DataFrame:
    return sessions if isinstance(sessions, pd.DataFrame) else Path(sessions)


def _is_number(value: PathLike) -> bool:
    return isinstance(value, str) and value.isdecimal()


def _row_of_file(table: pd.DataFrame, path: Path) -> "pd.Series[Any]":
    """Return the row of the table that belongs to a file, by the file's own session id."""
    from oscaxr.io.locate import read_identity

    if not path.is_file():
        raise SessionNotFoundError(f"cannot open {path} as a session: there is no such file")
    identity = read_identity(path)
    if identity["session_id"] is None:
        raise SessionNotFoundError(
            f"{path} states no session id, so its row of the session table cannot be told. Open "
            "it without sessions=, or by session id with datadir=."
        )
    return session_row(table, session_id=identity["session_id"])
