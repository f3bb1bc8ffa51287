"""Measure oscaxr against plain h5py and numpy on a real-size session, and print the ratios.

Usage: python tests/benchmarks/run.py [--folder DIR] [--rois N] [--repeat N] [--layout LAYOUT]

Both sides of a ratio are measured in the same run, alternating, with a warm page cache; the best of
the repeats counts. Memory is what a fresh process holds privately at its peak, above what it held
before the task; beside it, what the code allows itself for it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import floors
import numpy as np
from rich.console import Console
from rich.table import Table

LAYOUTS = {"contiguous": "float64", "gzip": "float32"}


def sample_file(folder, layout, n_rois):
    """Write the real-size session once, or find it."""
    from oscaxr.sample import SampleSpec, sample_path, write_nwb

    spec = SampleSpec(n_rois=n_rois, n_tracked=min(100, n_rois // 2))
    path = sample_path(spec, folder / f"{layout}_{n_rois}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nwb(spec, folder / f"{layout}_{n_rois}", layout=layout, dtype=LAYOUTS[layout])
    return path


def best(functions, repeat):
    """Run the functions in turn and return the best time of each."""
    times = [[] for _ in functions]
    for _ in range(repeat):
        for function, record in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            record.append(time.perf_counter() - start)
    return [min(record) for record in times]


class Tasks:
    """The tasks on one file, each as (oscaxr, floor)."""

    def __init__(self, path, layout):
        import oscaxr as ox

        self.ox, self.path, self.layout = ox, path, layout
        self.ds = ox.open_session(path)
        self.unexpected = self.ds.osca.select(stimulus="gabors", gabor_frame="U")
        self.gabors = self.ds.osca.select(stimulus="gabors")
        fps = self.ds.attrs["twop_fps"]
        self.before = self.after = int(np.round(fps))
        self.frames = self.unexpected.start_frame_twop.values
        self.wide_after = int(np.round(0.6 * fps))

    def fresh(self):
        return self.ox.open_session(self.path)

    def open(self):
        with self.fresh() as ds:
            names = ["gabor_x", "gabor_y", "gabor_size", "gabor_orientation"]
            return ds[names].load(), ds.coords["time"].values

    def sequences(self):
        return self.ds.osca.sequences("dff", self.unexpected, pre=1, post=1).values

    def isel(self):
        import xarray as xr

        rows = self.frames[:, None] + np.arange(-self.before, self.after)
        return self.ds.dff.isel(time=xr.DataArray(rows, dims=("sequence", "rel_time"))).values

    def wide(self):
        u = self.ds.osca.sequences("dff", self.gabors, pre=0, post=0.6)
        return u.osca.stats("sequence", error=None)["mean"].values

    def factors(self):
        with self.fresh() as ds:
            return ds.dff_median.values, ds.dff_spread.values

    def traces(self):
        with self.fresh() as ds:
            return ds.dff.values

    def masks(self):
        with self.fresh() as ds:
            return ds.roi_mask.values


def measure(tasks, repeat):
    """Yield (task, seconds, floor seconds, must, goal)."""
    windows = tasks.frames, tasks.before, tasks.after
    floor_windows = (
        floors.windows_by_slice if tasks.layout == "contiguous" else (floors.windows_by_chunk)
    )
    expected = floor_windows(tasks.path, *windows)
    np.testing.assert_array_equal(np.moveaxis(tasks.sequences(), 0, -1), expected)
    np.testing.assert_array_equal(tasks.isel(), expected)
    yield (
        "open + whole segment table",
        *best([tasks.open, lambda: floors.open_and_read_table(tasks.path)], 3 * repeat),
        2.5,
        1.6,
    )
    must, goal = (1.3, 0.6) if tasks.layout == "contiguous" else (1.2, 0.4)
    ours, floor, users = best(
        [tasks.sequences, lambda: floor_windows(tasks.path, *windows), tasks.isel], 3 * repeat
    )
    yield f"U sequences {expected.shape}", ours, floor, must, goal
    yield "the same through isel (against the accessor)", users, ours, 4, 2
    wide = tasks.gabors.start_frame_twop.values, 0, tasks.wide_after
    np.testing.assert_allclose(
        tasks.wide(), floors.wide_mean(tasks.path, *wide).T, rtol=1e-9, atol=1e-9
    )
    yield (
        f"wide mean ({len(wide[0])} x {wide[2]} frames)",
        *best([tasks.wide, lambda: floors.wide_mean(tasks.path, *wide)], repeat),
        2,
        1,
    )
    yield (
        "scale factors (against reading and nanpercentile)",
        *best([tasks.factors, lambda: floors.percentiles(tasks.path)], repeat),
        1 / 3,
        1 / 6,
    )
    yield (
        "full traces",
        *best([tasks.traces, lambda: floors.full_traces(tasks.path)], repeat),
        1.2,
        0.8,
    )
    yield (
        "masks to bool",
        *best([tasks.masks, lambda: floors.masks(tasks.path)], repeat),
        1.2,
        0.3,
    )


def budgets():
    """Return the bytes that each watched task may hold, by name of the task."""
    from oscaxr.arrays.columns import BUDGET_BYTES
    from oscaxr.measure.streaming import LOADED_BYTES

    return {"wide": LOADED_BYTES, "factors": BUDGET_BYTES}


def peak_private(path, layout, task):
    """Run one task in a fresh process and return its peak private memory, MB."""
    code = [sys.executable, __file__, "--child", task, str(path), layout]
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def child(task, path, layout):
    """Run a task while watching the private memory of this process."""
    tasks = Tasks(Path(path), layout)
    seen = []
    done = threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(private_kilobytes())

    before = private_kilobytes()
    thread = threading.Thread(target=watch)
    thread.start()
    getattr(tasks, task)()
    done.set()
    thread.join()
    print(json.dumps((max(seen, default=before) - before) / 1024))


def private_kilobytes():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if "RssAnon" in line).split()[1])


def import_times(repeat):
    """Return the best time to import oscaxr and xarray, in fresh processes."""

    def importing(name):
        return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    empty, ours, floor = best(
        [importing("sys"), importing("oscaxr"), importing("xarray")], 3 * repeat
    )
    return ours - empty, floor - empty


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--rois", type=int, default=628)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--layout", choices=LAYOUTS, default=None)
    parser.add_argument("--child", nargs=3, metavar=("TASK", "PATH", "LAYOUT"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        child(*options.child)
        return
    console = Console()
    table = Table(title=f"oscaxr against h5py + numpy, {options.rois} ROIs")
    for column in (
        "layout",
        "task",
        "oscaxr, s",
        "floor, s",
        "ratio",
        "must",
        "goal",
        "peak, MB",
        "budget, MB",
    ):
        table.add_column(column, justify="left" if column in ("layout", "task") else "right")
    watched = {"wide": "wide", "scale": "factors"}
    for layout in [options.layout] if options.layout else LAYOUTS:
        path = sample_file(options.folder, layout, options.rois)
        tasks = Tasks(path, layout)
        for task, ours, floor, must, goal in measure(tasks, options.repeat):
            name = watched.get(task.split()[0])
            memory = f"{peak_private(path, layout, name):.0f}" if name else ""
            budget = f"{budgets()[name] / 2**20:.0f}" if name else ""
            table.add_row(
                layout, task, f"{ours:.4f}", f"{floor:.4f}", f"{ours / floor:.2f}", f"{must:.2f}",
                f"{goal:.2f}", memory, budget,
            )  # fmt: skip
    ours, floor = import_times(options.repeat)
    table.add_row(
        "", "import", f"{ours:.3f}", f"{floor:.3f}", f"{ours / floor:.2f}", "1.30", "1.15", "", ""
    )
    console.print(table)


if __name__ == "__main__":
    main()
