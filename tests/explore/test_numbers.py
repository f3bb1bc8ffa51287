"""The numbers of panels: those of the library, whatever way a file is gone through."""

import pytest
import xarray as xr

pytest.importorskip("panel")

import oscaxr as ox
from oscaxr.explore import numbers
from oscaxr.explore.view import View


@pytest.mark.parametrize(("together", "blocks"), [(1, 4), (3, 2), (8, 1), (None, 1)])
def test_rois_that_are_stored_together_are_read_together(monkeypatch, together, blocks):
    ds = ox.sample.session(n_rois=8, scale=0.02)
    ds["dff"].encoding["preferred_chunks"] = {} if together is None else {"roi": together}
    monkeypatch.setattr(numbers, "_AT_ONCE_BYTES", 1)
    monkeypatch.setattr(numbers, "_LEAST_ROIS", 2)
    segments = ox.select_segments(ds, gabor_frame="A")
    heard = []
    found = numbers.roi_means(ds, segments, View(), lambda *done: heard.append(done))
    assert heard == [(k, blocks) for k in range(blocks)]
    wanted = ox.stats(ox.sequences(ds, "dff", segments, pre=1, post=1), "sequence", error=None)
    xr.testing.assert_allclose(
        found["mean"].reset_coords(drop=True), wanted["mean"].reset_coords(drop=True)
    )
