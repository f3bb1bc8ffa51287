"""Which files of the archive belong to the sessions that were asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Never

import pandas as pd

from oscaxr.download.assets import DANDISET, VERSION, Archive, Asset, Plan
from oscaxr.download.listing import assets_at_hand
from oscaxr.errors import CriterionError, SessionNotFoundError, few, option
from oscaxr.formats.identity import Identity, parse_name
from oscaxr.options import PathLike
from oscaxr.renamed import refuse_keywords
from oscaxr.sessions.settings import NO_TABLE, TABLE, KnownTable, Storage, Table, known_table

# Numbers of mice and sessions in the table are small; mouse ids have 6 digits, session ids 9.
_SMALLEST_ID: Final = 100_000
_LISTED: Final = 12


@dataclass(frozen=True)
class Wanted:
    """One session that was asked for."""

    mouse_id: int
    session_id: int
    start_time: str
    label: str


Named = tuple[Asset, Identity]
Asked = Mapping[str, list[int] | None]
"""Numbers or ids of the ``mice`` and of the ``sessions`` that were asked for; None for all."""


def wanted_sessions(table: pd.DataFrame, asked: Asked, where: str) -> list[Wanted]:
    """Return the rows of a session table that were asked for."""
    rows = _matching(table, asked, "mice", "mouse")
    rows = _matching(rows, asked, "sessions", "session")
    if rows.empty:
        words = [option(word, values) for word, values in asked.items() if values is not None]
        raise SessionNotFoundError(f"{where} has no session with {' and '.join(words)}.")
    return [
        Wanted(
            int(row["mouse_id"]),
            int(row["session_id"]),
            str(row.get("dandi_session_time", "")),
            f"mouse {row['mouse']}, session {row['session']}",
        )
        for row in rows.to_dict("records")
    ]


def table_of_names(files: Sequence[Named], asked: Asked) -> pd.DataFrame:
    """Return what the names of the archive's files tell, ids in place of numbers."""
    for word, values in asked.items():
        numbers = _in_table_only(values)
        if numbers:
            raise CriterionError(
                f"{option(word, numbers)} are numbers of the session table: give the table "
                f"(the path of mouse_df.csv), or set {TABLE}; or give ids instead of numbers."
            )
    columns = ["mouse_id", "session_id", "dandi_session_time"]
    keys = {(name.mouse_id, name.session_id or 0, name.start): None for _, name in files}
    rows = pd.DataFrame(list(keys), columns=columns).sort_values(columns)
    session = rows["session_id"].where(rows["session_id"] > 0, rows["dandi_session_time"])
    return rows.assign(mouse=rows["mouse_id"], session=session)


def _matching(rows: pd.DataFrame, asked: Asked, word: str, number: str) -> pd.DataFrame:
    """Keep the rows with these numbers or ids; refuse those that no row has."""
    values, identity = asked[word], f"{number}_id"
    if values is None:
        return rows
    unknown = [
        value
        for value in values
        if not (rows[identity if value >= _SMALLEST_ID else number] == value).any()
    ]
    if unknown:
        known = sorted(set(rows[number if min(unknown) < _SMALLEST_ID else identity]))
        raise SessionNotFoundError(
            f"{option(word, unknown)}: not found. There are {few(known, _LISTED)}."
        )
    return rows[rows[number].isin(values) | rows[identity].isin(values)]


def files_of(
    wanted: Wanted, files: Sequence[Named], *, templates: bool, movies: bool
) -> list[Asset]:
    """Return the smallest files of a session that hold all that is asked for."""
    own = [(asset, name) for asset, name in files if _is_of(name, wanted)]
    # Files of an earlier release, named by start time, give way to those named by session id.
    own = [pair for pair in own if pair[1].session_id is not None] or own
    if not own:
        return []
    needs = {word for word, asked in (("templates", templates), ("movie", movies)) if asked}
    session: Any = {"mouse_id": wanted.mouse_id, "session_id": wanted.session_id or None}
    holds = {replace(one, **session, label=wanted.label): _held(name) for one, name in own}

    def smallest(needs: set[str]) -> Asset | None:
        fitting = [asset for asset, held in holds.items() if needs <= held]
        return min(fitting, key=lambda asset: (asset.size, asset.path), default=None)

    best = smallest(needs)
    if best is not None:
        extra = sorted(holds[best] - needs)
        note = f"also holds {' and '.join(extra)}: there is no smaller file" if extra else ""
        return [replace(best, note=note)]
    found = {need: smallest({need}) for need in sorted(needs, reverse=True)}
    absent = [need for need, asset in found.items() if asset is None]
    if absent:
        names = ", ".join(sorted(asset.path.rpartition("/")[2] for asset in holds))
        raise SessionNotFoundError(
            f"{wanted.label}: no file holds {' or '.join(absent)}. Its files are {names}."
        )
    return list(dict.fromkeys(asset for asset in found.values() if asset is not None))


def _held(name: Identity) -> set[str]:
    held = {"templates"} if "image" in name.parts else set()
    return held | ({"movie"} if name.obj == "raw" else set())


