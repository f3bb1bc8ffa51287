"""Mean responses over time with their error, in one or several groups."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.measure.statistics import stats
from oscaxr.measure.transform import baseline as subtract_baseline
from oscaxr.model import names as n
from oscaxr.plot import axes
from oscaxr.plot.checks import require_rel_time
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

Groups = Mapping[str, xr.DataArray | xr.Dataset]

# What is expected and what is not, in the words of the criteria. Visual flow is unexpected from
# the first segment of a run on, so the first ones are compared.
_COMPARED: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    n.GABORS: ({"gabor_frame": "D"}, {"gabor_frame": "U"}),
    n.VISFLOW: (
        {"stimulus": n.VISFLOW, "unexpected": 0, "run_start": True},
        {"stimulus": n.VISFLOW, "unexpected": 1, "run_start": True},
    ),
}


class ResponseArtists(NamedTuple):
    """What :func:`responses` drew.

    Parameters
    ----------
    lines : list of matplotlib.lines.Line2D
        One a group.
    bands : list of matplotlib.collections.PolyCollection
        One for each group that has an error.
    event : matplotlib.lines.Line2D
        The line at the reference frame.
    """

    lines: "list[Line2D]"
    bands: "list[PolyCollection]"
    event: "Line2D"


def responses(
    data: xr.DataArray | xr.Dataset | Groups,
    ax: "Axes | None" = None,
    *,
    colors: Sequence[Any] | None = None,
    legend: bool = True,
) -> ResponseArtists:
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
    colors : sequence of colours, optional
        One a group.
    legend : bool, optional
        Whether to name the groups, where they have names.

    Returns
    -------
    ResponseArtists
        Lines, bands and the line at time 0.

    Raises
    ------
    MissingVariableError
        If the data do not run over ``rel_time``, or hold no statistic.
    WindowError
        If there are no sequences to draw.
    CriterionError
        If they have too many dims for lines, or there are fewer colours than groups.
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    >>> drawn = responses({"unexpected": u}, Figure().subplots())
    >>> drawn.lines[0].axes.get_ylabel()
    'dF/F'
    """
    groups, title = _grouped(data)
    shades = axes.group_colors(len(groups)) if colors is None else list(colors)
    if len(shades) < len(groups):
        raise CriterionError(f"{len(shades)} colours were given for {len(groups)} groups")
    ax = axes.own_axes(ax)
    lines: list[Line2D] = []
    bands: list[PolyCollection] = []
    for (name, group), color in zip(groups.items(), shades, strict=False):
        middle, low, high = _middle_and_error(group)
        time = middle[n.REL_TIME].values
        (line,) = ax.plot(
            time, middle.values, color=color, linewidth=1.6, label=name or None, zorder=3
        )
        lines.append(line)
        if low is not None and high is not None:
            band = ax.fill_between(
                time, low.values, high.values, color=color, alpha=0.25, linewidth=0, zorder=2
            )  # fmt: skip
            bands.append(band)
    first = next(iter(groups.values()))
    ax.set_xlabel(axes.axis_label(first[n.REL_TIME].attrs, n.REL_TIME))
    attrs = first.attrs if "long_name" in first.attrs else _middle_and_error(first)[0].attrs
    ax.set_ylabel(axes.axis_label(attrs))
    ax.margins(x=0)
    axes.tidy(ax)
    if legend and any(groups):
        axes.roomy_legend(ax, len(groups), title)
    return ResponseArtists(lines, bands, axes.event_line(ax))


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
) -> ResponseArtists:
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
    ResponseArtists
        Lines and bands, expected first.

    Raises
    ------
    CriterionError
        If `stimulus` is neither of these.
    WindowError
        If there are no sequences of one kind.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Of a session's Gabors, the frames shown before and after are named along the top.

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
    pair: tuple[xr.DataArray, xr.DataArray]
    if isinstance(data, xr.Dataset):
        if stimulus not in _COMPARED:
            raise CriterionError(
                f"stimulus={stimulus!r} is not compared; it may be {sorted(_COMPARED)}"
            )
        chosen = [select_segments(data, **criteria) for criteria in _COMPARED[stimulus]]
        found = [sequences(data, name, part, pre=pre, post=post, scale=scale) for part in chosen]
        pair = (found[0], found[1])
        if stimulus == n.GABORS:
            words = ("expected (D)", "unexpected (U)")
    else:
        pair = data
    ax = axes.own_axes(ax)
    groups: dict[str, xr.DataArray] = {}
    for word, part in zip(words, pair, strict=True):
        count = f", {part.sizes[n.SEQUENCE]} sequences" if n.SEQUENCE in part.dims else ""
        groups[word + count] = part if baseline is None else subtract_baseline(part, baseline)
    drawn = responses(groups, ax, colors=(axes.EXPECTED, axes.UNEXPECTED))
    if isinstance(data, xr.Dataset) and stimulus == n.GABORS:
        _name_frames(ax, data, pair[1])
    return drawn


