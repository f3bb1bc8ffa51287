"""The widgets by which a person chooses, made from the domains of the session at hand."""

import re
from collections.abc import Callable
from html import escape
from typing import Any, Final

import numpy as np
import panel as pn
import xarray as xr

from oscaxr.errors import CriterionError, OscaxrError
from oscaxr.explore.field_view import NUMBER_LABELS
from oscaxr.explore.view import CHOICES, PRESETS, SPLITS, STATISTICS, View, shown
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION
from oscaxr.select.criteria import CONCERNS, select_segments

WIDTH: Final = 296
_INNER: Final = WIDTH - 16
_LABELS: Final = {
    "gabor_frame": "Gabor frame",
    "gabor_kappa": "kappa",
    "gabor_mean_orientation": "mean orientation (degree)",
    "main_flow_direction": "direction of flow",
    "square_size": "size of squares (px)",
    "unexpected": "unexpected",
}
_UNEXPECTED: Final = {"expected": 0.0, "unexpected": 1.0}
_COMPARE: Final = {"two selections": "two", "one": "one", "split": "split"}
_SORTS: Final = {"the first selection": "first", "the second": "second", "the other one": "other"}

Changed = Callable[..., None]


def counts_table(ds: xr.Dataset, criteria: dict[str, Any]) -> str:
    """Return as HTML how many segments each criterion leaves."""
    try:
        _, explanation = select_segments(ds, **criteria, explain=True)
    except OscaxrError as error:
        return f'<p class="oscaxr-problem">{escape(str(error))}</p>'
    rows = [("all segments", ds.sizes[n.SEGMENT]), *((s.criterion, s.left) for s in explanation)]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{left:,}</td></tr>" for name, left in rows)
    return f'<table class="oscaxr-counts">{cells}</table>'


class Selection:
    """The widgets of one selection of segments, and what each criterion leaves."""

    def __init__(self, title: str, ds: xr.Dataset, changed: Changed) -> None:
        self._ds = ds
        self._changed = changed
        self._quiet = False
        there = {str(kind) for kind in np.unique(ds["stimulus_type"].values)}
        kinds = [kind for kind in CHOICES["stimulus"] if kind in there] or [n.GABORS]
        self.stimulus = pn.widgets.RadioButtonGroup(
            name="stimulus", options=kinds, value=kinds[0], width=_INNER
        )
        self.choices = {name: _choice(name) for name in _LABELS}
        self.run_start = pn.widgets.Checkbox(name="first of each run only")
        self.blocks = pn.widgets.CheckButtonGroup(name="block", options={}, value=[], width=_INNER)
        last = float(np.ceil(np.nanmax(ds["stop_time"].values))) if ds.sizes[n.SEGMENT] else 1.0
        self._whole = (0.0, last)
        self.start_time = pn.widgets.RangeSlider(
            name="start time (s)", start=0.0, end=last, step=1.0, value=self._whole, width=_INNER
        )
        self.counts = pn.pane.HTML("", width=_INNER)
        self._labels = {name: _label(_LABELS[name]) for name in _LABELS}
        self._labels["block"] = _label("block")
        rows = []
        for name, widget in self.choices.items():
            rows += [self._labels[name], widget]
        self.column = pn.Column(
            pn.pane.HTML(f"<b>{title}</b>", margin=(4, 5, 0, 5)), self.stimulus, *rows,
            self.run_start, self._labels["block"], self.blocks, self.start_time, self.counts,
            width=WIDTH, margin=0,
        )  # fmt: skip
        for widget in (self.stimulus, *self.choices.values(), self.run_start, self.blocks):
            widget.param.watch(self._tell, "value")
        self.start_time.param.watch(self._tell, "value_throttled")

    def criteria(self) -> dict[str, Any]:
        """Return what is chosen."""
        found: dict[str, Any] = {"stimulus": self.stimulus.value}
        for name, widget in self.choices.items():
            if widget.visible and widget.value:
                found[name] = list(widget.value)
        if self.run_start.value:
            found["run_start"] = True
        if self.blocks.value:
            found["block"] = list(self.blocks.value)
        if tuple(self.start_time.value) != self._whole:
            found["start_time"] = tuple(map(float, self.start_time.value))
        return found

    def show(self, criteria: dict[str, Any]) -> None:
        """Set the widgets to what is chosen."""
        self._quiet = True
        stimulus = criteria.get("stimulus", self.stimulus.value)
        self._offer(stimulus)
        self.stimulus.value = stimulus
        for name, widget in self.choices.items():
            widget.value = list(criteria.get(name, []))
        self.run_start.value = bool(criteria.get("run_start", False))
        self.blocks.value = list(criteria.get("block", []))
        self.start_time.value = criteria.get("start_time", self._whole)
        self.counts.object = counts_table(self._ds, criteria)
        self._quiet = False

    def _offer(self, stimulus: str) -> None:
        """Offer the criteria that concern a stimulus, and its blocks."""
        for name, widget in self.choices.items():
            concerned = CONCERNS.get(name, stimulus) == stimulus
            widget.visible = self._labels[name].visible = concerned
        own = self._ds["stimulus_type"].values == stimulus
        numbers = np.unique(self._ds[n.BLOCK].values[own]).tolist()
        self.blocks.options = {str(one): one for one in numbers}
        several = len(numbers) > 1
        self.blocks.visible = self._labels["block"].visible = several

    def _tell(self, *_: Any) -> None:
        if self._quiet:
            return
        self._quiet = True
        self._offer(self.stimulus.value)
        self.blocks.value = [
            one for one in self.blocks.value if one in self.blocks.options.values()
        ]
        self._quiet = False
        self._changed()


