"""Masks as one image of labels: what overlaps is counted, not painted over."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.measure import label_image as module


def slow(masks):
    """Go through the pixels one by one."""
    label, number = (np.zeros(masks.shape[1:], int) for _ in range(2))
    for row, column in np.ndindex(*label.shape):
        of = np.flatnonzero(masks[:, row, column])
        number[row, column] = len(of)
        label[row, column] = {0: 0, 1: of[0] + 1 if len(of) else 0}.get(len(of), -1)
    return label, number


@pytest.fixture(scope="module")
def overlapping(memory_session):
    """Masks of a session, each also laid a little aside, as an ROI of its own."""
    masks = memory_session.roi_mask.values
    again = np.concatenate([masks, np.roll(masks, 2, axis=2)])
    return xr.DataArray(again, dims=("roi", "height", "width"), coords={"roi": range(len(again))})


def test_as_pixel_by_pixel(overlapping, monkeypatch):
    label, number = slow(overlapping.values)
    assert number.max() > 1
    for n_bytes in (module._BLOCK_BYTES, 10_000):
        monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
        found = ox.roi_labels(overlapping.transpose("width", "roi", "height"))
        np.testing.assert_array_equal(found.label, label)
        np.testing.assert_array_equal(found.n_rois, number)
        several = number > 1
        shared = (overlapping.values & several).sum((1, 2))
        np.testing.assert_array_equal(found.shared_px, shared)
        np.testing.assert_array_equal(found.area_px, overlapping.sum(["height", "width"]))
        shown = [(found.label == roi + 1).sum() for roi in found.roi.values]
        np.testing.assert_array_equal(shown, found.area_px - found.shared_px)


def test_of_a_file_and_of_tracked_rois(sample_path):
    with ox.open_session(sample_path) as ds:
        found = ox.roi_labels(ds.roi_mask)
        assert found.height.attrs["axis"] == "Y"
        np.testing.assert_array_equal(found.area_px, ds.area_px)
        some = ox.roi_labels(ds.roi_mask.isel(roi=[5, 2]))
        assert set(np.unique(some.label)) - {-1} == {0, 3, 6}
        tracked = ds.osca.tracked()
        by_track = ox.roi_labels(tracked.roi_mask)
        assert by_track.label.max() == tracked.tracking_id.max() + 1
        assert not ox.roi_labels(ds.roi_mask[:0]).label.any()


def test_what_are_no_masks(memory_session):
    with pytest.raises(MissingVariableError, match=r"ds\.roi_mask"):
        ox.roi_labels(memory_session.max_projection)
    with pytest.raises(SchemaError, match="masks are boolean"):
        ox.roi_labels(memory_session.roi_mask.astype(float))
