"""Files on a server, and with which options they are read."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from oscaxr.errors import CriterionError, SessionNotFoundError

# Chosen by measurement (see `docs/guide/download_and_stream.md`).
BLOCK_SIZE: Final = 128 * 2**10
CACHE_SIZE: Final = 2**30

OPTIONS: Final[Mapping[str, str]] = {
    "headers": "mapping of HTTP headers, e.g. {'Authorization': 'token ...'}",
    "auth": "(user, password)",
    "timeout": "seconds without an answer after which a request is given up (30)",
    "deadline": "seconds that waiting for a server may take in all, repetitions included; those in "
    "which 10 kB come are not counted (300)",
    "retries": "how often a request that failed is repeated (5)",
    "retry_wait": "seconds before the first repetition, doubled each time (0.5)",
    "block_size": f"bytes fetched at least at a time ({BLOCK_SIZE})",
    "cache_size": f"bytes kept in a temporary file, for each open file ({CACHE_SIZE})",
}
"""What ``storage_options`` may hold."""

_LEAST: Final = {"timeout": 0.001, "deadline": 0.001, "retry_wait": 0.0}
_LEAST_WHOLE: Final = {"retries": 0, "block_size": 1, "cache_size": 1}
_MOST: Final = 2**40
# What HTTP has no place for in a header.
_NO_HEADER: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


@dataclass(frozen=True)
class RemoteFile(os.PathLike[str]):
    """A file on a server, read in ranges; small, picklable, and openable anywhere."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return public_url(self.url)

    def __repr__(self) -> str:
        return f"RemoteFile({str(self)!r})"

    @property
    def name(self) -> str:
        """Last part of the URL's path."""
        return RemoteSource(str(self), 0, "").name


Place = Path | RemoteFile
"""Where a session, or a part of one, lies."""


@dataclass(frozen=True)
class RemoteSource:
    """What identifies a file that is read over HTTP."""

    url: str
    size: int
    etag: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]


def public_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment."""
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0], count=1)


def remote_file(url: str, options: Mapping[str, Any]) -> RemoteFile:
    """Return the file that a URL stands for, once URL and options are such that it can be read."""
    _check_options(options)
    try:
        parts = urlsplit(url)
        # (To ask for the port is to check it.)
        is_address = bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_address = False
    if not is_address:
        # Where it cannot be taken apart, a password may be in any part before an @.
        raise SessionNotFoundError(
            f"{re.sub('//.*@', '//', public_url(url))!r} is no address of a file on a server: it "
            "should be https://host/path. Check it, the host and the port above all."
        )
    return RemoteFile(url, dict(options))


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be used; what they hold is not shown, since it may be secret."""
    if not isinstance(options, Mapping):
        raise CriterionError("storage_options is a mapping, e.g. {'timeout': 60}")
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        listed = "\n".join(f"  {name}: {what}" for name, what in OPTIONS.items())
        raise CriterionError(
            f"storage_options has {', '.join(map(repr, unknown))}, which is not known. There are:\n"
            f"{listed}"
        )
    unfit = [
        name
        for least, kinds in ((_LEAST, int | float), (_LEAST_WHOLE, int))
        for name, smallest in least.items()
        if name in options and not is_number(options[name], kinds, smallest)
    ]
    auth, headers = options.get("auth"), options.get("headers")
    if auth is not None and not (
        isinstance(auth, tuple | list) and len(auth) == 2 and all(isinstance(w, str) for w in auth)
    ):
        unfit.append("auth")
    if headers is not None and not (
        isinstance(headers, Mapping)
        and all(
            isinstance(word, str) and word == word.strip() and not _NO_HEADER.search(word)
            for pair in headers.items()
            for word in pair
        )
        and all(name and ":" not in name for name in headers)
    ):
        unfit.append("headers")
    if unfit:
        listed = "".join(f"\n  {name}: {OPTIONS[name]}" for name in unfit)
        raise CriterionError(f"storage_options has values that cannot be used. Give{listed}")


def is_number(value: Any, kinds: Any, least: float) -> bool:
    """Say whether a value is a finite number of a kind, and not below the least one."""
    is_one = isinstance(value, kinds) and not isinstance(value, bool)
    return is_one and math.isfinite(value) and least <= value <= _MOST
