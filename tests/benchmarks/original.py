"""A session in the original format.

The floor of opening is what any reader has to do: unpickle the stimulus log (with the standard
unpickler, which runs whatever it says) and read the events of the sync file.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import floors
import oscaxr as ox
import samples
from reading import same_arrays
from task import Case, Work, task

ORIGINAL = ("original",)


@lru_cache(maxsize=1)
def folder_of(case: Case) -> Path:
    """Return the folder of the session, its log decoded before, beside it."""
    folder = samples.original_folder(case.folder, case.rois, case.scale)
    ox.open_session(folder, keep_decoded=kept(case)).close()
    return folder


def kept(case: Case) -> Path:
    return case.folder / "decoded logs"


def opening(case: Case, **options: Any) -> Work:
    folder = folder_of(case)

    def ours() -> None:
        ox.open_session(folder, **options).close()

    return Work(ours, lambda: floors.open_original(folder))


@task("original: open", "original", ORIGINAL)
def open_folder(case: Case) -> Work:
    return opening(case)


@task("original: open, log decoded before", "original", ORIGINAL)
def open_again(case: Case) -> Work:
    return opening(case, keep_decoded=kept(case))


@task("original: U sequences", "original", ORIGINAL)
def sequences(case: Case) -> Work:
    folder = folder_of(case)
    ds = case.stack.enter_context(ox.open_session(folder, keep_decoded=kept(case)))
    unexpected = ds.osca.select(gabor_frame="U")
    frames = unexpected.start_frame_twop.values
    second = round(ds.attrs["twop_fps"])
    rows = ds.roi.values
    return Work(
        lambda: ds.osca.sequences("dff", unexpected, pre=1, post=1, invalid="keep").values,
        lambda: floors.original_windows(folder, frames, second, second),
        lambda ours, floor: same_arrays(ours, floor[rows]),
    )


@task("original: scale factors", "original", ORIGINAL)
def scale_factors(case: Case) -> Work:
    folder = folder_of(case)

    def ours() -> list[np.ndarray]:
        with ox.open_session(folder, keep_decoded=kept(case)) as ds:
            return [ds.dff_median.values, ds.dff_spread.values]

    return Work(ours, lambda: floors.original_percentiles(folder))
