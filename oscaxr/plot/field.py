"""The ROIs of a session in the microscope's field: masks, contours, maximum projection."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as parts
import oscaxr.plot.outlines as marks
from oscaxr.errors import CriterionError, MissingVariableError, few, option
from oscaxr.measure.quality import roi_dim
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists, require_session

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

VALID_COLOR: Final = parts.PALETTE[4]
OVERLAP_COLOR: Final = parts.PALETTE[0]
INVALID_COLOR: Final = parts.PALETTE[1]
HIGHLIGHT_COLOR: Final = parts.PALETTE[1]
# Each can be told apart from the contours of the others, on white and on an image.
_HIGHLIGHTS: Final = (HIGHLIGHT_COLOR, *(parts.PALETTE[k] for k in (2, 3, 5, 0)))
_HIGHLIGHT_WIDTH: Final = 2.0
_ZOOMED_WIDTH: Final = 1.6
_ON_WHITE: Final = "0.35"
_ON_IMAGE: Final = parts.PALETTE[4]
# What is shown about a highlighted ROI, on each side, in pixels at least and in its own size.
_MARGIN_PX: Final = 12
_MARGIN: Final = 1.5
# A few pixels far brighter than all others must not make the rest of a projection black.
_PROJECTION_PERCENTILES: Final = (0.1, 99.9)


def roi_masks(ds: xr.Dataset, ax: "Axes | None" = None, *, mark_invalid: bool = True) -> Artists:
    """Draw all ROI masks in one image, with the invalid ones marked.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or its tracked ROIs (:func:`oscaxr.tracked`).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    mark_invalid : bool, optional
        Whether to give the ROIs whose traces have NaNs or infinite values (``valid`` is False) a
        colour of their own and a ring. Of a session from a file, this reads all traces once.

    Returns
    -------
    Artists
        ``image``, all masks in one; ``invalid``, a ring about each invalid ROI (one line; None if
        there are none).

    Raises
    ------
    MissingVariableError
        If the session has no masks, or no ``valid`` to mark them by.
    PlotInputError
        If it is not a Dataset.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> roi_masks(ds, Figure().subplots()).image.get_array().shape
    (512, 512, 4)
    """
    require_session(ds, [n.ROI_MASK, *[n.VALID] * mark_invalid], "ROI masks")
    ax = parts.own_axes(ax, marks.FIELD_SIZE)
    from matplotlib.patches import Patch

    pixels = marks.mask_pixels(ds[n.ROI_MASK])
    valid = ds[n.VALID].values.astype(bool) if mark_invalid else np.ones(pixels.n_rois, bool)
    all_of_them, invalid = pixels.counts(), pixels.counts(~valid)
    kinds = [
        (all_of_them > 0, VALID_COLOR, marks.counted(int(valid.sum()), "valid " * mark_invalid)),
        ((all_of_them > 1) & (invalid == 0), OVERLAP_COLOR, "where ROIs overlap"),
        (invalid > 0, INVALID_COLOR, marks.counted(int((~valid).sum()), "invalid ")),
    ]
    layers = [(inside, color) for inside, color, _ in kinds]
    image = ax.imshow(marks.layered(pixels.shape, layers))
    rings = None
    if not valid.all():
        y, x = pixels.centroids()[~valid].T
        (rings,) = ax.plot(x, y, "ok", fillstyle="none", markersize=9, markeredgewidth=0.8)
    marks.label_field(ax, pixels.shape)
    parts.say_session(ax, ds)
    shown = [Patch(color=color, label=label) for inside, color, label in kinds if inside.any()]
    parts.beside_legend(ax, shown)
    return Artists(image=image, invalid=rings)


def roi_contours(
    ds: xr.Dataset,
    ax: "Axes | None" = None,
    *,
    highlight: int | Iterable[int] | None = None,
    zoom: bool | None = None,
    projection: bool = False,
) -> Artists:
    """Draw the contours of all ROIs, some of them highlighted if asked for.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or its tracked ROIs (:func:`oscaxr.tracked`).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    highlight : int or iterable of int, optional
        Labels of the ROIs to highlight: ``roi``, or ``tracking_id`` of tracked ROIs. Up to five
        have a colour each.
    zoom : bool, optional
        Whether to show only the surroundings of the highlighted ROIs; the whole field by default.
    projection : bool, optional
        Whether to draw them over the maximum projection.

    Returns
    -------
    Artists
        ``contours``, a collection of one path an ROI, in their order (``set_array`` colours them by
        a value of each); ``highlighted``, a collection of the contours of the highlighted ROIs,
        drawn once more; and ``image``, the projection. The last two are None if they were not asked
        for.

    Raises
    ------
    MissingVariableError
        If the session has no masks, or no projection that was asked for.
    CriterionError
        If there is no such ROI, it is named twice, its mask is empty, or there is none to zoom in
        on.
    PlotInputError
        If it is not a Dataset.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Contours follow the edges of the pixels.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> drawn = roi_contours(ds, Figure().subplots(), highlight=2, zoom=True)
    >>> len(drawn.contours.get_paths())
    4
    """
    require_session(ds, [n.ROI_MASK, *[n.MAX_PROJECTION] * projection], "ROI contours")
    masks = ds[n.ROI_MASK]
    dim = roi_dim(masks)
    labels = [] if highlight is None else _labels(highlight)
    positions = [_position(masks, dim, label) for label in labels]
    if zoom and not labels:
        raise CriterionError(
            f"{option('zoom', True)} is about highlighted ROIs: give {option('highlight')}"
        )
    if len(set(positions)) < len(positions):
        raise CriterionError(f"{option('highlight', few(labels))}: an ROI is named twice")
    pixels = marks.mask_pixels(masks)
    empty = sorted(set(positions) - set(pixels.roi.tolist()))
    if empty:
        unseen = few(label for label, at in zip(labels, positions, strict=True) if at in empty)
        raise CriterionError(f"ROI {unseen} cannot be highlighted: its mask has no pixels")
    ax = parts.own_axes(ax, marks.FIELD_SIZE)
    image = _draw_projection(ax, ds) if projection else None
    color = _ON_IMAGE if projection else _ON_WHITE
    paths = marks.outlines(pixels)
    contours = marks.draw_outlines(ax, paths, color)
    marks.label_field(ax, pixels.shape)
    parts.say_session(ax, ds)
    if not labels:
        return Artists(contours=contours, highlighted=None, image=image)
    colors = _HIGHLIGHTS[: len(labels)] if len(labels) <= len(_HIGHLIGHTS) else [HIGHLIGHT_COLOR]
    chosen = [paths[at] for at in positions]
    highlighted = marks.draw_outlines(ax, chosen, colors, width=_HIGHLIGHT_WIDTH)
    kind = "ROI" if dim == n.ROI else "tracked ROI"
    words = [f"{kind} {label}" for label in labels]
    words = words if len(colors) == len(words) else [marks.counted(len(labels), "highlighted ")]
    entries = list(zip(words, colors, strict=True))
    if others := pixels.n_rois - len(labels):
        entries.append((marks.counted(others, "other "), color))
    parts.beside_legend(ax, [marks.line_for_legend(*one) for one in entries])
    if zoom:
        _zoom(ax, pixels, np.isin(pixels.roi, positions))
        # Few are in sight: thin lines would be lost on the image.
        marks.stand_out(contours, _ZOOMED_WIDTH, on_image=projection)
        marks.stand_out(highlighted, 1.5 * _ZOOMED_WIDTH, on_image=projection)
    return Artists(contours=contours, highlighted=highlighted, image=image)


def max_projection(ds: xr.Dataset, ax: "Axes | None" = None, *, contours: bool = True) -> Artists:
    """Draw the maximum projection of the recording, under the contours of the ROIs.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or its tracked ROIs (:func:`oscaxr.tracked`).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    contours : bool, optional
        Whether to draw the contours.

    Returns
    -------
    Artists
        ``image``, and ``contours``, a collection of one path an ROI, or None.

    Raises
    ------
    MissingVariableError
        If the session has no projection, or no masks for the contours.
    PlotInputError
        If it is not a Dataset.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The grays lie between the 0.1st and the 99.9th percentile of the image.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> max_projection(ds, Figure().subplots()).image.get_array().shape
    (512, 512)
    """
    if contours:
        drawn = roi_contours(ds, ax, projection=True)
        return Artists(image=drawn.image, contours=drawn.contours)
    require_session(ds, [n.MAX_PROJECTION], "the maximum projection")
    ax = parts.own_axes(ax, marks.FIELD_SIZE)
    image = _draw_projection(ax, ds)
    marks.label_field(ax, image.get_size())
    parts.say_session(ax, ds)
    return Artists(image=image, contours=None)


def _labels(highlight: Any) -> list[Any]:
    """Return the labels that were given, one or several."""
    if np.ndim(highlight) == 0 and not isinstance(highlight, Iterable):
        return [highlight]
    return [highlight] if isinstance(highlight, str) else list(highlight)


def _position(masks: xr.DataArray, dim: str, label: Any) -> int:
    """Return where an ROI is along its dim."""
    labels = masks[dim].values
    found = np.flatnonzero(labels == label) if np.ndim(label) == 0 else np.empty(0, int)
    if found.size != 1:
        raise CriterionError(
            f"{option('highlight', label)} is not one {dim} here; there are {len(labels)}: "
            f"{few(labels)}"
        )
    return int(found[0])


def _draw_projection(ax: "Axes", ds: xr.Dataset) -> "AxesImage":
    image = ds[n.MAX_PROJECTION]
    if set(image.dims) != {n.HEIGHT, n.WIDTH}:
        raise MissingVariableError(
            f"{n.MAX_PROJECTION!r} has the dims {list(image.dims)}; they should be "
            f"{[n.HEIGHT, n.WIDTH]}"
        )
    values = image.transpose(n.HEIGHT, n.WIDTH).values
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, _PROJECTION_PERCENTILES) if known.size else (0, 1)
    return ax.imshow(values, cmap="gray", vmin=low, vmax=high)


def _zoom(ax: "Axes", pixels: marks.MaskPixels, own: npt.NDArray[np.bool_]) -> None:
    """Show a square about some pixels, in the field as far as it fits."""
    y, x = pixels.y[own], pixels.x[own]
    size = max(np.ptp(y), np.ptp(x)) + 1
    half = size / 2 + max(_MARGIN_PX, _MARGIN * size)
    limits = []
    for place, length in ((y, pixels.shape[0]), (x, pixels.shape[1])):
        middle = (place.min() + place.max()) / 2
        if 2 * half < length:
            middle = np.clip(middle, half - 0.5, length - 0.5 - half)
        limits.append((middle - half, middle + half))
    ax.set_xlim(limits[1])
    ax.set_ylim(limits[0][::-1])
