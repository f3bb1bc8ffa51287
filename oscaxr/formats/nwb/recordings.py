"""What an NWB session recorded: clocks, dF/F, running, pupil, images, and its table of ROIs."""

from functools import partial
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from oscaxr.arrays.lazy import (
    Array,
    ArrayReader,
    AxisIndex,
    Once,
    OrthogonalArray,
    Reader,
    ReshapedRows,
)
from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import NUMBERS, DatasetReader, Source, as_words, open_source
from oscaxr.formats.nwb.header import (
    DFF,
    MAX_PROJECTION,
    MOVIE,
    PIXEL_SPACING,
    PLANE,
    PUPIL,
    RUNNING,
    TEMPLATES,
)
from oscaxr.formats.nwb.pixel_masks import find_pixel_masks
from oscaxr.model import names as n
from oscaxr.model import signals
from oscaxr.model.derived import (
    MaskReader,
    Parts,
    WholeMasks,
    mask_facts,
    pupil_shift,
    trace_facts,
)
from oscaxr.model.schema import template_spec

_PUPIL_SERIES: Final = {
    n.PUPIL_DIAMETER: "pupil_diameter",
    n.PUPIL_CENTER_X: "pupil_position_x",
    n.PUPIL_CENTER_Y: "pupil_position_y",
}
_IN_UM: Final = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
    **dict.fromkeys(("um", "\u00b5m", "micrometer", "micrometers", "micron", "microns"), 1.0),
}


def read_clocks(source: Source) -> dict[str, Array]:
    """Read the timestamps of the stimulus and the two-photon frames."""
    paths = {"stim": RUNNING, "twop": DFF}
    clocks = {
        name: _clock(source, path, f"times of the {name} frames") for name, path in paths.items()
    }
    return {name: times for name, times in clocks.items() if times is not None}


def _clock(source: Source, series: str, what: str) -> Array | None:
    """Read the times of a time series: one by one, or by their start and rate."""
    if source.get(f"{series}/timestamps") is None:
        times = _times_by_rate(source, series, what)
        if times is not None:
            return times
    return source.clock(f"{series}/timestamps", what)


def _times_by_rate(source: Source, series: str, what: str) -> Array | None:
    """Return the times of a time series that has a start and a rate; None for any other."""
    start, data = (source.get(f"{series}/{name}") for name in ("starting_time", "data"))
    if not isinstance(start, h5py.Dataset) or not isinstance(data, h5py.Dataset):
        return None
    rate = np.ravel(start.attrs.get("rate", np.nan))
    first = source.values(f"{series}/starting_time", what, start.shape, unit="s")
    is_rate = rate.size == 1 and rate.dtype.kind in NUMBERS and 0 < rate[0] < np.inf
    if first is None or first.size != 1 or not is_rate:
        source.problems.append(f"{series}/starting_time has no time, or no rate above 0 ({what})")
        return None
    return np.asarray(first.item() + np.arange(data.shape[0]) / rate[0])


def stored_series(file: Hdf5File) -> dict[str, DatasetReader]:
    """Return what reads clocks, running and pupil as a file stores them, by variable."""
    paths = {n.TIME: f"{DFF}/timestamps", n.STIM_TIME: f"{RUNNING}/timestamps"}
    paths |= {n.RUN_VELOCITY: f"{RUNNING}/data"}
    paths |= {name: f"{PUPIL}/{series}/data" for name, series in _PUPIL_SERIES.items()}
    with open_source(file, "a session") as source:
        found = {name: source.get(path) for name, path in paths.items()}
        return {
            name: DatasetReader(file, item)
            for name, item in found.items()
            if isinstance(item, h5py.Dataset)
        }


def find_dff(source: Source, n_frames: int | None) -> Reader | None:
    """Find dF/F: (time, ROI), of one ROI also (time,)."""
    path, what = f"{DFF}/data", "dF/F by (two-photon frame, ROI)"
    single = isinstance(found := source.get(path), h5py.Dataset) and found.ndim == 1
    dataset = source.array(path, what, (n_frames, *([] if single else [None])), unit="dF/F")
    if dataset is None:
        return None
    reader = source.reader(dataset)
    return ReshapedRows(reader, 1) if single else reader


def dff_parts(source: Source, reader: Reader) -> Parts:
    """Return dF/F and what is computed from whole traces on first use."""
    name = Path(source.file.path).name
    return {n.DFF: OrthogonalArray(reader), **trace_facts(reader, name)}


def read_running(source: Source, n_frames: int | None) -> Parts:
    """Read running velocity, its outliers set to NaN; warn when many frames are missing."""
    if n.RUN_VELOCITY in source.dropped:
        return {}
    velocity = source.values(f"{RUNNING}/data", "running velocity", (n_frames,), unit="cm/s")
    if velocity is None:
        return {}
    cleaned = signals.cleaned_running(velocity, Path(source.file.path).name)
    return {n.RUN_VELOCITY: cleaned}


