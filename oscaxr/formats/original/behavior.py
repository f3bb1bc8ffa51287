"""Running and pupil of the original layout, from the wheel and the eye camera."""

from functools import partial
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Once
from oscaxr.errors import FormatError, OscaxrWarning, warn
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import DatasetReader, as_words, open_source
from oscaxr.model import names as n
from oscaxr.model import signals
from oscaxr.model.derived import Parts

FloatArray = npt.NDArray[np.float64]

COLUMNS: Final = {
    n.PUPIL_DIAMETER: "nan_diam",
    n.PUPIL_CENTER_X: "nan_center_x",
    n.PUPIL_CENTER_Y: "nan_center_y",
}
DELAY_S: Final = 0.1
"""The eye camera's frames are this much ahead."""


def read_pupil(file: Hdf5File, eye_frames: FloatArray, twop_times: FloatArray) -> Parts:
    """Return the pupil traces of a session, lazy."""
    readers, n_rows = _find_columns(file)
    shift = round(DELAY_S / float(np.mean(np.diff(twop_times))))
    rows = np.where(np.isfinite(eye_frames), np.trunc(eye_frames) + shift, -1).astype(np.int64)
    beyond = int(np.count_nonzero(rows >= n_rows))
    if beyond:
        warn(
            f"{file.path}: the eye was recorded for {n_rows} camera frames only: the last {beyond} "
            f"of {len(rows)} two-photon frames have no pupil (NaN)",
            OscaxrWarning,
        )
    rows[(rows < 0) | (rows >= n_rows)] = -1
    once = Once(partial(_traces, readers, rows))
    names = (*COLUMNS, n.PUPIL_CENTER_SHIFT)
    return {name: computed(once, rows.shape, np.float64, name) for name in names}


def _traces(readers: dict[str, tuple[DatasetReader, int]], rows: Any) -> dict[str, FloatArray]:
    """Read the columns, in millimetres by two-photon frame."""
    found = {}
    for name, (reader, column) in readers.items():
        whole = (slice(0, reader.shape[0], 1), slice(column, column + 1, 1))
        values = reader.read(whole)[:, 0].astype(np.float64) * n.MM_PER_PUPIL_PIXEL
        found[name] = np.append(values, np.nan)[rows]
    x, y = found[n.PUPIL_CENTER_X], found[n.PUPIL_CENTER_Y]
    return {**found, n.PUPIL_CENTER_SHIFT: signals.center_shift(x, y)}


def _find_columns(file: Hdf5File) -> tuple[dict[str, tuple[DatasetReader, int]], int]:
    found: dict[str, tuple[DatasetReader, int]] = {}
    lengths = set()
    unfit = []
    with open_source(file, "a pupil table") as source:
        keys = sorted(source.handle)
        if len(keys) != 1:
            raise FormatError(f"{file.path} should hold one table, but holds {keys or 'nothing'}")
        group = source.get(keys[0])
        blocks = sorted(group) if isinstance(group, h5py.Group) else []
        for block in (name for name in blocks if name.endswith("_values")):
            values = source.get(f"{keys[0]}/{block}")
            items = source.get(f"{keys[0]}/{block.removesuffix('_values')}_items")
            labels = as_words(source.read(items)) if isinstance(items, h5py.Dataset) else []
            # Objects are stored as pickles, which are not read.
            is_table = isinstance(values, h5py.Dataset) and values.dtype.kind in "fiu"
            if not is_table or (values.shape or ())[1:] != (len(labels),):
                unfit.append(block)
                continue
            for name, column in COLUMNS.items():
                if column in labels:
                    found[name] = (DatasetReader(file, values), labels.index(column))
                    lengths.add(len(values))
        missing = [column for name, column in COLUMNS.items() if name not in found]
        if missing:
            more = f" (blocks that are not numbers: {', '.join(unfit)})" if unfit else ""
            source.problems.append(f"it lacks the column(s) {', '.join(missing)}{more}")
        elif len(lengths) > 1:
            source.problems.append(f"its columns differ in length: {sorted(lengths)}")
    return found, lengths.pop()


_GAP: Final = 100


def running_velocity(dx: npt.NDArray[np.floating], rising: FloatArray) -> FloatArray:
    """Return running velocity from the turns of the wheel."""
    # The first sample has no known duration. Pulses after a gap of more than 100 times the median
    # interval are not those of the session.
    kept = pulses_of_session(rising)
    if len(kept) != len(dx):
        raise FormatError(
            f"the wheel has {len(dx)} samples in the stimulus log, but the sync file has "
            f"{len(kept)} stimulus pulses: pulses are missing from one of them, or the files are "
            "of different sessions"
        )
    return signals.wheel_velocity(dx, kept)


def pulses_of_session(rising: FloatArray) -> FloatArray:
    """Return the pulses before the first long gap."""
    gaps = np.diff(rising)
    long = np.flatnonzero(gaps > _GAP * np.median(gaps)) if gaps.size else np.empty(0, int)
    return rising[: long[0] + 1] if long.size else rising
