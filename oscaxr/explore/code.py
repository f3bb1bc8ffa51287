"""The Python that makes the numbers of each panel: it runs by itself, wherever it is pasted."""

from collections.abc import Sequence
from typing import Any

from oscaxr.explore.numbers import STIMULUS
from oscaxr.explore.opened import Opened, quoted
from oscaxr.explore.view import Criteria, View
from oscaxr.model import names as n


def python(value: Any) -> str:
    """Write a value as Python, a whole number without decimals."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return python(value[0])
    if isinstance(value, list):
        return f"[{', '.join(map(python, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(python, value))})"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return quoted(value)


def arguments(criteria: Criteria) -> str:
    """Write criteria as the arguments of a call."""
    # [True] and [False] say other things of runs than True and False do.
    return ", ".join(f"{name}={python(value)}" for name, value in criteria.items())


def _groups(view: View, opened: Opened) -> list[str]:
    lines = [
        f'    "{name}": ds.osca.select({arguments(criteria)}),'
        for name, criteria in view.groups(opened.select).items()
    ]
    return [
        "groups = {",
        *lines,
        "}",
        'names = xr.DataArray(list(groups), dims="group", name="group")',
    ]


def _windows(view: View) -> str:
    words = {"pre": view.pre, "post": view.post, "edge": view.edge, "scale": view.scale}
    return ", ".join(f"{name}={python(value)}" for name, value in words.items())


def _roi_means(view: View, opened: Opened) -> list[str]:
    lines = [
        *_groups(view, opened),
        "windows = {",
        f'    name: ds.osca.sequences("dff", segments, {_windows(view)})',
        "    for name, segments in groups.items()",
        "}",
        "means = xr.concat(",
        f'    [ox.stats(one, "sequence", "{view.stat}", None) for one in windows.values()], names',
        ")",
    ]
    if view.baseline:
        lines.append(f"means = ox.baseline(means, {python(view.baseline)})")
    return lines


def mean_responses(view: View, opened: Opened) -> list[str]:
    """Average over ROIs what is averaged over sequences."""
    last = f'numbers = ox.stats(means["{view.stat}"], "roi", "{view.stat}", "{view.error}")'
    return [*_roi_means(view, opened), last]


def _strength(view: View) -> list[str]:
    low, high = python(view.sort_from), python(view.sort_to)
    return [
        f"window = (means.rel_time >= {low}) & (means.rel_time < {high})",
        f'chosen = means["{view.stat}"].isel(rel_time=window.values)',
        'response = ox.stats(chosen, "rel_time", error=None)["mean"]',
    ]


def heat_maps(view: View, opened: Opened) -> list[str]:
    """Average over sequences, and sort the ROIs."""
    count = len(view.groups(opened.select))
    by = [view.sorting_group(k, count) for k in range(count)]
    return [
        *_roi_means(view, opened),
        *_strength(view),
        "# The ROIs of each map from top to bottom: by their responses to these groups.",
        "order = [",
        "    (-response.isel(group=k)).fillna(float('inf')).argsort(kind=\"stable\")",
        f"    for k in {by}",
        "]",
        "labels = [response.roi.values[one.values] for one in order]",
        'numbers = means.assign(order=(("group", "rank"), labels))',
    ]


def behaviour(view: View, opened: Opened) -> list[str]:
    """Average running and pupil around the events."""
    names = [name for name in (n.RUN_VELOCITY, n.PUPIL_DIAMETER) if name in opened.ds]
    made = f'ds.osca.sequences({python_list(names)}, segments, clock="twop", {_windows(view)})'
    made += f".osca.baseline({python(view.baseline)})" * bool(view.baseline)
    return [
        *_groups(view, opened),
        f"windows = [\n    {made}\n    for segments in groups.values()\n]",
        "numbers = xr.concat(",
        f'    [ox.stats(one, "sequence", "{view.stat}", "{view.error}") for one in windows], names',
        ")",
    ]


def python_list(names: Sequence[Any]) -> str:
    """Write a list, also of one."""
    return f"[{', '.join(map(python, names))}]"


def trials(view: View, opened: Opened) -> list[str]:
    """Lay the sequences of all groups one after the other."""
    made = f'chosen.osca.sequences("dff", segments, {_windows(view)})'
    made += f".osca.baseline({python(view.baseline)})" * bool(view.baseline)
    return [
        *_groups(view, opened),
        f"chosen = ds.sel(roi={python_list(view.rois)})",
        f"windows = [\n    {made}\n    for segments in groups.values()\n]",
        'numbers = xr.concat(windows, "sequence").to_dataset()',
    ]


def roi_responses(view: View, opened: Opened) -> list[str]:
    """Take the mean responses of the chosen ROIs."""
    return [*_roi_means(view, opened), f"numbers = means.sel(roi={python_list(view.rois)})"]


def field(view: View, opened: Opened) -> list[str]:
    """Compute the number of each ROI that is looked at."""
    if view.number == "usi":
        stimulus = view.first.get("stimulus", n.GABORS)
        return [f'numbers = ox.analyses.usi(ds, "{stimulus}")[["index"]].rename(index="usi")']
    if view.number == "snr":
        return ['numbers = ox.snr(ds)[["snr"]]']
    if view.number in ("area", "tracking"):
        name = {"area": "area_px", "tracking": n.TRACKING_ID}[view.number]
        return [f'numbers = ds["{name}"].rename("{view.number}").to_dataset()']
    lines = [*_roi_means(view, opened), *_strength(view)]
    value = "response.isel(group=-1)"
    if view.number == "difference":
        value += " - response.isel(group=0)"
    return [*lines, f'numbers = ({value}).rename("{view.number}").to_dataset()']


def population(view: View, opened: Opened) -> list[str]:
    """Average over ROIs, some frames at a time."""
    return [
        'frames = ds.sizes["time"]',
        "# Some frames at a time: the whole recording may be larger than the memory.",
        "parts = [",
        '    ox.stats(ds.dff.isel(time=slice(k, k + 4096)), "roi", error=None)',
        "    for k in range(0, frames, 4096)",
        "]",
        'numbers = xr.concat(parts, "time").rename(mean="mean_dff")',
    ]


def stimulus(view: View, opened: Opened) -> list[str]:
    """Take what was shown when."""
    return [f"names = {python_list(STIMULUS)}", "numbers = ds[names].reset_coords(names)"]


def running(view: View, opened: Opened) -> list[str]:
    """Take the running velocity."""
    return [f'numbers = ds[["{n.RUN_VELOCITY}"]]']


def pupil(view: View, opened: Opened) -> list[str]:
    """Take the pupil diameter."""
    return [f'numbers = ds[["{n.PUPIL_DIAMETER}"]]']


def roi_traces(view: View, opened: Opened) -> list[str]:
    """Take the traces of the chosen ROIs."""
    return [f'numbers = ds[["dff"]].sel(roi={python_list(view.rois)})']


def days(view: View, others: Sequence[str]) -> list[str]:
    """Join the tracked ROIs of all sessions of a mouse."""
    criteria = view.second if view.compare == "two" else view.first
    stimulus = view.first.get("stimulus", n.GABORS)
    return [
        "sessions = [",
        *(f"    {one}," for one in others),
        "]",
        "parts = []",
        "for ds in sessions:",
        "    tracked = ds.osca.tracked()",
        f"    segments = tracked.osca.select({arguments(criteria)})",
        f'    windows = tracked.osca.sequences("dff", segments, {_windows(view)})',
        f'    part = ox.stats(windows, "sequence", "{view.stat}", None)',
        *[f"    part = ox.baseline(part, {python(view.baseline)})"] * bool(view.baseline),
        f'    part = part.rename({view.stat}="trace")',
        f'    part["usi"] = ox.analyses.usi(ds, "{stimulus}", tracked=True)["index"]',
        "    parts.append(part)",
        "numbers = ox.align_tracked(parts)",
    ]
