"""Datasets of an HDF5 file: checked as a layout asks, and as the sources of lazy arrays."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, Once, Reader, read_increasing, read_rows, read_whole
from oscaxr.errors import FormatError, UnsafeLinkError, listed
from oscaxr.files import chunks
from oscaxr.files.chunks import Indices, Storage
from oscaxr.files.contiguous import read_contiguous
from oscaxr.files.hdf5 import Hdf5File, check_written, remedy_for

# Ways to write the units that are expected, and words of which other known units are made. What
# is neither ("1", "a.u.", "unknown") says nothing.
_SAME: Final = {
    word: words[0]
    for words in (
        ("s", "sec", "secs", "second", "seconds"),
        ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
        ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
        ("dff", "df/f", "ratio", "fraction"),
    )
    for word in words
}
_KNOWN_WORDS: Final = frozenset(
    {"ms", "millisecond", "milliseconds", "us", "microsecond", "microseconds"}
    | {"min", "minute", "minutes", "h", "hr", "hour", "hours"}
    | {"frame", "frames", "sample", "samples", "hz", "px", "pixel", "pixels"}
    | {"%", "percent", "v", "volt", "volts"}
    | {"m", "meter", "meters", "metre", "metres"}
    | {"um", "micrometer", "micrometers", "micron", "microns"}
    | {"km", "kilometer", "kilometers", "mile", "miles", "mph", "kmh"}
    | {"in", "inch", "inches", "ft", "foot", "feet", "yard", "yards"}
    | {"deg", "degree", "degrees", "rad", "radian", "radians"}
    | {"turn", "turns", "rotation", "rotations", "rpm"}
).union(_SAME.values())

NUMBERS: Final = "fiub"
TEXT: Final = "t"
"""Kinds of datasets: codes of numpy's for numbers, and ours for text however it is stored."""


