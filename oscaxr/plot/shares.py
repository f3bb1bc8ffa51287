"""How often values occur, of sessions and of groups: as lines, and as boxes."""

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.analyses.pooling import GROUP, Cells
from oscaxr.analyses.value_shares import COUNT, SHARE, VALUE
from oscaxr.model.synthetic import SIGN, is_synthetic
from oscaxr.plot.axes import Artists
from oscaxr.plot.boxes import PERCENTILES, draw_boxes
from oscaxr.plot.grids import Grid, draw_grid, name_parts
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from oscaxr.plot.grids import Given

_MEAN: Final = "mean"


def value_shares(found: xr.Dataset, axes: "Given" = None, *, log: bool = True) -> Artists:
    """Draw how often values occur, by group, one line for each session.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.value_shares` returns of a session, or the means of such
        ``share``: ``group_means(pool([one.expand_dims(trace=[0]) for one in results],
        dim="trace"), "share")`` of ``oscaxr.analyses``.
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group, or the figure to make them in; new ones by default.
    log : bool, optional
        Whether shares have a logarithmic axis, on which values that occur never have no line.

    Returns
    -------
    Artists
        ``lines``: of each group, one for each session; None where there is no such session.
        ``panels``, the axes.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    CriterionError
        If there are not as many axes as groups.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    References
    ----------
    Gillon, Lecoq et al. 2023, figure 6B.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=2, scale=0.02)
    >>> found = ox.analyses.value_shares(ds["run_velocity"])
    >>> value_shares(found, Figure().subplots()).lines[0][0].get_xdata().size
    200
    """
    maker = "analyses.value_shares, or group_means of its 'share',"
    found = parts.require_result(found, [VALUE], maker)
    name = _MEAN if found.attrs.get("variable") == SHARE else SHARE
    found = parts.require_result(found, [name], maker)
    whole = found.expand_dims([dim for dim in (GROUP, SESSION) if dim not in found[name].dims])
    panels = [whole.isel({GROUP: place}) for place in range(whole.sizes[GROUP])]
    known = [one if np.isfinite(one[name].values).any() else None for one in panels]
    groups = list(map(str, whole[GROUP].values)) if GROUP in whole.coords else [""]
    grid = Grid([known], [""], groups).checked(found)
    has_sessions = name == _MEAN and SESSION in whole.coords
    sessions = [f"session {k}" for k in whole[SESSION].values] if has_sessions else [None]
    colors = parts.group_colors(len(sessions))

    def draw(ax: "Axes", part: xr.Dataset) -> list[object]:
        lines: list[object] = []
        shares = part[name].transpose(SESSION, VALUE).values
        for label, color, own in zip(sessions, colors, shares, strict=True):
            # On a logarithmic axis, 0 would be a fall to nowhere.
            kept = np.where(own > 0, own, np.nan) if log else own
            is_known = np.isfinite(kept).any()
            line = {"color": color, "linewidth": 1, "label": label}
            lines += ax.plot(part[VALUE].values, kept, **line) if is_known else [None]
        if log:
            ax.set_yscale("log")
        return lines

    ylabel = parts.axis_label(found[name].attrs, name)
    xlabel = parts.axis_label(found[VALUE].attrs, VALUE)
    drawn, shown = draw_grid(found, grid, axes, draw, xlabel=xlabel, ylabel=ylabel)
    if has_sessions:
        name_parts(shown, drawn, len(shown))
    return Artists(lines=drawn, panels=shown)


def value_ranges(found: xr.Dataset, ax: "Axes | None" = None) -> Artists:
    """Draw where most values lie, by group and session: median, quartiles and 5-95 % range.

    Parameters
    ----------
    found : xarray.Dataset
        Results of :func:`oscaxr.analyses.value_shares` of several sessions, pooled:
        ``pool([one.expand_dims(trace=[0]) for one in results], dim="trace")``.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        ``boxes``, as of :func:`snr`.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The values of all sessions of a group count together. Percentiles are those of the counts, so
    they are known to within the width of a bin.

    References
    ----------
    Gillon, Lecoq et al. 2023, figure 7C.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> one = ox.analyses.value_shares(ox.roi_correlations(ds)).expand_dims(trace=[0])
    >>> drawn = value_ranges(ox.analyses.pool([one], dim="trace"), Figure().subplots())
    >>> len(drawn.boxes[0][0]["medians"])
    1
    """
    found = parts.require_result(found, [COUNT, VALUE], "analyses.pool of value_shares")
    cells = Cells(found)
    spread = np.full((*cells.shape, len(PERCENTILES)), np.nan)
    for cell in np.ndindex(*cells.shape):
        own = found[COUNT].isel({cells.dim: cells.rows(*cell)})
        spread[cell] = _percentiles(own.sum(cells.dim).values, found[VALUE].values)
    origin = {SIGN: 1} if is_synthetic(found) else {}
    labels = xr.Dataset(coords={GROUP: cells.groups, SESSION: cells.sessions}, attrs=origin)
    return draw_boxes(ax, labels, spread, parts.axis_label(found[VALUE].attrs, VALUE))


def _percentiles(
    counts: npt.NDArray[np.int64], centres: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return percentiles of values that are spread evenly over each bin."""
    below = np.cumsum([0, *counts])
    if not below[-1]:
        return np.full(len(PERCENTILES), np.nan)
    half = (centres[-1] - centres[0]) / max(1, len(centres) - 1) / 2
    edges = [centres[0] - half, *(centres + half)]
    return np.asarray(np.interp(np.divide(PERCENTILES, 100) * below[-1], below, edges))
