"""Mean and deviation over very many windows, without ever holding them all."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.computed import unscaled
from oscaxr.arrays.windows import WindowReader, chunk_rows, view_or_variable, window_reader
from oscaxr.arrays.xarray_internals import data_of
from oscaxr.model import names as n

# Fewer bytes than this are simply read, and kept for what comes next.
LOADED_BYTES = 100_000_000
# The recording is gone through this many bytes (as float64) at a time.
BLOCK_BYTES = 8_000_000


class Moments(NamedTuple):
    """Mean over sequences, sum of squared deviations from it, and count of values."""

    mean: xr.DataArray
    squares: xr.DataArray
    counts: xr.DataArray


def sequence_moments(data: xr.DataArray, *, deviations: bool = True) -> Moments | None:
    """Accumulate the mean and deviation over the sequences of a lazy array of windows."""
    # The recording is read once, block by block; within a block, each offset of the window adds its
    # frames through one row of a sparse matrix. Values are shifted by an early frame of their ROI
    # before they are squared, so that nothing is lost to cancellation.
    if data.nbytes < LOADED_BYTES or n.SEQUENCE not in data.dims:
        return None
    scaling = unscaled(data.variable)
    if scaling is None:
        return _moments(data, deviations)
    source, center, spread = scaling
    found = _moments(data.copy(deep=False, data=data_of(source)), deviations)
    if found is None:
        return None
    dims = found.mean.dims
    mean = ((found.mean - center) / spread).transpose(*dims)
    return Moments(mean, (found.squares / spread**2).transpose(*dims), found.counts)


def _moments(data: xr.DataArray, deviations: bool) -> Moments | None:
    found = window_reader(data.variable)
    if found is None:
        return None
    reader, array = found
    if any(isinstance(index, np.ndarray) and index.ndim > 1 for index in array.indices):
        return None
    sequences, offsets, *rest = (_as_slice(index) for index in array.indices)
    parts = _accumulate(reader, sequences, offsets, tuple(rest), deviations)
    # Dims of the reader with several positions, in its own order, without the sequences.
    natural = [dim for _, dim in sorted(zip(array.order, data.dims, strict=True))]
    natural.remove(n.SEQUENCE)
    dims = [dim for dim in data.dims if dim != n.SEQUENCE]
    template = data.drop_vars(
        [name for name, coord in data.coords.items() if n.SEQUENCE in coord.dims]
    )
    coords = {name: coord for name, coord in template.coords.items() if set(coord.dims) <= {*dims}}
    arrays = (
        xr.DataArray(
            part.reshape([data.sizes[dim] for dim in natural]), dims=natural, coords=coords
        ).transpose(*dims)
        for part in parts
    )
    return Moments(*arrays)


def _as_slice(index: Any) -> Any:
    return slice(index, index + 1) if isinstance(index, int) else index


def _accumulate(
    reader: WindowReader, sequences: Any, offsets: Any, rest: tuple[Any, ...], deviations: bool
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean, sum of squared deviations and count over sequences: (offset, ...)."""
    frames = reader.windows.frames(sequences, offsets)
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    view = view_or_variable(source)
    n_columns = int(np.prod(source.shape[1:]))
    rows = chunk_rows(source)
    step = max(1, BLOCK_BYTES // max(1, rows * n_columns * 8)) * rows
    existing = frames[frames >= 0]
    first, last = (int(existing.min()), int(existing.max())) if existing.size else (0, -1)
    early = np.asarray(source[first : first + 1].values, np.float64).reshape(-1)
    shift = np.where(np.isfinite(early), early, 0.0) if deviations and early.size else 0.0

    def add(start: int) -> Sums:
        low, high = max(start, first), min(start + step, last + 1)
        weights = _weights(frames, low, high)
        block = np.asarray(view[low:high]).reshape(high - low, n_columns)
        return _block_sums(weights, block, shift, deviations)

    sums = Sums.zero((frames.shape[1], n_columns))
    with ThreadPoolExecutor(thread_count()) as pool:
        # Added up in the order of the blocks, whichever thread is done first: same numbers always.
        for part in pool.map(add, range(first - first % rows, last + 1, step)):
            sums = Sums(*(one + other for one, other in zip(sums, part, strict=True)))
    shape = (frames.shape[1], *source.shape[1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.total / sums.counts
        squares = np.maximum(sums.squares - sums.total * mean, 0.0)
        squares[~np.isfinite(mean)] = np.nan
    values = np.where(sums.counts > 0, mean + shift, np.nan).reshape(shape)
    return values, squares.reshape(shape), sums.counts.reshape(shape)


class Sums(NamedTuple):
    """What is added up over blocks: of values, of their squares, and how many; (offset, column)."""

    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]

    @classmethod
    def zero(cls, shape: tuple[int, int]) -> "Sums":
        """Return sums of nothing."""
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape))


def _block_sums(
    weights: Any, block: npt.NDArray[Any], shift: npt.NDArray[np.float64] | float, deviations: bool
) -> Sums:
    shape = (weights.shape[0], block.shape[1])
    if not weights.nnz:
        return Sums.zero(shape)
    squares = np.zeros(shape)
    values = block - shift if deviations else block
    total = weights @ values
    count = np.broadcast_to(np.asarray(weights.sum(axis=1)).reshape(-1, 1), shape)
    if np.isnan(total).any():
        missing = np.isnan(values)
        values = np.where(missing, 0.0, values)
        total = weights @ values
        count = weights @ (~missing).astype(np.float64)
    if deviations:
        squares = weights @ np.square(values)
    return Sums(total, squares, count)


def _weights(frames: npt.NDArray[Any], start: int, stop: int) -> Any:
    """Return how often each frame of a block stands at each offset: sparse (offset, frame)."""
    from scipy.sparse import coo_array

    inside = (frames >= start) & (frames < stop)
    _, offset = np.nonzero(inside)
    frame = frames[inside] - start
    shape = (frames.shape[1], stop - start)
    return coo_array((np.ones(len(frame)), (offset, frame)), shape=shape).tocsr()
