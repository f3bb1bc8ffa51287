"""The NWB files of one session, as one source that knows where things are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, Reader
from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.remote import RemoteFile

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
MAX_PROJECTION = "processing/ophys/PlaneImages/max_projection"
RUNNING = "processing/behavior/BehavioralTimeSeries/running_velocity"
PUPIL = "processing/behavior/PupilTracking"
TRIALS = "intervals/trials"
SQUARES = f"{TRIALS}/square_locations_x"
TEMPLATES = "stimulus/templates"
MOVIE = "acquisition/motion_corrected_stack"


class Source:
    """One open NWB file; collects what is wrong with it."""

    def __init__(self, file: Hdf5File, handle: h5py.File) -> None:
        self.file = file
        self.handle = handle
        self.problems: list[str] = []

    def get(self, path: str) -> Any:
        """Return a group or dataset, or None where there is none (links are checked)."""
        return self.file.get(self.handle, path)

    def text(self, path: str) -> str:
        """Return a scalar text, empty where it is absent."""
        dataset = self.get(path)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape != ():
            return ""
        value = dataset[()]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def need(self, path: str, what: str) -> Any:
        """Return a group or dataset; note a problem where there is none."""
        item = self.get(path)
        if item is None:
            self.problems.append(f"{path} is missing ({what})")
        return item

    def array(
        self, path: str, what: str, shape: Sequence[int | None], *, required: bool = True
    ) -> h5py.Dataset | None:
        """Return a numeric dataset of a given shape; note a problem where it is not that."""
        item = self.need(path, what) if required else self.get(path)
        if item is None:
            return None
        if not isinstance(item, h5py.Dataset):
            self.problems.append(f"{path} should be a dataset ({what}), but is a group")
            return None
        if item.dtype.kind not in "fiub":
            self.problems.append(f"{path} should hold numbers ({what}), but is {item.dtype}")
            return None
        fits = len(item.shape) == len(shape) and all(
            want is None or have == want for have, want in zip(item.shape, shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if size is None else str(size) for size in shape)
            self.problems.append(
                f"{path} has shape {item.shape}, where ({expected}) was expected ({what})"
            )
            return None
        factor, offset = item.attrs.get("conversion", 1.0), item.attrs.get("offset", 0.0)
        if np.any(factor != 1.0) or np.any(offset != 0.0):
            self.problems.append(
                f"{path} is stored with conversion {factor} and offset {offset}; sessions of this "
                "dataset store physical units (1 and 0)"
            )
        return item

    def values(
        self, path: str, what: str, shape: Sequence[int | None], *, required: bool = True
    ) -> Array | None:
        """Read a small numeric dataset whole (see :meth:`array`)."""
        dataset = self.array(path, what, shape, required=required)
        return None if dataset is None else self.read(dataset)

    def read(self, dataset: h5py.Dataset) -> Array:
        """Read a dataset whole, naming it should the file be damaged there."""
        try:
            return np.asarray(dataset[()])
        except (OSError, MemoryError) as error:
            raise FormatError(
                f"{self.file.path}: cannot read {dataset.name} ({error}). The file is cut short or "
                "damaged: fetch it again."
            ) from error

    def finish(self) -> None:
        """Raise all problems that were found, at once."""
        if self.problems:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            raise FormatError(
                f"{self.file.path} is not laid out as a session of DANDI 000037:\n{lines}\n"
                "Check that it is a processed session file (sub-*_ses-*_behavior+ophys.nwb) and "
                "that it was fetched whole."
            )


@contextmanager
def open_source(file: Hdf5File) -> Iterator[Source]:
    """Open a file to read the layout from, and raise all of its problems at the end."""
    with file.handle() as handle:
        source = Source(file, handle)
        yield source
        source.finish()


class ReshapedRows:
    """A reader whose first axis is split in two: (group, row in group, ...)."""

    def __init__(self, reader: Reader, group: int) -> None:
        self.reader = reader
        self.group = group
        self.shape = (reader.shape[0] // group, group, *reader.shape[1:])
        self.dtype = reader.dtype

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[slice | Array, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        first, second = (
            np.arange(*index.indices(size)) if isinstance(index, slice) else index
            for index, size in zip(indices[:2], self.shape[:2], strict=True)
        )
        rows = (first[:, None] * self.group + second).ravel()
        values = self.reader.read((rows, *indices[2:]))
        return values.reshape(len(first), len(second), *values.shape[1:])


def find_file_with(paths: Sequence[Path | RemoteFile], wanted: str) -> Hdf5File | None:
    """Open the first of a session's files that holds an object."""
    for path in paths:
        file = Hdf5File(path)
        with file.handle() as handle:
            item = file.get(handle, wanted)
            if item is not None and (isinstance(item, h5py.Dataset) or len(item)):
                return file
        file.close()
    return None
