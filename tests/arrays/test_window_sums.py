"""Sums over windows that overlap, by how their offsets differ, against adding frame by frame."""

from unittest import mock

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oscaxr.arrays import window_sums
from oscaxr.arrays.window_sums import _LAYERS, _Overlapping, _weights, sums_of
from oscaxr.arrays.windows import usual_lag


def plain_sums(values, frames, groups, shift):
    """Add each frame of each window, one after the other."""
    shape = (groups.max() + 1, frames.shape[1], values.shape[1])
    total, squares, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for group, window in zip(groups, frames, strict=True):
        for offset, frame in enumerate(window):
            if frame < 0:
                continue
            own = values[frame] - shift
            known = ~np.isnan(own)
            total[group, offset, known] += own[known]
            squares[group, offset, known] += own[known] ** 2
            counts[group, offset, known] += 1
    return total, squares, counts


@st.composite
def windows(draw):
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    lag = draw(st.integers(1, 4))
    n_windows, n_offsets = draw(st.integers(1, 30)), draw(st.integers(1, 16))
    # Now and then a step is longer, or the recording has a gap.
    steps = lag + (random.random(n_windows) < draw(st.sampled_from([0.0, 0.1, 0.5])))
    starts = np.cumsum(steps * np.where(random.random(n_windows) < 0.05, 9, 1))
    frames = starts[:, None] + np.arange(n_offsets)
    values = random.normal(2, 1, (frames.max() + 3, 3))
    bad = draw(st.sampled_from([(), (np.nan,), (np.inf,), (np.nan, np.inf, -np.inf)]))
    for number in bad:
        values[random.integers(len(values), size=2), random.integers(3)] = number
    frames[random.random(frames.shape) < draw(st.sampled_from([0.0, 0.02]))] = -1
    groups = random.integers(0, draw(st.integers(1, 3)), n_windows)
    return values, random.permutation(frames), np.unique(groups, return_inverse=True)[1]


@given(windows(), st.booleans(), st.sampled_from([100, 700, 10**6]))
@settings(max_examples=examples(100), deadline=None)
def test_equals_adding_frame_by_frame(made, deviations, block_bytes):
    values, frames, groups = made
    with mock.patch.object(window_sums, "BLOCK_BYTES", block_bytes), np.errstate(invalid="ignore"):
        *found, shift = sums_of(xr.Variable(("time", "roi"), values), frames, groups, deviations)
        total, squares, counts = plain_sums(values, frames, groups, shift)
        np.testing.assert_array_equal(found[2], counts)
        np.testing.assert_allclose(found[0], total, rtol=1e-11, atol=1e-11)
        if deviations:
            np.testing.assert_allclose(found[1], squares, rtol=1e-11, atol=1e-11)


def test_what_overlaps_is_told_by_few_frames():
    starts = np.cumsum([*[9] * 24, 10] * 4)
    frames, groups = starts[:, None] + np.arange(60), np.zeros(100, int)
    assert usual_lag(frames, groups, _LAYERS) == 9
    # Windows that hardly overlap, and none at all.
    assert usual_lag(frames[:, :20], groups, _LAYERS) == 0
    assert usual_lag(frames[:0], groups[:0], _LAYERS) == 0
    place = np.tile(np.arange(60), 100)
    weights = _weights(place, frames.ravel(), (60, frames.max() + 1))
    found = _Overlapping.of(weights, np.arange(60), 60, 9)
    assert found.weights.nnz < weights.nnz / 2
    assert sum(len(rows) for rows, _ in found.steps) == 51
