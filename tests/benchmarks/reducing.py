"""Numbers over all gabor windows (6,800 of 18 frames), and work on whole traces."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

import floors
import oscaxr as ox
from task import Case, Work, task

Windows = xr.DataArray
BLOCK = 32


def windows_of(case: Case, ds: xr.Dataset | None = None) -> Windows:
    """Return the windows of all gabor segments, lazy."""
    return (case.ds if ds is None else ds).osca.sequences("dff", case.gabors, pre=0, post=0.6)


# -- sums ------------------------------------------------------------------------------------------
def mean_floor(case: Case) -> Callable[[], np.ndarray]:
    frames = case.wide_frames
    return lambda: floors.wide_mean(case.path, *frames)


def same_mean(ours: Any, floor: np.ndarray) -> None:
    mean = ours["mean"] if isinstance(ours, xr.Dataset) else ours
    np.testing.assert_allclose(np.asarray(mean), floor.T, rtol=1e-5, atol=1e-6)


def plain(name: str) -> Callable[[Case], Work]:
    """Reduce the windows by a method of xarray; the floor is one streamed sum for all of them."""

    def make(case: Case) -> Work:
        windows = windows_of(case)
        same = same_mean if name == "mean" else None
        return Work(lambda: getattr(windows, name)("sequence").values, mean_floor(case), same)

    return make


for method in ("mean", "sum", "std", "var"):
    task(f"windows: plain {method}", "windows")(plain(method))


@task("windows: stats, mean and SEM", "windows")
def stats(case: Case) -> Work:
    windows = windows_of(case)
    return Work(lambda: ox.stats(windows, "sequence").load(), mean_floor(case), same_mean)


@task("windows: grouped mean, to one mean", "windows")
def grouped(case: Case) -> Work:
    windows = windows_of(case)
    return Work(
        lambda: windows.groupby("gabor_frame").mean().values,
        lambda: windows.mean("sequence").values,
    )


@task("windows: mean grouped by two, to one mean", "windows")
def grouped_by_two(case: Case) -> Work:
    windows = windows_of(case)
    names = ["gabor_frame", "unexpected"]
    return Work(
        lambda: windows.groupby(names).mean().values, lambda: windows.mean("sequence").values
    )


# -- medians ---------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def loaded(case: Case) -> Windows:
    """Return the windows in memory: the floor of medians does not pay for reading them."""
    return windows_of(case).load()


@lru_cache(maxsize=1)
def median_floor(case: Case) -> Callable[[], np.ndarray]:
    """Return the floor of all medians: the same function, so that it is taken once."""
    return lambda: np.nanmedian(loaded(case).transpose("sequence", ...).values, axis=0)


def median_work(case: Case, reduce: Callable[[Windows], Any], same: Any = None) -> Work:
    windows = windows_of(case)
    return Work(
        lambda: reduce(windows),
        median_floor(case),
        same,
        prepare_floor=lambda: loaded(case),
        once=True,
    )


def same_median(ours: Any, floor: np.ndarray) -> None:
    median = ours["median"] if isinstance(ours, xr.Dataset) else ours
    np.testing.assert_allclose(np.asarray(median), floor)


@task("windows: stats, median and quartiles", "medians")
def stats_median(case: Case) -> Work:
    def reduce(windows: Windows) -> xr.Dataset:
        return ox.stats(windows, "sequence", stat="median", error="quartiles").load()

    return median_work(case, reduce, same_median)


@task("windows: stats, median and MAD", "medians")
def stats_mad(case: Case) -> Work:
    def reduce(windows: Windows) -> xr.Dataset:
        return ox.stats(windows, "sequence", stat="median", error="mad").load()

    return median_work(case, reduce)


@task("windows: plain median", "medians")
def plain_median(case: Case) -> Work:
    return median_work(case, lambda windows: windows.median("sequence").load())


@task("windows: plain quantile", "medians")
def plain_quantile(case: Case) -> Work:
    return median_work(case, lambda windows: windows.quantile([0.25, 0.75], "sequence").load())


# -- opened with dask ------------------------------------------------------------------------------
def chunked(case: Case) -> Windows:
    return windows_of(case, case.stack.enter_context(ox.open_session(case.path, chunks={})))


@task("windows: chunks={}, plain mean", "chunked")
def chunked_mean(case: Case) -> Work:
    windows = chunked(case)
    return Work(lambda: windows.mean("sequence").values, mean_floor(case), same_mean)


@task("windows: chunks={}, stats", "chunked")
def chunked_stats(case: Case) -> Work:
    windows = chunked(case)
    return Work(lambda: ox.stats(windows, "sequence").load(), mean_floor(case), same_mean)


# -- whole traces: how much memory -----------------------------------------------------------------
@task("responses, a row a segment", "bounded")
def responses(case: Case) -> Work:
    ds, gabors = case.ds, case.gabors
    return Work(lambda: ds.osca.responses(gabors).load(), once=True)


# In the forms that the guide recommends.
@task("traces interpolated to 10 Hz", "bounded")
def interpolated(case: Case) -> Work:
    ds = case.ds
    times = np.arange(float(ds.time[0]), float(ds.time[-1]), 0.1)
    traces = ds.dff.chunk(roi=BLOCK)
    return Work(lambda: traces.interp(time=times).astype("float32").values, once=True)


@task("traces resampled to seconds", "bounded")
def resampled(case: Case) -> Work:
    traces = case.ds.dff.chunk(roi=BLOCK)
    return Work(lambda: traces.coarsen(time=30, boundary="trim").mean().values, once=True)


@task("traces correlated with the pupil", "bounded")
def correlated(case: Case) -> Work:
    ds = case.ds
    traces = ds.dff.chunk(roi=BLOCK)
    return Work(lambda: xr.corr(traces, ds.pupil_diameter, dim="time").values, once=True)
