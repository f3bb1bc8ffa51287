"""Files on a server that is asked over HTTP: by ranges of bytes, again where that may help.

Requests are made in the thread that reads (see :mod:`oscaxr.files.ranges`).
"""

from collections.abc import Mapping

import requests

from oscaxr.errors import FormatError, RemoteError, SessionNotFoundError
from oscaxr.files import http
from oscaxr.files.patience import PassingError, Patience
from oscaxr.files.range_cache import CONNECTIONS
from oscaxr.files.remote import RemoteFile, RemoteSource


class HttpServer:
    """A server, and the connections to it."""

    def __init__(self, home: RemoteFile) -> None:
        options = home.options
        self.patience = Patience(
            options.get("retries", 5), options.get("retry_wait", 0.5), options.get("deadline", 300)
        )
        self.client = http.Client(
            self.patience,
            options.get("timeout", 30.0),
            home=home.url,
            headers=options.get("headers"),
            auth=options.get("auth"),
            connections=CONNECTIONS,
        )

    def open(self, remote: RemoteFile, n_bytes: int) -> "HttpRanges":
        """Ask for the first bytes of a file, which tells its size and state."""
        return HttpRanges(self, remote, n_bytes)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class HttpRanges:
    """A file on a server, of which ranges are asked for."""

    def __init__(self, server: HttpServer, remote: RemoteFile, n_bytes: int) -> None:
        self._client = server.client
        self._patience = server.patience
        self._url = remote.url
        self.n_requests = 0
        self.n_bytes = 0
        # Where the URL leads to: archives redirect to where the bytes are, for some time.
        self._target = self._url
        self._version = http.Version("", "")
        self._condition: Mapping[str, str] = {}
        self.source = RemoteSource(str(remote), -1, "")
        self.head = self.read(0, n_bytes)

    def read(self, start: int, stop: int) -> bytes:
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
