"""Percentiles over very many windows of a recording, which is gone through a few ROIs at a time."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.columns import column_reader, map_columns, stored_width
from oscaxr.arrays.percentiles import partitioned_percentiles, sorted_percentiles
from oscaxr.arrays.windows import WindowReader, usual_lag

FloatArray = npt.NDArray[np.float64]

# Traces that are held at a time, turned over.
BUDGET_BYTES: Final = 400 * 2**20


def window_percentiles(
    reader: WindowReader,
    indices: tuple[Any, ...],
    percentiles: Sequence[float],
    *,
    deviation: bool = False,
) -> tuple[FloatArray, FloatArray | None]:
    """Return percentiles over windows, (percentile, offset, column), and the MAD if asked for."""
    sequences, offsets, *rest = indices
    frames = reader.windows.frames(sequences, offsets).T
    # In the order of the recording, which percentiles do not depend on.
    frames = frames[:, np.argsort(frames[0])] if len(frames) else frames
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    clock, missing = str(source.dims[0]), frames < 0
    last = max(0, int(frames.max(initial=0)))
    first = int(frames.min(initial=last, where=~missing))
    traces = xr.DataArray(source.isel({clock: slice(first, last + 1)}))
    places, some_missing = np.maximum(frames - first, 0), bool(missing.any())

    # The deviation is that from the median, which is found beside what is asked for.
    wanted = [*percentiles, *([50.0] if deviation else [])]

    fill = _filler(places)
    # The quick way does not leave NaNs out: what it finds is NaN then.
    ways = (sorted_percentiles,) if some_missing else (partitioned_percentiles, sorted_percentiles)

    def kernel(rows: npt.NDArray[Any], _: slice) -> FloatArray:
        found = np.empty((len(wanted), len(places), len(rows)))
        # Room that is made once: for each ROI, that would take longer than to rank its windows.
        lines = np.empty(places.shape, rows.dtype)
        apart = lines if rows.dtype == np.float64 else np.empty(places.shape)
        for index, row in enumerate(rows):
            for ranked in ways:
                fill(row, lines)
                if some_missing:
                    lines[missing] = np.nan
                found[:, :, index] = ranked(lines, wanted)
                if deviation:
                    with np.errstate(invalid="ignore"):
                        np.abs(np.subtract(lines, found[-1, :, index, None], out=apart), out=apart)
                    found[-1, :, index] = ranked(apart, [50.0])[0]
                if np.isfinite(found[:, :, index]).all():
                    break
        return found

    parts = map_columns(
        column_reader(traces, clock),
        traces.shape[0],
        traces.shape[1],
        kernel,
        budget_bytes=BUDGET_BYTES,
        align=stored_width(traces, clock),
    )
    found = np.concatenate([np.empty((len(wanted), len(places), 0)), *parts], -1)
    return found[: len(percentiles)], found[-1] if deviation else None


def _filler(places: npt.NDArray[Any]) -> Callable[[npt.NDArray[Any], npt.NDArray[Any]], None]:
    """Return what takes the values at places, (offset, sequence), from a trace."""
    # Where windows overlap, the frame of one is mostly that of the next a lag earlier: to copy
    # those is quicker than to gather them.
    n_offsets, n_sequences = places.shape
    lag = usual_lag(places.T, np.zeros(n_sequences, np.intp), layers=2) or n_offsets
    copied = []
    for start in range(lag, n_offsets, lag):
        later = slice(start, min(start + lag, n_offsets))
        earlier = slice(start - lag, later.stop - lag)
        differs = np.ones(places[later].shape, bool)
        differs[:, :-1] = places[later, :-1] != places[earlier, 1:]
        others = np.flatnonzero(differs)
        copied.append((later, earlier, others, places[later].ravel()[others]))

    def fill(row: npt.NDArray[Any], lines: npt.NDArray[Any]) -> None:
        # All places exist: numpy is quickest where it need not refuse any.
        row.take(places[:lag], out=lines[:lag], mode="clip")
        for later, earlier, others, frames in copied:
            lines[later, :-1] = lines[earlier, 1:]
            lines[later].reshape(-1)[others] = row.take(frames)

    return fill
