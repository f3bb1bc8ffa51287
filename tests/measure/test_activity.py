"""Active ROIs and plateau traces against plain loops and the published numbers."""

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.measure import active_rois, plateau_traces, quality
from oscaxr.measure.activity import filter_median_of_five

SESSIONS = ("758519303", "759189643", "759660390", "764704289")

# Whole numbers make ties and exact thresholds likely.
tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 60), st.integers(1, 5)),
    elements=st.one_of(
        st.just(0.0), st.sampled_from([0.0, 0.0, 1.0, 9.0, 10.0, np.nan]), st.floats(-5, 5)
    ),
)


def traces(table, dims=("time", "roi")):
    return xr.DataArray(
        table,
        dims=("time", "roi"),
        coords={
            "roi": np.arange(table.shape[1]) + 3,
            "roi_id": ("roi", np.arange(table.shape[1]) * 7),
            "time": np.arange(table.shape[0]) / 30,
        },
        name="dff",
        attrs={"units": "1"},
    ).transpose(*dims)


def session(table):
    """Two Gabor segments, then gray, then one of visual flow."""
    quarter = len(table) // 4
    starts = np.arange(4) * quarter
    return xr.Dataset(
        {"dff": traces(table)},
        coords={
            "stimulus_type": ("segment", ["gabors", "gabors", "grayscreen", "visflow"]),
            "start_frame_twop": ("segment", starts),
            "stop_frame_twop": ("segment", starts + quarter),
        },
    )


@settings(max_examples=examples(100), deadline=None)
@given(hnp.arrays(np.float64, st.integers(5, 50), elements=st.floats(-100, 100)))
def test_filter_equals_scipy(trace):
    from scipy.signal import medfilt

    np.testing.assert_array_equal(filter_median_of_five(trace), medfilt(trace, 5))


def test_filter_is_nan_beside_nan():
    trace = np.arange(20.0)
    trace[9] = np.nan
    found = filter_median_of_five(np.stack([trace, np.arange(20.0)]))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found[0])), np.arange(7, 12))
    assert np.isfinite(found[1]).all()


def slow_active(table, frames=None):
    found = []
    for trace in table.T:
        padded = np.r_[0, 0, trace, 0, 0]
        filtered = np.array(
            [
                np.nan if np.isnan(window).any() else sorted(window)[2]
                for window in (padded[i : i + 5] for i in range(len(trace)))
            ]
        )
        known = filtered[~np.isnan(filtered)]
        if not known.size:
            found.append(False)
            continue
        threshold = np.median(known) + 3 * np.sqrt(np.mean((known - known.mean()) ** 2))
        inside = filtered if frames is None else filtered[frames]
        found.append(any(value > threshold for value in inside))
    return np.array(found)


def margin(table):
    """Tables whose threshold is met by a rounding error are not decidable."""
    return np.where(np.abs(table) < 1e-6, 0.0, table)


@settings(max_examples=examples(100), deadline=None)
@given(tables, st.booleans())
def test_active_equals_a_plain_loop(table, turned):
    table = margin(table)
    dff = traces(table, ("roi", "time") if turned else ("time", "roi"))
    np.testing.assert_array_equal(active_rois(dff), slow_active(table))


def test_active_within_one_stimulus():
    table = np.random.default_rng(0).normal(0, 0.1, (400, 3))
    table[50:60, 0] = 20.0
    table[330:340, 1] = 20.0
    ds = session(table)
    found = {kind: active_rois(ds, stimulus=kind) for kind in ("gabors", "visflow", "grayscreen")}
    assert found["gabors"].values.tolist()[:2] == [True, False]
    assert found["visflow"].values.tolist()[:2] == [False, True]
    frames = np.zeros(400, dtype=bool)
    for kind, part in (("gabors", slice(0, 200)), ("grayscreen", slice(200, 300))):
        frames[:] = False
        frames[part] = True
        np.testing.assert_array_equal(found[kind], slow_active(table, frames))
    whole = active_rois(ds)
    np.testing.assert_array_equal(whole, slow_active(table))
    assert whole.dtype == bool
    assert set(whole.coords) == {"roi", "roi_id"}
    assert found["gabors"].attrs["stimulus"] == "gabors"
    none_shown = ds.isel(segment=[2])
    assert not active_rois(none_shown, stimulus="gabors").any()


