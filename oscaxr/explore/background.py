"""Work beside the page: the newest request of a panel wins, and the others stop."""

import ctypes
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import xarray as xr

T = TypeVar("T")
Deliver = Callable[[Callable[[], None]], None]
"""Runs a function where the page may be changed."""

_WORKERS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="oscaxr-explore")
_QUICK: Final = 0.25
_SOON: Final = 0.05
_MOST_BYTES: Final = 256 * 2**20


class Stopped(BaseException):
    """Nobody waits for this work any more."""


class _Stop:
    """Stops a piece of work, wherever it is: it need not ask whether anybody still waits for it."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._thread: int | None = None

    @property
    def is_asked(self) -> bool:
        """Whether nobody waits any more."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Have the work end with :class:`Stopped`, within what it is waiting for at most."""
        self._asked.set()
        with self._lock:
            if self._thread is None:
                return
            if _imports(self._thread):
                # What is half imported would stay so, for everybody.
                again = threading.Timer(_SOON, self.ask)
                again.daemon = True
                again.start()
            else:
                # Statistics and analyses tell nobody how far they are, so that there is no place
                # where they could be asked to end; what reports is stopped there, too.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(Stopped)
                )

    def run(self, work: Callable[[], T]) -> T:
        """Do work in this thread; outside of it nothing is raised."""
        with self._lock:
            if self._asked.is_set():
                raise Stopped
            self._thread = threading.get_ident()
        try:
            return work()
        finally:
            with self._lock:
                self._thread = None


def _imports(thread: int) -> bool:
    """Whether a thread is importing something."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Kept:
    """Small results that are found again, up to so many bytes; those not asked for longest go."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._found: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(_size(one) for one in self._found.values())

    def __contains__(self, key: Hashable) -> bool:
        """Whether anything is kept under a key."""
        return key in self._found

    def get(self, key: Hashable) -> Any:
        """Return what is kept under a key, or None."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under a key, made first where it is not there."""
        found: T | None = self.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._found[key] = found
                while len(self._found) > 1 and self.nbytes > self._most:
                    self._found.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._found.clear()


def _size(found: Any) -> int:
    return int(found.nbytes) if isinstance(found, xr.Dataset | xr.DataArray) else 4096


class Background:
    """Does the work of one page.

    Parameters
    ----------
    deliver : callable
        Runs a function where the page may be changed.
    at_once : bool, optional
        Do the work where it is asked for: in notebooks, and for pages that are only written.
    """

    def __init__(self, deliver: Deliver, *, at_once: bool = False) -> None:
        self._deliver = deliver
        self._at_once = at_once
        self._current: dict[str, _Stop] = {}
        self._running: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether any work is not done yet."""
        return bool(self._running)

    def is_busy_with(self, panel: str) -> bool:
        """Whether the work of a panel is not done yet."""
        return panel in self._running

    def ask(
        self,
        panel: str,
        work: Callable[[Callable[[int, int], None]], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        progress: Callable[[int, int], None],
        *,
        at_once: bool = False,
    ) -> None:
        """Do the work of a panel, and hand over what comes of it, unless it is asked anew.

        Where it is done `at_once`, the page must be drawn, and may be changed.
        """
        self.stop(panel)
        stop = self._current[panel] = _Stop()
        self._running.add(panel)

        def waits() -> bool:
            return self._current.get(panel) is stop and panel in self._running

        deliver = (lambda act: act()) if at_once else self._deliver
        started = time.monotonic()

        def report(amount: int, total: int) -> None:
            if stop.is_asked:
                raise Stopped
            # What is quick needs no words: to show them would take longer.
            if time.monotonic() - started > _QUICK:
                self._deliver(lambda: progress(amount, total) if waits() else None)

        def finish(act: Callable[[], None]) -> None:
            if not stop.is_asked:
                self._running.discard(panel)
                act()

        def run() -> None:
            try:
                found = stop.run(lambda: work(report))
            except Stopped:
                return
            except Exception as error:
                # The name goes when the block ends.
                problem = error
                deliver(lambda: finish(lambda: failed(problem)))
                return
            deliver(lambda: finish(lambda: done(found)))

        if self._at_once or at_once:
            run()
        else:
            _WORKERS.submit(run)

    def stop(self, panel: str | None = None) -> None:
        """Stop the work of a panel, or all of it."""
        for name in [panel] if panel else list(self._current):
            stop = self._current.pop(name, None)
            if stop is not None:
                stop.ask()
            self._running.discard(name)
