"""Files that are read at known places, without the HDF5 library: here, or in ranges of a server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from xarray.backends import CachingFileManager

from oscaxr.arrays.lazy import Array, positions, read_increasing, read_whole, take_outer
from oscaxr.errors import FormatError, OscaxrError, SessionNotFoundError
from oscaxr.files import chunks
from oscaxr.files.chunks import CachedFile, Contiguous, Indices, LocalFile, Storage
from oscaxr.files.contiguous import read_contiguous
from oscaxr.files.hdf5 import Stamp, stamp_of
from oscaxr.files.remote import Place, RemoteFile, RemoteSource, missing_library

if TYPE_CHECKING:
    from oscaxr.files.ranges import RangeFile

MOST_WHOLE: Final = 2**28
"""Bytes of the largest file that is read whole, unless it is known to be of a larger kind."""

# So much of a file here is in memory twice while it is read whole.
_PIECE_BYTES: Final = 4 * 2**20


class DirectFile:
    """A file that is read at known places; picklable, and refused once it is another one."""

    def __init__(self, place: Place, state: Stamp | RemoteSource | None = None) -> None:
        self.place = place
        self.is_remote = isinstance(place, RemoteFile)
        self.path = str(place) if self.is_remote else str(Path(place).resolve())
        # What it was: of a file on this machine its stamp, of one on a server size and ETag.
        self.stamp = state if isinstance(state, Stamp) else None
        self.remote = state if isinstance(state, RemoteSource) else None
        self._manager: CachingFileManager[RangeFile] | None = None
        if self.is_remote:
            self._manager = CachingFileManager(_open_ranges, place, mode="r")

    def __deepcopy__(self, memo: dict[int, Any]) -> "DirectFile":
        return self

    @property
    def size(self) -> int:
        """Size in bytes, as far as known."""
        known = self.remote or self.stamp
        return known.size if known else 0

    def found(self) -> Stamp | RemoteSource:
        """Return what the file is now."""
        if self._manager is None:
            return stamp_of(self.path)
        ranges = self._manager.acquire()
        return ranges.source

    @contextmanager
    def opened(self) -> Iterator[LocalFile | CachedFile]:
        """Open the file, or use what is open; refuse another one that has its name now."""
        if self._manager is None:
            with chunks.opened_unchanged(self.path, self.stamp) as file:
                yield file
            return
        ranges = self._manager.acquire()
        if self.remote not in (None, ranges.source):
            raise FormatError(
                f"{self.path} was replaced on the server since it was opened. Open the session "
                "again to read it as it is now."
            )
        yield CachedFile(self.path, ranges.cache)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of a range."""
        out = np.empty(stop - start, np.uint8)
        with self.opened() as file:
            file.read_into(out, start)
        return out.tobytes()

    def pieces(self, most: int = MOST_WHOLE) -> Iterator[Array]:
        """Give all of a file, piece by piece; from then on, another one is refused."""
        try:
            found = self.found()
            if found.size > most:
                raise FormatError(
                    f"{self.place} is not read: it has {found.size:,} bytes, and of files of its "
                    f"kind no more than {most:,} are read."
                )
            if isinstance(found, Stamp):
                self.stamp = self.stamp or found
            else:
                self.remote = self.remote or found
            with self.opened() as file:
                step = _PIECE_BYTES
                if isinstance(file, CachedFile):
                    step = max(file.cache.capacity, file.cache.blocksize)
                for start in range(0, found.size, step):
                    out = np.empty(min(step, found.size - start), np.uint8)
                    if isinstance(file, CachedFile):
                        file.cache.prefetch([(start, start + len(out))])
                    file.read_into(out, start)
                    yield out
        except OscaxrError:
            raise
        except FileNotFoundError as error:
            raise SessionNotFoundError(f"there is no file {self.place}") from error
        except OSError as error:
            raise FormatError(f"{self.place} cannot be read ({error}).") from error

    def whole(self, most: int = MOST_WHOLE) -> bytes:
        """Return all of a file (see :meth:`pieces`)."""
        content = BytesIO()
        for piece in self.pieces(most):
            content.write(piece.data)
        return content.getvalue()

    def close(self) -> None:
        """Release what is open; reading again opens it again."""
        if self._manager is not None:
            self._manager.close()


def _open_ranges(remote: RemoteFile, mode: str) -> "RangeFile":
    # (Without a mode, the manager does not open again what was pickled.)
    try:
        from oscaxr.files.ranges import RangeFile

        return RangeFile(remote)
    except ImportError as error:
        raise missing_library(remote, error) from error


class StorageReader:
    """Data at a known place of a file, as the source of a lazy array."""

    def __init__(
        self, file: DirectFile, name: str, storage: Storage, replaced: Mapping[int, Array]
    ) -> None:
        # Rows that are not taken from the file, by the number of the first of them.
        self.file = file
        self.name = name
        self.storage = storage
        self.replaced = replaced
        self.shape = storage.shape
        self.dtype = storage.dtype
        self.chunk_shape: tuple[int, ...] | None = None
        if isinstance(storage, chunks.Chunked):
            self.chunk_shape = storage.chunk_shape
        elif file.is_remote:
            self.chunk_shape = chunks.fetched_shape(self.shape, self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> "StorageReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.file.path).name}:{self.name}"

    def read(self, indices: Indices) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        with self.file.opened() as file:
            if isinstance(file, LocalFile) and isinstance(self.storage, Contiguous):
                values = read_contiguous(file, self.storage, indices)
            else:
                values = read_increasing(partial(self._read_increasing, file), indices)
        rows = positions(indices[0], self.shape[0])
        for start, own in self.replaced.items():
            at = np.flatnonzero((rows >= start) & (rows < start + len(own)))
            values[at] = take_outer(own, (rows[at] - start, *indices[1:]))
        return values

    def _read_increasing(self, file: LocalFile | CachedFile, indices: Indices) -> Array:
        read_chunks = partial(self._read_chunks, file)
        if isinstance(file, CachedFile):
            return chunks.read_remote(file.cache, self.storage, indices, read_chunks)
        return read_chunks(indices)

    def _read_chunks(self, file: LocalFile | CachedFile, indices: Indices) -> Array:
        assert isinstance(self.storage, chunks.Chunked)  # what is in one piece is read otherwise
        return chunks.read_chunks(file, self.storage, indices)


def read_together(readers: Sequence[StorageReader]) -> list[Array]:
    """Read some arrays whole; of a server, what they need is fetched at once."""
    for file in {reader.file for reader in readers}:
        with file.opened() as opened:
            if isinstance(opened, CachedFile):
                own = [reader.storage for reader in readers if reader.file is file]
                opened.cache.prefetch(span for one in own for span in _whole_spans(one))
    return [read_whole(reader) for reader in readers]


def _whole_spans(storage: Storage) -> list[tuple[int, int]]:
    return chunks.spans_of(storage, tuple(slice(0, size, 1) for size in storage.shape))
