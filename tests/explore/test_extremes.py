"""Extremes of traces: no peak is lost, whatever part of a time axis is seen."""

import numpy as np
import pytest

pytest.importorskip("panel")

from oscaxr.explore.extremes import decimated, extremes, extremes_of_all


@pytest.mark.parametrize("low", [0.0, 13.7, 499.0])
def test_every_peak_within_the_range_is_drawn(low):
    rng = np.random.default_rng(0)
    x = np.arange(126_741) / 126.741
    y = rng.normal(size=x.size)
    y[rng.random(x.size) < 0.1] = np.nan
    high = low + 437.3
    shown_x, shown_y = decimated(x, y, low, high, parts=500)
    inside = (x >= low) & (x <= high)
    assert np.nanmax(shown_y) >= np.nanmax(y[inside])
    assert np.nanmin(shown_y) <= np.nanmin(y[inside])
    assert len(shown_x) == len(shown_y) <= 2 * 502
    assert np.all(np.diff(shown_x) >= 0)
    # Every single one, to within a part.
    part = 437.3 / 500 * 1.1
    peaks = np.flatnonzero(inside & (np.nan_to_num(y) > 3.5))
    near = np.abs(shown_x[:, None] - x[peaks]) <= part
    assert peaks.size > 5
    assert all((shown_y[near[:, k]] >= y[peak]).any() for k, peak in enumerate(peaks))


def test_few_values_are_drawn_as_they_are():
    x, y = np.arange(100.0), np.arange(100.0)
    shown = decimated(x, y, 20, 40, parts=500)
    assert shown[0].tolist() == shown[1].tolist() == list(range(19, 42))


def test_a_gap_stays_a_gap():
    y = np.ones(10_000)
    y[4000:6000] = np.nan
    _, shown = decimated(np.arange(10_000.0), y, 0, 10_000, parts=100)
    assert np.isnan(shown).sum() == pytest.approx(40, abs=2)


@pytest.mark.parametrize("length", [1, 7, 10, 33, 100])
def test_extremes_of_many_traces_are_those_of_each(length):
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(30, 3))
    traces[rng.random(traces.shape) < 0.3] = np.nan
    traces[:10, 1] = np.nan
    found = extremes_of_all(traces, length)
    for own, trace in zip(found.T, traces.T, strict=True):
        np.testing.assert_array_equal(own, extremes(trace, np.arange(0, 30, length)))
