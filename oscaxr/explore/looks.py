"""How figures look: light and dark, colours that all people can tell apart, words where empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    Label,
    Legend,
    Node,
    Range1d,
    Span,
)
from bokeh.plotting import figure as bokeh_figure

from oscaxr.model import names as n
from oscaxr.plot.axes import PALETTE, STIMULUS_COLORS

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Look:
    """The colours of a page."""

    background: str
    text: str
    faint: str
    grid: str
    line: str
    groups: tuple[str, ...]
    stimuli: Mapping[str, str]


# The palette of the pictures; on black, lighter shades of its darker colours.
LIGHT: Final = Look(
    "#ffffff", "#222222", "#6b6b6b", "#e6e6e6", "#404040", PALETTE,
    {**STIMULUS_COLORS, n.GRAYSCREEN: "#d9d9d9"},
)  # fmt: skip
DARK: Final = Look(
    "#181818", "#e8e8e8", "#a6a6a6", "#34373c", "#cfcfcf",
    ("#56B4E9", "#FF9240", "#2FC79A", "#E39AC0", "#9DB7FF", "#F0C000"),
    {n.GABORS: "#1F9E78", n.VISFLOW: "#4A9CCB", n.GRAYSCREEN: "#4a4d52"},
)  # fmt: skip
MISSING: Final = "#999999"
# Of a legend beside which nothing lies over the widgets, of its colours, and of a letter: the
# browser draws legends as wide as they are, also over what is beside the figure.
_LEGEND_WIDTH: Final = 440
_SAMPLE_WIDTH: Final = 33
_LETTER_WIDTH: Final = 5.5
WORDS_WIDTH: Final = 60
"""So many letters fit into a figure."""
# Of ticks and six characters beside them.
_TICKS_WIDTH: Final = 46


def look_of(is_dark: bool) -> Look:
    """Return the colours of a dark or a light page."""
    return DARK if is_dark else LIGHT


def colors_of(look: Look, count: int) -> list[str]:
    """Return the colours of so many groups."""
    if count <= len(look.groups):
        return list(look.groups[:count])
    return color_map("cividis", np.linspace(0.15 if look is DARK else 0, 0.95, count))


def color_map(name: str, places: Array) -> list[str]:
    """Return the colours at places, 0 to 1, of a colour map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in colormaps[name](np.asarray(places))]


def figure(look: Look, title: str, **options: Any) -> Any:
    """Make an empty figure in the colours of the page."""
    usual = {
        "sizing_mode": "stretch_both",
        "toolbar_location": None,
        "tools": "pan,xwheel_zoom,box_zoom,reset",
        "active_scroll": "xwheel_zoom",
        "min_border": 4,
        "title": title,
        "output_backend": "canvas",
    }
    made = bokeh_figure(**{**usual, **options})
    made.background_fill_color = made.border_fill_color = look.background
    made.outline_line_color = None
    made.title.text_color = look.text
    made.title.text_font_size = "13px"
    made.title.standoff = 4
    for axis in made.axis:
        axis.axis_label_text_color = axis.major_label_text_color = look.text
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "12px"
        axis.major_label_text_font_size = "11px"
        axis.axis_line_color = axis.major_tick_line_color = look.faint
        axis.minor_tick_line_color = None
        axis.axis_label_standoff = 4
    made.yaxis.ticker.desired_num_ticks = 5
    made.grid.grid_line_color = look.grid
    made.xgrid.grid_line_color = None
    return made


def keep_width(made: Any, ticks: int = _TICKS_WIDTH) -> None:
    """Give the vertical axis of a figure one width, whatever numbers stand at its ticks.

    Where an axis changes its width, the browser lays out the whole page anew, not the figure alone.
    """
    made.yaxis.axis_label_standoff_mode = "axis"
    made.yaxis.axis_label_standoff = ticks


def fit(made: Any, axis: str, parts: Sequence[Array]) -> None:
    """Have an axis of a figure, ``x`` or ``y``, go over the values that are drawn, if any.

    It is found here, since an axis whose range the browser finds has no size before there are any.
    """
    known = [part[np.isfinite(part)] for part in parts]
    ends = [float(end) for part in known if part.size for end in (part.min(), part.max())]
    if axis == "y":
        made.yaxis.major_label_text_alpha = float(bool(ends))
        made.yaxis.major_tick_line_alpha = float(bool(ends))
        made.ygrid.visible = bool(ends)
    if ends:
        low, high = min(ends), max(ends)
        margin = 0.05 * (high - low) or 1.0
        start, end = low - margin, high + margin
        getattr(made, f"{axis}_range").update(
            start=start, end=end, reset_start=start, reset_end=end
        )


def words_inside(made: Any, look: Look) -> Label:
    """Return the words in the middle of a figure, to be filled where it has nothing to show."""
    label = Label(
        x=Node.frame.center, y=Node.frame.center, text="", text_align="center",
        text_baseline="middle", text_color=look.faint, text_font_size="13px",
        # They are read above an image, too.
        background_fill_color=look.background, padding=3,
    )  # fmt: skip
    made.add_layout(label)
    return label


