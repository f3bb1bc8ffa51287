"""The numbers of a panel as a table to read: one row for each group, session or pair."""

from collections import defaultdict
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.analyses.chance import permutations_of, resolution
from oscaxr.analyses.pooling import BOUND

MOST_ROWS: Final = 20_000
_RESULT: Final = "result"
_COUNT: Final = "count"


def printed_p(value: float, permutations: int, factor: float = 1.0) -> str:
    """Return p as it is printed: below its resolution, that it is less than that.

    `factor` is by how much it was corrected.
    """
    least = resolution(permutations, factor)
    if np.isnan(value):
        return ""
    return f"< {least:.3g}" if value < least else f"{value:.6g}"


def table_of(results: dict[str, xr.Dataset]) -> pd.DataFrame | None:
    """Return all numbers of a panel as one table; None where it would be too long to read."""
    frames = []
    for name, found in results.items():
        for frame in _frames(found):
            frame.insert(0, _RESULT, name)
            frames.append(frame)
    if not frames or sum(map(len, frames)) > MOST_ROWS:
        return None
    return pd.concat(frames, ignore_index=True)


def _frames(found: xr.Dataset) -> list[pd.DataFrame]:
    """Return one table for all variables that run over the same dims."""
    by_dims: dict[tuple[str, ...], dict[str, xr.DataArray]] = defaultdict(dict)
    for key, array in found.data_vars.items():
        dims = tuple(str(dim) for dim in array.dims if dim != BOUND)
        if BOUND in array.dims:
            for bound in found[BOUND].values.tolist():
                by_dims[dims][f"{key}_{bound}"] = array.sel({BOUND: bound}, drop=True)
        else:
            by_dims[dims][str(key)] = array
    if sum(int(np.prod([found.sizes[dim] for dim in dims])) for dims in by_dims) > MOST_ROWS:
        # Two of them: too long, however the rest is.
        return [pd.DataFrame(index=range(MOST_ROWS + 1))]
    return [_frame(found, list(dims), arrays) for dims, arrays in by_dims.items()]


def _frame(found: xr.Dataset, dims: list[str], arrays: dict[str, xr.DataArray]) -> pd.DataFrame:
    """Return a table of variables that run over the same dims."""
    of_dims = xr.Dataset({name: array.variable for name, array in arrays.items()})
    kept = {
        name: coord.variable
        for name, coord in found.coords.items()
        if set(coord.dims) <= set(dims) and (coord.dims or not dims)
    }
    of_dims = of_dims.assign_coords(kept)
    frame = of_dims.to_dataframe().reset_index() if dims else _one_row(of_dims)
    # Whole numbers stay whole beside rows that have none; counts of nothing are NaN in results.
    whole = [name for name, kind in frame.dtypes.items() if kind.kind in "iu" or name == _COUNT]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    for name in arrays:
        permutations, factor = permutations_of(found.attrs, name)
        if permutations:
            frame[name] = [printed_p(one, permutations, factor) for one in frame[name]]
    return frame


def _one_row(found: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame({str(name): [array.values[()]] for name, array in found.variables.items()})
