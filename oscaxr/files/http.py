"""How a server is asked: a session, which answers are worth another try, and how long to wait."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import requests
from requests.adapters import HTTPAdapter

from oscaxr.errors import OscaxrError, RemoteError

Answer = TypeVar("Answer")

# Of these a later answer may differ; of others (403, 404) it will not.
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT: Final = 60.0
DROPPED: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class PassingError(Exception):
    """A failure that may be over soon: the message says what happened."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How often and how soon a failed request is repeated."""

    retries: int = 5
    wait: float = 0.5

    def insist(
        self,
        ask: Callable[[], Answer],
        gave_up: Callable[[str], OscaxrError],
        have: Callable[[], int] = int,
    ) -> Answer:
        """Ask until it is answered; failures count anew from where more of it has come."""
        failures = 0
        while True:
            before = have()
            try:
                return ask()
            except PassingError as error:
                failures = 1 if have() > before else failures + 1
                if failures > self.retries:
                    raise gave_up(f"{error} ({failures} tries in a row)") from error
                time.sleep(min(LONGEST_WAIT, max(error.wait, self.wait * 2 ** (failures - 1))))


def new_session(
    headers: Mapping[str, str] | None = None, auth: Any = None, connections: int = 8
) -> requests.Session:
    """Return a session that keeps connections open and repeats nothing by itself."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    # Ranges are of the file's own bytes, so that no compression may come between.
    session.headers["Accept-Encoding"] = "identity"
    session.headers.update(headers or {})
    session.auth = auth
    return session


@contextmanager
def answer(
    session: requests.Session, url: str, *, shown: str, **asked: Any
) -> Iterator[requests.Response]:
    """Ask once; where a later answer may be better, that is a passing error."""
    try:
        response = session.get(url, stream=True, **asked)
    except DROPPED as error:
        raise PassingError(said(error)) from error
    except requests.RequestException as error:
        raise RemoteError(f"cannot ask for {shown}: {error}") from error
    with response:
        if response.status_code in PASSING:
            after = response.headers.get("Retry-After", "")
            raise PassingError(
                f"the server answered {response.status_code} {response.reason}",
                float(after) if after.isdecimal() else 0.0,
            )
        yield response


def content_range(response: requests.Response) -> tuple[int, int] | None:
    """Return the first byte and the file's size that a partial answer states."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not start.isdecimal() or not total.isdecimal():
        return None
    return int(start), int(total)


def body(response: requests.Response, size: int) -> Iterator[bytes]:
    """Yield the bytes of an answer as they come."""
    try:
        yield from response.iter_content(size)
    except DROPPED as error:
        raise PassingError(f"the connection was cut ({said(error)})") from error


def said(error: BaseException) -> str:
    """Say in a few words what went wrong with a connection."""
    # The innermost reason: the outer ones repeat it, wrapped in reprs.
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"
