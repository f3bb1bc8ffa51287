"""Sums over very many windows of a recording, which is gone through once, block by block."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.arrays.columns import thread_count, work_alone
from oscaxr.arrays.lazy import take_outer
from oscaxr.arrays.windows import WindowReader, chunk_rows

# The recording is gone through this many bytes (as float64) at a time.
BLOCK_BYTES = 8_000_000
# Of more groups of sequences than this, or of more bytes, sums are not kept.
MOST_GROUPS = 256
GROUP_BYTES = 100_000_000


def accumulate(
    reader: WindowReader, sequences: Any, offsets: Any, rest: tuple[Any, ...], deviations: bool
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean, sum of squared deviations and count over sequences: (offset, ...)."""
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    chosen = _whole_groups(reader, sequences)
    if chosen is None:
        frames = reader.windows.frames(sequences, offsets)
        sums, shift = sums_of(source, frames, np.zeros(len(frames), np.intp), deviations)
        parts = sums.reshape(3, frames.shape[1], *source.shape[1:])
        shift = shift.reshape(source.shape[1:])
    else:
        # As in a mean by groups: what is stored is read once for all of them.
        sums, shift = reader.kept(
            "sums and squares" if deviations else "sums", partial(_by_group, deviations)
        )
        every = sums[:, chosen].sum(axis=1).reshape(3, *reader.shape[1:])
        parts = take_outer(every, (slice(None), offsets, *rest))
        shift = take_outer(shift.reshape(reader.shape[2:]), rest)
    return moments_of(parts, shift)


def moments_of(
    sums: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean, sum of squared deviations and count from sums, squares and count."""
    total, squares, counts = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / counts
        squares = np.maximum(squares - total * mean, 0.0)
        squares[~np.isfinite(mean)] = np.nan
    return np.where(counts > 0, mean + shift, np.nan), squares, counts


def group_numbers(columns: Iterable[xr.Variable], length: int) -> npt.NDArray[np.intp]:
    """Give numbers to sequences by the labels that they share, as far as these are few."""
    numbers = np.zeros(length, np.intp)
    for column in columns:
        codes, labels = pd.factorize(column.values, use_na_sentinel=False)
        finer = pd.factorize(numbers * len(labels) + codes)[0]
        if finer.max(initial=0) < MOST_GROUPS:
            numbers = finer
    return numbers


def _whole_groups(reader: WindowReader, sequences: Any) -> npt.NDArray[Any] | None:
    """Return the groups that some sequences are; None where they are all, or parts of groups."""
    if isinstance(sequences, slice) or reader.groups is None:
        return None
    groups = reader.groups()
    chosen = np.unique(groups[sequences])
    n_members = np.count_nonzero(np.isin(groups, chosen))
    kept_bytes = (int(groups.max()) + 1) * int(np.prod(reader.shape[1:])) * 3 * 8
    are_whole = n_members == len(sequences) == len(np.unique(sequences)) < len(groups)
    return chosen if are_whole and kept_bytes <= GROUP_BYTES else None


def _by_group(deviations: bool, reader: WindowReader) -> tuple[npt.NDArray[np.float64], Any]:
    assert reader.groups is not None
    return sums_of(reader.source, reader.windows.frames(), reader.groups(), deviations)


def sums_of(
    source: xr.Variable, frames: npt.NDArray[Any], groups: npt.NDArray[Any], deviations: bool
) -> tuple[npt.NDArray[np.float64], Any]:
    """Return sums of values and squares, and counts, (3, group, offset, column); and the shift."""
    # Within a block of the recording, each offset of the windows of a group adds its frames through
    # one row of a sparse matrix. Values are shifted by an early frame of their ROI before they are
    # squared, so that nothing is lost to cancellation.
    n_columns = int(np.prod(source.shape[1:]))
    n_groups, n_offsets = int(groups.max(initial=0)) + 1, frames.shape[1]
    rows = chunk_rows(source)
    step = max(1, BLOCK_BYTES // max(1, rows * n_columns * 8)) * rows
    # Where each frame is wanted, in the order of the recording.
    wanted = np.argsort(frames, axis=None, kind="stable")
    wanted = wanted[np.searchsorted(frames.ravel(), 0, sorter=wanted) :]
    rising = frames.ravel()[wanted]
    place = groups[wanted // max(1, n_offsets)] * n_offsets + wanted % max(1, n_offsets)
    first, last = (int(rising[0]), int(rising[-1])) if rising.size else (0, -1)
    early = np.asarray(source[first : first + 1].values, np.float64).reshape(-1)
    use_shift = deviations and early.size
    shift = np.where(np.isfinite(early), early, 0.0) if use_shift else np.zeros(n_columns)

    def add(start: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        low, high = max(start, first), min(start + step, last + 1)
        part = slice(*np.searchsorted(rising, (low, high)))
        touched, row = np.unique(place[part], return_inverse=True)
        weights = _weights(row, rising[part] - low, (len(touched), high - low))
        block = np.asarray(source[low:high]).reshape(high - low, n_columns)
        return touched, _block_sums(weights, block, shift, deviations)

    sums = np.zeros((3, n_groups * n_offsets, n_columns))
    with ThreadPoolExecutor(thread_count(), initializer=work_alone) as pool:
        # Added up in the order of the blocks, whichever thread is done first: same numbers always.
        for touched, part in pool.map(add, range(first - first % rows, last + 1, step)):
            sums[:, touched] += part
    return sums.reshape(3, n_groups, n_offsets, n_columns), shift


def _block_sums(
    weights: Any, block: npt.NDArray[Any], shift: npt.NDArray[np.float64], deviations: bool
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


def _weights(place: npt.NDArray[Any], frame: npt.NDArray[Any], shape: tuple[int, int]) -> Any:
    """Return how often each frame of a block stands at each place: sparse (place, frame)."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(frame)), (place, frame)), shape=shape).tocsr()
