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
    """Return the part of a Dataset that is asked for; still lazy."""
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
    asked = np.atleast_1d(np.asarray(wanted))
    if asked.ndim > 1:
        raise CriterionError(f"{option}= has shape {asked.shape}: give labels in one row")
    if asked.dtype.kind == "b":
        if asked.shape != (ds.sizes[dim],):
            raise CriterionError(
                f"{option}= has {asked.size} booleans, but there are {ds.sizes[dim]} along {dim!r}"
            )
        return ds.isel({dim: np.flatnonzero(asked)})
    if not asked.size:
        return ds.isel({dim: slice(0, 0)})
    index = ds.get_index(dim)
    if not index.is_unique:
        raise CriterionError(
            f"{option}= chooses by the labels of {dim!r}, but some of them are there more than "
            f"once: {_listed(index[index.duplicated()].unique())}. Choose with isel first."
        )
    if isinstance(wanted, slice):
        return ds.sel({dim: wanted})
    labels = pd.Index(asked)
    if not labels.is_unique:
        raise CriterionError(
            f"{option}= names the same {dim} more than once: "
            f"{_listed(labels[labels.duplicated()].unique())}. It would be counted twice: give "
            "each once."
        )
    position = index.get_indexer(labels)
    if (position < 0).any():
        raise CriterionError(
            f"{option}=: there is no {dim} {_listed(asked[position < 0])}; there are "
            f"{ds.sizes[dim]}, from {index.min()} to {index.max()}"
            if len(index)
            else f"{option}=: there is no {dim} {_listed(asked[position < 0])}; there is none"
        )
    return ds.isel({dim: position})


def _listed(labels: Iterable[Any]) -> str:
    found = list(labels)
    return ", ".join(map(str, found[:10])) + ", ..." * (len(found) > 10)
