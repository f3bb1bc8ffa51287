"""Whole-recording numbers of every ROI: exact percentiles, NaN-aware."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oscaxr.arrays.columns import GROUP_COLUMNS, ROWS_BUDGET_BYTES, ReadBlock, map_columns, turned
from oscaxr.errors import SchemaError

FloatArray = npt.NDArray[np.float64]

PUBLISHED_PERCENTILES = (5.0, 50.0, 95.0)


class ColumnFactors(NamedTuple):
    """Percentiles of every column, and whether the column is whole."""

    percentiles: FloatArray
    valid: npt.NDArray[np.bool_]
    ranges: FloatArray


def column_factors(
    read_block: ReadBlock,
    n_time: int,
    n_columns: int,
    percentiles: Sequence[float] = PUBLISHED_PERCENTILES,
    *,
    budget_bytes: int = ROWS_BUDGET_BYTES,
    threads: int | None = None,
    align: int = GROUP_COLUMNS,
    with_ranges: bool = False,
) -> ColumnFactors:
    """Compute exact percentiles of each column of a (time, column) array, leaving NaNs out."""
    # The values of `numpy.nanpercentile(array, percentiles, axis=0)` in float64, infinities
    # included: the order statistics are found in the array's own precision, and interpolated
    # linearly in float64. A column of NaNs gives NaN, without a warning.
    wanted = np.asarray(percentiles, dtype=np.float64)

    def kernel(
        rows: npt.NDArray[Any], _: slice
    ) -> tuple[FloatArray, npt.NDArray[np.bool_], FloatArray]:
        found = np.empty((wanted.size, len(rows)))
        whole = np.empty(len(rows), dtype=bool)
        ranges = np.full((4, len(rows) if with_ranges else 0), np.nan)
        for index, row in enumerate(rows):
            whole[index] = np.isfinite(row).all()
            kept = row if whole[index] else row[~np.isnan(row)]
            if with_ranges:
                ranges[:, index] = _range(kept, row.size)
            found[:, index] = partitioned_percentiles(kept, wanted)
        return found, whole, ranges

    parts = map_columns(
        read_block,
        n_time,
        n_columns,
        kernel,
        budget_bytes=budget_bytes,
        threads=threads,
        align=align,
    )
    parts = parts or [kernel(np.empty((0, n_time)), slice(0))]
    return ColumnFactors(*(np.concatenate(kind, axis=-1) for kind in zip(*parts, strict=True)))


def _range(kept: npt.NDArray[Any], n_all: int) -> FloatArray:
    """Return smallest, largest and mean value of a trace without NaNs, and how many were NaN."""
    if not kept.size:
        return np.array([np.nan, np.nan, np.nan, n_all])
    with np.errstate(invalid="ignore"):
        mean = kept.mean(dtype=np.float64)
    return np.array([kept.min(), kept.max(), mean, n_all - kept.size])


def nan_percentiles(
    array: npt.ArrayLike,
    percentiles: Sequence[float] = PUBLISHED_PERCENTILES,
    *,
    threads: int | None = None,
) -> FloatArray:
    """Compute exact percentiles of each column of an array in memory, leaving NaNs out."""
    values = np.asarray(array)
    if values.ndim not in (1, 2):
        raise SchemaError(f"percentiles are of one trace or of (time, column), not {values.shape}")
    columns = values[:, np.newaxis] if values.ndim == 1 else values
    found = column_factors(
        lambda which: turned(columns[:, which]),
        columns.shape[0],
        columns.shape[1],
        percentiles,
        threads=threads,
    ).percentiles
    return found[:, 0] if values.ndim == 1 else found


def partitioned_percentiles(
    values: npt.NDArray[Any], percentiles: Sequence[float] | FloatArray
) -> FloatArray:
    """Compute percentiles along the last axis of values without NaN, reordering them in place."""
    # One partition about the middle rank, then one in each half for the ranks on that side: much
    # less work than asking for all ranks at once. The value above a rank is the least of those up
    # to the next rank that is in place.
    size = values.shape[-1]
    if not size:
        return np.full((len(percentiles), *values.shape[:-1]), np.nan)
    virtual = (size - 1) * (np.asarray(percentiles, dtype=np.float64) / 100)
    lower = np.floor(virtual).astype(np.intp)
    ranks = sorted(set(lower.tolist()))
    _partition(values, ranks, 0, size)
    ends = [*ranks[1:], size - 1]
    above = {
        rank: values[..., rank + 1 : end + 1].min(-1) if rank + 1 < size else values[..., rank]
        for rank, end in zip(ranks, ends, strict=True)
    }
    low = np.moveaxis(values[..., lower], -1, 0).astype(np.float64)
    high = np.array([above[rank] for rank in lower.tolist()], dtype=np.float64)
    return _between(low, high, (virtual - lower).reshape(-1, *[1] * (values.ndim - 1)))


def sorted_percentiles(
    values: npt.NDArray[Any], percentiles: Sequence[float], *, axis: int = -1
) -> FloatArray:
    """Compute percentiles along one axis of a small array, leaving NaNs out."""
    # All lines are sorted at once, NaNs last, so that lines with different numbers of values need
    # no loop. For whole recordings `column_factors` is the faster.
    lines = np.sort(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1), axis=-1)
    if not lines.shape[-1]:
        return np.full((len(percentiles), *lines.shape[:-1]), np.nan)
    counts = np.count_nonzero(~np.isnan(lines), axis=-1)
    last = np.maximum(counts - 1, 0)
    found = np.empty((len(percentiles), *counts.shape))
    for index, percentile in enumerate(percentiles):
        virtual = last * (percentile / 100)
        lower, upper = (round_(virtual).astype(np.intp) for round_ in (np.floor, np.ceil))
        low = np.take_along_axis(lines, lower[..., np.newaxis], axis=-1)[..., 0]
        high = np.take_along_axis(lines, upper[..., np.newaxis], axis=-1)[..., 0]
        with np.errstate(invalid="ignore"):
            # A median is the mean of two values, which one of them may make infinite.
            middle = low / 2 + high / 2
        between = middle if percentile == 50 else _between(low, high, virtual - lower)
        # Where a line has one value only, or none, both neighbours are the same.
        found[index] = np.where(low == high, low, between)
    return found


def _partition(values: npt.NDArray[Any], ranks: list[int], start: int, stop: int) -> None:
    """Put the values of the given ranks in their places, the middle rank first."""
    if not ranks:
        return
    middle = len(ranks) // 2
    rank = ranks[middle]
    values[..., start:stop].partition(rank - start, axis=-1)
    _partition(values, ranks[:middle], start, rank)
    _partition(values, ranks[middle + 1 :], rank + 1, stop)


def _between(low: FloatArray, high: FloatArray, weight: FloatArray) -> FloatArray:
    """Interpolate linearly, in numpy's own form: from the nearer end, so that it is monotonic."""
    with np.errstate(invalid="ignore"):
        gap = high - low
        return np.where(weight >= 0.5, high - gap * (1 - weight), low + gap * weight)
