"""Mean traces of groups of sessions, and how well they are decoded from frame to frame."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.analyses.chance import ALPHA, null_interval
from oscaxr.analyses.pooling import BOUND, BOUNDS, GROUP, RESPONSE_GROUP
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists
from oscaxr.plot.grids import Grid, by_kind, draw_grid, name_parts
from oscaxr.plot.sections import NULL, Sections, Series, chance_label, draw_series
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from oscaxr.plot.grids import Given

_NULL: Final = "null"
_OF_KINDS: Final = {"expected": parts.EXPECTED, "unexpected": parts.UNEXPECTED}
_FRAMES: Final = (n.REL_FRAME, n.REL_TIME)


def group_traces(found: xr.Dataset, axes: "Given" = None) -> Artists:
    """Draw the mean traces of each group and session, with bands for the standard error.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.group_means` returns of pooled traces
        (:func:`oscaxr.analyses.mean_traces`).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and session (column), row by row, or the figure to make them in;
        new ones by default.

    Returns
    -------
    Artists
        ``lines`` and ``bands``: of each panel, row by row, a list of one for each group of
        responses, such as expected and unexpected, or None where there is no such session;
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

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> pooled = ox.analyses.pool([ox.analyses.mean_traces(ds) for ds in mouse])
    >>> drawn = group_traces(ox.analyses.group_means(pooled, "mean"), Figure())
    >>> len(drawn.panels), [line.get_label() for line in drawn.lines[0]]
    (3, ['expected', 'unexpected'])
    """
    found = parts.require_result(found, ("mean", "sem"), "analyses.group_means")
    over = _time_of(found, "analyses.group_means of traces")
    further = set(found["mean"].dims) - {GROUP, SESSION, RESPONSE_GROUP, over}
    if further:
        raise CriterionError(
            f"select from {sorted(map(str, further))}, or average over them, first"
        )

    def draw(ax: "Axes", part: xr.Dataset) -> tuple[list[Any], list[Any]]:
        kinds = part
        if RESPONSE_GROUP not in part["mean"].dims:
            kinds = part.drop_vars(RESPONSE_GROUP, errors="ignore").expand_dims(RESPONSE_GROUP)
        names = kinds[RESPONSE_GROUP].values.tolist() if RESPONSE_GROUP in kinds.coords else [""]
        colors = parts.group_colors(len(names))
        lines, bands = [], []
        for name, color, place in zip(names, colors, range(len(names)), strict=True):
            own = kinds.isel({RESPONSE_GROUP: place})
            line, band = _trace(ax, own, over, _OF_KINDS.get(str(name), color), str(name))
            lines.append(line)
            bands.append(band)
        parts.event_line(ax)
        return lines, bands

    grid = Grid.of_groups(found, "mean")
    label = parts.axis_label(found["mean"].attrs, "mean")
    drawn, panels = draw_grid(
        found, grid, axes, draw, xlabel=_time_label(found), ylabel=label, share_y="row"
    )
    name_parts(panels, drawn, len(grid.columns), "band: SEM")
    lines, bands = by_kind(drawn, 2)
    return Artists(lines=lines, bands=bands, panels=panels)


def _time_of(found: xr.Dataset, maker: str) -> str:
    """Return which dim is time."""
    over = [dim for dim in _FRAMES if dim in found["mean"].dims]
    if not over:
        raise MissingVariableError(
            f"the results have the dims {[str(dim) for dim in found['mean'].dims]}; this picture "
            f"is over time and needs {maker}"
        )
    return over[0]


def _time_label(found: xr.Dataset) -> str:
    attrs = found[n.REL_TIME].attrs if n.REL_TIME in found.coords else {"long_name": "frame"}
    return parts.axis_label(attrs, n.REL_TIME)


def _times(part: xr.Dataset, over: str) -> Any:
    return part[n.REL_TIME if n.REL_TIME in part.coords else over].values


def _trace(ax: "Axes", part: xr.Dataset, over: str, color: Any, label: str) -> tuple[Any, Any]:
    """Draw one line and its band."""
    time = _times(part, over)
    mean, sem = (part[name].squeeze().values for name in ("mean", "sem"))
    (line,) = ax.plot(time, mean, color=color, linewidth=1.5, label=label, zorder=3)
    band = ax.fill_between(time, mean - sem, mean + sem, color=color, alpha=0.25, lw=0, zorder=2)
    ax.margins(x=0)
    return line, band


# -- decoding -------------------------------------------------------------------------------------
def decoding(found: xr.Dataset, axes: "Given" = None) -> Artists:
    """Draw how well sessions are decoded, against what shuffled labels give.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.decode` returns of a session, or
        :func:`oscaxr.analyses.group_decoding` of groups of them.
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        The axes, or the figure to make them in; new ones by default. Time courses need one for
        each group (row) and session (column), row by row.

    Returns
    -------
    Artists
        Of scores: as of :func:`group_differences`. Of time courses: ``lines``, ``bands`` (SEM),
        ``nulls`` (what chance gives, None without shuffles) and ``marks`` (the frames decoded
        better than that, along the top), one for each panel, row by row, None where there is no
        such session; and ``panels``, the axes.

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
    A dashed line is at the accuracy of guessing. Gray is the interval of the fits with permuted
    labels, of the upper tail: its lower end is their lowest.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.decode(ds, counts="all", splits=5, shuffles=20, seed=1)
    >>> drawn = decoding(found, Figure().subplots())
    >>> len(drawn.points[0]), len(drawn.nulls)
    (1, 1)
    """
    found = parts.require_result(found, ("mean", "sem"), "analyses.decode")
    if "chance" not in found.attrs:
        raise MissingVariableError(
            "this picture needs what analyses.decode or analyses.group_decoding returns: the "
            "Dataset does not say what guessing gives (the attribute 'chance')"
        )
    tail: Final = "high"
    if "shuffled" in found:
        null = found["shuffled"].transpose("shuffle", ...)
        interval = null_interval(null.values, tail)
        coords = {BOUND: list(BOUNDS)}
        found = found.assign({_NULL: ((*null.dims[1:], BOUND), interval)}).assign_coords(coords)
    label = f"balanced accuracy{_what(found)}"
    if not set(_FRAMES) & set(found["mean"].dims):
        series = Series(
            found,
            "mean",
            "sem",
            "mean, SEM",
            null=_NULL,
            null_label=chance_label(found.attrs, tail),
        )
        ax = parts.own_axes(axes)  # type: ignore[arg-type]
        chance = float(found.attrs["chance"])
        sections, level = Sections(found, SESSION), _guessing(chance)
        return draw_series(ax, sections, [series], label=label, at=chance, level=level)
    return _time_courses(found, axes, label, tail)


def _guessing(chance: float) -> str:
    """Name the level that guessing reaches."""
    return f"guessing, {chance:.2g}"


def _what(found: xr.Dataset) -> str:
    what = str(found.attrs.get("coordinate", "")).replace("_", " ")
    return f",\n{what}" if what else ""


def _time_courses(found: xr.Dataset, axes: "Given", label: str, tail: str) -> Artists:
    """Draw decoding frame by frame, a panel for each group and session."""
    over = _time_of(found, "analyses.decode")

    def draw(ax: "Axes", part: xr.Dataset) -> Artists:
        time = _times(part, over)
        chance = float(found.attrs["chance"])
        parts.draw_level(ax, chance, _guessing(chance))
        line, band = _trace(ax, part, over, parts.PALETTE[0], "mean")
        # For the marks along the top.
        ax.margins(y=0.12)
        null = marks = None
        if _NULL in part:
            low, _, high = part[_NULL].squeeze().transpose(BOUND, over).values
            words = chance_label(found.attrs, tail)
            null = ax.fill_between(time, low, high, color=NULL, lw=0, zorder=0.5, label=words)
        if "p" in part:
            is_clear = part["p"].squeeze().values < ALPHA
            above = np.full(int(is_clear.sum()), 0.97)
            (marks,) = ax.plot(
                time[is_clear], above, "s", transform=ax.get_xaxis_transform(), color="k",
                markersize=2.5, label="frames with p < 0.05",
            )  # fmt: skip
        parts.event_line(ax)
        return Artists(lines=line, bands=band, nulls=null, marks=marks)

    grid = Grid.of_groups(found, "mean")
    drawn, panels = draw_grid(
        found, grid, axes, draw, xlabel=_time_label(found), ylabel=label, share_y=True
    )
    name_parts(panels, drawn, len(grid.columns), "band: SEM")
    names = ("lines", "bands", "nulls", "marks")
    lists = {name: [None if one is None else getattr(one, name) for one in drawn] for name in names}
    return Artists(**lists, panels=panels)
