"""Tracked ROIs over the sessions of a mouse: responses, indices, one ROI through the days."""

from textwrap import fill
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, FixedTicker, TeeHead, Whisker

from oscaxr.explore.looks import (
    Array,
    Look,
    color_map,
    colors_of,
    figure,
    legend_above,
    words_inside,
)
from oscaxr.explore.view import View
from oscaxr.measure import stats
from oscaxr.model import names as n

if TYPE_CHECKING:
    from collections.abc import Sequence

SESSION: Final = "session"
RESPONSE_LABEL: Final = "mean dF/F in the window"
# So many letters fit into a figure.
_LINE: Final = 50


def _time_dim(found: xr.Dataset) -> str:
    """Return along which dim traces run: sessions of different frame rates share their frames."""
    return n.REL_FRAME if n.REL_FRAME in found.dims else n.REL_TIME


def tracked_responses(found: xr.Dataset, view: View) -> xr.DataArray:
    """Return the mean response in the window of each tracked ROI in each session."""
    time = found[n.REL_TIME]
    inside = (time >= view.sort_from) & (time < view.sort_to)
    return found["trace"].where(inside).mean(_time_dim(found))


def chosen_tracking_id(ds: xr.Dataset, view: View) -> int | None:
    """Return the tracking id of the first chosen ROI that is tracked."""
    for roi in view.rois:
        number = int(ds[n.TRACKING_ID].sel({n.ROI: roi}))
        if number != n.UNTRACKED:
            return number
    return None


def roi_through_days(found: xr.Dataset, chosen: int | None) -> tuple[int, xr.DataArray, Array]:
    """Return one tracked ROI, by default the first, its traces (session, ...) and their times."""
    dim, ids = _time_dim(found), found[n.TRACKING_ID].values
    which = int(ids[0]) if chosen is None or chosen not in ids else chosen
    trace = found["trace"].sel({n.TRACKING_ID: which}).transpose(SESSION, dim)
    times = found[n.REL_TIME].broadcast_like(trace).transpose(SESSION, dim).values
    return which, trace, times


class _OverSessions:
    """A line for each tracked ROI over the sessions, their mean with its error, one marked."""

    def __init__(self, look: Look, title: str, name: str) -> None:
        self.figure = made = figure(look, title)
        made.xaxis.axis_label = "session"
        self._ticker = made.xaxis.ticker = FixedTicker(ticks=[])
        self._rois = ColumnDataSource({"xs": [], "ys": []})
        self._mean = ColumnDataSource({"x": [], "y": [], "low": [], "high": []}, name=name)
        self._one = ColumnDataSource({"x": [], "y": []})
        made.multi_line("xs", "ys", source=self._rois, color=look.faint, alpha=0.45, line_width=1)
        color = look.groups[1]
        made.line(
            "x", "y", source=self._mean, color=color, line_width=2.5, legend_label="mean, SEM"
        )
        made.scatter("x", "y", source=self._mean, color=color, size=7)
        heads = {end: TeeHead(line_color=color) for end in ("lower_head", "upper_head")}
        made.add_layout(
            Whisker(
                base="x", lower="low", upper="high", source=self._mean, line_color=color, **heads
            )
        )
        made.line("x", "y", source=self._one, color=look.groups[0], line_width=2.5,
                  legend_label="chosen ROI")  # fmt: skip
        legend_above(made, look)
        self.words = words_inside(made, look)

    def show(self, values: xr.DataArray, chosen: int | None, label: str) -> None:
        """Show (session, tracking_id)."""
        sessions = values[SESSION].values
        rows = values.transpose(n.TRACKING_ID, SESSION).values
        found = stats(values, n.TRACKING_ID, error="sem")
        mean, sem = found["mean"].values, np.nan_to_num(found["sem"].values)
        self._rois.data = {"xs": [sessions] * len(rows), "ys": list(rows)}
        self._mean.data = {"x": sessions, "y": mean, "low": mean - sem, "high": mean + sem}
        one = values.sel({n.TRACKING_ID: chosen}).values if chosen is not None else np.empty(0)
        self._one.data = {"x": sessions if len(one) else [], "y": one}
        legend = self.figure.legend[0]
        legend.visible, legend.items[-1].visible = True, bool(len(one))
        self._ticker.ticks = sessions.tolist()
        self.figure.yaxis.axis_label = label
        self.words.text = ""


class Days:
    """The figures of tracked ROIs over the sessions of a mouse."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.responses = _OverSessions(look, "Responses of tracked ROIs", "days_responses")
        self.usi = _OverSessions(look, "Unexpected-stimulus index of tracked ROIs", "days_usi")
        self.one = made = figure(look, "One ROI through the days")
        made.xaxis.axis_label = "time from the start of the segment (s)"
        self._lines = ColumnDataSource({"xs": [], "ys": [], "color": [], "session": []})
        made.multi_line(
            "xs", "ys", source=self._lines, color="color", line_width=2, legend_field="session"
        )
        legend_above(made, look)
        self._words = words_inside(made, look)

    def say(self, words: str) -> None:
        """Say why there is nothing to show."""
        for label in (self.responses.words, self.usi.words, self._words):
            label.text = fill(words, _LINE)
        for one in (self.responses, self.usi):
            one.figure.legend[0].visible = False

    def show(self, found: xr.Dataset, chosen: int | None, view: View) -> None:
        """Show tracked ROIs; one of them through the sessions."""
        ids = found[n.TRACKING_ID].values
        known = chosen if chosen is not None and chosen in ids else None
        self.responses.show(tracked_responses(found, view), known, RESPONSE_LABEL)
        self.usi.show(found["usi"], known, "unexpected-stimulus index")
        if not ids.size:
            self._words.text = "no ROI is tracked"
            return
        self._words.text = ""
        which, trace, times = roi_through_days(found, known)
        sessions: Sequence[int] = found[SESSION].values.tolist()
        count = len(sessions)
        colors = (
            colors_of(self._look, count)
            if count <= 6
            else color_map("viridis", np.linspace(0, 0.9, count))
        )
        self._lines.data = {
            "xs": list(times), "ys": list(trace.values), "color": colors,
            "session": [f"session {number}" for number in sessions],
        }  # fmt: skip
        self.one.yaxis.axis_label = "dF/F"
        self.one.title.text = f"Tracked ROI {which} through the days"
