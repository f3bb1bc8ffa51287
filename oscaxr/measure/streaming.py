"""Mean and deviation over very many windows, without ever holding them all."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.model import names as n
from oscaxr.model.windows import WindowReader, window_reader

# Fewer bytes than this are simply read, and kept for what comes next.
LOADED_BYTES = 100_000_000
# The recording is gone through this many bytes (as float64) at a time.
BLOCK_BYTES = 16_000_000


class Moments(NamedTuple):
    """Mean over sequences, sum of squared deviations from it, and count of values.

    Parameters
    ----------
    mean, squares, counts : xarray.DataArray
        Without the dim ``sequence``; NaNs are not counted.
    """

    mean: xr.DataArray
    squares: xr.DataArray
    counts: xr.DataArray


def sequence_moments(data: xr.DataArray) -> Moments | None:
    """Accumulate the mean and deviation over the sequences of a lazy array of windows.

    Parameters
    ----------
    data : xarray.DataArray
        Any array.

    Returns
    -------
    Moments or None
        None unless it is lazy windows, too many to load.

    Notes
    -----
    The recording is read once, block by block; within a block, each offset of the window adds its
    frames through one row of a sparse matrix. Values are shifted by an early frame of their ROI
    before they are squared, so that nothing is lost to cancellation.
    """
    found = window_reader(data.variable)
    if found is None or data.nbytes < LOADED_BYTES or n.SEQUENCE not in data.dims:
        return None
    reader, array = found
    if any(isinstance(index, np.ndarray) and index.ndim > 1 for index in array.indices):
        return None
    sequences, offsets, *rest = (_as_slice(index) for index in array.indices)
    parts = _accumulate(reader, sequences, offsets, tuple(rest))
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
    reader: WindowReader, sequences: Any, offsets: Any, rest: tuple[Any, ...]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean, squares and count over sequences: (offset, ...)."""
    frames = reader.windows.frames(sequences, offsets)
    clock, *others = reader.source.dims
    source = reader.source.isel(dict(zip(others, rest, strict=True)))
    n_columns = int(np.prod(source.shape[1:]))
    step = max(1, BLOCK_BYTES // max(1, n_columns * 8))
    shape = (frames.shape[1], n_columns)
    total, squares, count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    shift = np.zeros(n_columns)
    existing = frames[frames >= 0]
    for start in range(int(existing.min()), int(existing.max()) + 1, step):
        stop = min(start + step, int(existing.max()) + 1)
        weights = _weights(frames, start, stop)
        if not weights.nnz:
            continue
        block = np.asarray(source.isel({clock: slice(start, stop)}).values, np.float64)
        block = block.reshape(stop - start, n_columns)
        if not count.any():
            first = block[0]
            shift = np.where(np.isfinite(first), first, 0.0)
        block = block - shift
        missing = np.isnan(block)
        if missing.any():
            block[missing] = 0.0
            count += weights @ (~missing).astype(np.float64)
        else:
            count += weights.sum(axis=1)
        total += weights @ block
        np.square(block, out=block)
        squares += weights @ block
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        squares = np.maximum(squares - total * mean, 0.0)
    values = np.where(count > 0, mean + shift, np.nan).reshape(-1, *source.shape[1:])
    squares = squares.reshape(values.shape)
    if reader.scale is not None:
        values = reader.scaled(values, rest)
        spread = reader.scale[1]
        squares = squares / np.square(spread[rest[0]] if spread.ndim else spread)
    return values, squares, count.reshape(values.shape)


def _weights(frames: npt.NDArray[Any], start: int, stop: int) -> Any:
    """Return how often each frame of a block stands at each offset: sparse (offset, frame)."""
    from scipy.sparse import coo_array

    inside = (frames >= start) & (frames < stop)
    _, offset = np.nonzero(inside)
    frame = frames[inside] - start
    shape = (frames.shape[1], stop - start)
    return coo_array((np.ones(len(frame)), (offset, frame)), shape=shape).tocsr()
