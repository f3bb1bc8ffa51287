"""From an opened session to the references of an index: where its values lie, nothing copied.

What is small is in the index itself. So is of a series what is not stored as it is given: outliers
of running are NaN only once they were read, and the times of a clock may be given by a rate.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.errors import FormatError, listed
from oscaxr.files.chunks import Chunked, Contiguous
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import DatasetReader
from oscaxr.formats.index.allowed import address_of
from oscaxr.formats.index.document import (
    GROUP,
    ZARR_GROUP,
    Described,
    FileState,
    IndexedSession,
)
from oscaxr.formats.index.zarr_arrays import (
    ATTRS,
    LARGE,
    MAX_INLINE_BYTES,
    SMALL,
    References,
    array_documents,
    chunk_key,
    deflated,
    document,
    inline,
)
from oscaxr.model import names as n

CHUNK_BYTES: Final = 2**20
"""Data in one piece are cut into chunks of about this size."""

FINE_CHUNK_BYTES: Final = 2**17
"""And into smaller ones, where some of these have to be in the index."""

FindSeries = Callable[[Hdf5File], Mapping[str, DatasetReader]]
"""Finds what reads the series of a session as a file stores them, by variable."""


class _NotReferableError(Exception):
    """Values are neither stored where a reference can say, nor few enough to be in an index."""


def references_of(ds: xr.Dataset, find_series: FindSeries) -> Described:
    """Return what an index says of a session; all that it cannot say is one error."""
    traces = getattr(innermost(ds[n.DFF].variable), "reader", None) if n.DFF in ds else None
    found = _References(ds)
    stored: dict[str, DatasetReader] = {}
    problems = []
    if isinstance(traces, DatasetReader):
        stored = {**find_series(traces.file), n.DFF: traces}
    else:
        problems.append(f"{n.DFF}: it is not there as an HDF5 file stores it, in the same unit")
    for name in _indexed(ds):
        try:
            if name in stored:
                found.refer(name, stored[name])
            elif name != n.DFF:
                found.add_values(name)
        except _NotReferableError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise FormatError(
            f"{ds.encoding.get('source')} cannot be indexed:{listed(problems)}\nLeave out what is "
            "not needed (drop_variables), or read the file itself."
        )
    coords = {name: ds[name].item() for name in ("session_id", "mouse_id") if name in ds.coords}
    session = IndexedSession(coords.get("session_id"), coords.get("mouse_id"), found.files)
    return session, found.references


def _indexed(ds: xr.Dataset) -> Iterator[str]:
    """Give the variables of a session that an index has, as far as they are there."""
    facts = (str(name) for name, coord in ds.coords.items() if not coord.dims)
    yield from (name for name in (*LARGE, *SMALL, *facts) if name in ds.variables)


class _References:
    """What an index says of one session, as it is gathered."""

    def __init__(self, ds: xr.Dataset) -> None:
        self.ds = ds
        self.files: dict[str, FileState] = {}
        # Plain xarray takes for coordinates what is named here, beside the indexes.
        named = " ".join(
            name for name in _indexed(ds) if name in ds.coords.keys() - ds.xindexes.keys()
        )
        self.references: References = {
            GROUP: document(ZARR_GROUP),
            ATTRS: document({**ds.attrs, "coordinates": named}),
        }

    def add_values(self, name: str) -> None:
        """Add a variable with all of its values."""
        values = self.ds.variables[name].values
        if values.dtype.kind not in "fiubU" or values.nbytes > MAX_INLINE_BYTES:
            raise _NotReferableError(
                f"its values are not stored as they are given, and {values.nbytes} bytes of "
                f"{values.dtype} cannot be in the index itself"
            )
        self._describe(name, values.dtype, values.shape, is_deflated=True)
        self._add(name, (0,) * values.ndim, deflated(np.ascontiguousarray(values).tobytes()))

    def refer(self, name: str, reader: DatasetReader) -> None:
        """Add a variable by where its values lie in a file, as far as they lie there as given."""
        file, storage = reader.file, reader.storage()
        state = file.remote or file.stamp
        if storage is None or state is None:
            raise _NotReferableError(
                f"its data are stored {_how(reader)}, which cannot be referred to"
            )
        # Traces are given as they are stored; they are too many to be compared.
        given = None if name == n.DFF else self.ds.variables[name].values
        stored = None if given is None else reader.whole()
        address = address_of(file.path, is_remote=file.is_remote)
        if isinstance(storage, Contiguous):
            is_stored = self._add_rows(name, storage, (address, state.size), given, stored)
        else:
            is_stored = _same(given, stored)
            if is_stored:
                self._add_chunks(name, storage, address)
        if is_stored:
            self.files[address] = FileState.of(state)
        else:
            self.add_values(name)

    def _add_chunks(self, name: str, storage: Chunked, address: str) -> None:
        self._describe(name, storage.dtype, storage.chunk_shape, is_deflated=storage.deflated)
        for place in product(*map(range, storage.offsets.shape)):
            where = int(storage.offsets[place]), int(storage.sizes[place])
            self._add(name, place, [address, *where])

    def _add_rows(
        self,
        name: str,
        storage: Contiguous,
        file: tuple[str, int],
        given: Array | None,
        stored: Array | None,
    ) -> bool:
        """Add chunks of rows, those that differ with their values; say whether they are few."""
        address, file_size = file
        for most in (CHUNK_BYTES, FINE_CHUNK_BYTES):
            parts = _parts_of(storage, most)
            differ = [not _same(_part(given, part), _part(stored, part)) for part in parts]
            if not any(differ):
                break
        if 2 * sum(differ) > len(differ):
            return False
        rows = parts[0].stop
        n_bytes = rows * storage.row_bytes
        self._describe(name, storage.dtype, (rows, *storage.shape[1:]), is_deflated=False)
        for number, part in enumerate(parts):
            offset = storage.offset + part.start * storage.row_bytes
            value: Any = [address, offset, n_bytes]
            # All chunks are of one size: the last one may go on where no file is.
            if differ[number] or offset + n_bytes > file_size:
                own = np.ascontiguousarray(self.ds.variables[name][part].values)
                value = inline(own.tobytes().ljust(n_bytes, b"\0"))
            self._add(name, (number,) + (0,) * (len(storage.shape) - 1), value)
        return True

    def _describe(
        self, name: str, dtype: np.dtype[Any], chunks: tuple[int, ...], *, is_deflated: bool
    ) -> None:
        variable = self.ds.variables[name]
        documents = array_documents(variable, dtype, chunks, is_deflated=is_deflated)
        self.references |= {f"{name}/{key}": text for key, text in documents.items()}

    def _add(self, name: str, place: tuple[int, ...], value: Any) -> None:
        self.references[f"{name}/{chunk_key(place)}"] = value


def _parts_of(storage: Contiguous, most: int) -> list[slice]:
    """Cut rows into parts of one size, the last one perhaps smaller, of about so many bytes."""
    length = storage.shape[0]
    rows = -(-length // max(1, round(length * storage.row_bytes / most)))
    return [slice(start, min(start + rows, length)) for start in range(0, length, rows)]


def _part(values: Array | None, part: slice) -> Array | None:
    return None if values is None else values[part]


def _same(given: Array | None, stored: Array | None) -> bool:
    """Say whether values are stored as they are given, to the last bit."""
    if given is None or stored is None:
        return given is stored
    same_kind = given.dtype == stored.dtype and given.shape == stored.shape
    return same_kind and given.tobytes() == stored.tobytes()


def _how(reader: DatasetReader) -> str:
    """Say how data are stored that only HDF5 reads."""
    with reader.file.handle() as file:
        creation = file[reader.name].id.get_create_plist()
        filters = [creation.get_filter(i)[3].decode() for i in range(creation.get_nfilters())]
    if filters in ([], ["deflate"]):
        return (
            "in several files, in a type of their own or with chunks that differ in their filters"
        )
    return f"with the filters {', '.join(filters)}"