def read_pupil(source: Source, times: Array, clock: h5py.Dataset | None = None) -> Parts:
    """Return the pupil traces that the file has, lazy; their clock has to be the two-photon one."""
    parts: Parts = {}
    for name, series in _PUPIL_SERIES.items():
        what = f"{series.replace('_', ' ')} by two-photon frame"
        place = f"{PUPIL}/{series}"
        with source.part(name):
            found = source.array(f"{place}/data", what, (len(times),), required=False, unit="mm")
            if found is not None:
                reader = source.reader(found)
                own = _own_clock(source, place, what, clock)
                if own is not None:
                    reader = SameClock(reader, own, times, f"{source.file.path}: {place}")
                parts[name] = OrthogonalArray(reader)
    if n.PUPIL_CENTER_X in parts and n.PUPIL_CENTER_Y in parts:
        parts |= pupil_shift(parts[n.PUPIL_CENTER_X].reader, parts[n.PUPIL_CENTER_Y].reader)
    return parts


def _own_clock(source: Source, series: str, what: str, clock: h5py.Dataset | None) -> Reader | None:
    """Return what reads the times of a time series, unless they are those of the clock."""
    path = f"{series}/timestamps"
    found = source.get(path)
    if found is None:
        times = _times_by_rate(source, series, what)
        return None if times is None else ArrayReader(times)
    if found == clock:
        return None
    stamps = source.array(path, f"times of the {what}", (None,), unit="s")
    return None if stamps is None else source.reader(stamps)


class SameClock:
    """Reads a trace by two-photon frame, once its own times are known to be those of the frames."""

    def __init__(self, reader: Reader, own: Reader, times: Array, what: str) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.dtype = reader.dtype
        self.chunk_shape = getattr(reader, "chunk_shape", None)
        self._checked = Once(partial(_check_times, own, times, what))

    def check(self) -> None:
        """Raise what reading would, as far as that shows without the values."""
        self._checked()

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        self._checked()
        return self.reader.read(indices)


def _check_times(own: Reader, times: Array, what: str) -> None:
    """Refuse times that are not those of the two-photon frames."""
    found = own.read((slice(None),)) if own.shape == times.shape else np.empty(0)
    if not found.size:
        differs = f"has {own.shape} times for {len(times)} two-photon frames"
    elif np.array_equal(found, times):
        return
    else:
        apart = np.abs(found - times)
        differs = (
            f"differs from the two-photon clock at {np.count_nonzero(apart)} of {len(times)} "
            f"frames, by up to {np.max(apart, where=~np.isnan(apart), initial=0):.4g} s"
        )
        if np.isnan(apart).any():
            differs += f", and is missing at {np.count_nonzero(np.isnan(apart))}"
    raise FormatError(
        f"{what} has a clock of its own that {differs}: its values are not of those frames. Leave "
        "the pupil out (drop_variables), or fetch the file again."
    )


def read_max_projection(source: Source) -> Parts:
    """Return the maximum projection, lazy."""
    return _optional(source, MAX_PROJECTION, "maximum projection", n.MAX_PROJECTION, (None, None))


def read_pixel_spacing(source: Source, field: tuple[int, int] | None) -> Parts:
    """Return where the rows and columns of pixels are, where the file says how far apart."""
    with source.part(n.HEIGHT_UM), source.part(n.WIDTH_UM):
        found = source.get(PIXEL_SPACING)
        if field is None or not isinstance(found, h5py.Dataset):
            return {}
        # NWB's order is x, y, and z where there are several planes.
        spacing = np.ravel(source.read(found))
        unit = as_words(np.ravel(found.attrs.get("unit", "meters")))[0]
        is_number = spacing.dtype.kind in NUMBERS and spacing.size in (2, 3)
        if unit not in _IN_UM or not is_number or not np.all(np.isfinite(spacing) & (spacing > 0)):
            source.problems.append(
                f"{PIXEL_SPACING} is not the distance of pixels along x and y, above 0 and in "
                f"meters or micrometers, but {spacing.tolist()} {unit}"
            )
            return {}
        steps = dict(zip((n.WIDTH_UM, n.HEIGHT_UM), spacing[:2] * _IN_UM[unit], strict=True))
        sizes = {n.HEIGHT_UM: field[0], n.WIDTH_UM: field[1]}
        return {name: np.arange(size) * steps[name] for name, size in sizes.items()}


def read_templates(source: Source) -> Parts:
    """Return the stimulus template images, lazy."""
    group = source.get(TEMPLATES)
    parts: Parts = {}
    for name in sorted(group) if isinstance(group, h5py.Group) else []:
        variable = template_spec(name).name
        with source.part(variable):
            dataset = source.get(f"{TEMPLATES}/{name}/data")
            if isinstance(dataset, h5py.Dataset) and dataset.ndim in (3, 4):
                parts[variable] = _lazy(source, dataset)
            else:
                source.problems.append(
                    f"{TEMPLATES}/{name}/data is not a series of images (frame, height, width, 1)"
                )
    return parts


