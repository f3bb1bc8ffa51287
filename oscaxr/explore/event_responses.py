"""Responses to groups of segments: means, a heat map of ROIs, single trials, behaviour."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any, Final

import numpy as np
import xarray as xr
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Span

from oscaxr.explore.looks import (
    WORDS_WIDTH,
    Array,
    GroupLines,
    Look,
    color_map,
    colors_of,
    figure,
    keep_width,
    words_inside,
)
from oscaxr.explore.numbers import BEHAVIOUR, GROUP, N_SEQUENCES
from oscaxr.explore.view import View
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION
from oscaxr.plot.axes import axis_label

_DIVERGING = "RdBu_r"
ERRORS: Final = {"sem": "SEM", "std": "SD", "mad": "MAD", "quartiles": "quartiles"}
"""What errors are called."""
# So many heat maps lie beside each other with axes and whole titles.
_FEW: Final = 2


def named(found: xr.Dataset) -> list[str]:
    """Return the names of groups, with how many sequences each has."""
    counts = found[N_SEQUENCES].values.tolist()
    names = [str(one) for one in found[GROUP].values]
    return [f"{name} (n = {count:,})" for name, count in zip(names, counts, strict=True)]


def what_differs(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin with."""
    least, greatest = min(names), max(names)
    same = [one == other for one, other in zip(least, greatest, strict=False)]
    start = least.rfind(" ", 0, (*same, False).index(False)) + 1
    return [name[start:] for name in names]


def dff_label(view: View) -> str:
    """Return what dF/F is called at an axis, with what was done to it."""
    words = [SESSION[n.DFF].long_name, *["scaled"] * view.scale]
    # Of means this is the same as of each sequence; of medians it is not.
    return ", ".join([*words, *[f"baseline of the {view.stat} subtracted"] * bool(view.baseline)])


def _mapper() -> LinearColorMapper:
    """Return what colours an image whose values are parts of the greatest that is told apart."""
    return LinearColorMapper(
        palette=color_map(_DIVERGING, np.linspace(0, 1, 256)), low=-1, high=1, nan_color="#999999"
    )


def limit_of(values: Array) -> float:
    """Return the greatest value that is told apart by colours."""
    finite = np.abs(values[np.isfinite(values)])
    return (float(np.percentile(finite, 99)) if finite.size else 1.0) or 1.0


class Bar:
    """The colour bar of images; with colours of its own, which alone change with the values.

    Where those of the images changed, the browser would colour them anew for either end.
    """

    def __init__(self, look: Look) -> None:
        self._mapper = _mapper()
        self.model = ColorBar(
            color_mapper=self._mapper, width=10, padding=2, label_standoff=4,
            background_fill_color=look.background, major_label_text_color=look.text,
            major_label_text_font_size="11px", bar_line_color=None,
            title_text_font_size="11px", title_text_font_style="normal", title_standoff=4,
            title_text_color=look.text,
        )  # fmt: skip

    def show(self, limit: float, label: str = "") -> None:
        """Show the values that the ends of the colours are, and of what they are."""
        self._mapper.update(low=-limit, high=limit)
        self.model.title = label


class HeatMap:
    """The mean responses of all ROIs to one group, as rows of an image."""

    def __init__(self, look: Look, *, is_narrow: bool, is_first: bool) -> None:
        self.figure = made = figure(look, "", tools="box_zoom,reset", active_scroll=None)
        made.xaxis.axis_label = "time (s)"
        # All have the same rows.
        self.has_axis = made.yaxis.visible = is_first or not is_narrow
        made.xaxis.ticker.desired_num_ticks = 2 if is_narrow else 6
        made.x_range.range_padding = made.y_range.range_padding = 0
        self._source = ColumnDataSource({"image": [], "x": [], "dw": [], "dh": []}, name="heat_map")
        made.image(
            image="image", x="x", y=0, dw="dw", dh="dh", source=self._source,
            color_mapper=_mapper(),
        )  # fmt: skip
        made.add_layout(
            Span(location=0, dimension="height", line_color="black", line_dash="dashed")
        )
        self._words = words_inside(made, look)

    def show(self, title: str, how: str, values: Any, time: Any, limit: float) -> None:
        """Show the responses, the first row on top, in colours of up to a limit."""
        self.figure.title.text = title
        self.figure.yaxis.axis_label = f"ROIs, sorted {how}"
        half = (time[-1] - time[0]) / max(1, 2 * (len(time) - 1)) or 0.5
        self._source.data = {
            "image": [(values[::-1] / limit).astype(np.float32)],
            "x": [time[0] - half],
            "dw": [time[-1] - time[0] + 2 * half],
            "dh": [len(values)],
        }
        self._words.text = "" if np.isfinite(values).any() else "no such segments"


def _unit_of(signal: xr.DataArray, view: View) -> str:
    """Return in what running or pupil is, with what was done to it; scaled, it has no unit."""
    unit = "scaled" if view.scale else signal.attrs.get("units", "")
    return f"{unit}, less the baseline" if view.baseline else unit


def _titled(name: str) -> str:
    return SESSION[name].long_name.capitalize()