def _is_of(name: Identity, wanted: Wanted) -> bool:
    if name.mouse_id != wanted.mouse_id:
        return False
    if name.session_id is not None:
        return name.session_id == wanted.session_id
    return bool(wanted.start_time) and name.start == wanted.start_time


def plan(
    *,
    mice: int | Iterable[int] | None = None,
    sessions: int | Iterable[int] | None = None,
    table: PathLike | pd.DataFrame | None = None,
    run_type: str | None = "prod",
    stimulus_templates: bool = False,
    movies: bool = False,
    version: str = VERSION,
    api_url: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> Plan:
    """Plan a download of sessions of DANDI 000037: which files, how many bytes.

    Parameters
    ----------
    mice, sessions : int or iterable of int, optional
        Numbers of mice and of their sessions in the session table, or their ids (6 and 9 digits);
        all by default.
    table : path-like or pandas.DataFrame, optional
        The session table (``mouse_df.csv``), which knows the numbers; by default the one at hand
        (see :func:`oscaxr.show_config`). Without it, or if none is given with ids alone, these are
        looked for in the names of the archive's files.
    run_type : {"prod", "pilot"} or None, optional
        Which sessions of the table.
    stimulus_templates, movies : bool, optional
        Whether the files should hold the stimulus templates (some 2 GB a session), and the
        motion-corrected movie (some 45 GB).
    version : str, optional
        Version of the dandiset; ``"draft"`` for what is not published yet.
    api_url : str, optional
        Another server with the archive's interface.
    storage_options : mapping, optional
        How the server of `table` is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    Plan
        Nothing is downloaded yet: give it to :func:`fetch`.

    Raises
    ------
    SessionNotFoundError
        If sessions or parts that were asked for do not exist, or there is no such version.
    CriterionError
        If numbers are given without a table.
    UnsafePathError
        If a file has a path that leads out of the folder that it is downloaded into.
    DownloadError
        If the archive has to be asked, and cannot be reached.

    Notes
    -----
    The pinned version is planned without the archive, by the list of its files that comes with
    oscaxr, and so are those that :func:`refresh` has listed; others are asked for.

    Of a session's files, the smallest one is taken that holds what is asked for: mostly
    ``*_behavior+ophys.nwb``, with templates ``*_behavior+image+ophys.nwb``, with movies
    ``*_obj-raw*.nwb``.

    Examples
    --------
    >>> from oscaxr.download import fetch, plan
    >>> sessions = plan(mice=[408021], sessions=[758519303])
    >>> sessions.size
    240014960
    >>> fetch(sessions, "data")  # doctest: +SKIP
    """
    refuse_keywords("plan", unknown, plan.__kwdefaults__ or ())
    asked = {"mice": _numbers("mice", mice), "sessions": _numbers("sessions", sessions)}
    known = _table_for(asked, table, storage_options)
    typed, where = known.rows, known.found or "The table"
    if typed is not None and run_type is not None and "run_type" in typed:
        typed = typed[typed["run_type"] == run_type]
    at_hand = assets_at_hand(version, api_url)
    archive = Archive(DANDISET, version, api_url) if at_hand is None else None
    assets = archive.list_assets() if archive else at_hand or []
    names = [parse_name(asset.path.rpartition("/")[2]) for asset in assets]
    files = [(one, name) for one, name in zip(assets, names, strict=True) if name is not None]
    if typed is None:
        typed = table_of_names(files, asked)
        where = "This version of the dandiset"
    wanted = wanted_sessions(typed, asked, where)
    chosen, missing = [], []
    for one in wanted:
        found = files_of(one, files, templates=stimulus_templates, movies=movies)
        chosen += found
        if not found:
            missing.append(f"{one.label} ({one.session_id})")
    if not chosen:
        raise SessionNotFoundError(
            f"None of the sessions asked for is in version {version} of dandiset {DANDISET}: "
            f"{', '.join(missing)}."
        )
    for asset in chosen:
        asset.target(Path())
    complete = archive.with_digests(chosen) if archive else chosen
    return Plan(DANDISET, version, tuple(complete), tuple(missing))


def _table_for(asked: Asked, table: Table | None, storage: Storage) -> KnownTable:
    """Return the session table that is given, or the one at hand, which ids do without."""
    ids_alone = any(asked.values()) and not any(map(_in_table_only, asked.values()))
    return NO_TABLE if table is None and ids_alone else known_table(table, storage=storage)


def _in_table_only(values: list[int] | None) -> list[int]:
    """Return those that are numbers of the session table, and no ids."""
    return [value for value in values or () if value < _SMALLEST_ID]


def _numbers(word: str, values: Any) -> list[int] | None:
    if values is None:
        return None
    numbers = [values] if isinstance(values, int) else list(values)
    if not numbers or not all(isinstance(value, int) and value > 0 for value in numbers):
        raise CriterionError(f"{word}={values!r}: give whole numbers, above 0")
    return list(dict.fromkeys(numbers))
