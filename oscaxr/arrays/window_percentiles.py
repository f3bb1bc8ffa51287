"""Percentiles over very many windows of a recording, which is gone through a few ROIs at a time."""

from collections.abc import Sequence
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

    # The deviation is that from the median, which is found beside what is asked for.
    wanted = [*percentiles, *([50.0] if deviation else [])]

    def kernel(rows: npt.NDArray[Any], _: slice) -> FloatArray:
        found = np.empty((len(wanted), len(places), len(rows)))
        # Room that is made once: for each ROI, that would take longer than to rank its windows.
        lines = np.empty(places.shape, rows.dtype)
        apart = lines if rows.dtype == np.float64 else np.empty(places.shape)
        for index, row in enumerate(rows):
            # All places exist: numpy is quickest where it need not refuse any.
            row.take(places, out=lines, mode="clip")
            whole = not some_missing and bool(np.isfinite(row).all())
            if some_missing:
                lines[missing] = np.nan
            ranked = partitioned_percentiles if whole else sorted_percentiles
            found[:, :, index] = ranked(lines, wanted)
            if deviation:
                with np.errstate(invalid="ignore"):
                    np.abs(np.subtract(lines, found[-1, :, index, None], out=apart), out=apart)
                found[-1, :, index] = ranked(apart, [50.0])[0]
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
