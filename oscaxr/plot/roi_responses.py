"""The responses of single ROIs: as rows of one image, and from session to session."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.errors import CriterionError, MissingVariableError, TrackingError, WindowError, few
from oscaxr.measure import statistics
from oscaxr.measure.quality import roi_dim
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists, require_kind, require_numbers, require_rel_time, sessions_in
from oscaxr.select.alignment import align_tracked, tracked
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heatmap(
    data: xr.DataArray,
    ax: "Axes | None" = None,
    *,
    window: tuple[float, float] = (0.0, 0.6),
    order: Iterable[int] | None = None,
    sort_by: xr.DataArray | None = None,
    limit: float | None = None,
    about_zero: bool | None = None,
    colorbar: bool = True,
) -> Artists:
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
    order : iterable of int, optional
        Labels of the ROIs from top to bottom, instead.
    sort_by : xarray.DataArray, optional
        Other sequences (of another selection of segments, or of every second one), or a mean over
        them, or one value for each ROI, that the ROIs are sorted by instead. Noise that is sorted
        by itself looks like responses; sorted by what others show, it does not.
    limit : float, optional
        Value at the end of the colours; by default the 99th percentile of the values, or of the
        absolute ones if the colours lie about 0.
    about_zero : bool, optional
        Whether the colours lie evenly about 0, with red above and blue below. By default they do
        where data are scaled or a baseline was subtracted. Where they do not, they begin at the
        1st percentile.
    colorbar : bool, optional
        Whether to explain the colours beside the axes.

    Returns
    -------
    Artists
        ``image``, the strongest response on top; ``colorbar``, or None; ``event``, the line at the
        reference frame; ``order``, the labels of the ROIs from top to bottom.

    Raises
    ------
    MissingVariableError
        If the data run over no ROIs or not over ``rel_time``.
    WindowError
        If there is nothing to draw, or no frame in `window`.
    CriterionError
        If the data have other dims too, there is no ROI of a label in `order`, `sort_by` lacks one,
        or both are given.
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
    if order is not None and sort_by is not None:
        raise CriterionError("give order= or sort_by=, not both: each says how ROIs are sorted")
    mean = _mean_of_rois(data, rows).transpose(rows, n.REL_TIME)
    time = mean[n.REL_TIME].values
    if order is None:
        strengths = _strengths(mean if sort_by is None else sort_by, rows, window)
        places = _sorted_places(mean[rows], strengths)
    else:
        places = _places(mean[rows], order)
    values = mean.values[places]
    if about_zero is None:
        about_zero = bool(data.attrs.get("scaled") or data.attrs.get("baseline"))
    low, high = _color_limits(values, limit, about_zero)
    ax = axes.own_axes(ax)
    from matplotlib import colormaps

    half = (time[-1] - time[0]) / max(1, 2 * (len(time) - 1)) or 0.5
    image = ax.imshow(
        values,
        aspect="auto",
        cmap=colormaps["RdBu_r" if about_zero else "viridis"].with_extremes(bad="0.8"),
        vmin=low,
        vmax=high,
        extent=(time[0] - half, time[-1] + half, len(places), 0),
    )
    ax.set_xlabel(axes.axis_label(mean[n.REL_TIME].attrs, n.REL_TIME))
    sorted_by = "" if order is not None else ", sorted by response"
    ax.set_ylabel("ROIs" + (sorted_by if sort_by is None else ", sorted by other responses"))
    axes.few_ticks(ax.yaxis)
    bar = None
    figure = ax.figure
    if colorbar and figure is not None:
        label = axes.axis_label(data.attrs, data.name)
        bar = figure.colorbar(image, ax=ax, label=label, extend="both", pad=0.02)
    axes.say_session(ax, data)
    event = axes.event_line(ax)
    event.set_color("0.3" if about_zero else "w")
    labels = mean[rows].values[places]
    return Artists(image=image, colorbar=bar, event=event, order=labels)


def _mean_of_rois(data: xr.DataArray, rows: str) -> xr.DataArray:
    """Return the mean over sequences, if there are any: (ROI,) or (ROI, time)."""
    mean = statistics.mean(data, n.SEQUENCE) if n.SEQUENCE in data.dims else data
    others = set(mean.dims) - {rows, n.REL_TIME}
    if others:
        raise CriterionError(f"average over {sorted(map(str, others))} first")
    return mean


def _strengths(data: xr.DataArray, rows: str, window: tuple[float, float]) -> xr.DataArray:
    """Return what ROIs are sorted by: their mean response in the window, (ROI,)."""
    require_kind(data, xr.DataArray, "sort_by= as one array: sequences, or a value for each ROI")
    require_numbers(data)
    if roi_dim(data) != rows:
        raise CriterionError(f"sort_by= runs over {roi_dim(data)!r}, the data over {rows!r}")
    mean = _mean_of_rois(data, rows)
    if n.REL_TIME not in mean.dims:
        return mean
    time = mean[n.REL_TIME].values
    inside = (time >= window[0]) & (time < window[1])
    if not inside.any():
        found = f"only {time[0]:.3g} to {time[-1]:.3g} s" if time.size else "and no other"
        raise WindowError(f"no frame in window={window}, {found}")
    return statistics.mean(mean.isel({n.REL_TIME: inside}), n.REL_TIME)


def _sorted_places(labels: xr.DataArray, strengths: xr.DataArray) -> npt.NDArray[np.intp]:
    """Return where ROIs are, from the strongest to the weakest."""
    own = strengths.to_series()
    missing = sorted(set(labels.values.tolist()) - set(own.index))
    if missing:
        raise CriterionError(f"sort_by= lacks ROIs that are drawn: {few(map(str, missing))}")
    strength = own.loc[labels.values].to_numpy(np.float64)
    # ROIs without a value come last, whatever the sign of the others.
    return np.argsort(np.where(np.isnan(strength), np.inf, -strength), kind="stable")


def _color_limits(
    values: npt.NDArray[Any], limit: float | None, about_zero: bool
) -> tuple[float, float]:
    """Return the values at both ends of the colours."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (-1.0, 1.0) if about_zero else (0.0, 1.0)
    if about_zero:
        high = float(np.percentile(np.abs(known), 99) if limit is None else limit) or 1.0
        return -high, high
    low, high = (float(edge) for edge in np.percentile(known, (1, 99)))
    high = high if limit is None else limit
    return low, high if high > low else low + 1.0


