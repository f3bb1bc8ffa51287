"""Opening a session and reading from it: table, sequences, traces, masks, geometry."""

from typing import Any

import numpy as np
import xarray as xr

import floors
import oscaxr as ox
from task import Case, Work, task

PATCHES = ["gabor_x", "gabor_y", "gabor_size", "gabor_orientation"]
GEOMETRY = ["centroid_y", "centroid_x", "area_px"]


def same_arrays(ours: Any, floor: Any) -> None:
    """Check a DataArray (or its values) against an array."""
    np.testing.assert_array_equal(getattr(ours, "values", ours), floor)


@task("open, with the segment table", "open")
def open_with_table(case: Case) -> Work:
    def ours() -> xr.Dataset:
        with ox.open_session(case.path) as ds:
            return ds[PATCHES].load()

    def same(ds: xr.Dataset, found: dict[str, np.ndarray]) -> None:
        np.testing.assert_array_equal(ds.gabor_orientation, found["gabor_orientations"])

    return Work(ours, lambda: floors.open_and_read_table(case.path), same)


@task("U sequences", "sequences")
def sequences(case: Case) -> Work:
    ds, unexpected = case.ds, case.unexpected
    slices = case.layout == "contiguous"
    windows = floors.windows_by_slice if slices else floors.windows_by_chunk
    return Work(
        lambda: ds.osca.sequences("dff", unexpected, pre=1, post=1).load(),
        lambda: windows(case.path, *case.u_frames),
        lambda ours, floor: same_arrays(ours, np.moveaxis(floor, -1, 0)),
    )


@task("U sequences by isel, to the accessor", "sequences")
def isel(case: Case) -> Work:
    frames, before, after = case.u_frames
    ds, unexpected = case.ds, case.unexpected
    rows = xr.DataArray(
        frames[:, np.newaxis] + np.arange(-before, after), dims=("sequence", "rel_time")
    )
    return Work(
        lambda: ds.dff.isel(time=rows).load(),
        lambda: ds.osca.sequences("dff", unexpected, pre=1, post=1).load(),
        lambda users, ours: same_arrays(users.transpose(*ours.dims), ours),
    )


@task("full traces", "traces")
def traces(case: Case) -> Work:
    def ours() -> np.ndarray:
        with ox.open_session(case.path) as ds:
            return ds.dff.values

    return Work(ours, lambda: floors.full_traces(case.path), same_arrays)


@task("masks to bool", "masks")
def masks(case: Case) -> Work:
    def ours() -> np.ndarray:
        with ox.open_session(case.path) as ds:
            return ds.roi_mask.values

    return Work(ours, lambda: floors.masks(case.path), same_arrays)


@task("geometry of all ROIs", "masks")
def geometry(case: Case) -> Work:
    def ours() -> list[np.ndarray]:
        with ox.open_session(case.path) as ds:
            return [ds[name].values for name in GEOMETRY]

    def same(ours: list[np.ndarray], floor: list[np.ndarray]) -> None:
        for one, other in zip(ours, floor, strict=True):
            np.testing.assert_allclose(one, other)

    return Work(ours, lambda: floors.geometry(case.path), same)


@task("the call sequences(scale=True)", "scale")
def scale_call(case: Case) -> Work:
    """The call alone, on sessions that nothing was asked of before."""
    ds, unexpected = case.ds, case.unexpected

    def fresh() -> xr.Dataset:
        return case.stack.enter_context(ox.open_session(case.path))

    ready = [fresh() for _ in range(10)]

    def ours() -> Any:
        opened = ready.pop() if ready else fresh()
        return opened.osca.sequences("dff", unexpected, pre=1, post=1, scale=True)

    ds.osca.sequences("dff", unexpected, pre=1, post=1)
    return Work(ours)


@task("scale factors", "scale")
def scale_factors(case: Case) -> Work:
    def ours() -> list[np.ndarray]:
        with ox.open_session(case.path) as ds:
            return [ds.dff_median.values, ds.dff_spread.values]

    def same(ours: list[np.ndarray], floor: np.ndarray) -> None:
        low, median, high = floor
        np.testing.assert_allclose(ours[0], median, rtol=1e-6)
        np.testing.assert_allclose(ours[1], high - low, rtol=1e-5)

    return Work(ours, lambda: floors.percentiles(case.path), same)
