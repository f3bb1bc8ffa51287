"""A server on this machine with the interface of the DANDI archive, which can be made to fail.

It answers as ``api.dandiarchive.org`` does, as far as the client asks: server information, the
versions of a dandiset, pages of assets, an asset's metadata, and its download, which redirects to
a signed place of the blob, as on S3. Blobs are served in ranges.
"""

import hashlib
import json
import mmap
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_URL, uuid5

WHEN = "2024-02-09T16:23:00.000000Z"


@dataclass
class Blob:
    """A file of the archive: its asset path, where its bytes are, what its metadata say."""

    path: str
    file: Path
    identifier: str
    digests: dict[str, str]
    size: int

    @property
    def blob_id(self) -> str:
        return str(uuid5(NAMESPACE_URL, "blob" + self.path))


def digests_of(file: Path) -> dict[str, str]:
    """Return the digests that the archive gives; the etag as S3 makes it of one part."""
    data = file.read_bytes()
    etag = hashlib.md5(hashlib.md5(data).digest()).hexdigest() + "-1"
    return {"dandi:sha2-256": hashlib.sha256(data).hexdigest(), "dandi:dandi-etag": etag}


@dataclass
class ArchiveServer:
    """The server, what it holds, what it was asked, and how it is to fail."""

    version: str = "0.240209.1623"
    page_size: int = 100
    blobs: list[Blob] = field(default_factory=list)
    #: Requests for blobs: (path, range header or "", status).
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    sent: int = 0
    #: How the next requests for blobs go wrong, one each; a fault in `always` is for all of them.
    faults: list[str] = field(default_factory=list)
    always: str = ""
    api_fault: int = 0
    api_asked: int = 0
    needs: dict[str, str] = field(default_factory=dict)
    etag: str = '"one"'

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.archive = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.api = f"{self.url}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, path: str, file: Path, digests: dict[str, str] | None = None) -> str:
        """Add a file; return the URL of its blob."""
        blob = Blob(
            path,
            file,
            str(uuid5(NAMESPACE_URL, path)),
            digests_of(file) if digests is None else digests,
            file.stat().st_size,
        )
        self.blobs.append(blob)
        return f"{self.url}/blobs/{blob.blob_id}/{file.name}"

    def download_url(self, path: str) -> str:
        blob = next(blob for blob in self.blobs if blob.path == path)
        return f"{self.api}/assets/{blob.identifier}/download/"

    def reset(self, faults: Iterable[str] = (), always: str = "") -> None:
        self.asked.clear()
        self.sent = 0
        self.faults = list(faults)
        self.always = always
        self.api_fault = 0
        self.api_asked = 0
        self.needs = {}
        self.etag = '"one"'

    def count(self, path: str, asked: str, status: int, sent: int) -> None:
        with self._lock:
            self.asked.append((path, asked, status))
            self.sent += sent

    def next_fault(self) -> str:
        with self._lock:
            return self.always or (self.faults.pop(0) if self.faults else "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise each answer waits 40 ms for the reader's acknowledgement of its headers.
    disable_nagle_algorithm = True
    wbufsize = 2**16

    @property
    def archive(self) -> ArchiveServer:
        return self.server.archive  # type: ignore[attr-defined]

    def finish(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has gone
            super().finish()

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        try:
            if parts.path.startswith("/blobs/"):
                self.send_blob(parts.path, parts.query)
            else:
                self.archive.api_asked += 1
                if self.archive.api_fault:
                    self.send_json({"detail": "out of order"}, self.archive.api_fault)
                else:
                    self.send_api(parts.path, parse_qs(parts.query))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send_json(self, data: Any, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # -- the archive ---------------------------------------------------------------------------
    def send_api(self, path: str, query: dict[str, list[str]]) -> None:
        archive = self.archive
        version = r"/api/dandisets/000037/versions/([^/]+)/"
        if path == "/api/info/":
            self.send_json(
                {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "version": "0.4.10",
                    "schema_version": "0.6.10",
                    "cli-minimal-version": "0.60.0",
                    "cli-bad-versions": [],
                    "services": {"api": {"url": archive.api}},
                }
            )
        elif path == "/api/dandisets/000037/versions/":
            self.send_json(
                {
                    "count": 2,
                    "next": None,
                    "previous": None,
                    "results": [self.version_json(v) for v in ("draft", archive.version)],
                }
            )
        elif (match := re.fullmatch(version + "assets/", path)) and self.is_version(match[1]):
            self.send_assets(path, query)
        elif (match := re.fullmatch(version + r"assets/([^/]+)/", path)) and self.is_version(
            match[1]
        ):
            blob = next(blob for blob in archive.blobs if blob.identifier == match[2])
            self.send_json(
                {
                    "schemaKey": "Asset",
                    "schemaVersion": "0.6.10",
                    "path": blob.path,
                    "identifier": blob.identifier,
                    "contentSize": blob.size,
                    "encodingFormat": "application/x-nwb",
                    "digest": blob.digests,
                    "contentUrl": [f"{archive.api}/assets/{blob.identifier}/download/"],
                }
            )
        elif match := re.fullmatch(r"/api/assets/([^/]+)/download/", path):
            blob = next(blob for blob in archive.blobs if blob.identifier == match[1])
            place = f"{archive.url}/blobs/{blob.blob_id}/{blob.file.name}"
            self.send_response(302)
            self.send_header("Location", f"{place}?X-Amz-Signature=secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_json({"detail": "Not found."}, 404)

    def is_version(self, version: str) -> bool:
        return version in ("draft", self.archive.version)

    def version_json(self, version: str) -> dict[str, Any]:
        return {
            "version": version,
            "name": "Allen Institute Openscope",
            "asset_count": len(self.archive.blobs),
            "size": sum(blob.size for blob in self.archive.blobs),
            "status": "Published",
            "created": WHEN,
            "modified": WHEN,
        }

    def send_assets(self, path: str, query: dict[str, list[str]]) -> None:
        archive = self.archive
        page, size = int(query.get("page", ["1"])[0]), archive.page_size
        shown = archive.blobs[(page - 1) * size : page * size]
        more = page * size < len(archive.blobs)
        self.send_json(
            {
                "count": len(archive.blobs),
                "next": f"{archive.url}{path}?page={page + 1}" if more else None,
                "previous": None,
                "results": [
                    {
                        "asset_id": blob.identifier,
                        "blob": blob.blob_id,
                        "zarr": None,
                        "path": blob.path,
                        "size": blob.size,
                        "created": WHEN,
                        "modified": WHEN,
                    }
                    for blob in shown
                ],
            }
        )

    # -- the files -----------------------------------------------------------------------------
    def send_blob(self, path: str, query: str) -> None:
        archive = self.archive
        blob_id = path.split("/")[2]
        blob = next((blob for blob in archive.blobs if blob.blob_id == blob_id), None)
        asked = self.headers.get("Range", "")
        fault = archive.next_fault()
        wrong = [key for key, value in archive.needs.items() if self.headers.get(key) != value]
        if blob is None or wrong or re.fullmatch(r"\d+", fault):
            status = 404 if blob is None else 403 if wrong else int(fault)
            archive.count(path, asked, status, 0)
            self.send_json({"detail": "no"}, status)
            return
        if fault == "drop":
            archive.count(path, asked, 0, 0)
            self.close_connection = True
            return
        with blob.file.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        if fault == "expired" and "X-Amz-Signature" in query:
            archive.count(path, asked, 403, 0)
            self.send_json({"detail": "expired"}, 403)
            return
        start, stop = 0, len(data)
        if span and fault != "ignore-range":
            start, stop = int(span[1]), min(int(span[2] or len(data)), len(data) - 1) + 1
        status = 206 if span and fault != "ignore-range" else 200
        body = data[start:stop]
        if fault == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "longer":
            body += b"more"
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("ETag", archive.etag)
        if fault == "short-length":
            # Says less than the file has, and sends that.
            body = body[: len(body) // 2]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            body = body[: len(body) // 2]
            self.close_connection = True
        archive.count(path, asked, status, len(body))
        for place in range(0, len(body), 2**16):
            if fault == "slow":
                time.sleep(0.02)
            if fault == "stall" and place:
                time.sleep(1.5)
            self.wfile.write(body[place : place + 2**16])
            self.wfile.flush()
