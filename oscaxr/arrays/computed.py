"""Arrays that are computed when they are read: once and for all, or from what is read of others."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array, AxisIndex, Once, OrthogonalArray, take_outer
from oscaxr.arrays.xarray_internals import cached, innermost, is_in_memory


class ComputedReader:
    """Reads an array that is one part of a :class:`Once`."""

    def __init__(
        self,
        once: Once,
        shape: tuple[int, ...],
        dtype: Any,
        part: str | None = None,
        *,
        is_quick: bool = False,
    ) -> None:
        self.once = once
        self.part = part
        self.is_quick = is_quick
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        if self.is_quick and not self.once.done and self._is_whole(indices):
            # Whoever reads all of it keeps it: there is no need for a second copy.
            return np.asarray(self.once.function())
        value = self.once() if self.part is None else self.once()[self.part]
        # The kept value is shared by all: nobody may write into it through a view.
        return np.array(take_outer(value, indices))

    def _is_whole(self, indices: tuple[AxisIndex, ...]) -> bool:
        return all(
            isinstance(index, slice) and index.indices(length) == (0, length, 1)
            for index, length in zip(indices, self.shape, strict=True)
        )


def computed(
    once: Once,
    shape: tuple[int, ...],
    dtype: Any,
    part: str | None = None,
    *,
    is_quick: bool = False,
) -> OrthogonalArray:
    """Return a computed array, ready to be the data of a Variable.

    One that is computed as quickly as it is copied is not kept for those who read all of it.
    """
    return OrthogonalArray(ComputedReader(once, shape, dtype, part, is_quick=is_quick))


class ScaledReader:
    """Reads a variable, subtracts and divides: by single values, or by one for each ROI."""

    def __init__(self, source: xr.Variable, center: xr.Variable, spread: xr.Variable) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = np.dtype(np.float64)
        self._factors = Once(partial(_loaded, center, spread))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScaledReader":
        return self

    def __repr__(self) -> str:
        return f"scaled {self.source.dims}"

    @property
    def chunk_shape(self) -> tuple[int, ...] | None:
        """What of the source is stored together, if that is known."""
        data = innermost(self.source)
        return data.chunk_shape if isinstance(data, OrthogonalArray) else None

    def factors(self, indices: tuple[Any, ...]) -> list[xr.Variable]:
        """Return what to subtract and what to divide by at an outer index of the source."""
        by_dim = dict(zip(self.source.dims, indices, strict=True))
        return [one.isel({dim: by_dim[dim] for dim in one.dims}) for one in self._factors()]

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        center, spread = self.factors(indices)
        values = xr.Variable(self.source.dims, np.asarray(self.source[indices].values)) - center
        values /= spread
        return np.asarray(values.values, self.dtype)


def scaled(source: xr.Variable, center: xr.Variable, spread: xr.Variable) -> Any:
    """Return (source - center) / spread as data: lazy where one is, dask where the source is."""
    if source.chunks is not None:
        center, spread = _on_dask(center), _on_dask(spread)
        return ((source - center) / spread).transpose(*source.dims).data
    array = OrthogonalArray(ScaledReader(source, center, spread))
    known = is_in_memory(source) and is_in_memory(center) and is_in_memory(spread)
    return array.get_duck_array() if known else cached(array)


def unscaled(variable: xr.Variable) -> tuple[xr.Variable, xr.Variable, xr.Variable] | None:
    """Return source, center and spread behind a lazily scaled variable, None for any other."""
    data = innermost(variable)
    if not isinstance(data, OrthogonalArray) or not isinstance(data.reader, ScaledReader):
        return None
    if any(np.ndim(index) > 1 for index in data.indices if not isinstance(index, slice)):
        return None
    source = data.reader.source[data.indices]
    renamed = dict(zip([source.dims[axis] for axis in data.order], variable.dims, strict=True))
    parts = [source, *data.reader.factors(data.indices)]
    for part in parts:
        part.dims = tuple(renamed[dim] for dim in part.dims)
    found, center, spread = parts
    return found.transpose(*variable.dims), center, spread


def _loaded(*variables: xr.Variable) -> list[xr.Variable]:
    return [xr.Variable(one.dims, np.asarray(one.values)) for one in variables]


def _on_dask(variable: xr.Variable) -> xr.Variable:
    """Return a lazy variable as one task of a graph; any other as it is."""
    if variable.chunks is not None or is_in_memory(variable):
        return variable
    import dask.array
    from dask.delayed import delayed

    read = delayed(partial(np.asarray, variable), pure=False)()
    return xr.Variable(variable.dims, dask.array.from_delayed(read, variable.shape, variable.dtype))
