"""Many tasks: what is to be done, and what has come of each so far."""

import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from oscaxr.errors import CriterionError
from oscaxr.progress import Report


@dataclass(frozen=True)
class NoResult:
    """Stands for the result of a task that gave none."""

    reason: str


class Run:
    """The tasks of one call, and what has come of them so far."""

    def __init__(
        self, function: Callable[[Any], Any], items: Sequence[Any], report: Report
    ) -> None:
        self.function = function
        self.items = items
        self.report = report
        self.results: dict[int, Any] = {}

    def check_pickles(self) -> None:
        """Find out before anything runs."""
        from cloudpickle import dumps

        try:
            dumps(self.function)
        except Exception as error:
            raise CriterionError(
                f"the function cannot be sent to other processes: {type(error).__name__}: {error}. "
                "Give it plain values, or use scheduler='threads'"
            ) from error

    def pickled(self, number: int) -> bytes:
        """Return a task as it is sent to another process."""
        from cloudpickle import dumps

        task: bytes = dumps((self.function, self.items[number]))
        return task

    def done(self, number: int, result: Any) -> None:
        """Take in the result of a task."""
        self.results[number] = result
        self.report(len(self.results), len(self.items))

    def done_elsewhere(self, number: int, pickled: bytes) -> None:
        """Take in the result of a task that ran in another process."""
        self.done(number, pickle.loads(pickled))  # noqa: S301 (made by our own worker)


def call(function: Callable[[Any], Any], item: Any) -> Any:
    """Do a task."""
    try:
        return function(item)
    # An exit would end this process or the worker, and with it the other tasks.
    except (Exception, SystemExit) as error:
        return NoResult(f"{type(error).__name__}: {error}")


def call_sent(pickled: bytes) -> bytes:
    """Do a task in another process."""
    from cloudpickle import dumps

    result = call(_unpacked_call, pickled)
    try:
        # Here, so that a result that does not pickle is this task's failure alone.
        return bytes(dumps(result))
    except Exception as error:
        reason = (
            "what the function returned cannot be sent back by the worker: "
            f"{type(error).__name__}: {error}. Return numbers, arrays or tables, or use "
            "scheduler='threads'"
        )
        return pickle.dumps(NoResult(reason))


def _unpacked_call(pickled: bytes) -> Any:
    function, item = pickle.loads(pickled)  # noqa: S301 (made by our own parent)
    return function(item)


@contextmanager
def later_interrupts() -> Iterator[None]:
    """Let Ctrl-C wait while something is begun or ended that it must not find half done."""
    usual = signal.getsignal(signal.SIGINT)
    # Only the main thread may set how signals are met, and only it is interrupted.
    if not callable(usual) or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *what: pressed.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if pressed:
            usual(*pressed[0])
