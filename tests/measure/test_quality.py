"""Signal to noise, correlations and invalid ROIs against direct computations."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from how_many import examples
from oscaxr.arrays.columns import time_blocks
from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.measure import invalid_rois, quality, roi_correlations, snr
from recorded_analyses import EACH_SESSION, Recorded

tables = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 50), st.integers(1, 5)),
    elements=st.one_of(st.sampled_from([0.0, 1.0, np.nan]), st.floats(-50, 50, width=32)),
)


def traces(table, dims=("time", "roi")):
    return xr.DataArray(
        table,
        dims=("time", "roi"),
        coords={"roi": np.arange(table.shape[1]) + 3, "time": np.arange(table.shape[0]) / 30},
        name="dff",
        attrs={"units": "1"},
    ).transpose(*dims)


def slow_snr(trace):
    trace = trace[~np.isnan(trace)].astype(np.float64)
    if not trace.size:
        return [np.nan] * 5
    from scipy.stats import norm

    middle = np.median(trace)
    low = trace[trace <= middle]
    sample = np.concatenate([low, 2 * middle - low])
    mean, std = sample.mean(), sample.std()
    threshold = norm.ppf(0.95, loc=mean, scale=std) if std else mean
    above = trace[trace > threshold]
    signal = above.mean() if above.size else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.float64(signal) / std, signal, mean, std, threshold]


def undecided(trace):
    """Whether a value is as good as at the threshold, so that rounding decides."""
    threshold = slow_snr(trace)[4]
    return (np.abs(trace - threshold) < 1e-6 * (1 + abs(threshold))).any()


@settings(max_examples=examples(150), deadline=None)
@given(tables, st.booleans())
def test_snr_equals_the_rule_spelled_out(table, turned):
    found = snr(traces(table, ("roi", "time") if turned else ("time", "roi")))
    for index, trace in enumerate(table.T):
        ratio, signal, mean, std, threshold = slow_snr(trace)
        one = found.isel(roi=index)
        close = {"rtol": 1e-6, "atol": 1e-6}
        np.testing.assert_allclose(one.noise_mean, mean, **close)
        np.testing.assert_allclose(one.noise_std, std, **close)
        np.testing.assert_allclose(one.noise_threshold, threshold, **close)
        if std > 1e-3 and not undecided(trace):
            np.testing.assert_allclose(one.signal, signal, **close)
            np.testing.assert_allclose(one.snr, ratio, **close)


def test_snr_of_realistic_traces_whatever_the_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    table = rng.normal(1, 1, (3000, 41))
    table[::17] += 8
    found = snr(traces(table))
    expected = np.array([slow_snr(trace) for trace in table.T])
    names = ("snr", "signal", "noise_mean", "noise_std", "noise_threshold")
    for name, values in zip(names, expected.T, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-10)
        assert "units" in found[name].attrs
    with monkeypatch.context() as patch:
        patch.setattr(quality, "BUDGET_BYTES", 3000 * 8 * 12)
        xr.testing.assert_identical(snr(traces(table)), found)
    xr.testing.assert_identical(snr(traces(table).chunk({"time": 500, "roi": 7})), found)
    xr.testing.assert_identical(snr(traces(table).to_dataset()), found)
    assert snr(traces(table).isel(roi=[])).snr.shape == (0,)


def slow_correlations(table, window):
    from scipy.ndimage import convolve

    rolled = convolve(table.T.astype(np.float64), np.full((1, window), 1 / window), mode="mirror")
    matrix = np.atleast_2d(np.corrcoef(rolled))
    return matrix[np.triu_indices(len(matrix), k=1)]


@settings(max_examples=examples(80), deadline=None)
@given(
    st.integers(12, 60),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 3000),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_correlations_equal_numpy(n_time, n_rois, window, budget, seed, turned):
    table = np.random.default_rng(seed).normal(100, 1, (n_time, n_rois))
    dff = traces(table, ("roi", "time") if turned else ("time", "roi"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "BUDGET_BYTES", budget)
        found = roi_correlations(dff, window)
    np.testing.assert_allclose(found, slow_correlations(table, window), rtol=1e-9, atol=1e-9)
    first, second = np.triu_indices(n_rois, k=1)
    np.testing.assert_array_equal(found["first"], first + 3)
    np.testing.assert_array_equal(found["second"], second + 3)


def test_correlations_on_dask_and_with_nan():
    table = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    table[5, 1] = np.nan
    found = roi_correlations(traces(table))
    bad = (found["first"] == 4) | (found["second"] == 4)
    np.testing.assert_array_equal(found.isnull(), bad)
    whole = slow_correlations(table[:, [0, 2, 3]], 4)
    np.testing.assert_allclose(found[~bad.values], whole, rtol=1e-6)
    xr.testing.assert_identical(roi_correlations(traces(table).chunk({"time": 33})), found)
    with pytest.raises(WindowError, match="1 to 200 frames"):
        roi_correlations(traces(table), 201)


@settings(max_examples=examples(60), deadline=None)
@given(tables, st.integers(1, 500), st.booleans())
def test_invalid_rois_are_those_with_nan_or_inf(table, budget, turned):
    if table.shape[0] > 3:
        table[2, 0] = np.inf
    dff = traces(table, ("roi", "time") if turned else ("time", "roi"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "BUDGET_BYTES", budget)
        found = invalid_rois(dff)
    np.testing.assert_array_equal(found, ~np.isfinite(table).all(axis=0))
    assert found.dims == ("roi",)
    np.testing.assert_array_equal(found.roi, dff.roi)
    xr.testing.assert_identical(invalid_rois(dff.to_dataset()), found)


@pytest.mark.parametrize("number", EACH_SESSION)
def test_recorded_quality_and_correlations(shared, number):
    recorded = Recorded(shared, number)
    with recorded.ds as ds:
        found = snr(ds)
        for name, word in (("snr", "snr"), ("signal", "signal_mean")):
            np.testing.assert_allclose(found[name], recorded[word], rtol=1e-9)
        correlations = roi_correlations(ds)
    np.testing.assert_allclose(correlations, recorded["correlations"], rtol=1e-9, atol=1e-9)


def test_tracked_sessions_work_too():
    dff = traces(np.random.default_rng(0).normal(size=(50, 3)))
    dff = dff.assign_coords(tracking_id=("roi", [2, 0, 1])).sortby("tracking_id")
    dff = dff.swap_dims(roi="tracking_id")
    assert invalid_rois(dff).dims == ("tracking_id",)
    assert snr(dff).snr.dims == ("tracking_id",)
    assert roi_correlations(dff)["first"].values.tolist() == [0, 0, 1]


def test_traces_are_needed():
    with pytest.raises(MissingVariableError, match="no 'dff'"):
        snr(xr.Dataset({"run_velocity": ("stim_time", [1.0])}))


def test_blocks_of_frames_are_whole_chunks():
    traces = xr.DataArray(np.zeros((30, 2)), dims=("time", "roi")).chunk(time=7)
    blocks = time_blocks(traces, "time", budget_bytes=10 * 2 * 8)
    assert [len(block) for block, _, _ in blocks] == [7, 7, 7, 7, 2]
