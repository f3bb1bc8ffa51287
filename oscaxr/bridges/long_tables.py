"""Labelled values as long tables: one row a value, in pandas or as .csv, written piece by piece."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import ExportContentError, MissingVariableError
from oscaxr.model import names as n

MAX_ROWS: Final = 20_000_000
"""A longer table would be gigabytes of text, which nothing reads in reasonable time."""

CSV_HINT: Final = (
    "Write .nc or .zarr instead, or less of it: more criteria, --tracked, --integrate or --stats "
    "mean."
)
_BLOCK_ROWS: Final = 200_000
_ROI_LABELS: Final = (n.ROI, n.TRACKING_ID)
_TIME_LABELS: Final = (n.REL_TIME, n.TIME)
# What tells sequences apart, as far as those of a table differ in it.
_TELLING: Final = (
    "stimulus_type",
    "unexpected",
    "gabor_frame",
    "gabor_kappa",
    "gabor_mean_orientation",
    "main_flow_direction",
    "square_size",
)


def to_frame(
    data: xr.DataArray | xr.Dataset, *, columns: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Return a long pandas table: one row a value, with the labels that tell them apart.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences, integrated responses, statistics: in any order of dims.
    columns : str or sequence of str, optional
        Coordinates to have as columns, beside the labels of the dims: ``"tracking_id"``,
        ``"time"``, ``"mouse_id"``, ... By default those columns of the stimulus table, of
        ``stimulus_type``, ``unexpected``, ``gabor_frame``, ``gabor_kappa``,
        ``gabor_mean_orientation``, ``main_flow_direction`` and ``square_size``, in which the
        sequences differ.

    Returns
    -------
    pandas.DataFrame
        Columns: ``sequence``, ``roi`` or ``tracking_id``, ``rel_time`` and further dims, as far as
        there are; `columns`, words as categories; and the variables. Rows in the order of the dims.
        ``attrs["units"]`` has the units of columns.

    Raises
    ------
    MissingVariableError
        If there is no coordinate of one of these names.
    ExportContentError
        If the table would have more than 20 million rows, or the array is named like a coordinate.

    Notes
    -----
    ``data.to_dataframe()`` repeats all of some 40 coordinates in every row: gigabytes for the
    sequences of one session.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame=["D", "U"]), post=0.6)
    >>> frame = ox.to_frame(u.osca.integrate())
    >>> list(frame.columns)
    ['sequence', 'roi', 'unexpected', 'gabor_frame', 'gabor_mean_orientation', 'dff']
    """
    if isinstance(data, xr.DataArray):
        if data.name in data.coords or data.name in data.dims:
            raise ExportContentError(
                f"the array is named {data.name!r}, as one of its coordinates or dims: name its "
                "column differently, data.rename('value')"
            )
        data = data.to_dataset(name="value" if data.name is None else data.name)
    if not isinstance(data, xr.Dataset):
        raise ExportContentError(
            f"no table of a {type(data).__name__}: give a DataArray or a Dataset"
        )
    check_rows(data, "Select, average or integrate first, or take part of it at a time.")
    wanted = _telling(data) if columns is None else _names(columns)
    missing = [name for name in wanted if name not in data.coords]
    if missing:
        raise MissingVariableError(
            f"columns={missing}: there are no such coordinates, but "
            f"{', '.join(sorted(map(str, data.coords)))}"
        )
    first = (n.SEQUENCE, *_ROI_LABELS, n.REL_TIME)
    dims = sorted(data.sizes, key=lambda dim: first.index(dim) if dim in first else len(first))
    sizes = {dim: data.sizes[dim] for dim in dims}
    names = dict.fromkeys([*sizes, *wanted, *data.data_vars])
    variables = {name: _variable(data, name) for name in names}
    frame = pd.DataFrame({name: _column(one, sizes) for name, one in variables.items()})
    attrs = {str(name): one.attrs for name, one in variables.items()}
    frame.attrs["units"] = {name: one["units"] for name, one in attrs.items() if "units" in one}
    return frame


def _names(columns: Any) -> list[str]:
    """Return the names of columns, one or several, as a list."""
    names = [columns] if isinstance(columns, str) or not np.iterable(columns) else list(columns)
    if not all(isinstance(name, str) for name in names):
        raise MissingVariableError(f"columns={columns!r}: give the names of coordinates")
    return names


def _telling(table: xr.Dataset) -> list[str]:
    """Return the columns of the stimulus table in which sequences differ."""
    there = [name for name in _TELLING if name in table.coords]
    return [
        name
        for name in there
        if table[name].dims == (n.SEQUENCE,) and len(pd.unique(table[name].values)) > 1
    ]


def _variable(table: xr.Dataset, name: Hashable) -> xr.Variable:
    if name in table.variables:
        return table.variables[name]
    return xr.Variable((name,), np.arange(table.sizes[name]))


def _column(variable: xr.Variable, sizes: Mapping[Hashable, int]) -> Any:
    """Repeat values along the dims that they lack; words as the categories that they are."""
    values: Any = variable.values
    words: Any = None
    if values.dtype.kind in "UOT":
        codes, words = pd.factorize(values.ravel().astype(object), sort=True)
        values = codes.reshape(values.shape)
    repeated = xr.Variable(variable.dims, values).set_dims(sizes).transpose(*sizes).values.ravel()
    return repeated if words is None else pd.Categorical.from_codes(repeated, words)


def check_rows(data: xr.Dataset, hint: str) -> int:
    """Return how many rows the table of a Dataset has, unless they are too many."""
    rows = int(np.prod(list(data.sizes.values()), dtype=np.int64))
    if rows > MAX_ROWS:
        sizes = " x ".join(f"{size:,} {dim}" for dim, size in data.sizes.items())
        raise ExportContentError(
            f"a table of {rows:,} rows ({sizes}) is too long; the longest has {MAX_ROWS:,}. {hint}"
        )
    return rows


def write_long_table(
    data: xr.Dataset,
    path: Path,
    columns: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write one row for each value: labels first, then the variables."""
    total = check_rows(data, CSV_HINT)
    kept = [name for name in (*_ROI_LABELS, *_TIME_LABELS, *columns) if name in data.coords]
    order = [n.SEQUENCE, *columns, *_ROI_LABELS, *_TIME_LABELS, *map(str, data.data_vars)]
    done = 0
    # Sequences at a time; without any, there is one block.
    length = data.sizes.get(n.SEQUENCE) or 1
    step = max(1, length * _BLOCK_ROWS // max(1, total))
    with path.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, length, step):
            rows = {n.SEQUENCE: slice(start, start + step)}
            frame = to_frame(data.isel(rows, missing_dims="ignore"), columns=kept)
            frame = frame[[name for name in order if name in frame]]
            frame.to_csv(file, index=False, header=done == 0)
            done += len(frame)
            report(done, total)
