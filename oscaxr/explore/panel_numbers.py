"""The numbers of each panel for a view of a session, found again where they were asked before."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr

from oscaxr.errors import CriterionError, TrackingError
from oscaxr.explore import numbers
from oscaxr.explore.looks import Array
from oscaxr.explore.numbers import EXTREMES, GROUP, MEAN_DFF, Report, nothing_to_report
from oscaxr.explore.opened import Opened, Shelf
from oscaxr.explore.view import Criteria, View
from oscaxr.model import names as n


def _key(criteria: Criteria) -> str:
    return json.dumps(dict(criteria), sort_keys=True)


def _groups_key(groups: Mapping[str, Criteria], view: View) -> tuple[Any, ...]:
    return ("groups", json.dumps(groups), view.windows_key())


def are_means_kept(opened: Opened, view: View) -> bool:
    """Whether the mean responses of a view need only be looked up."""
    return _groups_key(view.groups(opened.select), view) in opened.kept


def group_means(opened: Opened, view: View, report: Report = nothing_to_report) -> xr.Dataset:
    """Return the mean response of each ROI to each group, (group, roi, rel_time)."""
    groups = view.groups(opened.select)

    def make() -> xr.Dataset:
        parts = {
            name: opened.kept.of(
                ("means", _key(criteria), view.windows_key()),
                partial(numbers.roi_means, opened.ds, opened.select(criteria), view, report),
            )
            for name, criteria in groups.items()
        }
        return numbers.grouped(parts)

    return opened.kept.of(_groups_key(groups, view), make)


def mean_responses(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the mean over ROIs of each group, with its error."""
    return numbers.mean_responses(group_means(opened, view, report), view)


def heat_maps(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the mean response of each ROI to each group, and the order of the ROIs."""
    return numbers.heat_maps(group_means(opened, view, report), view)


def behaviour(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return mean running and pupil around the events of each group."""
    parts = {
        name: opened.kept.of(
            ("behaviour", _key(criteria), view.windows_key(), view.error),
            partial(numbers.behaviour, opened.ds, opened.select(criteria), view),
        )
        for name, criteria in view.groups(opened.select).items()
    }
    return numbers.grouped(parts)


def trials(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the sequences of the chosen ROIs."""
    _require_rois(view)
    groups = view.groups(opened.select)
    key = ("trials", json.dumps(groups), view.windows_key(), view.rois)
    segments = {name: opened.select(criteria) for name, criteria in groups.items()}
    return opened.kept.of(key, lambda: numbers.trials(opened.ds, segments, view))


def roi_responses(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the mean responses of the chosen ROIs to each group."""
    _require_rois(view)
    means = group_means(opened, view, report)
    if lost := [roi for roi in view.rois if roi not in means[n.ROI].values]:
        raise CriterionError(f"ROI {', '.join(map(str, lost))} is listed as invalid")
    return means.sel({n.ROI: list(view.rois)})


def field(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the number of each ROI that is looked at."""
    ds = opened.ds
    if view.number == "usi":
        stimulus = numbers.stimulus_of(view)
        return opened.kept.of(("usi", stimulus), lambda: numbers.roi_usi(ds, view).load())
    if view.number == "snr":
        return opened.kept.of("snr", lambda: numbers.roi_snr(ds).load())
    if view.number in ("area", "tracking"):
        name = {"area": "area_px", "tracking": n.TRACKING_ID}[view.number]
        return ds[name].rename(view.number).to_dataset()
    strengths = numbers.strength(group_means(opened, view, report), view)["response"]
    value = strengths.isel({GROUP: -1})
    if view.number == "difference":
        value = value - strengths.isel({GROUP: 0})
    return value.rename(view.number).to_dataset()


def population(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the mean dF/F of all ROIs at each frame."""
    return whole(opened, report)[[MEAN_DFF]]


def whole(opened: Opened, report: Report) -> xr.Dataset:
    """Return what is kept of a whole recording: the mean over ROIs, and the extremes of each."""
    return opened.kept.of("whole", lambda: numbers.population(opened.ds, report).load())


def extremes(opened: Opened, rois: Sequence[int]) -> dict[int, Array] | None:
    """Return the extremes of ROIs over the whole session, if they need only be looked up."""
    known = opened.kept.get("whole")
    if known is None or EXTREMES not in known:
        return None
    return {roi: known[EXTREMES].sel({n.ROI: roi}).values for roi in rois}


def is_read_for_each_roi(ds: xr.Dataset) -> bool:
    """Whether all of a file on this computer is read for the trace of one ROI."""
    chunks = ds[n.DFF].encoding.get("preferred_chunks", {})
    is_here = "://" not in str(ds.encoding.get("source", "://"))
    return is_here and chunks.get(n.ROI) == ds.sizes[n.ROI]


def traces(opened: Opened, rois: Sequence[int]) -> dict[int, Array]:
    """Return the traces of ROIs over the whole session; what is not there yet is read at once."""
    found = {roi: opened.kept.get(("trace", roi)) for roi in rois}
    read = opened.ds[n.DFF].sel({n.ROI: [roi for roi, one in found.items() if one is None]}).load()
    for roi in read[n.ROI].values.tolist():
        # A copy, since a part would keep all that was read with it.
        made = partial(read.sel({n.ROI: roi}).copy, deep=True)
        found[roi] = opened.kept.of(("trace", roi), made)
    return {roi: one.values for roi, one in found.items()}


def stimulus(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return what was shown when, a row a segment."""
    names = list(numbers.STIMULUS)
    return opened.ds[names].reset_coords(names)


def running(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the running velocity."""
    return opened.ds[[n.RUN_VELOCITY]]


def pupil(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the pupil diameter."""
    return opened.ds[[n.PUPIL_DIAMETER]]


def roi_traces(opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return the traces of the chosen ROIs."""
    _require_rois(view)
    return opened.ds[[n.DFF]].sel({n.ROI: list(view.rois)})


def _require_rois(view: View) -> None:
    if not view.rois:
        raise CriterionError("choose an ROI: in the field, or by its number")


def days(shelf: Shelf, opened: Opened, view: View, report: Report) -> xr.Dataset:
    """Return responses and indices of the tracked ROIs of all sessions of a mouse."""
    keys = shelf.of_mouse(opened.key)
    if len(keys) < 2:
        raise TrackingError(
            "only one session of this mouse is here: give the folder of all its sessions"
        )
    criteria = view.second if view.compare == "two" else view.first
    key = ("day", _key(criteria), view.windows_key(), numbers.stimulus_of(view))
    parts = []
    for done, one in enumerate(keys):
        report(done, len(keys))
        parts.append(_day(shelf, opened, one, view, key))
    return numbers.days(parts)


def _day(shelf: Shelf, opened: Opened, key: str, view: View, what: Any) -> xr.Dataset:
    """Return one session's part, kept with the session that is looked at."""

    def make() -> xr.Dataset:
        if key == opened.key:
            return numbers.day(opened.ds, view).load()
        other = shelf.take(key)
        try:
            return numbers.day(other.ds, view).load()
        finally:
            shelf.give_back(other)

    return opened.kept.of((*what, key), make)
