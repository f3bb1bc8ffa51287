"""Pictures that single panels need: fields, example ROIs, whole sessions, and named gaps."""

from collections.abc import Iterator, Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from oscaxr import plot
from oscaxr.model import names as n
from oscaxr.model.synthetic import is_synthetic
from oscaxr.plot.axes import (
    EXPECTED,
    PALETTE,
    SYNTHETIC,
    UNEXPECTED,
    axis_label,
    draw_lines,
    event_line,
    few_ticks,
    roomy_legend,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Results = Mapping[str, xr.Dataset]
_GAP_WIDTH: Final = 70
_FIELD: Final = 2.4
"""Size of the field of one session, inches."""
_SESSIONS: Final = PALETTE


def say_gap(figure: "Figure", name: str, reason: str) -> None:
    """Draw a named gap: which panel it is, and why it cannot be filled."""
    words = f"{name} cannot be drawn\n\n{fill(reason, _GAP_WIDTH)}"
    figure.text(0.5, 0.5, words, ha="center", va="center", color="0.3")


def say_nothing(figure: "Figure", results: Results) -> None:
    """Draw nothing: a panel that cannot be filled from sessions has its reason alone."""


def say_synthetic(figure: "Figure", results: Results) -> None:
    """Say in a corner of a figure that what it shows is synthetic, if its axes do not."""
    said = any(ax.get_title("right") == SYNTHETIC for ax in figure.axes)
    if not said and any(map(is_synthetic, results.values())):
        figure.text(0.995, 0.995, SYNTHETIC, ha="right", va="top", fontsize="x-small", color="0.4")


def _row(figure: "Figure", count: int, **options: Any) -> "list[Axes]":
    return list(figure.subplots(1, count, squeeze=False, **options).ravel())


# -- fields of the microscope --------------------------------------------------------------------
def projections(figure: "Figure", results: Results) -> None:
    """Draw the maximum projection of each example session."""
    for ax, (name, found) in zip(_row(figure, len(results)), results.items(), strict=True):
        plot.max_projection(found, ax, contours=False)
        _name_field(ax, found, name)


def tracked_fields(figure: "Figure", results: Results) -> None:
    """Draw the tracked ROIs of example mice, a row for each and a column for each session."""
    for ax, found in _fields(figure, results):
        plot.roi_contours(found, ax)


def enlarged_fields(figure: "Figure", results: Results) -> None:
    """Draw one tracked ROI, and what is about it, in each session."""
    chosen: dict[int, int] = {}
    for ax, found in _fields(figure, results):
        sizes = found[n.ROI_MASK].sum(("height", "width")).values
        middle = found[n.TRACKING_ID].values[int(np.argsort(sizes)[len(sizes) // 2])]
        # The ROI of the mouse's first session is shown in the others, too.
        label = chosen.setdefault(found["mouse_id"].item(), int(middle))
        plot.roi_contours(found, ax, highlight=label, zoom=True)


def _fields(figure: "Figure", results: Results) -> "Iterator[tuple[Axes, xr.Dataset]]":
    mice = list(dict.fromkeys(one["mouse_id"].item() for one in results.values()))
    numbers = sorted({one["session"].item() for one in results.values()})
    figure.set_size_inches(_FIELD * len(numbers), _FIELD * len(mice) + 0.4)
    grid = figure.subplots(len(mice), len(numbers), squeeze=False)
    for ax in grid.ravel():
        ax.set_axis_off()
    for name, found in results.items():
        place = mice.index(found["mouse_id"].item()), numbers.index(found["session"].item())
        ax = grid[place]
        ax.set_axis_on()
        yield ax, found
        _name_field(ax, found, name)
        # A legend for each field would take the room of another.
        legend = ax.get_legend()
        shown = f"{legend.get_texts()[0].get_text()} in colour, " if legend else ""
        if legend:
            legend.remove()
        ax.set_xlabel(f"{shown}not registered", fontsize="x-small")


def _name_field(ax: "Axes", found: xr.Dataset, name: str) -> None:
    """Say whose field it is, once; pixels are no measure, and the figure says what is synthetic."""
    facts = f"{found['line'].item()} {found['plane'].item()}"
    for place in ("left", "right"):
        ax.set_title("", loc=place)
    ax.set_title(f"{name.replace('_', ' ')}\n{facts}", fontsize="x-small")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")


# -- example ROIs --------------------------------------------------------------------------------
def example_rois(figure: "Figure", results: Results) -> None:
    """Draw the mean traces of example ROIs, expected and unexpected."""
    found = results["examples"]
    panels = _row(figure, found.sizes[n.ROI], sharex=True)
    for place, ax in enumerate(panels):
        one = found.isel({n.ROI: place})
        for kind, color in (("expected", EXPECTED), ("unexpected", UNEXPECTED)):
            own = one.sel(response_group=kind)
            ax.plot(own[n.REL_TIME], own["mean"], color=color, label=kind)
            low, high = own["mean"] - own["sem"], own["mean"] + own["sem"]
            ax.fill_between(own[n.REL_TIME], low, high, color=color, alpha=0.25, linewidth=0)
        event_line(ax)
        star = " *" if bool(one["significant"]) else ""
        ax.set_title(f"index {float(one['index']):.2f}{star}", fontsize="small")
        ax.set_xlabel("time from D or U (s)")
        tidy(ax)
    figure.axes[0].set_ylabel("dF/F, scaled; mean and SEM")
    roomy_legend(figure.axes[0], 2)


def example_null(figure: "Figure", results: Results) -> None:
    """Draw the indices of shuffled labels, and where the actual one lies."""
    plot.usi_null(results["example"], figure.subplots())


def example_responses(figure: "Figure", results: Results) -> None:
    """Draw the responses of example ROIs: all sequences faint, and their mean."""
    n_rois = max(one.sizes[n.ROI] for one in results.values())
    grid = figure.subplots(len(results), n_rois, squeeze=False, sharex=True)
    for row, (group, found) in zip(grid, results.items(), strict=True):
        for ax in row[found.sizes[n.ROI] :]:
            ax.set_axis_off()
        for place, ax in zip(range(found.sizes[n.ROI]), row, strict=False):
            one = found.isel({n.ROI: place})
            time = one[n.REL_TIME].values
            responses = one["response"].transpose(n.SEQUENCE, n.REL_TIME).values
            draw_lines(ax, time, responses, power=0.6, color="0.4", linewidth=0.5, rasterized=True)
            ax.plot(time, one["mean"], color=UNEXPECTED)
            event_line(ax)
            ax.autoscale_view()
            tidy(ax)
            few_ticks(ax.yaxis, 3, integer=False)
        row[0].set_ylabel(f"{group}\ndF/F, scaled", fontsize="small")
    figure.supxlabel("time (s); gray: single sequences, colour: their mean", fontsize="small")


# -- whole sessions, and distributions -----------------------------------------------------------
def behaviour(figure: "Figure", results: Results) -> None:
    """Draw running and pupil over a whole session."""
    found = results["behaviour"]
    names = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)
    for ax, name in zip(figure.subplots(2, 1, sharex=True), names, strict=True):
        ax.plot(found[f"{name}_time"], found[name], color=PALETTE[0], linewidth=0.6)
        ax.set_ylabel(axis_label(found[name].attrs, name), fontsize="small")
        tidy(ax)
    figure.axes[-1].set_xlabel("time (s)")


def histograms(figure: "Figure", results: Results) -> None:
    """Draw how often running and pupil have each value, by group and session."""
    count = next(iter(results.values())).sizes["group"]
    grid = figure.subplots(len(results), count, squeeze=False, sharex="row", sharey="row")
    for row, found in zip(grid, results.values(), strict=True):
        plot.value_shares(found, list(row))


def quality(figure: "Figure", results: Results) -> None:
    """Draw signal or noise of all ROIs, by group and session."""
    found = results["quality"]
    (name,) = found.data_vars
    plot.snr(found, figure.subplots(), name=str(name))


def roi_correlations(figure: "Figure", results: Results) -> None:
    """Draw how the pairs of ROIs of all mice correlate, by group and session."""
    plot.value_ranges(results["correlations"], figure.subplots())
