"""The time synchronization file: two-photon clock, second alignment, eye-camera frames."""

from dataclasses import dataclass

import h5py
import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.io.hdf5 import Hdf5File

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Synchronization:
    """What is used of a time synchronization file."""

    twop_times: FloatArray
    stimulus_alignment: FloatArray
    eye_frames: FloatArray


def read_synchronization(file: Hdf5File) -> Synchronization:
    """Read a time synchronization file."""
    problems: list[str] = []
    with file.handle() as handle:

        def column(name: str, *, required: bool = True) -> FloatArray:
            found = file.get(handle, name)
            if found is None and not required:
                return np.empty(0)
            if not isinstance(found, h5py.Dataset) or found.ndim != 1 or not found.size:
                problems.append(f"{name} is missing, or not one number a frame")
                return np.empty(0)
            if found.dtype.kind not in "fiu":
                problems.append(f"{name} should hold numbers, but is {found.dtype}")
                return np.empty(0)
            return np.asarray(found[()], np.float64)

        read = Synchronization(
            twop_times=column("twop_vsync_fall"),
            stimulus_alignment=column("stimulus_alignment"),
            eye_frames=column("eye_tracking_alignment", required=False),
        )
    if read.twop_times.size == 1 or np.isinf(read.twop_times).any():
        problems.append("twop_vsync_fall holds one time only, or infinite ones")
    back = np.flatnonzero(~(np.diff(read.twop_times) > 0))
    if back.size:
        problems.append(
            f"twop_vsync_fall does not increase at {back.size} place(s), the first after frame "
            f"{back[0]}"
        )
    if problems:
        raise FormatError(f"{file.path}: {'; '.join(problems)}")
    return read
