"""The numbers that panels show: the public calls that `code` writes down, and nothing else."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.analyses.usi import usi
from oscaxr.explore.extremes import PARTS, extremes_of_all, part_length
from oscaxr.explore.view import View
from oscaxr.measure import baseline, snr, stats
from oscaxr.model import names as n
from oscaxr.select.alignment import align_tracked
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import sequences

Report = Callable[[int, int], None]
"""Told how much is done of how much; raises when nobody waits for the rest."""

GROUP: Final = "group"
N_SEQUENCES: Final = "n_sequences"
MEAN_DFF: Final = "mean_dff"
EXTREMES: Final = "extremes"
STIMULUS: Final = ("stimulus_type", "gabor_frame", "unexpected", "start_time", "stop_time")
BEHAVIOUR: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)
# Windows of more bytes than this are averaged some ROIs at a time, to tell how far it is.
_AT_ONCE_BYTES: Final = 2**30
_LEAST_ROIS: Final = 64
_FRAMES_AT_ONCE: Final = 4096


def nothing_to_report(done: int, total: int) -> None:
    """Go on."""


def _options(view: View) -> dict[str, Any]:
    return {"pre": view.pre, "post": view.post, "edge": view.edge, "scale": view.scale}


def roi_means(
    ds: xr.Dataset, segments: xr.Dataset, view: View, report: Report = nothing_to_report
) -> xr.Dataset:
    """Return the mean, or median, response of each ROI to segments, (roi, rel_time)."""
    windows = sequences(ds, n.DFF, segments, **_options(view))
    parts = []
    blocks = _roi_blocks(windows, ds[n.DFF].encoding.get("preferred_chunks", {}).get(n.ROI))
    for done, block in enumerate(blocks):
        report(done, len(blocks))
        part = windows.isel({n.ROI: block}) if len(blocks) > 1 else windows
        parts.append(stats(part, n.SEQUENCE, view.stat, error=None).load())
    found = xr.concat(parts, n.ROI) if len(parts) > 1 else parts[0]
    if view.baseline:
        found = baseline(found, view.baseline)
    return found.assign_coords({N_SEQUENCES: windows.sizes[n.SEQUENCE]})


def _roi_blocks(windows: xr.DataArray, together: int | None) -> list[slice]:
    """Divide ROIs, of which so many are stored together, into blocks that are read each by itself.

    Where all of them are stored together, each block would read the whole recording again.
    """
    count = windows.sizes[n.ROI]
    together = together or max(1, count)
    n_blocks = min(8, windows.size * 8 // _AT_ONCE_BYTES, count // max(_LEAST_ROIS, together))
    edges = np.linspace(0, -(-count // together), max(1, n_blocks) + 1).astype(int) * together
    return [slice(*pair) for pair in pairwise(edges.clip(max=count).tolist())]


def grouped(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Lay the results of groups of segments side by side."""
    names = xr.DataArray(list(parts), dims=GROUP, name=GROUP)
    # Of one session and window: nothing else can differ, and comparing it all takes long.
    found = xr.concat(
        list(parts.values()), names, coords="minimal", compat="override", join="override"
    )
    counts = [int(one[N_SEQUENCES]) for one in parts.values() if N_SEQUENCES in one.coords]
    return found.assign_coords({N_SEQUENCES: (GROUP, counts)}) if counts else found


def mean_responses(means: xr.Dataset, view: View) -> xr.Dataset:
    """Return the mean over ROIs of each group, with its error, (group, rel_time)."""
    found = stats(means[view.stat], n.ROI, view.stat, view.error)
    return found.assign_coords({N_SEQUENCES: means[N_SEQUENCES]})


def strength(means: xr.Dataset, view: View) -> xr.Dataset:
    """Return the mean response of each ROI in the chosen window, (group, roi)."""
    time = means[n.REL_TIME]
    window = means[view.stat].isel(
        {n.REL_TIME: ((time >= view.sort_from) & (time < view.sort_to)).values}
    )
    return stats(window, n.REL_TIME, error=None).rename(mean="response")


