"""Percentiles over windows: what is read for them."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from how_many import examples
from oscaxr.arrays.lazy import ArrayReader, OrthogonalArray
from oscaxr.arrays.percentiles import sorted_percentiles
from oscaxr.arrays.window_percentiles import window_percentiles
from oscaxr.arrays.windows import WindowReader, Windows
from oscaxr.arrays.xarray_internals import LazilyIndexedArray


class Recording(ArrayReader):
    """Traces that remember which frames of them were read."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)
        self.frames = np.zeros(len(values), int)

    def read(self, indices):
        self.frames[indices[0]] += 1
        return super().read(indices)


@pytest.mark.parametrize("first", [0, 60])
def test_frames_are_read_once_and_none_before_the_first_window(first):
    values = np.random.default_rng(1).normal(size=(100, 40))
    recording = Recording(values)
    source = xr.Variable(("time", "roi"), LazilyIndexedArray(OrthogonalArray(recording)))
    windows = Windows(np.array([first, first + 12, first + 30]), np.arange(-2, 5), 100)
    found, _ = window_percentiles(WindowReader(source, windows), (slice(None),) * 3, [50.0])
    frames = windows.frames()
    picked = np.where(frames[..., None] < 0, np.nan, values[frames])
    np.testing.assert_array_equal(found[0], np.nanmedian(picked, axis=0))
    assert recording.frames.max() == 1
    np.testing.assert_array_equal(
        np.flatnonzero(recording.frames)[[0, -1]], [max(0, first - 2), first + 34]
    )


@st.composite
def overlapping(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Traces, and windows of which most begin as many frames after another."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    lag, n_windows = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    steps = np.where(random.random(n_windows) < 0.8, lag, random.integers(0, 15, n_windows))
    starts = np.cumsum(steps) - draw(st.integers(0, 12))
    values = random.normal(size=(draw(st.integers(20, 400)), 3)).round(1)
    odd = random.random(values.shape[0]) < draw(st.sampled_from([0.0, 0.01, 0.6]))
    values[odd, 0] = np.nan
    values[odd, 1] = random.choice([np.inf, -np.inf], odd.sum())
    if draw(st.booleans()):
        random.shuffle(starts)
    return values, starts, draw(st.integers(1, 40))


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
@settings(max_examples=examples(200), deadline=None)
@given(overlapping(), st.lists(st.floats(0, 100), min_size=1, max_size=3), st.booleans())
def test_equals_sorting_each_window(made, wanted, deviation):
    values, starts, n_offsets = made
    windows = Windows(starts, np.arange(n_offsets), len(values))
    source = xr.Variable(("time", "roi"), values)
    reader = WindowReader(source, windows)
    found, spread = window_percentiles(reader, (slice(None),) * 3, wanted, deviation=deviation)
    frames = windows.frames()
    picked = np.where(frames[..., None] < 0, np.nan, values[frames])
    np.testing.assert_allclose(found, sorted_percentiles(picked, wanted, axis=0), rtol=1e-12)
    if deviation:
        with np.errstate(invalid="ignore"):
            apart = np.abs(picked - sorted_percentiles(picked, [50.0], axis=0))
        np.testing.assert_allclose(spread, sorted_percentiles(apart, [50.0], axis=0)[0], rtol=1e-12)
