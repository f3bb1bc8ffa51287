"""Masks and images in another session's field, against a plain-loop warp and scipy.ndimage."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oscaxr as ox
from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.measure import registration
from oscaxr.measure.registration import register_masks, register_projection
from oscaxr.model.derived import geometry

near_identity = st.builds(
    lambda a, b, c, d, x, y, p, q: np.array([[1 + a, b, x], [c, 1 + d, y], [p, q, 1]]),
    *[st.floats(-0.3, 0.3)] * 4,
    *[st.one_of(st.integers(-3, 3).map(float), st.floats(-5, 5))] * 2,
    *[st.floats(-0.01, 0.01)] * 2,
)


levels = st.integers(0, 255).map(float)


def slow_warp(image, matrix, shape, fill=0.0):
    """Bilinear perspective warp of one image, pixel by pixel; beyond the field lies `fill`."""
    height, width = image.shape
    result = np.empty(shape)
    for y, x in np.ndindex(*shape):
        source_x, source_y, factor = matrix @ [x, y, 1]
        source_x, source_y = source_x / factor, source_y / factor
        left, top = math.floor(source_x), math.floor(source_y)
        total = 0.0
        for row, column in itertools.product((top, top + 1), (left, left + 1)):
            weight = (1 - abs(source_y - row)) * (1 - abs(source_x - column))
            inside = 0 <= row < height and 0 <= column < width
            total += weight * (image[row, column] if inside else fill)
        result[y, x] = total
    return result


def images(*dims, dtype=np.float64, elements=levels):
    sizes = st.tuples(*[st.integers(1, 3)] * (len(dims) - 2), *[st.integers(1, 8)] * 2)
    return hnp.arrays(dtype, sizes, elements=elements).map(lambda a: xr.DataArray(a, dims=dims))


@given(
    images("height", "width"),
    near_identity,
    st.one_of(st.none(), st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.sampled_from([0.0, 7.5]),
)
def test_projection_equals_a_plain_warp(image, matrix, shape, fill):
    found = register_projection(image, matrix, shape, fill=fill)
    wanted = slow_warp(image.values, matrix, shape or image.shape, fill)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-6)


@given(
    images("roi", "height", "width", dtype=bool, elements=st.booleans()),
    near_identity,
    st.one_of(st.none(), st.tuples(st.integers(1, 9), st.integers(1, 9))),
)
def test_masks_equal_a_plain_warp(masks, matrix, shape):
    found = register_masks(masks, matrix, shape)
    assert found.dtype == bool
    for mask, own in zip(found.values, masks.values, strict=True):
        warped = slow_warp(own.astype(float), matrix, shape or own.shape)
        sure = abs(warped - 0.5) > 1e-8
        np.testing.assert_array_equal(mask[sure], warped[sure] > 0.5)
        assert mask[abs(warped - 0.5) < 1e-10].all()


def test_agrees_with_scipy_ndimage():
    from scipy.ndimage import gaussian_filter, map_coordinates

    random = np.random.default_rng(0)
    image = gaussian_filter(random.random((40, 50)), 2)
    matrix = np.array([[0.99, -0.03, 1.7], [0.02, 1.01, -2.3], [1e-4, -2e-4, 1.0]])
    y, x = np.indices(image.shape)
    place = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
    rows, columns = place[1] / place[2], place[0] / place[2]
    wanted = map_coordinates(image, [rows, columns], order=1, mode="grid-constant")
    found = register_projection(xr.DataArray(image, dims=("height", "width")), matrix)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_whole_shifts_move_pixels():
    masks = np.zeros((2, 5, 6), bool)
    masks[0, 1, 2] = masks[1, 3, 4] = True
    # A target pixel (x, y) is the source's (x + 2, y - 1).
    found = register_masks(
        xr.DataArray(masks, dims=("roi", "height", "width")), [[1, 0, 2], [0, 1, -1], [0, 0, 1]]
    )
    assert np.argwhere(found.values).tolist() == [[0, 2, 0], [1, 4, 2]]


def test_identity_changes_nothing_and_inverses_undo():
    ds = ox.sample.session(n_rois=5, n_tracked=2, scale=0.02, field_shape=(64, 72))
    same = register_masks(ds.roi_mask, np.eye(3))
    xr.testing.assert_identical(same, ds.roi_mask)
    matrix = np.array([[1.0, 0.01, 2.2], [-0.01, 1.0, -1.6], [0, 0, 1]])
    moved = register_masks(ds.roi_mask, matrix)
    back = register_masks(moved, np.linalg.inv(matrix)).values[:, 5:-5, 5:-5]
    own = ds.roi_mask.values[:, 5:-5, 5:-5]
    assert (back & own).sum() / (back | own).sum() > 0.85
    projection = register_projection(ds.max_projection, np.eye(3))
    np.testing.assert_array_equal(projection, ds.max_projection)
    assert projection.attrs == ds.max_projection.attrs
    assert projection.name == "max_projection"


def test_geometry_is_that_of_the_registered_masks():
    ds = ox.sample.session(n_rois=5, n_tracked=2, scale=0.02, field_shape=(64, 64))
    matrix = [[1, 0, 3], [0, 1, -2], [0, 0, 1]]
    found = register_masks(ds.roi_mask, matrix)
    for name, values in geometry(found.values).items():
        np.testing.assert_array_equal(found[name], values)
    assert found["centroid_x"].attrs == ds["centroid_x"].attrs
    np.testing.assert_array_equal(found["roi_id"], ds["roi_id"])
    assert not np.array_equal(found["centroid_x"], ds["centroid_x"])


@pytest.mark.parametrize("n_bytes", [1, 100_000])
def test_blocks_dask_and_order_of_dims_change_nothing(n_bytes, monkeypatch):
    ds = ox.sample.session(n_rois=6, n_tracked=2, scale=0.02, field_shape=(48, 64))
    matrix = [[0.99, 0.01, 3], [0.02, 1, -2], [0, 0, 1]]
    whole = register_masks(ds.roi_mask, matrix)
    monkeypatch.setattr(registration, "_BLOCK_BYTES", n_bytes)
    xr.testing.assert_identical(register_masks(ds.roi_mask, matrix), whole)
    on_dask = register_masks(ds.roi_mask.chunk(roi=4, height=20), matrix)
    xr.testing.assert_identical(on_dask, whole)
    turned = register_masks(ds.roi_mask.transpose("width", "roi", "height"), matrix)
    assert turned.dims == ("width", "roi", "height")
    xr.testing.assert_identical(turned.transpose(*whole.dims), whole)
    one = register_masks(ds.roi_mask.isel(roi=2), matrix)
    np.testing.assert_array_equal(one, whole.isel(roi=2))
    same_rois = register_masks(ds.osca.tracked().roi_mask, matrix)
    assert same_rois.dims == ("tracking_id", "height", "width")


def test_lazy_masks_of_a_file(sample_path):
    with ox.open_session(sample_path) as ds:
        found = register_masks(ds.roi_mask, np.eye(3), shape=(80, 50))
        assert [*found.height.values[[0, -1]], *found.width.values[[0, -1]]] == [0, 79, 0, 49]
        assert found.height.attrs["axis"] == "Y"
        np.testing.assert_array_equal(found[:, :64, :], ds.roi_mask[:, :, :50])
        assert not found[:, 64:].any()


def test_weights_are_interpolated_before_they_are_cut():
    weights = xr.DataArray([[0.0, 0.9, 0.3, 0.0]], dims=("height", "width"))
    half = register_masks(weights, [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    assert half.values.tolist() == [[False, True, False, False]]


def test_outside_of_the_field_is_filled():
    image = xr.DataArray(np.ones((2, 2), np.uint8), dims=("height", "width"))
    far = register_projection(image, [[1, 0, 50], [0, 1, 0], [0, 0, 1]], fill=np.nan)
    assert far.isnull().all()
    # The line where the third coordinate is 0 is no place at all.
    nowhere = register_projection(image, [[1, 0, 1], [0, 1, 1], [1, 0, -1]], shape=(3, 3))
    assert np.isfinite(nowhere).all()


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.eye(2), r"shape \(3, 3\)"),
        (np.full((3, 3), np.nan), "inverted"),
        (np.ones((3, 3)), "inverted"),
    ],
)
def test_matrices_that_are_none(matrix, says):
    image = xr.DataArray(np.ones((2, 2)), dims=("height", "width"))
    with pytest.raises(SchemaError, match=says):
        register_projection(image, matrix)


def test_fields_that_are_none():
    with pytest.raises(MissingVariableError, match="height"):
        register_masks(xr.DataArray(np.ones(3), dims="width"), np.eye(3))
    with pytest.raises(SchemaError, match="no pixels"):
        register_masks(xr.DataArray(np.ones((0, 3)), dims=("height", "width")), np.eye(3))
    with pytest.raises(SchemaError, match="no pixels"):
        register_masks(xr.DataArray(np.ones((3, 3)), dims=("height", "width")), np.eye(3), (0, 3))