class Source:
    """One open HDF5 file of a known layout; collects what is wrong with it."""

    def __init__(
        self, file: Hdf5File, handle: h5py.File, kind: str, dropped: Collection[str] = ()
    ) -> None:
        self.file = file
        self.handle = handle
        self.kind = kind
        self.dropped = dropped
        """Names of variables that are left out."""
        self.problems: list[str] = []
        self._broken: set[str] = set()
        self._items: dict[str, Any] = {}
        self._conversions: dict[h5py.Dataset, tuple[float, float]] = {}

    def get(self, path: str) -> Any:
        """Return a group or dataset, or None where there is none; note links that lead nowhere."""
        if path in self._broken:
            return None
        try:
            if path not in self._items:
                self._items[path] = self.file.get(self.handle, path)
            return self._items[path]
        except UnsafeLinkError:
            raise
        except FormatError as error:
            self._broken.add(path)
            self.problems.append(str(error).removeprefix(f"{self.file.path}: "))
            return None

    def text(self, path: str) -> str:
        """Return one text, empty where there is none."""
        item = self.get(path)
        if isinstance(item, h5py.Group):
            self.problems.append(f"{path} should be a text, but is a group")
            return ""
        is_one = item is not None and item.shape is not None and item.size == 1
        return as_words(self.read(item))[0] if is_one else ""

    def need(self, path: str, what: str) -> Any:
        """Return a group or dataset; note a problem where there is none."""
        item = self.get(path)
        if item is None and path not in self._broken:
            self.problems.append(f"{path} is missing ({what})")
        return item

    def array(
        self,
        path: str,
        what: str,
        shape: Sequence[int | None],
        *,
        required: bool = True,
        kinds: str = NUMBERS,
        unit: str = "",
    ) -> h5py.Dataset | None:
        """Return a numeric dataset of a given shape; note a problem where it is not that."""
        item = self.need(path, what) if required else self.get(path)
        if item is None:
            return None
        problem = _unfit(item, shape, kinds)
        if problem:
            self.problems.append(f"{path} {problem} ({what})")
            return None
        if unit or path.endswith("data"):
            self._check_unit(item, path, unit)
        return item

    def _check_unit(self, item: h5py.Dataset, path: str, unit: str) -> None:
        factor, offset = self._conversion(item)
        if not np.isfinite(offset) or not 0 < abs(factor) < np.inf:
            self.problems.append(f"{path} has a conversion or an offset that is no number, or 0")
        stated = np.ravel(item.attrs.get("unit", ""))
        if stated.size != 1 or not isinstance(stated[0], str | bytes):
            self.problems.append(f"{path} has a unit that is no word: {stated.tolist()}")
            return
        stored = _word(stated[0]).strip()
        plain = _plain_unit(stored)
        is_known = _KNOWN_WORDS.issuperset(plain.split("/"))
        if unit and is_known and plain != _plain_unit(unit):
            self.problems.append(
                f"{path} is in {stored}, where {unit} is expected: convert the values, or mend the "
                "attribute if only that is wrong"
            )

    def _conversion(self, dataset: h5py.Dataset) -> tuple[float, float]:
        """Return what the values of a time series are multiplied by, and what is then added."""
        if dataset not in self._conversions:
            words = ("conversion", 1.0), ("offset", 0.0)
            factor, offset = (_number(dataset.attrs.get(word, usual)) for word, usual in words)
            self._conversions[dataset] = factor, offset
        return self._conversions[dataset]

    def reader(self, dataset: h5py.Dataset) -> Reader:
        """Return what reads a dataset, in the unit that the file states."""
        reader = DatasetReader(self.file, dataset)
        factor, offset = self._conversion(dataset)
        return reader if (factor, offset) == (1.0, 0.0) else Converted(reader, factor, offset)

    def must(
        self, path: str, what: str, shape: Sequence[int | None], kinds: str = NUMBERS
    ) -> h5py.Dataset:
        """Return a dataset without which nothing more can be told (see :meth:`array`)."""
        dataset = self.array(path, what, shape, kinds=kinds)
        if dataset is None:
            self.finish()
        return dataset

    def values(
        self,
        path: str,
        what: str,
        shape: Sequence[int | None],
        *,
        required: bool = True,
        unit: str = "",
    ) -> Array | None:
        """Read a small numeric dataset whole, in the unit that is stated (see :meth:`array`)."""
        dataset = self.array(path, what, shape, required=required, unit=unit)
        if dataset is None:
            return None
        values = self.read(dataset)
        return _converted(values, *self._conversion(dataset)) if unit else values

    def clock(self, path: str, what: str) -> Array | None:
        """Read the times of a clock; note a problem where they do not increase."""
        times = self.values(path, what, (None,), unit="s")
        if times is None:
            return None
        increases = times[1:] > times[:-1]
        if not increases.all():
            back = np.flatnonzero(~increases)
            self.problems.append(
                f"{path} does not increase at {back.size} place(s), first at frame {back[0] + 1} "
                f"({times[back[0]]:.4f} s, then {times[back[0] + 1]:.4f} s)"
            )
        elif len(times) < 2 or np.isinf(times[[0, -1]]).any():
            found = {0: "is missing: it holds no time", 1: "holds one time only"}
            self.problems.append(f"{path} {found.get(len(times), 'holds infinite times')} ({what})")
        else:
            return times.astype(np.float64, copy=False)
        return None

    @contextmanager
    def part(self, variable: str) -> Iterator[None]:
        """Forget what is wrong with a variable that is left out."""
        known = len(self.problems)
        try:
            yield
        except FormatError:
            if variable not in self.dropped:
                raise
        if variable in self.dropped:
            del self.problems[known:]

    def read(self, dataset: h5py.Dataset) -> Array:
        """Read a dataset whole, naming it should the file be damaged there."""
        return _values(self.file, dataset)

    def finish(self) -> None:
        """Raise all problems that were found, at once."""
        if self.problems:
            raise FormatError(f"{self.file.path} is not {self.kind}:{listed(self.problems)}")


def _values(file: Hdf5File, dataset: h5py.Dataset) -> Array:
    """Read a dataset whole, naming it should the file be damaged there."""
    check_written(file.path, dataset, file.size)
    try:
        values = np.asarray(dataset[()])
        # Text of a fixed width may be filled up with blanks.
        return np.char.rstrip(values, b" \0") if values.dtype.kind == "S" else values
    except (OSError, MemoryError) as error:
        raise FormatError(
            f"{file.path}: cannot read {dataset.name} ({error}). {remedy_for(error)}"
        ) from error


def _unfit(item: h5py.Dataset | h5py.Group, shape: Sequence[int | None], kinds: str) -> str:
    """Say why an item is no dataset of numbers of a given shape; empty where it is one."""
    if not isinstance(item, h5py.Dataset):
        return "should be a dataset, but is a group"
    found, dtype = item.shape, item.dtype
    if found is None:
        return "is empty: it holds no data"
    kind = TEXT if h5py.check_string_dtype(dtype) else dtype.kind
    if kind not in kinds:
        return f"should hold numbers{' or text' if TEXT in kinds else ''}, but is {dtype}"
    fits = len(found) == len(shape) and all(
        want is None or have == want for have, want in zip(found, shape, strict=True)
    )
    expected = ", ".join("any" if size is None else str(size) for size in shape)
    return "" if fits else f"has shape {found}, where ({expected}) was expected"


