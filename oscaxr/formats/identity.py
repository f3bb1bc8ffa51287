"""Whose session lies at a place: what names say of it, what the place says, whether they agree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from oscaxr.errors import SessionMismatchError
from oscaxr.model.facts import FACT_BY_NAME, LINES, MISSING_INT, facts_from_row

_LINE_OF_GENOTYPE: Final = {"Cux2": LINES[0], "Rbp4": LINES[1]}

_NAME: Final = re.compile(
    r"sub-(?P<mouse>\d+)_ses-(?:(?P<id>\d{9,})|(?P<time>\d{8}T\d{6}))"
    r"(?:_obj-(?P<obj>[A-Za-z0-9]+))?(?:_(?P<parts>[a-z]+(?:\+[a-z]+)*))?\.(?i:nwb)"
)


@dataclass(frozen=True)
class Identity:
    """Whose data lie at a place; what it does not say is None, empty or -1."""

    session_id: int | None = None
    mouse_id: int | None = None
    start: str = ""
    """Start of the session in UTC, ``yyyymmddThhmmss``."""
    date: int = MISSING_INT
    """Day at the recording site, ``yyyymmdd``."""
    sex: str = ""
    line: str = ""
    n_rois: int = MISSING_INT
    n_tracked: int = MISSING_INT
    is_numbered: bool = False
    """Whether the published numbers of mouse and session stand in it."""
    obj: str = ""
    parts: tuple[str, ...] = ()
    """Which part of the session it is, by the name; two files with the same part are copies."""
    is_named: bool = False
    """Whether its name is of the dandiset's form."""

    def completed(self, other: "Identity") -> "Identity":
        """Fill in what only another place (or the contents of a file) says."""
        unknown = Identity()
        missing = {
            name: value
            for name, value in vars(other).items()
            if getattr(self, name) == getattr(unknown, name)
        }
        return replace(self, **missing)


def known_sex(word: str) -> str:
    """Return the sex as the session table writes it; empty where it is another word."""
    return word if word in FACT_BY_NAME["sex"].allowed else ""


def line_of(genotype: str) -> str:
    """Return the mouse line that a genotype is of; empty where that cannot be told."""
    lines = [line for word, line in _LINE_OF_GENOTYPE.items() if word in genotype]
    return lines[0] if len(lines) == 1 else ""


def utc_start(time: str, *, utc_digits: bool) -> datetime | None:
    """Return when an ISO time is, in UTC (its own, if it has no offset); None where it is none.

    With `utc_digits`, its digits are UTC whatever its offset says.
    """
    try:
        moment = datetime.fromisoformat(time)
        if utc_digits or moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def stamp_of(moment: datetime | None) -> str:
    """Return a moment in UTC as a time stamp, ``yyyymmddThhmmss``; empty where there is none."""
    # (Not by strftime, which writes early years with fewer digits.)
    return "" if moment is None else re.sub("[-:]", "", moment.isoformat()[:19])


def at_site(moment: datetime | None) -> datetime | None:
    """Return a moment as the clocks at the recording site, in Los Angeles' time, had it."""
    from zoneinfo import ZoneInfo

    try:
        return None if moment is None else moment.astimezone(ZoneInfo("America/Los_Angeles"))
    except OverflowError:
        return None


def site_date(moment: datetime | None) -> int:
    """Return the day at the recording site, ``yyyymmdd``."""
    local = at_site(moment)
    return MISSING_INT if local is None else int(stamp_of(local)[:8])


# -- names of the dandiset's files -----------------------------------------------------------------
def parse_name(path: str | Path) -> Identity | None:
    """Return what the name of an NWB file says; None where it is not of the dandiset's form."""
    match = _NAME.fullmatch(Path(path).name)
    if match is None:
        return None
    return Identity(
        session_id=int(match["id"]) if match["id"] else None,
        mouse_id=int(match["mouse"]),
        start=match["time"] or "",
        obj=match["obj"] or "",
        parts=tuple(match["parts"].split("+")) if match["parts"] else (),
        is_named=True,
    )


def with_table(
    where: str, coords: dict[str, Any], attrs: dict[str, Any], row: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add the facts of its row of the session table to a session, whose own ids it must have."""
    if row is None:
        return coords, attrs
    table_coords, table_attrs = facts_from_row(row)
    check_ids(where, {**coords, **attrs}, {**table_coords, **table_attrs})
    return {**coords, **table_coords}, {**attrs, **table_attrs}


def check_ids(path: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a session whose ids are not those expected; what is not known is no reason."""
    differ = [
        f"{name} is {found[name]} in the file, but {expected[name]} was expected"
        for name in ("session_id", "mouse_id", "date")
        if name in found and expected.get(name) not in (None, found[name])
    ]
    if differ:
        raise SessionMismatchError(
            f"{path}: {'; '.join(differ)} (by its name, the session table, or the session's "
            "other files). It is another session: correct the table, or the file's name and place."
        )
