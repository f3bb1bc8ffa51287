"""How values of ROIs are distributed, and which of them are significant."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.analyses.discrimination import SIGNIFICANT_PERCENTILES
from oscaxr.analyses.value_shares import check_bins
from oscaxr.errors import CriterionError, WindowError
from oscaxr.plot.axes import Artists
from oscaxr.plot.grids import Grid, by_kind, draw_grid, name_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from oscaxr.plot.grids import Given

Mask = npt.NDArray[np.bool_]
Kinds = Mapping[str, tuple[Any, Mask]]
"""What is told apart: by its name, a colour, and which ROIs it is true of."""

_OTHERS: Final = "0.75"
_BINS: Final = 40


def usi_distribution(found: xr.Dataset, axes: "Given" = None, *, bins: int = _BINS) -> Artists:
    """Draw how the unexpected-stimulus indices of ROIs are distributed, and which are significant.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.usi` returns of a session, or such results pooled
        (:func:`oscaxr.analyses.pool`).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and session (column), row by row, or the figure to make them in;
        new ones by default.
    bins : int, optional
        Number of bars, the same in all panels.

    Returns
    -------
    Artists
        ``bars``: of each panel, row by row, the bars by what they show: ``"not significant"``,
        ``"significantly low"`` and ``"significantly high"``, or ``"ROIs"`` where there are no
        percentiles; None where there is no such session. ``words``, how many ROIs are which;
        ``panels``, the axes.

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

    Notes
    -----
    Bars are percentages of the ROIs with an index. Indices that are NaN or infinite are counted in
    words.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> found = ox.analyses.usi(ox.sample.session(n_rois=4, scale=0.05), permutations=100, seed=0)
    >>> usi_distribution(found, Figure().subplots()).words[0].get_text().split(":")[0]
    '4 ROIs'
    """
    found = parts.require_result(found, ["index"], "analyses.usi")
    low, high = SIGNIFICANT_PERCENTILES

    def kinds(part: xr.Dataset) -> Kinds:
        if "percentile" not in part:
            return {}
        percentile = part["percentile"].values
        return {
            "significantly low": (parts.PALETTE[0], percentile < low),
            "significantly high": (parts.PALETTE[1], percentile > high),
        }

    return _distributions(found, "index", kinds, axes, bins, "not significant")


def usi_null(found: xr.Dataset, ax: "Axes | None" = None, *, bins: int = _BINS) -> Artists:
    """Draw where the unexpected-stimulus index of an ROI lies among those of shuffled labels.

    Parameters
    ----------
    found : xarray.Dataset
        One ROI of what :func:`oscaxr.analyses.usi` returns with ``keep_null=True``:
        ``found.sel(roi=3)``.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    bins : int, optional
        Number of bars.

    Returns
    -------
    Artists
        ``bars`` of the shuffles; ``index``, the line of the index; ``bounds``, the lines of those
        percentiles beyond which it would be significant.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If the ROI has no index.
    CriterionError
        If there is more than one ROI, or `bins` is no number that it may be.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    References
    ----------
    Gillon, Pina et al. 2024, figure 4B.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.usi(ds, permutations=100, seed=0, keep_null=True)
    >>> drawn = usi_null(found.sel(roi=2), Figure().subplots())
    >>> bool(drawn.index.get_xdata()[0] == found["index"][2])
    True
    """
    needed = ["index", "percentile", "null"]
    found = parts.require_result(found, needed, "analyses.usi with keep_null=True")
    check_bins(bins)
    found = found.squeeze([dim for dim in found["index"].dims if found.sizes[dim] == 1])
    if found["index"].dims:
        raise CriterionError(
            f"the results are of {found['index'].size} ROIs: choose one, as in found.sel(roi=3)"
        )
    null, index = found["null"].values, float(found["index"])
    if not (np.isfinite(index) and np.isfinite(null).all()):
        raise WindowError(f"there is nothing to draw: the index is {index}, or those of shuffles")
    ax = parts.own_axes(ax)
    counts, _, bars = ax.hist(null, bins=bins, color=parts.FAINT)

    def mark(at: float, label: str | None, **style: Any) -> Any:
        # No higher than the bars: above them is the legend.
        return ax.plot([at, at], [0, np.max(counts)], label=label, **style)[0]

    words = "percentiles {:g} and {:g}".format(*SIGNIFICANT_PERCENTILES)
    style = {"color": "0.3", "linestyle": "--", "linewidth": 0.8}
    edges = np.percentile(null, SIGNIFICANT_PERCENTILES)
    bounds = [mark(at, label, **style) for at, label in zip(edges, (words, None), strict=True)]
    label = f"index: percentile {float(found['percentile']):.1f}"
    line = mark(index, label, color=parts.UNEXPECTED)
    ax.set_ylim(bottom=0)
    parts.roomy_legend(ax, 2)
    ax.set_xlabel(parts.axis_label(found["index"].attrs, "index"))
    ax.set_ylabel("shuffles")
    parts.tidy(ax)
    parts.say_session(ax, found)
    return Artists(bars=bars, index=line, bounds=bounds)


def responsive_rois(found: xr.Dataset, axes: "Given" = None, *, bins: int = _BINS) -> Artists:
    """Draw how the responses of ROIs are distributed, and which ROIs are responsive.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.responsive_rois` returns of a session, or such results pooled
        (:func:`oscaxr.analyses.pool`).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and session (column), row by row, or the figure to make them in;
        new ones by default.
    bins : int, optional
        Number of bars, the same in all panels.

    Returns
    -------
    Artists
        As of :func:`usi_distribution`, with ``"not responsive"`` and ``"responsive"``.

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

    Notes
    -----
    Bars are percentages of the ROIs with a response. Responses that are NaN are counted in words.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.responsive_rois(ds, permutations=100, seed=0)
    >>> list(responsive_rois(found, Figure().subplots()).bars[0])
    ['not responsive', 'responsive']
    """
    found = parts.require_result(found, ["response", "responsive"], "analyses.responsive_rois")

    def kinds(part: xr.Dataset) -> Kinds:
        return {"responsive": (parts.PALETTE[1], part["responsive"].values.astype(bool))}

    return _distributions(found, "response", kinds, axes, bins, "not responsive")


def _distributions(
    found: xr.Dataset,
    name: str,
    kinds: Callable[[xr.Dataset], Kinds],
    axes: "Given",
    bins: int,
    others: str,
) -> Artists:
    """Draw the values of ROIs as stacked bars, one panel for each group and session."""
    check_bins(bins)
    parts.require_numbers(found[name])
    grid = Grid.of_rois(found, name)
    values = found[name].values.astype(np.float64)
    edges = np.histogram_bin_edges(values[np.isfinite(values)], bins)

    def draw(ax: "Axes", part: xr.Dataset) -> tuple[dict[str, Any], Any]:
        own = part[name].values.astype(np.float64)
        known = np.isfinite(own)
        marked = {kind: (color, mask & known) for kind, (color, mask) in kinds(part).items()}
        rest = known & ~np.any([np.zeros_like(known), *(m for _, m in marked.values())], axis=0)
        marked = {others if marked else "ROIs": (_OTHERS, rest), **marked}
        drawn, bottom = {}, np.zeros(len(edges) - 1)
        for kind, (color, mask) in marked.items():
            heights = 100 * np.histogram(own[mask], edges)[0] / max(1, known.sum())
            # One patch each: hundreds of bars in each of twelve panels take seconds.
            top = bottom + heights
            drawn[kind] = ax.stairs(
                top, edges, baseline=bottom, fill=True, color=color, label=kind, linewidth=0
            )
            bottom = top
        ax.axvline(0, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=3)
        return drawn, parts.say_above(ax, _counted(own, marked))

    label = parts.axis_label(found[name].attrs, name)
    drawn, panels = draw_grid(found, grid, axes, draw, xlabel=label, ylabel="ROIs (%)")
    bars, words = by_kind(drawn, 2)
    parts.room_above(panels[0], max(one.get_text().count("\n") for one in words if one) + 1.5)
    if len(next(one for one in bars if one is not None)) > 1:
        name_parts(panels, drawn, len(grid.columns))
    return Artists(bars=bars, words=words, panels=panels)


def _counted(values: npt.NDArray[np.float64], marked: Kinds) -> str:
    """Say how many ROIs are which."""
    of_kinds = [f"{mask.sum()} {kind}" for kind, (_, mask) in list(marked.items())[1:]]
    unknown = int((~np.isfinite(values)).sum())
    of_kinds += [f"{unknown} NaN or infinite"] if unknown else []
    return f"{len(values)} ROIs" + (":" if of_kinds else "") + "".join(f"\n{k}" for k in of_kinds)
