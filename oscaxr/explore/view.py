"""What a person has chosen: everything that says what the page shows, and its link."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, OscaxrError, few, listed
from oscaxr.model import names as n

Criteria = Mapping[str, Any]
Select = Callable[[Criteria], xr.Dataset]
"""Returns the segments of a session that fulfil criteria."""
Compare = Literal["two", "one", "split"]
Sort = Literal["first", "second", "other"]
Tab = Literal["session", "responses", "field", "days", "code"]
Number = Literal["response", "difference", "usi", "snr", "area", "tracking"]

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "stimulus": (n.GABORS, n.VISFLOW),
    "gabor_frame": n.GABOR_FRAMES,
    "main_flow_direction": n.FLOW_DIRECTIONS,
}
CHOICES: Final[dict[str, tuple[Any, ...]]] = {**WORDS, **n.NUMBER_DOMAINS}
"""The criteria of a few known values each, and these."""
RANGES: Final = ("start_time",)
FLAGS: Final = ("run_start",)
NUMBERED: Final = (n.BLOCK,)
CRITERIA: Final = (
    *("stimulus", "gabor_frame", "gabor_kappa", "gabor_mean_orientation"),
    *("main_flow_direction", "square_size", "unexpected"),
    *(*FLAGS, *NUMBERED, *RANGES),
)
LABELS: Final = {
    "gabor_frame": "Gabor frame",
    "gabor_kappa": "kappa",
    "gabor_mean_orientation": "mean orientation (degree)",
    "main_flow_direction": "direction of flow",
    "square_size": "size of squares (px)",
    "unexpected": "unexpected",
    n.BLOCK: "block",
}
"""The criteria of a few values, and what they are called."""
EXPECTED_WORDS: Final = {0.0: "expected", 1.0: "unexpected"}
SPLITS: Final = (
    *("unexpected", "gabor_frame", "gabor_mean_orientation", "gabor_kappa"),
    *("main_flow_direction", "square_size", n.BLOCK),
)
"""The columns whose values selections can be told apart by."""
# What the groups of a split are called, where the value alone does not say it.
_GROUPS: Final = {
    "gabor_frame": "Gabor frame {}",
    "gabor_mean_orientation": "mean orientation {}°",
    "gabor_kappa": "kappa {}",
    "main_flow_direction": "{} flow",
    "square_size": "squares of {} px",
    n.BLOCK: "block {}",
}
STATISTICS: Final[dict[str, tuple[str, str]]] = {
    "mean, SEM": ("mean", "sem"),
    "mean, SD": ("mean", "std"),
    "median, MAD": ("median", "mad"),
    "median, quartiles": ("median", "quartiles"),
}
MOST_SPLITS: Final = 12
MOST_ROIS: Final = 12
_LONGEST_WINDOW: Final = 60.0

PRESETS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "Gabors: D, U": (
        {"stimulus": n.GABORS, "gabor_frame": ["D"]},
        {"stimulus": n.GABORS, "gabor_frame": ["U"]},
    ),
    "Flow: first of runs": (
        {"stimulus": n.VISFLOW, "unexpected": [0.0], "run_start": True},
        {"stimulus": n.VISFLOW, "unexpected": [1.0], "run_start": True},
    ),
}
"""What was expected, and what was not."""


@dataclass(frozen=True)
class View:
    """Everything a person chose."""

    session: str = ""
    tab: Tab = "session"
    compare: Compare = "two"
    first: Criteria = field(default_factory=lambda: PRESETS["Gabors: D, U"][0])
    second: Criteria = field(default_factory=lambda: PRESETS["Gabors: D, U"][1])
    by: str = "gabor_mean_orientation"
    pre: float = 1.0
    post: float = 1.0
    edge: Literal["drop", "nan"] = "drop"
    scale: bool = False
    baseline: float = 0.0
    stat: Literal["mean", "median"] = "mean"
    error: str = "sem"
    sort: Sort = "first"
    sort_from: float = 0.0
    sort_to: float = 0.6
    rois: tuple[int, ...] = ()
    # What is seen of the time axis, from when to when (s); all of it where nothing stands.
    zoom: tuple[float, ...] = ()
    number: Number = "response"
    others: bool = False
    shade: Literal["light", "dark"] = "light"

    @property
    def is_dark(self) -> bool:
        """Whether the page is dark."""
        return self.shade == "dark"

    def changed(self, **fields: Any) -> "View":
        """Return the view with other choices in it."""
        return replace(self, **fields)

    def numbers_key(self) -> "View":
        """Return the view with what changes no responses as usual, to compare it by."""
        return replace(self, tab="session", number="response", others=False, shade="light", zoom=())

    def windows_key(self) -> tuple[Any, ...]:
        """Return what the windows of a selection depend on, beside the selection."""
        return (self.pre, self.post, self.edge, self.scale, self.baseline, self.stat)

    def groups(self, select: Select) -> dict[str, dict[str, Any]]:
        """Return the criteria of each group of segments that is shown, by its name."""
        if self.compare == "split":
            values = _values_of(select, self.first, self.by)
            return {
                _GROUPS.get(self.by, "{}").format(shown(value, self.by)): {
                    **self.first,
                    self.by: [value],
                }
                for value in values
            }
        if self.compare == "one":
            return {"selection": dict(self.first)}
        names = ("first", "second")
        for expected, unexpected in PRESETS.values():
            if (self.first, self.second) == (expected, unexpected):
                names = ("expected", "unexpected")
        return dict(zip(names, (dict(self.first), dict(self.second)), strict=True))

    def sorting_group(self, own: int, count: int) -> int:
        """Return by which group's responses the ROIs of a group's heat map are sorted."""
        if self.sort == "other":
            return (own + 1) % count
        return min(("first", "second").index(self.sort), count - 1)

    def problems(self, ds: xr.Dataset, select: Select) -> list[str]:
        """Return what of the view does not fit a session."""
        found = [*_range_problems(self), *self._selection_problems(select)]
        here = ds[n.ROI].values
        unknown = [roi for roi in self.rois if roi not in here]
        if unknown:
            found.append(f"there is no ROI {few(map(str, unknown))} in this session")
        return found

    def _selection_problems(self, select: Select) -> list[str]:
        try:
            groups = self.groups(select)
            for criteria in groups.values():
                select(criteria)
        except OscaxrError as error:
            return [str(error)]
        if len(groups) > MOST_SPLITS:
            return [
                f"{LABELS[self.by]}: {len(groups)} values, too many to tell apart ({MOST_SPLITS})"
            ]
        return []

    def checked(self, ds: xr.Dataset, select: Select) -> "View":
        """Return the view, or raise with all that does not fit a session."""
        problems = self.problems(ds, select)
        if problems:
            raise CriterionError(f"this view does not fit the session:{listed(problems)}")
        return self

    def query(self) -> str:
        """Write the view as the query of a link; what is as usual is left out."""
        usual = View()
        pairs: list[tuple[str, str]] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if value == getattr(usual, one.name):
                continue
            if one.name in ("first", "second"):
                pairs += [(f"{one.name}.{key}", _text(part)) for key, part in value.items()]
                pairs += [] if value else [(one.name, "all")]
            else:
                pairs.append((one.name, _text(value)))
        return urlencode(pairs, safe=",:()")


def _range_problems(view: View) -> list[str]:
    found = []
    if not (view.pre >= 0 and view.post > 0 and view.pre + view.post <= _LONGEST_WINDOW):
        found.append(
            f"a window of {view.pre:g} s before and {view.post:g} s after: before is 0 or more, "
            f"after more than 0, both together at most {_LONGEST_WINDOW:g} s"
        )
    if not 0 <= view.baseline <= view.pre + view.post:
        found.append(f"a baseline of {view.baseline:g} s is not within the window")
    if not -view.pre <= view.sort_from < view.sort_to <= view.post:
        found.append(
            f"ROIs sorted by {view.sort_from:g} to {view.sort_to:g} s: this is not within the "
            f"window of {-view.pre:g} to {view.post:g} s"
        )
    if (view.stat, view.error) not in STATISTICS.values():
        found.append(f"{view.error!r} is no error of the {view.stat}")
    if view.zoom and not view.zoom[0] < view.zoom[1]:
        low, high = view.zoom
        found.append(f"a time axis from {low:g} to {high:g} s has to end after it begins")
    if len(view.rois) > MOST_ROIS:
        found.append(f"{len(view.rois)} ROIs are chosen; at most {MOST_ROIS} are told apart")
    return found


def _values_of(select: Select, criteria: Criteria, by: str) -> list[Any]:
    """Return the values of a column that the segments of a selection have, in order."""
    if by not in SPLITS:
        raise CriterionError(f"selections are not split by {by!r}, but by one of {few(SPLITS)}")
    column = select(criteria)[by].values
    known = column[column != ""] if column.dtype.kind in "UTO" else column[np.isfinite(column)]
    return list(np.unique(known).tolist())


def shown(value: Any, name: str) -> str:
    """Return a value of a column as it stands in names of groups and labels."""
    if name == "unexpected":
        return EXPECTED_WORDS[value]
    return f"{value:g}" if isinstance(value, int | float) else n.FLOW_WORDS.get(value, str(value))


# -- from a link ----------------------------------------------------------------------------------
def read_query(query: str) -> View:
    """Read the view that a link restores; an error that names all that is wrong with it."""
    usual = View()
    known = {one.name: getattr(usual, one.name) for one in fields(View)}
    found: dict[str, Any] = {}
    problems: list[str] = []
    for key, text in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        name, dot, criterion = key.partition(".")
        try:
            if name in ("first", "second"):
                chosen = found.setdefault(name, {})
                if dot:
                    chosen[criterion] = _criterion(criterion, text)
            elif key in known:
                found[key] = _value(key, text, known[key])
            else:
                raise CriterionError(f"unknown word {key!r}")
        except (CriterionError, ValueError) as error:
            problems.append(f"{key}={text}: {error}")
    if problems:
        raise CriterionError(f"this link is no view:{listed(problems)}")
    return View(**found)


_LITERALS: Final[dict[str, Any]] = {
    "tab": Tab, "compare": Compare, "sort": Sort, "number": Number,
    "edge": Literal["drop", "nan"], "stat": Literal["mean", "median"],
    "shade": Literal["light", "dark"],
}  # fmt: skip


def _value(name: str, text: str, usual: Any) -> Any:
    if name in _LITERALS and text not in get_args(_LITERALS[name]):
        raise CriterionError(f"it is one of {few(get_args(_LITERALS[name]))}")
    if isinstance(usual, bool):
        return _flag(text)
    if isinstance(usual, float):
        return _number(text)
    if name == "zoom":
        return _span(text)
    if isinstance(usual, tuple):
        return tuple(int(part) for part in text.split(",") if part)
    return text


def _criterion(name: str, text: str) -> Any:
    """Read the value of a criterion, as `_text` writes it."""
    if name not in CRITERIA:
        raise CriterionError(f"no such criterion; there are {few(CRITERIA, 20)}")
    if name in FLAGS:
        return _flag(text)
    if name in RANGES:
        return _span(text)
    if name == "stimulus":
        return text
    parts = text.split(",")
    if name in WORDS:
        return parts
    return [int(part) if name in NUMBERED else _number(part) for part in parts]


def _span(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    return _number(low), _number(high)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise CriterionError("it is true or false")
    return text == "true"


def _number(text: str) -> float:
    number = float(text)
    if not np.isfinite(number):
        raise CriterionError("it is not a number")
    return number


def _text(value: Any) -> str:
    """Write a value for a link."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], float):
        return f"{value[0]!r}:{value[1]!r}"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
