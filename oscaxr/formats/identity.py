"""What a place says about the session that lies there, the same whatever its format."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from oscaxr.model.facts import FACT_BY_COLUMN, LINES, MISSING_INT

# Pacific standard time. Recordings are made by day, so daylight saving time moves no date.
_SITE_OFFSET: Final = timedelta(hours=-8)
_LINE_OF_GENOTYPE: Final = {"Cux2": LINES[0], "Rbp4": LINES[1]}


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
    part: object = None
    """Which part of the session it is: two files with the same part are copies."""

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
    return word if word in FACT_BY_COLUMN["sex"].allowed else ""


def line_of(genotype: str) -> str:
    """Return the mouse line that a genotype is of; empty where that cannot be told."""
    lines = [line for word, line in _LINE_OF_GENOTYPE.items() if word in genotype]
    return lines[0] if len(lines) == 1 else ""


def utc_stamp(time: str) -> str:
    """Turn an ISO time (UTC, if it has no offset) into a time stamp; empty where it is none."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return ""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y%m%dT%H%M%S")


def site_date(start: str) -> int:
    """Return the day at the recording site of a time stamp."""
    if not start:
        return MISSING_INT
    moment = datetime.strptime(f"{start}+0000", "%Y%m%dT%H%M%S%z") + _SITE_OFFSET
    return int(moment.strftime("%Y%m%d"))
