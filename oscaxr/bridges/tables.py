"""Sequences and statistics as one long .csv table, written piece by piece."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import ExportContentError
from oscaxr.model import names as n

MAX_ROWS: Final = 20_000_000
"""A longer table would be gigabytes of text, which nothing reads in reasonable time."""

_BLOCK_ROWS: Final = 200_000
_ROI_LABELS: Final = (n.ROI, n.TRACKING_ID)
_TIME_LABELS: Final = (n.REL_TIME, n.TIME)


def check_rows(data: xr.Dataset) -> int:
    """Return how many rows the table of a Dataset has, unless they are too many."""
    rows = int(np.prod(list(data.sizes.values()), dtype=np.int64))
    if rows > MAX_ROWS:
        sizes = " x ".join(f"{size:,} {dim}" for dim, size in data.sizes.items())
        raise ExportContentError(
            f"a .csv table of {rows:,} rows ({sizes}) is too long; the longest has {MAX_ROWS:,}. "
            "Write .nc or .zarr instead, or less of it: more criteria, --tracked, --integrate or "
            "--stats mean."
        )
    return rows


def write_long_table(
    data: xr.Dataset,
    path: Path,
    columns: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write one row for each value: labels first, then the variables."""
    total = check_rows(data)
    kept = [*_ROI_LABELS, *_TIME_LABELS, *columns]
    labelled = data.drop_vars([name for name in data.coords if name not in (*kept, *data.dims)])
    order = [n.SEQUENCE, *columns, *_ROI_LABELS, *_TIME_LABELS, *map(str, data.data_vars)]
    done = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for block in _blocks(labelled, total):
            frame = _frame(block)
            frame = frame[[name for name in order if name in frame]]
            frame.to_csv(file, index=False, header=done == 0)
            done += len(frame)
            report(done, total)


def _blocks(data: xr.Dataset, rows: int) -> Iterator[xr.Dataset]:
    length = data.sizes.get(n.SEQUENCE, 0)
    if not length:
        yield data
        return
    step = max(1, length * _BLOCK_ROWS // max(1, rows))
    for start in range(0, length, step):
        yield data.isel({n.SEQUENCE: slice(start, start + step)})


def _frame(block: xr.Dataset) -> pd.DataFrame:
    if not block.dims:
        return pd.DataFrame({name: [array.item()] for name, array in block.data_vars.items()})
    dims = [dim for dim in (n.SEQUENCE, *_ROI_LABELS, n.REL_TIME) if dim in block.dims]
    return block.to_dataframe(dim_order=dims).reset_index()