def _places(labels: xr.DataArray, order: Iterable[int]) -> npt.NDArray[np.intp]:
    """Return where the ROIs of these labels are."""
    wanted = [int(label) for label in order]
    missing = sorted(set(wanted) - set(labels.values.tolist()))
    if missing:
        raise CriterionError(f"order names ROIs that are not in the data: {few(map(str, missing))}")
    return labels.to_index().get_indexer(pd.Index(wanted))


SESSION = "session"


def tracked_responses(
    sessions: Iterable[xr.Dataset] | xr.DataTree,
    criteria: Mapping[str, Any] | Callable[[xr.Dataset], Mapping[str, Any]] | None = None,
    *,
    name: str = n.DFF,
    window: tuple[float, float] = (0.0, 0.6),
    scale: bool = False,
) -> xr.DataArray:
    """Return the mean response of each tracked ROI in each session of a mouse.

    Parameters
    ----------
    sessions : iterable of xarray.Dataset, or xarray.DataTree
        Sessions of one mouse.
    criteria : mapping or callable, optional
        Which segments, as for :func:`oscaxr.select_segments`; ``{"gabor_frame": "U"}`` by default.
        A function gives those of a session, where sessions differ in them: ``within`` epochs.
    name : str, optional
        Variable over ROIs.
    window : tuple of float, optional
        Seconds from the start of the segment, the end excluded, to average over.
    scale : bool, optional
        Scale the traces first, as :func:`oscaxr.sequences` does.

    Returns
    -------
    xarray.DataArray
        (session, tracking_id), in the unit of the variable.

    Raises
    ------
    TrackingError
        If the sessions are of different mice, one is given twice, or their tracked ROIs are not
        the same.
    MissingVariableError
        If there is no such variable over ROIs.
    PlotInputError
        If other objects are given.

    Examples
    --------
    >>> import oscaxr as ox
    >>> specs = ox.sample.mouse_specs(n_rois=6, n_tracked=3, scale=0.05)
    >>> tracked_responses(ox.sample.session(spec) for spec in specs).sizes
    Frozen({'session': 3, 'tracking_id': 3})
    """
    wanted = {"gabor_frame": "U"} if criteria is None else criteria
    found = []
    for ds in sessions_in(sessions):
        chosen = select_segments(ds, **(wanted(ds) if callable(wanted) else wanted))
        windows = sequences(tracked(ds), name, chosen, pre=-window[0], post=window[1], scale=scale)
        roi_dim(windows)
        found.append(statistics.mean(statistics.mean(windows, n.REL_TIME), n.SEQUENCE))
    aligned: xr.DataArray = align_tracked(found, stack=False)
    numbers = np.asarray(aligned.coords.get(SESSION, np.arange(1, len(found) + 1)))
    return aligned.assign_coords({SESSION: (SESSION, numbers, {"long_name": "session"})})


