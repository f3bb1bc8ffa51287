"""Masks and images of one session laid over the field of another, by a transformation matrix."""

from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.model import names as n
from oscaxr.model.derived import geometry

THRESHOLD: Final = 0.5
"""A registered pixel is part of a mask when its interpolated weight is at least this."""

# The four weights of a pixel in the middle of a mask may sum to a little less than 1, and those of
# one on its edge to a little less than one half.
_ROUNDING: Final = 1e-9
# Masks are read, and registered, this many bytes at a time.
_BLOCK_BYTES: Final = 64_000_000
_PIXELS: Final = (n.HEIGHT, n.WIDTH)
_GEOMETRY: Final = ("centroid_y", "centroid_x", "area_px")


def register_masks(
    masks: xr.DataArray, matrix: Any, shape: tuple[int, int] | None = None
) -> xr.DataArray:
    """Lay ROI masks over the field of another session.

    Parameters
    ----------
    masks : xarray.DataArray
        Masks of the source session, flags or weights, of dims (roi, height, width) in any order
        (or ``tracking_id``, or one mask); in memory, lazy or on dask.
    matrix : array_like, (3, 3)
        Maps a pixel (x, y, 1) of the target to one of the source, up to a factor, as the published
        matching files hold it (:func:`oscaxr.read_matches`).
    shape : tuple of int, optional
        Height and width of the target's field; those of the masks by default.

    Returns
    -------
    xarray.DataArray of bool
        As `masks`, in the target's field. Coordinates of the masks' geometry (``centroid_y``,
        ``centroid_x``, ``area_px``) are those of the registered masks. In memory.

    Raises
    ------
    MissingVariableError
        If there are no dims ``height`` and ``width``.
    SchemaError
        If the matrix is not an invertible one of shape (3, 3), or a mask has no pixels.

    Notes
    -----
    A perspective warp with linear interpolation: each target pixel takes the four source pixels
    around its place in the source, those outside the field being 0, and belongs to the mask if
    this gives one half or more. It is the rule of OpenCV's ``warpPerspective`` with
    ``INTER_LINEAR`` and ``WARP_INVERSE_MAP``, which rounds places to 1/32 pixel.

    Masks are read and registered in blocks, and only their own pixels are worked on.

    Examples
    --------
    >>> mask = xr.DataArray([[[True, False, False]]], dims=("roi", "height", "width"))
    >>> register_masks(mask, [[1, 0, -1], [0, 1, 0], [0, 0, 1]]).values
    array([[[False,  True, False]]])
    """
    result = _register(masks, matrix, shape, np.dtype(bool), 0.0)
    if masks.ndim != 3 or not set(_GEOMETRY) & set(masks.coords):
        return result
    (dim,) = (other for other in masks.dims if other not in _PIXELS)
    found = geometry(result.transpose(dim, *_PIXELS).values)
    renewed = {
        name: (dim, values, masks[name].attrs)
        for name, values in found.items()
        if name in masks.coords
    }
    return result.assign_coords(renewed)


def register_projection(
    image: xr.DataArray,
    matrix: Any,
    shape: tuple[int, int] | None = None,
    *,
    fill: float = 0.0,
) -> xr.DataArray:
    """Lay an image, such as the maximum projection, over the field of another session.

    Parameters
    ----------
    image : xarray.DataArray
        Of dims (height, width), and any others.
    matrix : array_like, (3, 3)
        As for :func:`register_masks`.
    shape : tuple of int, optional
        Height and width of the target's field; those of the image by default.
    fill : float, optional
        What lies outside the source's field; NaN makes plain what was not seen.

    Returns
    -------
    xarray.DataArray of float64
        As `image`, in the target's field.

    Raises
    ------
    MissingVariableError
        If there are no dims ``height`` and ``width``.
    SchemaError
        If the matrix is not an invertible one of shape (3, 3), or the image has no pixels.

    Notes
    -----
    See :func:`register_masks`; nothing is rounded to the dtype of the image.

    Examples
    --------
    >>> image = xr.DataArray([[0, 10, 20]], dims=("height", "width"))
    >>> register_projection(image, [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]).values
    array([[ 5., 15., 10.]])
    """
    return _register(image, matrix, shape, np.dtype(np.float64), float(fill))


