"""Files on a server, as far as data read from them have to say where they come from."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit


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
