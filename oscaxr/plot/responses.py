"""Mean responses over time with their error, in one or several groups; expected and unexpected."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.splits import split
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.measure.quality import roi_dim
from oscaxr.measure.statistics import mean, stats
from oscaxr.measure.transform import baseline as subtract_baseline
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists
from oscaxr.plot.stimulus import shade_gabor_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

Groups = Mapping[str, xr.DataArray | xr.Dataset]

_AVERAGED: Final = (n.SEQUENCE, n.ROI, n.TRACKING_ID)
_OVER: Final = {n.SEQUENCE: "sequences", n.ROI: "ROIs", n.TRACKING_ID: "tracked ROIs"}
_ERRORS: Final = {"q25": "quartiles", "sem": "SEM", "std": "SD", "mad": "MAD"}
_MOST_GROUPS: Final = 30
_MANY_ROIS: Final = 100
_EXTREMES: Final = (1.0, 99.0)


def responses(
    data: xr.DataArray | xr.Dataset | Groups,
    ax: "Axes | None" = None,
    *,
    rois: bool = False,
    gabor_frames: xr.Dataset | None = None,
    colors: Sequence[Any] | None = None,
    legend: bool = True,
) -> Artists:
    """Draw mean responses over time, with a band for the error.

    Parameters
    ----------
    data : xarray.DataArray, xarray.Dataset or mapping of them
        Sequences, (..., sequence, rel_time), or what :func:`oscaxr.stats` made of them. Of
        sequences the mean over sequences, then over ROIs, is drawn, with the standard error over
        ROIs (over sequences where there are no ROIs). A mapping gives several groups by name; one
        dim more than these, for example after ``groupby``, gives one group for each of its labels.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    rois : bool, optional
        Whether to draw the mean response of each ROI too, thin, behind the mean. Of more than 100
        ROIs, the axes are as high as the 1st and 99th percentiles of their values.
    gabor_frames : xarray.Dataset, optional
        The session: shades and names the Gabor frames around the reference frame
        (:func:`shade_gabor_frames`). Needs sequences.
    colors : sequence of colours, optional
        One a group.
    legend : bool, optional
        Whether to name the groups, and what the bands are.

    Returns
    -------
    Artists
        ``lines``, one a group; ``bands``, one for each group that has an error; ``event``, the line
        at the reference frame; ``rois``, a collection of lines for each group, if they were asked
        for; ``gabor_frames``, what :func:`shade_gabor_frames` returns, or None.

    Raises
    ------
    MissingVariableError
        If the data do not run over ``rel_time``, hold no statistic, or have no ROIs to draw.
    WindowError
        If there are no sequences to draw.
    CriterionError
        If they have too many dims for lines, are different quantities, which do not share an axis,
        there are more than 30 groups or fewer colours than groups, or Gabor frames cannot be
        shaded.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    >>> drawn = responses({"unexpected": u}, Figure().subplots(), rois=True, gabor_frames=ds)
    >>> drawn.lines[0].axes.get_ylabel()
    'dF/F'
    >>> len(drawn.rois[0].get_segments())
    4
    """
    parts, title = _named(data)
    if len(parts) > _MOST_GROUPS:
        raise CriterionError(
            f"there are {len(parts)} groups; lines of more than {_MOST_GROUPS} cannot be told "
            "apart. Choose some of them, join them (groupby_bins), or draw them as rows "
            "(oscaxr.plot.heatmap)"
        )
    groups = {name: _group(part, rois) for name, part in parts.items()}
    shades = axes.group_colors(len(groups)) if colors is None else list(colors)
    if len(shades) < len(groups):
        raise CriterionError(f"{len(shades)} colours were given for {len(groups)} groups")
    # Of the data that say what they are.
    quantities = {
        name: axes.axis_label(found.attrs)
        for name, (found, _) in groups.items()
        if found.attrs.get("long_name")
    }
    axes.require_one_quantity(quantities)
    ax = axes.own_axes(ax)
    from matplotlib.patches import Rectangle

    lines, bands, traces = [], [], []
    for (name, (found, of_rois)), color in zip(groups.items(), shades, strict=False):
        middle, band = _middle(found), _band(found)
        time = middle[n.REL_TIME].values
        if of_rois is not None:
            shade, fainter = (color, 0.4) if len(groups) > 1 else ("0.5", 1.0)
            traces.append(_draw_rois(ax, of_rois, shade, fainter))
        (line,) = ax.plot(time, middle.values, color=color, lw=1.6, label=name or None, zorder=3)
        lines.append(line)
        if band is not None:
            low, high = (edge.values for edge in band)
            bands.append(ax.fill_between(time, low, high, color=color, alpha=0.25, lw=0, zorder=2))
    first, _ = next(iter(groups.values()))
    ax.set_xlabel(axes.axis_label(first[n.REL_TIME].attrs, n.REL_TIME))
    ax.set_ylabel(next(iter(quantities.values()), axes.axis_label(_middle(first).attrs)))
    ax.margins(x=0)
    axes.tidy(ax)
    top = ax.get_ylim()[1]
    height = 1.0
    if legend and (bands or any(groups)):
        _name_lines(ax, lines, list(parts.values()), groups, title, below=gabor_frames is not None)
        height = _height_of(ax, top)
        for collection in traces:
            # A few may be higher than the axes were: they end below the legend.
            collection.set_clip_path(Rectangle((0, 0), 1, height, transform=ax.transAxes))
    event = axes.event_line(ax)
    axes.say_session(ax, *parts.values())
    shading = None
    if gabor_frames is not None:
        wanted = "sequences to shade Gabor frames"
        shown = [axes.require_kind(part, xr.DataArray, wanted) for part in parts.values()]
        shading = shade_gabor_frames(ax, gabor_frames, shown, height=height)
    return Artists(lines=lines, bands=bands, event=event, rois=traces, gabor_frames=shading)


def _named(data: xr.DataArray | xr.Dataset | Groups) -> tuple[Groups, str]:
    """Return the groups by name, and what the names are."""
    if not isinstance(data, xr.DataArray | xr.Dataset):
        wanted = "sequences or their statistics, or several of them by name"
        if not axes.require_kind(data, Mapping, wanted):
            raise CriterionError("no groups were given to draw")
        return {str(name): part for name, part in data.items()}, ""
    others = _other_dims(data)
    if len(others) != 1 or not data.sizes[others[0]]:
        return {"": data}, ""
    (dim,) = others
    labels = data[dim]
    words = "{:g}" if labels.dtype.kind in "iuf" else "{}"
    parts = {words.format(one): data.isel({dim: k}) for k, one in enumerate(labels.values)}
    return parts, axes.axis_label(labels.attrs, dim)


def _other_dims(data: xr.DataArray | xr.Dataset) -> list[str]:
    """Return the dims of data that are neither averaged over nor drawn over."""
    axes.require_rel_time(data)
    if isinstance(data, xr.Dataset):
        return [str(dim) for dim in _middle(data).dims if dim != n.REL_TIME]
    return [str(dim) for dim in data.dims if dim not in (*_AVERAGED, n.REL_TIME)]


def _group(data: xr.DataArray | xr.Dataset, rois: bool) -> tuple[xr.Dataset, xr.DataArray | None]:
    """Return the statistics of one line, and the traces of its ROIs if they are drawn too."""
    axes.require_kind(data, (xr.DataArray, xr.Dataset), "sequences or their statistics")
    others = _other_dims(data)
    if others:
        raise CriterionError(
            f"a group is one line, but has the dims {others}: average over all but one of them, "
            "and give it alone to have a group for each label"
        )
    if isinstance(data, xr.Dataset):
        if rois:
            raise MissingVariableError("rois=True: statistics have no ROIs' traces: give sequences")
        return data, None
    axes.require_numbers(data)
    over = [dim for dim in _AVERAGED if dim in data.dims]
    if any(not data.sizes[dim] for dim in (*over, n.REL_TIME)):
        raise WindowError(f"there is nothing to draw: the sizes are {dict(data.sizes)}")
    traces = None
    if rois:
        roi_dim(data)
        traces = data = mean(data, n.SEQUENCE) if n.SEQUENCE in over else data
        over = over[-1:]
    if not over:
        return xr.Dataset({"mean": data}, attrs=data.attrs), None
    return stats(data, over, stat="mean", error="sem"), traces


def _name_lines(
    ax: "Axes",
    lines: "Sequence[Line2D]",
    parts: Sequence[xr.DataArray | xr.Dataset],
    groups: Mapping[str, tuple[xr.Dataset, xr.DataArray | None]],
    title: str,
    *,
    below: bool,
) -> None:
    """Name the lines, and what their bands are."""
    from matplotlib.patches import Patch

    if len(groups) == 1 and not any(groups):
        (found, _), *_ = groups.values()
        lines[0].set_label(str(_middle(found).name))
    errors = [
        _error_words(found, part) for (found, _), part in zip(groups.values(), parts, strict=True)
    ]
    said = ", ".join(dict.fromkeys(filter(None, errors)))
    color = lines[0].get_color() if len(lines) == 1 else "0.4"
    named = [Patch(facecolor=color, alpha=0.3, label=f"band: {said}")] if said else []
    axes.roomy_legend(ax, len(lines) + len(named), title, [*lines, *named], below=int(below))


def _height_of(ax: "Axes", y: float) -> float:
    """Return how high a value lies, as a share of the height of the axes."""
    return float((ax.transData + ax.transAxes.inverted()).transform((0, y))[1])


def _error_words(found: xr.Dataset, given: xr.DataArray | xr.Dataset) -> str:
    """Say what the band of a group is, and over what where that is known."""
    error = next((words for name, words in _ERRORS.items() if name in found), "")
    over = [dim for dim in _AVERAGED if dim in given.dims and isinstance(given, xr.DataArray)]
    return f"{error} over {_OVER[over[-1]]}" if error and over else error


def _draw_rois(ax: "Axes", traces: xr.DataArray, color: Any, fainter: float) -> "LineCollection":
    """Draw the trace of each ROI."""
    values = traces.transpose(roi_dim(traces), n.REL_TIME).values
    time = traces[n.REL_TIME].values
    lines = axes.draw_lines(
        ax, time, values, power=1, fainter=fainter, autolim=False,
        colors=color, linewidths=0.7, zorder=1.5,
    )  # fmt: skip
    known = values[np.isfinite(values)]
    if known.size:
        # A few ROIs out of very many must not press the mean flat.
        few = _EXTREMES if len(values) > _MANY_ROIS else (0.0, 100.0)
        low, high = np.percentile(known, few)
        ax.update_datalim([(time[0], low), (time[-1], high)])
    return lines


def _middle(found: xr.Dataset) -> xr.DataArray:
    if not {"mean", "median"} & set(found.data_vars):
        raise MissingVariableError(
            f"the Dataset of {list(map(str, found))} has neither 'mean' nor 'median': give what "
            "oscaxr.stats returns for one variable"
        )
    return found["mean" if "mean" in found else "median"]


def _band(found: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return the edges of the band about the line, if there is an error."""
    if {"q25", "q75"} <= set(found.data_vars):
        return found["q25"], found["q75"]
    middle = _middle(found)
    for error in ("sem", "std", "mad"):
        if error in found:
            return middle - found[error], middle + found[error]
    return None


