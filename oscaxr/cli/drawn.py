"""What a figure shows, as words and numbers, for ``oscaxr plot --json``."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels_of(figure: "Figure") -> list[dict[str, Any]]:
    """Return what each panel shows, in the order in which they were drawn."""
    return [_panel(ax) for ax in figure.axes if ax.has_data()]


def _panel(ax: "Axes") -> dict[str, Any]:
    legend = ax.get_legend()
    titles = [ax.get_title(side) for side in ("left", "center", "right")]
    return {
        "title": ", ".join(filter(None, titles)),
        "x": ax.get_xlabel(),
        "y": ax.get_ylabel(),
        "legend": [] if legend is None else [words.get_text() for words in legend.get_texts()],
        # Those without a name (of matplotlib's own making) mark events and levels.
        "lines": [
            {"name": str(line.get_label()), "x": line.get_xdata(), "y": line.get_ydata()}
            for line in ax.get_lines()
            if np.size(line.get_xdata()) > 2
        ],
        "images": [
            {
                "shape": list(np.asarray(image.get_array()).shape[:2]),
                "lowest_color": image.get_clim()[0],
                "highest_color": image.get_clim()[1],
            }
            for image in ax.get_images()
        ],
        "contours": sum(len(part.get_paths()) for part in ax.collections if _is_contours(part)),
    }


def _is_contours(part: Any) -> bool:
    from matplotlib.collections import PathCollection

    return isinstance(part, PathCollection) and not np.any(np.asarray(part.get_offsets()))
