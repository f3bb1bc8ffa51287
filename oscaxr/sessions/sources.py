"""Where sessions are to be found: by path, by id, or by mouse and session number."""

import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from oscaxr.errors import (
    CriterionError,
    OscaxrWarning,
    SessionMismatchError,
    SessionNotFoundError,
    warn,
)
from oscaxr.files.remote import RemoteFile, is_url, location
from oscaxr.model import names as n
from oscaxr.model.facts import FACTS, facts_from_row
from oscaxr.sessions.backend import OscaxrBackendEntrypoint, check_original_options
from oscaxr.sessions.discovery import search
from oscaxr.sessions.table import session_row
from oscaxr.sessions.table import session_table as read_table
from oscaxr.store.layout import SUFFIXES

PathLike = str | os.PathLike[Any]


@dataclass(frozen=True)
class SessionSource:
    """Where one session is to be found: small, picklable, and openable anywhere."""

    paths: tuple[Path | RemoteFile, ...]
    facts: Mapping[str, Any] | None
    options: Mapping[str, Any]

    def open(self) -> xr.Dataset:
        """Open the session."""
        # Here, not above: most sessions are NWB files.
        from oscaxr.store.open import is_exported, open_exported

        if is_exported(self.paths[0]):
            if isinstance(self.paths[0], RemoteFile):
                raise CriterionError(
                    f"{self.paths[0]} is what oscaxr.save wrote, by its name. Of files on a "
                    "server, only NWB files are opened: download it first."
                )
            asked = (self.options.get(name) for name in ("fluorescence", "segmentation"))
            check_original_options(str(self.paths[0]), *asked)
            names = ("chunks", "cache", "drop_variables")
            options = {name: self.options.get(name) for name in names}
            opened = open_exported(self.paths[0], **options)
            if not isinstance(opened, xr.Dataset) or n.SEGMENT not in opened.dims:
                opened.close()
                raise CriterionError(
                    f"{self.paths[0]} holds a {type(opened).__name__} that is no session: open it "
                    "with oscaxr.open_exported"
                )
            return opened if self.facts is None else _with_facts(opened, self.facts, options)
        return xr.open_dataset(
            self.paths[0],
            engine=OscaxrBackendEntrypoint,
            files=self.paths[1:],
            facts=self.facts,
            **self.options,
        )


@dataclass(frozen=True)
class SessionRequest:
    """One session that was asked for; looked for only when it is opened."""

    asked: int | PathLike
    datadir: PathLike | None
    row: Mapping[str, Any] | None
    options: Mapping[str, Any]
    table: pd.DataFrame | None = None

    def __str__(self) -> str:
        if isinstance(self.asked, int):
            return f"session {self.asked}"
        # Of a URL, only what is no secret: this is shown.
        return str(location(self.asked))

    def open(self) -> xr.Dataset:
        """Find the session's files and open them."""
        table = self.table if self.row is None else pd.DataFrame([self.row])
        return find_source(
            self.asked, datadir=self.datadir, table=table, options=self.options
        ).open()


def find_requests(
    sessions: Any,
    *,
    datadir: PathLike | None = None,
    table: PathLike | pd.DataFrame | None = None,
    options: Mapping[str, Any],
) -> list[SessionRequest]:
    """Return the sessions that were asked for, one by one."""
    known = None if table is None else typed_table(table)
    if is_url(sessions):
        sessions = [sessions]
    if isinstance(sessions, str | os.PathLike):
        path = Path(sessions)
        if path.is_dir() and not path.name.lower().endswith(SUFFIXES):
            return _requests_below(path, options, known)
        sessions = read_table(path) if path.suffix == ".csv" else [path]
    if isinstance(sessions, pd.DataFrame):
        if known is not None:
            raise CriterionError("sessions= are rows of a session table already: leave table= out")
        rows = read_table(sessions).to_dict("records")
        return [SessionRequest(int(row["sessid"]), datadir, _plain(row), options) for row in rows]
    if not isinstance(sessions, Iterable):
        raise CriterionError(
            f"sessions={sessions!r}: give rows of a session table, ids, paths, or a folder"
        )
    # Rows are looked up when a session is opened: one that has none is a failure of its own.
    return [
        SessionRequest(
            asked if isinstance(asked, str | os.PathLike) else _as_id(asked),
            datadir,
            None,
            options,
            known,
        )
        for asked in sessions
    ]


