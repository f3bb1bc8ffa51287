"""A file on a server, read in ranges, as a file object for the HDF5 library.

Requests are made in the thread that reads. fsspec's own HTTP files make them in a thread of their
own, which can hang for ever: the HDF5 library waits for that thread with its lock held, and the
thread may come to collect garbage that needs the lock (see the note on file-like objects in h5py's
documentation of files, and h5py issue 2019).
"""

import atexit
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

import h5py
import requests
from fsspec.spec import AbstractBufferedFile

from oscaxr.errors import FormatError, RemoteError, SessionNotFoundError
from oscaxr.files import http
from oscaxr.files.patience import PassingError, Patience
from oscaxr.files.range_cache import CONNECTIONS, RangeCache
from oscaxr.files.remote import BLOCK_SIZE, CACHE_SIZE, RemoteFile, RemoteSource


class RangeFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file on a server, opened for reading."""

    def __init__(self, remote: RemoteFile) -> None:
        options = remote.options
        self._url = remote.url
        self.n_requests = 0
        self.n_bytes = 0
        self._patience = Patience(
            options.get("retries", 5), options.get("retry_wait", 0.5), options.get("deadline", 300)
        )
        self._client = http.Client(
            self._patience,
            options.get("timeout", 30.0),
            home=remote.url,
            headers=options.get("headers"),
            auth=options.get("auth"),
            connections=CONNECTIONS,
        )
        # Where the URL leads to: archives redirect to where the bytes are, for some time.
        self._target = self._url
        self._version = http.Version("", "")
        self._condition: Mapping[str, str] = {}
        self.source = RemoteSource(str(remote), -1, "")
        block_size = int(options.get("block_size", BLOCK_SIZE))
        try:
            head = self._request(0, block_size)
        except BaseException:
            self._client.close()
            raise
        # What it is called is shown, by h5py too.
        super().__init__(
            None, str(remote), block_size=block_size, size=self.source.size, cache_type="none"
        )
        cache_size = int(options.get("cache_size", CACHE_SIZE))
        self.cache = RangeCache(block_size, self._request, self.source.size, cache_size)
        self.cache.put(0, head)

    def close(self) -> None:
        """Close the connections and forget what was read."""
        self._client.close()
        if self.cache is not None:
            self.cache.close()
        super().close()

    def _request(self, start: int, stop: int) -> bytes:
        """Ask for a range, again where that may help."""

        def gave_up(reason: str) -> RemoteError:
            return RemoteError(
                f"could not read bytes {start} to {stop} of {self.source.url}: {reason}. Check the "
                "connection and try again, or download the file (oscaxr download) and open that."
            )

        return self._patience.insist(lambda: self._once(start, stop), gave_up)

    def _once(self, start: int, stop: int) -> bytes:
        self.n_requests += 1
        target, condition = self._target, self._condition
        headers = {"Range": f"bytes={start}-{stop - 1}", **condition}
        with self._client.answer(target, headers) as response:
            if response.status_code in (401, 403, 404, 410) and target != self._url:
                # What the archive redirected to is valid for some time only.
                self._target = self._url
                raise PassingError(f"the server answered {http.status_of(response)}")
            self._check(response, start, stop, condition)
            expected = min(stop, self.source.size) - start
            data = bytearray()
            for piece in self._client.pieces(response):
                data += piece
                self.n_bytes += len(piece)
                if len(data) > expected:
                    break
            if len(data) != expected:
                raise PassingError(f"{len(data)} bytes came where {expected} were asked for")
            self._target = str(response.url)
        return bytes(data)

    def _check(
        self, response: requests.Response, start: int, stop: int, condition: Mapping[str, str]
    ) -> None:
        """Check that an answer is the range asked for, of the file that was opened."""
        self._check_status(response, start)
        part, version = http.part_of(response), http.Version.of(response)
        is_first = self.source.size < 0
        if not is_first and (
            (part is not None and part.total != self.source.size)
            or not self._version.is_in(version)
        ):
            raise self._changed("it was replaced")
        if response.status_code == 200 and condition:
            # It is the same, for all that it says: this server does not know conditions.
            self._condition = {}
            raise PassingError("the server answered with the whole file")
        if part is None or response.status_code == 200:
            raise RemoteError(
                f"the server of {self.source.url} does not serve ranges of files (it answered "
                f"{http.status_of(response)}), so its parts cannot be read without the whole. "
                "Download the file (oscaxr download, or any other way) and open that."
            )
        if (part.start, part.stop) != (start, min(stop, part.total)):
            raise PassingError(
                f"bytes {part.start} to {part.stop} of {part.total} came in place of those"
            )
        if is_first:
            self.source = RemoteSource(self.source.url, part.total, str(version))
            self._version, self._condition = version, version.condition

    def _check_status(self, response: requests.Response, start: int) -> None:
        code, status = response.status_code, http.status_of(response)
        if code in (404, 410):
            raise SessionNotFoundError(
                f"there is no file at {self.source.url} (the server answered {status}). Check the "
                "URL."
            )
        if code in (401, 403):
            raise RemoteError(
                f"the server does not give {self.source.url} ({status}). If it needs a login, give "
                "it: storage_options={'headers': {'Authorization': ...}} or {'auth': (user, word)}."
            )
        if code == 416 and start:
            raise self._changed(f"it has become shorter (the server answered {status})")
        if code == 416 or (code == 200 and response.headers.get("Content-Length") == "0"):
            raise FormatError(
                f"{self.source.url} is empty: the server answered {status}, and no bytes. Check "
                "the URL."
            )
        if code not in (200, 206):
            raise RemoteError(
                f"the server answered {status} for {self.source.url}, which is not a file. Check "
                "the URL."
            )

    def _changed(self, what: str) -> FormatError:
        return FormatError(
            f"{self.source.url}: {what} on the server. Open the session again to read it as it is "
            "now."
        )


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
