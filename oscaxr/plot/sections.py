"""Groups side by side in one picture: their sessions, what chance gives, what is significant."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.chance import ALPHA, permutations_of, resolution
from oscaxr.analyses.pooling import BOUND, GROUP, PAIR
from oscaxr.errors import WindowError
from oscaxr.plot.axes import Artists
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.text import Text

Floats = npt.NDArray[np.float64]

NULL: Final = "0.86"
NULL_INTERVAL: Final = "null_interval"
# What p has to be below for each mark, beside what is significant at all.
_MARKS: Final = ((0.001, "***"), (0.01, "**"), (ALPHA, "*"))
MARKS_LABEL: Final = "* p < 0.05, ** < 0.01, *** < 0.001"
_NULL_WIDTH: Final = 0.7
_NAMES_BELOW: Final = 18
"""Points between the axis and the names of the groups, below the numbers of their sessions."""
_BRACKET: Final = 0.09
"""Height of a bracket and its mark, as a share of what is drawn."""
_GAP: Final = 0.08
"""Between two brackets that end at the same session, on either side of it."""


class Sections:
    """Where groups stand along x, and their sessions (or pairs of these) in each.

    Parameters
    ----------
    found : xarray.Dataset
        Results over (group, `inner`), or less: a dim that was selected from is there as one.
    inner : str or None
        What stands within a group.
    """

    def __init__(self, found: xr.Dataset, inner: str | None) -> None:
        self.found = found
        self.inner = inner if inner in found.dims or inner in found.coords else None
        self.groups = _labels(found, GROUP)
        self.labels = [""] if self.inner is None else _labels(found, self.inner)
        if not self.groups or not self.labels:
            raise WindowError(f"there is nothing to draw: the results are {dict(found.sizes)}")

    @cached_property
    def x(self) -> Floats:
        """Where each stands, (group, inner)."""
        width = len(self.labels)
        step = width + 1 if width > 1 else 1
        return np.arange(len(self.groups))[:, None] * step + np.arange(width, dtype=float)

    def values(self, name: str, *rest: str, of: xr.Dataset | None = None) -> Floats:
        """Return a result over (group, inner, rest)."""
        array = (self.found if of is None else of)[name]
        dims = [GROUP] if self.inner is None else [GROUP, self.inner]
        array = array.expand_dims([dim for dim in dims if dim not in array.dims])
        axes.require_numbers(array)
        values = array.transpose(*dims, *rest).values.astype(np.float64)
        return values if self.inner is not None else values[:, None]

    def name_axis(self, ax: "Axes") -> None:
        """Name the groups, and what is in them, along x."""
        ax.xaxis.remove_overlapping_locs = False
        # Group names on two lines, so that four of them stand side by side.
        names = [" \n".join(name.rsplit(" ", 1)) for name in self.groups]
        ax.set_xlim(self.x.min() - 0.7, self.x.max() + 0.7)
        if self.inner is None or self.labels == [""]:
            ax.set_xticks(self.x[:, 0], names)
            return
        ax.set_xticks(self.x.ravel(), self.labels * len(self.groups))
        if any(names):
            ax.set_xticks(self.x.mean(axis=1), names, minor=True)
            ax.tick_params(axis="x", which="minor", length=0, pad=_NAMES_BELOW)
        ax.set_xlabel("sessions" if self.inner == PAIR else self.inner)


def _labels(found: xr.Dataset, dim: str) -> list[str]:
    """Return the labels of a dim, or the one that was selected."""
    if dim in found.coords:
        return [str(label) for label in np.atleast_1d(found[dim].values)]
    return [""] if dim not in found.dims else [str(k + 1) for k in range(found.sizes[dim])]


@dataclass(frozen=True)
class Series:
    """One row of points: which results they are, and what is said of them."""

    found: xr.Dataset
    value: str
    error: str
    label: str
    null: str | None = None
    p: str | None = "p"
    null_label: str = ""
    color: Any = axes.PALETTE[0]
    offset: float = 0.0
    width: float = _NULL_WIDTH


def draw_series(
    ax: "Axes",
    sections: Sections,
    series: Sequence[Series],
    *,
    label: str,
    at: float | None = 0.0,
    level: str = "",
) -> Artists:
    """Draw rows of points with what chance gives and what is significant, and name it all."""
    points, nulls, marks, brackets = [], [], [], []
    named, tops = set(), []
    if at is not None:
        axes.draw_level(ax, at, level)
    for one in series:
        value, error = (sections.values(name, of=one.found) for name in (one.value, one.error))
        top = value + np.nan_to_num(error)
        points.append(
            draw_points(
                ax, sections, value, error, color=one.color, offset=one.offset, label=one.label,
                linestyle="-" if sections.inner == SESSION else "none",
            )
        )  # fmt: skip
        if one.null is not None and one.null in one.found:
            interval = sections.values(one.null, BOUND, of=one.found)
            # The same words once only.
            words = "" if one.null_label in named else one.null_label
            named.add(one.null_label)
            nulls.append(
                draw_null(ax, sections, interval, label=words, offset=one.offset, width=one.width)
            )
            top = np.fmax(top, interval[..., -1])
        if one.p is not None and one.p in one.found:
            p = resolved(sections.values(one.p, of=one.found), one.found, one.p)
            marks += draw_marks(ax, sections, top, p, offset=one.offset, color=one.color)
        tops.append(top)
    heights = tops_of(*tops)
    if marks:
        # The marks themselves.
        heights += _BRACKET * float(np.diff(ax.get_ylim())[0])
    for one in series:
        brackets += draw_brackets(
            ax, sections, heights, of=one.found, offset=one.offset, color=one.color
        )
    finish(ax, sections, [*marks, *brackets], label)
    return Artists(points=points, nulls=nulls, marks=marks, brackets=brackets)


def draw_points(
    ax: "Axes",
    sections: Sections,
    values: Floats,
    error: Floats,
    *,
    color: Any = axes.PALETTE[0],
    offset: float = 0.0,
    **style: Any,
) -> "list[ErrorbarContainer]":
    """Draw values with their errors, joined within each group, and say where there is none."""
    style = {"marker": "o", "markersize": 4.5, "linewidth": 1.2, "capsize": 2.5, **style}
    label = style.pop("label", None)
    drawn = []
    for x, own, bar in zip(sections.x + offset, values, error, strict=True):
        drawn.append(ax.errorbar(x, own, yerr=bar, color=color, label=label, zorder=3, **style))
        label = None
    for x in (sections.x + offset)[~np.isfinite(values)]:
        ax.annotate(
            "no value", (float(x), 0.02), xycoords=("data", "axes fraction"), rotation=90,
            ha="center", va="bottom", color="0.5", fontsize="x-small",
        )  # fmt: skip
    return drawn


def draw_null(
    ax: "Axes",
    sections: Sections,
    interval: Floats,
    *,
    label: str,
    offset: float = 0.0,
    width: float = _NULL_WIDTH,
) -> "BarContainer":
    """Draw what chance gives as bars from the lower to the upper bound, and the medians."""
    known = np.isfinite(interval).all(axis=-1)
    x = (sections.x + offset)[known]
    low, median, high = interval[known].T
    bars = ax.bar(x, high - low, width, low, color=NULL, label=label, zorder=0.5)
    for bar in bars:
        bar.sticky_edges.y.clear()
    ends = x - width / 2, x + width / 2
    named = "median of chance" if label else ""
    ax.hlines(median, *ends, color="0.6", linewidth=0.8, zorder=0.6, label=named)
    return bars


def draw_marks(
    ax: "Axes",
    sections: Sections,
    tops: Floats,
    p: Floats,
    *,
    offset: float = 0.0,
    color: Any = "k",
) -> "list[Text]":
    """Mark what is significant, above it."""
    return [
        ax.annotate(
            mark_of(own), (float(x), float(top)), xytext=(0, 1), textcoords="offset points",
            ha="center", va="bottom", color=color, zorder=4,
        )
        for x, top, own in zip(
            (sections.x + offset).ravel(), tops.ravel(), p.ravel(), strict=True
        )
        if mark_of(own) and np.isfinite(top)
    ]  # fmt: skip


def draw_brackets(
    ax: "Axes",
    sections: Sections,
    tops: Floats,
    *,
    of: xr.Dataset | None = None,
    offset: float = 0.0,
    color: Any = "k",
) -> "list[Text]":
    """Mark sessions that differ by brackets above; `tops` (group,) rises by those drawn."""
    found = sections.found if of is None else of
    if "difference_p" not in found or PAIR not in found["difference_p"].dims:
        return []
    array = found["difference_p"]
    missing = [dim for dim in (GROUP,) if dim not in array.dims]
    array = array.expand_dims(missing).transpose(GROUP, PAIR)
    p = resolved(array.values, found, "difference_p")
    numbers = [found[f"{which}_session"].values.astype(str) for which in ("first", "second")]
    low, high = ax.get_ylim()
    step = _BRACKET * (high - low)
    drawn: list[Text] = []
    for group in np.flatnonzero(np.isfinite(tops)):
        spans: dict[tuple[float, float], float] = {}
        for pair in np.flatnonzero(p[group] < ALPHA):
            ends = [own[pair] for own in numbers]
            # Of sessions that were selected from, some of the pairs are not shown.
            if set(ends) <= set(sections.labels):
                first, second = (sections.x[group, sections.labels.index(end)] for end in ends)
                spans[first, second] = p[group, pair]
        levels = levels_of(spans)
        for (first, second), level in levels.items():
            top = tops[group] + step * (level + 1)
            foot = top - step / 4
            left, right = first + offset + _GAP, second + offset - _GAP
            ax.plot([left, left, right, right], [foot, top, top, foot], color=color, linewidth=0.8)
            drawn.append(
                ax.annotate(
                    mark_of(spans[first, second]), ((left + right) / 2, top), xytext=(0, -3),
                    textcoords="offset points", ha="center", va="bottom", color=color, zorder=4,
                )
            )  # fmt: skip
        tops[group] += step * max((level + 1 for level in levels.values()), default=0)
    return drawn


def levels_of(spans: Iterable[tuple[float, float]]) -> dict[tuple[float, float], int]:
    """Return the lowest level of each bracket that is free there: the widest lie on top."""
    levels: dict[tuple[float, float], int] = {}
    for first, second in sorted(spans, key=lambda span: (span[1] - span[0], span)):
        taken = {level for (one, other), level in levels.items() if one < second and first < other}
        levels[first, second] = min({*range(len(taken) + 1)} - taken)
    return levels


def resolved(p: Any, found: xr.Dataset, name: str) -> Floats:
    """Return p of a result, none smaller than its permutations can tell."""
    permutations, factor = permutations_of(found.attrs, name)
    return np.maximum(p, resolution(permutations, factor)) if permutations else np.asarray(p)


def mark_of(p: float) -> str:
    """Return the mark of a p, or nothing where it is not significant."""
    return next((mark for limit, mark in _MARKS if p < limit), "")


def tops_of(*parts: Floats) -> Floats:
    """Return how high what is drawn for each group reaches, (group,); NaN where nothing is."""
    high = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    known = np.isfinite(high)
    top = np.where(known, high, -np.inf).max(axis=1)
    return np.where(known.any(axis=1), top, np.nan)


def chance_label(attrs: Mapping[Hashable, Any], tail: str = "two") -> str:
    """Say what the band of chance is."""
    comparisons = int(attrs.get("comparisons", 1))
    corrected = f", corrected for {comparisons} comparisons" if comparisons > 1 else ""
    tail = str(attrs.get("tail", tail))
    sided = "" if tail == "two" else f", {tail} tail"
    return f"chance, {100 * (1 - ALPHA):g} %{sided}{corrected}"


def finish(ax: "Axes", sections: Sections, marks: Sequence[object], label: str) -> None:
    """Name axes and what was drawn."""
    sections.name_axis(ax)
    ax.set_ylabel(label)
    axes.tidy(ax)
    axes.say_session(ax, sections.found)
    if marks:
        ax.plot([], [], " ", label=MARKS_LABEL)
    _, labels = ax.get_legend_handles_labels()
    # Marks stand above the highest of what is drawn.
    axes.roomy_legend(ax, len(labels), below=int(bool(marks)))
