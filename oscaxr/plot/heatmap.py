"""The mean response of every ROI, as rows of one image."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, WindowError
from oscaxr.measure import statistics
from oscaxr.model import names as n
from oscaxr.plot import axes
from oscaxr.plot.checks import require_kind, require_numbers, require_rel_time, roi_dim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D


class HeatmapArtists(NamedTuple):
    """What :func:`heatmap` drew.

    Parameters
    ----------
    image : matplotlib.image.AxesImage
        Rows are ROIs, the strongest response on top.
    colorbar : matplotlib.colorbar.Colorbar or None
        Its colours.
    event : matplotlib.lines.Line2D
        The line at the reference frame.
    order : numpy.ndarray
        (roi,) labels of the ROIs from top to bottom.
    """

    image: "AxesImage"
    colorbar: "Colorbar | None"
    event: "Line2D"
    order: np.ndarray[Any, Any]


def heatmap(
    data: xr.DataArray,
    ax: "Axes | None" = None,
    *,
    window: tuple[float, float] = (0.0, 0.6),
    limit: float | None = None,
    colorbar: bool = True,
) -> HeatmapArtists:
    """Draw the mean response of each ROI over time, sorted by its strength.

    Parameters
    ----------
    data : xarray.DataArray
        Sequences (roi, sequence, rel_time), of which the mean over sequences is drawn, or such a
        mean; ``tracking_id`` may stand for ``roi``.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    window : tuple of float, optional
        Seconds from the reference frame, the end excluded, whose mean the ROIs are sorted by.
    limit : float, optional
        Value at both ends of the colours, which lie evenly about 0; by default the 99th percentile
        of the absolute values.
    colorbar : bool, optional
        Whether to explain the colours beside the axes.

    Returns
    -------
    HeatmapArtists
        Image, colour bar, line at time 0, and the order of the ROIs.

    Raises
    ------
    MissingVariableError
        If the data run over no ROIs or not over ``rel_time``.
    WindowError
        If there is nothing to draw, or no frame in `window`.
    CriterionError
        If the data have other dims too.
    PlotInputError
        If it is not an array.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    >>> heatmap(u, Figure().subplots()).image.get_array().shape
    (4, 60)
    """
    require_kind(data, xr.DataArray, "sequences, as of ds.osca.sequences(...), as one array")
    require_rel_time(data)
    require_numbers(data)
    rows = roi_dim(data)
    if not all(data.sizes.values()):
        raise WindowError(f"there is nothing to draw: the data have the sizes {dict(data.sizes)}")
    mean = statistics.mean(data, n.SEQUENCE) if n.SEQUENCE in data.dims else data
    others = set(mean.dims) - {rows, n.REL_TIME}
    if others:
        raise CriterionError(f"average over {sorted(map(str, others))} first")
    mean = mean.transpose(rows, n.REL_TIME)
    time = mean[n.REL_TIME].values
    inside = (time >= window[0]) & (time < window[1])
    if not inside.any():
        raise WindowError(
            f"no frame lies in window={window}; the responses last from {time[0]:.3g} to "
            f"{time[-1]:.3g} s"
        )
    strength = statistics.mean(mean.isel({n.REL_TIME: inside}), n.REL_TIME).values
    # ROIs without a value come last, whatever the sign of the others.
    order = np.argsort(np.where(np.isnan(strength), np.inf, -strength), kind="stable")
    values = mean.values[order]
    if limit is None:
        finite = np.abs(values[np.isfinite(values)])
        limit = float(np.percentile(finite, 99)) if finite.size else 1.0
    limit = limit or 1.0
    ax = axes.own_axes(ax)
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    half = (time[-1] - time[0]) / max(1, 2 * (len(time) - 1)) or 0.5
    image = ax.imshow(
        values,
        aspect="auto",
        cmap=colormaps["RdBu_r"].with_extremes(bad="0.8"),
        vmin=-limit,
        vmax=limit,
        extent=(time[0] - half, time[-1] + half, len(order), 0),
    )
    ax.set_xlabel(axes.axis_label(mean[n.REL_TIME].attrs, n.REL_TIME))
    ax.set_ylabel("ROIs, sorted by response")
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    bar = None
    figure = ax.figure
    if colorbar and figure is not None:
        bar = figure.colorbar(
            image, ax=ax, label=axes.axis_label(data.attrs, data.name), extend="both", pad=0.02
        )
    labels = mean[rows].values[order]
    return HeatmapArtists(image, bar, axes.event_line(ax), labels)
