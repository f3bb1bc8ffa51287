"""The rows and columns of pixels of the field of view."""

import numpy as np

import oscaxr as ox
from oscaxr.store.open import open_exported
from oscaxr.store.save import save
from small_sessions import small_spec


def test_they_are_counted(memory_session):
    for dim in ("height", "width"):
        size = memory_session.roi_mask.sizes[dim]
        np.testing.assert_array_equal(memory_session[dim], np.arange(size))
        assert dim in memory_session.xindexes
    part = memory_session.roi_mask.isel(height=slice(10, 30), width=slice(5, None))
    np.testing.assert_array_equal(part.height, np.arange(10, 30))
    # The centroid in the field's own pixels, of a part of the field too.
    roi = memory_session.roi_mask.isel(roi=0)
    weighted = (roi * roi.height).sum() / roi.sum()
    np.testing.assert_allclose(weighted, memory_session.centroid_y[0])


def test_without_images_there_are_none(sample_path):
    images = ["roi_mask", "max_projection"]
    with ox.open_session(sample_path, drop_variables=images) as ds:
        assert not {"height", "width"} & {*ds.dims, *ds.coords}
    with ox.open_session(sample_path, drop_variables=["roi_mask", "width"]) as ds:
        assert "height" in ds.xindexes
        assert "width" not in ds.coords
    movie = ox.sample.session(small_spec(scale=0.01), include="movie")
    assert movie.movie.indexes["height"].equals(movie.indexes["height"])


def test_exports_that_were_made_without_them_open(few_session, tmp_path):
    area = ("roi", few_session.roi_mask.sum(["height", "width"]).values, {"units": "px"})
    old = few_session.assign_coords(area_px=area)
    assert not {"height", "width"} & {*old.coords}
    for suffix in (".zarr", ".nc"):
        found = open_exported(save(old, tmp_path / f"old{suffix}"))
        assert found.identical(old)
        assert found.area_px.attrs["units"] == "px"
        found.close()
