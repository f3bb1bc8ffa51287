"""Windows of frames around reference frames, as a lazy array over (sequence, rel_time, ...)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array, AxisIndex, Once, OrthogonalArray
from oscaxr.arrays.xarray_internals import innermost


@dataclass(frozen=True)
class Windows:
    """Which frames belong to which sequence."""

    reference: Array
    offsets: Array
    n_frames: int
    length: Array | None = None
    lookup: Array | None = None

    def frames(self, sequences: AxisIndex = slice(None), offsets: AxisIndex = slice(None)) -> Array:
        """Return the frames on the variable's own clock, -1 where there is none."""
        frames = self.reference[sequences, None] + self.offsets[offsets]
        outside = (frames < 0) | (frames >= self.n_frames)
        if self.length is not None:
            position = np.arange(len(self.offsets))[offsets]
            outside |= position >= self.length[sequences, None]
        if outside.any():
            frames = np.where(outside, -1, frames)
        if self.lookup is not None:
            frames = np.where(frames < 0, -1, self.lookup[frames])
        return frames

    @property
    def has_gaps(self) -> bool:
        """Whether some frame of some sequence does not exist."""
        return bool((self.frames() < 0).any())


class WindowReader:
    """Reads windows of a variable when they are indexed."""

    def __init__(self, source: xr.Variable, windows: Windows, groups: Once | None = None) -> None:
        self.source = source
        self.windows = windows
        # Numbers of the groups that sequences may be reduced by, and what is kept of these.
        self.groups = groups
        self._kept: dict[str, Once] = {}
        # xarray's own lazy sources read lists of frames well, but not matrices of them.
        self.by_matrix = isinstance(innermost(source), OrthogonalArray | np.ndarray)
        self.shape = (len(windows.reference), len(windows.offsets), *source.shape[1:])
        dtype = source.dtype
        if dtype.kind in "iub" and windows.has_gaps:
            dtype = np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
        self.dtype = dtype

    def __deepcopy__(self, memo: dict[int, Any]) -> "WindowReader":
        return self

    def kept(self, what: str, compute: Callable[["WindowReader"], Any]) -> Any:
        """Return what is computed of all windows, once."""
        return self._kept.setdefault(what, Once(partial(compute, self)))()

    def __repr__(self) -> str:
        return f"windows of {self.source.dims}"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        sequences, offsets, *rest = indices
        others = self.source.dims[1:]
        source = self.source.isel(dict(zip(others, rest, strict=True)))
        frames = self.windows.frames(sequences, offsets)
        gaps = frames < 0
        existing = np.maximum(frames, 0) if gaps.any() else frames
        values = take_frames(source, existing, by_matrix=self.by_matrix)
        if gaps.any():
            values = values.astype(self.dtype, copy=False)
            values[gaps] = np.nan
        return values


def usual_lag(frames: Array, groups: Array, layers: int) -> int:
    """Return how many frames after another most windows of a group begin; 0 if few overlap."""
    # Offsets that lie so far apart, of frames (sequence, offset), hold nearly the same frames: each
    # frame is in so many windows as there are layers.
    if not frames.size:
        return 0
    order = np.lexsort((frames[:, 0], groups))
    steps = np.diff(frames[order, 0])[np.diff(groups[order]) == 0]
    counts = np.bincount(steps[(steps > 0) & (steps < frames.shape[1])], minlength=1)
    lag = int(counts.argmax())
    return lag if 2 * counts.max() > len(frames) and layers * lag <= frames.shape[1] else 0


def take_frames(source: xr.Variable, frames: Array, *, by_matrix: bool = True) -> Array:
    """Read frames of a variable, by a matrix of frame numbers or each frame once."""
    clock = source.dims[0]
    matrix = xr.Variable(("_window", "_frame"), frames)
    if by_matrix:
        return np.asarray(source.isel({clock: matrix}).transpose(*matrix.dims, ...).values)
    unique, inverse = np.unique(frames, return_inverse=True)
    rows = np.asarray(source.isel({clock: unique}).values)
    return rows[inverse.reshape(frames.shape)]


def chunk_rows(source: xr.Variable) -> int:
    """Return how many frames of a variable are stored together; 1 where that is of no matter."""
    data = innermost(source)
    stored = data.chunk_shape if isinstance(data, OrthogonalArray) else None
    return stored[0] if stored else 1


def window_reader(variable: xr.Variable) -> tuple[WindowReader, OrthogonalArray] | None:
    """Return the reader behind a lazy variable of sequences, None for any other variable."""
    data = innermost(variable)
    if isinstance(data, OrthogonalArray) and isinstance(data.reader, WindowReader):
        return data.reader, data
    return None
