"""Which sessions lie below a folder, and the session table that they make."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Never

import pandas as pd

from oscaxr.errors import AmbiguousSessionError, OscaxrError, OscaxrWarning, warn
from oscaxr.files.remote import Place
from oscaxr.formats.identity import Identity
from oscaxr.formats.published import file_of
from oscaxr.formats.registry import NWB, ORIGINAL, places_below
from oscaxr.model.facts import MISSING_INT
from oscaxr.options import PathLike
from oscaxr.renamed import refuse_keywords
from oscaxr.sessions.owners import Found, FoundSession, sessions_at
from oscaxr.sessions.settings import data_folder
from oscaxr.sessions.table import session_table

FOUND_COLUMNS: Final = (
    "session_id",
    "dandi_session_time",
    "mouse",
    "mouse_id",
    "sex",
    "date",
    "line",
    "session",
    "n_rois",
    "n_rois_tracked",
    "path",
    "n_files",
    "bytes",
    "published_bytes",
)
_COUNTS: Final = dict.fromkeys(("n_files", "bytes", "published_bytes"), "int64")
# What is called otherwise in an identity.
_COLUMN_OF: Final = {"start": "dandi_session_time", "n_tracked": "n_rois_tracked"}


def find_sessions(
    datadir: PathLike | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> pd.DataFrame:
    """Make a session table from the sessions below a folder.

    Parameters
    ----------
    datadir : path-like, optional
        Folder, of this computer or of an object store (``s3://bucket/...``, ``gs://bucket/...``);
        files are looked for at any depth. By default ``OSCAXR_DATADIR``.
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    pandas.DataFrame
        One row a session, in order of mouse id and start, with the columns of
        :func:`oscaxr.session_table` that files can tell (``session_id``, ``dandi_session_time``,
        ``mouse``, ``mouse_id``, ``sex``, ``date``, ``line``, ``session``, ``n_rois``,
        ``n_rois_tracked``), ``path`` (str, the session's first NWB file, or its folder in the
        original layout, or its export, where there is none), ``n_files``, ``bytes`` (of its NWB
        files on this computer; -1 otherwise) and ``published_bytes`` (what the archive's files of
        the same names have, without asking it; -1 where it has none of such a name, or ``bytes`` is
        not known).

    Raises
    ------
    SessionNotFoundError
        There is no such folder.
    AmbiguousSessionError
        There is an export of a session beside its files, or several exports of it: all are named.

    Warns
    -----
    OscaxrWarning
        Files that could not be read, and files of unknown session or mouse, which have no row.

    Notes
    -----
    Files do not say the published numbers: ``mouse`` counts the mice found, by mouse id, and
    ``session`` the sessions found of each mouse, by start. They equal the published numbers only
    where all sessions of all production mice are there. ``line`` follows from the genotype
    (Cux2 or Rbp4), ``date`` is the day in Los Angeles. Files of the dataset have the digits
    of UTC beside another offset, which is not heeded.

    Examples
    --------
    >>> import tempfile
    >>> len(find_sessions(tempfile.mkdtemp()))
    0
    """
    refuse_keywords("find_sessions", unknown, ())
    folder = data_folder(datadir, storage_options)
    found = sessions_below(folder)
    table = table_of(found)
    doubtful = [one.problem for one in found.sessions if one.problem]
    say_problems(folder, [*found.problems, *doubtful, *found.unreadable.values()])
    return table


def say_problems(datadir: object, problems: Sequence[str]) -> None:
    """Warn of what could not be used."""
    if problems:
        warn(
            f"Not all files below {datadir} could be used:\n  " + "\n  ".join(problems),
            OscaxrWarning,
        )


# -- all sessions of a folder ---------------------------------------------------------------------
def sessions_below(datadir: Place) -> Found:
    """Find the sessions below a folder, those in the original layout only if there is no NWB."""
    problems: list[str] = []
    places = places_below(datadir, lambda error: problems.append(str(error)))
    found = sessions_at(places)
    found.problems[:0] = problems
    return without_originals_of_nwb(found)


def without_originals_of_nwb(found: Found) -> Found:
    """Leave out the original folder of sessions whose NWB files are there."""
    have = {one.identity.session_id for one in found.sessions if one.format is NWB}
    return found._replace(
        sessions=[
            one
            for one in found.sessions
            if one.format is not ORIGINAL or one.identity.session_id not in have
        ],
    )


# -- as a table -----------------------------------------------------------------------------------
def table_of(found: Found) -> pd.DataFrame:
    """Make a session table of what was found; what has no ids is noted as a problem."""
    refuse_doubles(found)
    rows: list[dict[str, Any]] = []
    for one in found.sessions:
        identity = _read(one, found.problems)
        if identity.session_id is None or identity.mouse_id is None:
            found.problems.append(f"{one.path} states no session id or no mouse id: left out")
            continue
        facts = {_COLUMN_OF.get(name, name): value for name, value in vars(identity).items()}
        rows.append({**facts, "path": str(one.path), "n_files": len(one.paths), **_sizes(one)})
    table = pd.DataFrame(rows, columns=[c for c in FOUND_COLUMNS if c not in ("mouse", "session")])
    order = ["mouse_id", "date", "dandi_session_time", "session_id"]
    table = table.sort_values(order, ignore_index=True)
    table["mouse"] = table.groupby("mouse_id").ngroup() + 1
    table["session"] = table.groupby("mouse_id").cumcount() + 1
    return session_table(table[list(FOUND_COLUMNS)].astype({"path": "str", **_COUNTS}))


def _sizes(found: FoundSession) -> dict[str, int]:
    """Return how large the files of a session are, here and in the archive."""
    here = [path for path in found.paths if isinstance(path, Path)]
    if found.format is not NWB or not here:
        return {"bytes": MISSING_INT, "published_bytes": MISSING_INT}
    listed = [file_of(path) for path in found.paths]
    return {
        "bytes": sum(path.stat().st_size for path in here if path.is_file()),
        "published_bytes": MISSING_INT if None in listed else sum(x.size for x in listed if x),
    }


def _read(found: FoundSession, problems: list[str]) -> Identity:
    """Complete what names say by what the first readable file says."""
    if found.format is not NWB:
        return found.identity
    for path in found.paths:
        try:
            return found.identity.completed(NWB.identity(path))
        except OscaxrError as error:
            if str(error) not in problems:
                problems.append(str(error))
    return found.identity


def refuse_doubles(found: Found) -> None:
    """Refuse sessions that are there as an export and otherwise: they need not be the same."""
    paths: dict[int, list[str]] = defaultdict(list)
    for one in found.sessions:
        if one.identity.session_id is not None:
            paths[one.identity.session_id].append(str(one.path))
    doubles = {number: places for number, places in paths.items() if len(places) > 1}
    if doubles:
        lines = [f"\n  {number}: {', '.join(places)}" for number, places in sorted(doubles.items())]
        raise AmbiguousSessionError(
            f"{len(doubles)} session(s) are there more than once, as files and exports or as "
            f"several exports:{''.join(lines)}\nSearch a folder that has each once, or give the "
            "paths of those that you want."
        )