def _requests_below(
    folder: Path, options: Mapping[str, Any], table: pd.DataFrame | None
) -> list[SessionRequest]:
    """Return the sessions below a folder; exports that cannot be read too, to fail when opened."""
    found = search(folder)
    if found.problems:
        warn(
            f"Not all files below {folder} could be used:\n  " + "\n  ".join(found.problems),
            OscaxrWarning,
        )
    # Numbers that count what is in the folder and published ones do not go together: where an
    # export has its own, the sessions that have none go by their ids.
    counted = table is None and not any(found.exports.values())
    requests = []
    for row in found.table.to_dict("records"):
        asked = Path(row["path"]) if row["path"] in found.exports else int(row["sessid"])
        own = _plain(row) if counted else None
        requests.append(SessionRequest(asked, folder, own, options, table))
    requests += [SessionRequest(path, folder, None, options, table) for path in found.unreadable]
    if not requests:
        raise SessionNotFoundError(
            f"There is no session below {folder}, at any depth: no NWB file (.nwb), no folder in "
            f"the original layout (ophys_session_<id>), no export ({', '.join(SUFFIXES)}) of a "
            "session. Check the path, or make sessions with oscaxr.sample."
        )
    return requests


def find_source(
    session_id: int | PathLike | None = None,
    *,
    mouse: int | None = None,
    session: int | None = None,
    run_type: str | None = None,
    datadir: PathLike | None = None,
    table: pd.DataFrame | None = None,
    options: Mapping[str, Any],
) -> SessionSource:
    """Return the files of the session that was asked for, and its row of the table."""
    numbered = mouse is not None or session is not None
    if session_id is None and not numbered:
        raise CriterionError("say which session: a session id, a path, or mouse= and session=")
    if session_id is not None and numbered:
        raise CriterionError("give a session id or path, or mouse= and session=, not both")
    if run_type is not None and table is None:
        raise CriterionError(
            f"run_type={run_type!r} is told by the session table: give table= as well"
        )
    if isinstance(session_id, str | os.PathLike) and not _is_number(session_id):
        path = location(session_id, options.get("storage_options"))
        is_session = path.suffix.lower() == ".nwb" or _is_original(path) or _is_export(path)
        row = _row_of_file(table, path, run_type) if table is not None and is_session else None
        return SessionSource((path,), _facts(row), options)
    if datadir is None:
        raise CriterionError(
            "say where to look: datadir= is the folder below which the session's files lie (or "
            "give the path of a file)"
        )
    if table is None and numbered:
        raise CriterionError(
            "mouse= and session= are numbers of the session table: give table= (the path of "
            "mouse_df.csv, or oscaxr.find_sessions(datadir) to number the sessions found)"
        )
    number = None if session_id is None else _as_id(session_id)
    if table is None:
        assert number is not None
        return SessionSource(_find_paths(Path(datadir), number), None, options)
    row = session_row(table, session_id=number, mouse=mouse, session=session, run_type=run_type)
    start_time = str(row.get("full_timestamp", "")) or None
    paths = _find_paths(
        Path(datadir), int(row["sessid"]), mouse_id=int(row["mouseid"]), start_time=start_time
    )
    return SessionSource(paths, _facts(row), options)


