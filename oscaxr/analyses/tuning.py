"""Which orientations an ROI responds to: tuning curves fitted to the orientations of patches."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.gabor_responses import HALF_TURN, RESPONSE, gabor_responses
from oscaxr.errors import CriterionError
from oscaxr.measure.transform import Window
from oscaxr.model.invalid_rois import Invalid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

# Orientations of patches are told apart by a degree.
_DEGREES: Final = np.arange(HALF_TURN)
_CONCENTRATIONS: Final = np.geomspace(0.25, 32, 15)


def orientation_tuning(
    ds: xr.Dataset,
    gabor_frames: Sequence[str] = ("A", "B", "C", "D"),
    *,
    window: Window = RESPONSE,
    folds: int = 5,
    tracked: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Fit a von Mises tuning curve to the responses of each ROI, from the patches' orientations.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, with the orientations of its patches.
    gabor_frames : sequence of str, optional
        The Gabor frames to take, each about its own mean response.
    window : tuple of float, optional
        Where the mean response is taken, s from the start of the segment, the end excluded.
    folds : int, optional
        Into how many parts segments are dealt, each of which is predicted from the others.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`: whether ROIs that the files list as invalid are left out.
    **criteria
        Further criteria on the segments (:func:`oscaxr.select_segments`); ``gabor_kappa=16`` by
        default.

    Returns
    -------
    xarray.Dataset
        Over ``roi`` or ``tracking_id``:

        - ``preferred_orientation``: degrees, 0 to 179, in steps of 1;
        - ``concentration``: kappa of the curve, 0.25 (nearly flat) to 32, in 15 steps;
        - ``amplitude``: dF/F by which the peak of the curve is above zero of the von Mises part;
        - ``explained``: share of the variance about the frames' means that the fit explains;
        - ``predicted``: the same on parts that it was not fitted to (below 0 if worse than none);
        - ``response`` (orientation): mean response by mean orientation of the segment, dF/F.

        NaN for ROIs with NaN or infinite responses, or without variance.

    Raises
    ------
    MissingVariableError
        If the session has no orientations of patches.
    CriterionError
        If criteria or folds cannot be used, or there are too few segments.

    Notes
    -----
    A segment shows patches of many orientations t_i about a mean. Its response is modelled as a
    constant of its Gabor frame plus a, larger than 0, times the mean over patches of
    exp(k (cos 2 (t_i - p) - 1)), of preferred orientation p and concentration k, by least squares:
    for all p and k of a grid at once. Opposite orientations are the same. An ROI that responds to
    no orientation has a curve, too: what it is worth, ``predicted`` says.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> orientation_tuning(ds)["preferred_orientation"].sizes
    Frozen({'roi': 4})
    """
    _check_folds(folds)
    shown = gabor_responses(ds, gabor_frames, window, tracked, invalid, criteria)
    if len(shown.values) < max(folds, 10):
        raise CriterionError(
            f"{len(shown.values)} segments of Gabor frames {[*gabor_frames]} are too few to fit"
        )
    counts = _orientation_shares(shown.segments)
    groups = np.unique(shown.frames, return_inverse=True)[1]
    x, y = _about_means(counts, groups), _about_means(shown.values, groups)
    parts = np.arange(len(y)) % folds
    sums = [_CurveSums.of(x[parts == part], y[parts == part]) for part in range(folds)]
    whole = _CurveSums(*(np.sum(part, axis=0) for part in zip(*sums, strict=True)))
    kernels = _kernels()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        best, height = _fitted(kernels, whole)
        error = whole.errors(kernels, best, height)
        hidden = sum(
            one.errors(kernels, *_fitted(kernels, _CurveSums(*map(np.subtract, whole, one))))
            for one in sums
        )
        explained, predicted = (1 - part / whole.yy for part in (error, hidden))
    known = np.isfinite(explained)
    concentration, preferred = np.divmod(best, HALF_TURN)
    fits = {
        "preferred_orientation": preferred.astype(np.float64),
        "concentration": _CONCENTRATIONS[concentration],
        "amplitude": height,
        "explained": explained,
        "predicted": predicted,
    }
    result = xr.Dataset(
        {name: shown.labelled(np.where(known, values, np.nan)) for name, values in fits.items()}
    )
    orientation = shown.segments["gabor_mean_orientation"].values % HALF_TURN
    levels, numbers = np.unique(orientation, return_inverse=True)
    result["response"] = shown.labelled(_group_means(shown.values, numbers), "orientation")
    result = result.assign_coords(orientation=levels)
    for name, attrs in _TUNING_ATTRS.items():
        result[name].attrs = attrs
    told = {"gabor_frames": [*gabor_frames], "window": [*map(float, window)], "folds": folds}
    return result.assign_attrs(told, n_segments=len(y))


