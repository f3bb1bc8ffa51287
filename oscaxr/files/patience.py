"""How long a server is waited for: how often it is asked again, and when enough is enough."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from oscaxr.errors import OscaxrError

Answer = TypeVar("Answer")

LONGEST_WAIT: Final = 60.0
# Bytes a second. Time in which they come more slowly counts against the deadline.
SLOWEST: Final = 10_000


class PassingError(Exception):
    """A failure that may be over soon: the message says what happened."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Patience:
    """How often and how soon a failed request is repeated, and how long that may take in all."""

    # What counts is the time in which somebody waits, less the time that the bytes which came may
    # take: a long read over a slow line goes on, and a server that drips does not, however it
    # spreads that over lines, redirects and requests.

    def __init__(self, retries: int = 5, wait: float = 0.5, deadline: float = 300.0) -> None:
        self.retries = retries
        self.wait = wait
        self.deadline = deadline
        self._lock = threading.Lock()
        self._waiting = 0
        self._spent = self._since = 0.0
        self._was_cut = False

    def left(self) -> float:
        """Return how many seconds there are still."""
        return self.deadline - self._settle()

    def came(self, n_bytes: int) -> None:
        """Note that bytes came."""
        self._settle(n_bytes)

    def _settle(self, n_bytes: int = 0, waiting: int = 0) -> float:
        """Bring the account up to date; return the seconds that were spent."""
        with self._lock:
            now = time.monotonic()
            spent = self._spent + (now - self._since if self._waiting else 0.0)
            self._spent = max(0.0, spent - n_bytes / SLOWEST)
            self._since = now
            self._waiting += waiting
            return self._spent

    def insist(
        self,
        ask: Callable[[], Answer],
        gave_up: Callable[[str], OscaxrError],
        have: Callable[[], int] = int,
    ) -> Answer:
        """Ask until it is answered; failures count anew from where more of it has come."""
        failures = 0
        self._settle(waiting=1)
        try:
            while True:
                before = have()
                try:
                    found = ask()
                except PassingError as error:
                    failures = 1 if have() > before else failures + 1
                    doubled = self.wait * 2 ** min(failures - 1, 10)
                    wait = min(LONGEST_WAIT, max(error.wait, doubled))
                    if reason := self._why_no_more(str(error), failures, wait):
                        raise gave_up(reason) from error
                    time.sleep(wait)
                else:
                    # An answer that is short may take a while, too.
                    self.came(SLOWEST)
                    return found
        finally:
            self._settle(waiting=-1)

    def _why_no_more(self, what: str, failures: int, wait: float) -> str:
        """Say why nothing is asked again; empty where it is."""
        left = self.left()
        if left > wait:
            return f"{what} ({failures} tries in a row)" if failures > self.retries else ""
        is_over, limit = left <= 0 or self._was_cut, f"deadline={self.deadline:g} s"
        # Whoever tries once more has all the time again.
        self._spent, self._was_cut = 0.0, False
        if is_over:
            return f"what is asked for comes too slowly, it took longer than {limit}"
        return f"{what}, and to wait for it would take longer than {limit}"

    @contextmanager
    def watching(self) -> Iterator[Callable[[socket.socket], None]]:
        """Give what notes a connection, which is cut when the time is over."""
        # The timeout of a socket begins anew with each byte; a thread of its own sees to the sum.
        done = threading.Event()
        noted: list[socket.socket] = []

        def watch() -> None:
            while not done.wait(max(self.left(), 0.05)):
                if self.left() <= 0:
                    self._was_cut = True
                    for one in noted:
                        with suppress(OSError):
                            # Not the method of sockets of TLS, which is not for other threads.
                            socket.socket.shutdown(one, socket.SHUT_RDWR)

        thread = threading.Thread(target=watch, name="oscaxr-deadline", daemon=True)
        thread.start()
        try:
            yield noted.append
        finally:
            done.set()
            thread.join()
