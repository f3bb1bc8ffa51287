"""Which sessions figures are made of: those that were asked for, and that the papers use."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from oscaxr.errors import SessionNotFoundError
from oscaxr.figures.session_tasks import Session
from oscaxr.files.folders import is_folder
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.registry import INDEX
from oscaxr.options import PathLike
from oscaxr.sessions.asked import many_sources
from oscaxr.sessions.open import SessionSource
from oscaxr.sessions.settings import Storage, Table, settled, table_setting
from oscaxr.sessions.table import default_sessions, session_table
from oscaxr.sessions.table_file import is_table

_NUMBERS: Final = (1, 2, 3)
# Criteria by which the papers choose sessions, and their columns of the session table.
_COLUMNS: Final[dict[str, str]] = {
    **{name: name for name in ("pass_fail", "included", "all_files", "any_files", "run_type")},
    "min_rois": "n_rois",
}


def chosen_sources(
    sessions: Any, datadir: PathLike | None, table: Table | None, storage: Storage = None
) -> tuple[list[SessionSource], set[int] | None]:
    """Return the sessions asked for, and the ids of those that the papers use, if a table says."""
    known = table if table is None or isinstance(table, pd.DataFrame) else settled(table, storage)
    if not isinstance(sessions, str | os.PathLike):
        return _opened_with(storage, sessions, datadir, known), None
    path = settled(sessions, storage)
    if is_table(path):
        rows = _rows_of_the_papers(path, session=_NUMBERS)
        if rows.empty:
            raise SessionNotFoundError(f"{path} has none of the sessions that the papers use")
        return _opened_with(storage, rows, datadir or path.parent, None), None
    if known is None and is_folder(path):
        known = table_setting(None, path, storage).value
    sources = _opened_with(storage, path, datadir, known)
    if known is None:
        return sources, None
    return sources, {*_rows_of_the_papers(known)["session_id"].tolist()}


def _opened_with(
    storage: Storage, sessions: Any, datadir: PathLike | None, table: Table | None
) -> list[SessionSource]:
    """Return the sessions asked for; how a server is reached concerns those on one only."""
    options = {"storage_options": storage} if storage else {}
    found = many_sources(sessions, datadir=datadir, table=table, options=options)
    # (An index that is here may be of files that are on one.)
    return [
        one
        if any(
            isinstance(place, RemoteFile) or INDEX.recognises(place)
            for place in (*one.places, one.datadir)
        )
        else replace(one, options={})
        for one in found
    ]


def _rows_of_the_papers(table: Table, **criteria: Any) -> pd.DataFrame:
    """Return the rows of a session table that the papers use, as far as its columns tell."""
    known = session_table(table)
    untold: dict[str, Any] = {name: None for name, own in _COLUMNS.items() if own not in known}
    return default_sessions(known, **untold, **criteria)


def used_by_the_papers(
    there: Sequence[Session], used: set[int] | None
) -> tuple[list[Session], dict[str, str]]:
    """Leave out the sessions that the papers leave out."""
    unused = {
        str(session.source): f"session {session.id}: the papers leave it out (quality, or a pilot)"
        for session in there
        if used is not None and session.id not in used
    }
    return [one for one in there if str(one.source) not in unused], unused
