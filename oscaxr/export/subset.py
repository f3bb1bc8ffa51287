"""Which part of an object is exported."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.model import names as n


def choose(
    ds: xr.Dataset,
    *,
    variables: str | Iterable[str] | None = None,
    roi: Any = None,
    segments: Any = None,
) -> xr.Dataset:
    """Return the part of a Dataset that is asked for; still lazy.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, sequences, or statistics.
    variables : str or iterable of str, optional
        Data variables to keep. Coordinates all stay: with them the export is still a session.
    roi : array_like, slice or int, optional
        Labels of ROIs to keep, in this order; or a boolean for every ROI.
    segments : xarray.Dataset, array_like or slice, optional
        A selection of segments, or segment numbers; or a boolean for every one. For sequences,
        those of these segments.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    MissingVariableError
        If there is no such variable.
    CriterionError
        If there is no such ROI or segment.
    """
    if variables is not None:
        wanted = [variables] if isinstance(variables, str) else list(variables)
        missing = [name for name in wanted if name not in ds.variables]
        if missing:
            raise MissingVariableError(
                f"variables={variables!r}: there is no {', '.join(map(repr, missing))}; there are "
                f"{', '.join(map(str, ds.data_vars))}"
            )
        ds = ds.drop_vars([name for name in ds.data_vars if name not in wanted])
    if roi is not None:
        ds = _take(ds, n.ROI, roi, "roi")
    if segments is not None:
        dim = n.SEQUENCE if n.SEQUENCE in ds.dims else n.SEGMENT
        if isinstance(segments, xr.Dataset | xr.DataArray) and n.SEGMENT in segments.coords:
            segments = segments[n.SEGMENT].values
        ds = _take(ds, dim, segments, "segments")
        if n.FLOW_SEGMENT in ds.dims and dim == n.SEGMENT:
            kept = np.isin(ds[n.FLOW_SEGMENT].values, ds[n.SEGMENT].values)
            ds = ds.isel({n.FLOW_SEGMENT: np.flatnonzero(kept)})
    return ds


def _take(ds: xr.Dataset, dim: str, wanted: Any, option: str) -> xr.Dataset:
    if dim not in ds.dims or dim not in ds.xindexes:
        raise CriterionError(
            f"{option}= chooses along {dim!r}, but this has the dims {', '.join(map(str, ds.dims))}"
        )
    if isinstance(wanted, slice):
        return ds.sel({dim: wanted})
    asked = np.atleast_1d(np.asarray(wanted))
    if asked.dtype.kind == "b":
        if asked.shape != (ds.sizes[dim],):
            raise CriterionError(
                f"{option}= has {asked.size} booleans, but there are {ds.sizes[dim]} along {dim!r}"
            )
        return ds.isel({dim: np.flatnonzero(asked)})
    if not asked.size:
        return ds.isel({dim: slice(0, 0)})
    position = ds.get_index(dim).get_indexer(pd.Index(asked))
    if (position < 0).any():
        missing = asked[position < 0]
        listed = ", ".join(map(str, missing[:10])) + ", ..." * (len(missing) > 10)
        raise CriterionError(
            f"{option}=: there is no {dim} {listed}; there are {ds.sizes[dim]} of them"
        )
    return ds.isel({dim: position})
