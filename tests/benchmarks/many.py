"""Measure work over many sessions: memory against their number, processes against one and a loop.

Usage: python tests/benchmarks/many.py [--folder DIR] [--counts 2 8 24] [--repeat N] [--sessions N]

Memory is what a fresh process holds privately at its peak, above what it held before the task, once
one session has been worked on (which loads the libraries); beside it, what the process still has at
the end, garbage collected. A tree holds all its sessions open, a loop one at a time.

Times are of whole calls, the start of the processes included, alternating in one run with a warm
page cache; the best of the repeats counts.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from run import best, private_kilobytes

import oscaxr as ox

FIRST_ID = 758519303
SMALL = {"scale": 0.1, "n_rois": 60, "n_tracked": 20}
REAL = {"scale": 0.3, "n_rois": 200, "n_tracked": 60}
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


def scaled_responses(ds):
    """Mean and SEM over all gabors, scaled by factors from whole traces: as an analysis has it."""
    gabors = ds.osca.select(stimulus="gabors")
    sequences = ds.osca.sequences("dff", gabors, pre=0, post=0.6, scale=True)
    return ox.stats(sequences, dim="sequence", stat="mean", error="sem")


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
    gc.collect()
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


def times(folder, count, repeat):
    """Return the table of times over sessions of real structure."""
    paths = sample_files(folder / "real", count, REAL)
    table = Table(
        title=f"{count} sessions, {REAL['n_rois']} ROIs, scale {REAL['scale']}, gzip; "
        f"{os.cpu_count()} cores"
    )
    columns = ("task", "loop, s", "1 process, s", "2 processes, s", "1 / 2", "loop / 2", "goal")
    for column in columns:
        table.add_column(column, justify="left" if column == "task" else "right")
    for func in (mean_response, scaled_responses):
        expected = plain_loop(func, paths)
        results = processes(func, paths, 2)
        for node, one in zip(results.leaves, expected, strict=True):
            values = one.to_dataset(name="dff") if not hasattr(one, "data_vars") else one
            for name, array in zip(node.data_vars, values.data_vars, strict=True):
                np.testing.assert_array_equal(node[name].values, values[array].values)
        loop_s, one_s, two_s = best(
            [
                lambda f=func: plain_loop(f, paths),
                lambda f=func: processes(f, paths, 1),
                lambda f=func: processes(f, paths, 2),
            ],
            repeat,
        )
        table.add_row(
            func.__name__, f"{loop_s:.2f}", f"{one_s:.2f}", f"{two_s:.2f}",
            f"{one_s / two_s:.2f}", f"{loop_s / two_s:.2f}", f"{GOAL:.1f}",
        )  # fmt: skip
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 8, 24])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", nargs="+", metavar=("SWEEP", "PATH"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        child(options.child[0], options.child[1:])
        return
    console = Console(width=120)
    console.print(memory(options.folder / "many", options.counts, options.repeat))
    console.print(times(options.folder / "many", options.sessions, options.repeat))


if __name__ == "__main__":
    main()
