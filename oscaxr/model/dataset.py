"""From the parts that a reader found to one session Dataset, always the same way."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model import names as n
from oscaxr.model.attrs import DATASET_ATTRS, STIMULUS_ATTRS, VariableSpec
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SESSION, template_spec
from oscaxr.model.segments import frame_rate

Parts = Mapping[str, tuple[tuple[str, ...], Any]]

_TEMPLATE_PREFIX = "template_"


def spec_of(name: str) -> VariableSpec | None:
    """Return the declaration of a session variable, None for a name that is not one."""
    if name in SESSION:
        return SESSION[name]
    if name.startswith(_TEMPLATE_PREFIX):
        return template_spec(name.removeprefix(_TEMPLATE_PREFIX))
    return None


def rates(columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """Return the frame rates of a session, as defined by its stimulus table."""
    times = columns["start_time"], columns["stop_time"]
    return {
        f"{clock}_fps": frame_rate(
            columns[f"start_frame_{clock}"], columns[f"stop_frame_{clock}"], *times
        )
        for clock in ("twop", "stim")
    }


def session_dataset(
    parts: Parts,
    *,
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any],
    source_format: str,
    dropped: Collection[str] = (),
) -> xr.Dataset:
    """Assemble a session Dataset."""
    data_vars: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.Variable] = {}
    for name, (dims, data) in parts.items():
        spec = spec_of(name)
        if spec is None:
            raise SchemaError(f"{name!r} is not a variable of a session: {', '.join(SESSION)}")
        if name in dropped:
            continue
        variable = xr.Variable(dims, data, spec.attrs)
        (data_vars if spec.role == "data" else coordinates)[name] = variable
    for fact in FACTS:
        if fact.role == "coord" and fact.name in coords and fact.name not in dropped:
            coordinates[fact.name] = xr.Variable((), coords[fact.name], fact.attrs)
    segments = {name: part[1] for name, part in parts.items() if part[0] == (n.SEGMENT,)}
    return xr.Dataset(
        data_vars,
        coordinates,
        {
            **DATASET_ATTRS,
            "source_format": source_format,
            **rates(segments),
            "n_frames_twop": len(parts[n.TIME][1]),
            "n_frames_stim": len(parts[n.STIM_TIME][1]),
            **STIMULUS_ATTRS,
            **attrs,
        },
    )
