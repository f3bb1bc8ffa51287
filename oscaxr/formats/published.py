"""What the archive has of the dataset: its files and their sessions, as listed with the package.

Lists that were asked for since (:func:`oscaxr.download.refresh`) are kept in the user's data
folder, one for each version and archive, and count before the one of the package.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from oscaxr.atomic import atomic_target
from oscaxr.errors import OscaxrWarning, warn
from oscaxr.files.remote import public_url
from oscaxr.formats.identity import Identity, parse_name, utc_start
from oscaxr.model.synthetic import MOUSE_IDS, SESSION_IDS

API_URL: Final = "https://api.dandiarchive.org/api"
_OWN_LIST: Final = "published.json"
_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])")


@dataclass(frozen=True)
class PublishedFile:
    """One file of the archive: facts of its metadata; what is not known is empty."""

    path: str
    size: int
    asset_id: str
    blob_id: str = ""
    sha256: str = ""
    etag: str = ""

    @property
    def name(self) -> str:
        """Last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def identity(self) -> Identity:
        """Whose it is, by its name."""
        return parse_name(self.name) or Identity()


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one version of the dandiset, in one archive."""

    version: str
    files: tuple[PublishedFile, ...]
    api_url: str = API_URL

    @cached_property
    def by_id(self) -> Mapping[str, PublishedFile]:
        """The files by the ids of their assets and blobs."""
        return {key: one for one in self.files for key in (one.asset_id, one.blob_id) if key}

    @cached_property
    def by_name(self) -> Mapping[str, PublishedFile]:
        """The files by their names."""
        return {one.name: one for one in self.files}

    @cached_property
    def mice(self) -> Mapping[int | None, int | None]:
        """The mouse of each session."""
        return {one.identity.session_id: one.identity.mouse_id for one in self.files}


# -- the lists ------------------------------------------------------------------------------------
@cache
def published() -> PublishedFiles:
    """Return the list that comes with the package, of the version that is pinned."""
    return _from_json(files("oscaxr.formats").joinpath(_OWN_LIST).read_text("utf-8"))


def list_of(version: str, api_url: str) -> PublishedFiles | None:
    """Return the list of a version in an archive, if one is at hand."""
    return next((x for x in _lists() if (x.version, x.api_url) == (version, api_url)), None)


@cache
def _lists() -> tuple[PublishedFiles, ...]:
    """Return all lists at hand; those that were asked for come first."""
    kept = []
    for path in sorted(kept_folder().glob("*.json")):
        try:
            kept.append(_from_json(path.read_text("utf-8")))
        except (OSError, ValueError, LookupError, TypeError) as error:
            warn(
                f"{path}, a list of the archive's files, cannot be used ({error}). Remove it, or "
                "ask for it again: oscaxr download --refresh",
                OscaxrWarning,
            )
    return (*kept, published())


def kept_folder() -> Path:
    """Return the folder of the lists that were asked for."""
    from platformdirs import user_data_path

    return user_data_path("oscaxr") / "published"


def keep(listed: PublishedFiles) -> Path:
    """Keep a list for this process and those to come."""
    where = re.sub(r"[^\w.]+", "-", f"{public_url(listed.api_url)}-{listed.version}")
    target = kept_folder() / f"{where}.json"
    content = {
        "version": listed.version,
        "api_url": listed.api_url,
        "license": "CC-BY-4.0",
        "assets": [asdict(one) for one in listed.files],
    }
    with atomic_target(target, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=0), "utf-8")
    _lists.cache_clear()
    return target


def _from_json(text: str) -> PublishedFiles:
    content: dict[str, Any] = json.loads(text)
    version, api_url = content["version"], content.get("api_url", API_URL)
    listed = tuple(PublishedFile(**facts) for facts in content["assets"])
    texts = [version, api_url]
    texts += [value for one in listed for name, value in vars(one).items() if name != "size"]
    sizes = [one.size for one in listed]
    if {type(text) for text in texts} != {str} or not {type(size) for size in sizes} <= {int}:
        raise TypeError("it holds values of another kind")
    return PublishedFiles(version, listed, api_url)


# -- what they tell -------------------------------------------------------------------------------
def file_of(place: str | os.PathLike[str]) -> PublishedFile | None:
    """Return the file of the archive that has this name, or the id that is in this address."""
    address, name = _address_and_name(place)
    keys = [*reversed(_ID.findall((address or name).lower()))]
    for listed in _lists():
        found = [listed.by_id[key] for key in keys if key in listed.by_id]
        if name in listed.by_name or found:
            return listed.by_name.get(name) or found[0]
    return None


def name_of(place: str | os.PathLike[str]) -> str:
    """Return the name of a file: the archive's, where its address has only an id."""
    listed = file_of(place)
    return listed.name if listed else _address_and_name(place)[1]


def named(place: str | os.PathLike[str]) -> Identity | None:
    """Return whose a file is by its name, or as a file of the archive; None for others."""
    return parse_name(name_of(place))


def _address_and_name(place: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the address of a file on a server, empty for one here, and the name of any."""
    text = os.fspath(place)
    if "://" in text:
        address = public_url(text)
        return address, unquote(address).rstrip("/").rpartition("/")[2]
    return "", Path(text).name


def smallest_of(session_id: int) -> PublishedFile | None:
    """Return the smallest file of a session in the archive; None where it has none."""
    own = [one for one in published().files if one.identity.session_id == session_id]
    return min(own, key=lambda one: one.size, default=None)


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
