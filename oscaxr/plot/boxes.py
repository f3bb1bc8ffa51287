"""How values are spread in each group and session: median, quartiles and 5-95 % range."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.pooling import GROUP
from oscaxr.model.synthetic import SIGN, is_synthetic
from oscaxr.plot.axes import Artists
from oscaxr.plot.grids import Grid
from oscaxr.plot.sections import Sections, finish
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERCENTILES: Final = (5, 25, 50, 75, 95)
"""Ends and edges of a box, and its median."""
_PARTS: Final = ("whislo", "q1", "med", "q3", "whishi")
_WIDTH: Final = 0.6


def snr(
    found: xr.Dataset,
    ax: "Axes | None" = None,
    *,
    name: str = "snr",
) -> Artists:
    """Draw the signal-to-noise ratios of ROIs, or their signal or noise, by group and session.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.snr` returns of a session, or such results pooled
        (:func:`oscaxr.analyses.pool`).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    name : {"snr", "signal", "noise_mean", "noise_std", "noise_threshold"}, optional
        The variable.

    Returns
    -------
    Artists
        ``boxes``: of each group, one for each session: its ``boxes``, ``medians``, ``whiskers`` and
        ``caps`` by name; None where no ROI has a value.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    WindowError
        If there is nothing to draw.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Boxes are median and quartiles, whiskers the 5th and 95th percentiles. NaNs are left out.

    References
    ----------
    Gillon, Lecoq et al. 2023, figures 7A and 7B.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> drawn = snr(ox.snr(ds), Figure().subplots())
    >>> len(drawn.boxes[0][0]["medians"])
    1
    """
    found = axes.require_result(found, [name], "snr")
    axes.require_numbers(found[name])
    grid = Grid.of_rois(found, name)
    spread = [[_percentiles(part, name) for part in row] for row in grid.parts]
    columns = [one.removeprefix(f"{SESSION} ") for one in grid.columns]
    origin = {SIGN: 1} if is_synthetic(found) else {}
    labels = xr.Dataset(coords={GROUP: grid.rows, SESSION: columns}, attrs=origin)
    return draw_boxes(ax, labels, np.array(spread), axes.axis_label(found[name].attrs, name))


def _percentiles(part: xr.Dataset | None, name: str) -> npt.NDArray[np.float64]:
    values = np.empty(0) if part is None else part[name].values.astype(np.float64)
    known = values[np.isfinite(values)]
    return np.percentile(known, PERCENTILES) if len(known) else np.full(len(PERCENTILES), np.nan)


def draw_boxes(
    ax: "Axes | None", labels: xr.Dataset, spread: npt.NDArray[np.float64], label: str
) -> Artists:
    """Draw percentiles (group, session, percentile) as boxes; where they are NaN, none."""
    sections = Sections(labels, SESSION)
    ax = axes.own_axes(ax)
    drawn: list[list[Any]] = [
        [
            None
            if np.isnan(own).any()
            else ax.bxp(
                [dict(zip(_PARTS, own, strict=True))], [x], showfliers=False, widths=_WIDTH,
                medianprops={"color": axes.UNEXPECTED}, manage_ticks=False,
            )
            for x, own in zip(*row, strict=True)
        ]
        for row in zip(sections.x, spread, strict=True)
    ]  # fmt: skip
    ax.plot([], [], " ", label="median, quartiles, 5-95 %")
    finish(ax, sections, [], label)
    return Artists(boxes=drawn)
