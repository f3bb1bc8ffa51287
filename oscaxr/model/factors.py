"""Whole-recording numbers of every ROI: exact percentiles, streamed within a memory budget.

A recording is stored frame by frame, while a percentile needs one ROI over all frames. Columns
are therefore read in blocks, turned over in tiles that fit the processor's caches, and handed to
a kernel with one ROI a row.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model.lazy import OrthogonalArray
from oscaxr.model.windows import innermost

FloatArray = npt.NDArray[np.float64]
ReadBlock = Callable[[slice], npt.NDArray[Any]]
"""Returns the traces of a slice of columns, (time, column)."""

Result = TypeVar("Result")
Kernel = Callable[[npt.NDArray[Any], slice], Result]
"""Takes traces, (column, time), that it may overwrite, and says something about those columns."""

BUDGET_BYTES = 128 * 2**20
THREADS = 2
PUBLISHED_PERCENTILES = (5.0, 50.0, 95.0)

# Measured on 628 ROIs by 126,741 frames: a tile that fits the second-level cache.
_TILE_FRAMES = 512
_GROUP_COLUMNS = 32


class ColumnFactors(NamedTuple):
    """Percentiles of every column, and whether the column is whole.

    Parameters
    ----------
    percentiles : numpy.ndarray
        (percentile, column), float64, in the order asked for; NaN where a column has no value.
    valid : numpy.ndarray
        (column,), True where no value is NaN or infinite.
    """

    percentiles: FloatArray
    valid: npt.NDArray[np.bool_]


def column_factors(
    read_block: ReadBlock,
    n_time: int,
    n_columns: int,
    percentiles: Sequence[float] = PUBLISHED_PERCENTILES,
    *,
    budget_bytes: int = BUDGET_BYTES,
    threads: int = THREADS,
    align: int = _GROUP_COLUMNS,
) -> ColumnFactors:
    """Compute exact percentiles of each column of a (time, column) array, leaving NaNs out.

    Parameters
    ----------
    read_block : callable
        Takes a slice of columns and returns them, (time, column): indexing of a memory map, or a
        reader. Its array is not changed.
    n_time, n_columns : int
        Shape of the whole array.
    percentiles : sequence of float, optional
        Percentiles in [0, 100].
    budget_bytes : int, optional
        Memory for the blocks and the buffers together. At least one column is held at a time.
    threads : int, optional
        Number of threads that compute.
    align : int, optional
        Columns that are stored together, so that reading one of them costs as much as reading all:
        the width of the file's chunks (:func:`stored_width`).

    Returns
    -------
    ColumnFactors
        ``percentiles`` (percentile, column) and ``valid`` (column,).

    Notes
    -----
    The values of ``numpy.nanpercentile(array, percentiles, axis=0)`` in float64, infinities
    included: the order statistics are found in the array's own precision, and interpolated
    linearly in float64. A column of NaNs gives NaN, without a warning.

    Examples
    --------
    >>> traces = np.arange(20.0).reshape(10, 2)
    >>> column_factors(lambda columns: traces[:, columns], 10, 2).percentiles
    array([[ 0.9,  1.9],
           [ 9. , 10. ],
           [17.1, 18.1]])
    """
    wanted = np.asarray(percentiles, dtype=np.float64)

    def kernel(rows: npt.NDArray[Any], _: slice) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        found = np.empty((wanted.size, len(rows)))
        whole = np.empty(len(rows), dtype=bool)
        for index, row in enumerate(rows):
            whole[index] = np.isfinite(row).all()
            kept = row if whole[index] else row[~np.isnan(row)]
            found[:, index] = partitioned_percentiles(kept, wanted)
        return found, whole

    parts = map_columns(
        read_block,
        n_time,
        n_columns,
        kernel,
        budget_bytes=budget_bytes,
        threads=threads,
        align=align,
    )
    if not parts:
        return ColumnFactors(np.empty((wanted.size, 0)), np.empty(0, dtype=bool))
    return ColumnFactors(
        np.concatenate([part[0] for part in parts], axis=1),
        np.concatenate([part[1] for part in parts]),
    )


def nan_percentiles(
    array: npt.ArrayLike,
    percentiles: Sequence[float] = PUBLISHED_PERCENTILES,
    *,
    threads: int = THREADS,
) -> FloatArray:
    """Compute exact percentiles of each column of an array in memory, leaving NaNs out.

    Parameters
    ----------
    array : array_like
        (time, column), or one trace, (time,).
    percentiles : sequence of float, optional
        Percentiles in [0, 100].
    threads : int, optional
        Number of threads that compute.

    Returns
    -------
    numpy.ndarray
        (percentile, column), or (percentile,) for one trace, float64.

    Raises
    ------
    SchemaError
        If `array` has other than one or two dims.

    See Also
    --------
    column_factors : The same, from a reader, and which columns are whole.

    Examples
    --------
    >>> nan_percentiles([1.0, 2.0, float("nan"), 3.0], (25, 50, 75))
    array([1.5, 2. , 2.5])
    """
    values = np.asarray(array)
    if values.ndim not in (1, 2):
        raise SchemaError(f"percentiles are of one trace or of (time, column), not {values.shape}")
    columns = values[:, np.newaxis] if values.ndim == 1 else values
    found = column_factors(
        lambda which: columns[:, which],
        columns.shape[0],
        columns.shape[1],
        percentiles,
        threads=threads,
    ).percentiles
    return found[:, 0] if values.ndim == 1 else found


def map_columns(
    read_block: ReadBlock,
    n_time: int,
    n_columns: int,
    kernel: Kernel[Result],
    *,
    budget_bytes: int = BUDGET_BYTES,
    threads: int = THREADS,
    align: int = _GROUP_COLUMNS,
) -> list[Result]:
    """Run a kernel over the columns of a (time, column) array, a few columns at a time.

    Parameters
    ----------
    read_block : callable
        Takes a slice of columns and returns them, (time, column).
    n_time, n_columns : int
        Shape of the whole array.
    kernel : callable
        Takes the traces of some columns, (column, time), contiguous, and their slice. It runs in
        several threads and may overwrite what it is given.
    budget_bytes, threads, align : int, optional
        As in :func:`column_factors`.

    Returns
    -------
    list
        What the kernel returned, in the order of the columns.

    Examples
    --------
    >>> traces = np.arange(6.0).reshape(3, 2)
    >>> sums = map_columns(
    ...     lambda columns: traces[:, columns], 3, 2, lambda rows, _: rows.sum(axis=1)
    ... )
    >>> np.concatenate(sums)
    array([6., 9.])
    """
    group, width = _block_widths(n_time, n_columns, budget_bytes, max(1, threads), max(1, align))

    def turned(columns: slice) -> Result:
        return kernel(_turned(read_block(columns)), columns)

    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        if align <= group:
            # Columns are stored in groups as small as those worked on: each thread reads its own.
            return list(pool.map(turned, _slices(0, n_columns, group)))
        for start in range(0, n_columns, width):
            stop = min(start + width, n_columns)
            block = read_block(slice(start, stop))

            def run(columns: slice, block: npt.NDArray[Any] = block, start: int = start) -> Result:
                rows = _turned(block[:, columns.start - start : columns.stop - start])
                return kernel(rows, columns)

            results.extend(pool.map(run, _slices(start, stop, group)))
    return results


def _slices(start: int, stop: int, width: int) -> list[slice]:
    return [slice(first, min(first + width, stop)) for first in range(start, stop, width)]


def stored_width(traces: xr.DataArray, time_dim: str) -> int:
    """Return how many columns of an array are stored together.

    Parameters
    ----------
    traces : xarray.DataArray
        Two dims, one of them `time_dim`; lazy, on dask, or in memory.
    time_dim : str
        The other is that of the columns.

    Returns
    -------
    int
        The width of its chunks; 1 for an array in memory or in one piece, all columns where the
        source does not say.

    Examples
    --------
    >>> stored_width(xr.DataArray(np.zeros((4, 9)), dims=("time", "roi")), "time")
    1
    """
    (column_dim,) = (dim for dim in traces.dims if dim != time_dim)
    if traces.chunks is not None:
        return int(traces.chunksizes[column_dim][0])
    data = innermost(traces.variable)
    if isinstance(data, np.ndarray):
        return 1
    if isinstance(data, OrthogonalArray) and len(data.reader.shape) == data.ndim:
        chunk_shape = getattr(data.reader, "chunk_shape", None)
        axis = data.order[traces.dims.index(column_dim)]
        return int(chunk_shape[axis]) if chunk_shape else 1
    return int(traces.sizes[column_dim])


def column_reader(traces: xr.DataArray, time_dim: str) -> ReadBlock:
    """Return a reader of column blocks of a two-dimensional array, whatever its order of dims.

    Parameters
    ----------
    traces : xarray.DataArray
        Two dims, one of them `time_dim`; lazy, on dask, or in memory.
    time_dim : str
        The dim that becomes the first.

    Returns
    -------
    callable
        For :func:`column_factors` and :func:`map_columns`.

    Examples
    --------
    >>> traces = xr.DataArray(np.arange(6).reshape(2, 3), dims=("roi", "time"))
    >>> column_reader(traces, "time")(slice(1, 2))
    array([[3],
           [4],
           [5]])
    """
    (column_dim,) = (dim for dim in traces.dims if dim != time_dim)
    time_first = traces.dims[0] == time_dim
    data = None if traces.chunks is not None else innermost(traces.variable)
    view = data.view() if isinstance(data, OrthogonalArray) else None

    def read(columns: slice) -> npt.NDArray[Any]:
        if view is not None:
            return view[:, columns] if time_first else view[columns].T
        # Turned over after reading: a lazy array would read a transposed index point by point.
        block = np.asarray(traces.isel({column_dim: columns}).data)
        return block if time_first else block.T

    return read


def partitioned_percentiles(values: npt.NDArray[Any], percentiles: FloatArray) -> FloatArray:
    """Compute percentiles of one trace without NaN, reordering it in place.

    Parameters
    ----------
    values : numpy.ndarray
        (time,), no NaN. Its order is lost.
    percentiles : numpy.ndarray
        Percentiles in [0, 100].

    Returns
    -------
    numpy.ndarray
        float64, NaN if there are no values.

    Notes
    -----
    One partition about the middle rank, then one in each half for the ranks on that side: much
    less work than asking for all ranks at once. The value above a rank is the least of those up
    to the next rank that is in place.

    Examples
    --------
    >>> partitioned_percentiles(np.array([3.0, 1.0, 2.0, 4.0]), np.array([0.0, 50.0, 100.0]))
    array([1. , 2.5, 4. ])
    """
    size = values.size
    if not size:
        return np.full(len(percentiles), np.nan)
    virtual = (size - 1) * (np.asarray(percentiles, dtype=np.float64) / 100)
    lower = np.floor(virtual).astype(np.intp)
    ranks = sorted(set(lower.tolist()))
    _partition(values, ranks, 0, size)
    ends = [*ranks[1:], size - 1]
    above = {
        rank: values[rank + 1 : end + 1].min() if rank + 1 < size else values[rank]
        for rank, end in zip(ranks, ends, strict=True)
    }
    low = values[lower].astype(np.float64)
    high = np.array([above[rank] for rank in lower.tolist()], dtype=np.float64)
    return _between(low, high, virtual - lower)


def sorted_percentiles(
    values: npt.NDArray[Any], percentiles: Sequence[float], *, axis: int = -1
) -> FloatArray:
    """Compute percentiles along one axis of a small array, leaving NaNs out.

    Parameters
    ----------
    values : numpy.ndarray
        Any shape.
    percentiles : sequence of float
        Percentiles in [0, 100].
    axis : int, optional
        The axis that goes.

    Returns
    -------
    numpy.ndarray
        (percentile, ...), float64. NaN where there are no values.

    Notes
    -----
    All lines are sorted at once, NaNs last, so that lines with different numbers of values need no
    loop. For whole recordings :func:`column_factors` is the faster.

    Examples
    --------
    >>> sorted_percentiles(np.array([[1.0, 2.0, 3.0], [5.0, np.nan, 6.0]]), [50])
    array([[2. , 5.5]])
    """
    lines = np.sort(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1), axis=-1)
    if not lines.shape[-1]:
        return np.full((len(percentiles), *lines.shape[:-1]), np.nan)
    counts = np.count_nonzero(~np.isnan(lines), axis=-1)
    last = np.maximum(counts - 1, 0)
    found = np.empty((len(percentiles), *counts.shape))
    for index, percentile in enumerate(percentiles):
        virtual = last * (percentile / 100)
        lower = np.floor(virtual).astype(np.intp)
        upper = np.minimum(lower + 1, last)
        low = np.take_along_axis(lines, lower[..., np.newaxis], axis=-1)[..., 0]
        high = np.take_along_axis(lines, upper[..., np.newaxis], axis=-1)[..., 0]
        # Where a line has one value only, or none, both neighbours are the same.
        found[index] = np.where(low == high, low, _between(low, high, virtual - lower))
    return found


def _block_widths(
    n_time: int, n_columns: int, budget_bytes: int, threads: int, align: int
) -> tuple[int, int]:
    """Return how many columns to turn over at a time, and how many to read at a time."""
    affordable = max(1, budget_bytes // max(1, n_time * np.dtype(np.float64).itemsize))
    # A quarter of the memory holds what the threads work on, the rest what was read.
    shared = max(1, math.ceil(n_columns / threads))
    group = max(1, min(_GROUP_COLUMNS, affordable // (4 * threads), shared))
    if align < group:
        group -= group % align
    width = max(1, min(affordable - group * threads, n_columns))
    if align < width < n_columns:
        width -= width % align
    return group, width


def _turned(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a private, contiguous copy of (time, column) as (column, time)."""
    dtype = block.dtype if block.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    rows = np.empty(block.shape[::-1], dtype=dtype.newbyteorder("="))
    for start in range(0, block.shape[0], _TILE_FRAMES):
        rows[:, start : start + _TILE_FRAMES] = block[start : start + _TILE_FRAMES].T
    return rows


def _partition(values: npt.NDArray[Any], ranks: list[int], start: int, stop: int) -> None:
    """Put the values of the given ranks in their places, the middle rank first."""
    if not ranks:
        return
    middle = len(ranks) // 2
    rank = ranks[middle]
    values[start:stop].partition(rank - start)
    _partition(values, ranks[:middle], start, rank)
    _partition(values, ranks[middle + 1 :], rank + 1, stop)


def _between(low: FloatArray, high: FloatArray, weight: FloatArray) -> FloatArray:
    """Interpolate linearly, in numpy's own form: from the nearer end, so that it is monotonic."""
    with np.errstate(invalid="ignore"):
        gap = high - low
        return np.where(weight >= 0.5, high - gap * (1 - weight), low + gap * weight)
