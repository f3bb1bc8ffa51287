"""Decoding, against the plain pipeline of scikit-learn: 100 divisions and 1,000 shuffles.

One thread of linear algebra on both sides. Both are told in seconds of the whole: that of the
pipeline from 20 fits, that of time courses from a fifth of the divisions and shuffles.
"""

import time
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

import oscaxr as ox
from oscaxr.analyses.decoding import TIME_COURSE_WINDOW, WINDOW
from plain_decoder import plain_decoder
from task import Case, Work, task

SPLITS, SHUFFLES, FITS = 100, 1000, 20


def what(case: Case) -> dict[str, Any]:
    """Say what is decoded: the orientation of D, in short sessions that of all frames."""
    if case.scale >= 1:
        return {}
    return {"gabor_frame": ["A", "B", "C", "D"], "gabor_kappa": None, "counts": "all"}


def ours(case: Case, time_course: bool, part: int) -> float:
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    numbers = {"splits": max(2, SPLITS // part), "shuffles": SHUFFLES // part}
    with threadpool_limits(1):
        ox.analyses.decode(case.ds, **what(case), **numbers, time_course=time_course, seed=1)
    return (time.perf_counter() - start) * SPLITS / numbers["splits"]


@lru_cache(maxsize=1)
def responses(case: Case, time_course: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return features of as many sequences as a division trains on, of one frame or all frames."""
    start, stop = TIME_COURSE_WINDOW if time_course else WINDOW
    told = what(case)
    frames = told.get("gabor_frame", "D")
    segments = case.ds.osca.select(gabor_frame=frames, gabor_kappa=told.get("gabor_kappa", 16))
    taken = min(segments.sizes["segment"], int(0.75 * case.unexpected.sizes["segment"]) + 8)
    windows = case.ds.osca.sequences(
        "dff", segments.isel(segment=slice(taken)), pre=-start, post=stop
    )
    values = windows.transpose("sequence", "roi", "rel_time").values.astype(float)
    labels = np.unique(windows.gabor_mean_orientation, return_inverse=True)[1]
    return values[:, :, values.shape[2] // 2 :][:, :, :1] if time_course else values, labels


def plain(case: Case, time_course: bool) -> float:
    from threadpoolctl import threadpool_limits

    values, labels = responses(case, time_course)
    decoder, rows = plain_decoder(values.shape[1]), values.reshape(len(values), -1)
    random = np.random.default_rng(0)
    start = time.perf_counter()
    with threadpool_limits(1):
        for _ in range(FITS):
            decoder.fit(rows, random.permutation(labels)).predict(rows[: len(rows) // 3])
    fits = (SPLITS + SHUFFLES) * (45 if time_course else 1)
    return (time.perf_counter() - start) * fits / FITS


def same(case: Case, time_course: bool) -> None:
    """Compare the scores of a few divisions, the pipeline being fitted to a tight tolerance."""
    shuffles = 0 if time_course else 20
    few = {"splits": 2, "shuffles": shuffles, "window": (0, 0.1), "seed": 1}
    few |= {"time_course": time_course}
    tight = plain_decoder(case.rois, tolerance=1e-8)
    found = [ox.analyses.decode(case.ds, **what(case), **few, estimator=e) for e in (None, tight)]
    xr.testing.assert_allclose(*found)


def work(case: Case, time_course: bool, part: int) -> Work:
    return Work(
        lambda: ours(case, time_course, part),
        lambda: plain(case, time_course),
        lambda *_: same(case, time_course),
        prepare_floor=lambda: responses(case, time_course),
        times_itself=True,
        once=True,
    )


@task("decoding, 1,000 shuffles", "decoding", ("contiguous",))
def decoding(case: Case) -> Work:
    return work(case, time_course=False, part=1)


@task("decoding frame by frame, 1,000 shuffles", "decoding", ("contiguous",))
def frame_by_frame(case: Case) -> Work:
    return work(case, time_course=True, part=5)
