"""Unexpected-stimulus indices of tracked ROIs in one session against those in another."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.analyses.pooling import GROUP, PAIR, Cells
from oscaxr.errors import TrackingError
from oscaxr.plot.axes import Artists
from oscaxr.plot.grids import Grid, by_kind, draw_grid, name_parts
from oscaxr.plot.sections import MARKS_LABEL, mark_of, resolved
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from oscaxr.plot.grids import Given

_INDEX: Final = "index"
_MAKER: Final = "analyses.usi_correlations"


def usi_pairs(
    pooled: xr.Dataset, axes: "Given" = None, *, correlations: xr.Dataset | None = None
) -> Artists:
    """Draw the index of each tracked ROI in a session against that in the next.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled indices (:func:`oscaxr.analyses.pool`) of tracked ROIs (:func:`oscaxr.analyses.usi`,
        ``tracked=True``).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and pair of sessions (column), row by row, or the figure to make
        them in; new ones by default.
    correlations : xarray.Dataset, optional
        What :func:`oscaxr.analyses.usi_correlations` returns of them: its r, and stars where p is
        below 0.05, are written into each panel.

    Returns
    -------
    Artists
        Of each panel, row by row: ``points``, one line of markers, an ROI each; ``words``, how many
        ROIs there are, and their correlation; None where a group lacks a session. ``panels``, the
        axes.

    Raises
    ------
    TrackingError
        If the ROIs are not tracked, or not the same in the sessions of a group.
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw: no group has two sessions.
    CriterionError
        If there are not as many axes as panels.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    On the dashed line, an ROI has the same index in both sessions. ROIs with an index that is NaN
    in one of them are counted in words. The more ROIs there are, the fainter is each point.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> specs = ox.sample.mouse_specs(scale=0.05, n_rois=8, n_tracked=3)
    >>> usis = [ox.analyses.usi(ox.sample.session(spec), tracked=True) for spec in specs]
    >>> drawn = usi_pairs(ox.analyses.pool(usis), Figure())
    >>> [ax.get_title("left") for ax in drawn.panels], len(drawn.points[0].get_xdata())
    (['sessions 1-2', 'sessions 2-3'], 3)
    """
    pooled = parts.require_result(pooled, [_INDEX], "analyses.pool of indices")
    if correlations is not None:
        correlations = parts.require_result(correlations, ("correlation", "p"), _MAKER)
    parts.require_numbers(pooled[_INDEX])
    grid = _pairs(pooled)

    def draw(ax: "Axes", part: xr.Dataset) -> tuple[Any, Any]:
        x, y = (part[name].values for name in ("first", "second"))
        known = np.isfinite(x) & np.isfinite(y)
        ax.axline((0, 0), slope=1, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        (points,) = ax.plot(
            x[known], y[known], "o", color=parts.PALETTE[0], markersize=3, markeredgewidth=0,
            alpha=float(np.clip(np.sqrt(15 / max(1, len(x))), 0.15, 0.8)),
        )  # fmt: skip
        return points, parts.say_above(ax, _said(part, int((~known).sum()), correlations))

    label = parts.axis_label(pooled[_INDEX].attrs, "USI")
    drawn, panels = draw_grid(
        pooled, grid, axes, draw, xlabel=f"{label}, first session", ylabel="second session"
    )
    points, words = by_kind(drawn, 2)
    parts.room_above(panels[0], max(one.get_text().count("\n") for one in words if one) + 1.5)
    if any("*" in one.get_text() for one in words if one):
        name_parts(panels, drawn, len(grid.columns), MARKS_LABEL)
    return Artists(points=points, words=words, panels=panels)


def _pairs(pooled: xr.Dataset) -> Grid:
    """Return the indices of each group in each two sessions that follow each other."""
    cells = Cells(pooled)
    if not cells.tracked or SESSION not in cells.by:
        raise TrackingError(
            "indices of two sessions are those of tracked ROIs: compute them with tracked=True, "
            "and pool them by session"
        )
    values = cells.values(_INDEX).values.astype(np.float64)

    def part(group: int, first: int, second: int) -> xr.Dataset | None:
        if not (len(cells.rows(group, first)) and len(cells.rows(group, second))):
            return None
        one, other = (values[rows] for rows in cells.paired(group, first, second))
        pair = f"{cells.sessions[first]}-{cells.sessions[second]}"
        both = {"first": (cells.dim, one), "second": (cells.dim, other)}
        return xr.Dataset(both, {GROUP: cells.groups[group], PAIR: pair})

    pairs = cells.pairs(consecutive=True)
    found = [[part(group, *pair) for pair in pairs] for group in range(len(cells.groups))]
    names = [f"sessions {cells.sessions[i]}-{cells.sessions[j]}" for i, j in pairs]
    return Grid(found, cells.groups, names).checked(pooled)


def _said(part: xr.Dataset, unknown: int, correlations: xr.Dataset | None) -> str:
    """Say how many ROIs a panel shows, and how they correlate."""
    words = f"{part['first'].size} ROIs" + (f", {unknown} NaN or infinite" if unknown else "")
    if correlations is None:
        return words
    own = correlations
    for dim in (GROUP, PAIR):
        label = part[dim].item()
        if dim in own.dims:
            if label not in own[dim].values:
                return words
            own = own.sel({dim: label})
    r, p = own["correlation"].item(), resolved(own["p"].values, own, "p").item()
    return f"{words}\nr = {r:.2f}{mark_of(p)}"
