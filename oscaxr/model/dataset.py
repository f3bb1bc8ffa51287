"""One session Dataset, always assembled in the same way, and whether it is a sound one.

Structure is checked for free, values on request; all problems are told at once.
"""

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import OrthogonalArray, check_readable
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.errors import FormatError, OscaxrError, SchemaError, listed
from oscaxr.model import names as n
from oscaxr.model import synthetic
from oscaxr.model.derived import pixel_positions
from oscaxr.model.facts import FACT_BY_NAME, FACTS
from oscaxr.model.schema import (
    DATASET_ATTRS,
    KIND_CODES,
    SESSION,
    STIMULUS_ATTRS,
    VariableSpec,
    template_spec,
)
from oscaxr.model.segments import CLOCK_DIMS, frame_rate, problems_of_table

_TEMPLATE_PREFIX = "template_"
# xarray prints the coordinates dim by dim, in the order of the variables, and of many only the
# first and last six: those that an analysis begins with are to be among them. (An index is printed
# before what else its dim has; of sequences, the segment is one of the columns.)
_PRINTED_FIRST = (n.TIME, n.STIM_TIME, "gabor_frame", n.SEGMENT, "stimulus_type", "unexpected")
# What a task of dask takes of an array that is stored in one piece.
PIECE_BYTES = 32 * 2**20


def spec_of(name: str) -> VariableSpec | None:
    """Return the declaration of a session variable, None for a name that is not one."""
    if name in SESSION:
        return SESSION[name]
    if name.startswith(_TEMPLATE_PREFIX):
        return template_spec(name.removeprefix(_TEMPLATE_PREFIX))
    return None


def declared(name: str) -> VariableSpec:
    """Return the declaration of a session variable; refuse a name that is not one."""
    spec = spec_of(name)
    if spec is None:
        raise SchemaError(f"{name!r} is not a variable of a session: {', '.join(SESSION)}")
    return spec


def session_dataset(
    where: str,
    parts: Mapping[str, Any],
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any],
    dropped: Collection[str] = (),
) -> xr.Dataset:
    """Assemble the session Dataset of a place, and refuse it if it is not a sound one."""
    _check_sizes(where, parts, dropped)
    parts = {**parts, **pixel_positions(parts, dropped)}
    data_vars: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.Variable] = {}
    for name in _ordered(parts):
        if name in dropped:
            continue
        spec, data = declared(name), parts[name]
        variable = xr.Variable(spec.dims, data, spec.attrs, _chunks_of(spec.dims, data))
        (data_vars if spec.role == "data" else coordinates)[name] = variable
    for fact in FACTS:
        if fact.role == "coord" and fact.name in coords and fact.name not in dropped:
            coordinates[fact.name] = xr.Variable((), coords[fact.name], fact.attrs)
    ds = xr.Dataset(
        data_vars,
        coordinates,
        {
            **(synthetic.ATTRS if attrs.get("synthetic") else DATASET_ATTRS),
            "source_format": attrs["source_format"],
            **{f"{clock}_fps": frame_rate(parts, clock) for clock in ("twop", "stim")},
            "n_frames_twop": len(parts[n.TIME]),
            "n_frames_stim": len(parts[n.STIM_TIME]),
            **STIMULUS_ATTRS,
            **attrs,
        },
    )
    check_structure(ds, dropped=dropped).raise_errors(where)
    return in_order(ds)


def in_order(ds: xr.Dataset) -> xr.Dataset:
    """Return a session with its variables in the one order that all formats have."""
    return ds[_ordered(ds.variables)]


def _ordered(names: Collection[Any]) -> list[Any]:
    first = dict.fromkeys((*_PRINTED_FIRST, *SESSION, *FACT_BY_NAME, *names))
    return [name for name in first if name in names]


def _chunks_of(dims: tuple[str, ...], data: Any) -> dict[str, dict[str, int]] | None:
    """Return the file's own chunks as dask takes them, so that it inflates none of them twice."""
    chunk_shape = getattr(data, "chunk_shape", None)
    if isinstance(data, OrthogonalArray) and not chunk_shape:
        chunk_shape = _rows_together(data)
    if not chunk_shape or len(chunk_shape) != len(dims):
        return None
    return {"preferred_chunks": dict(zip(dims, chunk_shape, strict=True))}


