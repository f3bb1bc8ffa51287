"""The reference frames of sequences: from segments, frames or times, with their labels."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.arrays.xarray_internals import data_of
from oscaxr.errors import WindowError, few, option
from oscaxr.model import names as n
from oscaxr.model.segments import CLOCK_DIMS, Clock, nearest_frames, recording_frames
from oscaxr.model.traces import check_same_session
from oscaxr.select.criteria import segment_part
from oscaxr.select.frames import check_inside, one_dimensional, whole_numbers

Array = np.ndarray[Any, Any]


class SequenceLabels(pd.Index):
    """Labels along ``sequence`` that say what they are where one is asked for that is not there."""

    # An index of xarray's own kind would not line up with the plain ones of other arrays.
    @property
    def _constructor(self) -> type[pd.Index]:
        return SequenceLabels

    def get_loc(self, key: Any) -> Any:
        """Return the position of a label."""
        try:
            return super().get_loc(key)
        except KeyError:
            raise KeyError(
                f"no sequence is labelled {key!r}: the {len(self)} labels along 'sequence' are "
                f"numbers of segments (or of the frames or times given): {few(self.tolist())}. "
                f"By position: .isel(sequence={key!r})"
            ) from None


def labelled(labels: Array) -> pd.Index:
    """Return an index of labels along ``sequence``."""
    index = pd.Index(labels)
    index.__class__ = SequenceLabels
    return index


class ReferenceFrames(NamedTuple):
    """Reference frames and what is known about each."""

    frames: Array
    labels: Array
    what: str
    n_frames: int
    lengths: Array | None
    coords: Mapping[Hashable, xr.Variable]

    def keep(self, flags: Array) -> "ReferenceFrames":
        """Return those that are flagged."""
        return self._replace(
            frames=self.frames[flags],
            labels=self.labels[flags],
            lengths=None if self.lengths is None else self.lengths[flags],
            coords={key: part[flags] if part.dims else part for key, part in self.coords.items()},
        )


def find_references(
    ds: xr.Dataset, clock: Clock, *, segments: Any, frames: Any, times: Any
) -> ReferenceFrames:
    """Return reference frames on a clock."""
    asked = {"segments": segments, "frames": frames, "times": times}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise WindowError(f"give one of segments, frames and times (found: {found})")
    _check_kind(given[0], asked[given[0]])
    check_same_session(ds, asked[given[0]])
    # Variables, not coordinates: making a DataArray of each costs more than reading the windows.
    facts = {name: ds.variables[name] for name in ds.coords if not ds.variables[name].dims}
    if segments is not None:
        return _of_segments(ds, clock, segments, facts)
    if times is not None:
        return _of_times(ds, clock, times, facts)
    other = "stim" if clock == "twop" else "twop"
    if str(getattr(frames, "name", "")).endswith(f"_frame_{other}"):
        raise WindowError(
            f"{frames.name} are frames of the {other} clock, but the windows are on the {clock} "
            f"clock: give {str(frames.name).replace(other, clock)}, or clock={other!r}"
        )
    values = whole_numbers(frames, "frames")
    length = recording_frames(ds, clock)
    check_inside(values, length, clock)
    labels = np.arange(len(values))
    coords = {**_carried(frames), **facts}
    return ReferenceFrames(values.astype(np.int64), labels, "frames number", length, None, coords)


def _check_kind(given: str, value: Any) -> None:
    """Refuse frames given as segments, and the like, where a name tells them apart."""
    name, kind = str(getattr(value, "name", "")), given
    if isinstance(value, xr.Dataset) or name in (n.SEGMENT, n.SEQUENCE):
        name, kind = name or "a selection", "segments"
    elif "_frame_" in name or name == "reference_frame":
        kind = "frames"
    elif name in ("start_time", "stop_time", *CLOCK_DIMS.values()):
        kind = "times"
    if kind != given:
        raise WindowError(f"{name}: these are {kind}, not {given}; give them as {kind}=")


def _of_segments(
    ds: xr.Dataset, clock: Clock, segments: Any, facts: Mapping[Hashable, xr.Variable]
) -> ReferenceFrames:
    length = recording_frames(ds, clock)
    if isinstance(segments, xr.Dataset):
        table = segment_part(segments)
        numbers = table[n.SEGMENT].values
    else:
        numbers = whole_numbers(segments, "segments (give a selection of them, or their numbers)")
        table = segment_part(ds)
    known = ds.indexes[n.SEGMENT] if n.SEGMENT in ds.indexes else table.indexes[n.SEGMENT]
    positions = known.get_indexer(pd.Index(numbers))
    if (positions < 0).any():
        missing = np.asarray(numbers)[positions < 0]
        raise WindowError(
            f"{len(missing)} segment(s) are not in this session's table of {len(known)} segments: "
            f"{few(missing)}. If these are frames, give them as frames="
        )
    if not isinstance(segments, xr.Dataset):
        table = table.isel({n.SEGMENT: positions})
    columns = {name: table.variables[name] for name in table.coords}
    # What of an export was not looked at stays unread.
    carried = {
        name: xr.Variable((n.SEQUENCE,), data_of(column), column.attrs)
        for name, column in columns.items()
        if column.dims == (n.SEGMENT,)
    }
    if isinstance(segments, xr.DataArray):
        carried |= _carried(segments)
    return ReferenceFrames(
        columns[f"start_frame_{clock}"].values,
        np.asarray(numbers, np.int64),
        "segments",
        length,
        columns[f"num_frames_{clock}"].values,
        {**carried, **facts},
    )


def _of_times(
    ds: xr.Dataset, clock: Clock, times: Any, facts: Mapping[Hashable, xr.Variable]
) -> ReferenceFrames:
    given = one_dimensional(times, "times")
    if given.dtype.kind not in "iuf" and given.size:
        raise WindowError(f"{option('times', few(given))}: give numbers of seconds")
    values = given.astype(np.float64)
    timestamps = ds[CLOCK_DIMS[clock]].values
    outside = values[~((values >= timestamps[0]) & (values <= timestamps[-1]))]
    if outside.size:
        in_s = values / 1000
        is_ms = ((in_s >= timestamps[0]) & (in_s <= timestamps[-1])).all()
        hint = ". Times are seconds: these seem to be milliseconds, or frames" if is_ms else ""
        raise WindowError(
            f"{outside.size} time(s) lie outside the recording ({timestamps[0]:.3f} to "
            f"{timestamps[-1]:.3f} s): {', '.join(f'{time:g}' for time in outside[:10])}{hint}"
        )
    frames = nearest_frames(timestamps, values)
    carried = _carried(times)
    carried["reference_time"] = xr.Variable(
        (n.SEQUENCE,), values, {"long_name": "reference time asked for", "units": "s"}
    )
    labels, length = np.arange(len(values)), len(timestamps)
    return ReferenceFrames(frames, labels, "times number", length, None, {**carried, **facts})


def _carried(values: Any) -> dict[Hashable, xr.Variable]:
    """Return the coordinates that a DataArray of frames or times brings along its dim."""
    if not isinstance(values, xr.DataArray):
        return {}
    return {
        name: xr.Variable((n.SEQUENCE,), coord.values, coord.attrs)
        for name, coord in values.coords.items()
        if coord.dims == values.dims and len(coord.dims) == 1
    }
