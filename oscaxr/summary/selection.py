"""What matters of selected segments, and of sequences around them: how many by each criterion."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.model import names as n
from oscaxr.summary.content import Row, Section, Summary, cleaned
from oscaxr.summary.known import (
    Labelled,
    facts_known,
    known_columns,
    rois_text,
    sizes_text,
    title_lines,
    values_of,
)
from oscaxr.summary.lanes import svg, timeline_of
from oscaxr.summary.session import TIMELINE_COLUMNS

Array = np.ndarray[Any, Any]

# The criteria that are of a few values, so that segments can be counted by them.
_COUNTED: Final = (
    "stimulus_type",
    "unexpected",
    "gabor_frame",
    "gabor_kappa",
    "gabor_mean_orientation",
    "main_flow_direction",
    "square_size",
    "run_start",
    n.BLOCK,
)
_MOST: Final = 12
# Attributes that are told elsewhere, or are of no interest where they are 0.
_TOLD: Final = frozenset({"long_name", "units", "fps", "clock", "synthetic", "comment"})


def selection_summary(ds: xr.Dataset) -> Summary:
    """Summarize segments that were selected of a session."""
    facts = facts_known(ds)
    columns = values_of(ds, (*_COUNTED, *TIMELINE_COLUMNS, "start_frame_twop"))
    title = f"{ds.sizes[n.SEGMENT]:,} segments of {_session_of(facts)}"
    return Summary(title, [], _counted(columns, "segments"), _picture(columns, facts))


def sequences_summary(data: Labelled) -> Summary:
    """Summarize windows around segments, frames or times; or what is left when they are reduced."""
    facts = facts_known(data)
    size = data.sizes.get(n.SEQUENCE)
    what = "Windows reduced over sequences" if size is None else f"{size:,} sequences"
    title = f"{what} of {_session_of(facts)}"
    windows = Section("Windows", [*_window_rows(data)])
    if size is None:
        return Summary(title, [], [windows])
    along = {str(k) for k, coord in data.coords.items() if coord.dims == (n.SEQUENCE,)}
    names = (*_COUNTED, *TIMELINE_COLUMNS)
    columns = values_of(data, [name for name in names if name in along])
    return Summary(title, [], [windows, *_counted(columns, "sequences")], _picture(columns, facts))


def _session_of(facts: Mapping[str, Any]) -> str:
    title = title_lines(facts)[0]
    return title[0].lower() + title[1:]


def _counted(columns: Mapping[str, Array], what: str) -> list[Section]:
    rows = [(name, *_counts(columns[name])) for name in _COUNTED if name in columns]
    rows = [row for row in rows if row[1]]
    if not rows and all(len(column) == 0 for column in columns.values()):
        return [Section("By criterion", note=f"none: no {what} to count")]
    return [Section("By criterion", rows, ("criterion", what))] if rows else []


def _counts(column: Array) -> tuple[str]:
    """Count the values of a column, as they are given as criteria; those of no concern last."""
    concerned = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    concerned = concerned[concerned != ""] if column.dtype.kind in "UTO" else concerned
    values, counts = np.unique(concerned, return_counts=True)
    said = [
        f"{_value(value)}: {count:,}"
        for value, count in zip(values[:_MOST].tolist(), counts[:_MOST].tolist(), strict=True)
    ]
    if len(values) > _MOST:
        said.append(f"... and {len(values) - _MOST:,} other values")
    if said and (rest := len(column) - len(concerned)):
        said.append(f"not concerned: {rest:,}")
    return ("   ".join(said),)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else cleaned(value, 40)


def _picture(columns: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    if not set(TIMELINE_COLUMNS) <= set(columns) or not len(columns["start_time"]):
        return ""
    timeline = timeline_of(columns, 0.0, _end(columns, facts))
    return svg(timeline) if timeline else ""


def _end(columns: Mapping[str, Array], facts: Mapping[str, Any]) -> float:
    """Return when the recording ends, s, as far as its number of frames is known."""
    rate, frames = facts.get("twop_fps"), facts.get("n_frames_twop")
    if not isinstance(rate, float) or not isinstance(frames, int | np.integer) or rate <= 0:
        return 0.0
    if "start_frame_twop" not in columns:
        return 0.0
    first = columns["start_time"][0] - columns["start_frame_twop"][0] / rate
    end = float(first + frames / rate)
    return end if np.isfinite(end) else 0.0


def _window_rows(data: Labelled) -> Iterator[Row]:
    arrays = {data.name: data} if isinstance(data, xr.DataArray) else dict(data.data_vars)
    for name, array in list(arrays.items())[:_MOST]:
        # As words: an attribute of a file may be an array.
        attrs = {str(key): cleaned(value, 80) for key, value in array.attrs.items()}
        unit = attrs.get("units", "1")
        words = (attrs.get("long_name", ""), "" if unit == "1" else f"({unit})")
        yield cleaned(name, 40), f"{' '.join(filter(None, words))} [{sizes_text(array)}]".strip()
        done = [f"{k} = {v}" for k, v in attrs.items() if k not in _TOLD and v not in ("0", "")]
        if done:
            yield "", cleaned(", ".join(done))
    if rois := rois_text(data):
        yield "ROIs", rois
    times = known_columns(data, n.REL_TIME).get(n.REL_TIME)
    if times is not None and times.size:
        yield "window", f"{times[0]:.3f} to {times[-1]:.3f} s, {times.size:,} frames"