def _rows_together(data: OrthogonalArray) -> tuple[int, ...] | None:
    """Return a part of an array that is stored in one piece; None where all of it is small."""
    n_bytes = math.prod(data.shape) * data.dtype.itemsize
    if n_bytes <= PIECE_BYTES:
        return None
    slowest = data.order.index(0)
    rows = max(1, PIECE_BYTES * data.shape[slowest] // n_bytes)
    return (*data.shape[:slowest], rows, *data.shape[slowest + 1 :])


def _check_sizes(where: str, parts: Mapping[str, Any], dropped: Collection[str]) -> None:
    """Refuse arrays that share a dim but differ in its size."""
    sizes: dict[str, dict[int, list[str]]] = {}
    for name, data in parts.items():
        if name in dropped:
            continue
        for dim, size in zip(declared(name).dims, np.shape(data), strict=True):
            sizes.setdefault(dim, {}).setdefault(size, []).append(name)
    problems = [
        f"{dim} is " + ", but ".join(f"{size} in {' and '.join(k)}" for size, k in found.items())
        for dim, found in sizes.items()
        if len(found) > 1
    ]
    if problems:
        raise FormatError(
            f"{where} has arrays that do not fit each other: {'; '.join(problems)}. Leave out "
            "those that are wrong with drop_variables, or fetch the file again."
        )


Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth knowing, about a session.

    Parameters
    ----------
    level : {"error", "warning", "note"}
        Errors make results wrong; warnings may; notes do not.
    where : str
        Variable or coordinate.
    message : str
        What was found.
    """

    level: Level
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.message}"


class Report(tuple[Problem, ...]):
    """The problems of a session; prints one a line."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else "no problems found"

    __repr__ = __str__

    def at_level(self, level: Level) -> "Report":
        """Return the problems of one level.

        Parameters
        ----------
        level : {"error", "warning", "note"}
            Which.

        Returns
        -------
        Report
        """
        return Report(problem for problem in self if problem.level == level)

    def raise_errors(self, source: str) -> None:
        """Raise if there is any problem of level error.

        Parameters
        ----------
        source : str
            Name of the session or file, for the message.

        Raises
        ------
        SchemaError
            Listing all errors.
        """
        errors = self.at_level("error")
        if errors:
            lines = listed(f"{problem.where}: {problem.message}" for problem in errors)
            raise SchemaError(f"{source} is not a sound session Dataset:{lines}")


def check_structure(ds: xr.Dataset, *, dropped: Iterable[str] = ()) -> Report:
    """Check names, dims and dtypes against the schema; reads no values."""
    return Report(_check_structure(ds, set(ds.variables) | set(dropped)))


def _check_structure(ds: xr.Dataset, excused: Collection[Hashable]) -> Iterator[Problem]:
    for name, spec in SESSION.items():
        if spec.required and name not in excused:
            yield Problem("error", name, "is missing")
    for key, variable in ds.variables.items():
        known = spec_of(str(key))
        if known is None:
            if variable.dims:
                yield Problem("note", str(key), "is not part of the session schema")
            continue
        if set(variable.dims) != set(known.dims):
            message = f"has dims {variable.dims}, not those of {known.dims}"
            yield Problem("error", known.name, message)
        elif variable.dtype.kind not in KIND_CODES[known.kind]:
            message = f"has dtype {variable.dtype}, not one of kind {known.kind}"
            yield Problem("error", known.name, message)
        if known.role == "index" and key not in ds.xindexes:
            yield Problem("error", known.name, "is not an index")
    for rate in ("twop_fps", "stim_fps"):
        if not _rate(ds, rate) > 0:
            yield Problem("error", rate, "is missing from the attributes, or not above 0")


def validate(ds: xr.Dataset, *, traces: bool = False) -> Report:
    """Check a session Dataset, its structure and the values of its coordinates.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    traces : bool, optional
        Also go through all dF/F traces for NaN and infinite values.

    Returns
    -------
    Report
        All problems at once, with their levels; empty for a sound session.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.sample.session(n_rois=4, scale=0.02).osca.validate()
    no problems found
    """
    structure = check_structure(ds)
    broken = {problem.where for problem in structure.at_level("error")}
    problems = list(structure)
    for clock in (n.TIME, n.STIM_TIME):
        if clock not in broken:
            problems += _check_clock(ds, clock)
    if not broken & {n.ROI_ID, n.TRACKING_ID}:
        problems += _check_rois(ds)
    columns = [name for name, spec in SESSION.items() if spec.dims == (n.SEGMENT,)]
    if not broken & {*columns, n.TIME, n.STIM_TIME}:
        problems += _check_segments(ds)
    if n.RUN_VELOCITY in ds and n.RUN_VELOCITY not in broken:
        missing = float(ds[n.RUN_VELOCITY].isnull().mean())
        if missing > n.DROP_TOLERANCE:
            message = f"{missing:.2%} of the frames are missing (usual: under 0.03%)"
            problems.append(Problem("warning", n.RUN_VELOCITY, message))
    problems += _check_readable(ds, broken)
    if traces and n.VALID in ds.coords and n.VALID not in broken:
        problems += _check_traces(ds)
    return Report(problems)


def _check_readable(ds: xr.Dataset, broken: Collection[str]) -> Iterator[Problem]:
    """Find what will refuse to be read; a value is read of what hides how it is read."""
    for name in map(str, ds.data_vars):
        if name in broken:
            continue
        data = innermost(ds.variables[name])
        try:
            if isinstance(data, OrthogonalArray):
                check_readable(data.reader)
            elif ds.variables[name].chunks is not None:
                np.asarray(ds[name].isel(dict.fromkeys(ds[name].dims, slice(1))))
        except OscaxrError as error:
            yield Problem("error", name, str(error))


def _check_clock(ds: xr.Dataset, clock: str) -> Iterator[Problem]:
    back = np.flatnonzero(~(np.diff(ds[clock].values) > 0))
    if back.size:
        yield Problem("error", clock, f"does not increase at {back.size} place(s): {_some(back)}")


def _check_rois(ds: xr.Dataset) -> Iterator[Problem]:
    ids, counts = np.unique(ds[n.ROI_ID].values, return_counts=True)
    if np.any(counts > 1):
        yield Problem("error", n.ROI_ID, f"is repeated: {_some(ids[counts > 1])}")
    tracking = ds[n.TRACKING_ID].values
    tracked, counts = np.unique(tracking[tracking != n.UNTRACKED], return_counts=True)
    if np.any(counts > 1):
        message = f"is given to several ROIs: {_some(tracked[counts > 1])}"
        yield Problem("error", n.TRACKING_ID, message)
    elif tracked.size and not np.array_equal(tracked, np.arange(tracked.size)):
        yield Problem("note", n.TRACKING_ID, "does not count from 0 without gaps")


def _check_traces(ds: xr.Dataset) -> Iterator[Problem]:
    invalid = ~ds[n.VALID].values
    if not invalid.any():
        return
    what = "have NaN or infinite values"
    if n.INVALID_REASON in ds.coords:
        what = "are bad (see invalid_reason)"
    labels = ds[n.ROI].values
    message = f"{invalid.sum()} ROI(s) {what}: {_some(labels[invalid])}"
    if n.LISTED_INVALID in ds.coords:
        invalid &= ~ds[n.LISTED_INVALID].values
    if invalid.any():
        message += (
            f". No file lists {_some(labels[invalid])} as invalid, so sequences and statistics "
            "keep them; ds.isel(roi=ds.valid) leaves them out"
        )
    yield Problem("warning", n.DFF, message)


def _check_segments(ds: xr.Dataset) -> list[Problem]:
    columns = {
        str(name): variable.values
        for name, variable in ds.coords.items()
        if variable.dims == (n.SEGMENT,)
    }
    return list(_check_columns(ds, columns)) or list(_check_times(ds, columns))


def _check_columns(ds: xr.Dataset, columns: dict[str, Any]) -> Iterator[Problem]:
    lengths = {"stim": ds.sizes[n.STIM_TIME], "twop": ds.sizes[n.TIME]}
    for message in problems_of_table(columns, lengths):
        yield Problem("error", n.SEGMENT, message)
    for name, domain in n.NUMBER_DOMAINS.items():
        odd = sorted(set(columns[name][~np.isnan(columns[name])].tolist()) - set(domain))
        if odd:
            yield Problem("error", name, f"has values {odd[:5]}, not among {list(domain)}")
    late = np.flatnonzero(~(columns["stop_time"] > columns["start_time"]))
    if late.size:
        message = f"is not after start_time in segment(s) {_some(late)}"
        yield Problem("error", "stop_time", message)


def _check_times(ds: xr.Dataset, columns: dict[str, Any]) -> Iterator[Problem]:
    for clock, dim in CLOCK_DIMS.items():
        name = f"start_frame_{clock}"
        times = ds[dim].values[np.minimum(columns[name], ds.sizes[dim] - 1)]
        off = np.flatnonzero(np.abs(times - columns["start_time"]) * _rate(ds, f"{clock}_fps") > 2)
        if off.size:
            message = f"is more than 2 frames from start_time in segment(s) {_some(off)}"
            yield Problem("warning", name, message)
    gaps = np.flatnonzero(columns["start_frame_twop"][1:] != columns["stop_frame_twop"][:-1])
    if gaps.size:
        message = f"leaves a gap or overlap after segment(s) {_some(gaps)}"
        yield Problem("warning", "start_frame_twop", message)


def _rate(ds: xr.Dataset, name: str) -> float:
    """Return a frame rate; 0 where the Dataset has none."""
    rate = ds.attrs.get(name)
    return float(rate) if isinstance(rate, int | float | np.number) else 0.0


def _some(values: "np.ndarray[Any, Any]") -> str:
    listed = ", ".join(map(str, values[:5]))
    return listed if len(values) <= 5 else f"{listed}, ... ({len(values)})"
