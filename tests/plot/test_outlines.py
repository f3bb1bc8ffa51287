"""Pixels of masks and the lines around them, against loops over pixels."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drawn import pieces, unit_edges
from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.plot import outlines as lines

DIMS = ("roi", "height", "width")


@pytest.fixture(scope="module")
def ds(memory_session):
    valid = np.ones(memory_session.sizes["roi"], bool)
    valid[[2, 5]] = False
    return memory_session.assign_coords(valid=("roi", valid))


masks = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 6)))


@given(masks)
def test_outlines_equal_a_loop_over_pixels(values):
    found = lines.outlines(lines.mask_pixels(xr.DataArray(values, dims=DIMS)))
    assert len(found) == len(values)
    for path, mask in zip(found, values, strict=True):
        assert pieces(path) == unit_edges(mask)


@given(masks)
def test_pixels_equal_numpy(values):
    array = xr.DataArray(values, dims=DIMS)
    pixels = lines.mask_pixels(array)
    np.testing.assert_array_equal(np.stack([pixels.roi, pixels.y, pixels.x]), np.nonzero(values))
    np.testing.assert_array_equal(pixels.counts(), values.sum(axis=0))
    kept = np.arange(len(values)) % 2 == 0
    np.testing.assert_array_equal(pixels.counts(kept), values[kept].sum(axis=0))


def test_pixels_of_parts_dask_and_any_order_are_the_same(ds, monkeypatch):
    whole = lines.mask_pixels(ds.roi_mask)
    others = [ds.roi_mask.transpose("width", "roi", "height"), ds.roi_mask.chunk(roi=2)]
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 1)
    for masks in (ds.roi_mask, *others, ds.roi_mask.astype("uint8")):
        found = lines.mask_pixels(masks)
        for part in ("roi", "y", "x"):
            np.testing.assert_array_equal(getattr(found, part), getattr(whole, part))


def test_what_are_not_masks(ds):
    with pytest.raises(SchemaError, match="flags"):
        lines.mask_pixels(ds.roi_mask.astype(float))
    with pytest.raises(MissingVariableError, match="dims"):
        lines.mask_pixels(ds.dff)
    with pytest.raises(SchemaError, match="no pixels"):
        lines.mask_pixels(ds.roi_mask.isel(height=[]))
