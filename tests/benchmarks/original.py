"""Measure opening a real-size session in the original layout, and print the ratios.

Usage: python tests/benchmarks/original.py [--folder DIR] [--rois N] [--repeat N]

The floor is what any reader has to do: unpickling the stimulus log (with the standard unpickler,
which runs whatever it says) and reading the events of the sync file. Memory is what a fresh process
holds privately, at its peak and once the session is open.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
from rich.console import Console
from rich.table import Table
from run import best

MEMORY = """
import json, sys, threading, time, warnings, psutil
import oscaxr as ox
ox.open_session  # imports are not counted
from oscaxr.formats.original import dataset as build
warnings.simplefilter("ignore")
process = psutil.Process()
held = lambda: process.memory_full_info().uss / 2**20
before = peak = held()
done = False
def watch():
    global peak
    while not done:
        peak = max(peak, held())
        time.sleep(0.005)
thread = threading.Thread(target=watch); thread.start()
ds = ox.open_session(sys.argv[1], **json.loads(sys.argv[2]))
done = True; thread.join()
print(json.dumps([peak - before, held() - before]))
"""


def sample_folder(folder, n_rois):
    """Write the real-size session once, or find it."""
    import oscaxr as ox

    spec = ox.sample.SampleSpec(n_rois=n_rois, n_tracked=min(100, n_rois // 2), n_bad_rois=20)
    found = list(folder.glob(f"prod/*/ophys_session_{spec.session_id}"))
    if found:
        return found[0]
    start = time.perf_counter()
    path = ox.sample.write_original(spec, folder)
    print(f"written in {time.perf_counter() - start:.0f} s")
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rois", type=int, default=628)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        measure(options.folder or Path(made), options)


def measure(datadir, options):
    import oscaxr as ox

    folder = sample_folder(datadir, options.rois)
    (log,) = folder.glob("*_stim.pkl")
    (sync,) = folder.glob("*_sync.h5")
    kept = datadir / "kept"

    def unpickle():
        with log.open("rb") as file:
            return pickle.load(file, encoding="latin1")

    def floor():
        content = unpickle()
        with h5py.File(sync) as file:
            return content, file["data"][()]

    def opened(**more):
        with ox.open_session(folder, **more) as ds:
            return ds.sizes

    opened(keep_decoded=kept)
    ours, again, standard, alone = best(
        [opened, lambda: opened(keep_decoded=kept), floor, unpickle], options.repeat
    )
    table = Table(title=f"{log.stat().st_size / 1e6:.0f} MB log, {options.rois} ROIs")
    for column in ("task", "s", "ratio to the floor", "goal"):
        table.add_column(column)
    table.add_row("floor: unpickle and read the sync file", f"{standard:.2f}", "1", "")
    table.add_row("  of which unpickling", f"{alone:.2f}", f"{alone / standard:.2f}", "")
    table.add_row("open", f"{ours:.2f}", f"{ours / standard:.2f}", "1.5")
    table.add_row("open, decoded log kept", f"{again:.2f}", f"{again / standard:.2f}", "")
    with ox.open_session(folder) as ds:
        u = ds.osca.select(gabor_frame="U")
        frames = u.start_frame_twop.values[:, None] + np.arange(-30, 30)
        (traces,) = folder.glob("ophys_experiment_*/*_dff.h5")

        def windows_floor():
            with h5py.File(traces) as file:
                data = file["data"]
                return np.stack([data[:, row[0] : row[-1] + 1] for row in frames])

        ours, standard = best(
            [lambda: ds.osca.sequences("dff", u, pre=1, post=1).values, windows_floor], 5
        )
        table.add_row(f"U sequences ({len(frames)})", f"{ours:.3f}", f"{ours / standard:.2f}", "")

        def factors():
            with ox.open_session(folder, keep_decoded=kept) as fresh:
                return fresh.dff_median.values

        def factors_floor():
            with h5py.File(traces) as file:
                return np.nanpercentile(file["data"][()], (5, 50, 95), axis=1)

        ours, standard = best([factors, factors_floor], 1)
        table.add_row("factors, with reasons", f"{ours:.2f}", f"{ours / standard:.2f}", "")
    for words, more in (("", {}), (", decoded log kept", {"keep_decoded": str(kept)})):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(folder), json.dumps(more)],
            capture_output=True,
            text=True,
            check=True,
        )
        peak, held = json.loads(done.stdout)
        table.add_row(f"memory, MB{words}", f"peak {peak:.0f}, open {held:.0f}", "", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
