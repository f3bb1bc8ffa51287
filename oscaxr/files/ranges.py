"""A file on a server, read in ranges, as a file object for the HDF5 library.

Over HTTP, requests are made in the thread that reads. fsspec's own files make them in a thread of
their own, which can hang for ever: the HDF5 library waits for that thread with its lock held, and
the thread may come to collect garbage that needs the lock (see the note on file-like objects in
h5py's documentation of files, and h5py issue 2019). Of stores that only fsspec reaches, nothing is
collected meanwhile (see :mod:`oscaxr.files.object_ranges`).
"""

import atexit
from typing import Any, Protocol
from weakref import WeakValueDictionary

import h5py
from fsspec.spec import AbstractBufferedFile

from oscaxr.errors import FormatError
from oscaxr.files.range_cache import RangeCache
from oscaxr.files.remote import BLOCK_SIZE, CACHE_SIZE, RemoteFile, RemoteSource


class Ranges(Protocol):
    """A file on a server, of which ranges are asked for; by several threads at a time."""

    source: RemoteSource
    """What it is: where, of which size, in which state."""
    head: bytes
    """Its first bytes."""
    n_requests: int
    n_bytes: int

    def read(self, start: int, stop: int) -> bytes:
        """Return a range of it; an error if it is not the file any more that was opened."""


class Server(Protocol):
    """What files are asked of."""

    def open(self, remote: RemoteFile, n_bytes: int) -> Ranges:
        """Ask for the first bytes of a file, which tells its size and state."""

    def close(self) -> None:
        """Close the connections."""


def server_of(remote: RemoteFile) -> Server:
    """Return the server of a file; the libraries that it takes are imported here."""
    if remote.is_http:
        from oscaxr.files.http_ranges import HttpServer

        return HttpServer(remote)
    from oscaxr.files.object_ranges import ObjectServer

    return ObjectServer(remote)


class RangeFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file on a server, opened for reading."""

    def __init__(self, remote: RemoteFile) -> None:
        options = remote.options
        block_size = int(options.get("block_size", BLOCK_SIZE))
        self._server = server_of(remote)
        try:
            self.ranges = self._server.open(remote, block_size)
        except BaseException:
            self._server.close()
            raise
        self.source = self.ranges.source
        # What it is called is shown, by h5py too.
        super().__init__(
            None, str(remote), block_size=block_size, size=self.source.size, cache_type="none"
        )
        cache_size = int(options.get("cache_size", CACHE_SIZE))
        self.cache = RangeCache(block_size, self.ranges.read, self.source.size, cache_size)
        self.cache.put(0, self.ranges.head)

    def close(self) -> None:
        """Close the connections and forget what was read."""
        self._server.close()
        if self.cache is not None:
            self.cache.close()
        super().close()


_open: "WeakValueDictionary[int, StreamedFile]" = WeakValueDictionary()


class StreamedFile(h5py.File):  # type: ignore[misc] # h5py has no types
    """An open HDF5 file on a server."""

    def __init__(self, remote: RemoteFile, **options: Any) -> None:
        self.ranges = RangeFile(remote)
        try:
            super().__init__(self.ranges, "r", **options)
        except BaseException:
            self.ranges.close()
            raise
        _open[id(self)] = self

    def same_as(self, expected: RemoteSource | None) -> RemoteSource:
        """Return what the server says that the file is, the same as before."""
        found = self.ranges.source
        if expected not in (None, found):
            raise FormatError(
                f"{found.url} was replaced on the server since it was opened. Open the session "
                "again to read it as it is now."
            )
        return found

    def close(self) -> None:
        """Close the file and its connections."""
        super().close()
        self.ranges.close()


def _close_all() -> None:
    for file in list(_open.values()):
        file.close()


# The HDF5 library closes what is open when the process ends, too late to call Python.
atexit.register(_close_all)
