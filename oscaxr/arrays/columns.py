"""Going through a recording ROI by ROI, within a memory budget.

A recording is stored frame by frame, while a percentile, a filter or a spectrum needs one ROI over
all frames. Columns are therefore read in blocks, turned over in tiles that fit the processor's
caches, and handed to a kernel with one ROI a row.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.lazy import OrthogonalArray
from oscaxr.arrays.xarray_internals import innermost

ReadBlock = Callable[[slice], npt.NDArray[Any]]
"""Returns the traces of a slice of columns, (column, time), that may be overwritten."""

Result = TypeVar("Result")
Kernel = Callable[[npt.NDArray[Any], slice], Result]
"""Takes traces, (column, time), that it may overwrite, and says something about those columns."""

BUDGET_BYTES = 128 * 2**20
# Where whole rows are stored together, all of them are read for each block of columns.
ROWS_BUDGET_BYTES = 400 * 2**20
GROUP_COLUMNS = 32
# Read at a time of data in one piece: what is read is turned over while the caches hold it.
_ROWS_BYTES = 2 * 2**20

# Measured on 628 ROIs by 126,741 frames: a tile that fits the second-level cache.
_TILE_FRAMES = 512


def map_columns(
    read_block: ReadBlock,
    n_time: int,
    n_columns: int,
    kernel: Kernel[Result],
    *,
    budget_bytes: int = ROWS_BUDGET_BYTES,
    threads: int | None = None,
    align: int = GROUP_COLUMNS,
) -> list[Result]:
    """Run a kernel over the columns of a (time, column) array, a few columns at a time."""
    if not n_columns:
        return []
    threads = max(1, thread_count() if threads is None else threads)
    group, width = _block_widths(n_time, n_columns, budget_bytes, threads, max(1, align))

    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=threads, initializer=_work_alone) as pool:
        if align <= group:
            # Columns are stored in groups as small as those worked on: each thread reads its own.
            slices = _slices(0, n_columns, group)
            return list(pool.map(lambda columns: kernel(read_block(columns), columns), slices))

        def block_of(start: int) -> list[Result]:
            stop = min(start + width, n_columns)
            rows = read_block(slice(start, stop))

            def run(columns: slice) -> Result:
                return kernel(rows[columns.start - start : columns.stop - start], columns)

            return list(pool.map(run, _slices(start, stop, group)))

        # Each block in a function of its own, so that it is let go before the next is read.
        for start in range(0, n_columns, width):
            results += block_of(start)
    return results


def _slices(start: int, stop: int, width: int) -> list[slice]:
    return [slice(first, min(first + width, stop)) for first in range(start, stop, width)]


def stored_width(traces: xr.DataArray, time_dim: str) -> int:
    """Return how many columns of an array are stored together."""
    (column_dim,) = (dim for dim in traces.dims if dim != time_dim)
    if traces.chunks is not None:
        return int(traces.variable.chunksizes[column_dim][0])
    data = innermost(traces.variable)
    if isinstance(data, np.ndarray):
        return 1
    if isinstance(data, OrthogonalArray):
        axis = traces.dims.index(column_dim)
        if data.chunk_shape:
            return data.chunk_shape[axis]
        # In one piece, the last axis of the source varies fastest.
        return int(traces.sizes[column_dim]) if data.order[axis] == data.ndim - 1 else 1
    return int(traces.sizes[column_dim])


def column_reader(traces: xr.DataArray, time_dim: str) -> ReadBlock:
    """Return a reader of column blocks of a two-dimensional array, whatever its order of dims."""
    # Turned over after reading: a lazy array would read a transposed index point by point.
    time_first, source = traces.dims[0] == time_dim, traces.variable
    dtype = _own_dtype(source.dtype)
    n_time, width = traces.sizes[time_dim], stored_width(traces, time_dim)
    (column_dim,) = (dim for dim in traces.dims if dim != time_dim)
    is_lazy = isinstance(innermost(source), OrthogonalArray)
    by_rows = is_lazy and width > GROUP_COLUMNS
    whole = by_rows and time_first and width == traces.sizes[column_dim]
    length = max(1, n_time)
    if by_rows:
        stored = stored_width(traces, str(column_dim))
        length = max(1, _ROWS_BYTES // (stored * width * source.dtype.itemsize)) * stored

    def read(columns: slice) -> npt.NDArray[Any]:
        if not by_rows:
            rows = np.asarray(source[:, columns]).T if time_first else np.asarray(source[columns])
            # What was read for this alone, and lies as it should, need not be copied.
            is_ready = is_lazy and rows.flags.carray and rows.dtype == dtype
            return rows if is_ready else turned(rows.T)
        rows = np.empty((columns.stop - columns.start, n_time), dtype)

        def fill(start: int) -> None:
            frames = slice(start, min(start + length, n_time))
            if whole:
                part = np.asarray(source[frames])[:, columns]
            elif time_first:
                part = np.asarray(source[frames, columns])
            else:
                part = np.asarray(source[columns, frames]).T
            _turn(part, rows[:, frames])

        with ThreadPoolExecutor(thread_count()) as pool:
            list(pool.map(fill, range(0, n_time, length)))
        return rows

    return read


def time_blocks(
    traces: xr.DataArray, time_dim: str, budget_bytes: int, back: int = 0, ahead: int = 0
) -> Iterator[tuple[npt.NDArray[Any], int, int]]:
    """Yield (time, column) blocks, with the frames they need before and after where these exist."""
    # Beside each block are the numbers of frames before and after it that are in it.
    (column_dim,) = (str(dim) for dim in traces.dims if dim != time_dim)
    n_time, frame_bytes = traces.sizes[time_dim], max(1, traces.sizes[column_dim] * 8)
    # A mirror image needs as many frames as it adds, and one more to turn about; so the last
    # frames, if they are too few, go with the block before.
    length = budget_bytes // frame_bytes
    # Whole rows of the file's chunks, so that none is read twice, where they are not too long.
    stored = stored_width(traces, column_dim)
    length = max(length // stored * stored or length, back + ahead + 1)
    source, time_first = traces.variable, traces.dims[0] == time_dim
    starts = range(0, max(1, n_time - back - ahead), length)
    for start in starts:
        stop = n_time if start == starts[-1] else start + length
        before, after = min(back, start), min(ahead, n_time - stop)
        frames = slice(start - before, stop + after)
        block = np.asarray(source[frames]) if time_first else np.asarray(source[:, frames]).T
        yield block, before, after


def finite_columns(traces: xr.DataArray, time_dim: str, budget_bytes: int) -> npt.NDArray[np.bool_]:
    """Say which columns have neither NaN nor infinite values."""
    found = [np.isfinite(b).all(axis=0) for b, _, _ in time_blocks(traces, time_dim, budget_bytes)]
    whole: npt.NDArray[np.bool_] = np.logical_and.reduce(found)
    return whole


def _block_widths(
    n_time: int, n_columns: int, budget_bytes: int, threads: int, align: int
) -> tuple[int, int]:
    """Return how many columns to turn over at a time, and how many to read at a time."""
    affordable = max(1, budget_bytes // max(1, n_time * np.dtype(np.float64).itemsize))
    # A quarter of the memory holds what the threads work on, the rest what was read.
    shared = max(1, math.ceil(n_columns / threads))
    group = max(1, min(GROUP_COLUMNS, affordable // (4 * threads), shared))
    if align < group:
        group -= group % align
    width = max(1, min(affordable - group * threads, n_columns))
    if align < width < n_columns:
        width -= width % align
    # As many blocks as are needed, of equal width where that is of no matter.
    if align > width:
        width = math.ceil(n_columns / math.ceil(n_columns / width))
    return group, width


def turned(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a private, contiguous copy of (time, column) as (column, time)."""
    rows = np.empty(block.shape[::-1], _own_dtype(block.dtype))
    _turn(block, rows)
    return rows


def _turn(block: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
    for start in range(0, len(block), _TILE_FRAMES):
        rows[:, start : start + _TILE_FRAMES] = block[start : start + _TILE_FRAMES].T


def _own_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what a recording is worked on as."""
    own = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return own.newbyteorder("=")


VARIABLE: Final = "OSCAXR_THREADS"
"""Environment variable that sets the number; in worker processes it is their share of the cores."""
DEFAULT: Final = 2


_THIS_THREAD = threading.local()


def _work_alone() -> None:
    """Note that this thread is one of those that share the work: it starts no others."""
    _THIS_THREAD.is_worker = True


def thread_count() -> int:
    """Return the number of threads to read and compute with."""
    # Results do not depend on it.
    if getattr(_THIS_THREAD, "is_worker", False):
        return 1
    said = os.environ.get(VARIABLE, "")
    return int(said) if said.isdecimal() and int(said) > 0 else DEFAULT
