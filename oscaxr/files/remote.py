"""Files on a server, and with which options they are read."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from oscaxr.errors import (
    CriterionError,
    MissingLibraryError,
    OptionError,
    SessionNotFoundError,
)
from oscaxr.paths import local_path

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

HTTP: Final = ("http", "https")
EXTRAS: Final[Mapping[str, str]] = {
    **dict.fromkeys(HTTP, "stream"),
    "s3": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "memory": "stream",
}
"""The schemes of addresses that are read, and the extra that has the libraries for each."""

# Of two letters or more: one is a drive.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# Options that are ours where fsspec makes the requests: it is given all others.
_OF_BLOCKS: Final = ("block_size", "cache_size")

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

    @property
    def is_http(self) -> bool:
        """Whether it is read over HTTP, and not by way of fsspec."""
        return scheme_of(self.url) in HTTP

    @property
    def server_options(self) -> dict[str, Any]:
        """The options that its server is reached with."""
        return {name: one for name, one in self.options.items() if name not in _OF_BLOCKS}

    @property
    def parent(self) -> "RemoteFile":
        """The folder that it lies in."""
        return RemoteFile(public_url(self.url).rstrip("/").rpartition("/")[0], self.options)

    def __truediv__(self, key: str) -> "RemoteFile":
        """Return a file below this one, which is a folder."""
        if not self.is_http:
            return RemoteFile(f"{self.url.rstrip('/')}/{key}", self.options)
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{key}"
        return RemoteFile(urlunsplit(parts._replace(path=path)), self.options)


Place = Path | RemoteFile
"""Where a session, or a part of one, lies."""


@dataclass(frozen=True)
class RemoteSource:
    """What identifies a file that is read over a network."""

    url: str
    size: int
    etag: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        is_http = scheme_of(self.url) in HTTP
        path = unquote(urlsplit(self.url).path) if is_http else self.url
        return path.rstrip("/").rpartition("/")[2]


def public_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment."""
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0], count=1)


def scheme_of(path: object) -> str:
    """Return the scheme of an address, in small letters; empty where it is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    match = _SCHEME.match(text) if isinstance(text, str) else None
    return match[1].lower() if match else ""


def is_url(path: object) -> bool:
    """Say whether a path is the address of a file on a server, of a kind that is read."""
    return scheme_of(path) in EXTRAS


def place_of(path: str | os.PathLike[Any], options: Mapping[str, Any] | None = None) -> Place:
    """Return the place that a path or an address stands for; whether it is there is not asked."""
    if isinstance(path, RemoteFile):
        return path if options is None else RemoteFile(path.url, dict(options))
    if is_url(path):
        return remote_file(os.fspath(path), {} if options is None else options)
    if options:
        raise OptionError(f"storage_options= is for files on a server, but {path} is on this one")
    return local_path(path)


def as_given(place: Place) -> Path | str:
    """Return a place as it is given to a user: a path, or an address."""
    return place.url if isinstance(place, RemoteFile) else place


def remote_file(url: str, options: Mapping[str, Any]) -> RemoteFile:
    """Return the file that a URL stands for, once URL and options are such that it can be read."""
    scheme = scheme_of(url)
    _check_options(options, is_http=scheme in HTTP)
    try:
        parts = urlsplit(url)
        # (To ask for the port is to check it.)
        is_address = bool(parts.hostname) and parts.port != 0 and url.isprintable()
        if scheme not in HTTP:
            is_address = bool(parts.netloc) and url.isprintable()
    except ValueError:
        is_address = False
    if not is_address:
        # Where it cannot be taken apart, a password may be in any part before an @.
        raise SessionNotFoundError(
            f"{re.sub('//.*@', '//', public_url(url))!r} is no address of a file on a server: it "
            f"should be {'https://host/path' if scheme in HTTP else f'{scheme}://bucket/path'}. "
            "Check it, the host and the port above all."
        )
    return RemoteFile(url, dict(options))


def missing_library(remote: RemoteFile, error: ImportError) -> MissingLibraryError:
    """Return the error of a file that is on a server, and of libraries that are not here."""
    extra = EXTRAS[scheme_of(remote.url)]
    return MissingLibraryError(
        f"reading {remote} over the network needs packages that are not installed ({error}): "
        f"pip install 'oscaxr[{extra}]'"
    )


def _check_options(options: Mapping[str, Any], *, is_http: bool) -> None:
    """Refuse options that cannot be used; what they hold is not shown, since it may be secret."""
    if not isinstance(options, Mapping):
        raise CriterionError("storage_options is a mapping, e.g. {'timeout': 60}")
    # What fsspec takes depends on the store.
    unknown = [one for one in options if not (one in OPTIONS if is_http else isinstance(one, str))]
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
        if (is_http or name in _OF_BLOCKS) and name in options
        if not is_number(options[name], kinds, smallest)
    ]
    auth, headers = (options.get(name) if is_http else None for name in ("auth", "headers"))
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
