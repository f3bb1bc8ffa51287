"""Exports: writing them against a plain write of the same arrays, reading them against NWB.

The plain write has the arrays in memory and the chunks and codecs of the export.
"""

import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

import floors
import oscaxr as ox
from reading import same_arrays
from task import Case, Work, in_fresh_process, task

SUFFIXES = {"zarr": "zarr", "netCDF": "nc"}
LAYOUTS = ("contiguous", "gzip")
FIRST_OPEN = """
import json, sys, time, warnings
import oscaxr as ox
warnings.simplefilter("ignore")
start = time.perf_counter()
ds = ox.open_session(sys.argv[1])
ds[["gabor_x", "gabor_orientation"]].load()
print(json.dumps(time.perf_counter() - start))
"""


@lru_cache(maxsize=1)
def scratch(case: Case) -> Path:
    """Return a folder for the exports of a case, removed at its end."""
    folder = tempfile.TemporaryDirectory(dir=case.folder, prefix="exports-")
    return Path(case.stack.enter_context(folder))


@lru_cache(maxsize=2)
def export(case: Case, kind: str) -> Path:
    """Save the session once, and return where."""
    return ox.save(case.ds, scratch(case) / f"read.{SUFFIXES[kind]}")


def writing(kind: str, in_memory: bool) -> Callable[[Case], Work]:
    def make(case: Case) -> Work:
        target = scratch(case) / f"written.{SUFFIXES[kind]}"
        session = ox.open_session(case.path)
        case.stack.callback(session.close)
        if in_memory:
            session.load()
        held: list[floors.Stored] = []

        def ours() -> None:
            ox.save(session, target, overwrite=True, digest=False if in_memory else None)

        def prepare() -> None:
            held.extend(floors.STORED[kind](export(case, kind)))

        def floor() -> None:
            plain = scratch(case) / f"plain.{SUFFIXES[kind]}"
            shutil.rmtree(plain, ignore_errors=True)
            plain.unlink(missing_ok=True)
            floors.WRITERS[kind](held, plain)

        return Work(ours, floor, prepare_floor=prepare)

    return make


def reading(kind: str, take: Callable[[Case, xr.Dataset], np.ndarray]) -> Callable[[Case], Work]:
    def make(case: Case) -> Work:
        def opened(path: Path) -> np.ndarray:
            with ox.open_session(path) as ds:
                return take(case, ds)

        saved = export(case, kind)
        return Work(lambda: opened(saved), lambda: opened(case.path), same_arrays)

    return make


def u_sequences(_: Case, ds: xr.Dataset) -> np.ndarray:
    unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    return ds.osca.sequences("dff", unexpected, pre=1, post=1).values


def one_roi(case: Case, ds: xr.Dataset) -> np.ndarray:
    return ds.dff.isel(roi=case.rois // 2).values


def first_open(kind: str) -> Callable[[Case], Work]:
    def make(case: Case) -> Work:
        saved = export(case, kind)
        return Work(
            lambda: in_fresh_process(FIRST_OPEN, saved),
            lambda: in_fresh_process(FIRST_OPEN, case.path),
            times_itself=True,
        )

    return make


for name in SUFFIXES:
    task(f"save to {name}, to a plain write", "export", LAYOUTS)(writing(name, True))
    task(f"save to {name} from NWB, to a plain write", "export", LAYOUTS)(writing(name, False))
    sequences = reading(name, u_sequences)
    task(f"{name}: open and U sequences, to NWB", "reopen", LAYOUTS, memory=False)(sequences)
    roi = reading(name, one_roi)
    task(f"{name}: open and one ROI, to NWB", "reopen", LAYOUTS, memory=False)(roi)
    first = first_open(name)
    task(f"{name}: first open of a process, to NWB", "reopen", LAYOUTS, memory=False)(first)