def style_legend(legend: Legend, look: Look) -> None:
    """Give a legend the colours of the page."""
    legend.background_fill_color = look.background
    legend.background_fill_alpha = 0.0
    legend.border_line_color = None
    legend.label_text_color = look.text
    legend.label_text_font_size = "12px"
    legend.glyph_height = 12
    legend.glyph_width = 18
    legend.padding = legend.margin = 2
    legend.spacing = 10
    legend.ncols = columns_of([])
    # As high as a line also where it is empty.
    legend.styles = {"min-height": "14px"}


def columns_of(names: Sequence[str]) -> int:
    """Return in how many columns the names of a legend stand."""
    longest = max(map(len, names), default=0)
    return max(1, min(4, int(_LEGEND_WIDTH / (_SAMPLE_WIDTH + _LETTER_WIDTH * longest))))


def legend_above(made: Any, look: Look) -> None:
    """Put the legend of a figure above it, in the colours of the page."""
    (legend,) = made.legend
    style_legend(legend, look)
    made.center.remove(legend)
    made.add_layout(legend, "above")
    legend.orientation = "horizontal"


class GroupLines:
    """A figure of one line a group over the time from the event, with its error as a band.

    One that is low, beside another of the same groups, has a legend only if that is one line.
    """

    def __init__(self, look: Look, title: str, name: str, *, is_low: bool = False) -> None:
        self._look = look
        self._is_low = is_low
        ranges = {"x_range": Range1d(-1, 1), "y_range": Range1d(0, 1)}
        self.figure = made = figure(look, title, **ranges)
        keep_width(made)
        fit(made, "y", [])
        made.yaxis.axis_label = " "
        made.xaxis.axis_label = "time from the start of the segment (s)"
        self._bands = ColumnDataSource({"xs": [], "ys": [], "color": []})
        self._lines = ColumnDataSource({"xs": [], "ys": [], "color": [], "group": []}, name=name)
        made.patches("xs", "ys", source=self._bands, color="color", alpha=0.25, line_width=0)
        made.multi_line(
            "xs", "ys", source=self._lines, color="color", line_width=2, legend_field="group"
        )
        legend_above(made, look)
        self._event = Span(
            location=0, dimension="height", line_color=look.faint, line_dash="dashed", visible=False
        )
        made.add_layout(self._event)
        self.window = BoxAnnotation(
            left=0, right=0, fill_color=look.faint, fill_alpha=0.12, line_width=0, visible=False
        )
        made.add_layout(self.window)
        self._words = words_inside(made, look)

    def say(self, words: str) -> None:
        """Show words, and no lines."""
        fit(self.figure, "y", [])
        self._event.visible = False
        self._lines.data = {"xs": [], "ys": [], "color": [], "group": []}
        self._bands.data = {"xs": [], "ys": [], "color": []}
        self._words.text = fill(words, WORDS_WIDTH)

    def show(
        self, found: xr.Dataset, names: Sequence[str], prefix: str = "", *, label: str
    ) -> None:
        """Show the statistics of groups, (group, rel_time)."""
        middle, low, high = edges(found, prefix)
        time = middle[n.REL_TIME].values
        shades = colors_of(self._look, len(names))
        known = [k for k in range(len(names)) if np.isfinite(middle.values[k]).any()]
        self._lines.data = {
            "xs": [time] * len(known),
            "ys": [middle.values[k] for k in known],
            "color": [shades[k] for k in known],
            "group": [names[k] for k in known],
        }
        legend = self.figure.legend[0]
        columns = columns_of(self._lines.data["group"])
        legend.update(ncols=columns, visible=not self._is_low or len(known) <= columns)
        whole = [k for k in known if np.isfinite(low.values[k]).all()]
        self._bands.data = {
            "xs": [np.concatenate([time, time[::-1]])] * len(whole),
            "ys": [np.concatenate([low.values[k], high.values[k][::-1]]) for k in whole],
            "color": [shades[k] for k in whole],
        }
        fit(self.figure, "x", [time])
        fit(self.figure, "y", [*self._lines.data["ys"], *self._bands.data["ys"]])
        self.figure.yaxis.axis_label = label
        self._event.visible = bool(known)
        self._words.text = "" if known else "no such segments in this session"


def edges(found: xr.Dataset, prefix: str) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return the middle of a statistic, and the edges of its error."""
    start = f"{prefix}_" if prefix else ""
    middle = found[start + ("mean" if f"{start}mean" in found else "median")]
    if f"{start}q25" in found:
        return middle, found[f"{start}q25"], found[f"{start}q75"]
    error = next(found[start + one] for one in ("sem", "std", "mad") if start + one in found)
    return middle, middle - error, middle + error


__all__ = [
    "GroupLines",
    "Look",
    "color_map",
    "colors_of",
    "edges",
    "figure",
    "fit",
    "keep_width",
    "look_of",
    "words_inside",
]
