"""Which files the references of an index may lead to: those below the places that were allowed."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from oscaxr.errors import CriterionError, option
from oscaxr.files.remote import (
    EXTRAS,
    HTTP,
    Place,
    RemoteFile,
    public_url,
    remote_file,
    scheme_of,
)
from oscaxr.paths import local_path

LOCAL: Final = "file://"
"""How the address of a file on this machine begins; its path follows as it is."""

_PORTS: Final = {"http": 80, "https": 443}
_KINDS: Final = ", ".join(f"{scheme}://" for scheme in EXTRAS)

Steps = tuple[str, ...]
"""An address from its root on: kind of address, host and port, and the names on the way."""


def address_of(place: str, *, is_remote: bool) -> str:
    """Return the address of a file as it stands in an index."""
    return place if is_remote else LOCAL + Path(place).as_posix()


def allowed_steps(sources: Any, index: Place) -> tuple[Steps, ...]:
    """Return the places below which references are followed: by default, the index's folder."""
    if not sources:
        return (_folder_of(index),)
    given = [sources] if isinstance(sources, str | os.PathLike) else sources
    if not isinstance(given, Collection) or isinstance(given, bytes):
        raise CriterionError(f"sources={sources!r}: give folders or addresses, as text or paths")
    return tuple(_given_steps(one) for one in given)


def followed_place(
    address: str, allowed: Iterable[Steps], storage_options: Mapping[str, Any] | None
) -> Place:
    """Return the place that an address in an index stands for; a ValueError if it may not be."""
    steps = _steps_of(address)
    if not any(steps[: len(prefix)] == prefix for prefix in allowed):
        folder = address[:200].rpartition("/")[0]
        raise ValueError(
            f"{address[:200]} does not lie below what is allowed: if it is to be read, give "
            f"{option('sources', [folder])}"
        )
    if steps[0] == LOCAL:
        # Where its links lead to now: that is what was allowed.
        return Path(*steps[1:])
    return remote_file(address, storage_options or {})


def _folder_of(index: Place) -> Steps:
    if isinstance(index, RemoteFile):
        return _steps_of(public_url(index.url))[:-1]
    return _local_steps(index)[:-1]


def _given_steps(source: Any) -> Steps:
    """Return a place that was allowed."""
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    if not isinstance(text, str) or "://" not in text:
        return _local_steps(local_path(source))
    try:
        return _steps_of(text)
    except ValueError as error:
        raise CriterionError(f"sources={text!r}: {error}") from error


def _local_steps(path: Path) -> Steps:
    # Through links: it is where they lead to that counts.
    return (LOCAL, *Path(os.path.realpath(path)).parts)


def _steps_of(address: str) -> Steps:
    """Return an address as steps; a ValueError for what is none, or leads back or elsewhere."""
    shown = public_url(address)[:200]
    if address.startswith(LOCAL):
        path = Path(address.removeprefix(LOCAL))
        if not path.is_absolute() or "\0" in address or ".." in path.parts:
            raise ValueError(f"{shown} is no whole path of a file")
        return _local_steps(path)
    scheme, parts = scheme_of(address), urlsplit(address)
    if scheme not in EXTRAS or not parts.netloc or not address.isprintable():
        raise ValueError(f"{shown} is no address of a file: these begin with {LOCAL}, {_KINDS}")
    if address != public_url(address):
        raise ValueError(f"{shown} has a user, a query or a fragment, which an index has not")
    names = parts.path.strip("/").split("/")
    host, port = parts.netloc, ""
    if scheme in HTTP:
        names = [unquote(name) for name in names]
        host, port = parts.hostname or "", str(parts.port or _PORTS[scheme])
    if any(name in (".", "..") or set(name) & set("/\\") for name in names):
        raise ValueError(f"{shown} leads back, or has a name with a slash")
    return (scheme, host, port, *(name for name in names if name))
