"""Running and pupil, or ROIs, in pairs of an expected and an unexpected run of a stimulus."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.pooling import GROUP, PAIR, RESPONSE_GROUP, Cells
from oscaxr.errors import CriterionError, WindowError
from oscaxr.measure import statistics
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists
from oscaxr.plot.sections import Sections, draw_points, finish
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_KINDS: Final = {"expected": axes.EXPECTED, "unexpected": axes.UNEXPECTED}
_APART: Final = 0.2
_MAKER: Final = "analyses.block_responses"


def block_pairs(found: xr.Dataset, ax: "Axes | None" = None, name: str = n.RUN_VELOCITY) -> Artists:
    """Draw the responses in expected runs beside those in the unexpected runs that follow.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.block_responses` returns of a session, of which the pairs are
        drawn in the order of time; or such results pooled by ``pool(results, dim="pair")``, of
        which each group and session has its pairs as lines.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    name : str, optional
        Which variable.

    Returns
    -------
    Artists
        ``pairs``, a collection of one line a pair, for each group and session in turn; ``points``,
        the error bars of the expected and of the unexpected responses: of a session, of each run,
        otherwise their mean and SEM over the pairs.

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
    >>> found = ox.analyses.block_responses(ox.sample.session(n_rois=4, scale=0.1))
    >>> len(block_pairs(found, Figure().subplots(), "pupil_diameter").pairs[0].get_segments())
    3
    """
    found = axes.require_result(found, (name,), _MAKER)
    kinds = RESPONSE_GROUP if RESPONSE_GROUP in found[name].dims else GROUP
    if set(found[name].dims) != {kinds, PAIR}:
        raise CriterionError(
            f"{name!r} has the dims {[str(dim) for dim in found[name].dims]}; this picture needs "
            f"what {_MAKER} returns, one number for each run: select or average first"
        )
    axes.require_numbers(found[name])
    if not found.sizes[PAIR]:
        raise WindowError("there is nothing to draw: no pair of runs was given")
    values = found[name].sel({kinds: [*_KINDS]}).transpose(PAIR, kinds).values.astype(np.float64)
    if kinds == RESPONSE_GROUP:
        return _of_groups(Cells(found), values, axes.own_axes(ax), found[name].attrs)
    axes.require_result(found, (f"{name}_sem",), _MAKER)
    ax = axes.own_axes(ax)
    sem = found[f"{name}_sem"].sel({kinds: [*_KINDS]}).transpose(PAIR, kinds).values
    x = np.arange(1, len(values) + 1)[:, None] + np.array([-_APART, _APART])
    pairs = axes.draw_lines(ax, x, values, power=0.0, colors=axes.FAINT, linewidths=0.9, zorder=2)
    points = [
        [
            ax.errorbar(
                x[:, k], values[:, k], yerr=sem[:, k], fmt="o", color=color, markersize=4.5,
                linewidth=1.2, capsize=2.5, label=f"{kind}: mean, SEM", zorder=3,
            )
        ]
        for k, (kind, color) in enumerate(_KINDS.items())
    ]  # fmt: skip
    ax.set_xlim(0.4, len(values) + 0.6)
    axes.few_ticks(ax.xaxis)
    ax.set_xlabel("pair of an expected and an unexpected run")
    ax.set_ylabel(axes.axis_label(found[name].attrs, name))
    axes.tidy(ax)
    axes.say_session(ax, found)
    axes.roomy_legend(ax, len(_KINDS))
    return Artists(pairs=[pairs], points=points)


def _of_groups(cells: Cells, values: Floats, ax: "Axes", attrs: Any) -> Artists:
    """Draw the pairs of each group and session beside each other, and their means."""
    labels = xr.Dataset(coords={GROUP: cells.groups, SESSION: cells.sessions}, attrs=cells.origin)
    sections = Sections(labels if SESSION in cells.by else labels.drop_vars(SESSION), SESSION)
    own = {cell: values[cells.rows(*cell)] for cell in np.ndindex(*cells.shape)}
    pairs = [
        axes.draw_lines(
            ax, sections.x[cell] + np.array([-_APART, _APART]), rows, power=0.5,
            colors=axes.FAINT, linewidths=0.8, zorder=2,
        )
        for cell, rows in own.items()
    ]  # fmt: skip
    mean, sem = np.full((2, *cells.shape, len(_KINDS)), np.nan)
    for cell, rows in own.items():
        found = statistics.stats(xr.DataArray(rows, dims=(PAIR, "kind")), PAIR)
        mean[cell], sem[cell] = found["mean"].values, found["sem"].values
    points = [
        draw_points(
            ax, sections, mean[..., k], sem[..., k], color=color, linestyle="none",
            offset=(2 * k - 1) * _APART, label=f"{kind}: mean, SEM",
        )
        for k, (kind, color) in enumerate(_KINDS.items())
    ]  # fmt: skip
    ax.plot([], [], color=axes.FAINT, label="pairs of runs")
    finish(ax, sections, [], axes.axis_label(attrs))
    return Artists(pairs=pairs, points=points)
