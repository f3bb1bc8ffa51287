"""Arrays that are read when they are indexed.

An :class:`OrthogonalArray` is the data of an :class:`xarray.Variable` that reads from a
:class:`Reader` (a dataset of a file). It keeps the index of each axis of the source apart, even
when one of them has two dims, as in ``dff.isel(time=frames)`` with ``frames`` of dims (sequence,
rel_time). xarray's own lazy array would broadcast all of them against each other, and for windows
of many ROIs those index arrays cost more than the data.
"""

import os
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, Protocol

import numpy as np

from oscaxr.arrays.xarray_internals import (
    ExplicitIndexer,
    ExplicitlyIndexedNDArrayMixin,
    IndexedOnRead,
    LazilyVectorizedIndexedArray,
    OuterIndexer,
    VectorizedIndexer,
)

Array = np.ndarray[Any, Any]
AxisIndex = slice | Array


class Reader(Protocol):
    """What an :class:`OrthogonalArray` reads from."""

    # It pickles, may be shared between threads, and is immutable.

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices."""
        ...


def read_increasing(
    read: Callable[[tuple[AxisIndex, ...]], Array], indices: tuple[AxisIndex, ...]
) -> Array:
    """Read each position once and in rising order, and put the values where they were asked for."""
    rising: list[AxisIndex] = []
    inverse: list[Array | None] = []
    for index in indices:
        if isinstance(index, np.ndarray) and np.any(np.diff(index) <= 0):
            unique, back = np.unique(index, return_inverse=True)
            rising.append(unique)
            inverse.append(back)
        else:
            rising.append(index)
            inverse.append(None)
    values = read(tuple(rising))
    for axis, positions in enumerate(inverse):
        if positions is not None:
            values = values.take(positions, axis=axis)
    return values


# What is read, where its values go, and which of them.
Run = tuple[slice, slice, AxisIndex]


def runs_of(
    indices: tuple[AxisIndex, ...], shape: Sequence[int], widths: Sequence[int]
) -> list[list[Run]]:
    """Merge each index, in rising order, into runs: rows of the same or the next chunk together."""
    return [_runs_of(*axis) for axis in zip(indices, shape, widths, strict=True)]


def _runs_of(index: AxisIndex, size: int, width: int) -> list[Run]:
    if isinstance(index, slice) and index.step in (None, 1):
        start, stop, _ = index.indices(size)
        length = max(0, stop - start)
        return [(slice(start, start + length), slice(0, length), slice(None))]
    rows = positions(index, size)
    cuts = (np.flatnonzero(np.diff(rows // width) > 1) + 1).tolist()
    runs: list[Run] = []
    for a, b in pairwise([0, *cuts, len(rows)]):
        first, stop = int(rows[a]), int(rows[b - 1]) + 1
        wanted = slice(None) if stop - first == b - a else rows[a:b] - first
        runs.append((slice(first, stop), slice(a, b), wanted))
    return runs


def positions(index: AxisIndex, size: int) -> Array:
    """Return the positions that an index of an axis takes."""
    return np.arange(*index.indices(size)) if isinstance(index, slice) else index


def read_runs(array: Any, runs: list[list[Run]], dtype: np.dtype[Any]) -> Array:
    """Read the outer product of runs of an array that takes slices, and pick from them."""
    out = np.empty([axis[-1][1].stop for axis in runs], dtype)
    parts = list(product(*runs))
    for part in parts:
        covering, target, wanted = zip(*part, strict=True) if part else ((), (), ())
        found = np.asarray(array[covering])
        if len(parts) == 1 and found.shape == out.shape and found.dtype == out.dtype:
            return found
        out[target] = take_outer(found, wanted)
    return out


def read_whole(reader: Reader) -> Array:
    """Read all of an array."""
    return reader.read(tuple(slice(0, size, 1) for size in reader.shape))


def read_rows(array: Any, indices: tuple[AxisIndex, ...], chunks: Sequence[int] | None) -> Array:
    """Read the outer product of indices, in rising order, of a dataset, in runs of rows."""
    # Rows nearer than a chunk are read together: their chunk is inflated anyway.
    nearest = chunks[:1] if chunks else (64,)
    widths = [*nearest, *(max(1, size) for size in array.shape[1:])][: array.ndim]
    return read_runs(array, runs_of(indices, array.shape, widths), array.dtype)


def take_outer(values: Array, indices: tuple[slice | Array, ...]) -> Array:
    """Return the outer product of indices of an array in memory."""
    # The ellipsis keeps an array of no dims an array, and so text as wide as it was.
    slices: list[Any] = [i if isinstance(i, slice) else slice(None) for i in indices]
    values = values[(*slices, ...)]
    for axis, index in enumerate(indices):
        if isinstance(index, np.ndarray):
            values = values[(slice(None),) * axis + (index,)]
    return values


def check_readable(reader: Reader) -> None:
    """Raise what reading would, as far as that shows without the values."""
    getattr(reader, "check", lambda: None)()
    if hasattr(reader, "reader"):
        check_readable(reader.reader)


class OrthogonalArray(ExplicitlyIndexedNDArrayMixin):
    """A lazily indexed array whose axes are indexed independently of each other."""

    def __init__(
        self,
        reader: Reader,
        indices: tuple[Any, ...] | None = None,
        order: tuple[int, ...] | None = None,
    ) -> None:
        self.reader = reader
        whole = tuple(slice(0, size, 1) for size in reader.shape)
        self.indices: tuple[Any, ...] = whole if indices is None else indices
        sizes = list(map(_sizes, self.indices, reader.shape))
        natural = [size for own in sizes for size in own]
        # Which axis of the source each dim is of, before their order is changed.
        self._axes = [axis for axis, own in enumerate(sizes) for _ in own]
        self.order = tuple(range(len(natural))) if order is None else order
        self._shape = tuple(natural[axis] for axis in self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dim."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.reader.dtype

    @property
    def chunk_shape(self) -> tuple[int, ...] | None:
        """What the source stores together, a number a dim of this array, if that is known."""
        stored = getattr(self.reader, "chunk_shape", None)
        if not stored or any(np.ndim(i) > 1 for i in self.indices if not isinstance(i, slice)):
            return None
        natural = [
            int(width)
            for index, width in zip(self.indices, stored, strict=True)
            if isinstance(index, slice) or np.ndim(index)
        ]
        return tuple(natural[axis] for axis in self.order)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OrthogonalArray":
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reader!r}, shape={self.shape})"

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        if isinstance(key, VectorizedIndexer):
            return self._vindex_get(key)
        return self._outer(key.tuple)

    def _oindex_get(self, indexer: OuterIndexer) -> "OrthogonalArray":
        return self._outer(indexer.tuple)

    def _outer(self, key: tuple[Any, ...]) -> "OrthogonalArray":
        by_natural = dict(zip(self.order, key, strict=True))
        indices, kept = [], []
        position = 0
        for index, length in zip(self.indices, self.reader.shape, strict=True):
            n_dims = len(_sizes(index, length))
            local = [by_natural[position + dim] for dim in range(n_dims)]
            kept += [np.ndim(k) != 0 or isinstance(k, slice) for k in local]
            indices.append(_compose(index, local, length))
            position += n_dims
        renumbered = np.cumsum(kept) - 1
        order = tuple(int(renumbered[axis]) for axis in self.order if kept[axis])
        return OrthogonalArray(self.reader, tuple(indices), order)

    def _vindex_get(self, indexer: VectorizedIndexer) -> Any:
        key = indexer.tuple
        arrays = [dim for dim, k in enumerate(key) if isinstance(k, np.ndarray)]
        # An array may index a dim only if that is the only one of its axis.
        if len(arrays) != 1 or self._axes.count(self._axes[self.order[arrays[0]]]) > 1:
            pointwise: Any = _Pointwise(self)
            lazy = LazilyVectorizedIndexedArray(pointwise, indexer)
            # xarray indexes each of these with a later key, as if it had the full shape.
            lazy.key = VectorizedIndexer(tuple(np.broadcast_arrays(*lazy.key.tuple)))
            return lazy
        (dim,) = arrays
        # Basic indexing first, so that only the array remains to be put in place.
        plain = self._outer(tuple(slice(None) if d == dim else k for d, k in enumerate(key)))
        natural = plain.order[dim]
        axis = plain._axes[natural]
        extra = key[dim].ndim - 1
        indices = list(plain.indices)
        indices[axis] = _compose(indices[axis], [key[dim]], plain.reader.shape[axis])
        array_dims = tuple(range(natural, natural + extra + 1))
        rest = tuple(d + extra * (d > natural) for d in plain.order if d != natural)
        # Numpy's rule for vectorised indexing: dims of the array first, sliced ones after.
        return OrthogonalArray(plain.reader, tuple(indices), array_dims + rest)

    def transpose(self, order: Any) -> "OrthogonalArray":
        """Return the array with its dims permuted, still lazy."""
        return OrthogonalArray(self.reader, self.indices, tuple(self.order[axis] for axis in order))

    def get_duck_array(self) -> Array:
        """Read the values."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        flat: list[AxisIndex] = []
        natural: list[int] = []
        flip: list[Any] = []
        for index, length in zip(self.indices, self.reader.shape, strict=True):
            sizes = _sizes(index, length)
            natural += sizes
            flip += [slice(None)] * len(sizes)
            if isinstance(index, slice):
                span = range(*index.indices(length))
                if span.step < 0:
                    span = span[::-1]
                    flip[-1] = slice(None, None, -1)
                flat.append(slice(span.start, span[-1] + 1, span.step))
            elif isinstance(index, np.ndarray):
                flat.append(index.ravel())
            else:
                flat.append(slice(int(index), int(index) + 1, 1))
        values = self.reader.read(tuple(flat))
        return values.reshape(natural)[(*flip, ...)].transpose(self.order)

    async def async_get_duck_array(self) -> Array:
        """Read the values; files are not read asynchronously, so this waits."""
        return self.get_duck_array()