def _choice(name: str) -> Any:
    if name == "unexpected":
        options: dict[str, Any] = _UNEXPECTED
    else:
        options = {shown(value): value for value in CHOICES[name]}
    return pn.widgets.CheckButtonGroup(
        name=SESSION[name].long_name, options=options, value=[], width=_INNER, margin=(0, 5)
    )


def _label(words: str) -> Any:
    return pn.pane.HTML(f'<span class="oscaxr-label">{words}</span>', margin=(4, 5, 0, 5))


class Controls:
    """All widgets of a page; calls back with the view that they say."""

    def __init__(self, ds: xr.Dataset, view: View, changed: Callable[[View], None]) -> None:
        self._ds = ds
        self._view = view
        self._changed = changed
        self._quiet = True
        self.compare = pn.widgets.RadioButtonGroup(name="compare", options=_COMPARE, width=_INNER)
        self.presets = [
            pn.widgets.Button(name=name, width=_INNER, button_type="light") for name in PRESETS
        ]
        self.by = pn.widgets.Select(name="split by", options=list(SPLITS), width=_INNER)
        self.first = Selection("First selection", ds, self._tell)
        self.second = Selection("Second selection", ds, self._tell)
        number = {"width": 84, "margin": (2, 5)}
        self.pre = pn.widgets.FloatInput(name="before (s)", start=0, step=0.1, **number)
        self.post = pn.widgets.FloatInput(name="after (s)", start=0, step=0.1, **number)
        self.baseline = pn.widgets.FloatInput(name="baseline (s)", start=0, step=0.1, **number)
        self.edge = pn.widgets.Select(
            name="at the ends", options={"drop": "drop", "fill with NaN": "nan"}, width=130
        )
        self.scale = pn.widgets.Checkbox(name="scale each ROI", margin=(26, 5, 0, 5))
        self.statistic = pn.widgets.Select(
            name="statistic, error", options=list(STATISTICS), width=140
        )
        self.sort_from = pn.widgets.FloatInput(name="from (s)", step=0.1, **number)
        self.sort_to = pn.widgets.FloatInput(name="to (s)", step=0.1, **number)
        self.sort = pn.widgets.Select(name="ROIs sorted by", options=_SORTS, width=140)
        self.number = pn.widgets.Select(
            name="colour ROIs by", options={v: k for k, v in NUMBER_LABELS.items()}, width=_INNER
        )
        self.rois = pn.widgets.TextInput(
            name="chosen ROIs", placeholder="numbers, as 3, 17", width=_INNER
        )
        self.problem = pn.pane.HTML("", width=_INNER, visible=False)
        self.column = self._layout()
        self._watch()
        self.show(view)

    def _layout(self) -> Any:
        window = pn.Column(
            pn.Row(self.pre, self.post, self.baseline, margin=0),
            pn.Row(self.edge, self.scale, margin=0),
            pn.Row(self.statistic, self.sort, margin=0),
            _label("mean response, and sorting, in the window"),
            pn.Row(self.sort_from, self.sort_to, margin=0),
            width=WIDTH, margin=0,
        )  # fmt: skip
        options = {"width": WIDTH + 6, "margin": (3, 0)}
        return pn.Column(
            self.problem,
            self.compare,
            *self.presets,
            self.by,
            self.rois,
            self.number,
            pn.Card(self.first.column, title="First selection", collapsed=False, **options),
            self._second_card(options),
            pn.Card(window, title="Window and statistic", collapsed=False, **options),
            width=WIDTH + 12,
            margin=0,
        )

    def _second_card(self, options: dict[str, Any]) -> Any:
        self._second = pn.Card(
            self.second.column, title="Second selection", collapsed=False, **options
        )
        return self._second

    def _watch(self) -> None:
        widgets = (
            *(self.compare, self.by, self.pre, self.post, self.baseline, self.edge, self.scale),
            *(self.statistic, self.sort_from, self.sort_to, self.sort, self.number, self.rois),
        )
        for widget in widgets:
            widget.param.watch(self._tell, "value")
        for button, (first, second) in zip(self.presets, PRESETS.values(), strict=True):
            button.on_click(
                lambda _, pair=(first, second): self._changed(
                    self._view.changed(compare="two", first=pair[0], second=pair[1])
                )
            )

    def show(self, view: View) -> None:
        """Set all widgets to a view."""
        self._quiet = True
        self._view = view
        self.compare.value = view.compare
        self.by.value = view.by
        self.by.visible = view.compare == "split"
        self._second.visible = view.compare == "two"
        self.first.show(dict(view.first))
        self.second.show(dict(view.second))
        for name in ("pre", "post", "baseline", "edge", "scale", "sort", "sort_from", "sort_to"):
            getattr(self, name).value = getattr(view, name)
        pairs = {pair: name for name, pair in STATISTICS.items()}
        self.statistic.value = pairs[view.stat, view.error]
        self.number.value = view.number
        self.rois.value = ", ".join(map(str, view.rois))
        self._quiet = False

    def say(self, problem: str) -> None:
        """Say what of the view does not fit, or nothing."""
        words = "<br>".join(escape(line) for line in problem.splitlines())
        self.problem.object = f'<div class="oscaxr-problem" role="alert">{words}</div>'
        self.problem.visible = bool(problem)

    def _tell(self, *_: Any) -> None:
        if self._quiet:
            return
        stat, error = STATISTICS[self.statistic.value]
        try:
            rois = read_rois(self.rois.value)
        except CriterionError as problem:
            self.say(str(problem))
            return
        self._changed(
            self._view.changed(
                compare=self.compare.value,
                by=self.by.value,
                first=self.first.criteria(),
                second=self.second.criteria(),
                stat=stat,
                error=error,
                rois=rois,
                number=self.number.value,
                **{
                    name: getattr(self, name).value
                    for name in ("pre", "post", "baseline", "edge", "scale", "sort")
                },
                sort_from=self.sort_from.value,
                sort_to=self.sort_to.value,
            )
        )


def read_rois(text: str) -> tuple[int, ...]:
    """Read the numbers of ROIs that a person wrote."""
    parts = re.split(r"[,;\s]+", text.strip())
    odd = [part for part in parts if part and not part.isdecimal()]
    if odd:
        raise CriterionError(f"ROIs are numbers divided by commas, as 3, 17; not {odd[0]!r}")
    return tuple(dict.fromkeys(int(part) for part in parts if part))
