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
from oscaxr.explore.view import CHOICES, LABELS, PRESETS, SPLITS, STATISTICS, View, shown
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION
from oscaxr.select.criteria import select_segments

WIDTH: Final = 296
_INNER: Final = WIDTH - 16
# How the names of columns begin that say nothing of a stimulus.
_OF_OTHERS: Final = {n.GABORS: ("main_flow", "square"), n.VISFLOW: ("gabor",)}
_COMPARE: Final = {"two selections": "two", "one": "one", "split": "split"}
_SORTS: Final = {"the first selection": "first", "the second": "second", "the other one": "other"}

_COUNTS: Final = """
.oscaxr-counts { font-size: 12px; width: 100%; border-collapse: collapse; }
.oscaxr-counts td { padding: 0 4px; }
.oscaxr-counts td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
"""
PROBLEM: Final = """
.oscaxr-problem { font-size: 13px; border-left: 4px solid #D55E00; padding: 4px 8px; }
"""
_LABEL: Final = ".oscaxr-label { font-size: 12px; opacity: 0.85; }"
_CARD: Final = """
.card-header { padding: 2px 6px; min-height: 26px; font-size: 13px; }
button:focus-visible { outline: 2px solid #E69F00; outline-offset: -2px; }
:host(.card), .card { box-shadow: none; border: 1px solid rgba(128, 128, 128, 0.35); }
"""
Changed = Callable[..., None]

# Widgets are closed to the style sheets of a page, so each is given this one.
COMPACT: Final = """
.bk-btn { padding: 2px 6px; min-height: 26px; font-size: 12.5px; line-height: 1.3; }
:host(.solid) .bk-btn.bk-btn-default { border: 1px solid rgba(128, 128, 128, 0.4); }
.bk-btn.bk-active { background-color: #0072B2 !important; color: #ffffff !important; }
.bk-btn:focus-visible, .bk-input:focus-visible { outline: 2px solid #E69F00; outline-offset: 1px; }
.bk-input { height: 28px; min-height: 28px; padding: 2px 6px; font-size: 12.5px; }
select.bk-input {
  padding-right: 20px;
  /* In the colour of the words: the one that comes with the widget is black in the dark, too. */
  background-image: linear-gradient(45deg, transparent 50%, currentColor 50%),
    linear-gradient(135deg, currentColor 50%, transparent 50%) !important;
  background-position: right 11px center, right 6px center !important;
  background-size: 5px 5px !important;
  background-repeat: no-repeat !important;
}
/* So are the arrows of numbers. */
.bk-input-group > .bk-spin-wrapper > .bk-spin-btn.bk-spin-btn-up:before {
  border-bottom-color: currentColor;
}
.bk-input-group > .bk-spin-wrapper > .bk-spin-btn.bk-spin-btn-down:before {
  border-top-color: currentColor;
}
.bk-input-group > .bk-spin-wrapper > .bk-spin-btn { color: inherit; }
label, .bk-input-group label { font-size: 12px; }
"""


def counts_table(ds: xr.Dataset, criteria: dict[str, Any]) -> str:
    """Return as HTML how many segments each criterion leaves."""
    try:
        # One value as itself: it is shown as it would be written.
        plain = {
            name: value[0] if isinstance(value, list) and len(value) == 1 else value
            for name, value in criteria.items()
        }
        _, explanation = select_segments(ds, **plain, explain=True)
    except OscaxrError as error:
        return f'<p class="oscaxr-problem">{escape(str(error))}</p>'
    rows = [("all segments", ds.sizes[n.SEGMENT]), *((s.criterion, s.left) for s in explanation)]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{left:,}</td></tr>" for name, left in rows)
    return f'<table class="oscaxr-counts">{cells}</table>'


def _widget(kind: Any, **options: Any) -> Any:
    """Make a widget that takes little room, and is heard at once."""
    made = kind(**{"width": _INNER, "margin": (2, 5), "stylesheets": [COMPACT], **options})
    # Panel waits 50 ms for further changes of the same widget: here each is one choice.
    made._debounce = 0
    return made


