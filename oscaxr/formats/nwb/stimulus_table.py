"""The stimulus table of an NWB session (``intervals/trials``) as columns over segments."""

from functools import partial
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, Once, OrthogonalArray, ReshapedRows
from oscaxr.errors import FormatError
from oscaxr.files.hdf5_arrays import NUMBERS, TEXT, DatasetReader, Source
from oscaxr.formats.nwb.header import TRIALS
from oscaxr.model import names as n
from oscaxr.model import segments as table
from oscaxr.model.derived import Parts
from oscaxr.model.schema import SEGMENT_FRAMES, SEGMENT_NUMBERS, SEGMENT_TEXT

# Without these a selection would mean something else than it says.
REQUIRED_COLUMNS = (
    "start_time",
    "stop_time",
    "stimulus_type",
    "unexpected",
    "gabor_frame",
    "gabor_kappa",
    "gabor_mean_orientation",
    "main_flow_direction",
    "square_size",
)
PATCH_COLUMNS = {
    "gabor_x": "gabor_locations_x",
    "gabor_y": "gabor_locations_y",
    "gabor_size": "gabor_sizes",
    "gabor_orientation": "gabor_orientations",
}
SQUARE_COLUMNS = {"square_x": "square_locations_x", "square_y": "square_locations_y"}


def read_segments(source: Source, clocks: dict[str, Array]) -> dict[str, Array]:
    """Read the scalar columns of the stimulus table, normalised and completed."""
    if source.need(TRIALS, "the stimulus table") is None:
        return {}
    n_problems = len(source.problems)
    raw = {}
    for name in (*SEGMENT_TEXT, *SEGMENT_NUMBERS, "start_time", "stop_time", *SEGMENT_FRAMES):
        with source.part("" if name in REQUIRED_COLUMNS else name):
            dataset = source.array(
                f"{TRIALS}/{name}",
                "a column of the stimulus table",
                (None,),
                required=name in REQUIRED_COLUMNS,
                kinds=NUMBERS + TEXT,
            )
            if dataset is not None:
                raw[name] = source.read(dataset)
    for name in set(raw).intersection(source.dropped).difference(REQUIRED_COLUMNS):
        if len(raw[name]) != len(raw.get("start_time", ())):
            del raw[name]
    lengths = {name: len(values) for name, values in raw.items()}
    if len(set(lengths.values())) > 1:
        source.problems.append(f"the columns of {TRIALS} differ in length: {lengths}")
    if lengths and not max(lengths.values()):
        source.problems.append(f"{TRIALS} has no rows")
    if len(source.problems) > n_problems:
        return {}
    try:
        columns = _normalise(raw, clocks)
    except FormatError as error:
        source.problems.append(f"{TRIALS}: {error}")
        return {}
    problems = table.problems_of_table(columns, {name: len(c) for name, c in clocks.items()})
    source.problems += [f"{TRIALS}: {problem}" for problem in problems]
    return table.completed(columns)


def _normalise(raw: dict[str, Array], clocks: dict[str, Array]) -> dict[str, Array]:
    length = len(raw["stimulus_type"])
    unknown: dict[str, Any] = {
        **dict.fromkeys(SEGMENT_TEXT, ""),
        **dict.fromkeys((*SEGMENT_NUMBERS, "start_time", "stop_time"), np.nan),
        "start_frame_stim_template": -1,
    }
    columns = {
        name: table.typed(name, raw.get(name, np.full(length, value)))
        for name, value in unknown.items()
    }
    for clock, times in clocks.items():
        names = (f"start_frame_{clock}", f"stop_frame_{clock}")
        if not all(name in raw for name in names):
            computed = table.frames_from_times(columns["start_time"], columns["stop_time"], times)
            columns |= dict(zip(names, computed, strict=True))
        columns |= {name: table.typed(name, raw[name]) for name in names if name in raw}
    return columns


def read_patches(source: Source, n_segments: int) -> Parts:
    """Return the Gabor patch parameters, read on first use."""
    parts: Parts = {}
    shape = (n_segments, n.N_PATCHES)
    for name, column in PATCH_COLUMNS.items():
        with source.part(name):
            if datasets := _ragged(source, column, (None,), n_segments):
                readers = (DatasetReader(source.file, one) for one in datasets)
                once = Once(partial(_scatter, *readers))
                parts[name] = computed(once, shape, np.float64, is_quick=True)
    return parts


def _ragged(
    source: Source, column: str, shape: tuple[None, ...], n_segments: int
) -> tuple[h5py.Dataset, h5py.Dataset] | None:
    """Return the values of a ragged column and where those of each segment end."""
    values, ends = f"{TRIALS}/{column}", f"{TRIALS}/{column}_index"
    if source.get(values) is None and source.get(ends) is None:
        return None
    flat = source.array(values, "values of a ragged column", shape)
    index = source.array(ends, "ends of the rows of a ragged column", (n_segments,))
    return None if flat is None or index is None else (flat, index)


def _scatter(flat_reader: DatasetReader, index_reader: DatasetReader) -> Array:
    """Spread a ragged column over (segment, patch), NaN elsewhere."""
    flat = flat_reader.whole()
    stop = index_reader.whole().astype(np.int64)
    counts = np.diff(stop, prepend=0)
    # An empty element may also be written as a single NaN.
    single = np.flatnonzero((counts == 1) & (stop <= len(flat)))
    blank = single[np.isnan(flat[stop[single] - 1])]
    if blank.size:
        flat = np.delete(flat, stop[blank] - 1)
        counts[blank] = 0
    if len(flat) != counts.sum() or not np.isin(counts, (0, n.N_PATCHES)).all():
        raise FormatError(
            f"{flat_reader.file.path}: {flat_reader.name} has {len(flat)} values in groups of "
            f"{sorted(set(counts.tolist()))}, where {n.N_PATCHES} a Gabor segment were expected. "
            "Open it with drop_variables to leave this column out."
        )
    out = np.full((len(stop), n.N_PATCHES), np.nan)
    out[counts > 0] = flat.reshape(-1, n.N_PATCHES)
    return out


def read_squares(source: Source, n_segments: int) -> Parts:
    """Return the square tracks, lazy."""
    parts: Parts = {}
    for name, column in SQUARE_COLUMNS.items():
        with source.part(name):
            parts |= _squares(source, name, column, n_segments)
    return parts


def _squares(source: Source, name: str, column: str, n_segments: int) -> Parts:
    datasets = _ragged(source, column, (None, None), n_segments)
    if datasets is None:
        return {}
    flat, index = datasets
    counts = np.diff(source.read(index).astype(np.int64), prepend=0)
    flow = np.flatnonzero(counts)
    sizes = set(counts[flow].tolist())
    if len(sizes) != 1 or len(flat) != counts.sum():
        source.problems.append(
            f"{flat.name} has shape {flat.shape} in groups of {sorted(sizes)}, where the same "
            "number of squares in each visual-flow segment was expected"
        )
        return {}
    reader = ReshapedRows(DatasetReader(source.file, flat), sizes.pop())
    return {name: OrthogonalArray(reader), n.FLOW_SEGMENT: flow.astype(np.int64)}
