"""ROI masks: from weights to pixels, and where the pixels are; from files as from memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oscaxr as ox
from oscaxr.arrays.lazy import ArrayReader, OrthogonalArray
from oscaxr.model.derived import MaskReader, geometry, mask_facts, to_boolean

shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)


def slow_masks(weights: np.ndarray) -> np.ndarray:
    """Follow the published rule, ROI by ROI."""
    result = np.zeros(weights.shape, bool)
    for roi, mask in enumerate(weights):
        kept = np.where(mask.astype(float) < 0.1, 0.0, mask.astype(float))
        if kept.sum() >= 3:
            result[roi] = kept.astype(bool)
    return result


@given(
    hnp.arrays(
        np.float64,
        shapes,
        elements=st.sampled_from([0.0, 0.05, 0.0999, 0.1, 0.25, 0.5, 1.0, 2.0, -1.0]),
    )
)
def test_weights(weights: np.ndarray) -> None:
    # Binary fractions add up without rounding, but for those about 0.1: leave ties to chance.
    total = np.where(weights < 0.1, 0, weights).reshape(len(weights), -1).sum(axis=1)
    clear = np.abs(total - 3) > 1e-9
    np.testing.assert_array_equal(to_boolean(weights)[clear], slow_masks(weights)[clear])


@given(hnp.arrays(st.sampled_from([np.bool_, np.uint8, np.int8, np.uint16]), shapes))
def test_whole_numbers(weights: np.ndarray) -> None:
    before = weights.copy()
    found = to_boolean(weights)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, slow_masks(weights))
    np.testing.assert_array_equal(weights, before)


def test_threshold_and_smallest_mask() -> None:
    weights = np.zeros((4, 3, 3), np.float32)
    weights[0, 0] = 1  # sums to 3: kept
    weights[1, 0, :2] = 1.4  # sums to 2.8: empty
    weights[2, 0] = [0.09, 3, 0.1]
    found = to_boolean(weights)
    assert found[0].sum() == 3
    assert not found[1].any()
    np.testing.assert_array_equal(found[2, 0], [False, True, True])
    assert not found[3].any()


def test_binary_bytes_are_not_copied() -> None:
    masks = np.ones((2, 4, 4), np.uint8)
    assert np.shares_memory(to_boolean(masks), masks)
    masks[0] = 0
    masks[0, 0, 0] = 1  # too small: must not be emptied in the caller's array
    assert not to_boolean(masks)[0].any()
    assert masks[0, 0, 0] == 1


@given(hnp.arrays(np.bool_, shapes))
def test_geometry(masks: np.ndarray) -> None:
    found = geometry(masks)
    assert found["area_px"].dtype == np.int64
    for roi, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        assert found["area_px"][roi] == len(rows)
        if len(rows):
            assert found["centroid_y"][roi] == pytest.approx(rows.mean())
            assert found["centroid_x"][roi] == pytest.approx(columns.mean())
        else:
            assert np.isnan(found["centroid_y"][roi])
            assert np.isnan(found["centroid_x"][roi])


# -- as read -------------------------------------------------------------------------------------

WEIGHTS = np.random.default_rng(0).uniform(0, 0.3, (9, 12, 14))
WEIGHTS[4] = 0.05

KEYS: list[dict[str, Any]] = [
    {},
    {"roi": 3},
    {"roi": [8, 0, 4, 0]},
    {"roi": slice(None, None, -2), "height": slice(3, 9), "width": -1},
    {"height": [11, 0], "width": [13, 2, 2]},
    {"height": slice(None, None, -1)},
    {"roi": xr.Variable("p", [1, 5]), "height": xr.Variable("p", [3, 11])},
    {"roi": []},
    {"width": np.arange(14) > 6},
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("kind", ["weights", "u1", "bool"])
def test_reader(key: dict[str, Any], kind: str) -> None:
    stored = WEIGHTS if kind == "weights" else (WEIGHTS > 0.2).astype(kind)
    reader = MaskReader(ArrayReader(stored))
    dims = ("roi", "height", "width")
    lazy = xr.Variable(dims, OrthogonalArray(reader)).isel(key)
    expected = xr.Variable(dims, slow_masks(stored)).isel(key)
    assert lazy.dtype == bool
    np.testing.assert_array_equal(lazy.values, expected.values)


def test_many_masks_are_decoded_in_blocks() -> None:
    weights = np.random.default_rng(1).uniform(0, 0.4, (70, 128, 128)).astype("f4")
    reader = MaskReader(ArrayReader(weights))
    rows = np.array([69, 3, 4, 5, 0, 0, 68])
    whole = (slice(0, 128, 1), slice(0, 128, 1))
    np.testing.assert_array_equal(reader.read((slice(0, 70, 1), *whole)), slow_masks(weights))
    np.testing.assert_array_equal(reader.read((rows, *whole)), slow_masks(weights[rows]))


class Stored(ArrayReader):
    """Masks that are stored seven at a time; counts how often each seven were read."""

    chunk_shape = (7, 16, 16)

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array)
        self.read_often = np.zeros(-(-len(array) // 7), int)

    def read(self, indices: Any) -> np.ndarray:
        self.read_often[np.unique(np.arange(len(self.array))[indices[0]] // 7)] += 1
        return super().read(indices)


def test_masks_that_are_stored_together_are_read_once() -> None:
    weights = np.random.default_rng(1).uniform(0, 0.4, (70, 128, 128))
    rows = np.array([69, 3, 4, 5, 0, 0, 68])
    whole = (slice(0, 128, 1), slice(0, 128, 1))
    for wanted in (slice(0, 70, 1), rows):
        stored = Stored(weights)
        found = MaskReader(stored).read((wanted, *whole))
        np.testing.assert_array_equal(found, slow_masks(weights[wanted]))
        assert stored.read_often.max() == 1
    stored = Stored(weights)
    area = xr.Variable("roi", mask_facts(MaskReader(stored), np.arange(70))["area_px"]).values
    np.testing.assert_array_equal(area, slow_masks(weights).sum((1, 2)))
    assert stored.read_often.max() == 1


def test_facts_follow_the_order_of_the_rows() -> None:
    masks = slow_masks(WEIGHTS)
    rows = np.array([8, 4, 0])
    facts = mask_facts(ArrayReader(masks), rows)
    expected = geometry(masks[rows])
    for name, data in facts.items():
        np.testing.assert_array_equal(xr.Variable("roi", data).values, expected[name])
    nothing = mask_facts(ArrayReader(masks), rows[:0])
    assert xr.Variable("roi", nothing["area_px"]).values.shape == (0,)


@pytest.mark.parametrize(
    "mask_kind",
    ["weights", *(pytest.param(one, marks=pytest.mark.slow) for one in ("uint8", "bool"))],
)
@pytest.mark.parametrize("layout", ["gzip", "contiguous"])
def test_files(
    mask_kind: Any, layout: Any, memory_session: xr.Dataset, spec: Any, tmp_path: Path
) -> None:
    path = ox.sample.write_nwb(spec, tmp_path, mask_kind=mask_kind, layout=layout)
    with ox.open_session(path) as ds:
        assert ds.roi_mask.dtype == bool
        np.testing.assert_array_equal(ds.roi_mask, memory_session.roi_mask)
        for name in ("area_px", "centroid_x", "centroid_y"):
            np.testing.assert_array_equal(ds[name], memory_session[name])
        part = ds.isel(roi=[2, 0]).roi_mask.isel(height=slice(20, 50), width=[40, 3])
        np.testing.assert_array_equal(
            part, memory_session.roi_mask.values[[2, 0], 20:50][:, :, [40, 3]]
        )
