"""The ROI masks as one image of labels, as image viewers and segmentation tools take them."""

import math
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.model import names as n

Array = np.ndarray[Any, Any]

SHARED: Final = -1
"""Label of the pixels that belong to more than one ROI."""

_ATTRS: Final = {
    "label": {
        "long_name": "label of the ROI",
        "comment": "0 where there is none, -1 where several",
    },
    "n_rois": {"long_name": "number of ROIs that the pixel is of", "units": "1"},
    "area_px": {"long_name": "number of pixels in the ROI mask", "units": "1"},
    "shared_px": {"long_name": "number of pixels that are of another ROI, too", "units": "1"},
}
_PIXELS: Final = (n.HEIGHT, n.WIDTH)
# Masks are read this many bytes at a time.
_BLOCK_BYTES: Final = 64_000_000


def roi_labels(masks: xr.DataArray) -> xr.Dataset:
    """Return the masks of all ROIs as one image of labels, and how many ROIs each pixel is of.

    Parameters
    ----------
    masks : xarray.DataArray of bool
        (roi, height, width) in any order, or with ``tracking_id`` for ``roi``. Read block by
        block.

    Returns
    -------
    xarray.Dataset
        - ``label``: (height, width), int32: 0 where there is no ROI; the ROI's index and one more
          (0 is the background) for pixels of one ROI; -1 for those of more than one;
        - ``n_rois``: (height, width), int32: the number of ROIs that a pixel is of;
        - ``area_px``, ``shared_px``: (roi), int64: pixels of each ROI, and those of them that are
          of another ROI too.

        With the coordinates of the masks. In memory.

    Raises
    ------
    MissingVariableError
        If there are no dims ``height`` and ``width``, and one other.
    SchemaError
        If the masks are not boolean.

    Notes
    -----
    ROIs overlap, and one image has one label a pixel: were the later ROI painted over the earlier
    one, its neighbour would lose pixels unnoticed. ``area_px - shared_px`` is what the label of an
    ROI shows of it.

    Examples
    --------
    >>> masks = xr.DataArray([[[True, True, False, False]], [[False, True, True, False]]],
    ...                      dims=("roi", "height", "width"), coords={"roi": [0, 1]})
    >>> found = roi_labels(masks)
    >>> found.label.values, found.shared_px.values
    (array([[ 1, -1,  2,  0]], dtype=int32), array([1, 1]))
    """
    others = [dim for dim in masks.dims if dim not in _PIXELS]
    if len(others) != 1 or masks.ndim != 3:
        raise MissingVariableError(
            f"{masks.name!r} has the dims {masks.dims}; masks have 'height', 'width' and one for "
            "the ROIs: ds.roi_mask"
        )
    if masks.dtype.kind != "b":
        raise SchemaError(f"{masks.name!r} is {masks.dtype}; masks are boolean: ds.roi_mask")
    (dim,) = others
    ordered = masks.transpose(dim, *_PIXELS)
    n_rois, *field = ordered.shape
    rows, pixels = _members(ordered.variable)
    counts = np.bincount(pixels, minlength=math.prod(field))
    label = np.zeros(counts.size, np.int32)
    label[pixels] = masks[dim].values[rows] + 1
    label[counts > 1] = SHARED
    area = np.bincount(rows, minlength=n_rois)
    shared = np.bincount(rows[counts[pixels] > 1], minlength=n_rois)
    variables = {
        "label": (_PIXELS, label.reshape(field), _ATTRS["label"]),
        "n_rois": (_PIXELS, counts.reshape(field).astype(np.int32), _ATTRS["n_rois"]),
        "area_px": (dim, area, _ATTRS["area_px"]),
        "shared_px": (dim, shared, _ATTRS["shared_px"]),
    }
    kept = {key: one.variable for key, one in masks.coords.items() if key not in variables}
    return xr.Dataset(variables, kept)


def _members(masks: xr.Variable) -> tuple[Array, Array]:
    """Return which pixels are of which ROI, as pairs of their positions."""
    step = max(1, _BLOCK_BYTES // max(1, math.prod(masks.shape[1:])))
    rows, pixels = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for start in range(0, len(masks), step):
        block = np.asarray(masks[start : start + step].values)
        found = np.nonzero(block.reshape(len(block), -1))
        rows.append(found[0] + start)
        pixels.append(found[1])
    return np.concatenate(rows), np.concatenate(pixels)
