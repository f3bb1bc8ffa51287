"""ROI masks in the microscope's field: their pixels, the lines around them, how both are drawn."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import MissingVariableError, SchemaError
from oscaxr.measure.quality import roi_dim
from oscaxr.model import names as n
from oscaxr.plot.axes import few_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D
    from matplotlib.path import Path


Integers = npt.NDArray[np.int64]

# Masks are read this many bytes at a time, and only the places of their pixels are kept.
_BLOCK_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, eq=False)
class MaskPixels:
    """The pixels of all masks, in the order of ROIs, rows, columns."""

    roi: Integers
    y: Integers
    x: Integers
    n_rois: int
    shape: tuple[int, int]

    def counts(self, chosen: npt.NDArray[np.bool_] | None = None) -> Integers:
        """Return how many ROIs have each pixel of the field."""
        kept = slice(None) if chosen is None else chosen[self.roi]
        place = self.y[kept] * self.shape[1] + self.x[kept]
        height, width = self.shape
        return np.bincount(place, minlength=height * width).reshape(height, width)

    def centroids(self) -> npt.NDArray[np.float64]:
        """Return the centroid of each ROI, (roi, 2): row and column; NaN for an empty mask."""
        areas = np.bincount(self.roi, minlength=self.n_rois)
        with np.errstate(invalid="ignore"):
            sums = [np.bincount(self.roi, part, minlength=self.n_rois) for part in (self.y, self.x)]
            return np.stack(sums, axis=1) / areas[:, np.newaxis]


def mask_pixels(masks: xr.DataArray) -> MaskPixels:
    """Find the pixels of ROI masks."""
    rows = roi_dim(masks)
    wanted = (rows, n.HEIGHT, n.WIDTH)
    if set(masks.dims) != set(wanted):
        raise MissingVariableError(f"masks have the dims {masks.dims}, not {wanted}")
    if masks.dtype.kind not in "bui":
        raise SchemaError(f"masks are flags, not {masks.dtype}: say what counts, as masks >= 0.1")
    variable = masks.variable.transpose(*wanted)
    n_rois, height, width = variable.shape
    if not height * width:
        raise SchemaError(f"the field of the masks has no pixels: {dict(masks.sizes)}")
    step = max(1, _BLOCK_BYTES // (height * width * masks.dtype.itemsize))
    places = [
        start * height * width + np.flatnonzero(variable[start : start + step].values)
        for start in range(0, n_rois, step)
    ]
    found = np.concatenate(places) if places else np.empty(0, np.int64)
    roi, place = np.divmod(found, height * width)
    y, x = np.divmod(place, width)
    return MaskPixels(roi, y, x, n_rois, (height, width))


def outlines(pixels: MaskPixels) -> "list[Path]":
    """Return the closed lines around the mask of each ROI, along the edges of its pixels."""
    from matplotlib.path import Path

    starts = np.searchsorted(pixels.roi, np.arange(1, pixels.n_rois))
    parts = zip(np.split(pixels.y, starts), np.split(pixels.x, starts), strict=True)
    return [_outline(y, x) if y.size else Path(np.empty((0, 2))) for y, x in parts][: pixels.n_rois]


def _outline(y: Integers, x: Integers) -> "Path":
    from contourpy import LineType, contour_generator
    from matplotlib.path import Path

    # A margin about the mask, so that its border is an edge too.
    top, left = y.min() - 1, x.min() - 1
    mask = np.zeros((y.max() - top + 2, x.max() - left + 2))
    mask[y - top, x - left] = 1
    # Each pixel is given by its four corners: neighbours have two of them at the same place, which
    # is therefore where the line between them runs.
    rows, columns = (np.arange(size + 1).repeat(2)[1:-1] - 0.5 for size in mask.shape)
    corners = mask.repeat(2, axis=0).repeat(2, axis=1)
    lines: Any = contour_generator(
        left + columns, top + rows, corners, line_type=LineType.ChunkCombinedCode
    ).lines(0.5)
    (points,), (codes,) = lines
    moves = (np.diff(points, axis=0) != 0).any(axis=1) | (codes[1:] != Path.LINETO)
    kept = np.append(True, moves)
    return Path(points[kept], codes[kept])


FIELD_SIZE: Final = (7.0, 5.0)
"""Width and height of a new figure of a square field, in inches, with room for words beside it."""


def layered(
    shape: tuple[int, int], layers: Iterable[tuple[npt.NDArray[np.bool_], Any]], cover: float = 1.0
) -> npt.NDArray[np.float64]:
    """Paint colours over each other on white, each covering so much of what is below."""
    # Colours, unlike numbers, may be averaged when an image is drawn smaller than it is.
    from matplotlib.colors import to_rgb

    image = np.ones((*shape, 4))
    image[..., 3] = 0
    for inside, color in layers:
        image[inside, :3] = cover * np.array(to_rgb(color)) + (1 - cover) * image[inside, :3]
        image[inside, 3] = 1
    return image


def draw_outlines(
    ax: "Axes",
    paths: "list[Path]",
    color: Any,
    *,
    label: str = "",
    thicker: float = 1.0,
    width: float | None = None,
) -> "PathCollection":
    """Draw the lines around masks."""
    from matplotlib.collections import PathCollection

    if width is None:
        # Hundreds of contours are told apart only if they are thin.
        width = float(np.clip(12 / np.sqrt(max(1, len(paths))), 0.5, 1.0)) * thicker
    contours = PathCollection(
        paths, facecolors="none", edgecolors=color, linewidths=width,
        joinstyle="miter", snap=False, zorder=2, label=label,
    )  # fmt: skip
    ax.add_collection(contours, autolim=False)
    return contours


def counted(count: int, kind: str = "") -> str:
    """Say how many ROIs there are of a kind."""
    return f"{count:,} {kind}ROI{'' if count == 1 else 's'}"


def stand_out(drawn: "PathCollection", width: float, *, on_image: bool) -> None:
    """Make contours as wide as this, with a dark edge where they are drawn over an image."""
    from matplotlib.patheffects import withStroke

    drawn.set_linewidth(width)
    if on_image:
        drawn.set_path_effects([withStroke(linewidth=2.2 * width, foreground="k")])


def line_for_legend(words: str, color: Any) -> "Line2D":
    """Return a line that stands for contours in a legend, which cannot show these."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=words)


def label_field(ax: "Axes", shape: tuple[int, ...]) -> None:
    """Show the whole field, row 0 on top, and name its axes."""
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.set_xlabel("column (px)")
    ax.set_ylabel("row (px)")
    for axis in (ax.xaxis, ax.yaxis):
        few_ticks(axis)
