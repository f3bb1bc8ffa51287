"""Files on a server, and with which options they are read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

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
        return unquote(urlsplit(self.url).path.rstrip("/").rpartition("/")[2])


def public_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
