"""What the activity of ROIs follows: orientation, place on the screen, behaviour and stimulus."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.analyses.chance import ALPHA
from oscaxr.errors import CriterionError, WindowError
from oscaxr.measure.quality import roi_dim
from oscaxr.plot.axes import Artists
from oscaxr.plot.grids import Grid, by_kind, draw_grid, name_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from oscaxr.plot.grids import Given

Floats = npt.NDArray[np.float64]

_PREDICTED: Final = parts.PALETTE[1]
_BOX: Final = (5.0, 25.0, 50.0, 75.0, 95.0)
_BOX_WIDTH: Final = 0.36
_MANY_ROIS: Final = 100
# Points beside each other look random, and are the same each time.
_GOLDEN: Final = (np.sqrt(5) - 1) / 2
_FRAME: Final = "gabor_frame"
_PATCH: Final = "patch"


def orientation_tuning(found: xr.Dataset, axes: "Given" = None) -> Artists:
    """Draw the preferred orientation of each ROI, and how well its tuning predicts responses.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.orientation_tuning` returns of a session, or such results pooled
        (:func:`oscaxr.analyses.pool`).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and session (column), row by row, or the figure to make them in;
        new ones by default.

    Returns
    -------
    Artists
        ``points``: of each panel, row by row, those of ROIs whose tuning predicts responses that it
        was not fitted to, and those of the others; None where there is no such session; ``words``,
        how many ROIs are which; ``panels``, the axes.

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
    The preferred orientation of an ROI at or below the dashed line says nothing.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> drawn = orientation_tuning(ox.analyses.orientation_tuning(ds), Figure().subplots())
    >>> drawn.panels[0].get_xlabel()
    'preferred orientation (degrees)'
    """
    names = ("preferred_orientation", "predicted")
    found = parts.require_result(found, names, "analyses.orientation_tuning")

    def draw(ax: "Axes", part: xr.Dataset) -> tuple[list[Any], Any]:
        x, y = (part[name].values.astype(np.float64) for name in names)
        known = np.isfinite(x) & np.isfinite(y)
        is_tuned = known & (y > 0)
        alpha = float(np.clip((60 / max(1, len(y))) ** 0.5, 0.25, 0.9))
        points = [
            ax.scatter(
                x[mask], y[mask], s=14, color=color, alpha=alpha, linewidths=0, marker=marker,
                label=label,
            )
            for mask, color, marker, label in (
                (is_tuned, _PREDICTED, "o", "predicts responses"),
                (known & ~is_tuned, "0.55", "D", "does not"),
            )
        ]  # fmt: skip
        parts.draw_level(ax)
        ax.set_xlim(-4, 184)
        ax.set_xticks([0, 45, 90, 135, 180])
        told = f"{is_tuned.sum()} of {len(y)} ROIs predicted"
        if not known.all():
            told += f"\n{(~known).sum()} NaN"
        return points, parts.say_above(ax, told)

    labels = [parts.axis_label(found[name].attrs, name) for name in names]
    label = "share of variance\nthat tuning predicts"
    grid = Grid.of_rois(found, names[0])
    drawn, panels = draw_grid(found, grid, axes, draw, xlabel=labels[0], ylabel=label)
    parts.room_above(panels[0], 2.5)
    name_parts(panels, drawn, len(grid.columns))
    points, words = by_kind(drawn, 2)
    return Artists(points=points, words=words, panels=panels)


def explained_variance(found: xr.Dataset, axes: "Given" = None) -> Artists:
    """Draw how much of the activity of ROIs each predictor explains, alone and beyond the others.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.explained_variance` returns of a session, or such results pooled
        (:func:`oscaxr.analyses.pool`).
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each group (row) and session (column), row by row, or the figure to make them in;
        new ones by default.

    Returns
    -------
    Artists
        ``boxes``: of each panel, row by row, those over ROIs by what they show: ``"explained"`` by
        all together, ``"alone"`` and ``"unique"`` by predictor; ``points``, those of the ROIs, the
        same, each None of more than 100 ROIs; both None where there is no such session; ``words``,
        how many ROIs there are; ``panels``, the axes.

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
    Boxes are quartiles and median, whiskers the 5th and 95th percentiles.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.explained_variance(ds, ["running", "pupil"], piece=10)
    >>> drawn = explained_variance(found, Figure().subplots())
    >>> [tick.get_text() for tick in drawn.panels[0].get_xticklabels()]
    ['all', 'running', 'pupil']
    """
    names = ("explained", "unique", "alone", "predictor")
    found = parts.require_result(found, names, "analyses.explained_variance")
    predictors = [str(name) for name in np.atleast_1d(found["predictor"].values)]
    half = _BOX_WIDTH / 2
    numbers = np.arange(1.0, len(predictors) + 1)
    shown: dict[str, tuple[Any, Floats, str]] = {
        "explained": ("0.35", np.zeros(1), "all together"),
        "alone": (parts.PALETTE[0], numbers - half, "this one alone"),
        "unique": (parts.PALETTE[1], numbers + half, "beyond the others"),
    }

    def draw(ax: "Axes", part: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any], Any]:
        boxes, points = {}, {}
        for name, (color, places, label) in shown.items():
            rows = (
                part[name]
                if "predictor" in part[name].dims
                else part[name].expand_dims("predictor")
            )
            values = rows.transpose("predictor", ...).values.astype(np.float64)
            boxes[name] = _boxes(ax, values, places, color, label)
            points[name] = _points(ax, values, places, color)
        parts.draw_level(ax)
        ax.set_xlim(-0.6, len(predictors) + 0.6)
        ax.set_xticks(range(len(predictors) + 1), ["all", *predictors])
        unknown = int((~np.isfinite(part["explained"].values)).sum())
        told = f"{part['explained'].size} ROIs" + (f", {unknown} NaN" if unknown else "")
        return boxes, points, parts.say_above(ax, told)

    grid = Grid.of_rois(found, "explained")
    label = "share of variance\nexplained"
    drawn, panels = draw_grid(found, grid, axes, draw, xlabel="predictor", ylabel=label)
    parts.room_above(panels[0], 1.5)
    name_parts(panels, drawn, len(grid.columns), "boxes: quartiles; whiskers: 5 and 95 %")
    boxes, points, words = by_kind(drawn, 3)
    return Artists(boxes=boxes, points=points, words=words, panels=panels)


def _boxes(ax: "Axes", values: Floats, places: Floats, color: Any, label: str) -> Any:
    """Draw quartiles and the outermost percentiles of each row."""
    known = [row[np.isfinite(row)] for row in values]
    bounds = [np.percentile(row, _BOX) if row.size else np.full(5, np.nan) for row in known]
    keys = ("whislo", "q1", "med", "q3", "whishi")
    line = {"color": color, "linewidth": 1.2, "zorder": 3}
    drawn = ax.bxp(
        [dict(zip(keys, map(float, own), strict=True)) for own in bounds],
        positions=places, widths=0.8 * _BOX_WIDTH, showfliers=False, manage_ticks=False,
        boxprops=line, whiskerprops=line, capprops=line, medianprops={**line, "linewidth": 2},
    )  # fmt: skip
    drawn["boxes"][0].set_label(label)
    return drawn


def _points(ax: "Axes", values: Floats, places: Floats, color: Any) -> Any:
    """Draw each ROI, unless there are so many that they hide the boxes."""
    count = values.shape[1]
    if count > _MANY_ROIS:
        return None
    beside = (np.arange(count) * _GOLDEN % 1 - 0.5) * 0.7 * _BOX_WIDTH
    x = np.broadcast_to(places[:, None] + beside, values.shape)
    return ax.scatter(x, values, s=8, color=color, alpha=0.5, linewidths=0, zorder=2)


def position_response(
    found: xr.Dataset,
    axes: "parts.Panels | Axes" = None,
    *,
    roi: int | None = None,
    alpha: float = ALPHA,
) -> Artists:
    """Draw on the screen which patches responses follow.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.position_response` returns of a session.
    axes : matplotlib.axes.Axes, several of them, or matplotlib.figure.Figure, optional
        One for each Gabor frame, or the figure to make them in; new ones by default.
    roi : int, optional
        Label of an ROI whose amplitudes are to be drawn; by default, the percentage of ROIs that
        follow each patch.
    alpha : float, optional
        False discovery rate below which an ROI follows a patch.

    Returns
    -------
    Artists
        ``patches``: of each Gabor frame, a collection of the patches, as large as they are on the
        screen, or None for one that has too few segments; ``colorbar``; ``panels``, the axes.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    CriterionError
        If they are of several sessions, there is no such ROI, or not as many axes as Gabor frames.
    WindowError
        If no Gabor frame, or no ROI, has a result.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Of a single ROI, the patches that it follows have a thick edge.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.2)
    >>> drawn = position_response(ox.analyses.position_response(ds, ["A", "B"]), Figure())
    >>> [ax.get_title() for ax in drawn.panels]
    ['A', 'B']
    """
    names = ("amplitude", "q", "x", "y", "size", _FRAME)
    found = parts.require_result(found, names, "analyses.position_response")
    if not set(found["x"].dims) <= {_FRAME, _PATCH} or "pooled_by" in found.attrs:
        raise CriterionError("places are those of one session: give its results, not pooled ones")
    if _FRAME not in found.dims:
        found = found.expand_dims(_FRAME).set_coords(["x", "y", "size"])
    values, is_followed, label = _of_patches(found, roi, alpha)
    if not np.isfinite(values).any():
        raise WindowError(f"there is nothing to draw: the results are {dict(found.sizes)}")
    frames = found[_FRAME].values.tolist()
    panels = _panels(axes, len(frames))
    top = float(np.nanmax(values)) or 1.0
    drawn = []
    for ax, frame, row, followed in zip(panels, frames, values, is_followed, strict=True):
        ax.set_title(str(frame))
        own = found.sel({_FRAME: frame})
        drawn.append(_patches(ax, own, row, followed & (roi is not None), top))
    shown = next(one for one in drawn if one is not None)
    figure = panels[0].figure
    bar = figure.colorbar(shown, ax=panels, label=label, location="bottom", shrink=0.6, aspect=40)
    parts.say_session(panels[-1], found)
    return Artists(patches=drawn, colorbar=bar, panels=panels)


def _of_patches(
    found: xr.Dataset, roi: int | None, alpha: float
) -> tuple[Floats, npt.NDArray[np.bool_], str]:
    """Return what to colour the patches by (frame, patch), which are followed, and its words."""
    dim = roi_dim(found["q"])
    if roi is not None:
        labels = found[dim].values
        if roi not in labels:
            raise CriterionError(f"roi={roi!r}: there is no such ROI among the {len(labels)} here")
        found = found.isel({dim: int(np.flatnonzero(labels == roi)[0])})
        values, q = (found[name].transpose(_FRAME, _PATCH).values for name in ("amplitude", "q"))
        return values, q < alpha, parts.axis_label(found["amplitude"].attrs, "amplitude")
    q = found["q"].transpose(_FRAME, _PATCH, dim).values
    count = np.isfinite(q).sum(axis=-1)
    share = 100 * (q < alpha).sum(axis=-1) / np.where(count > 0, count, np.nan)
    return share, share > 0, f"ROIs that follow the patch (%, q < {alpha:g})"


def _panels(given: "parts.Panels | Axes", count: int) -> "list[Axes]":
    parts.require_matplotlib()
    from matplotlib.axes import Axes

    panels = parts.own_panels(
        [given] if isinstance(given, Axes) else given,
        f"axes to be {count} matplotlib Axes, one for each Gabor frame",
        figsize=(1 + 2.6 * count, 3.0), ncols=count, sharex=True, sharey=True,
    )  # fmt: skip
    if len(panels) != count:
        raise CriterionError(
            f"{len(panels)} axes were given, not {count}, one for each Gabor frame"
        )
    return panels


def _patches(
    ax: "Axes", part: xr.Dataset, values: Floats, followed: npt.NDArray[np.bool_], top: float
) -> Any:
    """Draw the patches of a Gabor frame where, and as large as, they are on the screen."""
    from matplotlib.collections import EllipseCollection

    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    x, y, size = (part[name].values for name in ("x", "y", "size"))
    known = np.isfinite(values) & np.isfinite(x + y + size)
    if not known.any():
        parts.say_inside(ax, "too few\nsegments")
        return None
    drawn = EllipseCollection(
        size[known], size[known], 0, units="xy", offsets=np.stack([x, y], axis=-1)[known],
        offset_transform=ax.transData, array=values[known], cmap="cividis",
        linewidths=np.where(followed[known], 2.2, 0.6), edgecolors="k", alpha=0.8,
    )  # fmt: skip
    drawn.set_clim(0, top)
    ax.add_collection(drawn, autolim=False)
    reach = size[known] / 2
    for sign in (-1, 1):
        ax.update_datalim(np.stack([x[known] + sign * reach, y[known] + sign * reach], axis=-1))
    ax.autoscale_view()
    return drawn
