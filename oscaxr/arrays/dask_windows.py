"""Windows of a recording that is on dask, in blocks of sequences."""

import math
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.windows import WindowReader, Windows

# A block of windows has about this many bytes.
BLOCK_BYTES: Final = 32 * 2**20


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
    return dask.array.moveaxis(dask.array.concatenate(parts), (0, 1), (-2, -1))


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
