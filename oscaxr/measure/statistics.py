"""Centre and spread of responses, along one dim after the other; never all windows at once."""

from collections.abc import Hashable, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.percentiles import sorted_percentiles
from oscaxr.arrays.window_variable import moments, percentiles
from oscaxr.arrays.xarray_internals import with_variable
from oscaxr.errors import CriterionError, MissingVariableError, option
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid, without_invalid

Stat = Literal["mean", "median"]

ERRORS: Final[dict[str, dict[str, str]]] = {
    "mean": {"sem": "sem", "std": "std"},
    "median": {"mad": "mad", "quartiles": "quartiles", "sem": "mad", "std": "quartiles"},
}
"""Names of the error of each statistic; the last two of the median are the published words."""

_LABELS: Final = {
    "mean": "mean",
    "median": "median",
    "sem": "standard error of the mean",
    "std": "standard deviation",
    "mad": "median absolute deviation",
    "q25": "25th percentile",
    "q75": "75th percentile",
}


def stats(
    data: xr.DataArray | xr.Dataset,
    dim: Hashable | Sequence[Hashable],
    stat: Stat = "mean",
    error: str | None = "sem",
    *,
    invalid: Invalid | None = None,
) -> xr.Dataset:
    """Average along the given dims, one after the other, with the error along the last.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences or integrated responses, in any order of dims. Of a Dataset, every variable that
        has all of `dim` is taken.
    dim : str or sequence of str
        The dims to average over, in this order: ``("sequence", "roi")`` is the mean over ROIs of
        each ROI's mean over sequences.
    stat : {"mean", "median"}, optional
        The statistic, the same along each dim.
    error : str or None, optional
        For the mean ``"sem"`` (ddof 1) or ``"std"`` (ddof 0); for the median ``"mad"`` (median
        absolute deviation, without a constant) or ``"quartiles"`` (25th and 75th percentiles),
        which may also be said as ``"sem"`` and ``"std"``. None leaves the error out.
    invalid : {"drop", "keep"}, optional
        What to do with ROIs that the session's files list as invalid (``listed_invalid``; original
        layout): leave them out, with a note of how many, or keep them. By default they are kept
        where they were when the sequences were extracted (the attribute ``invalid_rois_kept``),
        and else left out.

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``sem`` or ``std``; or ``median`` and ``mad``, or ``q25`` and ``q75``; float64,
        in the unit of `data`, with the dims and coordinates that are left. From a Dataset the names
        are those of the variables with these endings, as in ``dff_mean``.

    Raises
    ------
    CriterionError
        If `stat`, or `error` for that statistic, is not known, or `dim` names a dim twice; or if
        all ROIs are listed as invalid.
    MissingVariableError
        If `data` has no such dim.

    Notes
    -----
    The published rule: an average of averages, not one average over everything, so that each
    element of the last dim weighs the same. NaNs are left out along each dim; where nothing is
    left, or one value only for the standard error, the result is NaN.

    Examples
    --------
    >>> responses = xr.DataArray([[1.0, 3.0], [5.0, 7.0]], dims=("roi", "sequence"))
    >>> found = stats(responses, ("sequence", "roi"), stat="mean", error="std")
    >>> float(found["mean"]), float(found["std"])
    (4.0, 2.0)
    """
    dims = _dims(dim)
    kind = _error_kind(stat, error)
    arrays = {"": data} if isinstance(data, xr.DataArray) else dict(data.data_vars)
    found = {
        name: without_invalid(array, invalid)
        for name, array in arrays.items()
        if set(dims) <= {*array.dims}
    }
    if not found:
        raise MissingVariableError(f"statistics along {list(dims)}: the dims are {[*data.dims]}")
    variables = {
        f"{name}_{part}" if name != "" else part: value
        for name, array in found.items()
        for part, value in _one(array, dims, stat, kind).items()
    }
    return xr.Dataset(variables, attrs=data.attrs)


def mean(data: xr.DataArray, dim: Hashable) -> xr.DataArray:
    """Average along one dim in float64, leaving NaNs out."""

    # Sums are taken in float64 by numpy itself, so that the numbers depend neither on the file's
    # precision nor on which accelerators of xarray are installed; and of arrays alone: comparing
    # the coordinates at each step takes longer than the sums of a session's responses.
    def averaged(values: Any, axis: Any) -> Any:
        if isinstance(values, np.ndarray):
            whole = values.sum(axis=axis, dtype=np.float64)
            # Nothing is missing, as a rule: then one pass is all it takes, to the same numbers.
            if values.shape[axis] and not np.isnan(whole).any():
                return whole / values.shape[axis]
        present = ~np.isnan(values)
        total = np.where(present, values, 0.0).sum(axis=axis, dtype=np.float64)
        count = present.sum(axis=axis)
        return total / np.where(count > 0, count, np.nan)

    return data.reduce(averaged, [dim], keep_attrs=True)


