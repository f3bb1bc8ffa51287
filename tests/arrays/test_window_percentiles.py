"""Percentiles over windows: what is read for them."""

import numpy as np
import pytest
import xarray as xr

from oscaxr.arrays.lazy import ArrayReader, OrthogonalArray
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
