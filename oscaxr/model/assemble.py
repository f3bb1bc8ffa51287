"""From the parts that a reader found to one session Dataset, always the same way."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model import names as n
from oscaxr.model.attrs import DATASET_ATTRS, STIMULUS_ATTRS
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SESSION, template_spec
from oscaxr.model.segments import frame_rate
from oscaxr.model.variable import VariableSpec

Parts = Mapping[str, tuple[tuple[str, ...], Any]]

_TEMPLATE_PREFIX = "template_"


def spec_of(name: str) -> VariableSpec | None:
    """Return the declaration of a session variable, None for a name that is not one.

    Parameters
    ----------
    name : str
        Name of a variable or coordinate of a session Dataset.

    Returns
    -------
    VariableSpec or None

    Examples
    --------
    >>> spec_of("dff").units
    '1'
    """
    if name in SESSION:
        return SESSION[name]
    if name.startswith(_TEMPLATE_PREFIX):
        return template_spec(name.removeprefix(_TEMPLATE_PREFIX))
    return None


def rates(columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """Return the frame rates of a session, as defined by its stimulus table.

    Parameters
    ----------
    columns : mapping of str to ndarray, (segment,)
        Frames and times of the segments.

    Returns
    -------
    dict
        ``twop_fps`` and ``stim_fps``, Hz.
    """
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
    """Assemble a session Dataset.

    Parameters
    ----------
    parts : mapping of str to (dims, data)
        Variables and coordinates under their declared names; data may be lazy.
    coords : mapping of str to int, float or str
        Scalar facts of the session, under the names of :data:`oscaxr.model.facts.FACTS`.
    attrs : mapping of str to int, float or str
        Further facts.
    source_format : str
        Layout of the source: ``"nwb"``, ``"original"`` or ``"memory"``.
    dropped : collection of str, optional
        Names to leave out, once the facts that depend on them are known.

    Returns
    -------
    xarray.Dataset
        With attributes of every variable from the schema, frame rates and stimulus constants.

    Raises
    ------
    SchemaError
        If a part is not declared.
    """
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
