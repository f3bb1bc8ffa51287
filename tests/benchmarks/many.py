"""Many sessions: memory against their number, two processes against one core and a bare pool.

Memory is the peak of a fresh process, above what it held before the task, with many sessions and
with two; the ratio of the two peaks says whether it grows. Garbage is not collected on the way.
"""

import concurrent.futures
import functools
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

import floors
import oscaxr as ox
import samples
from task import Case, Work, task

NONE = ("-",)
FEW = 2
SMALL_ROIS = 60
REAL_ROIS = 80


def mean_response(ds: xr.Dataset) -> xr.DataArray:
    """Mean response of each ROI to the unexpected gabors."""
    unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    return ds.osca.sequences("dff", unexpected, pre=1, post=1).mean(("sequence", "rel_time"))


# -- memory ----------------------------------------------------------------------------------------
def loop(paths: Sequence[Path]) -> None:
    for path in paths:
        with ox.open_session(path) as ds:
            mean_response(ds).load()


def tree(paths: Sequence[Path]) -> None:
    with ox.open_sessions(paths, progress=False) as opened:
        sweep(opened)


def sweep(opened: xr.DataTree) -> None:
    for node in opened.leaves:
        mean_response(node.to_dataset()).load()


def mapped(paths: Sequence[Path]) -> None:
    ox.map_sessions(mean_response, paths, scheduler="synchronous", progress=False)


SWEEPS = {"loop": loop, "open_sessions": tree, "map_sessions": mapped}


def sweeping(sweep: Callable[[Sequence[Path]], None]) -> Callable[[Case], Work]:
    def make(case: Case) -> Work:
        scale = max(0.01, 0.1 * case.scale)
        paths = samples.many_files(case.folder, case.sessions, min(SMALL_ROIS, case.rois), scale)
        sweep(paths[:1])
        return Work(lambda: sweep(paths), once=True)

    return make


for name, function in SWEEPS.items():
    task(f"memory of many sessions to few: {name}", "many", NONE, few=FEW)(sweeping(function))


# -- time ------------------------------------------------------------------------------------------
def real_files(case: Case) -> list[Path]:
    count = min(8, case.sessions)
    return samples.many_files(case.folder, count, min(REAL_ROIS, case.rois), case.scale)


def plain_work(path: str | os.PathLike[str], times: int = 1) -> float:
    """Read all traces with h5py and take percentiles, so many times."""
    return sum(float(np.nansum(floors.percentiles(path))) for _ in range(times))


def work_on(ds: xr.Dataset, times: int) -> xr.DataArray:
    """Do the same work, given a session."""
    return xr.DataArray(plain_work(ds.encoding["source"], times))


@task("map_sessions, 2 processes, to a bare pool", "many", NONE, memory=False)
def against_a_pool(case: Case) -> Work:
    """Work enough that each process is busy for `case.seconds`, the pool being there before."""
    paths = real_files(case)
    start = time.perf_counter()
    plain_work(paths[0])
    one = time.perf_counter() - start
    times = max(1, math.ceil(2 * case.seconds / (one * len(paths))))
    context = multiprocessing.get_context("forkserver")
    pool = case.stack.enter_context(concurrent.futures.ProcessPoolExecutor(2, mp_context=context))

    def ours() -> list[float]:
        func = functools.partial(work_on, times=times)
        results = ox.map_sessions(func, paths, workers=2, progress=False)
        return [float(next(iter(node.data_vars.values()))) for node in results.leaves]

    def same(ours: list[float], floor: list[float]) -> None:
        assert sorted(ours) == sorted(floor)

    return Work(ours, lambda: list(pool.map(plain_work, paths, [times] * len(paths))), same)


@task("map_sessions, 2 processes, to one core", "many", NONE, memory=False)
def against_one_core(case: Case) -> Work:
    paths = real_files(case)
    return Work(
        lambda: ox.map_sessions(mean_response, paths, workers=2, progress=False),
        lambda: on_one_core(loop, paths),
    )


def on_one_core(function: Callable[[Sequence[Path]], None], paths: Sequence[Path]) -> None:
    """Call a function with the process held to one core (where the system can do that)."""
    if not hasattr(os, "sched_setaffinity"):
        function(paths)
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        function(paths)
    finally:
        os.sched_setaffinity(0, cores)
