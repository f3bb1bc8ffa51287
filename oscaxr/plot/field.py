"""Drawing in the microscope's field: painted masks, their contours, the axes in pixels."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from oscaxr.plot.outlines import MaskPixels, outlines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

FIELD_SIZE: Final = (7.0, 5.0)
"""Width and height of a new figure of a square field, in inches, with room for words beside it."""


def layered(
    shape: tuple[int, int], layers: list[tuple[npt.NDArray[np.bool_], Any, float]]
) -> npt.NDArray[np.float64]:
    """Paint colours over each other on white."""
    # Colours, unlike numbers, may be averaged when an image is drawn smaller than it is.
    from matplotlib.colors import to_rgb

    image = np.ones((*shape, 4))
    image[..., 3] = 0
    for inside, color, cover in layers:
        image[inside, :3] = cover * np.array(to_rgb(color)) + (1 - cover) * image[inside, :3]
        image[inside, 3] = 1
    return image


def draw_outlines(
    ax: "Axes", pixels: MaskPixels, *, color: Any, label: str = "", thicker: float = 1.0
) -> "PathCollection":
    """Draw the line around each mask."""
    from matplotlib.collections import PathCollection

    # Hundreds of contours are told apart only if they are thin.
    width = float(np.clip(12 / np.sqrt(max(1, pixels.n_rois)), 0.5, 1.0)) * thicker
    contours = PathCollection(
        outlines(pixels), facecolors="none", edgecolors=color, linewidths=width,
        capstyle="projecting", snap=False, zorder=2, label=label,
    )  # fmt: skip
    ax.add_collection(contours, autolim=False)
    return contours


def rois_in_words(count: int, kind: str = "") -> str:
    """Say how many ROIs there are of a kind."""
    return f"{count:,} {kind}ROI{'' if count == 1 else 's'}"


def line_for_legend(drawn: "PathCollection", color: Any) -> "Line2D":
    """Return a line that stands for contours in a legend, which cannot show these."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=str(drawn.get_label()))


def label_field(ax: "Axes", shape: tuple[int, ...]) -> None:
    """Show the whole field, row 0 on top, and name its axes."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.set_xlabel("column (px)")
    ax.set_ylabel("row (px)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
