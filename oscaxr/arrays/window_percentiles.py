"""Percentiles over very many windows of a recording, which is gone through a few ROIs at a time."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.columns import column_reader, map_columns, stored_width
from oscaxr.arrays.percentiles import partitioned_percentiles, sorted_percentiles
from oscaxr.arrays.windows import WindowReader

FloatArray = npt.NDArray[np.float64]

# Traces that are held at a time, turned over.
BUDGET_BYTES: Final = 400 * 2**20
_MEDIAN: Final = (50.0,)


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
    source = reader.source.isel(dict(zip(reader.source.dims[1:], rest, strict=True)))
    clock, missing = str(source.dims[0]), frames < 0
    last = max(0, int(frames.max(initial=0)))
    first = int(frames.min(initial=last, where=~missing))
    traces = xr.DataArray(source.isel({clock: slice(first, last + 1)}))
    places, some_missing = np.maximum(frames - first, 0), bool(missing.any())

    def kernel(rows: npt.NDArray[Any], _: slice) -> FloatArray:
        found = np.empty((len(percentiles) + deviation, len(places), len(rows)))
        lines = np.empty(places.shape, rows.dtype)
        for index, row in enumerate(rows):
            # All places exist: numpy is quickest where it need not refuse any.
            row.take(places, out=lines, mode="clip")
            whole = not some_missing and bool(np.isfinite(row).all())
            if some_missing:
                lines[missing] = np.nan
            found[:, :, index] = _of_lines(lines, percentiles, whole, deviation=deviation)
        return found

    parts = map_columns(
        column_reader(traces, clock),
        traces.shape[0],
        traces.shape[1],
        kernel,
        budget_bytes=BUDGET_BYTES,
        align=stored_width(traces, clock),
    )
    found = np.concatenate([np.empty((len(percentiles) + deviation, len(places), 0)), *parts], -1)
    return found[: len(percentiles)], found[-1] if deviation else None


def _of_lines(
    lines: npt.NDArray[Any], percentiles: Sequence[float], whole: bool, *, deviation: bool
) -> FloatArray:
    """Return percentiles of each line of one ROI's windows, then the MAD if asked for."""
    ranked: Callable[..., FloatArray] = partitioned_percentiles if whole else sorted_percentiles
    found = ranked(lines, percentiles)
    if not deviation:
        return found
    with np.errstate(invalid="ignore"):
        distances = abs(lines - ranked(lines, _MEDIAN)[0][:, np.newaxis])
    return np.stack([*found, *ranked(distances, _MEDIAN)])
