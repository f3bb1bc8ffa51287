"""Measure work over many sessions: memory against their number, processes against one and a loop.

Usage: python tests/benchmarks/many.py [--folder DIR] [--counts 2 8 24] [--repeat N] [--sessions N]

Memory is what a fresh process holds privately at its peak, above what it held before the task, once
one session has been worked on (which loads the libraries); beside it, what the process still has at
the end. Garbage is not collected on the way. A tree holds the clocks and the segment tables of all
its sessions, a loop those of one.

Times are of whole calls over sessions of real structure (8,844 segments, 126,741 frames), in turn
and with a warm page cache; the best of the repeats counts, and the slowest tells how much else the
machine had to do. A loop, and one process, read and compute in two threads: on a machine of two
cores they have little to leave to a second process. The loop held to one core tells what two cores
are worth. The first call of a process starts the server that the others fork from; it is
measured in fresh processes.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import xarray as xr
from rich.console import Console
from rich.table import Table
from run import private_kilobytes

import oscaxr as ox

FIRST_ID = 758519303
SMALL = {"scale": 0.1, "n_rois": 60, "n_tracked": 20}
REAL = {"scale": 1.0, "n_rois": 80, "n_tracked": 40}
GOAL = 1.7


def sample_files(folder, count, spec):
    """Write sessions once, or find them."""
    paths = []
    for number in range(count):
        made = ox.sample.SampleSpec(seed=number, session_id=FIRST_ID + number, **spec)
        paths.append(ox.sample.sample_path(made, folder))
        if not paths[-1].exists():
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            ox.sample.write_nwb(made, folder, layout="gzip", dtype="float32")
    return paths


# -- what is done with each session ---------------------------------------------------------------
def mean_response(ds):
    """Mean scaled response of each ROI to the unexpected gabors."""
    unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    sequences = ds.osca.sequences("dff", unexpected, pre=1, post=1)
    return sequences.mean(("sequence", "rel_time"))


def analysis(ds):
    """Mean, SEM and quartiles of the scaled responses to the unexpected gabors, ROI by ROI."""
    unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    sequences = ds.osca.sequences("dff", unexpected, pre=1, post=1, scale=True)
    means = ox.stats(sequences, dim="sequence", stat="mean", error="sem")
    medians = ox.stats(sequences, dim="sequence", stat="median", error="std")
    return means.assign(medians.data_vars)


# -- memory ---------------------------------------------------------------------------------------
def sweep(paths):
    """Open all sessions as a tree, and take each in turn."""
    with ox.open_sessions(paths, progress=False) as tree:
        return [mean_response(node.to_dataset()).values for node in tree.leaves]


def loop(paths):
    """Open, work on and close one session after the other."""
    found = []
    for path in paths:
        with ox.open_session(path) as ds:
            found.append(mean_response(ds).values)
    return found


def mapped(paths):
    """Do the same through map_sessions, in this process."""
    return ox.map_sessions(mean_response, paths, scheduler="synchronous", progress=False)


SWEEPS = {"open_sessions, then a loop": sweep, "loop of open_session": loop,
          "map_sessions, synchronous": mapped}  # fmt: skip


def peak_of(name, paths):
    """Return the peak of a sweep in a fresh process, and what is held at its end, MB."""
    code = [sys.executable, __file__, "--child", name, *map(str, paths)]
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def child(name, paths):
    """Sweep while watching the private memory of this process."""
    SWEEPS[name](paths[:1])
    gc.collect()
    seen, done = [], threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(private_kilobytes())

    before = private_kilobytes()
    thread = threading.Thread(target=watch)
    thread.start()
    SWEEPS[name](paths)
    done.set()
    thread.join()
    held = private_kilobytes()
    print(json.dumps([(kb - before) / 1024 for kb in (max(seen, default=before), held)]))


def memory(folder, counts, repeat):
    """Return the table of peaks by number of sessions."""
    paths = sample_files(folder / "small", max(counts), SMALL)
    with ox.open_session(paths[0]) as ds:
        traces = ds.dff.nbytes / 2**20
    table = Table(
        title=f"peak private memory (held at the end), MB; the traces of one session: {traces:.1f}"
    )
    table.add_column("sweep")
    for count in counts:
        table.add_column(f"{count} sessions", justify="right")
    table.add_column("peak per session more", justify="right")
    for name in SWEEPS:
        found = [min(peak_of(name, paths[:count]) for _ in range(repeat)) for count in counts]
        more = (found[-1][0] - found[0][0]) / (counts[-1] - counts[0])
        table.add_row(name, *(f"{peak:.1f} ({held:.1f})" for peak, held in found), f"{more:.2f}")
    return table


# -- time -----------------------------------------------------------------------------------------
def plain_loop(func, paths):
    results = []
    for path in paths:
        with ox.open_session(path) as ds:
            results.append(func(ds).load())
    return results


def processes(func, paths, workers):
    return ox.map_sessions(func, paths, workers=workers, progress=False)


def first_call(name, paths, workers):
    """Return how long a first call takes in a fresh process, s."""
    code = [sys.executable, __file__, "--first", name, str(workers), *map(str, paths)]
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def times(folder, count, repeat):
    """Return the table of times over sessions of real structure."""
    paths = sample_files(folder / "real", count, REAL)
    table = Table(
        title=f"{count} sessions, {REAL['n_rois']} ROIs, gzip; {os.cpu_count()} cores; s, best "
        f"(slowest) of {repeat}"
    )
    columns = ("task", "call", "1 core", "loop", "1 process", "2 processes")
    columns += ("1 core / 2", "1 / 2", "loop / 2", "goal")
    for column in columns:
        table.add_column(column, justify="left" if column in ("task", "call") else "right")
    for func in (mean_response, analysis):
        expected = plain_loop(func, paths)
        for node, one in zip(processes(func, paths, 2).leaves, expected, strict=True):
            values = one if isinstance(one, xr.Dataset) else one.to_dataset(name="dff")
            xr.testing.assert_identical(node.to_dataset(), values)
        later = [
            lambda f=func: on_one_core(plain_loop, f, paths),
            lambda f=func: plain_loop(f, paths),
            lambda f=func: processes(f, paths, 1),
            lambda f=func: processes(f, paths, 2),
        ]
        add_times(table, func.__name__, "later", *in_turn([timed(call) for call in later], repeat))
        first = [lambda f=func, n=n: first_call(f.__name__, paths, n) for n in (0, 1, 2)]
        add_times(table, "", "first", None, *in_turn(first, repeat))
    return table


def on_one_core(function, *args):
    """Call a function with the process held to one core (where the system can do that)."""
    if not hasattr(os, "sched_setaffinity"):
        return function(*args)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return function(*args)
    finally:
        os.sched_setaffinity(0, cores)


def timed(function):
    def run():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def in_turn(functions, repeat):
    """Call functions that return times in turn; return all times of each."""
    return zip(*[[function() for function in functions] for _ in range(repeat)], strict=True)


def add_times(table, task, call, core, loop, one, two):
    ratios = [
        "" if other is None else f"{min(other) / min(two):.2f}" for other in (core, one, loop)
    ]
    times = (core, loop, one, two)
    cells = ["" if found is None else f"{min(found):.2f} ({max(found):.2f})" for found in times]
    table.add_row(task, call, *cells, *ratios, f"{GOAL:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 8, 24])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", nargs="+", metavar=("SWEEP", "PATH"))
    parser.add_argument("--first", nargs="+", metavar=("TASK", "WORKERS"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        child(options.child[0], options.child[1:])
        return
    if options.first:
        name, workers, *paths = options.first
        func, n_workers = globals()[name], int(workers)
        run = timed(
            lambda: processes(func, paths, n_workers) if n_workers else plain_loop(func, paths)
        )
        print(json.dumps(run()))
        return
    console = Console(width=120)
    console.print(memory(options.folder / "many", options.counts, options.repeat))
    console.print(times(options.folder / "many", options.sessions, options.repeat))


if __name__ == "__main__":
    main()
