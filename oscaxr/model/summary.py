"""What a session, a selection or sequences are, in a few lines: as text, and for notebooks."""

from collections.abc import Iterable
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.model import names as n

Row = tuple[str, str]

_FACTS: Final = ("mouse", "session", "session_id", "mouse_id", "line", "plane", "depth", "run_type")
# Columns that tell segments apart, as far as they differ.
_TOLD: Final = (
    *("stimulus_type", "gabor_frame", "unexpected", "gabor_kappa", "gabor_mean_orientation"),
    *("main_flow_direction", "square_size"),
)
_MOST_VALUES: Final = 8
_COLORS: Final = {n.GABORS: "#009E73", n.VISFLOW: "#56B4E9", n.GRAYSCREEN: "#d9d9d9"}
_BAR: Final = (640.0, 22.0)


def summary(data: xr.Dataset | xr.DataArray) -> list[Row]:
    """Return what matters first about data: pairs of a word and what is to be said."""
    rows = [*_facts(data), *_sizes(data)]
    dim = next((one for one in (n.SEGMENT, n.SEQUENCE) if one in data.dims), None)
    return rows if dim is None else [*rows, *_columns(data, dim)]


def _facts(data: xr.Dataset | xr.DataArray) -> list[Row]:
    known = [f"{name} {data[name].item()}" for name in _FACTS if _is_scalar(data, name)]
    return [("session", ", ".join(known))] if known else []


def _is_scalar(data: xr.Dataset | xr.DataArray, name: str) -> bool:
    return name in data.coords and not data.coords[name].dims


def _sizes(data: xr.Dataset | xr.DataArray) -> list[Row]:
    rows: list[Row] = []
    if n.ROI in data.dims:
        words = f"{data.sizes[n.ROI]:,}"
        if n.TRACKING_ID in data.coords:
            tracked = int((data[n.TRACKING_ID].values != n.UNTRACKED).sum())
            words += f", {tracked:,} tracked"
        rows.append(("ROIs", words))
    for dim, word in ((n.TIME, "two-photon frames"), (n.STIM_TIME, "stimulus frames")):
        if dim in data.dims and data.sizes[dim]:
            low, high = data[dim].values[[0, -1]] / 60
            rows.append((word, f"{data.sizes[dim]:,} ({dim} {low:.1f} to {high:.1f} min)"))
    if n.REL_TIME in data.coords and data[n.REL_TIME].size:
        times = data[n.REL_TIME].values
        words = f"{times.min():.2f} to {times.max():.2f} s, {data.sizes.get(n.REL_TIME, 0)} frames"
        rows.append((n.REL_TIME, words))
    return rows


def _columns(data: xr.Dataset | xr.DataArray, dim: str) -> list[Row]:
    """Return how many segments there are, and of what."""
    rows = [(f"{dim}s", f"{data.sizes[dim]:,}")]
    if "start_time" in data.coords and data.sizes[dim]:
        times = data["start_time"].values
        rows.append(("start_time", f"{times.min():.1f} to {times.max():.1f} s"))
    for name in _TOLD:
        if name in data.coords and data[name].dims == (dim,):
            words = _counted(data[name].values)
            rows += [(name, words)] if words else []
    return rows


def _counted(column: npt.NDArray[Any]) -> str:
    """Return the values of a column with how often each occurs."""
    known = column[np.isfinite(column)] if column.dtype.kind == "f" else column[column != ""]
    values, counts = np.unique(known, return_counts=True)
    words = "{:g}" if values.dtype.kind == "f" else "{}"
    parts = [f"{words.format(v)}: {c:,}" for v, c in zip(values, counts.tolist(), strict=True)]
    more = [f"... {len(parts) - _MOST_VALUES} more"] if len(parts) > _MOST_VALUES else []
    return ", ".join([*parts[:_MOST_VALUES], *more])


def as_text(data: xr.Dataset | xr.DataArray) -> str:
    """Return the summary as lines of text."""
    rows = summary(data)
    width = max((len(word) for word, _ in rows), default=0)
    return "\n".join(f"{word:<{width}}  {said}" for word, said in rows)


# -- for notebooks --------------------------------------------------------------------------------
def as_html(data: xr.Dataset | xr.DataArray) -> str:
    """Return the summary as HTML, with a small timeline of the segments there are."""
    return f"<div>{_timeline(data)}{table_html(summary(data))}</div>"


def table_html(rows: Iterable[Row]) -> str:
    """Return pairs as a table."""
    style = 'style="text-align: left"'
    cells = "".join(
        f"<tr><th {style}>{escape(word)}</th><td {style}>{escape(said)}</td></tr>"
        for word, said in rows
    )
    return f"<table>{cells}</table>"


def _timeline(data: xr.Dataset | xr.DataArray) -> str:
    """Return a bar of the segments over time: one colour a stimulus, unexpected ones black."""
    needed = ("stimulus_type", "unexpected", "start_time", "stop_time")
    if any(name not in data.coords or data[name].ndim != 1 for name in needed):
        return ""
    kinds, unexpected, starts, stops = (data[name].values for name in needed)
    if not len(kinds):
        return ""
    width, height = _BAR
    low, high = float(starts.min()), float(stops.max())
    scale = width / ((high - low) or 1.0)
    bars = [
        (_joined(starts, stops, kinds == kind), color, height) for kind, color in _COLORS.items()
    ]
    bars.append((_joined(starts, stops, unexpected == 1), "#000000", 0.45 * height))
    drawn = "".join(
        f'<rect x="{(start - low) * scale:.1f}" y="{height - tall:.1f}" height="{tall:.1f}" '
        f'width="{max(0.6, (stop - start) * scale):.1f}" fill="{color}"/>'
        for spans, color, tall in bars
        for start, stop in spans
    )
    words = f"segments from {low / 60:.1f} to {high / 60:.1f} min"
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{words}">'
        f"<title>{words}</title>{drawn}</svg>"
    )


def _joined(
    starts: npt.NDArray[Any], stops: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """Join chosen segments that follow each other, so that thousands make a few bars."""
    start, stop = starts[chosen], stops[chosen]
    if not len(start):
        return []
    # Those a frame or so apart follow each other.
    begins = np.flatnonzero(np.append(True, start[1:] - stop[:-1] > 0.05))
    ends = np.append(begins[1:], len(start)) - 1
    return list(zip(start[begins].tolist(), stop[ends].tolist(), strict=True))
