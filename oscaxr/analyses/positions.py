"""Of which patches, and so of which places, an ROI's response follows the orientation."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.chance import q_values
from oscaxr.analyses.gabor_responses import HALF_TURN, RESPONSE, gabor_responses
from oscaxr.errors import CriterionError
from oscaxr.measure.transform import Window
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid

Floats = npt.NDArray[np.float64]

# A patch has two predictors: the cosine and the sine of twice its orientation.
_EACH: Final = 2


def position_response(
    ds: xr.Dataset,
    gabor_frames: Sequence[str] = ("A", "B", "C", "D", "U"),
    *,
    window: Window = RESPONSE,
    tracked: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Say of which patches, and so of which places, an ROI's response follows the orientation.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, with the orientations of its patches.
    gabor_frames : sequence of str, optional
        The Gabor frames to take.
    window, tracked, invalid
        As for :func:`orientation_tuning`.
    **criteria
        Further criteria on the segments (:func:`oscaxr.select_segments`); ``gabor_kappa=16`` by
        default.

    Returns
    -------
    xarray.Dataset
        Over ``gabor_frame``, ``patch`` and ``roi`` or ``tracking_id``:

        - ``amplitude``: how far the response goes up and down with the patch's orientation, dF/F;
        - ``preferred_orientation``: of the patch, degrees, 0 to 180;
        - ``p``: of the patch's two weights (F test); ``q``: false discovery rate over all patches
          and frames of the ROI (Benjamini and Hochberg);
        - ``x``, ``y``, ``size`` (gabor_frame, patch): of the patch, px from the screen's centre;
          NaN where not the same in all segments;
        - ``n_segments`` (gabor_frame).

        NaN for frames with too few segments for the weights of their patches, and for ROIs with NaN
        or infinite responses, or without variance.

    Raises
    ------
    MissingVariableError
        If the session has no orientations of patches.
    CriterionError
        If criteria are not known, or no frame has enough segments.

    Notes
    -----
    In a session, the patches of a Gabor frame are in the same places each time, while their
    orientations are drawn anew. So the response to a frame is regressed, by least squares, on
    the cosine and the sine of twice the orientation of each of its patches, all together.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.2)
    >>> found = position_response(ds, ["A", "B"])
    >>> found["amplitude"].sizes
    Frozen({'gabor_frame': 2, 'patch': 30, 'roi': 4})
    """
    shown = gabor_responses(ds, gabor_frames, window, tracked, invalid, criteria)
    names = [*gabor_frames]
    n_rois, n_patches = shown.values.shape[1], shown.segments.sizes[n.PATCH]
    weights = np.full((len(names), n_patches, _EACH, n_rois), np.nan)
    p = np.full((len(names), n_patches, n_rois), np.nan)
    places = np.full((3, len(names), n_patches), np.nan)
    counts = [int((shown.frames == name).sum()) for name in names]
    least = _EACH * n_patches + 2
    for number, name in enumerate(names):
        if counts[number] < least:
            continue
        own = shown.segments.isel({n.SEGMENT: shown.frames == name})
        weights[number], p[number] = _regressed(own, shown.values[shown.frames == name])
        places[:, number] = [_constant(own[part].values) for part in _PLACE.values()]
    if max(counts) < least:
        told = dict(zip(names, counts, strict=True))
        raise CriterionError(f"segments by Gabor frame: {told}; {least} of a frame are needed")
    orientation = np.rad2deg(np.arctan2(weights[:, :, 1], weights[:, :, 0])) / 2 % HALF_TURN
    dims = ("gabor_frame", n.PATCH)
    result = xr.Dataset(
        {
            "amplitude": shown.labelled(np.hypot(weights[:, :, 0], weights[:, :, 1]), *dims),
            "preferred_orientation": shown.labelled(orientation, *dims),
            "p": shown.labelled(p, *dims),
            "q": shown.labelled(_q_by_roi(p), *dims),
            "n_segments": (dims[:1], counts),
        }
    )
    result = result.assign_coords(gabor_frame=names, patch=np.arange(n_patches))
    result = result.assign_coords({k: (dims, v) for k, v in zip(_PLACE, places, strict=True)})
    for name, attrs in _POSITION_ATTRS.items():
        result[name].attrs = attrs
    return result.assign_attrs(window=[*map(float, window)])


_PLACE: Final = {"x": "gabor_x", "y": "gabor_y", "size": "gabor_size"}
_POSITION_ATTRS: Final = {
    "amplitude": {"long_name": "amplitude of the response by orientation, dF/F", "units": "1"},
    "preferred_orientation": {"long_name": "preferred orientation", "units": "degrees"},
    "p": {"long_name": "p of the patch's weights (F test)", "units": "1"},
    "q": {"long_name": "false discovery rate", "units": "1"},
    "n_segments": {"long_name": "number of segments"},
    "x": {"long_name": "position of the patch from the left to the right, in pixels", "units": "1"},
    "y": {"long_name": "position of the patch on the vertical axis, in pixels", "units": "1"},
    "size": {"long_name": "size of the patch, in pixels", "units": "1"},
}


def _constant(values: Floats) -> Floats:
    """Return what the patches (segment, patch) have in all segments."""
    return np.where((values == values[0]).all(axis=0), values[0], np.nan)


def _regressed(segments: xr.Dataset, values: Floats) -> tuple[Floats, Floats]:
    """Return the weights of the patches of a frame, (patch, 2, roi), and p, (patch, roi)."""
    from scipy.stats import f

    angle = np.deg2rad(2 * segments["gabor_orientation"].values)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(angle), -1)
    x, y = x - x.mean(axis=0), values - values.mean(axis=0)
    inverse = np.linalg.pinv(x.T @ x, hermitian=True)
    weights = inverse @ (x.T @ y)
    freedom = len(x) - x.shape[1] - 1
    variance = np.square(y - x @ weights).sum(axis=0) / freedom
    n_patches = angle.shape[1]
    own = inverse.reshape(n_patches, _EACH, n_patches, _EACH)
    own = own[np.arange(n_patches), :, np.arange(n_patches)]
    pairs = weights.reshape(n_patches, _EACH, -1)
    size = np.einsum("per,per->pr", pairs, np.linalg.solve(own, pairs)) / _EACH
    with np.errstate(invalid="ignore", divide="ignore"):
        # Without variance there is nothing to test.
        ratio = np.where(variance > 0, size / variance, np.nan)
    return pairs, np.asarray(f.sf(ratio, _EACH, freedom))


def _q_by_roi(p: Floats) -> Floats:
    """Return q over all frames and patches of each ROI."""
    found = [q_values(one) for one in np.moveaxis(p, -1, 0)]
    return np.moveaxis(np.array(found), 0, -1)
