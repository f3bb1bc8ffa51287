"""Files on a server, as far as data read from them have to say where they come from."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True)
class RemoteSource:
    """What identifies a file that is read over HTTP.

    Parameters
    ----------
    url : str
        Where it is, without query or password: those may be signatures.
    size : int
        Its size in bytes.
    etag : str
        The server's mark of this version of the file; empty where it gives none.

    Examples
    --------
    >>> RemoteSource("https://example.org/sub-1/a.nwb", 12, "").name
    'a.nwb'
    """

    url: str
    size: int
    etag: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return unquote(urlsplit(self.url).path.rstrip("/").rpartition("/")[2])


def public_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query and fragment.

    Parameters
    ----------
    url : str
        The URL.

    Returns
    -------
    str

    Examples
    --------
    >>> public_url("https://me:word@example.org:8000/a.nwb?X-Amz-Signature=abc#top")
    'https://example.org:8000/a.nwb'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
