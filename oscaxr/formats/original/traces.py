"""ROI traces of the original layout, stored ROI by ROI, as (time, roi) arrays."""

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, AxisIndex, OrthogonalArray
from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import DatasetReader, Hdf5File
from oscaxr.model import names as n
from oscaxr.model.derived import trace_facts

Parts = dict[str, tuple[tuple[str, ...], Any]]

DATASETS: Final = ("data", "FC")
"""Names of the traces in their files: dF/F, raw fluorescence."""


class TurnedReader:
    """A reader of (roi, time) traces as (time, roi), the order of the other formats."""

    def __init__(self, reader: DatasetReader) -> None:
        self.reader = reader
        self.shape = reader.shape[::-1]
        self.dtype = reader.dtype
        self.chunk_shape = reader.chunk_shape[::-1] if reader.chunk_shape else None

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return self.reader.read(indices[::-1]).T

    def view(self) -> Array | None:
        """Return the whole array as a read-only view of the file, where it lies in one piece."""
        view = self.reader.view()
        return None if view is None else view.T

    def read_windows(self, starts: Array, length: int, rest: tuple[slice, ...]) -> Array | None:
        """Read windows of frames, (window, length, roi); None where there is no view."""
        view = self.reader.view()
        if view is None:
            return None
        if starts.size and (starts.min() < 0 or starts.max() + length > view.shape[1]):
            raise IndexError("window out of range")
        # Each window of an ROI lies in one piece.
        windows = np.lib.stride_tricks.sliding_window_view(view[rest[0]], length, axis=1)
        return windows[:, starts].transpose(1, 2, 0)


def find_traces(file: Hdf5File) -> tuple[DatasetReader, list[str]]:
    """Find the traces of a file and the names of their ROIs."""
    with file.handle() as handle:
        found = [file.get(handle, name) for name in DATASETS]
        traces = next((one for one in found if isinstance(one, h5py.Dataset)), None)
        if traces is None or traces.ndim != 2 or traces.dtype.kind != "f":
            holds = "none" if traces is None else f"{traces.dtype} of shape {traces.shape}"
            raise FormatError(
                f"{file.path} should hold traces (ROI, two-photon frame) as "
                f"{' or '.join(map(repr, DATASETS))}, but has {holds}"
            )
        stored = file.get(handle, "roi_names")
        names = _names(stored, file.path) if isinstance(stored, h5py.Dataset) else []
        reader = DatasetReader(file, traces)
    roi_names = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    if roi_names and len(roi_names) != reader.shape[0]:
        raise FormatError(
            f"{file.path} has traces of {reader.shape[0]} ROIs, but names of {len(roi_names)}"
        )
    return reader, roi_names


def _names(stored: h5py.Dataset, path: str) -> list[Any]:
    names = stored[()] if stored.ndim == 1 else None
    if names is not None and names.dtype.kind == "f":
        names = names.astype(np.int64) if np.all(names == np.rint(names)) else None
    if names is None:
        raise FormatError(f"{path}: 'roi_names' is not one name or whole number an ROI")
    return list(names.tolist())


def trace_parts(reader: DatasetReader, n_frames: int) -> Parts:
    """Return the traces and what follows from them."""
    turned = TurnedReader(reader)
    if turned.shape[0] > n_frames:
        raise FormatError(
            f"{reader.file.path} has traces of {turned.shape[0]} two-photon frames, but the time "
            f"synchronization file has times of {n_frames}"
        )
    name = Path(reader.file.path).name
    return {
        n.DFF: ((n.TIME, n.ROI), OrthogonalArray(turned)),
        **trace_facts(turned, name, judged=True),
    }
