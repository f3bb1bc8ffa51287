"""Which paths are files on a server, and with which options they are read."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from oscaxr.errors import CriterionError

# Chosen by measurement (see `docs/guide/download_and_stream.md`).
BLOCK_SIZE: Final = 128 * 2**10
CACHE_SIZE: Final = 2**30

OPTIONS: Final[Mapping[str, str]] = {
    "headers": "mapping of HTTP headers, e.g. {'Authorization': 'token ...'}",
    "auth": "(user, password)",
    "timeout": "seconds without an answer after which a request is given up (30)",
    "retries": "how often a request that failed is repeated (5)",
    "retry_wait": "seconds before the first repetition, doubled each time (0.5)",
    "block_size": f"bytes fetched at least at a time ({BLOCK_SIZE})",
    "cache_size": f"bytes kept in a temporary file, for each open file ({CACHE_SIZE})",
}
"""What ``storage_options`` may hold."""


@dataclass(frozen=True)
class RemoteFile(os.PathLike[str]):
    """A file on a server, read in ranges; small, picklable, and openable anywhere."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return public_url(self.url)

    @property
    def name(self) -> str:
        """Last part of the URL's path."""
        return RemoteSource(str(self), 0, "").name

    @property
    def suffix(self) -> str:
        """Suffix of the name."""
        return PurePosixPath(self.name).suffix


# Of two letters or more: one is a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(path: object) -> bool:
    """Say whether a path is the URL of a file on a server."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    return isinstance(text, str) and text.lower().startswith(("http://", "https://"))


def location(
    path: str | os.PathLike[Any], storage_options: Mapping[str, Any] | None = None
) -> Path | RemoteFile:
    """Return a local path, or the file on a server that a URL stands for."""
    if isinstance(path, RemoteFile) and storage_options is None:
        return path
    options = dict(storage_options or {})
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        listed = "\n".join(f"  {name}: {what}" for name, what in OPTIONS.items())
        raise CriterionError(
            f"storage_options has {', '.join(map(repr, unknown))}, which is not known. There are:\n"
            f"{listed}"
        )
    if is_url(path):
        return RemoteFile(os.fspath(path), options)
    if options:
        raise CriterionError(
            f"storage_options is for files on a server (http://, https://), but {path} is not one"
        )
    if isinstance(path, str) and _SCHEME.match(path):
        raise CriterionError(
            f"{path}: only http:// and https:// addresses are read; files of DANDI's archive on S3 "
            "have one, too (https://dandiarchive.s3.amazonaws.com/blobs/...)"
        )
    return Path(path)


@dataclass(frozen=True)
class RemoteSource:
    """What identifies a file that is read over HTTP."""

    url: str
    size: int
    etag: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return unquote(urlsplit(self.url).path.rstrip("/").rpartition("/")[2])


def public_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
