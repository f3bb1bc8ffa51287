"""Windows on dask: reduced without being cut, and the same as in memory."""

import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings

import oscaxr as ox
from oscaxr.arrays import dask_windows
from oscaxr.arrays.dask_windows import origin_of

REDUCTIONS = {
    "mean": lambda u: u.mean("sequence"),
    "sum": lambda u: u.sum("sequence"),
    "std": lambda u: u.std("sequence", ddof=1, keep_attrs=False),
    "var": lambda u: u.var(["sequence"]),
    "NaN kept": lambda u: u.mean("sequence", skipna=False),
    "stats": lambda u: ox.stats(u, "sequence").to_array(),
    "deviation": lambda u: ox.stats(u, "sequence", error="std").to_array(),
    "median": lambda u: ox.stats(u, "sequence", stat="median").to_array(),
    "another dim": lambda u: u.mean("rel_time"),
    "all": lambda u: u.mean(),
}


@pytest.fixture(scope="module")
def ds():
    ds = ox.sample.session(n_rois=5, n_tracked=0, scale=0.02).load()
    frame = int(ds.start_frame_twop[40])
    ds.dff.values[frame : frame + 2, 1] = np.nan
    ds.dff.values[frame + 30, 2] = np.inf
    ds.dff.values[:, 4] += 1e3
    ds.dff.values[:, 3] = np.nan
    return ds


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    # Each once: the deviation of equal values is that of rounding.
    frames=st.lists(st.integers(0, 2400), min_size=1, max_size=12, unique=True),
    name=st.sampled_from(["dff", "run_velocity"]),
    chunks=st.sampled_from([(2500, 5), (100, 2), (7, 5)]),
    together=st.sampled_from([1, 5000, 2**25]),
    which=st.sampled_from(sorted(REDUCTIONS)),
)
def test_reductions_are_those_in_memory(ds, monkeypatch, frames, name, chunks, together, which):
    monkeypatch.setattr(dask_windows, "BLOCK_BYTES", together)
    sizes = dict(zip(("time", "roi"), chunks, strict=True)) | {"stim_time": chunks[0]}
    window = {"frames": frames, "pre": 0.1, "post": 0.3, "edge": "nan"}
    u = ds.chunk(sizes).osca.sequences(name, **window)
    found = REDUCTIONS[which](u)
    assert found.chunks is not None
    wanted = REDUCTIONS[which](ds.osca.sequences(name, **window))
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-10, atol=1e-12)
    assert (found.dims, found.dtype, found.attrs) == (wanted.dims, wanted.dtype, wanted.attrs)


def test_windows_are_not_cut_to_be_averaged(ds, monkeypatch):
    def refuse(*_):
        raise AssertionError("windows were cut")

    monkeypatch.setattr(dask_windows, "_cut", refuse)
    u = ds.chunk(time=500).osca.sequences("dff", frames=[100, 600, 620], post=0.3)
    copied = u.copy().assign_coords(own=("sequence", [1, 2, 3]))
    picture = u.mean("sequence").transpose("rel_time", "roi")
    xr.testing.assert_identical(copied.mean("sequence").T.compute(), picture.compute())
    with pytest.raises(AssertionError, match="were cut"):
        u.isel(sequence=[0, 1]).mean("sequence").compute()


def test_parts_of_windows_are_not_taken_for_all_of_them(ds):
    window = {"frames": [100, 600, 620], "post": 0.3}
    u, wanted = (each.osca.sequences("dff", **window) for each in (ds.chunk(time=500), ds))
    for change in (
        lambda x: x.isel(sequence=[2, 0]),
        lambda x: x.isel(roi=slice(1, 3)),
        lambda x: x.transpose("rel_time", "sequence", "roi"),
        lambda x: x + 1,
        lambda x: abs(x),
    ):
        assert origin_of(change(u).data) is None
        xr.testing.assert_allclose(change(u).mean("sequence"), change(wanted).mean("sequence"))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_windows_that_are_all_outside(ds):
    u = ds.chunk(time=500).osca.sequences("dff", frames=[0, 1], pre=0.4, post=-0.2, edge="nan")
    assert np.isnan(u.mean("sequence").values).all()


def test_pickled_windows_are_the_same(ds):
    u = ds.chunk(time=500).osca.sequences("dff", frames=[100, 600, 620], post=0.3)
    again = pickle.loads(pickle.dumps(u))
    xr.testing.assert_identical(again.std("sequence").compute(), u.std("sequence").compute())
