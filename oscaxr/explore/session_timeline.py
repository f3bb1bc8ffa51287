"""One time axis: what was shown, running, pupil, population dF/F and the chosen ROIs."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, FixedTicker, Range1d

from oscaxr.explore.extremes import decimated, middles, part_length
from oscaxr.explore.looks import (
    Array,
    Look,
    colors_of,
    figure,
    fit,
    keep_width,
    legend_above,
    words_inside,
)
from oscaxr.explore.numbers import MEAN_DFF
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION
from oscaxr.model.signals import runs
from oscaxr.plot.axes import axis_label

_ROWS: Final = {n.RUN_VELOCITY: n.STIM_TIME, n.PUPIL_DIAMETER: n.TIME}
_LEFT: Final = 86
# Of ticks and the name of an ROI of four digits beside them.
_TICKS_WIDTH: Final = 54
_NO_FRAMES: Final = "this recording has no frames"
_CHOOSE: Final = "choose ROIs: in the field, or by their numbers"


class Timeline:
    """The figures of a session's time axis, one above the other."""

    def __init__(self, look: Look, ds: xr.Dataset, zoom: tuple[float, ...] = ()) -> None:
        self._look = look
        self._traces: dict[str, tuple[Array, Array]] = {}
        self._rois: dict[int, tuple[Array, Array]] = {}
        self._minutes = ds[n.TIME].values / 60
        self._gap = "" if ds.sizes[n.ROI] else "this session has no ROIs"
        self._gap = self._gap if ds.sizes[n.TIME] else _NO_FRAMES
        edges = [ds[name].values[[0, -1]] / 60 for name in (n.TIME, n.STIM_TIME) if ds.sizes[name]]
        low, high = (float(np.min(edges)), float(np.max(edges))) if edges else (0.0, 1.0)
        # A little more on both sides, so that lines at the ends are seen.
        margin = (high - low) * 0.005
        whole = (low - margin, high + margin)
        start, end = np.clip(np.divide(zoom, 60), *whole) if zoom else whole
        # A part that is not of this session shows all of it.
        start, end = (float(start), float(end)) if start < end else whole
        self.range = Range1d(
            start, end, reset_start=whole[0], reset_end=whole[1], bounds=whole, name="time_range"
        )
        self._sources: dict[str, ColumnDataSource] = {}
        self._words: dict[str, Any] = {}
        self.figures = [self._stimulus(ds)]
        for name, clock in _ROWS.items():
            self._row(name, axis_label(ds[name].attrs, name) if name in ds else name)
            if name in ds:
                self._traces[name] = (ds[clock].values / 60, ds[name].values)
                self._words[name].text = "" if ds.sizes[clock] else _NO_FRAMES
            else:
                self._words[name].text = f"this session has no {SESSION[name].long_name}"
        self._row(MEAN_DFF, "mean dF/F")
        self._words[MEAN_DFF].text = "reading the whole recording ..."
        self.figures.append(self._roi_row())
        self.redraw()

    def _figure(self, label: str, height: int, **options: Any) -> Any:
        usual = {"x_range": self.range, "height": height, "min_height": height}
        usual |= {"sizing_mode": "stretch_width", "tools": "xpan,xwheel_zoom,xbox_zoom,reset"}
        made = figure(self._look, "", **{**usual, "active_drag": "xpan", **options})
        made.title.visible = False
        made.yaxis.axis_label = label
        made.yaxis.axis_label_text_font_size = "11px"
        made.xaxis.visible = False
        keep_width(made, _TICKS_WIDTH)
        # The same for all, so that their time axes lie above each other.
        made.min_border_left = _LEFT
        made.yaxis.ticker.desired_num_ticks = 3
        return made

    def _row(self, name: str, label: str) -> None:
        made = self._figure(label.replace(" (", "\n("), 100)
        self._sources[name] = ColumnDataSource({"x": [], "y": []}, name=f"trace {name}")
        made.line("x", "y", source=self._sources[name], color=self._look.line, line_width=1)
        self._words[name] = words_inside(made, self._look)
        self.figures.append(made)

    def _stimulus(self, ds: xr.Dataset) -> Any:
        made = self._figure("stimulus", 76, y_range=(0, 1))
        made.yaxis.ticker = FixedTicker(ticks=[])
        made.ygrid.grid_line_color = None
        kinds, starts, stops = (
            ds[name].values for name in ("stimulus_type", "start_time", "stop_time")
        )
        for kind, color in self._look.stimuli.items():
            left, right = _joined(starts, stops, kinds == kind)
            made.quad(
                left=left / 60, right=right / 60, bottom=0, top=1, color=color,
                legend_label=n.STIMULUS_WORDS[kind],
            )  # fmt: skip
        left, right = _joined(starts, stops, ds["unexpected"].values == 1)
        made.quad(
            left=left / 60, right=right / 60, bottom=0, top=0.45, fill_color=self._look.text,
            line_color=self._look.text, legend_label="unexpected",
        )  # fmt: skip
        legend_above(made, self._look)
        return made

    def _roi_row(self) -> Any:
        made = self._figure("dF/F of ROIs", 200, sizing_mode="stretch_both", y_range=Range1d(0, 1))
        self._roi_source = ColumnDataSource(
            {"xs": [], "ys": [], "color": [], "roi": []}, name="roi_traces"
        )
        made.multi_line("xs", "ys", source=self._roi_source, color="color", line_width=1)
        self._roi_words = words_inside(made, self._look)
        self._roi_words.text = _CHOOSE
        made.xaxis.visible = True
        made.xaxis.axis_label = "time in the session (min)"
        self._roi_axis = made.yaxis[0]
        # Kept: with another ticker, all models of the page are gone through.
        self._roi_ticker = self._roi_axis.ticker = FixedTicker(ticks=[])
        return made

    @property
    def zoom(self) -> tuple[float, ...]:
        """From when to when the time axis is seen, s; nothing where all of it is."""
        edges = (self.range.start, self.range.end)
        if edges == self.range.bounds:
            return ()
        return tuple(round(60 * edge, 1) for edge in edges)

    def on_zoom(self, act: Callable[[], None]) -> None:
        """Have a function called when the visible range changes."""
        self.range.on_change("start", lambda attr, old, new: act())
        self.range.on_change("end", lambda attr, old, new: act())

    def show_population(self, mean: xr.DataArray) -> None:
        """Show the mean of all ROIs."""
        self._traces[MEAN_DFF] = (self._minutes, mean.values)
        known = np.isfinite(mean.values).any()
        self._words[MEAN_DFF].text = "" if known else self._gap or "no dF/F: all of it is missing"
        self.redraw()

    def say_population(self, words: str) -> None:
        """Say how far the mean of all ROIs has come, or why there is none."""
        self._words[MEAN_DFF].text = words

    def show_rois(self, traces: dict[int, Array]) -> None:
        """Show the traces of the chosen ROIs, one above the other."""
        self._show_rois({roi: (self._minutes, y) for roi, y in traces.items()})

    def show_extremes(self, extremes: dict[int, Array]) -> None:
        """Show the chosen ROIs by the extremes of each part of the whole recording."""
        length = len(self._minutes)
        x = middles(self._minutes, np.arange(0, length, part_length(length)))
        self._show_rois({roi: (x, y) for roi, y in extremes.items()})

    def _show_rois(self, traces: dict[int, tuple[Array, Array]]) -> None:
        self._rois = traces
        self._roi_words.text = self._gap if traces else _CHOOSE
        self._redraw_rois()

    def redraw(self) -> None:
        """Draw what is visible of all traces."""
        for name, (x, y) in self._traces.items():
            shown = decimated(x, y, self.range.start, self.range.end)
            self._sources[name].data = dict(zip(("x", "y"), shown, strict=True))
        self._redraw_rois()

    def _redraw_rois(self) -> None:
        traces = self._rois.values()
        pairs = [decimated(x, y, self.range.start, self.range.end) for x, y in traces]
        spans = [_span(decimated(x, y, -np.inf, np.inf)[1]) for x, y in traces]
        gap = max(spans, default=1.0) or 1.0
        # The first on top.
        levels = [(len(pairs) - 1 - k) * gap for k in range(len(pairs))]
        drawn = {
            "xs": [x for x, _ in pairs],
            "ys": [y + level for (_, y), level in zip(pairs, levels, strict=True)],
            "color": colors_of(self._look, len(pairs)),
            "roi": list(self._rois),
        }
        if _is_same(drawn, self._roi_source.data):
            return
        self._roi_source.data = drawn
        fit(self.figures[-1], "y", drawn["ys"])
        are_several = len(pairs) > 1
        self._roi_ticker.ticks = levels if are_several else _round_values(drawn["ys"])
        self._roi_axis.major_label_overrides = (
            {level: f"ROI {roi}" for level, roi in zip(levels, self._rois, strict=True)}
            if are_several
            else {}
        )
        self._roi_axis.axis_label = (
            f"dF/F, {gap:.2g} between ROIs" if are_several else _label_of_one(list(self._rois))
        )


