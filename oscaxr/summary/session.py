"""What matters of a session: traces, stimulus, ROIs, images, files. Reads no data."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.xarray_internals import is_in_memory
from oscaxr.model import names as n
from oscaxr.model.dataset import spec_of
from oscaxr.model.segments import DIM_CLOCKS
from oscaxr.summary.content import Row, Section, Summary, cleaned, size_text
from oscaxr.summary.known import facts_known, known_columns, rois_text, title_lines
from oscaxr.summary.lanes import svg, timeline_of

Array = np.ndarray[Any, Any]

_TRACES: Final = (n.DFF, n.RUN_VELOCITY, *n.PUPIL_VARIABLES)
_HEADINGS: Final = ("", "variable", "dims", "unit", "size", "values")
_MOST: Final = 40
TIMELINE_COLUMNS: Final = ("start_time", "stop_time", "stimulus_type", "unexpected")


def session_summary(ds: xr.Dataset) -> Summary:
    """Summarize a session."""
    facts = facts_known(ds)
    title, *lines = title_lines({k: v for k, v in facts.items() if k != "source_format"})
    columns = known_columns(ds, n.SEGMENT)
    picture = ""
    if set(TIMELINE_COLUMNS) <= set(columns):
        times = known_columns(ds, n.TIME).get(n.TIME, np.empty(0))
        first, last = (times[0], times[-1]) if times.size else (np.inf, -np.inf)
        timeline = timeline_of(columns, float(first), float(last))
        picture = svg(timeline) if timeline else ""
    others = [name for name in ds.data_vars if name not in _TRACES]
    sections = [
        Section("Traces", [*_trace_rows(ds)], _HEADINGS, _clocks(ds)),
        _stimulus(ds, columns),
        _rois(ds),
        Section(
            "Images, patches and more",
            [_row(ds, name) for name in others[:_MOST]],
            _HEADINGS if others else (),
            _more(len(others) - _MOST),
            folded=True,
        ),
        Section("Where it is", [*_places(ds, facts)]),
    ]
    return Summary(title, lines, [one for one in sections if one.rows or one.note], picture)


def _trace_rows(ds: xr.Dataset) -> Iterator[Row]:
    for name in _TRACES:
        if name in ds.data_vars:
            yield _row(ds, name)
        elif name in (n.DFF, n.RUN_VELOCITY, n.PUPIL_DIAMETER):
            yield _named(name), name, "not in this session", "", "", ""


def _row(ds: xr.Dataset, name: Hashable) -> Row:
    variable = ds.variables[name]
    unit = cleaned(variable.attrs.get("units", ""), 20)
    dims = " x ".join(f"{size:,} {cleaned(dim, 40)}" for dim, size in variable.sizes.items())
    size = f"{variable.dtype}, {size_text(variable.nbytes)}"
    where = "in memory" if is_in_memory(variable) else "lazy"
    state = where if variable.chunks is None else "lazy, dask"
    return _named(name), cleaned(name, 40), dims, unit.replace("1", "", unit == "1"), size, state


def _named(name: Hashable) -> str:
    spec = spec_of(str(name))
    return "" if spec is None else cleaned(spec.long_name, 60)


def _clocks(ds: xr.Dataset) -> str:
    """Say how many frames each clock has, at which rate and for how long."""
    said = []
    for dim, clock in DIM_CLOCKS.items():
        times = known_columns(ds, dim).get(dim)
        if times is None or not times.size:
            continue
        word = {"twop": "two-photon", "stim": "stimulus"}[clock]
        rate = ds.attrs.get(f"{clock}_fps")
        at = f" at {rate:.2f} Hz" if isinstance(rate, float | np.floating) else ""
        said.append(f"{times.size:,} {word} frames{at}, {(times[-1] - times[0]) / 60:.1f} min")
    return "; ".join(said)


def _stimulus(ds: xr.Dataset, columns: Mapping[str, Array]) -> Section:
    size = ds.sizes.get(n.SEGMENT)
    if size is None:
        return Section("Stimulus", note="no stimulus table")
    if not {"stimulus_type", "unexpected", n.BLOCK, "duration"} <= set(columns):
        hint = f"{size:,} segments; their table is not read yet: ds.osca.blocks() reads it"
        return Section("Stimulus", note=hint)
    return Section(
        "Stimulus",
        [*_stimulus_rows(columns)],
        ("stimulus", "segments", "unexpected", "blocks", "minutes"),
    )


def _stimulus_rows(columns: Mapping[str, Array]) -> Iterator[Row]:
    types, unexpected = columns["stimulus_type"], columns["unexpected"] == 1
    for kind in np.unique(types).tolist()[:_MOST]:
        shown = types == kind
        blocks = len(np.unique(columns[n.BLOCK][shown]))
        minutes = float(columns["duration"][shown].sum()) / 60
        n_unexpected = int((shown & unexpected).sum())
        yield (
            cleaned(kind, 40),
            f"{int(shown.sum()):,}",
            f"{n_unexpected:,}",
            f"{blocks:,}",
            f"{minutes:.1f}",
        )


def _rois(ds: xr.Dataset) -> Section:
    said = rois_text(ds)
    if (
        n.ROI in ds.dims
        and n.TRACKING_ID in ds.coords
        and n.TRACKING_ID not in known_columns(ds, n.ROI)
    ):
        said += "; which of them are tracked is not read yet: ds.osca.n_tracked reads it"
    return Section("ROIs", note=said)


def _places(ds: xr.Dataset, facts: Mapping[str, Any]) -> Iterator[Row]:
    source = ds.encoding.get("source")
    if source:
        yield "opened from", cleaned(source, 300)
    for label, name in (("recorded in", "source_files"), ("format", "source_format")):
        if said := cleaned(facts.get(name, ""), 300):
            yield label, said
    lazy = [v for v in ds.variables.values() if not is_in_memory(v)]
    held = sum(v.nbytes for v in ds.variables.values()) - sum(v.nbytes for v in lazy)
    yield "in memory", f"{size_text(held)}; {len(lazy)} of {len(ds.variables)} variables are lazy"


def _more(count: int) -> str:
    return f"... and {count:,} more" if count > 0 else ""
