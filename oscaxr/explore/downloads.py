"""What is taken along: the numbers of a panel as CSV or netCDF, its figure as PNG or SVG."""

from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

import oscaxr.plot as plot
from oscaxr.bridges.long_tables import to_frame
from oscaxr.errors import CriterionError
from oscaxr.explore.days import (
    RESPONSE_LABEL,
    SESSION,
    chosen_tracking_id,
    roi_through_days,
    tracked_responses,
)
from oscaxr.explore.event_responses import limit_of
from oscaxr.explore.field_view import NUMBER_LABELS, TRACKED, limits_of
from oscaxr.explore.looks import MISSING
from oscaxr.explore.numbers import BEHAVIOUR, GROUP
from oscaxr.explore.opened import session_title
from oscaxr.explore.view import View
from oscaxr.model import names as n

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS: Final = ("csv", "nc")
FIGURES: Final = ("png", "svg")
_SIZE: Final = (7.0, 4.5)
_DPI: Final = 150


def numbers_file(found: xr.Dataset, form: str) -> BytesIO:
    """Return the numbers of a panel as a file."""
    if form == "nc":
        # Without a place, older xarray writes netCDF3, which has no long integers and no text.
        with TemporaryDirectory() as made:
            found.load().to_netcdf(Path(made, "numbers.nc"))
            return BytesIO(Path(made, "numbers.nc").read_bytes())
    text = StringIO()
    # The order of the rows of a map is of other dims than its values are.
    plain = found.drop_vars("order", errors="ignore")
    table = to_frame(plain, columns=[GROUP] if _is_along_sequences(plain) else None)
    table.to_csv(text, index=False)
    return BytesIO(text.getvalue().encode())


def _is_along_sequences(found: xr.Dataset) -> bool:
    return GROUP in found.coords and found[GROUP].dims == (n.SEQUENCE,)