def _grouped(data: xr.DataArray | xr.Dataset | Groups) -> tuple[dict[str, xr.Dataset], str]:
    """Return statistics over ``rel_time`` by the name of the group, and what the names are."""
    if not isinstance(data, xr.DataArray | xr.Dataset):
        if not data:
            raise CriterionError("no groups were given to draw")
        return {str(name): _one_line(_as_stats(part)) for name, part in data.items()}, ""
    found = _as_stats(data)
    others = _other_dims(found)
    if not others:
        return {"": found}, ""
    if len(others) > 1:
        raise CriterionError(
            f"the data have the dims {others} besides {n.REL_TIME!r}; average over all but one of "
            "them"
        )
    (dim,) = others
    numbers = found[dim].dtype.kind in "iuf"
    lines = {
        f"{label:g}" if numbers else str(label): found.isel({dim: position})
        for position, label in enumerate(found[dim].values)
    }
    return lines, axes.axis_label(found[dim].attrs, dim)


def _as_stats(data: xr.DataArray | xr.Dataset) -> xr.Dataset:
    require_rel_time(data)
    if isinstance(data, xr.Dataset):
        if not {"mean", "median"} & set(data.data_vars):
            raise MissingVariableError(
                f"the Dataset has the variables {[str(name) for name in data.data_vars]}, but "
                "neither 'mean' nor 'median': give what oscaxr.stats returns for one variable"
            )
        return data
    over = [dim for dim in (n.SEQUENCE, n.ROI, n.TRACKING_ID) if dim in data.dims]
    if any(not data.sizes[dim] for dim in (*over, n.REL_TIME)):
        raise WindowError(
            f"there is nothing to draw: the sequences have the sizes {dict(data.sizes)}"
        )
    if not over:
        return xr.Dataset({"mean": data}, attrs=data.attrs)
    return stats(data, over, stat="mean", error="sem")


def _other_dims(found: xr.Dataset) -> list[str]:
    middle = found["mean" if "mean" in found else "median"]
    return [str(dim) for dim in middle.dims if dim != n.REL_TIME]


def _one_line(found: xr.Dataset) -> xr.Dataset:
    others = _other_dims(found)
    if others:
        raise CriterionError(
            f"a group has the dims {others} besides {n.REL_TIME!r}, but is one line; average over "
            "them, or give it alone to have one group for each label"
        )
    return found


def _middle_and_error(
    found: xr.Dataset,
) -> tuple[xr.DataArray, xr.DataArray | None, xr.DataArray | None]:
    """Return the line and the edges of its band."""
    middle = found["mean" if "mean" in found else "median"]
    if {"q25", "q75"} <= set(found.data_vars):
        return middle, found["q25"], found["q75"]
    for error in ("sem", "std", "mad"):
        if error in found:
            return middle, middle - found[error], middle + found[error]
    return middle, None, None


def _name_frames(ax: "Axes", ds: xr.Dataset, unexpected: xr.DataArray) -> None:
    """Write along the top which Gabor frames come before and after."""
    letters, starts = ds["gabor_frame"].values, ds["start_time"].values
    stops, stimuli = ds["stop_time"].values, ds["stimulus_type"].values
    segment = int(unexpected[n.SEQUENCE].values[len(unexpected[n.SEQUENCE]) // 2])
    at = int(np.flatnonzero(ds[n.SEGMENT].values == segment)[0])
    middles = (starts + stops) / 2 - starts[at]
    first, last = unexpected[n.REL_TIME].values[[0, -1]]
    shown = np.flatnonzero((middles > first) & (middles < last) & (stimuli == n.GABORS))
    above = ax.secondary_xaxis("top")
    above.set_xticks(
        middles[shown], ["D / U" if row == at else str(letters[row]) for row in shown]
    )  # fmt: skip
    above.tick_params(length=0, labelsize="small", pad=1)
    above.spines[:].set_visible(False)
