"""Lazy windows that are reduced over their sequences without ever being there all at once.

:class:`WindowVariable` is what plain xarray reduces: ``u.mean("sequence")``, ``.sum``, ``.std``,
``.var``, ``.median`` and ``.quantile`` go through the recording once. Everything else, and few
windows, are read as any lazy variable is.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oscaxr.arrays.computed import unscaled
from oscaxr.arrays.dask_windows import dask_moments, origin_of
from oscaxr.arrays.window_percentiles import window_percentiles
from oscaxr.arrays.window_sums import accumulate
from oscaxr.arrays.windows import WindowReader, window_reader
from oscaxr.arrays.xarray_internals import reduction_name

# Fewer bytes than this are simply read, and kept for what comes next.
LOADED_BYTES = 100_000_000
SMALLEST_PART = 50


class Moments(NamedTuple):
    """Mean over sequences, sum of squared deviations from it, and count of values."""

    mean: xr.Variable
    squares: xr.Variable
    counts: xr.Variable


class Percentiles(NamedTuple):
    """Percentiles over sequences, in the order asked for, and the median absolute deviation."""

    percentiles: list[xr.Variable]
    deviation: xr.Variable | None


class _Source(NamedTuple):
    """Where windows are read, and what is subtracted from them and divided by."""

    reader: WindowReader
    indices: tuple[Any, ...]
    dims: tuple[Hashable, ...]
    center: Any = 0.0
    spread: Any = 1.0


def moments(variable: xr.Variable, *, deviations: bool = True) -> Moments | None:
    """Return mean and deviation over the sequences of lazy windows; None of any other variable."""
    if variable.chunks is not None:
        origin = origin_of(variable.data)
        dims = (*variable.dims[:-2], variable.dims[-1])
        return origin and Moments(
            *(xr.Variable(dims, part) for part in dask_moments(origin, deviations=deviations))
        )
    source = _source(variable)
    if source is None:
        return None
    sequences, offsets, *rest = source.indices
    parts = accumulate(source.reader, sequences, offsets, tuple(rest), deviations)
    mean, squares, counts = (_shaped(part, source, variable) for part in parts)
    mean = (mean - source.center) / source.spread
    # Whose spread is not known has no value.
    counts = counts * ~np.isnan(source.spread)
    return Moments(mean.transpose(*counts.dims), squares / source.spread**2, counts)


def percentiles(
    variable: xr.Variable, wanted: Sequence[float], *, deviation: bool = False
) -> Percentiles | None:
    """Return percentiles over the sequences of lazy windows; None of any other variable."""
    source = _source(variable)
    if source is None or source.reader.source.ndim != 2:
        return None
    found, spread = window_percentiles(source.reader, source.indices, wanted, deviation=deviation)
    parts = [_shaped(part, source, variable) for part in found]
    return Percentiles(
        [((part - source.center) / source.spread).transpose(*part.dims) for part in parts],
        None if spread is None else _shaped(spread, source, variable) / source.spread,
    )


class WindowVariable(xr.Variable):
    """A variable of windows, whose reductions over sequences read the recording once."""

    __slots__ = ()

    def to_base_variable(self) -> Any:
        """Return it as what is no index: xarray asks for that when it selects by arrays."""
        return self.copy(deep=False)

    def reduce(  # type: ignore[override] # positional, too, as xarray itself calls it
        self,
        func: Any,
        dim: Any = None,
        axis: Any = None,
        keep_attrs: bool | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Reduce by a function, along one dim or several (see :meth:`xarray.Variable.reduce`)."""
        name = reduction_name(func)
        streamed = name and axis is None and not keepdims and self._is_over_sequences(dim)
        found = _reduced(self, str(name), **kwargs) if streamed else None
        if found is None:
            return super().reduce(func, dim, axis, keep_attrs, keepdims, **kwargs)
        return self._like(found, lambda few: few.reduce(func, dim, keep_attrs=keep_attrs, **kwargs))

    def quantile(
        self, q: Any, dim: Any = None, method: Any = "linear", *args: Any, **kwargs: Any
    ) -> Any:
        """Compute quantiles along a dim (see :meth:`xarray.Variable.quantile`)."""
        streamed = method == "linear" and not args and self._is_over_sequences(dim)
        found = _quantiles(self, q, **kwargs) if streamed else None
        if found is None:
            return super().quantile(q, dim, method, *args, **kwargs)
        return self._like(found, lambda few: few.quantile(q, dim, **kwargs))

    def _is_over_sequences(self, dim: Any) -> bool:
        """Whether a reduction is along the sequences of many windows, and along nothing else."""
        dims = [dim] if isinstance(dim, str) or not np.iterable(dim) else list(dim)
        if self.chunks is not None:
            return origin_of(self.data) is not None and dims == [self.dims[-2]]
        source = _source(self)
        return source is not None and dims == [source.dims[0]]

    def _like(
        self, found: xr.Variable, reduce: Callable[[xr.Variable], xr.Variable]
    ) -> xr.Variable:
        """Give what was found the dims, dtype and attributes that xarray would."""
        like = reduce(xr.Variable(self.dims, np.zeros([2] * self.ndim, self.dtype), self.attrs))
        data = found.transpose(*like.dims).astype(like.dtype, copy=False).data
        return xr.Variable(like.dims, data, like.attrs)