class Selection:
    """The widgets of one selection of segments, and what each criterion leaves."""

    def __init__(self, ds: xr.Dataset, changed: Changed) -> None:
        self._ds = ds
        self._changed = changed
        self._quiet = False
        there = {str(kind) for kind in np.unique(ds["stimulus_type"].values)}
        kinds = [kind for kind in CHOICES["stimulus"] if kind in there] or [n.GABORS]
        self.stimulus = _widget(
            pn.widgets.RadioButtonGroup, label="stimulus", value=kinds[0],
            options={n.STIMULUS_WORDS[kind]: kind for kind in kinds},
        )  # fmt: skip
        self.choices = {name: _choice(name) for name in LABELS if name in CHOICES}
        self.run_start = _widget(pn.widgets.Toggle, label="first of each run only")
        self.blocks = _widget(pn.widgets.CheckButtonGroup, label="block", options={}, value=[])
        last = float(np.ceil(np.nanmax(ds["stop_time"].values))) if ds.sizes[n.SEGMENT] else 1.0
        self._whole = (0.0, last)
        self.start_time = _widget(
            pn.widgets.RangeSlider, label="start time (s)", start=0.0, end=last, step=1.0,
            value=self._whole, width=_INNER - 12, margin=(2, 10),
        )  # fmt: skip
        self._counted: dict[str, Any] | None = None
        self.counts = pn.pane.HTML("", width=_INNER, margin=(2, 5), stylesheets=[_COUNTS])
        self._labels = {name: _label(words) for name, words in LABELS.items()}
        rows = [
            part for name, widget in self.choices.items() for part in (self._labels[name], widget)
        ]
        self.column = pn.Column(
            self.stimulus, *rows, self.run_start, self._labels["block"], self.blocks,
            self.start_time, self.counts, width=WIDTH, margin=0,
        )  # fmt: skip
        self._offer(kinds[0])
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
        # What a link asks for need not be there: the page says so, and shows the rest.
        if stimulus in self.stimulus.options.values():
            self._offer(stimulus)
            self.stimulus.value = stimulus
        for name, widget in {**self.choices, n.BLOCK: self.blocks}.items():
            known = widget.options.values()
            widget.value = [one for one in criteria.get(name, []) if one in known]
        self.run_start.value = bool(criteria.get("run_start", False))
        low, high = np.clip(criteria.get("start_time", self._whole), *self._whole).tolist()
        self.start_time.value = (low, high)
        self._quiet = False

    def count(self, criteria: dict[str, Any]) -> None:
        """Say how many segments each criterion leaves."""
        if criteria != self._counted:
            self._counted = criteria
            self.counts.object = counts_table(self._ds, criteria)

    def _offer(self, stimulus: str) -> None:
        """Offer the criteria that concern a stimulus, and its blocks."""
        for name, widget in self.choices.items():
            concerned = not name.startswith(_OF_OTHERS[stimulus])
            widget.visible = self._labels[name].visible = concerned
        own = self._ds["stimulus_type"].values == stimulus
        numbers = np.unique(self._ds[n.BLOCK].values[own]).tolist()
        self.blocks.options = {str(one): one for one in numbers}
        several = len(numbers) > 1
        self.blocks.visible = self._labels["block"].visible = several

    def _tell(self, event: Any) -> None:
        if self._quiet:
            return
        if event.obj is self.stimulus:
            self._quiet = True
            self._offer(self.stimulus.value)
            known = self.blocks.options.values()
            self.blocks.value = [one for one in self.blocks.value if one in known]
            self._quiet = False
        self._changed()


def _choice(name: str) -> Any:
    options = {shown(value, name): value for value in CHOICES[name]}
    return _widget(
        pn.widgets.CheckButtonGroup, label=SESSION[name].long_name, options=options, value=[]
    )


def _label(words: str) -> Any:
    return pn.pane.HTML(
        f'<span class="oscaxr-label">{words}</span>', margin=(3, 5, 0, 5), stylesheets=[_LABEL]
    )


def _card(title: str, content: Any) -> Any:
    header = pn.pane.HTML(title, margin=0)
    return pn.Card(content, header=header, width=WIDTH + 6, margin=(3, 0), stylesheets=[_CARD])