def _find_paths(datadir: Path, session_id: int, **known: Any) -> tuple[Path, ...]:
    """Find a session's NWB files at any depth; else its original folder; else its export."""
    # Here, not above: importing the package stays as cheap as importing xarray without h5py.
    from oscaxr.formats.nwb.files import find_session_files
    from oscaxr.formats.original.files import find_session_folder
    from oscaxr.sessions.export_search import find_session_export

    try:
        return find_session_files(datadir, session_id, **known)
    except SessionNotFoundError as error:
        folder = find_session_folder(datadir, session_id) if datadir.is_dir() else None
        if folder is None and datadir.is_dir():
            folder = find_session_export(datadir, session_id)
        if folder is None:
            raise SessionNotFoundError(
                f"{error} Nor is there a folder ophys_session_{session_id} in the original layout, "
                f"or an export of it ({', '.join(SUFFIXES)})."
            ) from None
        return (folder,)


def _with_facts(ds: xr.Dataset, row: Mapping[str, Any], options: Mapping[str, Any]) -> xr.Dataset:
    """Add the facts of the session table to an export, as to a session's other files."""
    dropped = options["drop_variables"] or ()
    dropped = {dropped} if isinstance(dropped, str) else set(dropped)
    coords, attrs = facts_from_row(pd.Series(dict(row)))
    differ = [
        f"{name} is {ds[name].item()} in the export, but {coords[name]} in the session table"
        for name in ("session_id", "mouse_id")
        if name in coords and name in ds.coords and ds[name].item() != coords[name]
    ]
    if differ:
        source = ds.encoding.get("source")
        ds.close()
        raise SessionMismatchError(f"{source}: {'; '.join(differ)}. Correct the table.")
    specs = {fact.name: fact for fact in FACTS}
    with_facts = ds.assign_coords(
        {
            name: xr.Variable((), value, specs[name].attrs)
            for name, value in coords.items()
            if name not in dropped
        }
    ).assign_attrs(attrs)
    with_facts.encoding = ds.encoding
    with_facts.set_close(ds.close)
    return with_facts


def _facts(row: "pd.Series[Any] | None") -> dict[str, Any] | None:
    return None if row is None else _plain(row.to_dict())


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def typed_table(sessions: PathLike | pd.DataFrame) -> pd.DataFrame:
    """Return a session table, typed and checked, from a path or a frame."""
    return read_table(sessions if isinstance(sessions, pd.DataFrame) else Path(sessions))


def _is_number(value: PathLike) -> bool:
    return isinstance(value, str) and value.isdecimal()


def _as_id(value: Any) -> int:
    try:
        return operator.index(int(value) if isinstance(value, str) else value)
    except TypeError as error:
        raise CriterionError(
            f"session_id={value!r}: a session id is a whole number, or give the path of a file"
        ) from error


def _is_original(path: Path | RemoteFile) -> bool:
    from oscaxr.formats.original.files import is_session_folder

    return isinstance(path, Path) and is_session_folder(path)


def _is_export(path: Path | RemoteFile) -> bool:
    return isinstance(path, Path) and path.name.lower().endswith(SUFFIXES) and path.exists()


def _row_of_file(
    table: pd.DataFrame, path: Path | RemoteFile, run_type: str | None
) -> "pd.Series[Any]":
    """Return the row of the table that belongs to a file, by the file's own session id."""
    from oscaxr.formats.nwb.files import read_identity
    from oscaxr.formats.original.files import read_tree
    from oscaxr.store.open import provenance_of

    if isinstance(path, Path) and _is_export(path):
        session_id: int | None = provenance_of(path).get("session_id")
    elif isinstance(path, Path) and _is_original(path):
        session_id = read_tree(path).session_id
    elif isinstance(path, RemoteFile) or path.is_file():
        session_id = read_identity(path)["session_id"]
    else:
        raise SessionNotFoundError(f"cannot open {path} as a session: there is no such file")
    if session_id is None:
        raise SessionNotFoundError(
            f"{path} states no session id, so its row of the session table cannot be told. Open "
            "it without table=, or by session id with datadir=."
        )
    try:
        return session_row(table, session_id=session_id, run_type=run_type)
    except SessionNotFoundError as error:
        raise SessionNotFoundError(f"{path}: {error}") from error
