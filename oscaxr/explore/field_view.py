"""The microscope's field: the projection, and the ROIs' outlines coloured by a number of each."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xarray as xr
from bokeh.events import Tap
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper

from oscaxr.explore.looks import (
    MISSING,
    Array,
    Look,
    color_map,
    colors_of,
    figure,
    style_legend,
    words_inside,
)
from oscaxr.explore.view import Number
from oscaxr.model import names as n
from oscaxr.plot import registered_masks, roi_contours

NUMBER_LABELS: Final[dict[Number, str]] = {
    "response": "mean response in the window",
    "difference": "difference of responses",
    "usi": "unexpected-stimulus index",
    "snr": "signal-to-noise ratio",
    "area": "area (px)",
    "tracking": "tracked or not",
}
_DIVERGING: Final = ("response", "difference", "usi")
_PROJECTION_PERCENTILES: Final = (0.1, 99.9)
TRACKED: Final = ("#999999", "#E69F00")

Outlines = tuple[list[Array], list[Array]]


def outlines(ds: xr.Dataset) -> Outlines:
    """Return the outline of each ROI, columns and rows; parts of one are divided by NaN."""
    from matplotlib.figure import Figure

    paths = roi_contours(ds, Figure().subplots()).contours.get_paths()
    return _lines(paths)


def registered_outlines(sessions: list[xr.Dataset], matches: xr.Dataset) -> dict[str, Outlines]:
    """Return the outlines of other sessions in the field of the one that a matching file is of."""
    from matplotlib.figure import Figure

    drawn = registered_masks(sessions, Figure().subplots(), matrices=matches)
    others = {name: one for name, one in drawn.contours.items() if "(target)" not in name}
    return {name: _lines(one.get_paths()) for name, one in others.items()}


def _lines(paths: Any) -> Outlines:
    xs, ys = [], []
    for path in paths:
        # A part begins where the pen is lifted.
        begins = np.flatnonzero(np.asarray(path.codes) == path.MOVETO)[1:]
        points = _corners(np.insert(path.vertices, begins, np.nan, axis=0))
        xs.append(points[:, 0])
        ys.append(points[:, 1])
    return xs, ys


def _corners(points: Array) -> Array:
    """Leave out the points of a line between its corners: it runs along the edges of pixels."""
    step = np.diff(points, axis=0)
    turns = step[:-1, 0] * step[1:, 1] != step[:-1, 1] * step[1:, 0]
    return points[np.concatenate([[True], turns, [True]])] if len(points) > 2 else points


class LinesAround:
    """Outlines, to be asked which of them lie around a place."""

    def __init__(self, lines: Outlines) -> None:
        self._xs, self._ys = (
            np.concatenate([np.empty(0), *(np.append(one, np.nan) for one in side)])
            for side in lines
        )
        self._owner = np.repeat(np.arange(len(lines[0])), [len(one) + 1 for one in lines[0]])

    def __call__(self, x: float, y: float) -> Array:
        """Return the numbers of the outlines that a place lies within."""
        # Within is where a line from the place to the left crosses an outline an odd number of
        # times.
        xs, ys, owner = self._xs, self._ys, self._owner
        between = (ys[:-1] > y) != (ys[1:] > y)
        x0, y0, x1, y1 = (side[between] for side in (xs[:-1], ys[:-1], xs[1:], ys[1:]))
        crossed = x0 + (x1 - x0) * (y - y0) / (y1 - y0) < x
        return np.flatnonzero(np.bincount(owner[:-1][between][crossed]) % 2)


class Field:
    """The figure of the field."""

    def __init__(self, look: Look, ds: xr.Dataset) -> None:
        self._look = look
        self._ds = ds
        self._height = ds.sizes.get(n.HEIGHT, 512)
        width = ds.sizes.get(n.WIDTH, 512)
        self._marked: tuple[int, ...] = ()
        self._around = LinesAround(([], []))
        self.figure = made = figure(
            look, "Field", name="field_figure", match_aspect=True,
            tools="pan,wheel_zoom,box_zoom,reset", active_scroll="wheel_zoom",
        )  # fmt: skip
        made.x_range.range_padding = made.y_range.range_padding = 0
        made.xaxis.visible = made.yaxis.visible = False
        made.grid.visible = False
        made.title.text = f"Field of {width} x {self._height} px"
        self._projection(ds, width)
        self._source = ColumnDataSource(
            {"xs": [], "ys": [], "color": [], "roi": [], "tracked": [], "value": []}, name="field"
        )
        renderer = made.patches(
            "xs", "ys", source=self._source, fill_color="color", fill_alpha=0.35,
            line_color="color", line_width=1.2,
        )  # fmt: skip
        # Above all others, which need not be drawn again when an ROI is chosen.
        self._chosen = ColumnDataSource(
            {"xs": [], "ys": [], "roi": [], "color": []}, name="chosen_rois"
        )
        made.patches(
            "xs", "ys", source=self._chosen, fill_color="color", fill_alpha=0.5,
            line_color="color", line_width=3, level="overlay",
        )  # fmt: skip
        self._others = ColumnDataSource(
            {"xs": [], "ys": [], "color": [], "session": []}, name="other_days"
        )
        made.multi_line(
            "xs", "ys", source=self._others, color="color", line_width=1.5, line_dash="dashed",
            legend_field="session",
        )  # fmt: skip
        (legend,) = made.legend
        style_legend(legend, look)
        made.center.remove(legend)
        made.add_layout(legend, "below")
        legend.orientation = "horizontal"
        made.add_tools(
            HoverTool(
                renderers=[renderer],
                tooltips=[("ROI", "@roi"), ("tracked", "@tracked"), ("value", "@value{0.000}")],
            )
        )
        self._mapper = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=1)
        self._bar = ColorBar(
            color_mapper=self._mapper, width=10, padding=2, label_standoff=4, title="",
            background_fill_color=look.background, major_label_text_color=look.text,
            major_label_text_font_size="11px", bar_line_color=None, title_text_color=look.text,
            title_text_font_size="11px", title_text_font_style="normal", visible=False,
        )  # fmt: skip
        made.add_layout(self._bar, "right")
        self._words = words_inside(made, look)

    def _projection(self, ds: xr.Dataset, width: int) -> None:
        if n.MAX_PROJECTION not in ds:
            self.figure.background_fill_color = "#000000"
            return
        image = ds[n.MAX_PROJECTION].transpose(n.HEIGHT, n.WIDTH).values.astype(np.float32)
        low, high = np.percentile(image[np.isfinite(image)], _PROJECTION_PERCENTILES)
        mapper = LinearColorMapper(palette="Greys256", low=float(low), high=float(high) or 1.0)
        self.figure.image(
            image=[image[::-1]], x=-0.5, y=-0.5, dw=width, dh=self._height, color_mapper=mapper
        )

    def on_choice(self, act: Callable[[tuple[int, ...]], None]) -> None:
        """Have a function called with the ROIs that are clicked; Shift adds to them."""

        def tapped(event: Tap) -> None:
            rois = [self._source.data["roi"][k] for k in self._around(event.x, event.y)]
            if (event.modifiers or {}).get("shift"):
                rois = list(dict.fromkeys([*self._marked, *rois]))
            act(tuple(rois))

        self.figure.on_event(Tap, tapped)

    def show_outlines(self, found: Outlines) -> None:
        """Show the outlines of all ROIs."""
        xs, ys = found
        rois = self._ds[n.ROI].values
        ids = self._ds[n.TRACKING_ID].values
        self._source.data = {
            "xs": xs,
            "ys": [self._height - 1 - y for y in ys],
            "color": [MISSING] * len(xs),
            "roi": rois.tolist(),
            "tracked": ["no" if one < 0 else f"yes, {one}" for one in ids.tolist()],
            "value": np.full(len(xs), np.nan),
        }
        self._around = LinesAround((self._source.data["xs"], self._source.data["ys"]))
        self._words.text = "" if len(xs) else "this session has no ROIs"

    def show_others(self, found: dict[str, Outlines]) -> None:
        """Show the outlines of other days in this field, a colour each."""
        colors = colors_of(self._look, len(found) + 1)[1:]
        rows = [
            (x, self._height - 1 - y, color, name)
            for (name, lines), color in zip(found.items(), colors, strict=True)
            for x, y in zip(*lines, strict=True)
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
        self._others.data = dict(zip(("xs", "ys", "color", "session"), columns, strict=True))

    def say(self, words: str) -> None:
        """Say why there are no outlines."""
        self._words.text = words

    def show_numbers(self, number: Number, values: Array, rois: Array) -> None:
        """Colour the outlines by a number of each ROI."""
        here = np.asarray(self._source.data["roi"])
        if not here.size:
            return
        # By label: results leave out ROIs that are listed as invalid.
        by_roi = dict(zip(rois.tolist(), np.asarray(values, float).tolist(), strict=True))
        shown = np.array([by_roi.get(roi, np.nan) for roi in here.tolist()])
        known = np.isfinite(shown)
        low, high, name = limits_of(number, shown[known])
        self._bar.visible = number != "tracking"
        self.figure.title.text = f"ROIs by {NUMBER_LABELS[number]}"
        if number == "tracking":
            colors = [TRACKED[int(value >= 0)] for value in shown]
            count = int((shown >= 0).sum())
            self.figure.title.text = f"{count:,} of {len(shown):,} ROIs are tracked (orange)"
        else:
            places = np.clip((np.where(known, shown, low) - low) / (high - low), 0, 1)
            colors = color_map(name, places)
            colors = [c if ok else MISSING for c, ok in zip(colors, known, strict=True)]
            self._mapper.update(palette=color_map(name, np.linspace(0, 1, 256)), low=low, high=high)
        self._source.patch(
            {"color": [(slice(len(colors)), colors)], "value": [(slice(len(shown)), shown)]}
        )

    def mark(self, rois: tuple[int, ...]) -> None:
        """Mark the chosen ROIs, each in the colour of its trace."""
        self._marked = rois
        colors = dict(zip(rois, colors_of(self._look, len(rois)), strict=True))
        drawn = self._source.data
        places = [drawn["roi"].index(roi) for roi in rois if roi in drawn["roi"]]
        marked = {name: [drawn[name][k] for k in places] for name in ("xs", "ys", "roi")}
        marked["color"] = [colors[roi] for roi in marked["roi"]]
        if marked["roi"] != self._chosen.data["roi"]:
            self._chosen.data = marked


def limits_of(number: Number, known: Array) -> tuple[float, float, str]:
    """Return the ends of the colours, and which colours."""
    if number in _DIVERGING:
        limit = float(np.percentile(np.abs(known), 99)) if known.size else 1.0
        return -(limit or 1.0), limit or 1.0, "RdBu_r"
    low, high = np.percentile(known, (1, 99)).tolist() if known.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0, "cividis"
