"""Where many tasks run, and what comes of each: processes, threads, this one, or a cluster."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Final
from uuid import uuid4

from oscaxr.arrays.columns import VARIABLE as THREADS_VARIABLE
from oscaxr.errors import CriterionError, WorkersError

Report = Callable[[int, int], None]
"""Called with the number of tasks done and of all."""

SCHEDULERS: Final = ("processes", "threads", "synchronous")

# A task that was running when a worker died is tried again, alone in a pool, this often.
RETRIES: Final = 2

# What a worker needs for a session; imported once, by the process that all workers are forked from.
_PRELOADED: Final = (
    "oscaxr",
    "oscaxr.formats.nwb.dataset",
    "oscaxr.formats.nwb.header",
    "dask.array",
    "dask.multiprocessing",
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
        if scheduler.status in _CLOSED:
            raise WorkersError(
                f"the client of the cluster is {scheduler.status}: make another distributed.Client"
            )
        run.check_pickles()
        _on_cluster(run, scheduler)
    elif scheduler is None or scheduler == "processes":
        run.check_pickles()
        _in_processes(run, workers)
    elif scheduler in SCHEDULERS:
        run.compute(range(len(items)), scheduler=scheduler, num_workers=workers)
    else:
        raise CriterionError(
            f"scheduler={scheduler!r}: it is {', '.join(map(repr, SCHEDULERS))}, or a "
            "distributed.Client"
        )
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
        name = uuid4().hex
        self.keys = {f"oscaxr-{name}-{number}": number for number in range(len(items))}

    def check_pickles(self) -> None:
        """Find out before anything runs."""
        from cloudpickle import dumps

        try:
            dumps(self.function)
        except Exception as error:
            raise CriterionError(
                "the function (or what is handed on to it) cannot be sent to other processes: "
                f"{type(error).__name__}: {error}. Give it plain values, or use "
                "scheduler='threads'"
            ) from error

    def done(self, number: int, result: Any) -> None:
        """Take in the result of a task."""
        if isinstance(result, _Packed):
            result = pickle.loads(result.pickled)  # noqa: S301 (made by our own worker)
        self.results[number] = result
        self.report(len(self.results), len(self.items))

    def compute(self, numbers: Collection[int], **options: Any) -> set[int]:
        """Run tasks through dask; return those that were running when a worker died."""
        from dask.base import compute
        from dask.callbacks import Callback
        from dask.delayed import delayed

        kind = _PoolCall if options["scheduler"] == "processes" else _Call
        calls = [
            # Not arguments: dask would take apart containers, and compute arrays of its own.
            delayed(kind(self.function, self.items[number]), traverse=False, pure=False)(
                dask_key_name=key
            )
            for key, number in self.keys.items()
            if number in numbers
        ]
        running: set[int] = set()

        def started(key: Any, *_: Any) -> None:
            if key in self.keys:
                running.add(self.keys[key])

        def ended(key: Any, result: Any, *_: Any) -> None:
            if key in self.keys:
                self.done(self.keys[key], result)

        with Callback(pretask=started, posttask=ended):
            try:
                # One task at a time for a worker: dask would hand out six.
                compute(*calls, chunksize=1, optimize_graph=False, **options)
            except BrokenProcessPool:
                return running - self.results.keys()
        return set()


@dataclass(frozen=True)
class _Call:
    """A task."""

    function: Callable[[Any], Any]
    item: Any

    def __call__(self) -> Any:
        try:
            return self.function(self.item)
        # An exit would end this process or the worker, and with it the other tasks.
        except (Exception, SystemExit) as error:
            return NoResult(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class _Packed:
    pickled: bytes


class _SentCall(_Call):
    """A task that runs in another process."""

    def __call__(self) -> Any:
        from cloudpickle import dumps

        try:
            # Here, so that a result that does not pickle is this task's failure alone.
            return _Packed(dumps(super().__call__()))
        except Exception as error:
            return NoResult(
                "what the function returned cannot be sent back by the worker: "
                f"{type(error).__name__}: {error}. Return numbers, arrays or tables, or use "
                "scheduler='threads'"
            )


class _PoolCall(_SentCall):
    """A task that runs in a process of a pool, which hears Ctrl-C only while it works."""

    def __call__(self) -> Any:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return super().__call__()
        except KeyboardInterrupt:
            # Its parent has heard it too, and says so: no trace from each worker.
            return NoResult("interrupted")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


# -- processes of this machine --------------------------------------------------------------------
def _in_processes(run: _Run, workers: int | None) -> None:
    from dask.system import CPU_COUNT

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
    from dask.system import CPU_COUNT

    # Together they use the cores there are, as one process would with its threads.
    environment = {THREADS_VARIABLE: str(max(1, CPU_COUNT // workers)), **os.environ}
    pool = ProcessPoolExecutor(
        workers, _context(), initializer=_begin_worker, initargs=(environment,)
    )
    try:
        return run.compute(numbers, scheduler="processes", pool=pool)
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
    with _environment({name: "1" for name in _ONE_THREAD if name not in os.environ}):
        forkserver.ensure_running()
    return context


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


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
    from dask.multiprocessing import default_initializer

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    # Or all that are forked from one process would draw the same random numbers.
    default_initializer()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


# -- a cluster ------------------------------------------------------------------------------------
def _on_cluster(run: _Run, client: Any) -> None:
    numbers = set(run.keys.values())
    blamed = _round_on_cluster(run, client, numbers)
    if len(blamed) == 1:
        # The engine has tried it several times, and lost no other: it is the one.
        alone = blamed
    else:
        # Tasks that waited at the same workers are blamed with the one that killed them.
        alone = {}
        for number in blamed:
            alone |= _round_on_cluster(run, client, {number})
    for number, reason in alone.items():
        run.done(number, NoResult(reason))


def _round_on_cluster(run: _Run, client: Any, numbers: Collection[int]) -> dict[int, str]:
    """Run tasks on a cluster; return those whose workers died again and again, and the reason."""
    from distributed import KilledWorker, as_completed

    futures = {
        client.submit(
            _SentCall(run.function, run.items[number]),
            key=f"{key}-{uuid4().hex}",
            pure=False,
        ): number
        for key, number in run.keys.items()
        if number in numbers
    }
    killed = {}
    try:
        for future in as_completed(futures):
            number = futures[future]
            if future.status == "finished":
                run.done(number, future.result())
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
