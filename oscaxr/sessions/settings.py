"""Where sessions and their table are, where a call does not say: the environment, the folder."""

import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from oscaxr.arrays.columns import DEFAULT as DEFAULT_THREADS
from oscaxr.arrays.columns import VARIABLE as THREADS
from oscaxr.arrays.columns import thread_count
from oscaxr.errors import (
    CriterionError,
    MissingLibraryError,
    RemoteError,
    SessionNotFoundError,
    TableError,
)
from oscaxr.files.folders import has_file
from oscaxr.files.remote import Place, is_url, place_of
from oscaxr.options import PathLike
from oscaxr.sessions.table import session_table

TABLE_NAME: Final = "mouse_df.csv"
DATADIR: Final = "OSCAXR_DATADIR"
TABLE: Final = "OSCAXR_TABLE"

_ARGUMENT: Final = "the argument"
_IN_FOLDER: Final = "lies in the data folder"
_UNSET: Final = "is not set"
# Where Python's tempfile looks first.
_TEMPORARY: Final = ("TMPDIR", "TEMP", "TMP")

Table = PathLike | pd.DataFrame
Storage = Mapping[str, Any] | None
"""How a server is reached, where a place is on one."""


class Setting(NamedTuple):
    """A place that is used, and who said so."""

    value: Place | None
    source: str


class KnownTable(NamedTuple):
    """A session table, if there is one; one that nobody gave need not have all sessions."""

    rows: pd.DataFrame | None = None
    found: str = ""
    """Which one it is and where it was found; empty where it was given."""


NO_TABLE: Final = KnownTable()


def datadir_setting(datadir: PathLike | None = None, storage: Storage = None) -> Setting:
    """Return the data folder: the one given, else that of the environment."""
    return _given(datadir, DATADIR, storage)


def table_setting(
    table: PathLike | None = None, datadir: PathLike | None = None, storage: Storage = None
) -> Setting:
    """Return the session table: the one given, that of the environment, that in the data folder."""
    asked = _given(table, TABLE, storage)
    folder = datadir_setting(datadir, storage).value
    inside = table_in(folder) if asked.value is None and folder is not None else None
    return asked if inside is None else Setting(inside, _IN_FOLDER)


def _given(argument: PathLike | None, variable: str, storage: Storage) -> Setting:
    if argument is not None:
        return Setting(settled(argument, storage), _ARGUMENT)
    said = os.environ.get(variable)
    return Setting(settled(said, storage), variable) if said else Setting(None, _UNSET)


def settled(path: PathLike, storage: Storage) -> Place:
    """Return a place; how a server is reached concerns one on a server only."""
    return place_of(path, storage if is_url(path) else None)


def table_in(folder: Place) -> Place | None:
    """Return the session table that lies in a data folder, if there is one."""
    return folder / TABLE_NAME if has_file(folder, TABLE_NAME) else None


def data_folder(datadir: PathLike | None, storage: Storage = None) -> Place:
    """Return the folder to look in."""
    setting = datadir_setting(datadir, storage)
    if setting.value is None:
        raise CriterionError(
            f"say where to look: give datadir=, the folder of the files, or set {DATADIR}"
        )
    if setting.source == DATADIR and not _may_be(setting, Path.is_dir):
        raise SessionNotFoundError(
            f"{DATADIR} is {setting.value}, which is no folder. Correct it, or give datadir="
        )
    return setting.value


def known_table(
    table: Table | None, datadir: PathLike | None = None, storage: Storage = None
) -> KnownTable:
    """Return the session table that was given, or else the one at hand; typed and checked."""
    if isinstance(table, pd.DataFrame):
        return KnownTable(session_table(table))
    setting = table_setting(table, datadir, storage)
    if setting.value is None:
        return NO_TABLE
    if setting.source == TABLE and not _may_be(setting, Path.is_file):
        raise TableError(
            f"{TABLE} is {setting.value}, which is no file. Correct it, or give table="
        )
    found = "" if setting.source == _ARGUMENT else f"{setting.value} ({_found_as(setting)})"
    return KnownTable(session_table(setting.value), found)


def _may_be(setting: Setting, is_kind: Callable[[Path], bool]) -> bool:
    """Say whether a place is of a kind; of one on a server, that is told when it is read."""
    place = setting.value
    return is_kind(place) if isinstance(place, Path) else place is not None


def _found_as(setting: Setting) -> str:
    return "found in the data folder" if setting.source == _IN_FOLDER else setting.source


def show_config(
    *,
    datadir: PathLike | None = None,
    table: PathLike | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Print which data folder, session table and number of threads are used, and who said so.

    Parameters
    ----------
    datadir, table : path-like, optional
        As given to :func:`oscaxr.open_session` and its like: what is used beside them is shown.
    storage_options : mapping, optional
        How the server of a data folder is reached, in which a table is looked for; where it cannot
        be reached, that is said in place of the table.

    Notes
    -----
    An argument counts before the environment (``OSCAXR_DATADIR``, ``OSCAXR_TABLE``), and that
    before a ``mouse_df.csv`` that lies in the data folder. A table that was given has to have all
    sessions; of one that was found, sessions that it lacks do without, with a warning.

    Examples
    --------
    >>> show_config(datadir="my-data")  # doctest: +SKIP
    oscaxr 0.1.0
    datadir          my-data               the argument
    table            my-data/mouse_df.csv  lies in the data folder
    threads          2                     default
    temporary files  /tmp                  default
    """
    folder = datadir_setting(datadir, storage_options)
    threads = thread_count()
    temporary = next((name for name in _TEMPORARY if os.environ.get(name)), "default")
    rows = [
        ("datadir", _shown(folder, _may_be(folder, Path.is_dir))),
        ("table", _table_shown(table, datadir, storage_options)),
        ("threads", (str(threads), THREADS if threads != DEFAULT_THREADS else "default")),
        ("temporary files", (tempfile.gettempdir(), temporary)),
    ]
    width = max(len(value) for _, (value, _) in rows)
    print(f"oscaxr {version('oscaxr')}")
    for name, (value, source) in rows:
        print(f"{name:<15}  {value:<{width}}  {source}")


def _table_shown(
    table: PathLike | None, datadir: PathLike | None, storage: Storage
) -> tuple[str, str]:
    try:
        setting = table_setting(table, datadir, storage)
    # To say what is set is most needed where it does not work.
    except (MissingLibraryError, RemoteError) as error:
        return "unknown", f"the data folder cannot be looked into: {error}"
    return _shown(setting, _may_be(setting, Path.is_file))


def _shown(setting: Setting, is_there: bool) -> tuple[str, str]:
    if setting.value is None:
        return "none", setting.source
    return str(setting.value), setting.source + ("" if is_there else ", but it is not there")