def figure_file(panel: str, ds: xr.Dataset, view: View, found: xr.Dataset, form: str) -> BytesIO:
    """Return the figure of a panel as a file, drawn as :mod:`oscaxr.plot` draws."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    draw(panel, ds, view, found, figure)
    figure.suptitle(session_title(ds), x=0.01, ha="left", fontsize="small")
    file = BytesIO()
    figure.savefig(file, format=form)
    file.seek(0)
    return file


def draw(panel: str, ds: xr.Dataset, view: View, found: xr.Dataset, figure: "Figure") -> None:
    """Draw the figure of a panel."""
    if panel in ("stimulus", "running", "pupil", "population"):
        plot.session_overview(ds, figure)
    elif panel == "roi_traces":
        _traces(found, figure)
    elif panel == "roi_responses":
        _roi_responses(found, view, figure)
    elif panel == "mean_responses":
        plot.responses(_by_group(found), figure.subplots())
    elif panel == "heat_maps":
        _heat_maps(found, view, figure)
    elif panel == "behaviour":
        _behaviour(found, figure)
    elif panel == "trials":
        _trials(found, figure)
    elif panel == "field":
        _field(ds, view, found, figure)
    else:
        _days(ds, found, view, figure)


def _by_group(found: xr.Dataset) -> dict[str, xr.Dataset]:
    return {str(name): found.isel({GROUP: k}) for k, name in enumerate(found[GROUP].values)}


def _traces(found: xr.Dataset, figure: "Figure") -> None:
    rois = found[n.ROI].values
    axes = figure.subplots(len(rois), sharex=True, squeeze=False).ravel()
    for roi, ax in zip(rois, axes, strict=True):
        trace = found[n.DFF].sel({n.ROI: roi})
        ax.plot(trace[n.TIME].values / 60, trace.values, color="0.25", linewidth=0.5)
        ax.set_ylabel(f"ROI {roi}", fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("time in the session (min)")


def _roi_responses(found: xr.Dataset, view: View, figure: "Figure") -> None:
    rois = found[n.ROI].values
    axes = figure.subplots(len(rois), sharex=True, squeeze=False).ravel()
    means = found[view.stat].to_dataset()
    for roi, ax in zip(rois, axes, strict=True):
        plot.responses(_by_group(means.sel({n.ROI: roi})), ax, legend=ax is axes[0])
        ax.set_ylabel(f"ROI {roi}: {ax.get_ylabel()}", fontsize="small")
        ax.set_xlabel(ax.get_xlabel() if ax is axes[-1] else "")


def _heat_maps(found: xr.Dataset, view: View, figure: "Figure") -> None:
    values = found[view.stat]
    axes = figure.subplots(1, found.sizes[GROUP], squeeze=False).ravel()
    for ax, (name, part) in zip(axes, _by_group(found).items(), strict=True):
        _map(part[view.stat], part["order"].values, limit_of(values.values), ax, ax is axes[-1])
        ax.set_title(name, loc="left", fontsize="small")


def _map(rows: xr.DataArray, order: Any, limit: float, ax: Any, is_last: bool) -> None:
    """Draw one of several maps that have one bar, and so the same colours."""
    plot.heatmap(rows, ax, order=order, limit=limit, about_zero=True, colorbar=is_last)


def _behaviour(found: xr.Dataset, figure: "Figure") -> None:
    there = [name for name in BEHAVIOUR if any(str(v).startswith(name) for v in found)]
    axes = figure.subplots(len(there), sharex=True, squeeze=False).ravel()
    for name, ax in zip(there, axes, strict=True):
        own = {v: str(v).removeprefix(f"{name}_") for v in found if str(v).startswith(name)}
        plot.responses(_by_group(found[list(own)].rename(own)), ax, legend=ax is axes[0])
        ax.set_ylabel(fill(ax.get_ylabel(), 20))


def _trials(found: xr.Dataset, figure: "Figure") -> None:
    traces = found[n.DFF].isel({n.ROI: 0}, drop=True)
    names = list(dict.fromkeys(traces[GROUP].values.tolist()))
    if not names:
        raise CriterionError("no such segments in this session: there are no trials to draw")
    axes = figure.subplots(1, len(names), squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=True):
        part = traces.isel({n.SEQUENCE: (traces[GROUP] == name).values})
        # As a map has a row for each ROI, here for each sequence.
        rows = part.drop_vars([k for k in part.coords if n.SEQUENCE in part[k].dims])
        rows = rows.rename({n.SEQUENCE: n.ROI})
        rows = rows.assign_coords({n.ROI: np.arange(rows.sizes[n.ROI])})
        _map(rows, rows[n.ROI].values, limit_of(traces.values), ax, ax is axes[-1])
        ax.set_ylabel("sequences, in their order")
        ax.set_title(f"{name}: ROI {int(found[n.ROI].values[0])}", loc="left", fontsize="small")


def _field(ds: xr.Dataset, view: View, found: xr.Dataset, figure: "Figure") -> None:
    from matplotlib import colormaps

    ax = figure.subplots()
    lines = plot.roi_contours(ds, ax, projection=n.MAX_PROJECTION in ds).contours
    values = found[view.number].reindex({n.ROI: ds[n.ROI]}).values.astype(float)
    if view.number == "tracking":
        lines.set_edgecolor([TRACKED[int(value >= 0)] for value in values])
        ax.set_xlabel(f"{int((values >= 0).sum()):,} of {len(values):,} ROIs are tracked (orange)")
        return
    low, high, name = limits_of(view.number, values[np.isfinite(values)])
    # Colours that are given would be kept.
    lines.set_edgecolor(None)
    lines.set_array(values)
    lines.set(cmap=colormaps[name].with_extremes(bad=MISSING), clim=(low, high))
    figure.colorbar(lines, ax=ax, label=NUMBER_LABELS[view.number])


def _days(ds: xr.Dataset, found: xr.Dataset, view: View, figure: "Figure") -> None:
    if not found.sizes[n.TRACKING_ID]:
        raise CriterionError("no ROI is tracked: there is nothing to draw over the sessions")
    axes = figure.subplot_mosaic([["left", "right"], ["one", "one"]])
    left, right, one = (axes[name] for name in ("left", "right", "one"))
    plot.tracked_over_sessions(tracked_responses(found, view), left)
    left.set_ylabel(RESPONSE_LABEL)
    plot.tracked_over_sessions(found["usi"], right)
    for ax in (left, right):
        ax.set_ylabel(fill(ax.get_ylabel(), 20))
    which, trace, times = roi_through_days(found, chosen_tracking_id(ds, view))
    sessions = {
        f"session {number}": xr.Dataset({"mean": (n.REL_TIME, values)}, {n.REL_TIME: time})
        for number, time, values in zip(trace[SESSION].values, times, trace.values, strict=True)
    }
    plot.responses(sessions, one)
    one.set_title(f"tracked ROI {which} through the days", loc="left", fontsize="small")
    one.set(xlabel="time from the start of the segment (s)", ylabel="dF/F")
