"""What the archive has of the dataset: its files and their sessions, as listed with the package."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

from oscaxr.formats.identity import Identity, parse_name, utc_start
from oscaxr.model.synthetic import MOUSE_IDS, SESSION_IDS

_LISTED: Final = "published.json"


@dataclass(frozen=True)
class PublishedFile:
    """One file of the archive: facts of its metadata."""

    path: str
    size: int
    asset_id: str
    sha256: str
    start: str
    """What it has as ``session_start_time``."""

    @cached_property
    def identity(self) -> Identity:
        """Whose it is, by its name."""
        return parse_name(self.path.rpartition("/")[2]) or Identity()


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one version of the dandiset."""

    version: str
    files: tuple[PublishedFile, ...]

    @cached_property
    def mice(self) -> Mapping[int | None, int | None]:
        """The mouse of each session."""
        return {one.identity.session_id: one.identity.mouse_id for one in self.files}


@cache
def published() -> PublishedFiles:
    """Return the list of the archive's files."""
    return _from_json(json.loads(files("oscaxr.formats").joinpath(_LISTED).read_text("utf-8")))


def _from_json(listed: Mapping[str, Any]) -> PublishedFiles:
    return PublishedFiles(listed["version"], tuple(PublishedFile(**x) for x in listed["assets"]))


def has_utc_digits(session_id: int | None, mouse_id: int | None) -> bool:
    """Say whether a session is one of the dataset, or made like one: its start is told in UTC.

    All files of the dataset have the digits of UTC beside the offset of Los Angeles.
    """
    mice = published().mice
    if session_id is None:
        return mouse_id in MOUSE_IDS or (mouse_id is not None and mouse_id in mice.values())
    if session_id in SESSION_IDS:
        return mouse_id is None or mouse_id in MOUSE_IDS
    return session_id in mice and mouse_id in (None, mice[session_id])


def session_start(time: str, session_id: int | None, mouse_id: int | None) -> datetime | None:
    """Return when a session started, in UTC, by what its file says; None where it says no time."""
    return utc_start(time, utc_digits=has_utc_digits(session_id, mouse_id))
