"""Which files of the archive belong to the sessions that were asked for."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from oscaxr.download.assets import Asset
from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.io.identity import ParsedName, parse_name

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


Named = tuple[Asset, ParsedName]


def named(assets: Sequence[Asset]) -> list[Named]:
    """Return the session files among assets, with what their names say."""
    names = [(asset, parse_name(asset.path.rpartition("/")[2])) for asset in assets]
    return [(asset, name) for asset, name in names if name is not None]


def wanted_by_table(
    table: pd.DataFrame,
    mice: Collection[int] | None,
    sessions: Collection[int] | None,
    runtype: str | None,
) -> list[Wanted]:
    """Return the sessions asked for, by the session table."""
    rows = table
    if runtype is not None and "runtype" in table:
        rows = rows[rows["runtype"] == runtype]
    rows = _matching(rows, mice, "mouse_n", "mouseid", "mice")
    rows = _matching(rows, sessions, "sess_n", "sessid", "sessions")
    if not len(rows):
        raise SessionNotFoundError(
            f"No session of the table has mice={_said(mice)} and sessions={_said(sessions)}."
        )
    return [
        Wanted(
            int(row["mouseid"]),
            int(row["sessid"]),
            str(row.get("full_timestamp", "")),
            f"mouse {row['mouse_n']}, session {row['sess_n']}",
        )
        for row in rows.to_dict("records")
    ]


def wanted_by_name(
    files: Sequence[Named], mice: Collection[int] | None, sessions: Collection[int] | None
) -> list[Wanted]:
    """Return the sessions asked for, by the names of the archive's files alone."""
    for word, values in (("mice", mice), ("sessions", sessions)):
        numbers = [value for value in values or () if value < _SMALLEST_ID]
        if numbers:
            raise CriterionError(
                f"{word}={_said(numbers)} are numbers of the session table: give the table (the "
                "path of mouse_df.csv), or ids instead of numbers."
            )
    keys = {(name.mouse_id, name.session_id or 0, name.start_time or ""): None for _, name in files}
    rows = pd.DataFrame(list(keys), columns=["mouseid", "sessid", "full_timestamp"])
    rows = rows.sort_values(["mouseid", "sessid", "full_timestamp"])
    rows = _matching(rows, mice, "mouseid", "mouseid", "mice")
    rows = _matching(rows, sessions, "sessid", "sessid", "sessions")
    if not len(rows):
        raise SessionNotFoundError(
            f"This version of the dandiset has no session with mice={_said(mice)} and "
            f"sessions={_said(sessions)}."
        )
    return [
        Wanted(mouse, session, start, f"mouse {mouse}, session {session or start}")
        for mouse, session, start in rows.itertuples(index=False)
    ]


def _matching(
    rows: pd.DataFrame, values: Collection[int] | None, number: str, identity: str, word: str
) -> pd.DataFrame:
    """Keep the rows with these numbers or ids; refuse those that no row has."""
    if values is None:
        return rows
    unknown = [
        value
        for value in values
        if not (rows[identity if value >= _SMALLEST_ID else number] == value).any()
    ]
    if unknown:
        known = sorted(set(rows[number])) if min(unknown) < _SMALLEST_ID else sorted(rows[identity])
        known = sorted(set(known))
        more = ", ..." if len(known) > _LISTED else ""
        raise SessionNotFoundError(
            f"{word}={_said(unknown)}: not found. There are {_said(known[:_LISTED])}{more}."
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
    needs = [word for word, asked in (("templates", templates), ("movie", movies)) if asked]
    holds = {asset: _held(name) for asset, name in own}
    whole = [asset for asset in holds if set(needs) <= holds[asset]]
    if whole:
        best = min(whole, key=lambda asset: (asset.size, asset.path))
        extra = sorted(holds[best] - set(needs))
        note = f"also holds {' and '.join(extra)}: there is no smaller file" if extra else ""
        return [_labelled(best, wanted, note)]
    by_need: dict[str, list[Asset]] = defaultdict(list)
    for asset, held in holds.items():
        for need in held:
            by_need[need].append(asset)
    absent = [need for need in needs if not by_need[need]]
    if absent:
        names = ", ".join(sorted(asset.path.rpartition("/")[2] for asset in holds))
        raise SessionNotFoundError(
            f"{wanted.label}: no file holds {' or '.join(absent)}. Its files are {names}."
        )
    chosen = [min(by_need[need], key=lambda asset: (asset.size, asset.path)) for need in needs]
    return [_labelled(asset, wanted, "") for asset in dict.fromkeys(chosen)]


def _held(name: ParsedName) -> set[str]:
    held = {"templates"} if "image" in name.parts else set()
    return held | ({"movie"} if name.obj == "raw" else set())


def _is_of(name: ParsedName, wanted: Wanted) -> bool:
    if name.mouse_id != wanted.mouse_id:
        return False
    if name.session_id is not None:
        return name.session_id == wanted.session_id
    return bool(wanted.start_time) and name.start_time == wanted.start_time


def _labelled(asset: Asset, wanted: Wanted, note: str) -> Asset:
    return replace(
        asset,
        mouse_id=wanted.mouse_id,
        session_id=wanted.session_id or None,
        label=wanted.label,
        note=note,
    )


def _said(values: Collection[int] | None) -> str:
    return "all" if values is None else ", ".join(map(str, values))
