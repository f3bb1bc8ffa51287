"""Sums over very many windows of a recording, which is gone through once, block by block."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.windows import WindowReader, chunk_rows

# The recording is gone through this many bytes (as float64) at a time.
BLOCK_BYTES = 8_000_000


def accumulate(
    reader: WindowReader, sequences: Any, offsets: Any, rest: tuple[Any, ...], deviations: bool
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean, sum of squared deviations and count over sequences: (offset, ...)."""
    frames = reader.windows.frames(sequences, offsets)
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    n_columns = int(np.prod(source.shape[1:]))
    rows = chunk_rows(source)
    step = max(1, BLOCK_BYTES // max(1, rows * n_columns * 8)) * rows
    # Where each frame is wanted, in the order of the recording.
    wanted = np.argsort(frames, axis=None, kind="stable")
    wanted = wanted[np.searchsorted(frames.ravel(), 0, sorter=wanted) :]
    rising, offset = frames.ravel()[wanted], wanted % frames.shape[1]
    first, last = (int(rising[0]), int(rising[-1])) if rising.size else (0, -1)
    early = np.asarray(source[first : first + 1].values, np.float64).reshape(-1)
    shift = np.where(np.isfinite(early), early, 0.0) if deviations and early.size else 0.0

    def add(start: int) -> npt.NDArray[np.float64]:
        low, high = max(start, first), min(start + step, last + 1)
        part = slice(*np.searchsorted(rising, (low, high)))
        here: Any = slice(low, high)
        places, length = rising[part] - low, high - low
        if rows == 1 and len(few := np.unique(rising[part])) < length / 2:
            # Where frames are stored each by itself, those of other windows need not be read.
            here, places, length = few, np.searchsorted(few, rising[part]), len(few)
        weights = _weights(offset[part], places, (frames.shape[1], length))
        block = np.asarray(source[here]).reshape(length, n_columns)
        return _block_sums(weights, block, shift, deviations)

    # Sums of values and of their squares, and how many there are; each (offset, column).
    sums = np.zeros((3, frames.shape[1], n_columns))
    with ThreadPoolExecutor(thread_count()) as pool:
        # Added up in the order of the blocks, whichever thread is done first: same numbers always.
        for part in pool.map(add, range(first - first % rows, last + 1, step)):
            sums += part
    total, squares, counts = sums
    shape = (frames.shape[1], *source.shape[1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / counts
        squares = np.maximum(squares - total * mean, 0.0)
        squares[~np.isfinite(mean)] = np.nan
    values = np.where(counts > 0, mean + shift, np.nan).reshape(shape)
    return values, squares.reshape(shape), counts.reshape(shape)


def _block_sums(
    weights: Any, block: npt.NDArray[Any], shift: npt.NDArray[np.float64] | float, deviations: bool
) -> npt.NDArray[np.float64]:
    shape = (weights.shape[0], block.shape[1])
    squares = np.zeros(shape)
    if not weights.nnz:
        return np.zeros((3, *shape))
    values = block - shift if deviations else block
    total = weights @ values
    count = np.broadcast_to(np.asarray(weights.sum(axis=1)).reshape(-1, 1), shape)
    if np.isnan(total).any():
        missing = np.isnan(values)
        values = np.where(missing, 0.0, values)
        total = weights @ values
        count = weights @ (~missing).astype(np.float64)
    if deviations:
        squares = weights @ np.square(values, out=values)
    return np.stack([total, squares, count])


def _weights(offset: npt.NDArray[Any], frame: npt.NDArray[Any], shape: tuple[int, int]) -> Any:
    """Return how often each frame of a block stands at each offset: sparse (offset, frame)."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(frame)), (offset, frame)), shape=shape).tocsr()