def _source(variable: xr.Variable) -> _Source | None:
    windows, *factors = unscaled(variable) or (variable,)
    found = window_reader(windows)
    if found is None or windows.dtype.kind != "f":
        return None
    reader, array = found
    # A part of very many, as one of several groups, is not loaded, either, unless it is small.
    n_bytes = math.prod(reader.shape) * reader.dtype.itemsize
    if n_bytes < LOADED_BYTES or windows.nbytes < LOADED_BYTES / SMALLEST_PART:
        return None
    if isinstance(array.indices[0], int) or any(
        np.ndim(index) > 1 for index in array.indices if not isinstance(index, slice)
    ):
        return None
    # What is divided by 0 is infinite or NaN, value by value; by less, the order turns round.
    if factors and (np.asarray(factors[1]) <= 0).any():
        return None
    dims = [windows.dims[place] for place in np.argsort(array.order)]
    indices = (slice(i, i + 1) if isinstance(i, int) else i for i in array.indices)
    return _Source(reader, tuple(indices), tuple(dims), *factors)


def _shaped(part: np.ndarray[Any, Any], source: _Source, variable: xr.Variable) -> xr.Variable:
    """Return (offset, column, ...) with the dims of the variable that are left, in its order."""
    dims = source.dims[1:]
    found = xr.Variable(dims, part.reshape([variable.sizes[dim] for dim in dims]))
    return found.transpose(*(dim for dim in variable.dims if dim in dims))


def _reduced(
    variable: xr.Variable,
    name: str,
    *,
    skipna: bool | None = None,
    ddof: int = 0,
    min_count: int | None = None,
    **others: Any,
) -> xr.Variable | None:
    """Reduce over sequences; None where that is not done here."""
    if others or min_count is not None or (name == "median" and skipna is False):
        return None
    if name == "median":
        found = percentiles(variable, [50.0])
        return found.percentiles[0] if found else None
    streamed = moments(variable, deviations=name in ("std", "var"))
    if streamed is None:
        return None
    mean, squares, counts = streamed
    if name in ("std", "var"):
        result: xr.Variable = squares / (counts - ddof).where(counts > ddof)
        result = result**0.5 if name == "std" else result
    else:
        result = mean if name == "mean" else (mean * counts).where(counts > 0, 0.0)
    if skipna is False:
        result = result.where(counts * counts.size == variable.size)
    return result


def _quantiles(
    variable: xr.Variable, q: Any, *, skipna: bool | None = None, **others: Any
) -> xr.Variable | None:
    """Compute quantiles over sequences; None where that is not done here."""
    wanted = np.asarray(q)
    usable = (
        wanted.ndim < 2 and wanted.dtype.kind in "iuf" and ((wanted >= 0) & (wanted <= 1)).all()
    )
    if not usable or skipna is False or set(others) - {"keep_attrs"}:
        return None
    found = percentiles(variable, (wanted.ravel() * 100).tolist())
    if found is None:
        return None
    if not wanted.ndim:
        return found.percentiles[0]
    parts = np.stack([part.values for part in found.percentiles])
    return xr.Variable(("quantile", *found.percentiles[0].dims), parts)
