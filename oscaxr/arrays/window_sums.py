"""Sums over very many windows of a recording, which is gone through once, block by block."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.arrays.columns import thread_count, work_alone
from oscaxr.arrays.lazy import take_outer
from oscaxr.arrays.windows import WindowReader, chunk_rows, usual_lag

Floats = npt.NDArray[np.float64]

# The recording is gone through this many bytes (as float64) at a time.
BLOCK_BYTES = 8_000_000
# Of more groups of sequences than this, or of more bytes, sums are not kept.
MOST_GROUPS = 256
GROUP_BYTES = 100_000_000
# Windows are summed by how they differ if each frame is in so many of them: of fewer, to find the
# differences takes as long as they save.
_LAYERS: Final = 3


def accumulate(
    reader: WindowReader, sequences: Any, offsets: Any, rest: tuple[Any, ...], deviations: bool
) -> tuple[Floats, ...]:
    """Return mean, sum of squared deviations and count over sequences: (offset, ...)."""
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    chosen = _whole_groups(reader, sequences)
    if chosen is None:
        frames = reader.windows.frames(sequences, offsets)
        *sums, shift = sums_of(source, frames, np.zeros(len(frames), np.intp), deviations)
        parts = [one.reshape(frames.shape[1], *source.shape[1:]) for one in sums]
        shift = shift.reshape(source.shape[1:])
    else:
        # As in a mean by groups: what is stored is read once for all of them.
        *sums, shift = reader.kept(
            "sums and squares" if deviations else "sums", partial(_by_group, deviations)
        )
        every = [one[chosen].sum(axis=0).reshape(reader.shape[1:]) for one in sums]
        parts = [take_outer(one, (offsets, *rest)) for one in every]
        shift = take_outer(shift.reshape(reader.shape[2:]), rest)
    return moments_of(parts, shift)


def moments_of(sums: Sequence[Floats], shift: Floats) -> tuple[Floats, ...]:
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


def _by_group(deviations: bool, reader: WindowReader) -> tuple[Floats, ...]:
    assert reader.groups is not None
    return sums_of(reader.source, reader.windows.frames(), reader.groups(), deviations)


def sums_of(
    source: xr.Variable, frames: npt.NDArray[Any], groups: npt.NDArray[Any], deviations: bool
) -> tuple[Floats, ...]:
    """Return sums of values and of squares, and counts: (group, offset, column); and the shift."""
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
    lag = usual_lag(frames, groups, _LAYERS)
    first, last = (int(rising[0]), int(rising[-1])) if rising.size else (0, -1)
    early = np.asarray(source[first : first + 1].values, np.float64).reshape(-1)
    use_shift = deviations and early.size
    shift = np.where(np.isfinite(early), early, 0.0) if use_shift else np.zeros(n_columns)

    def add(start: int) -> tuple[npt.NDArray[Any], Floats, Floats | None, Floats | None]:
        low, high = max(start, first), min(start + step, last + 1)
        part = slice(*np.searchsorted(rising, (low, high)))
        touched, row = np.unique(place[part], return_inverse=True)
        weights = _weights(row, rising[part] - low, (len(touched), high - low))
        overlapping = _Overlapping.of(weights, touched, n_offsets, lag)
        block = np.asarray(source[low:high]).reshape(high - low, n_columns)
        return touched, *_block_sums(overlapping, block, shift, deviations)

    shape = n_groups * n_offsets, n_columns
    total = np.zeros(shape)
    squares = np.zeros(shape) if deviations else np.broadcast_to(0.0, shape)
    of_place = np.bincount(place, minlength=shape[0]).astype(np.float64)
    counts = np.broadcast_to(of_place[:, np.newaxis], shape)
    with ThreadPoolExecutor(thread_count(), initializer=work_alone) as pool:
        # Added up in the order of the blocks, whichever thread is done first: same numbers always.
        for touched, own, own_squares, missing in pool.map(
            add, range(first - first % rows, last + 1, step)
        ):
            total[touched] += own
            if own_squares is not None:
                squares[touched] += own_squares
            if missing is not None:
                counts = counts if counts.flags.writeable else counts.copy()
                counts[touched] -= missing
    parts = [one.reshape(n_groups, n_offsets, n_columns) for one in (total, squares, counts)]
    return *parts, shift


class _Overlapping(NamedTuple):
    """Weights of frames, of which rows that have nearly the same are told by how they differ."""

    weights: Any
    steps: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    """Rows that are told so, and those that they differ from, in order."""
    plain: Any

    @classmethod
    def of(cls, plain: Any, places: npt.NDArray[Any], n_offsets: int, lag: int) -> "_Overlapping":
        """Let each offset differ from the one a lag before it, in the same group."""
        earlier = np.searchsorted(places, places - lag)
        is_later = (places % n_offsets >= lag) & (places[earlier] == places - lag) if lag else []
        later = np.flatnonzero(is_later)
        if not later.size:
            return cls(plain, [], plain)
        picked = _weights(later, earlier[later], (len(places), len(places)))
        weights = plain - picked @ plain
        turn = places[later] % n_offsets // lag
        rows = [later[turn == one] for one in range(1, turn.max() + 1)]
        return cls(weights, [(own, earlier[own]) for own in rows], plain)

    def sums(self, values: npt.NDArray[Any]) -> Floats:
        """Return the weighted sums of values (frame, column); not finite where these are not."""
        total = self.weights @ values
        # Infinities less infinities are for the caller to see.
        with np.errstate(invalid="ignore"):
            for rows, earlier in self.steps:
                total[rows] += total[earlier]
        return np.asarray(total)


def _block_sums(
    weights: _Overlapping, block: npt.NDArray[Any], shift: Floats, deviations: bool
) -> tuple[Floats, Floats | None, Floats | None]:
    """Return sums, squares if they are wanted, and how many values are missing if any are."""
    values = block - shift if deviations else block
    total, missing = weights.sums(values), None
    if not np.isfinite(total).all():
        # Of infinity, there are no differences.
        weights = weights._replace(weights=weights.plain, steps=[])
        unknown = np.isnan(values)
        values = np.where(unknown, 0.0, values)
        total, missing = weights.sums(values), weights.sums(unknown.astype(np.float64))
    squares = weights.sums(np.square(values, out=values)) if deviations else None
    return total, squares, missing


def _weights(place: npt.NDArray[Any], frame: npt.NDArray[Any], shape: tuple[int, int]) -> Any:
    """Return how often each frame of a block stands at each place: sparse (place, frame)."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(frame)), (place, frame)), shape=shape).tocsr()
