"""Baseline, smoothing, integration and interpolation against plain loops and published numbers."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from example_sessions import SHARED
from how_many import examples
from oscaxr.arrays.xarray_internals import is_in_memory
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError, WindowError
from oscaxr.measure import baseline, integrate, interpolate, smooth
from oscaxr.measure.transform import frame_rate
from oscaxr.model.signals import remove_running_outliers

SESSIONS = ("758519303", "759189643", "759660390", "764704289")
FPS = 30.0
DIMS = ("roi", "sequence", "rel_time")

values = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(1, 12)),
    elements=st.one_of(st.just(np.nan), st.floats(-100, 100)),
)


def sequences(array, dims=DIMS, **attrs):
    n_frames = array.shape[-1]
    frames = np.arange(n_frames) - n_frames // 2
    u = xr.DataArray(
        array,
        dims=DIMS,
        name="dff",
        coords={
            "roi": np.arange(array.shape[0]) + 10,
            "sequence": np.arange(array.shape[1]) * 3,
            "rel_time": frames / FPS,
            "rel_frame": ("rel_time", frames),
            "gabor_frame": ("sequence", np.full(array.shape[1], "U")),
            "time": (("sequence", "rel_time"), np.zeros(array.shape[1:])),
        },
        attrs={"units": "1", "long_name": "dF/F", "fps": FPS, **attrs},
    )
    return u.transpose(*dims)


def slow_mean(numbers):
    known = [x for x in numbers if not np.isnan(x)]
    return sum(known) / len(known) if known else np.nan


@settings(max_examples=examples(80), deadline=None)
@given(values, st.permutations(DIMS), st.data(), st.sampled_from(["mean", "median"]))
def test_baseline_equals_a_plain_loop(array, dims, data, stat):
    n_frames = data.draw(st.integers(1, array.shape[-1]))
    u = sequences(array, dims)
    found = baseline(u, n_frames / FPS, stat=stat)
    expected = np.empty_like(array)
    for index in np.ndindex(array.shape[:2]):
        window = [x for x in array[index][:n_frames] if not np.isnan(x)]
        level = np.nan
        if window:
            level = sum(window) / len(window) if stat == "mean" else float(np.median(window))
        expected[index] = array[index] - level
    np.testing.assert_allclose(found.transpose(*DIMS), expected, rtol=1e-12, atol=1e-11)
    assert found.dims == u.dims
    xr.testing.assert_identical(found.coords.to_dataset(), u.coords.to_dataset())
    assert {key: found.attrs[key] for key in u.attrs} == u.attrs
    assert found.name == "dff"


def test_baseline_before_the_event_ends_before_it():
    u = sequences(np.arange(10.0)[np.newaxis, np.newaxis])
    first = int(np.round(u.rel_time[0] * FPS))
    found = baseline(u, (-2 / FPS, 0))
    np.testing.assert_array_equal(found.squeeze(), np.arange(10.0) - (-first - 1.5))
    assert "rel_time from" in found.attrs["baseline"]


@settings(max_examples=examples(80), deadline=None)
@given(
    st.floats(3, 100), st.integers(0, 8), st.integers(2, 40), st.floats(-0.2, 0.4), st.floats(0, 1)
)
def test_windows_are_those_of_sequences_that_end_there(rate, before, after, start, length):
    """Frame by frame, as ``pre`` and ``post`` count them; the end is excluded."""
    frames = np.arange(-before, after)
    values = frames.astype(float)
    u = xr.DataArray(values, {"rel_time": frames / rate}, ["rel_time"], attrs={"fps": rate})
    first, end = np.round(start * rate), np.round((start + length) * rate)
    wanted = [float(frame) for frame in range(-1000, 1000) if first <= frame < end]
    if not wanted or not set(wanted) <= set(values.tolist()):
        with pytest.raises(WindowError, match="frames, of which"):
            integrate(u, (start, start + length))
        return
    found = integrate(u, (start, start + length))
    np.testing.assert_allclose(found, sum(wanted) / rate, atol=1e-9)
    level = baseline(u, (start, start + length))
    np.testing.assert_allclose(level, values - np.mean(wanted), atol=1e-9)


def test_baseline_windows_that_hold_nothing():
    u = sequences(np.zeros((1, 2, 6)))
    with pytest.raises(WindowError, match="0 frames"):
        baseline(u, 0.001)
    with pytest.raises(WindowError, match=r"\(15 frames\), but sequences have 6"):
        baseline(u, 0.5)
    with pytest.raises(WindowError, match=r"of which 0 are there: sequences last from -0.1 to"):
        baseline(u, (1, 2))
    with pytest.raises(MissingVariableError, match="rel_time"):
        baseline(u.mean("rel_time"))
    with pytest.raises(CriterionError, match="mode"):
        baseline(u, 0.1, stat="mode")


@settings(max_examples=examples(80), deadline=None)
@given(values, st.permutations(DIMS), st.sampled_from([1, 3, 5, 9, 31]))
def test_smoothing_equals_a_plain_loop(array, dims, frames):
    found = smooth(sequences(array, dims), frames)
    half = frames // 2
    expected = np.empty_like(array)
    for *index, frame in np.ndindex(array.shape):
        line = array[tuple(index)]
        expected[(*index, frame)] = slow_mean(line[max(0, frame - half) : frame + half + 1])
    np.testing.assert_allclose(found.transpose(*DIMS), expected, rtol=1e-12, atol=1e-11)
    assert found.dims == tuple(dims)
    assert found.attrs["smoothed_frames"] == frames


def test_smoothing_full_traces_and_datasets():
    dff = xr.DataArray(np.arange(12.0).reshape(4, 3), dims=("roi", "time"), name="dff")
    run = xr.DataArray([0.0, 3.0, 6.0], dims="stim_time", name="run_velocity")
    found = smooth(xr.Dataset({"dff": dff, "run_velocity": run}), 3)
    np.testing.assert_array_equal(found.run_velocity, [1.5, 3, 4.5])
    np.testing.assert_array_equal(found.dff.isel(roi=0), [0.5, 1, 1.5])
    with pytest.raises(WindowError, match="take 3 or 5"):
        smooth(dff, 4)
    with pytest.raises(MissingVariableError, match="smoothing is along"):
        smooth(dff.mean("time"), 3)


@settings(max_examples=examples(80), deadline=None)
@given(values, st.permutations(DIMS), st.booleans())
def test_integral_equals_a_plain_loop(array, dims, skipna):
    found = integrate(sequences(array, dims), skipna=skipna)
    expected = np.empty(array.shape[:2])
    for index in np.ndindex(expected.shape):
        kept = [x for x in array[index] if not (skipna and np.isnan(x))]
        expected[index] = sum(kept) / FPS
    np.testing.assert_allclose(found.transpose("roi", "sequence"), expected, rtol=1e-12, atol=1e-11)
    assert found.dims == tuple(dim for dim in dims if dim != "rel_time")
    assert "time" not in found.coords
    assert found.attrs["units"] == "s"
    assert found.attrs["integrated"] == 1


def test_integral_units_and_rate_from_labels():
    u = sequences(np.ones((1, 2, 6)), units="cm/s")
    assert integrate(u).attrs["units"] == "cm/s s"
    del u.attrs["fps"]
    np.testing.assert_allclose(integrate(u), 6 / FPS)
    with pytest.raises(MissingVariableError, match="frame rate of 'dff' is not known"):
        integrate(u.isel(rel_time=[0]))
    assert frame_rate(u) == pytest.approx(FPS)


def test_datasets_change_only_variables_with_the_dim():
    u = sequences(np.random.default_rng(0).normal(size=(2, 3, 8)))
    ds = xr.Dataset({"dff": u, "count": ("roi", [1, 2])}, attrs={"mouse": 6})
    based = baseline(ds, 0.1)
    xr.testing.assert_identical(based.dff, baseline(u, 0.1))
    xr.testing.assert_identical(based["count"], ds["count"])
    whole = integrate(ds)
    assert set(whole.data_vars) == {"dff", "count"}
    assert "rel_time" not in whole.dims
    np.testing.assert_array_equal(whole.dff, integrate(u))
    assert whole.attrs == ds.attrs
    assert "rel_time" not in whole.coords
    # The rate may be said once, for the whole Dataset.
    rated = ds.assign_attrs(fps=60.0).drop_vars(["rel_time", "rel_frame"])
    del rated.dff.attrs["fps"]
    np.testing.assert_allclose(integrate(rated).dff, integrate(u) / 2)


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "function",
    [
        lambda u: baseline(u, 0.1),
        lambda u: baseline(u, 0.1, stat="median"),
        lambda u: baseline(u, (-0.1, 0)),
        lambda u: integrate(u, (0, 0.1)),
        lambda u: smooth(u, 5),
        integrate,
        lambda u: integrate(u, skipna=True),
    ],
)
def test_dask_gives_the_same_and_stays_lazy(function, dtype):
    array = np.random.default_rng(0).normal(size=(5, 6, 20)).astype(dtype)
    array[0, 1, 3] = array[2, 2, :] = np.nan
    u = sequences(array)
    lazy = function(u.chunk({"roi": 2, "sequence": 4, "rel_time": 7}))
    assert lazy.chunks is not None
    eager = function(u)
    xr.testing.assert_allclose(lazy, eager, rtol=1e-13, atol=1e-13)
    assert lazy.attrs == eager.attrs
    assert lazy.dtype == eager.dtype == np.float64
    assert lazy.compute().dtype == np.float64


def test_interpolated_traces():
    run = xr.DataArray(
        [np.nan, 1.0, np.nan, 3.0, np.nan],
        dims="stim_time",
        coords={"stim_time": np.arange(5) / 60},
        name="run_velocity",
        attrs={"units": "cm/s"},
    )
    found = interpolate(run)
    np.testing.assert_array_equal(found, [1, 1, 2, 3, 3])
    assert found.attrs == {"units": "cm/s", "interpolated": 1}
    assert interpolate(found) is found
    lazy = interpolate(run.chunk({"stim_time": 2}))
    assert not is_in_memory(lazy.variable)
    xr.testing.assert_identical(lazy.compute(), found)
    ds = xr.Dataset({"run_velocity": run, "dff": (("time", "roi"), np.full((3, 2), np.nan))})
    filled = interpolate(ds)
    xr.testing.assert_identical(filled.run_velocity, found)
    assert filled.dff.isnull().all()
    with pytest.raises(SchemaError, match="before taking sequences"):
        interpolate(sequences(np.zeros((1, 2, 3))))


def golden_session(session):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{session}*.nwb")
    facts = json.loads((SHARED / "golden" / f"{session}.json").read_text())
    with h5py.File(path) as file:
        dff = file["processing/ophys/DfOverF/RoiResponseSeries/data"][:]
        run = file["processing/behavior/BehavioralTimeSeries/running_velocity/data"][:]
    run = interpolate(xr.DataArray(remove_running_outliers(run)[0], dims="stim_time"))
    return dff, run.values, np.load(SHARED / "golden" / f"{session}.npz"), facts["fps"]


def cut(trace, frames, fps, n_pre=None, n_post=None):
    n_pre, n_post = n_pre or round(fps), n_post or round(fps)
    offsets = np.arange(-n_pre, n_post)
    return xr.DataArray(
        trace[frames[:, None] + offsets],
        dims=("sequence", "rel_time", "roi")[: trace.ndim + 1],
        coords={"rel_time": offsets / fps},
        attrs={"fps": fps},
    ).transpose(..., "sequence", "rel_time")


@pytest.mark.shared
@pytest.mark.parametrize("session", SESSIONS)
def test_published_baseline_and_integrals(session):
    dff, run, golden, fps = golden_session(session)
    u = cut(dff, golden["frames_twop__gab_U"], fps["twop"])
    # The published sums are taken in the file's precision.
    single = dff.dtype == np.float32
    close = {"rtol": 1e-5 if single else 1e-10, "atol": 1e-6 if single else 1e-12}
    np.testing.assert_array_equal(u, golden["roi__plain"])
    np.testing.assert_allclose(baseline(u), golden["roi__baseline"], **close)
    np.testing.assert_allclose(baseline(u, stat="median"), golden["roi__median_base"], **close)
    np.testing.assert_allclose(integrate(u), golden["roi__integ"], **close)

    run_u = cut(run, golden["frames_stim__gab_U"], fps["stim"])
    np.testing.assert_allclose(run_u, golden["run__plain"], rtol=1e-12)
    np.testing.assert_allclose(baseline(run_u), golden["run__base"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(integrate(run_u), golden["run__integ"], rtol=1e-12)