class Once:
    """A value that is computed on first use and then kept; picklable, thread-safe."""

    def __init__(self, function: Callable[[], Any], *, in_each_process: bool = False) -> None:
        # In a process that is forked from this one, threads are missing and open files are shared.
        self.function = function
        self.in_each_process = in_each_process
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._value: Any = None
        self._done = False

    def __call__(self) -> Any:
        """Return the value, computing it the first time."""
        if self._process != os.getpid():
            # A thread that is missing here may have held the lock.
            self._lock, self._process = threading.Lock(), os.getpid()
            self._done = self._done and not self.in_each_process
        with self._lock:
            if not self._done:
                self._value = self.function()
                self._done = True
        return self._value

    @property
    def done(self) -> bool:
        """Whether the value has been computed."""
        return self._done

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function, "in_each_process": self.in_each_process}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Once.__init__(self, **state)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Once":
        return self


class _Pointwise(IndexedOnRead):
    """Answers pointwise (truly vectorised) keys, by reading the smallest outer product."""

    def __init__(self, array: OrthogonalArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def _read(self, key: tuple[Any, ...]) -> Array:
        return self.array._outer(key).get_duck_array()


def _sizes(index: Any, length: int) -> list[int]:
    if isinstance(index, slice):
        return [len(range(*index.indices(length)))]
    return list(np.shape(index))


def _compose(index: Any, key: list[Any], length: int) -> Any:
    """Apply a key, one element a dim of the index, to the index of an axis."""
    if not key:
        return index
    if isinstance(index, slice):
        span = range(*index.indices(length))
        (k,) = key
        if isinstance(k, slice):
            return _as_slice(span[k])
        positions = np.asarray(k)
        if positions.size and (positions.min() < -len(span) or positions.max() >= len(span)):
            raise IndexError(f"index out of range for a dim of size {len(span)}")
        positions = np.where(positions < 0, positions + len(span), positions)
        composed = span.start + positions * span.step
        return int(composed) if np.ndim(k) == 0 else composed
    for dim in reversed(range(len(key))):
        index = index[(slice(None),) * dim + (key[dim],)]
    return index


def _as_slice(span: range) -> slice:
    stop = span.stop if span.stop >= 0 else None
    return slice(span.start, stop, span.step) if len(span) else slice(0, 0, 1)


class ArrayReader:
    """A reader of an array in memory, for what is computed from whole arrays."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`Reader`)."""
        return np.array(take_outer(self.array, indices))


class ReshapedRows:
    """A reader whose first axis is split in two: (group, row in group, ...)."""

    def __init__(self, reader: Reader, group: int) -> None:
        self.reader = reader
        self.group = group
        self.shape = (reader.shape[0] // group, group, *reader.shape[1:])
        self.dtype = reader.dtype

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`Reader`)."""
        first, second = (
            positions(index, size) for index, size in zip(indices[:2], self.shape[:2], strict=True)
        )
        rows = (first[:, None] * self.group + second).ravel()
        values = self.reader.read((rows, *indices[2:]))
        return values.reshape(len(first), len(second), *values.shape[1:])
