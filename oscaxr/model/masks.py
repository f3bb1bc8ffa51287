"""Definitions on ROI masks: from weights to pixels, and where the pixels are."""

from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]

MIN_WEIGHT: Final = 0.1
"""A pixel with less weight than this is not part of the ROI."""
MIN_TOTAL_WEIGHT: Final = 3.0
"""An ROI whose weights sum to less than this is empty."""


def to_boolean(weights: Array) -> Array:
    """Turn mask weights into pixels that belong to the ROI."""
    # The rule of the published analysis: weights below 0.1 are zeroed, ROIs whose weights then sum
    # to less than 3 are emptied, the rest becomes boolean.
    n_rois = len(weights)
    if weights.dtype.itemsize == 1 and weights.dtype.kind in "bui" and _is_binary(weights):
        masks = weights.view(np.bool_)
        total: Array = np.array([np.count_nonzero(mask) for mask in masks], np.float64)
    else:
        masks = weights >= MIN_WEIGHT
        kept = np.where(masks, weights, 0)
        total = kept.reshape(n_rois, -1).sum(axis=1, dtype=np.float64)
    empty = total < MIN_TOTAL_WEIGHT
    if empty.any() and np.any(total[empty] > 0):
        masks = masks.copy()
        masks[empty] = False
    return masks


def _is_binary(values: Array) -> bool:
    if values.dtype.kind == "b" or not values.size:
        return True
    return bool(values.max() <= 1 and (values.dtype.kind == "u" or values.min() >= 0))


def geometry(masks: Array) -> dict[str, Array]:
    """Return the centroid and area of each mask."""
    _, height, width = masks.shape
    rows = masks.sum(axis=2, dtype=np.int64)
    columns = masks.sum(axis=1, dtype=np.int64)
    area = rows.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return {
            "centroid_y": rows @ np.arange(height) / area,
            "centroid_x": columns @ np.arange(width) / area,
            "area_px": area,
        }