def _is_same(drawn: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether all traces are drawn already: the browser would draw them anew."""
    return drawn["roi"] == before["roi"] and all(
        np.array_equal(one, other, equal_nan=True)
        for name in ("xs", "ys")
        for one, other in zip(drawn[name], before[name], strict=True)
    )


def _round_values(traces: list[Array]) -> list[float]:
    """Return a few round values along a trace, if there is one."""
    # The package first: the outlines' thread may be importing it, and it imports this module.
    from matplotlib import ticker

    known = [y[np.isfinite(y)] for y in traces]
    return [
        float(value)
        for y in known
        if y.size
        for value in ticker.MaxNLocator(4).tick_values(y.min(), y.max())
    ]


def _label_of_one(rois: list[int]) -> str:
    return f"dF/F of ROI {rois[0]}" if rois else "dF/F of ROIs"


def _span(y: Array) -> float:
    known = y[np.isfinite(y)]
    low, high = np.percentile(known, (0.5, 99.9)) if known.size else (0.0, 1.0)
    return float(high - low)


def _joined(starts: Array, stops: Array, chosen: Array) -> tuple[Array, Array]:
    """Join consecutive segments, so that thousands of them make a few bars."""
    first, count = runs(chosen)
    return starts[first], stops[first + count - 1]