def read_movie(source: Source, n_frames: int) -> Parts:
    """Return the motion-corrected stack, lazy."""
    shape = (n_frames, None, None)
    return _optional(source, f"{MOVIE}/data", "motion-corrected stack", n.MOVIE, shape)


def _optional(
    source: Source, path: str, what: str, name: str, shape: tuple[int | None, ...]
) -> Parts:
    """Return a variable that the file may have, lazy."""
    parts: Parts = {}
    with source.part(name):
        dataset = source.array(path, what, shape, required=False)
        if dataset is not None:
            parts[name] = _lazy(source, dataset)
    return parts


def _lazy(source: Source, dataset: h5py.Dataset) -> OrthogonalArray:
    reader = source.reader(dataset)
    if dataset.ndim == 4 and dataset.shape[3] == 1:
        # Images are stored with one colour channel: drop it as an int index would.
        indices = (*(slice(0, size, 1) for size in dataset.shape[:3]), 0)
        return OrthogonalArray(reader, indices)
    return OrthogonalArray(reader)


def read_roi_table(source: Source, n_traces: int | None) -> Parts:
    """Read the ROI table, in the order of the traces."""
    if source.need(PLANE, "the ROI table") is None:
        return {}
    ids = source.values(f"{PLANE}/id", "ROI ids", (None,))
    if ids is None:
        return {}
    rows = _rows_of_traces(source, n_traces, len(ids))
    repeated = len(ids) - len(np.unique(ids))
    if repeated:
        source.problems.append(f"{PLANE}/id has {repeated} repeated ROI id(s)")
    parts: Parts = {
        n.ROI: rows,
        n.ROI_ID: ids[rows].astype(np.int64),
        n.TRACKING_ID: np.full(len(rows), n.UNTRACKED, np.int64),
    }
    with source.part(n.TRACKING_ID):
        parts[n.TRACKING_ID] = _tracking_ids(source, len(ids))[rows]
    with source.part(n.ROI_MASK):
        masks = _find_masks(source, len(ids))
        parts |= {} if masks is None else _masks(masks, rows)
    return parts


def _rows_of_traces(source: Source, n_traces: int | None, n_rows: int) -> Array:
    """Return the row of the ROI table that each trace belongs to."""
    everything = np.arange(n_rows, dtype=np.int64)
    if n_traces is None:
        return everything
    region = source.values(f"{DFF}/rois", "rows of the ROI table", (None,), required=False)
    rows = everything if region is None else region.astype(np.int64)
    if not len(rows) == n_rows == n_traces:
        source.problems.append(
            f"{DFF}/data has {n_traces} traces, but {DFF}/rois names {len(rows)} of the {n_rows} "
            f"ROIs of {PLANE}; each ROI of a session file has one trace, and which is which cannot "
            "be told"
        )
        return everything
    if rows.size and (rows.min() < 0 or rows.max() >= n_rows or len(np.unique(rows)) < len(rows)):
        source.problems.append(
            f"{DFF}/rois does not name each trace's own row of {PLANE} (0 to {n_rows - 1})"
        )
        return everything
    return rows


def _tracking_ids(source: Source, n_rows: int) -> Array:
    untracked = np.full(n_rows, n.UNTRACKED, np.int64)
    values = source.values(f"{PLANE}/tracking_id", "tracking order", (n_rows,), required=False)
    if values is None:
        return untracked
    values = values.astype(np.float64)
    # Files that store whole numbers cannot say NaN: they say a negative number.
    tracked = np.isfinite(values) & ~(values < 0)
    ids = values[tracked]
    if not np.array_equal(ids, np.rint(ids)):
        source.problems.append(f"{PLANE}/tracking_id has fractional values")
        return untracked
    unique, counts = np.unique(ids, return_counts=True)
    if np.any(counts > 1):
        twice = ", ".join(str(int(i)) for i in unique[counts > 1][:10])
        source.problems.append(
            f"{PLANE}/tracking_id gives the same tracking id to several ROIs ({twice}); a tracked "
            "ROI must be one ROI in each session"
        )
        return untracked
    untracked[tracked] = ids.astype(np.int64)
    return untracked


def _find_masks(source: Source, n_rois: int) -> WholeMasks | None:
    """Find the ROI masks: as images, or as lists of pixels."""
    if source.get(f"{PLANE}/image_mask") is None and source.get(f"{PLANE}/pixel_mask") is not None:
        return find_pixel_masks(source, n_rois)
    shape = (n_rois, None, None)
    masks = source.array(f"{PLANE}/image_mask", "ROI masks", shape, required=False)
    return None if masks is None else MaskReader(DatasetReader(source.file, masks))


def _masks(reader: WholeMasks, rows: Array) -> Parts:
    array = OrthogonalArray(reader)
    if not np.array_equal(rows, np.arange(len(rows))):
        array = OrthogonalArray(reader, (rows, *array.indices[1:]))
    return {n.ROI_MASK: array, **mask_facts(reader, rows)}
