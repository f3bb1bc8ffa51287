"""Windows of a recording that is on dask: in blocks of sequences, and summed without being cut."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.window_sums import moments_of, sums_of
from oscaxr.arrays.windows import WindowReader, Windows

# A block of windows has about this many bytes.
BLOCK_BYTES: Final = 32 * 2**20

_ORIGIN: Final = "oscaxr_windows"


class Origin(NamedTuple):
    """What windows on dask are cut from: a recording on dask, and its frames that they want."""

    recording: Any
    frames: Array


def dask_windows(source: xr.Variable, windows: Windows) -> Any:
    """Return the windows as an array of dask, in blocks of sequences."""
    # Not by a matrix of frames: dask would sort what it reads by chunk, and put it together again.
    import dask.array

    frames, data = windows.frames(), source.data
    dtype = WindowReader(source, windows).dtype
    if not frames.size:
        return dask.array.empty((*source.shape[1:], *frames.shape), dtype=dtype)
    row_bytes = frames.shape[1] * dtype.itemsize * math.prod(data.chunksize[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    parts = [
        _dask_block(data, frames[start : start + step], dtype)
        for start in range(0, len(frames), step)
    ]
    found = dask.array.moveaxis(dask.array.concatenate(parts), (0, 1), (-2, -1))
    # Noted in the graph itself: whatever is computed of this array has another layer on top.
    if (frames >= 0).any():
        setattr(found.dask.layers[found.name], _ORIGIN, Origin(data, frames))
    return found


def origin_of(windows: Any) -> Origin | None:
    """Return what an array of dask was cut from; None where it is not all windows as they were."""
    return getattr(windows.dask.layers.get(windows.name), _ORIGIN, None)


def dask_moments(origin: Origin, *, deviations: bool) -> tuple[Any, ...]:
    """Return mean, sum of squared deviations and count over sequences: (..., offset), on dask."""
    import dask.array

    data, frames = origin
    n_offsets, others = frames.shape[1], data.shape[1:]
    rows = _together(data.chunks[0], math.prod(others) * data.dtype.itemsize)
    ends = np.cumsum(rows).tolist()
    parts = []
    for start, stop in zip([0, *ends], ends, strict=False):
        inside = (frames >= start) & (frames < stop)
        touched = inside.any(axis=1)
        if touched.any():
            local = np.where(inside[touched], frames[touched] - start, -1)
            sizes = tuple((size,) for size in (1, 3, n_offsets, *others))
            parts.append(
                data[start:stop]
                .rechunk(-1)
                .map_blocks(
                    _moments_of_block,
                    local,
                    deviations,
                    dtype=np.float64,
                    chunks=sizes,
                    drop_axis=0,
                    new_axis=[0, 1, 2],
                )
            )
    every = dask.array.concatenate(parts).rechunk({0: -1})
    merged = every.map_blocks(_merged, dtype=np.float64, chunks=every.chunks[1:], drop_axis=0)
    return tuple(dask.array.moveaxis(merged[part], 0, -1) for part in range(3))


def _together(chunks: Sequence[int], row_bytes: int) -> list[int]:
    """Return how many rows to take at a time: whole chunks, as many as make a block."""
    rows = [0]
    for size in chunks:
        if rows[-1] and (rows[-1] + size) * row_bytes > BLOCK_BYTES:
            rows.append(0)
        rows[-1] += size
    return rows


def _moments_of_block(block: Array, frames: Array, deviations: bool) -> Array:
    source = xr.Variable([f"dim_{axis}" for axis in range(block.ndim)], block)
    *sums, shift = sums_of(source, frames, np.zeros(len(frames), np.intp), deviations)
    found = np.stack(moments_of([one[0] for one in sums], shift))
    return found.reshape(1, 3, frames.shape[1], *block.shape[1:])


def _merged(parts: Array) -> Array:
    """Return the moments of all blocks of a recording from those of each."""
    means, squares, counts = (parts[:, part] for part in range(3))
    present = counts > 0
    count = counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, counts * means, 0.0).sum(axis=0) / count
        apart = np.where(present, counts * (means - mean) ** 2, 0.0)
        every = (np.where(present, squares, 0.0) + apart).sum(axis=0)
    every[~np.isfinite(mean)] = np.nan
    return np.stack([mean, every, count])


def _dask_block(source: Any, frames: Array, dtype: np.dtype[Any]) -> Any:
    """Return some of the windows as one block, which reads each of its frames once."""
    read = np.unique(np.maximum(frames, 0))
    places = np.where(frames < 0, -1, np.searchsorted(read, frames))
    is_run = len(read) == read[-1] + 1 - read[0]
    rows = source[slice(read[0], read[-1] + 1) if is_run else read].rechunk({0: -1})
    sizes = (*((size,) for size in frames.shape), *rows.chunks[1:])
    return rows.map_blocks(_cut, places, dtype, dtype=dtype, chunks=sizes, new_axis=1)


def _cut(rows: Array, places: Array, dtype: np.dtype[Any]) -> Array:
    values = np.take(rows, places, axis=0).astype(dtype, copy=False)
    if (places < 0).any():
        values[places < 0] = np.nan
    return values