def _register(
    array: xr.DataArray,
    matrix: Any,
    shape: tuple[int, int] | None,
    dtype: np.dtype[Any],
    fill: float,
) -> xr.DataArray:
    missing = [dim for dim in _PIXELS if dim not in array.dims]
    if missing:
        raise MissingVariableError(f"{array.name!r} has the dims {array.dims}, not {list(_PIXELS)}")
    source = (array.sizes[n.HEIGHT], array.sizes[n.WIDTH])
    target = source if shape is None else (int(shape[0]), int(shape[1]))
    if not all(source) or min(target) < 1:
        raise SchemaError(f"there are no pixels in a field of {source}, registered to {target}")
    others = [dim for dim in array.dims if dim not in _PIXELS]
    dims = (*others, *_PIXELS)
    weights = _weights(_checked(matrix), source, target)
    settings = {"weights": weights, "target": target, "dtype": dtype, "fill": fill}
    data = _in_blocks(array.variable.transpose(*dims), settings)
    # The coordinates that hold in the target's field too.
    kept = {
        name: coord.variable
        for name, coord in array.coords.items()
        if not set(coord.dims) & set(_PIXELS) or (source == target and coord.ndim == 1)
    }
    for dim, size in zip(_PIXELS, target, strict=True):
        if dim in array.coords:
            kept[dim] = xr.Variable((dim,), np.arange(size), array.coords[dim].attrs)
    result = xr.DataArray(data, dims=dims, coords=kept, name=array.name, attrs=array.attrs)
    return result.transpose(*array.dims)


def _checked(matrix: Any) -> npt.NDArray[np.float64]:
    values = np.asarray(matrix, np.float64)
    if values.shape != (3, 3):
        raise SchemaError(f"a transformation matrix has the shape (3, 3), not {values.shape}")
    if not np.isfinite(values).all() or np.linalg.matrix_rank(values) < 3:
        raise SchemaError(f"the transformation matrix cannot be inverted: {values.tolist()}")
    return values


def _in_blocks(variable: xr.Variable, settings: dict[str, Any]) -> npt.NDArray[Any]:
    """Register an array, reading some of it at a time."""
    others = variable.shape[:-2]
    if not others:
        return _warp(np.asarray(variable.values), **settings)
    result = np.empty((*others, *settings["target"]), settings["dtype"])
    itemsize = variable.dtype.itemsize if settings["dtype"].kind == "b" else 8
    one = int(np.prod(variable.shape[1:])) * itemsize
    step = max(1, _BLOCK_BYTES // max(1, one))
    for start in range(0, others[0], step):
        rows = slice(start, start + step)
        block = np.asarray(variable[rows].values)
        result[rows] = _warp(block, **settings)
    return result


def _warp(
    values: npt.NDArray[Any],
    weights: Any,
    target: tuple[int, int],
    dtype: np.dtype[Any],
    fill: float,
) -> npt.NDArray[Any]:
    """Register an array of dims (..., height, width): to flags if `dtype` is bool."""
    shape = (*values.shape[:-2], *target)
    flat = values.reshape(-1, values.shape[-2] * values.shape[-1])
    if dtype.kind != "b":
        outside = 1.0 - np.asarray(weights.sum(axis=1)).reshape(-1)
        found = (weights @ flat.T.astype(np.float64)).T
        beyond = outside > _ROUNDING
        found[:, beyond] += outside[beyond] * fill
        return cast("npt.NDArray[Any]", found.reshape(shape))
    spread = (_sparse(flat) @ weights.T).tocoo()
    inside = spread.data >= THRESHOLD - _ROUNDING
    result = np.zeros((len(flat), weights.shape[0]), bool)
    result[spread.row[inside], spread.col[inside]] = True
    return result.reshape(shape)


def _sparse(masks: npt.NDArray[Any]) -> Any:
    """Return masks as sparse rows: they are a thousandth of the field, and all else is 0."""
    from scipy.sparse import csr_array

    places = np.flatnonzero(masks)
    rows, columns = np.divmod(places, masks.shape[1])
    starts = np.searchsorted(rows, np.arange(len(masks) + 1))
    values = masks.ravel()[places].astype(np.float64)
    return csr_array((values, columns, starts), shape=masks.shape)


def _weights(
    matrix: npt.NDArray[np.float64], source: tuple[int, ...], target: tuple[int, int]
) -> Any:
    """Return the weight of every source pixel in every target pixel: sparse (target, source)."""
    from scipy.sparse import coo_array

    height, width = source
    y, x = np.indices(target).reshape(2, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        place_x, place_y, factor = matrix @ np.stack([x, y, np.ones_like(x)])
        place_x, place_y = place_x / factor, place_y / factor
    # What is not a place, or far outside, is just outside: two pixels off no source pixel counts.
    place_x = np.clip(np.where(np.isfinite(place_x), place_x, -2), -2, width + 1)
    place_y = np.clip(np.where(np.isfinite(place_y), place_y, -2), -2, height + 1)
    left, top = np.floor(place_x).astype(np.int64), np.floor(place_y).astype(np.int64)
    right, lower = place_x - left, place_y - top
    rows, columns, parts = [], [], []
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (lower if down else 1 - lower) * (right if across else 1 - right)
        row, column = top + down, left + across
        used = (weight > 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        rows.append(np.flatnonzero(used))
        columns.append(row[used] * width + column[used])
        parts.append(weight[used])
    shape = (target[0] * target[1], height * width)
    entries = (np.concatenate(rows), np.concatenate(columns))
    return coo_array((np.concatenate(parts), entries), shape=shape).tocsr()