def heat_maps(means: xr.Dataset, view: View) -> xr.Dataset:
    """Return the responses with the ROIs of each group's map from top to bottom, ``order``."""
    response = strength(means, view)["response"]
    count = means.sizes[GROUP]
    # ROIs without a response come last.
    order = [
        (-response.isel({GROUP: view.sorting_group(k, count)}))
        .fillna(np.inf)
        .argsort(kind="stable")
        for k in range(count)
    ]
    labels = [response[n.ROI].values[one.values] for one in order]
    return means.assign(order=((GROUP, "rank"), labels))


def behaviour(ds: xr.Dataset, segments: xr.Dataset, view: View) -> xr.Dataset:
    """Return mean running and pupil around segments, (rel_time)."""
    names = [name for name in BEHAVIOUR if name in ds]
    windows = sequences(ds, names, segments, clock="twop", **_options(view))
    windows = baseline(windows, view.baseline) if view.baseline else windows
    found: xr.Dataset = stats(windows, n.SEQUENCE, view.stat, view.error)
    return found


def trials(ds: xr.Dataset, groups: Mapping[str, xr.Dataset], view: View) -> xr.Dataset:
    """Return every trace of the chosen ROIs around each group's segments."""
    chosen = ds.sel({n.ROI: list(view.rois)})
    parts = []
    for group, segments in groups.items():
        windows = sequences(chosen, n.DFF, segments, **_options(view))
        windows = baseline(windows, view.baseline) if view.baseline else windows
        names = np.full(windows.sizes[n.SEQUENCE], group)
        parts.append(windows.load().assign_coords({GROUP: (n.SEQUENCE, names)}))
    found: xr.Dataset = xr.concat(parts, n.SEQUENCE).to_dataset()
    return found


# -- a number for each ROI ------------------------------------------------------------------------
def roi_usi(ds: xr.Dataset, view: View) -> xr.Dataset:
    """Return the unexpected-stimulus index of each ROI, of the stimulus that is looked at."""
    return usi(ds, stimulus_of(view))[["index"]].rename(index="usi")


def stimulus_of(view: View) -> str:
    """Return the stimulus that a view is about."""
    return str(view.first.get("stimulus", n.GABORS))


def roi_snr(ds: xr.Dataset) -> xr.Dataset:
    """Return the signal-to-noise ratio of each ROI."""
    return snr(ds)[["snr"]]


# -- the whole recording --------------------------------------------------------------------------
def population(ds: xr.Dataset, report: Report = nothing_to_report) -> xr.Dataset:
    """Return the mean dF/F of all ROIs at each frame, (time); some frames are read at a time.

    And, of a recording that is too long to be drawn whole, the extremes of each ROI, (part, roi).
    """
    total = ds.sizes[n.TIME]
    step = part_length(total)
    length = max(1, _FRAMES_AT_ONCE // step) * step
    means, spans = [], []
    # One block at least, also of a recording without frames.
    for start in range(0, max(1, total), length):
        report(start, total)
        block = ds[n.DFF].isel({n.TIME: slice(start, start + length)}).load()
        means.append(stats(block, n.ROI, error=None))
        values = block.transpose(n.TIME, n.ROI).values
        spans.append(extremes_of_all(values, step))
    found = xr.concat(means, n.TIME).rename(mean=MEAN_DFF)
    if total <= 2 * PARTS:
        return found
    labels = {n.ROI: ds[n.ROI].variable}
    return found.assign({EXTREMES: xr.DataArray(np.concatenate(spans), labels, ("part", n.ROI))})


# -- over days ------------------------------------------------------------------------------------
def day(ds: xr.Dataset, view: View) -> xr.Dataset:
    """Return the responses and indices of the tracked ROIs of one session."""
    tracked = tracked_rois(ds)
    criteria = view.second if view.compare == "two" else view.first
    windows = sequences(tracked, n.DFF, select_segments(tracked, **criteria), **_options(view))
    means = stats(windows, n.SEQUENCE, view.stat, error=None)
    means = baseline(means, view.baseline) if view.baseline else means
    found = means.rename({view.stat: "trace"})
    found["usi"] = usi(ds, stimulus_of(view), tracked=True)["index"]
    return found


def days(parts: list[xr.Dataset]) -> xr.Dataset:
    """Lay the sessions of a mouse side by side, joined on the labels of their tracked ROIs."""
    found: xr.Dataset = align_tracked(parts)
    return found
