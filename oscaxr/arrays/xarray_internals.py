"""The parts of xarray that are not public, in one place: the only module that imports them.

Lazy arrays, the locks of the file libraries and what holds the values of a variable have no public
form in xarray. Should a release of xarray change them, this is what has to follow.
"""

import asyncio
import os
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.backends.locks import HDF5_LOCK as HDF5_LOCK
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK
from xarray.core import duck_array_ops
from xarray.core.indexing import (
    CopyOnWriteArray,
    MemoryCachedArray,
    NumpyIndexingAdapter,
    PandasIndexingAdapter,
    explicit_indexing_adapter,
)
from xarray.core.indexing import ExplicitIndexer as ExplicitIndexer
from xarray.core.indexing import ExplicitlyIndexedNDArrayMixin as ExplicitlyIndexedNDArrayMixin
from xarray.core.indexing import IndexingSupport as IndexingSupport
from xarray.core.indexing import LazilyIndexedArray as LazilyIndexedArray
from xarray.core.indexing import LazilyVectorizedIndexedArray as LazilyVectorizedIndexedArray
from xarray.core.indexing import OuterIndexer as OuterIndexer
from xarray.core.indexing import VectorizedIndexer as VectorizedIndexer

NETCDF_LOCK = NETCDF4_PYTHON_LOCK

if hasattr(os, "register_at_fork"):
    # A process that is forked while another thread reads would wait for that thread for ever.
    os.register_at_fork(
        before=NETCDF_LOCK.acquire,  # that of HDF5 is part of it
        after_in_parent=NETCDF_LOCK.release,
        after_in_child=NETCDF_LOCK.release,
    )


class IndexedOnRead(BackendArray):
    """A lazy array whose subclass reads outer products (or what its support says)."""

    support: ClassVar[IndexingSupport] = IndexingSupport.OUTER
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, self.support, self._read)

    async def async_getitem(self, key: ExplicitIndexer) -> Any:
        """Read in a thread: `load_async` then waits for many variables at once."""
        return await asyncio.to_thread(self.__getitem__, key)

    def _read(self, key: tuple[Any, ...]) -> Any:
        """Return the values at a key: one integer, slice or (OUTER) array of integers a dim."""
        raise NotImplementedError


def cached(array: Any) -> MemoryCachedArray:
    """Return a lazy array that keeps what was read, and may then be written to."""
    return MemoryCachedArray(CopyOnWriteArray(array))


def data_of(variable: xr.Variable) -> Any:
    """Return what holds the values of a variable, without reading any."""
    return variable._data


def innermost(variable: xr.Variable) -> Any:
    """Return what holds the values of a variable, below xarray's wrappers."""
    data = data_of(variable)
    while isinstance(data, MemoryCachedArray | CopyOnWriteArray | NumpyIndexingAdapter):
        data = data.array
    return data


def is_in_memory(variable: xr.Variable) -> bool:
    """Whether the values are there, so that no file is read for them."""
    data = innermost(variable)
    return variable.chunks is None and isinstance(data, np.ndarray | PandasIndexingAdapter)


_REDUCTIONS = ("mean", "sum", "std", "var", "median")


def reduction_name(function: Any) -> str | None:
    """Return which of xarray's own reductions this is, None for any other function."""
    return next(
        (name for name in _REDUCTIONS if function is getattr(duck_array_ops, name, None)), None
    )


def with_variable(array: xr.DataArray, variable: xr.Variable) -> xr.DataArray:
    """Return an array with a variable as it is: a subclass stays one, lazy data stay lazy."""
    return array._replace(variable=variable)