@contextmanager
def open_source(file: Hdf5File, kind: str, dropped: Collection[str] = ()) -> Iterator[Source]:
    """Open a file to read the layout from, and raise all of its problems at the end."""
    with file.handle() as handle:
        source = Source(file, handle, kind, dropped)
        yield source
        source.finish()


def as_words(values: Array) -> list[str]:
    """Return the values of an array as texts."""
    return list(map(_word, values.ravel().tolist()))


def _word(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@lru_cache
def _plain_unit(unit: str) -> str:
    """Write a unit in the one way: quotients with a slash, short words, no capitals."""
    words = re.sub(r"\s*/\s*| per ", "/", unit.lower())
    words = re.sub(r"[ *.·](\w+)(?:\^?-1|⁻¹)$", r"/\1", words)
    return _SAME.get(words) or "/".join(_SAME.get(word, word) for word in words.split("/"))


def _number(stated: Any) -> float:
    """Return an attribute that should be one number, NaN where it is not."""
    value = np.asarray(stated)
    return float(value.item()) if value.size == 1 and value.dtype.kind in NUMBERS else np.nan


def _converted(values: Array, factor: float, offset: float) -> Array:
    return values if (factor, offset) == (1.0, 0.0) else values * factor + offset


class Converted:
    """Reads values in the unit that a file states, which it stores by a factor and an offset."""

    def __init__(self, reader: Reader, factor: float, offset: float) -> None:
        self.reader = reader
        self.factor = factor
        self.offset = offset
        self.shape = reader.shape
        self.dtype = np.result_type(reader.dtype, 1.0)
        self.chunk_shape = getattr(reader, "chunk_shape", None)

    def read(self, indices: Indices) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return _converted(self.reader.read(indices), self.factor, self.offset)


class DatasetReader:
    """A numeric dataset of a file, as the source of a lazy array."""

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.file = file.holder(dataset)
        self.name = str(dataset.name)
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.chunk_shape: tuple[int, ...] | None = dataset.chunks
        if self.file.is_remote and dataset.chunks is None:
            self.chunk_shape = chunks.fetched_shape(self.shape, self.dtype)
        # Not a bound method: a reader that refers to itself lives until garbage is collected.
        self._storage = Once(partial(_find_storage, self.file, self.name))

    def __deepcopy__(self, memo: dict[int, Any]) -> "DatasetReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.file.path).name}:{self.name}"

    def check(self) -> None:
        """Raise what reading would, as far as that shows without the values."""
        self.storage()

    def storage(self) -> Storage | None:
        """Return where the data lie in the file; None where HDF5 alone can read them."""
        found: Storage | None = self._storage()
        return found

    def read(self, indices: Indices) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        storage = self.storage()
        if isinstance(storage, chunks.Contiguous) and not self.file.is_remote:
            with chunks.opened_unchanged(self.file.path, storage.stamp) as file:
                return read_contiguous(file, storage, indices)
        return read_increasing(partial(self._read_increasing, storage), indices)

    def whole(self) -> Array:
        """Read all of it at once: the quickest for what is small."""
        if self.file.is_remote:
            return read_whole(self)
        with self.file.handle() as file:
            return _values(self.file, file[self.name])

    def _read_increasing(self, storage: Storage | None, indices: Indices) -> Array:
        if storage is not None and self.file.is_remote:
            with self.file.handle() as file:
                cache = file.ranges.cache
            return chunks.read_remote(cache, storage, indices, self.read_through_hdf5)
        if isinstance(storage, chunks.Chunked):
            with chunks.opened_unchanged(self.file.path, storage.stamp) as file:
                return chunks.read_chunks(file, storage, indices)
        return self.read_through_hdf5(indices)

    def read_through_hdf5(self, indices: Indices) -> Array:
        """Read slices that cover the indices with h5py, in runs of rows."""
        with self.file.handle() as file:
            return read_rows(file[self.name], indices, self.chunk_shape)


def _find_storage(file: Hdf5File, name: str) -> Storage | None:
    with file.handle() as handle:
        check_written(file.path, handle[name], file.size)
        return chunks.find_storage(handle[name], file.stamp)
