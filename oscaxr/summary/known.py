"""What an object tells of itself without its data: single facts, columns of the stimulus table."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.xarray_internals import is_in_memory
from oscaxr.model import names as n
from oscaxr.model.schema import SEQUENCES, SESSION
from oscaxr.summary.content import cleaned

Array = np.ndarray[Any, Any]
Labelled = xr.Dataset | xr.DataArray

TITLE: Final = (
    (
        ("session_id", "Session {}"),
        ("mouse", "mouse {}"),
        ("session", "session {}"),
        ("synthetic", "SYNTHETIC: made up, not recorded"),
    ),
    (
        ("mouse_id", "mouse id {}"),
        ("run_type", "{}"),
        ("line", "{}"),
        ("plane", "{}"),
        ("depth", "{} um deep"),
    ),
    (
        ("date", "recorded {}"),
        ("sex", "sex {}"),
        ("age_weeks", "{:.1f} weeks old"),
        ("pass_fail", "quality control {}"),
    ),
    (("dandiset", "{}"), ("source_format", "format {}"), ("notes", "notes: {}")),
)
"""What is said of a session, a line each, as far as it is known."""


def title_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the first lines: which session, and what is known of it."""
    first, *others = (
        ", ".join(_said(text, facts[name]) for name, text in line if name in facts)
        for line in TITLE
    )
    return [first or "Session of unknown id", *filter(None, others)]


def _said(text: str, value: Any) -> str:
    try:
        return cleaned(text.format(value))
    except (TypeError, ValueError):  # a number that a file has as something else
        return cleaned(value)


def facts_known(data: Labelled) -> dict[str, Any]:
    """Return the single facts of an object, and its attributes."""
    single = [str(name) for name, coord in data.coords.items() if not coord.dims]
    return {**values_of(data, single), **{str(name): value for name, value in data.attrs.items()}}


def values_of(data: Labelled, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of small coordinates, those that are in a file or of dask read together."""
    wanted = xr.Dataset({name: data.coords[name].variable for name in names if name in data.coords})
    try:
        read = wanted.compute()
    except Exception:  # whatever is wrong with the file: to show an object never fails
        read = wanted[[name for name in wanted if is_in_memory(wanted.variables[name])]]
    return {
        str(name): _typed(variable)
        for name, variable in read.variables.items()
        if _fits(name, variable)
    }


def known_columns(data: Labelled, dim: str) -> dict[str, Array]:
    """Return the columns along a dim that are in memory; nothing is read for it."""
    return {
        str(name): _typed(coord.variable)
        for name, coord in data.coords.items()
        if coord.dims == (dim,) and is_in_memory(coord.variable) and _fits(name, coord.variable)
    }


def _fits(name: Hashable, variable: xr.Variable) -> bool:
    """Say whether a column is words or numbers as in a session: anything may be called like it."""
    spec = SESSION.get(str(name), SEQUENCES.get(str(name)))
    return spec is None or variable.dtype.kind in ("UTO" if spec.kind == "str" else "fiub")


def _typed(variable: xr.Variable) -> Any:
    values = variable.values
    return values.astype(str) if values.dtype.kind in "TO" and values.ndim else values[()]


def rois_text(data: Labelled) -> str:
    """Say how many ROIs there are, and how many of them are tracked, where that is known."""
    size = data.sizes.get(n.ROI)
    if size is None:
        return f"{data.sizes[n.TRACKING_ID]:,} tracked" if n.TRACKING_ID in data.dims else ""
    tracking = known_columns(data, n.ROI).get(n.TRACKING_ID)
    if tracking is None:
        return f"{size:,}"
    tracked = int(np.sum(tracking != n.UNTRACKED))
    return f"{size:,}, {f'{tracked:,}' if tracked else 'none'} of them tracked"


def sizes_text(data: Labelled) -> str:
    """Return the dims and their sizes."""
    return ", ".join(f"{cleaned(dim, 40)}: {size:,}" for dim, size in data.sizes.items())
