"""Where many tasks run: in processes, in threads, here, or on a cluster."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Final

import numpy as np

from oscaxr.arrays.columns import VARIABLE as THREADS_VARIABLE
from oscaxr.errors import CriterionError, Told, WorkersError, collected_warnings, warn
from oscaxr.progress import Report
from oscaxr.sessions.cluster import on_cluster
from oscaxr.sessions.tasks import NoResult, Run, call, call_sent, later_interrupts

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

# It can wait for no more at once, and Python refuses pools that are larger.
_MOST_ON_WINDOWS: Final = 61


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
    run = Run(function, items, report)
    report(0, len(items))
    if hasattr(scheduler, "scheduler_info"):
        on_cluster(run, scheduler)
    elif scheduler is None or scheduler == "processes":
        _in_processes(run, workers)
    elif scheduler == "threads":
        _in_threads(run, workers)
    elif scheduler == "synchronous":
        for number, item in enumerate(run.items):
            run.done(number, call(run.function, item))
    else:
        words = "'processes', 'threads', 'synchronous', or a distributed.Client"
        raise CriterionError(f"scheduler={scheduler!r}: it is {words}")
    return [run.results[number] for number in range(len(items))]


def _call_in_pool(pickled: bytes) -> bytes:
    """Do a task in a process of a pool, which hears Ctrl-C only while it works."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return call_sent(pickled)
    except KeyboardInterrupt:
        # Its parent has heard it too, and says so: no trace from each worker.
        return pickle.dumps(NoResult("interrupted"))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


# -- threads and processes of this machine --------------------------------------------------------
def _in_threads(run: Run, workers: int | None) -> None:
    from dask.system import CPU_COUNT

    told: list[Told] = []
    pool = ThreadPoolExecutor(workers or CPU_COUNT)
    # Filters of warnings hold for all threads at once. Two that set them aside for a while, as
    # xarray does in a mean, may put back each other's: here they are as they were in the end.
    with warnings.catch_warnings():
        try:
            with later_interrupts():
                tasks = pool.map(partial(_call_listening, run.function), run.items)
            for number, (result, said) in enumerate(tasks):
                run.done(number, result)
                told += said
        finally:
            _end(pool)
    for message, category in told:
        warn(message, category)


def _call_listening(function: Callable[[Any], Any], item: Any) -> tuple[Any, list[Told]]:
    """Do a task in a thread; return what was warned of as well, to be said by the caller's."""
    with collected_warnings() as told:
        return call(function, item), told


def _in_processes(run: Run, workers: int | None) -> None:
    at_once = _processes_at_once(workers)
    run.check_pickles()
    waiting = set(range(len(run.items)))
    suspects: list[int] = []
    while waiting:
        hit = _in_one_pool(run, waiting, min(at_once, len(waiting)))
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


def _processes_at_once(workers: int | None) -> int:
    """Return how many processes may work at once: as many as asked for, or as there are cores."""
    from dask.system import CPU_COUNT

    most = _MOST_ON_WINDOWS if sys.platform == "win32" else sys.maxsize
    if workers is not None and workers > most:
        raise CriterionError(f"workers={workers}: on Windows {most} processes at most can work")
    return workers or min(CPU_COUNT, most)


def _in_one_pool(run: Run, numbers: Collection[int], workers: int) -> set[int]:
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
                pickled = run.pickled(number)
                with later_interrupts():
                    running[pool.submit(_call_in_pool, pickled)] = number
            if not running:
                return set()
            for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                run.done_elsewhere(running[future], future.result())
                del running[future]
    except BrokenProcessPool:
        return set(running.values())
    finally:
        _end(pool)


def _end(pool: Executor) -> None:
    """Wait until a pool has ended, however often Ctrl-C is pressed meanwhile."""
    # (Interrupted, the joining of a thread takes it for ended, up to Python 3.12.)
    with later_interrupts():
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
    pool = ProcessPoolExecutor(1, _context())
    try:
        with later_interrupts():
            started = pool.submit(os.getpid)
        started.result()
    except BrokenProcessPool as error:
        raise WorkersError(
            "no worker process could be started (what they said stands above). A script that "
            "uses processes is read by each of them, so what it does has to stand below "
            "if __name__ == '__main__':. Or use scheduler='threads'."
        ) from error
    finally:
        _end(pool)


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
