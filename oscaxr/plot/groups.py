"""Responses of groups of sessions: differences and relative responses, with what chance gives."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses import group_responses
from oscaxr.plot.axes import Artists
from oscaxr.plot.sections import NULL_INTERVAL, Sections, Series, chance_label, draw_series
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEAN: Final = "mean, SEM"
_KINDS: Final[Mapping[str, str]] = {"expected": axes.EXPECTED, "unexpected": axes.UNEXPECTED}
# How far apart points of the same session stand.
_APART: Final = 0.24


def group_differences(found: xr.Dataset, ax: "Axes | None" = None) -> Artists:
    """Draw the mean difference of each group and session, against what chance gives.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.group_differences` returns, or
        :func:`oscaxr.analyses.block_differences`.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        ``points``, a list of the error bars of the groups for each row of points; ``nulls``, the
        bars of what chance gives; ``marks``, the stars at what is significant; ``brackets``, those
        between sessions that differ.

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
    Gray is the null interval, with its median; stars are significant after correction, and as many
    as the permutations can tell: p of 0 of 1,000 is below 0.002 of two tails. Of one tail,
    the other end of the interval is the extreme of the null. A group that lacks a session says so.

    Examples
    --------
    >>> import numpy as np
    >>> import oscaxr as ox
    >>> import xarray as xr
    >>> from matplotlib.figure import Figure
    >>> facts = {"session_id": 1, "mouse_id": 1, "line": "L5-Rbp4", "plane": "dend", "session": 1}
    >>> null = np.random.default_rng(0).normal(size=1000)
    >>> one = xr.Dataset({"difference": ("roi", [3.0, 5.0]), "null": ("permutation", null)}, facts)
    >>> found = ox.analyses.group_differences(ox.analyses.pool([one]), seed=1)
    >>> [mark.get_text() for mark in group_differences(found, Figure().subplots()).marks]
    ['**']
    """
    names = ("mean", "sem", "p", NULL_INTERVAL)
    found = axes.require_result(found, names, "analyses.group_differences")
    sections = Sections(found, SESSION)
    series = Series(
        found, "mean", "sem", MEAN, null=NULL_INTERVAL, null_label=chance_label(found.attrs)
    )
    label = axes.axis_label(found["mean"].attrs, "mean difference")
    return draw_series(axes.own_axes(ax), sections, [series], label=label)


def relative_responses(
    found: xr.Dataset | Mapping[str, xr.Dataset], ax: "Axes | None" = None
) -> Artists:
    """Draw the mean relative responses of groups over sessions, expected and unexpected.

    Parameters
    ----------
    found : xarray.Dataset, or mapping of them
        What :func:`oscaxr.analyses.relative_responses` returns; or what
        :func:`oscaxr.analyses.group_means` returns for ``"expected"`` and ``"unexpected"``, by
        these names, which can compare the sessions.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        As of :func:`group_differences`, expected first; ``nulls`` is empty.

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

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> pooled = ox.analyses.pool([ox.analyses.frame_responses(ds) for ds in mouse])
    >>> relative = ox.analyses.relative_responses(pooled)
    >>> compared = {
    ...     kind: ox.analyses.group_means(relative, kind, permutations=100, seed=1)
    ...     for kind in ("expected", "unexpected")
    ... }
    >>> len(relative_responses(compared, Figure().subplots()).points)
    2
    """
    if isinstance(found, xr.Dataset):
        axes.require_result(found, _KINDS, "analyses.relative_responses")
        named = {kind: group_responses.group_means(found, kind) for kind in _KINDS}
    else:
        wanted = "relative responses, or the means of 'expected' and 'unexpected' ones by name"
        named = dict(axes.require_kind(found, Mapping, wanted))
        if not named or set(named) - set(_KINDS):
            raise axes.PlotInputError(f"this picture needs {wanted}; it was given: {[*named]}")
        for one in named.values():
            axes.require_result(one, ("mean", "sem"), "analyses.group_means")
    sections = Sections(next(iter(named.values())), SESSION)
    offsets = (np.arange(len(named)) - (len(named) - 1) / 2) * _APART
    series = [
        Series(one, "mean", "sem", f"{kind}: {MEAN}", color=_KINDS[kind], offset=float(offset))
        for (kind, one), offset in zip(named.items(), offsets, strict=True)
    ]
    return draw_series(axes.own_axes(ax), sections, series, label="relative response", at=1.0)


def stimulus_comparison(found: xr.Dataset, ax: "Axes | None" = None) -> Artists:
    """Draw how much more responses to visual flow change over sessions than those to Gabors.

    Parameters
    ----------
    found : xarray.Dataset
        What :func:`oscaxr.analyses.compare_stimuli` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.

    Returns
    -------
    Artists
        As of :func:`group_differences`; ``brackets`` is empty.

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

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> both = [
    ...     ox.analyses.relative_responses(
    ...         ox.analyses.pool([ox.analyses.frame_responses(ds, stimulus) for ds in mouse])
    ...     )
    ...     for stimulus in ("gabors", "visflow")
    ... ]
    >>> found = ox.analyses.compare_stimuli(*both, permutations=100, seed=1)
    >>> len(stimulus_comparison(found, Figure().subplots()).points[0])
    2
    """
    names = ("difference", "error", "p", NULL_INTERVAL)
    found = axes.require_result(found, names, "analyses.compare_stimuli")
    series = Series(
        found, "difference", "error", "difference, bootstrap SD",
        null=NULL_INTERVAL, null_label=chance_label(found.attrs),
    )  # fmt: skip
    first, second = found.attrs.get("sessions", ("first", "last"))
    label = f"visual flow - Gabors: change of the\nunexpected response, session {first} to {second}"
    return draw_series(axes.own_axes(ax), Sections(found, None), [series], label=label)
