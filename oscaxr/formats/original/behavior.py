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
from oscaxr.files.hdf5_arrays import DatasetReader
from oscaxr.model import names as n
from oscaxr.model import signals

Parts = dict[str, tuple[tuple[str, ...], Any]]
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
    known = np.isfinite(eye_frames)
    rows = np.full(len(eye_frames), -1, np.int64)
    rows[known] = eye_frames[known].astype(np.int64) + shift
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
    return {name: ((n.TIME,), computed(once, rows.shape, np.float64, name)) for name in names}


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
    with file.handle() as handle:
        keys = sorted(handle)
        if len(keys) != 1:
            raise FormatError(f"{file.path} should hold one table, but holds {keys or 'nothing'}")
        group = file.get(handle, keys[0])
        if not isinstance(group, h5py.Group):
            raise FormatError(f"{file.path}: {keys[0]} is no table (a group as pandas writes it)")
        blocks = sorted(name for name in group if name.endswith("_values"))
        found: dict[str, tuple[DatasetReader, int]] = {}
        lengths = set()
        unfit = []
        for block in blocks:
            items = file.get(handle, f"{keys[0]}/{block.removesuffix('_values')}_items")
            values = file.get(handle, f"{keys[0]}/{block}")
            is_table = isinstance(values, h5py.Dataset) and values.ndim == 2
            if not is_table or values.dtype.kind not in "fiu":
                # Objects are stored as pickles, which are not read.
                unfit.append(block)
                continue
            labels = [
                one.decode() if isinstance(one, bytes) else str(one)
                for one in (items[()].tolist() if isinstance(items, h5py.Dataset) else [])
            ]
            if len(labels) != values.shape[1]:
                unfit.append(block)
                continue
            for name, column in COLUMNS.items():
                if column in labels:
                    found[name] = (DatasetReader(file, values), labels.index(column))
                    lengths.add(values.shape[0])
    missing = [column for name, column in COLUMNS.items() if name not in found]
    if missing or len(lengths) > 1:
        more = f" (blocks that are not numbers: {', '.join(unfit)})" if unfit else ""
        raise FormatError(
            f"{file.path} is not a pupil table: it lacks the column(s) {', '.join(missing)}{more}"
            if missing
            else f"{file.path}: the columns of the pupil differ in length: {sorted(lengths)}"
        )
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