def test_active_needs_to_know_the_stimulus():
    ds = session(np.zeros((40, 2)))
    with pytest.raises(CriterionError, match="'gabors', 'visflow', 'grayscreen'"):
        active_rois(ds, stimulus="bricks")
    with pytest.raises(MissingVariableError, match="stimulus_type"):
        active_rois(ds.dff.drop_vars(["roi_id"]), stimulus="gabors")
    with pytest.raises(MissingVariableError, match="no 'dff'"):
        active_rois(ds.drop_vars("dff"))
    with pytest.raises(MissingVariableError, match="full traces"):
        active_rois(ds.dff.isel(roi=0))


def slow_plateaus(table, min_frames=4):
    result = np.ones_like(table)
    for column, trace in enumerate(table.T):
        known = trace[~np.isnan(trace)]
        if not known.size or known.std() == 0:
            continue
        deviation = (trace - np.median(known)) / np.sqrt(np.mean((known - known.mean()) ** 2))
        start = None
        for frame in range(len(trace) + 1):
            above = frame < len(trace) and deviation[frame] >= 3
            if above and start is None:
                start = frame
            if not above and start is not None:
                if frame - start >= min_frames:
                    result[start:frame, column] = deviation[start:frame]
                start = None
    return result


@settings(max_examples=examples(100), deadline=None)
@given(tables, st.booleans(), st.integers(1, 5))
def test_plateaus_equal_a_plain_loop(table, turned, min_frames):
    table = margin(table)
    dff = traces(table, ("roi", "time") if turned else ("time", "roi"))
    found = plateau_traces(dff, min_frames=min_frames)
    assert found.dims == dff.dims
    np.testing.assert_allclose(
        found.transpose("time", "roi"), slow_plateaus(table, min_frames), rtol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dask_and_small_budgets_give_the_same(dtype, monkeypatch):
    table = np.random.default_rng(1).normal(size=(300, 40)).astype(dtype)
    table[100:120] += 30 * (np.arange(40) % 3)
    ds = session(table)
    lazy = ds.chunk({"time": 70, "roi": 9})
    expected = plateau_traces(ds)
    on_dask = plateau_traces(lazy)
    xr.testing.assert_identical(on_dask, expected)
    assert on_dask.dtype == expected.dtype == dtype
    for stimulus in (None, "gabors"):
        found = active_rois(ds, stimulus=stimulus)
        xr.testing.assert_identical(active_rois(lazy, stimulus=stimulus), found)
        with monkeypatch.context() as patch:
            patch.setattr(quality, "BUDGET_BYTES", 300 * 8 * 10)
            xr.testing.assert_identical(active_rois(ds, stimulus=stimulus), found)
            xr.testing.assert_identical(plateau_traces(ds), expected)


def test_no_rois_at_all():
    dff = traces(np.zeros((20, 3))).isel(roi=[])
    assert active_rois(dff).shape == (0,)
    assert plateau_traces(dff).shape == (20, 0)


@pytest.mark.shared
@pytest.mark.parametrize("name", SESSIONS)
def test_published_activity(name):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{name}*.nwb")
    golden = np.load(SHARED / "golden" / f"{name}.npz")
    with h5py.File(path) as file:
        dff = traces(file["processing/ophys/DfOverF/RoiResponseSeries/data"][:])
    np.testing.assert_array_equal(np.flatnonzero(active_rois(dff)), golden["active_rois"])
    published = plateau_traces(dff, keep_last=True).transpose("roi", "time")[:, ::50]
    np.testing.assert_allclose(published, golden["plateau"], rtol=1e-5)
    # The rule itself differs only in last stretches that are too short.
    found = plateau_traces(dff).transpose("roi", "time")[:, ::50]
    differ = ~np.isclose(found, golden["plateau"], rtol=1e-5)
    assert differ.sum() <= dff.sizes["roi"]
    assert (found.values[differ] == 1).all()


@pytest.mark.parametrize("threshold", [10**400, "a", None, np.nan])
def test_thresholds(threshold):
    ds = xr.DataArray(np.zeros((9, 1)), dims=("time", "roi"))
    with pytest.raises(CriterionError, match="standard deviations"):
        active_rois(ds, threshold=threshold)
    with pytest.raises(CriterionError, match="standard deviations"):
        plateau_traces(ds, threshold=threshold)
