"""Where many tasks run, and what comes of each: processes, threads, this one, or a cluster."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Final
from uuid import uuid4

import numpy as np

from oscaxr.arrays.columns import VARIABLE as THREADS_VARIABLE
from oscaxr.errors import CriterionError, WorkersError
from oscaxr.progress import Report

# A task that was running when a worker died is tried again, alone in a pool, this often.
RETRIES: Final = 2

# What a worker needs for a session; imported once, by the process that all workers are forked from.
_PRELOADED: Final = (
    "oscaxr",
    "oscaxr.formats.nwb.dataset",
    "oscaxr.formats.nwb.header",
    "dask.array",
    "deflate",
)
# As many workers as cores, each with as many threads for linear algebra, hinder each other.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# What a client of a cluster that takes no more work says of itself.
_CLOSED: Final = ("closing", "closed")


@dataclass(frozen=True)
class NoResult:
    """Stands for the result of a task that gave none."""

    reason: str


def run_each(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    scheduler: Any = None,
    workers: int | None = None,
    report: Report = lambda done, total: None,
) -> list[Any]:
    """Call a function with each of many items, one task an item."""
    if workers is not None and workers < 1:
        raise CriterionError(f"workers={workers}: at least one is needed")
    run = _Run(function, items, report)
    report(0, len(items))
    if hasattr(scheduler, "scheduler_info"):
        _on_cluster(run, scheduler)
    elif scheduler is None or scheduler == "processes":
        _in_processes(run, workers)
    elif scheduler == "threads":
        from dask.system import CPU_COUNT

        with ThreadPoolExecutor(workers or CPU_COUNT) as pool:
            _here(run, pool.map)
    elif scheduler == "synchronous":
        _here(run, map)
    else:
        words = "'processes', 'threads', 'synchronous', or a distributed.Client"
        raise CriterionError(f"scheduler={scheduler!r}: it is {words}")
    return [run.results[number] for number in range(len(items))]


class _Run:
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


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    """Do a task."""
    try:
        return function(item)
    # An exit would end this process or the worker, and with it the other tasks.
    except (Exception, SystemExit) as error:
        return NoResult(f"{type(error).__name__}: {error}")


def _call_sent(pickled: bytes) -> bytes:
    """Do a task in another process."""
    from cloudpickle import dumps

    result = _call(_unpacked_call, pickled)
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


def _call_in_pool(pickled: bytes) -> bytes:
    """Do a task in a process of a pool, which hears Ctrl-C only while it works."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return _call_sent(pickled)
    except KeyboardInterrupt:
        # Its parent has heard it too, and says so: no trace from each worker.
        return pickle.dumps(NoResult("interrupted"))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


# -- threads and processes of this machine --------------------------------------------------------
def _here(run: _Run, apply: Callable[..., Iterable[Any]]) -> None:
    # What waits in threads is cancelled, should this be interrupted.
    for number, result in enumerate(apply(partial(_call, run.function), run.items)):
        run.done(number, result)


def _in_processes(run: _Run, workers: int | None) -> None:
    from dask.system import CPU_COUNT

    run.check_pickles()
    waiting = set(range(len(run.items)))
    suspects: list[int] = []
    while waiting:
        hit = _in_one_pool(run, waiting, min(workers or CPU_COUNT, len(waiting)))
        if hit and not run.results:
            _check_that_workers_start()
        suspects += sorted(hit)
        waiting -= hit | run.results.keys()
    for number in suspects:
        if not any(not _in_one_pool(run, {number}, 1) for _ in range(RETRIES)):
            reason = (
                f"the worker process died each of {RETRIES + 1} times, alone in its pool in the "
                "end: it was killed (out of memory?), or a library crashed"
            )
            run.done(number, NoResult(reason))


def _in_one_pool(run: _Run, numbers: Collection[int], workers: int) -> set[int]:
    """Run tasks in processes; return those that were running when one of these died."""
    from dask.system import CPU_COUNT

    # Together they use the cores there are, as one process would with its threads.
    settings = {THREADS_VARIABLE: str(max(1, CPU_COUNT // workers)), **os.environ}
    pool = ProcessPoolExecutor(workers, _context(), initializer=_begin_worker, initargs=(settings,))
    # No more are handed out than are running: the rest would be done after an interrupt.
    waiting = iter(sorted(numbers))
    running: dict[Future[bytes], int] = {}
    try:
        while True:
            for number in islice(waiting, workers - len(running)):
                running[pool.submit(_call_in_pool, run.pickled(number))] = number
            if not running:
                return set()
            for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                run.done_elsewhere(running[future], future.result())
                del running[future]
    except BrokenProcessPool:
        return set(running.values())
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """Return how processes start: without what is open in this one, and quickly."""
    # On Linux they are forked from a server that has imported the libraries and nothing else: no
    # thread, no open file. It is started with the first pool and ends with this process.
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    unset = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    # Only the main thread may set how signals are met, and only it is interrupted by Ctrl-C.
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        # It hands on to workers what it was started with: deaf to Ctrl-C until they have a task.
        forkserver.ensure_running()
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name in unset:
            os.environ.pop(name, None)
    return context


def _check_that_workers_start() -> None:
    with ProcessPoolExecutor(1, _context()) as pool:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise WorkersError(
                "no worker process could be started (what they said stands above). A script that "
                "uses processes is read by each of them, so what it does has to stand below "
                "if __name__ == '__main__':. Or use scheduler='threads'."
            ) from error


def _begin_worker(environment: Mapping[str, str]) -> None:
    """Let a worker see what its parent sees now, and end with it, even when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    # Or all that are forked from one process would draw the same random numbers.
    np.random.seed()  # noqa: NPY002 (that is what they would share)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


# -- a cluster ------------------------------------------------------------------------------------
def _on_cluster(run: _Run, client: Any) -> None:
    if client.status in _CLOSED:
        raise WorkersError(f"the client is {client.status}: make another distributed.Client")
    run.check_pickles()
    blamed = _round_on_cluster(run, client, range(len(run.items)))
    if len(blamed) == 1:
        # The engine has tried it several times, and lost no other: it is the one.
        alone = blamed
    else:
        # Tasks that waited at the same workers are blamed with the one that killed them.
        alone = {}
        for number in blamed:
            alone |= _round_on_cluster(run, client, [number])
    for number, reason in alone.items():
        run.done(number, NoResult(reason))


def _round_on_cluster(run: _Run, client: Any, numbers: Collection[int]) -> dict[int, str]:
    """Run tasks on a cluster; return those whose workers died again and again, and the reason."""
    from distributed import KilledWorker
    from distributed import as_completed as completed_on_cluster

    futures = {
        client.submit(
            _call_sent,
            run.pickled(number),
            key=f"oscaxr-{uuid4().hex}-{number}",
            pure=False,
        ): number
        for number in numbers
    }
    killed = {}
    try:
        for future in completed_on_cluster(futures):
            number = futures[future]
            if future.status == "finished":
                run.done_elsewhere(number, future.result())
                continue
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                killed[number] = f"the workers that ran it died each time: {error}"
            else:
                why = repr(error) if error else "was its client or its scheduler closed?"
                run.done(number, NoResult(f"{future.status} on the cluster: {why}"))
    finally:
        # Of use when interrupted; what is done is not held by the cluster any longer either.
        # One that was closed meanwhile has cancelled all, and takes no orders.
        if client.status not in _CLOSED:
            client.cancel(list(futures))
    return killed