def _check_folds(folds: Any) -> None:
    """Refuse what is no number of parts."""
    if not isinstance(folds, int | np.integer) or folds < 2:
        raise CriterionError(f"folds={folds!r}: two parts are needed at least")


_TUNING_ATTRS: Final = {
    "preferred_orientation": {"long_name": "preferred orientation", "units": "degrees"},
    "concentration": {"long_name": "concentration of the tuning curve", "units": "1"},
    "amplitude": {"long_name": "amplitude of the tuning curve, dF/F", "units": "1"},
    "explained": {"long_name": "share of the variance that tuning explains", "units": "1"},
    "predicted": {"long_name": "share of the variance that tuning predicts", "units": "1"},
    "response": {"long_name": "mean response by mean orientation, dF/F", "units": "1"},
    "orientation": {"long_name": "mean orientation of the patches", "units": "degrees"},
}


class _CurveSums(NamedTuple):
    """Sums over segments of shares of orientations x and responses y: all that a fit needs."""

    xx: Floats
    xy: Floats
    yy: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> "_CurveSums":
        return cls(x.T @ x, x.T @ y, np.einsum("sr,sr->r", y, y))

    def errors(self, kernels: Floats, best: Ints, height: Floats) -> Floats:
        """Return the squared errors of the best curve of each ROI."""
        curves = kernels[:, best] * height
        return np.asarray(self.yy + np.einsum("kr,kr->r", curves, self.xx @ curves - 2 * self.xy))


def _kernels() -> Floats:
    """Return all curves of the grid, (degree, concentration and preferred orientation)."""
    angle = np.deg2rad(2 * (_DEGREES[:, None] - _DEGREES))
    found = np.exp(_CONCENTRATIONS[:, None] * (np.cos(angle)[:, None] - 1))
    return np.asarray(found.reshape(HALF_TURN, -1))


def _fitted(kernels: Floats, sums: _CurveSums) -> tuple[Ints, Floats]:
    """Return which curve fits each ROI best, and its height."""
    size = np.einsum("kg,kg->g", kernels, sums.xx @ kernels)[:, None]
    product = kernels.T @ sums.xy
    # What a curve explains; with a height of 0 or less, nothing.
    gain = np.where((product > 0) & (size > 0), product, 0.0) ** 2 / np.where(size > 0, size, 1.0)
    best = gain.argmax(axis=0)
    chosen = np.take_along_axis(product, best[None], axis=0)[0]
    size = size[best, 0]
    height = np.divide(chosen, size, out=np.zeros_like(chosen), where=size > 0)
    return best, np.maximum(height, 0.0)


def _orientation_shares(segments: xr.Dataset) -> Floats:
    """Return which share of a segment's patches has each orientation, (segment, degree)."""
    degree = np.round(segments["gabor_orientation"].values % HALF_TURN).astype(np.intp) % HALF_TURN
    places = degree + HALF_TURN * np.arange(len(degree))[:, None]
    counts = np.bincount(places.ravel(), minlength=len(degree) * HALF_TURN)
    return np.asarray(counts.reshape(-1, HALF_TURN) / degree.shape[1])


def _group_means(values: Floats, groups: Ints) -> Floats:
    """Return the mean of the rows of each group."""
    labels = (groups == np.arange(groups.max() + 1)[:, None]).astype(np.float64)
    # Not by a product with zeros: of NaN, these are NaN.
    return np.array([values[own > 0].mean(axis=0) for own in labels])


def _about_means(values: Floats, groups: Ints) -> Floats:
    """Return rows less the mean of their group."""
    return np.asarray(values - _group_means(values, groups)[groups])