def expected_unexpected(
    data: xr.Dataset | tuple[xr.DataArray, xr.DataArray],
    ax: "Axes | None" = None,
    *,
    stimulus: str = n.GABORS,
    name: str = n.DFF,
    pre: float = 1.0,
    post: float = 1.0,
    scale: bool = False,
    baseline: float | None = None,
) -> Artists:
    """Draw the responses to what was expected and to what was not.

    Parameters
    ----------
    data : xarray.Dataset or two xarray.DataArray
        A session; or the sequences of expected and of unexpected segments.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    stimulus : {"gabors", "visflow"}, optional
        Of a session, D and U Gabor frames, or the first segments of each run of expected and of
        unexpected flow.
    name : str, optional
        Variable of the session.
    pre, post : float, optional
        Seconds before and after the start of the segments.
    scale : bool, optional
        Scale the traces of the session as :func:`oscaxr.sequences` does.
    baseline : float, optional
        Subtract from each sequence the mean of its first so many seconds.

    Returns
    -------
    Artists
        What :func:`responses` returns, expected first.

    Raises
    ------
    CriterionError
        If `stimulus` is neither of these, the session has no segments of one kind, or the two are
        different quantities.
    PlotInputError
        If `data` are neither a session nor two arrays.
    WindowError
        If there are no sequences of one kind.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Of a session's Gabors, the frames shown before and after are shaded and named along the top.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> drawn = expected_unexpected(ds, Figure().subplots())
    >>> [line.get_label().split(",")[0] for line in drawn.lines]
    ['expected (D)', 'unexpected (U)']
    """
    words = ("expected", "unexpected")
    if isinstance(data, xr.Dataset):
        # Visual flow is unexpected from the first segment of a run on: the first are compared.
        found = split(
            data, "unexpected", stimulus,
            name=name, window=(-pre, post), integrated=False, scale=scale,
            gabor_kappa=None, square_size=None, run_start=stimulus == n.VISFLOW,
        )  # fmt: skip
        pair = list(found.values())
        if stimulus == n.GABORS:
            words = ("expected (D)", "unexpected (U)")
    else:
        wanted = "a session, or the sequences of expected and of unexpected segments as two arrays"
        given = axes.require_kind(data, (tuple, list), wanted)
        if len(given) != 2:
            raise axes.PlotInputError(
                f"this picture needs {wanted}; it was given {len(given)} of them"
            )
        pair = [axes.require_kind(part, xr.DataArray, wanted) for part in given]
    groups: dict[str, xr.DataArray] = {}
    for word, part in zip(words, pair, strict=True):
        count = f", {part.sizes[n.SEQUENCE]} sequences" if n.SEQUENCE in part.dims else ""
        groups[word + count] = part if baseline is None else subtract_baseline(part, baseline)
    of_gabors = data if isinstance(data, xr.Dataset) and stimulus == n.GABORS else None
    return responses(groups, ax, colors=(axes.EXPECTED, axes.UNEXPECTED), gabor_frames=of_gabors)
