"""How a server is asked: who is told what, where redirects may lead, which answers are taken.

One policy for reading in ranges and for downloading. Headers and credentials are for the host that
they were given for. What is said of a failure is its cause in our words: the texts of the libraries
below show whole addresses, in which there may be signatures.
"""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from oscaxr.errors import RemoteError
from oscaxr.files.connections import Adapter, noting
from oscaxr.files.patience import PassingError, Patience
from oscaxr.files.remote import public_url

# Of these a later answer may differ; of others (403, 404) it will not.
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
MOST_REDIRECTS: Final = 10
_PIECE_BYTES: Final = 2**16
_FAILURES: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
# Failures of TLS that are cut connections.
_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
# No number of a file needs more digits; larger ones do not fit where HDF5 keeps them.
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


# -- what is asked --------------------------------------------------------------------------------
class Client:
    """Asks servers; with headers and credentials where it is the host that they are for."""

    def __init__(
        self,
        patience: Patience,
        timeout: float,
        *,
        home: str = "",
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        connections: int = 8,
    ) -> None:
        self._patience = patience
        self._timeout = timeout
        self._home = home
        self._headers = dict(headers or {})
        self._auth: Any = tuple(word.encode() for word in auth) if auth else None
        if "authorization" in map(str.lower, self._headers):
            self._auth = _as_it_is
        self._led_to: set[str] = set()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter(pool_maxsize=connections))

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    @contextmanager
    def answer(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Ask once; where a later answer may be better, that is a passing error."""
        with self._patience.watching() as note:
            before = noting.set(note)
            try:
                with self._followed(url, headers) as response:
                    if self._patience.left() <= 0:
                        # The headers may have been cut, which nothing else shows.
                        raise PassingError("the connection was cut")
                    if response.status_code in PASSING:
                        raise PassingError(
                            f"the server answered {status_of(response)}", _retry_after(response)
                        )
                    _refuse_compressed(response)
                    yield response
            finally:
                noting.reset(before)

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the bytes of an answer as they come."""
        pieces = response.raw.stream(_PIECE_BYTES, decode_content=False)
        while True:
            try:
                piece = next(pieces, None)
            except _FAILURES as error:
                what = cause(error)
            else:
                if piece is None:
                    return
                self._patience.came(len(piece))
                yield piece
                continue
            raise PassingError(f"in the middle of it {what}")

    def _followed(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """Ask, and go where redirects lead."""
        trusted = is_same_host(self._home, url) and url not in self._led_to
        first = url
        for number in range(MOST_REDIRECTS + 1):
            of_whom = f" ({_origin(url)[1]}, where it redirects to)" if number else ""
            response = self._ask(url, headers, trusted, of_whom)
            target = self._session.get_redirect_target(response)
            if target is None:
                return response
            # (Not read: a body may have no end.)
            response.close()
            before, url = url, _joined(url, target)
            # Once another host had a say in where to ask, nobody is told anything.
            trusted = trusted and is_same_host(before, url)
            if not trusted:
                self._led_to.add(url)
        raise RemoteError(
            f"{public_url(first)} leads to more than {MOST_REDIRECTS} redirects, one "
            "after the other. Check the address."
        )

    def _ask(
        self, url: str, headers: Mapping[str, str], trusted: bool, of_whom: str
    ) -> requests.Response:
        told: CaseInsensitiveDict[str] = CaseInsensitiveDict(self._headers if trusted else {})
        # Ranges are of the file's own bytes, so that no compression may come between.
        told.update({**headers, "Accept-Encoding": "identity"})
        auth = self._auth if trusted else _as_it_is
        try:
            # Not the session's own `get`, which reads the bodies of redirects, and keeps cookies.
            asked = self._session.prepare_request(
                requests.Request("GET", url, headers=told, auth=auth)
            )
            where: Any = asked.url
            how = self._session.merge_environment_settings(where, {}, True, None, None)
            how["timeout"] = self._timeout
            return self._session.get_adapter(where).send(asked, **how)
        except _FAILURES as error:
            inner, what = _innermost(error), cause(error) + of_whom
            # (What is wrong with an address or a header is a ValueError.)
            lasts = isinstance(inner, ValueError | ssl.SSLError) and not isinstance(inner, _CUT)
        # Here, since an error that is raised while another one is handled would show that one.
        if not lasts:
            raise PassingError(what)
        raise RemoteError(f"cannot ask for {public_url(url)}: {what}. Check the address.")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate nobody: not by ~/.netrc either, nor by a user in the address."""
    return request


def is_same_host(known: str, url: str) -> bool:
    """Say whether what one address is told may be told another one."""
    first, second = _origin(known), _origin(url)
    is_safer = (first[0], second[0]) == ("http", "https") and (first[2], second[2]) == (80, 443)
    return first == second or (is_safer and first[1] == second[1])


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or usual


def _joined(url: str, target: str) -> str:
    """Return where a redirect leads; refuse what is no file on a server, or less safe."""
    try:
        joined = urljoin(url, target)
        scheme, host, _ = _origin(joined)
    except ValueError:
        scheme = host = ""
    if scheme not in ("http", "https") or not host:
        what = f"a {scheme}: address" if scheme else "what is no address"
    elif scheme == "http" and urlsplit(url).scheme == "https":
        what = f"http://{host}, which is not encrypted"
    else:
        return joined
    raise RemoteError(f"{public_url(url)} redirects to {what}. That is not followed.")


# -- what is answered -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Part:
    """Which bytes of a file of which size an answer holds."""

    start: int
    stop: int
    total: int


def part_of(response: requests.Response) -> Part | None:
    """Return which part of the file an answer says that it is; None where it does not."""
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        first, last, total = map(int, match.groups()) if match else (0, 0, 0)
        return Part(first, last + 1, total) if first <= last < total else None
    length = response.headers.get("Content-Length", "")
    known = int(length) if re.fullmatch(r"\d{1,18}", length) else None
    return None if known is None else Part(0, known, known)


@dataclass(frozen=True)
class Version:
    """What tells the state of a file on a server from others."""

    etag: str
    modified: str

    @classmethod
    def of(cls, response: requests.Response) -> "Version":
        """Return what an answer says."""
        told = response.headers
        return cls(told.get("ETag", "").strip(), told.get("Last-Modified", "").strip())

    @property
    def is_strong(self) -> bool:
        """Whether equal ETags stand for equal bytes."""
        return self.etag.startswith('"')

    @property
    def condition(self) -> Mapping[str, str]:
        """The header with which a server gives a part of this state only."""
        known = self.etag if self.is_strong else self.modified
        return {"If-Range": known} if known else {}

    def __str__(self) -> str:
        return self.etag if self.is_strong else " ".join(filter(None, (self.etag, self.modified)))

    def is_in(self, later: "Version") -> bool:
        """Say whether a later answer, which was asked for on this condition, is of this state."""
        if self.is_strong:
            return later.etag == self.etag
        # An answer that fulfils a condition may leave out the time.
        times = ("", self.modified) if self.modified else ("",)
        return later.etag == self.etag and later.modified in times


def status_of(response: requests.Response) -> str:
    """Return the status in words: those of the standard, not the server's own."""
    code = response.status_code
    return f"{code} {http.client.responses.get(code, '')}".rstrip()


def _refuse_compressed(response: requests.Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RemoteError(
            f"the server of {public_url(str(response.url))} compresses what it sends (Content-"
            f"Encoding {encoding[:40]!r}), although it was asked not to: of that, no part can be "
            "read by itself."
        )


def _retry_after(response: requests.Response) -> float:
    """Return how many seconds to wait, as the server says, by a number or a date."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isdecimal():
        return float(told[:9])
    try:
        return parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0


# -- what went wrong ------------------------------------------------------------------------------
def cause(error: BaseException) -> str:
    """Say why a connection failed: in words that hold nothing of the address or the headers."""
    inner = _innermost(error)
    if isinstance(inner, socket.gaierror):
        return f"the name of the server could not be looked up (DNS: {inner.strerror})"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not valid (TLS: {inner.verify_message})"
    if isinstance(inner, ssl.SSLError) and not isinstance(inner, _CUT):
        return f"there is no safe connection (TLS: {inner.reason})"
    for kind, words in _CAUSES.items():
        if isinstance(inner, kind):
            return words
    if isinstance(inner, requests.HTTPError) and inner.response is not None:
        return f"the server answered {status_of(inner.response)}"
    if isinstance(inner, OSError) and inner.strerror:
        return f"the connection failed ({inner.strerror})"
    return f"the request failed ({type(inner).__name__})"


def _innermost(error: BaseException) -> BaseException:
    for _ in range(10):
        # Not `__context__`: that may be of whoever handles another error meanwhile.
        inside = (error.__cause__, *error.args, getattr(error, "reason", None))
        found = next((one for one in inside if isinstance(one, BaseException)), None)
        if found is None:
            break
        error = found
    return error


_CAUSES: Final[Mapping[type[BaseException], str]] = {
    ConnectionRefusedError: "the server refused the connection",
    **dict.fromkeys(_CUT, "the connection was cut"),
    TimeoutError: "the server did not answer in time",
    urllib3.exceptions.TimeoutError: "the server did not answer in time",
    requests.Timeout: "the server did not answer in time",
    http.client.RemoteDisconnected: "the server closed the connection without an answer",
    ConnectionError: "the connection was cut",
    http.client.IncompleteRead: "the connection was cut",
    urllib3.exceptions.IncompleteRead: "the connection was cut",
    http.client.HTTPException: "what came was not HTTP",
    urllib3.exceptions.InvalidHeader: "what came was not HTTP",
    urllib3.exceptions.InvalidChunkLength: "what came was not HTTP",
    requests.exceptions.InvalidHeader: "what came was not HTTP",
    requests.exceptions.InvalidURL: "it is no address of a server",
    UnicodeError: "it is no address of a server",
    urllib3.exceptions.LocationValueError: "it is no address of a server",
    ValueError: "what came was not HTTP",
}