def tracked_over_sessions(
    data: xr.DataArray | Sequence[xr.Dataset] | xr.DataTree,
    ax: "Axes | None" = None,
    *,
    color: Any = axes.UNEXPECTED,
    **options: Any,
) -> Artists:
    """Draw the response of each tracked ROI over the sessions, and their mean.

    Parameters
    ----------
    data : xarray.DataArray, sequence of xarray.Dataset or xarray.DataTree
        Responses (session, tracking_id), or the sessions of one mouse.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    color : colour, optional
        Of the mean.
    **options
        Of sessions, the options of :func:`tracked_responses`.

    Returns
    -------
    Artists
        ``rois``, a collection of one line an ROI, and ``mean``, with its standard error over ROIs.

    Raises
    ------
    TrackingError
        See :func:`tracked_responses`; or if there are no responses.
    MissingVariableError
        If an array has other dims.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> specs = ox.sample.mouse_specs(n_rois=6, n_tracked=3, scale=0.05)
    >>> drawn = tracked_over_sessions(list(map(ox.sample.session, specs)), Figure().subplots())
    >>> len(drawn.rois.get_segments())
    3
    """
    if not isinstance(data, xr.DataArray):
        data = tracked_responses(data, **options)
    elif set(data.dims) != {SESSION, n.TRACKING_ID}:
        raise MissingVariableError(f"the dims are {data.dims}, not ('session', 'tracking_id')")
    if not data.size:
        raise TrackingError(f"there is nothing to draw: the responses are {dict(data.sizes)}")
    require_numbers(data)
    ax = axes.own_axes(ax)
    values = data.transpose(n.TRACKING_ID, SESSION).values
    numbers = data[SESSION].values
    # A line of one point would not be seen.
    ends = numbers if len(numbers) > 1 else numbers + np.array([-0.1, 0.1])
    lines = axes.draw_lines(
        ax, ends, values, power=0.5, colors=axes.FAINT, linewidths=0.9,
        label=f"{len(values)} tracked ROIs", zorder=2,
    )  # fmt: skip
    found = statistics.stats(data, n.TRACKING_ID, stat="mean", error="sem")
    mean = ax.errorbar(
        numbers, found["mean"].values, yerr=found["sem"].values, color=color, linewidth=2,
        marker="o", markersize=5, capsize=3, label="mean, SEM", zorder=3,
    )  # fmt: skip
    ax.autoscale_view()
    ax.set_xticks(numbers)
    ax.set_xlim(numbers.min() - 0.3, numbers.max() + 0.3)
    ax.set_xlabel(axes.axis_label(data[SESSION].attrs, SESSION))
    ax.set_ylabel(axes.axis_label(data.attrs, data.name))
    axes.tidy(ax)
    axes.say_session(ax, data)
    # The lines are too faint to be recognised in the legend.
    for handle in axes.roomy_legend(ax, 2).legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return Artists(rois=lines, mean=mean)