class Controls:
    """All widgets of a page; calls back with the view that they say."""

    def __init__(
        self,
        ds: xr.Dataset,
        view: View,
        changed: Callable[[View], None],
        say: Callable[[str], None],
    ) -> None:
        self._ds = ds
        self._view = view
        self._say = say
        self._changed = changed
        self._quiet = True
        w = pn.widgets
        self.compare = _widget(w.RadioButtonGroup, label="compare", options=_COMPARE)
        self.presets = [_widget(w.Button, label=name, width=_INNER // 2 - 5) for name in PRESETS]
        self.by = _widget(w.Select, label="split by", options={LABELS[k]: k for k in SPLITS})
        self.first = Selection(ds, self._tell)
        self.second = Selection(ds, self._tell)
        self.pre = _widget(w.FloatInput, label="before (s)", start=0, step=0.1, width=86)
        self.post = _widget(w.FloatInput, label="after (s)", start=0, step=0.1, width=86)
        self.baseline = _widget(w.FloatInput, label="baseline (s)", start=0, step=0.1, width=86)
        ends = {"drop": "drop", "fill with NaN": "nan"}
        self.edge = _widget(w.Select, label="beyond the ends", options=ends, width=136)
        self.scale = _widget(w.Toggle, label="scale", width=100, margin=(24, 5, 0, 5))
        self.statistic = _widget(
            w.Select, label="statistic, error", options=list(STATISTICS), width=136
        )
        self.sort = _widget(w.Select, label="ROIs sorted by", options=_SORTS, width=136)
        self.sort_from = _widget(w.FloatInput, label="from (s)", step=0.1, width=86)
        self.sort_to = _widget(w.FloatInput, label="to (s)", step=0.1, width=86)
        labels = {words: number for number, words in NUMBER_LABELS.items()}
        self.number = _widget(w.Select, label="colour ROIs by", options=labels)
        self.others = _widget(w.Toggle, label="masks of other days, registered")
        self.rois = _widget(w.TextInput, label="chosen ROIs", placeholder="numbers, as 3, 17")
        self.column = self._layout()
        self._watch()
        self.show(view)
        self.count()

    def _layout(self) -> Any:
        window = pn.Column(
            pn.Row(self.pre, self.post, self.baseline, margin=0),
            pn.Row(self.edge, self.scale, margin=0),
            pn.Row(self.statistic, self.sort, margin=0),
            _label("the response of an ROI is that in the window"),
            pn.Row(self.sort_from, self.sort_to, margin=0),
            width=WIDTH, margin=0,
        )  # fmt: skip
        self._second = _card("Second selection", self.second.column)
        return pn.Column(
            pn.Row(*self.presets, margin=0),
            self.compare,
            self.by,
            _card("First selection", self.first.column),
            self._second,
            _card("Window and statistic", window),
            self.rois,
            self.number,
            self.others,
            width=WIDTH + 12,
            margin=0,
        )

    def _watch(self) -> None:
        widgets = (
            *(self.compare, self.by, self.pre, self.post, self.baseline, self.edge, self.scale),
            *(
                self.statistic,
                self.sort_from,
                self.sort_to,
                self.sort,
                self.number,
                self.others,
                self.rois,
            ),
        )
        for widget in widgets:
            widget.param.watch(self._tell, "value")
        for button, (first, second) in zip(self.presets, PRESETS.values(), strict=True):
            button.on_click(lambda _, pair=(first, second): self._preset(*pair))

    def _preset(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.show(self._view.changed(compare="two", first=first, second=second))
        self._changed(self._view)

    def show(self, view: View) -> None:
        """Set all widgets to a view."""
        self._quiet = True
        self._view = view
        self.compare.value = view.compare
        self.by.value = view.by
        self.by.visible = view.compare == "split"
        self._second.visible = view.compare == "two"
        for widgets, criteria in ((self.first, view.first), (self.second, view.second)):
            # To set them all takes a while, and most choices are of something else.
            if widgets.criteria() != criteria:
                widgets.show(dict(criteria))
        for name in ("pre", "post", "baseline", "edge", "scale", "sort", "sort_from", "sort_to"):
            getattr(self, name).value = getattr(view, name)
        pairs = {pair: name for name, pair in STATISTICS.items()}
        self.statistic.value = pairs[view.stat, view.error]
        self.number.value = view.number
        self.others.value = view.others
        self.rois.value = ", ".join(map(str, view.rois))
        self._quiet = False

    def _tell(self, *_: Any) -> None:
        if self._quiet:
            return
        stat, error = STATISTICS[self.statistic.value]
        try:
            rois = read_rois(self.rois.value)
        except CriterionError as problem:
            self._say(str(problem))
            return
        self._view = self._view.changed(
            compare=self.compare.value,
            by=self.by.value,
            first=self.first.criteria(),
            second=self.second.criteria(),
            stat=stat,
            error=error,
            rois=rois,
            number=self.number.value,
            others=self.others.value,
            **{
                name: getattr(self, name).value
                for name in ("pre", "post", "baseline", "edge", "scale", "sort")
            },
            sort_from=self.sort_from.value,
            sort_to=self.sort_to.value,
        )
        self.by.visible = self._view.compare == "split"
        self._second.visible = self._view.compare == "two"
        self._changed(self._view)

    def count(self) -> None:
        """Say how many segments each criterion leaves."""
        self.first.count(dict(self._view.first))
        self.second.count(dict(self._view.second))


def read_rois(text: str) -> tuple[int, ...]:
    """Read the numbers of ROIs that a person wrote."""
    parts = re.split(r"[,;\s]+", text.strip())
    odd = [part for part in parts if part and not part.isdecimal()]
    if odd:
        raise CriterionError(f"ROIs are numbers divided by commas, as 3, 17; not {odd[0]!r}")
    return tuple(dict.fromkeys(int(part) for part in parts if part))