def median(data: xr.DataArray, dim: Hashable) -> xr.DataArray:
    """Median along one dim in float64, leaving NaNs out."""
    return _percentile(data, dim, 50.0)


def _one(
    data: xr.DataArray, dims: tuple[Hashable, ...], stat: Stat, kind: str | None
) -> dict[str, xr.DataArray]:
    """Return the statistic and its errors by name."""
    found: dict[str, xr.DataArray] = {}
    if dims[0] == n.SEQUENCE:
        found = _streamed(data, stat, kind if len(dims) == 1 else None)
    if found and len(dims) > 1:
        found = _in_memory(found[stat], dims[1:], stat, kind)
    found = found or _in_memory(data, dims, stat, kind)
    long_name = data.attrs.get("long_name", data.name)
    for name, value in found.items():
        value.attrs = dict(data.attrs)
        value.name = name
        if long_name is not None:
            value.attrs["long_name"] = f"{_LABELS[name]} of {long_name}"
    return found


def _in_memory(
    units: xr.DataArray, dims: Sequence[Hashable], stat: Stat, kind: str | None
) -> dict[str, xr.DataArray]:
    """Average along one dim after the other; return the last average and its errors."""
    *before, last = dims
    centre = mean if stat == "mean" else median
    for dim in before:
        units = centre(units, dim)
    middle = centre(units, last)
    found: dict[str, xr.DataArray] = {stat: middle}
    if kind in ("sem", "std"):
        squares, count = _sum_and_count((units - middle) ** 2, last)
        found[kind] = _deviation(squares, count, kind, middle)
    elif kind == "mad":
        found[kind] = median(abs(units - middle), last)
    elif kind == "quartiles":
        found["q25"] = _percentile(units, last, 25.0)
        found["q75"] = _percentile(units, last, 75.0)
    return found


def _streamed(data: xr.DataArray, stat: Stat, kind: str | None) -> dict[str, xr.DataArray]:
    """Average over very many lazy windows, never all at once; nothing of any other data."""
    found: dict[str, xr.Variable] = {}
    if stat == "mean":
        deviations = kind is not None
        if streamed := moments(data.variable, deviations=deviations):
            found["mean"] = streamed.mean
            if kind is not None:
                found[kind] = _deviation(streamed.squares, streamed.counts, kind, streamed.mean)
    else:
        wanted = (50.0, 25.0, 75.0)[: 3 if kind == "quartiles" else 1]
        if ranked := percentiles(data.variable, wanted, deviation=kind == "mad"):
            found = dict(zip(("median", "q25", "q75"), ranked.percentiles, strict=False))
            found |= {} if ranked.deviation is None else {"mad": ranked.deviation}
    if not found or n.SEQUENCE in found[stat].dims:
        return {}
    along = [name for name, coord in data.coords.items() if n.SEQUENCE in coord.dims]
    template = data.drop_vars(along).isel({n.SEQUENCE: 0})
    return {name: with_variable(template, part) for name, part in found.items()}


def _deviation(squares: Any, count: Any, kind: str, middle: Any) -> Any:
    """Return the standard deviation, or error of the mean, of arrays or of variables alike."""
    known = count.where(count > 0)
    found = squares / known if kind == "std" else squares / (known - 1).where(known > 1) / known
    # Around an infinite mean there is no deviation to speak of.
    return (found**0.5).where(abs(middle) < np.inf)


def _sum_and_count(data: xr.DataArray, dim: Hashable) -> tuple[xr.DataArray, xr.DataArray]:
    present = data.notnull()
    total = data.where(present, 0.0).sum([dim], skipna=False, dtype=np.float64)
    return total, present.sum([dim])


def _percentile(data: xr.DataArray, dim: Hashable, percentile: float) -> xr.DataArray:
    def last_axis(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = sorted_percentiles(values, [percentile])[0]
        return found

    return cast(
        "xr.DataArray",
        xr.apply_ufunc(
            last_axis,
            data,
            input_core_dims=[[dim]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"allow_rechunk": True},
            keep_attrs=True,
        ),
    )


def _dims(dim: Hashable | Sequence[Hashable]) -> tuple[Hashable, ...]:
    dims = (dim,) if isinstance(dim, str) or not isinstance(dim, Sequence) else tuple(dim)
    if not dims or len(set(dims)) < len(dims):
        raise CriterionError(f"dim={dim!r}: name one, or different ones in the order to average")
    return dims


def _error_kind(stat: str, error: str | None) -> str | None:
    if stat not in ERRORS:
        raise CriterionError(f"stat={stat!r} is not known; it may be {sorted(ERRORS)}")
    if error is None:
        return None
    if error not in ERRORS[stat]:
        known = [*sorted(ERRORS[stat]), None]
        raise CriterionError(f"{option('error', error)} is not known for the {stat}: {known}")
    return ERRORS[stat][error]
