"""Windows of a recording at any times, between frames too, as a lazy array."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.arrays.dask_windows import dask_windows
from oscaxr.arrays.lazy import Array, AxisIndex, OrthogonalArray
from oscaxr.arrays.windows import Windows
from oscaxr.arrays.xarray_internals import cached, innermost

# A time this near to a frame, as a share of the step, is the frame's: what is left of rounding.
_SAME: float = 1e-6


@dataclass(frozen=True)
class ListedWindows(Windows):
    """Windows whose frames are listed one by one."""

    listed: Array = None  # type: ignore[assignment] # fields of the base have defaults

    def frames(self, sequences: AxisIndex = slice(None), offsets: AxisIndex = slice(None)) -> Array:
        """Return the frames, -1 where there is none."""
        return self.listed[sequences][:, offsets]


class Between(NamedTuple):
    """The frames before and after each time of each sequence, and how near the later one is.

    Parameters
    ----------
    before, after : ndarray of int, (sequence, rel_time)
        Frames; the same where a time is that of a frame, -1 outside the recording.
    weight : ndarray, (sequence, rel_time)
        0 at the frame before, 1 at the frame after.
    """

    before: Array
    after: Array
    weight: Array

    def of(self, frames: Array) -> ListedWindows:
        """Return frames as windows."""
        return ListedWindows(frames[:, 0], np.arange(frames.shape[1]), 0, listed=frames)


def frames_between(clock: Array, times: Array) -> Between:
    """Return the frames of a clock between which times lie: (sequence, rel_time)."""
    after = np.clip(np.searchsorted(clock, times, side="right"), 1, max(1, len(clock) - 1))
    before = after - 1
    with np.errstate(invalid="ignore"):
        weight = (times - clock[before]) / (clock[after] - clock[before])
    before = np.where(weight > 1 - _SAME, after, before)
    after = np.where(weight < _SAME, before, after)
    outside = ~((weight >= -_SAME) & (weight <= 1 + _SAME))
    weight = np.where(before == after, 0.0, weight)
    return Between(np.where(outside, -1, before), np.where(outside, -1, after), weight)


class InterpolatedReader:
    """Reads a variable between its frames, when it is indexed."""

    def __init__(self, source: xr.Variable, between: Between) -> None:
        self.source = source
        self.between = between
        self.shape = (*between.before.shape, *source.shape[1:])
        self.dtype = source.dtype

    def __deepcopy__(self, memo: dict[int, Any]) -> "InterpolatedReader":
        return self

    def __repr__(self) -> str:
        return f"{self.source.dims} between frames"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        sequences, offsets, *rest = indices
        source = self.source.isel(dict(zip(self.source.dims[1:], rest, strict=True)))
        parts = (self.between.before, self.between.after, self.between.weight)
        before, after, weight = (part[sequences][:, offsets] for part in parts)
        # Most frames are the one before and the one after another time: each is read once.
        wanted = np.maximum(np.concatenate([before, after], axis=1), 0)
        frames, place = np.unique(wanted, return_inverse=True)
        rows = np.asarray(source.isel({source.dims[0]: frames}).values)
        first, second = np.split(place.reshape(wanted.shape), 2, axis=1)
        low, found = rows[first], rows[second]
        is_frame = before == after
        with np.errstate(invalid="ignore"):  # of infinite values
            found -= low
            found *= weight.reshape(*weight.shape, *[1] * (rows.ndim - 1)).astype(rows.dtype)
            found += low
        found[is_frame] = low[is_frame]
        found[before < 0] = np.nan
        return np.asarray(found)


def interpolated_windows(source: xr.Variable, clock: Array, times: Array) -> Any:
    """Return a variable at times, as data of dims (..., sequence, rel_time): lazy as it is."""
    between = frames_between(clock, times)
    if source.chunks is not None:
        import dask.array

        low, high = (
            dask_windows(source, between.of(frames)) for frames in (between.before, between.after)
        )
        weight = between.weight.astype(source.dtype)
        # A NaN or an infinite value counts only where its frame does.
        return dask.array.where(between.before == between.after, low, low + (high - low) * weight)
    order = (*range(2, source.ndim + 1), 0, 1)
    array = OrthogonalArray(InterpolatedReader(source, between), order=order)
    is_here = isinstance(innermost(source), np.ndarray)
    return array.get_duck_array() if is_here else cached(array)
