"""Unexpected-stimulus indices of groups: how many are significant, and how they change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.pooling import MOUSE_ID, PAIR, Cells
from oscaxr.errors import CriterionError, TrackingError
from oscaxr.measure import statistics
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists
from oscaxr.plot.sections import (
    NULL_INTERVAL,
    Sections,
    Series,
    chance_label,
    draw_points,
    draw_series,
    finish,
)
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours of the kinds of indices, and what chance gives.
_KINDS: Final = {
    "positive": (axes.PALETTE[2], "positive"),
    "low": (axes.PALETTE[0], "significantly low"),
    "high": (axes.PALETTE[1], "significantly high"),
}
_APART: Final = 0.36


def percent_significant(
    found: xr.Dataset, ax: "Axes | None" = None, *, kinds: Sequence[str] = ("low", "high")
) -> Artists:
    """Draw which percentage of the ROIs of each group and session is significant.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.percent_significant` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    kinds : sequence of {"positive", "low", "high"}, optional
        Which percentages. By chance, 50 % are positive, and 2.5 % low and high each.

    Returns
    -------
    Artists
        As of :func:`group_differences`, of each kind in turn; ``brackets`` is empty.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    CriterionError
        If there are not as many axes as panels.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> usi = ox.analyses.usi(ox.sample.session(n_rois=4, scale=0.05), permutations=100, seed=0)
    >>> found = ox.analyses.percent_significant(ox.analyses.pool([usi]))
    >>> len(percent_significant(found, Figure().subplots()).points)
    2
    """
    names = ("percent", "error", "p", NULL_INTERVAL, "kind")
    found = axes.require_result(found, names, "analyses.percent_significant")
    there = np.atleast_1d(found["kind"].values).tolist()
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    if not wanted or set(wanted) - set(there):
        raise CriterionError(f"kinds={kinds!r}: the results have {there}")
    parts = {kind: found.sel(kind=kind) if "kind" in found.dims else found for kind in wanted}
    offsets = (np.arange(len(wanted)) - (len(wanted) - 1) / 2) * _APART
    series = [
        Series(
            part, "percent", "error", f"{_KINDS[kind][1]}, bootstrap SD",
            null=NULL_INTERVAL, null_label=chance_label(found.attrs),
            color=_KINDS[kind][0], offset=float(offset), width=0.85 * _APART,
        )
        for (kind, part), offset in zip(parts.items(), offsets, strict=True)
    ]  # fmt: skip
    sections = Sections(next(iter(parts.values())), SESSION)
    return draw_series(axes.own_axes(ax), sections, series, label="ROIs (%)", at=None)


def usi_statistics(found: xr.Dataset, ax: "Axes | None" = None) -> Artists:
    """Draw mean or variance of the indices of each group over its sessions.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.usi_statistics` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        As of :func:`group_differences`; ``nulls`` and ``marks`` are empty, ``brackets`` are between
        sessions that differ.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    CriterionError
        If there are not as many axes as panels.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> pooled = ox.analyses.pool([ox.analyses.usi(ds, tracked=True) for ds in mouse])
    >>> found = ox.analyses.usi_statistics(pooled, absolute=True, permutations=100, seed=1)
    >>> usi_statistics(found, Figure().subplots()).points[0][0].lines[0].axes.get_ylabel()
    'mean of |USI|'
    """
    found = axes.require_result(found, ("value", "error"), "analyses.usi_statistics")
    statistic = str(found.attrs.get("statistic", "value"))
    of = "|USI|" if found.attrs.get("absolute") else "USI"
    error = "SEM" if statistic == "mean" else "bootstrap SD"
    series = Series(found, "value", "error", f"{statistic}, {error}")
    label = f"{statistic} of {of}"
    return draw_series(axes.own_axes(ax), Sections(found, SESSION), [series], label=label, at=None)


def usi_correlations(
    found: xr.Dataset, ax: "Axes | None" = None, *, normalised: bool = False
) -> Artists:
    """Draw the correlations of indices over sessions, against what chance gives.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.usi_correlations` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    normalised : bool, optional
        Draw correlations as they lie between the median of the null and -1 or 1, which needs
        ``permute="sessions"`` there.

    Returns
    -------
    Artists
        As of :func:`group_differences`, by pairs of sessions; ``brackets`` is empty.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    CriterionError
        If there are not as many axes as panels.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> specs = ox.sample.mouse_specs(scale=0.05, n_rois=(8, 8, 8))
    >>> mouse = [ox.sample.session(spec) for spec in specs]
    >>> pooled = ox.analyses.pool([ox.analyses.usi(ds, tracked=True) for ds in mouse])
    >>> found = ox.analyses.usi_correlations(pooled, permutations=100, seed=1)
    >>> len(usi_correlations(found, Figure().subplots()).nulls[0])
    3
    """
    if normalised:
        value, error = "normalised", "normalised_error"
        null = f"normalised_{NULL_INTERVAL}"
    else:
        value, error, null = "correlation", "error", NULL_INTERVAL
    found = axes.require_result(found, (value, error, null, "p"), "analyses.usi_correlations")
    series = Series(
        found, value, error, "Pearson r, bootstrap SD",
        null=null, null_label=chance_label(found.attrs),
    )  # fmt: skip
    is_change = found.attrs.get("against") == "change"
    with_what = "change" if is_change else "later session"
    label = f"correlation of USI with {with_what}" + ", normalised" * normalised
    # By chance, correlations with a change are far from zero.
    at = None if is_change and not normalised else 0.0
    return draw_series(axes.own_axes(ax), Sections(found, PAIR), [series], label=label, at=at)


def tracked_usis(pooled: xr.Dataset, ax: "Axes | None" = None) -> Artists:
    """Draw the index of each tracked ROI over the sessions, and the mean of each group.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled indices (:func:`oscaxr.analyses.pool`) of tracked ROIs (:func:`oscaxr.analyses.usi`,
        ``tracked=True``).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        ``rois``, a collection of one line an ROI for each group; ``points``, the error bars of each
        group: mean and SEM over the ROIs with an index.

    Raises
    ------
    TrackingError
        If the ROIs are not tracked, or a mouse has a session twice.
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    CriterionError
        If there are not as many axes as panels.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The more ROIs there are, the fainter is each line. One that lacks a session is interrupted.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> specs = ox.sample.mouse_specs(scale=0.05, n_rois=8, n_tracked=3)
    >>> usis = [ox.analyses.usi(ox.sample.session(spec), tracked=True) for spec in specs]
    >>> drawn = tracked_usis(ox.analyses.pool(usis), Figure().subplots())
    >>> len(drawn.rois[0].get_segments())
    3
    """
    pooled = axes.require_result(pooled, ["index"], "analyses.pool of indices")
    cells = Cells(pooled)
    if not cells.tracked or SESSION not in cells.by:
        raise TrackingError(
            "lines over sessions are those of tracked ROIs: compute the indices with tracked=True, "
            "and pool them by session"
        )
    labels = xr.Dataset(coords={"group": cells.groups, SESSION: cells.sessions})
    sections = Sections(labels.assign_attrs(cells.origin), SESSION)
    ax = axes.own_axes(ax)
    values = [_by_session(cells, group) for group in range(len(cells.groups))]
    lines = [
        axes.draw_lines(ax, x, own, power=0.5, colors=axes.FAINT, linewidths=0.8, zorder=2)
        for x, own in zip(sections.x, values, strict=True)
    ]
    axes.draw_level(ax)
    found = [
        statistics.stats(xr.DataArray(own, dims=("row", SESSION)), "row", stat="mean", error="sem")
        for own in values
    ]
    mean, sem = (np.array([one[name].values for one in found]) for name in ("mean", "sem"))
    points = draw_points(
        ax, sections, mean, sem, label="mean, SEM", color=axes.UNEXPECTED, linewidth=2
    )
    ax.plot([], [], color=axes.FAINT, label=f"{sum(map(len, values))} tracked ROIs")
    finish(ax, sections, [], axes.axis_label(pooled["index"].attrs, "USI"))
    return Artists(rois=lines, points=points)


def _by_session(cells: Cells, group: int) -> npt.NDArray[np.float64]:
    """Return the indices of each ROI of a group (roi, session); NaN where it lacks one."""
    rows = np.concatenate([cells.rows(group, k) for k in range(len(cells.sessions))])
    own = cells.pooled.isel({cells.dim: rows})
    rois = pd.MultiIndex.from_arrays([own[name].values for name in (MOUSE_ID, n.TRACKING_ID)])
    sessions = np.searchsorted(cells.sessions, own[SESSION].values)
    places, lines = rois.factorize()
    if len({*zip(places.tolist(), sessions.tolist(), strict=True)}) < len(places):
        raise TrackingError(
            f"{cells.groups[group]}: a mouse has a session more than once. Pool one of them"
        )
    values = np.full((len(lines), len(cells.sessions)), np.nan)
    values[places, sessions] = own["index"].values
    return values
