"""One recording at a glance, and what the mouse did: running and pupil, around segments too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.arrays.columns import time_blocks
from oscaxr.errors import CriterionError, WindowError
from oscaxr.measure.quality import full_traces
from oscaxr.model import names as n
from oscaxr.model.signals import runs
from oscaxr.plot.axes import Artists, require_session
from oscaxr.plot.responses import responses
from oscaxr.select.sequences import sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

Array = np.ndarray[Any, Any]

ROWS: Final = ("stimulus", n.RUN_VELOCITY, n.PUPIL_DIAMETER, n.DFF)
_HEIGHT_RATIOS: Final = (0.5, 1, 1, 1)
_SHOWN: Final = (
    *("stimulus_type", "unexpected", "main_flow_direction", n.BLOCK),
    *("start_time", "stop_time"),
)
_UNEXPECTED_HEIGHT: Final = 0.45
# Of the legend of the stimuli, above which the titles stand.
_LEGEND_POINTS: Final = 19.0
# What a letter of a block's name takes, inches.
_LETTER_INCHES: Final = 0.068
_BUDGET_BYTES: Final = 64 * 2**20


def session_overview(ds: xr.Dataset, axes: "parts.Panels" = None, *, bins: int = 1000) -> Artists:
    """Draw what a mouse saw and did, and the mean of its ROIs, over the whole session.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    axes : four matplotlib.axes.Axes, or matplotlib.figure.Figure, optional
        From top to bottom: stimulus, running, pupil, dF/F; or the figure to make them in. New ones
        by default.
    bins : int, optional
        Number of points of each trace; each is the mean of an equal part of the recording.

    Returns
    -------
    Artists
        ``stimuli``, a collection of bars for each stimulus type and one for the unexpected
        segments; ``lines``, the trace of each variable that the session has, by its name.

    Raises
    ------
    CriterionError
        If there are not four axes, or no bins.
    MissingVariableError
        If it is no session: the segments or the clocks are missing.
    WindowError
        If the session has no frames.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Blocks of one stimulus, and of one direction of flow, are named where there is room; gray lines
    mark where they start. Below the names, black are the unexpected segments. The time axis says
    of how many seconds each point of a trace is the mean. A variable that the session does not have
    leaves its axes empty, and says so.

    dF/F is read in blocks of frames, so memory stays within bounds for any number of ROIs.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> drawn = session_overview(ds, Figure().subplots(4))
    >>> drawn.lines["dff"].axes.get_ylabel()
    'mean dF/F'
    """
    require_session(ds, (*_SHOWN, n.TIME, n.STIM_TIME), "the session")
    if bins < 1:
        raise CriterionError(f"bins={bins}: a trace has 1 point or more")
    axes = parts.own_rows(axes, ROWS, _HEIGHT_RATIOS)
    parts.say_session(axes[0], ds, pad=_LEGEND_POINTS)
    stimuli = _stimulus_bar(ds, axes[0])
    lines = {}
    clocks = (n.TIME, n.STIM_TIME)
    ends = [edge for clock in clocks if ds.sizes[clock] for edge in ds[clock].values[[0, -1]]]
    if not ends:
        raise WindowError("there is nothing to draw: the session has no frames")
    # With more parts than frames, some would be empty and the trace torn.
    bins = min(bins, max(1, ds.sizes[n.TIME] // 2))
    edges = np.linspace(min(ends), max(ends), bins + 1)
    minutes = (edges[:-1] + edges[1:]) / 120
    for name, ax in zip(ROWS[1:], axes[1:], strict=True):
        parts.tidy(ax)
        if name not in ds:
            parts.say_missing(ax, name)
            continue
        trace = ds[name]
        (clock,) = set(clocks) & set(trace.dims)
        values = _mean_over_rois(trace) if name == n.DFF else trace.values
        averaged = _binned(ds[clock].values, values, edges)
        (lines[name],) = ax.plot(minutes, averaged, color="0.25", linewidth=0.7)
        what = "mean dF/F" if name == n.DFF else parts.axis_label(trace.attrs, name)
        # Upright beside the axes: along them, the names of such low axes would run into each other.
        words = what.replace(" (", "\n(")
        ax.set_ylabel(words, fontsize="small", rotation=0, ha="right", va="center")
        ax.tick_params(labelsize="small")
    for ax in axes:
        ax.set_xlim(edges[0] / 60, edges[-1] / 60)
    block_starts = _name_blocks(ds, axes[0])
    for ax in axes[1:]:
        for start in block_starts:
            ax.axvline(start, color="0.85", linewidth=0.8, zorder=0)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    parts.few_ticks(axes[-1].xaxis, 9, integer=False)
    seconds = edges[1] - edges[0]
    axes[-1].set_xlabel(
        f"time in the session (min); each point is the mean of {seconds:.2g} s", fontsize="small"
    )
    return Artists(stimuli=stimuli, lines=lines)


def _stimulus_bar(ds: xr.Dataset, ax: "Axes") -> "list[PolyCollection]":
    types, unexpected = ds["stimulus_type"].values, ds["unexpected"].values == 1
    starts, stops = ds["start_time"].values / 60, ds["stop_time"].values / 60
    drawn = []
    for kind, color in parts.STIMULUS_COLORS.items():
        bars = _joined(starts, stops, types == kind)
        if len(bars):
            word = n.STIMULUS_WORDS[kind]
            drawn.append(ax.broken_barh(bars, (0, 1), color=color, linewidth=0, label=word))
    bars = _joined(starts, stops, unexpected)
    if len(bars):
        # A little wider than they are: the shortest ones would vanish in an hour.
        height = (0, _UNEXPECTED_HEIGHT)
        drawn.append(ax.broken_barh(bars, height, color="black", linewidth=0.6, label="unexpected"))
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(bottom=False)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small",
        handlelength=1, handleheight=0.8, borderaxespad=0.1, columnspacing=1.2,
    )  # fmt: skip
    return drawn


def _name_blocks(ds: xr.Dataset, ax: "Axes") -> list[float]:
    """Write the name of each block of a stimulus into the bar; return when they start."""
    kinds, directions = ds["stimulus_type"].values, ds["main_flow_direction"].values
    columns = kinds, directions, ds[n.BLOCK].values
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    first = np.flatnonzero(np.concatenate([[True], changes])) if len(kinds) else np.empty(0, int)
    last = np.append(first[1:], len(kinds))[: len(first)] - 1
    starts, stops = ds["start_time"].values[first] / 60, ds["stop_time"].values[last] / 60
    low, high = ax.get_xlim()
    inches = ax.get_window_extent().width / ax.figure.dpi
    letters = inches / _LETTER_INCHES / (high - low)
    found = []
    names = zip(kinds[first].tolist(), directions[first].tolist(), strict=True)
    for (kind, way), start, stop in zip(names, starts.tolist(), stops.tolist(), strict=True):
        if kind == n.GRAYSCREEN:
            continue
        words = filter(None, [n.STIMULUS_WORDS.get(kind, kind), n.FLOW_WORDS.get(way)])
        name = ", ".join(words)
        found.append(start)
        room = letters * (stop - start)
        if len(name) > room:
            name = name.replace(", ", ",\n")
        if max(map(len, name.splitlines())) <= room:
            middle = ((start + stop) / 2, (1 + _UNEXPECTED_HEIGHT) / 2)
            ax.text(*middle, name, fontsize="small", ha="center", va="center", clip_on=True)
    return found


def _joined(starts: Array, stops: Array, chosen: Array) -> list[tuple[float, float]]:
    """Join consecutive segments into (start, length), so that thousands make a few bars."""
    first, length = runs(chosen)
    return list(zip(starts[first], stops[first + length - 1] - starts[first], strict=True))


def _mean_over_rois(trace: xr.DataArray) -> Array:
    """Average over ROIs, a block of frames at a time."""
    means = []
    for block, _, _ in time_blocks(full_traces(trace), n.TIME, _BUDGET_BYTES):
        known = np.isfinite(block)
        count = known.sum(axis=1)
        total = np.where(known, block, 0).sum(axis=1, dtype=np.float64)
        means.append(total / np.where(count > 0, count, np.nan))
    return np.concatenate(means)


def _binned(times: Array, values: Array, edges: Array) -> Array:
    """Average a trace over equal parts of time, NaNs left out."""
    known = np.isfinite(values)
    position = np.clip(np.searchsorted(edges, times[known], side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(position, minlength=len(edges) - 1)
    total = np.bincount(position, weights=values[known], minlength=len(edges) - 1)
    averaged: Array = total / np.where(count > 0, count, np.nan)
    return averaged


# -- around segments ------------------------------------------------------------------------------
_BEHAVIOR: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)


def behavior_responses(
    ds: xr.Dataset,
    segments: Any,
    axes: "parts.Panels" = None,
    *,
    pre: float = 1.0,
    post: float = 1.0,
    gabor_frames: bool = False,
) -> Artists:
    """Draw running velocity and pupil diameter around segments, with a band for the error.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    segments : xarray.Dataset, array_like of int, or mapping of them
        A selection of segments (:func:`oscaxr.select_segments`) or segment numbers; several by
        name are drawn in a colour each.
    axes : two matplotlib.axes.Axes, or matplotlib.figure.Figure, optional
        For running and for the pupil, or the figure to make them in. New ones by default.
    pre, post : float, optional
        Seconds before and after the start of the segments.
    gabor_frames : bool, optional
        Whether to shade and name the Gabor frames around (:func:`shade_gabor_frames`).

    Returns
    -------
    Artists
        ``running`` and ``pupil``, of each what :func:`responses` returns; ``pupil`` is None if the
        session has none.

    Raises
    ------
    MissingVariableError
        If the session has no running velocity.
    CriterionError
        If there are not two axes, no segments are given, or Gabor frames cannot be shaded.
    WindowError
        If no segments are left, or they do not exist.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The means over sequences with their standard errors, each variable on its own clock. Frames
    without a value (blinks, dropped frames) are left out of the mean.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> drawn = behavior_responses(ds, ds.osca.select(gabor_frame="U"), Figure().subplots(2))
    >>> drawn.pupil.lines[0].axes.get_ylabel()
    'pupil diameter (mm)'
    """
    require_session(ds, [n.RUN_VELOCITY], "running")
    named = isinstance(segments, Mapping) and not isinstance(segments, xr.Dataset)
    groups: Mapping[Any, Any] = segments if named else {"": segments}
    if not groups:
        raise CriterionError("no segments were given to draw the behaviour around")
    rows = parts.own_rows(axes, _BEHAVIOR)
    shade = ds if gabor_frames else None
    found: dict[str, Artists] = {}
    for ax, name in zip(rows, _BEHAVIOR, strict=True):
        if name not in ds:
            parts.say_missing(ax, name)
            continue
        windows = {
            str(label): sequences(ds, name, chosen, pre=pre, post=post)
            for label, chosen in groups.items()
        }
        first = ax is rows[0]
        found[name] = responses(windows, ax, legend=first, gabor_frames=shade)
        if not first:
            # Letters and words stand above the first row only.
            for side in ("left", "right"):
                ax.set_title("", loc=side)
            if shade is not None:
                ax.child_axes[-1].set_visible(False)
    rows[-1].set_xlim(rows[0].get_xlim())
    rows[-1].set_xlabel(rows[0].get_xlabel())
    rows[0].set_xlabel("")
    return Artists(running=found[n.RUN_VELOCITY], pupil=found.get(n.PUPIL_DIAMETER))