class Responses:
    """The figures of responses to groups of segments."""

    def __init__(self, look: Look, ds: xr.Dataset) -> None:
        self._look = look
        self._ds = ds
        self.mean = GroupLines(look, "Mean response over ROIs", "mean_responses")
        self.maps: list[HeatMap] = []
        self.behaviour = {
            name: GroupLines(look, _titled(name), name, is_low=True) for name in BEHAVIOUR
        }
        for name, lines in self.behaviour.items():
            if name not in ds:
                lines.say(f"this session has no {SESSION[name].long_name}")
        self.trials = Trials(look)

    def show_means(self, means: xr.Dataset, mean: xr.Dataset, view: View) -> bool:
        """Show mean responses and heat maps; return whether there are other heat maps now."""
        names = named(means)
        self.mean.show(mean, names, label=dff_label(view))
        rois = means.sizes[n.ROI]
        error = ERRORS[view.error]
        over = (
            f"{view.stat} and {error} over {rois:,} ROIs"
            if rois > 1
            else "one ROI: no error over ROIs"
        )
        self.mean.figure.title.text = f"Response: {over}"
        self.mean.window.update(left=view.sort_from, right=view.sort_to, visible=True)
        is_new = len(self.maps) != len(names)
        if is_new:
            self.maps = [
                HeatMap(self._look, is_narrow=len(names) > _FEW, is_first=k == 0)
                for k in range(len(names))
            ]
            self._bar = Bar(self._look)
            self.maps[-1].figure.add_layout(self._bar.model, "right")
        values = means[view.stat]
        limit = limit_of(values.values)
        self._bar.show(limit, dff_label(view))
        titles = names if len(names) <= _FEW else what_differs(means[GROUP].values.tolist())
        for k, one in enumerate(self.maps):
            by = view.sorting_group(k, len(names))
            order = means["order"].values[k]
            rows = values.isel({GROUP: k}).sel({n.ROI: order}).transpose(n.ROI, n.REL_TIME)
            how = "by their own" if by == k else f"by {means[GROUP].values[by]}"
            if len(names) > _FEW and view.sort == "other":
                how = "by those beside, on the right"
            one.show(titles[k], how, rows.values, means[n.REL_TIME].values, limit)
        return is_new

    def show_behaviour(self, found: xr.Dataset, names: Sequence[str], view: View) -> None:
        """Show running and pupil."""
        how = f"{view.stat} and {ERRORS[view.error]} over sequences"
        for name, lines in self.behaviour.items():
            if name in self._ds:
                lines.figure.title.text = f"{_titled(name)}: {how}"
                lines.show(found, names, name, label=_unit_of(self._ds[name], view))

    def say(self, words: str) -> None:
        """Say why there is nothing to show."""
        self.mean.say(words)
        self.say_behaviour(words)
        self.trials.say(words)

    def say_behaviour(self, words: str) -> None:
        """Say why there are neither running nor pupil."""
        for name, lines in self.behaviour.items():
            if name in self._ds:
                lines.say(words)


class Trials:
    """All sequences of one ROI, group by group, as rows of an image."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.figure = made = figure(
            look, "Single trials", tools="box_zoom,reset", active_scroll=None
        )
        keep_width(made)
        made.xaxis.axis_label = "time from the start of the segment (s)"
        made.yaxis.axis_label = "sequences, in their order"
        made.x_range.range_padding = made.y_range.range_padding = 0
        self._source = ColumnDataSource({"image": [], "x": [], "dw": [], "dh": []}, name="trials")
        made.image(
            image="image", x="x", y=0, dw="dw", dh="dh", source=self._source,
            color_mapper=_mapper(),
        )  # fmt: skip
        made.add_layout(
            Span(location=0, dimension="height", line_color="black", line_dash="dashed")
        )
        self._marks = ColumnDataSource({"x": [], "width": [], "bottom": [], "top": [], "color": []})
        made.quad(
            left="x", right="width", bottom="bottom", top="top", color="color", source=self._marks
        )
        self._bar = Bar(look)
        made.add_layout(self._bar.model, "right")
        self._words = words_inside(made, look)
        self.say("choose an ROI: in the field, or by its number")

    def say(self, words: str) -> None:
        """Say why there is nothing to show."""
        self._bar.model.visible = False
        self._words.text = fill(words, WORDS_WIDTH)
        self._source.data = {"image": [], "x": [], "dw": [], "dh": []}
        self._marks.data = {"x": [], "width": [], "bottom": [], "top": [], "color": []}
        self.figure.title.text = "Single trials"

    def show(self, trials: xr.Dataset, groups: Sequence[str]) -> None:
        """Show the trials of the first ROI, the first sequence on top."""
        traces = trials[n.DFF].isel({n.ROI: 0}).transpose(n.SEQUENCE, n.REL_TIME)
        values, time = traces.values, traces[n.REL_TIME].values
        if not values.size:
            self.say("no such segments in this session")
            return
        self._words.text = ""
        half = (time[-1] - time[0]) / max(1, 2 * (len(time) - 1)) or 0.5
        left, width = time[0] - half, time[-1] - time[0] + 2 * half
        limit = limit_of(values)
        self._bar.show(limit)
        self._bar.model.visible = True
        self._source.data = {
            "image": [(values[::-1] / limit).astype(np.float32)], "x": [left], "dw": [width],
            "dh": [len(values)],
        }  # fmt: skip
        names = trials[GROUP].values
        tops, bottoms = [], []
        for group in groups:
            rows = np.flatnonzero(names == group)
            tops.append(len(values) - (rows[0] if rows.size else 0))
            bottoms.append(len(values) - (rows[-1] + 1 if rows.size else 0))
        self._marks.data = {
            "x": [left - 0.02 * width] * len(groups), "width": [left] * len(groups),
            "bottom": bottoms, "top": tops, "color": colors_of(self._look, len(groups)),
        }  # fmt: skip
        label = axis_label(trials[n.DFF].attrs)
        self.figure.title.text = f"Single trials of ROI {int(traces[n.ROI])}: {label}"
