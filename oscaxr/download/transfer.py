"""Bringing one file over: taken up where it stopped, tried again, checked.

The bytes are asked for here and not by the client's own download, because that gives a file its
name before it compares the digest, removes what is in its way (also a folder), adds an answer that
is not the range asked for to what it has, and waits for minutes before it gives up.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import requests

from oscaxr.download.assets import Asset
from oscaxr.errors import DownloadError
from oscaxr.files.http import (
    DROPPED,
    PassingError,
    Patience,
    body,
    content_range,
    refuse_passing,
    said,
)

# Of a connection that is cut, no more than a piece is lost.
PIECE_BYTES: Final = 2**16
SHA256: Final = "sha2-256"
ETAG: Final = "dandi-etag"


def transfer(
    asset: Asset,
    part: Path,
    *,
    session: requests.Session,
    patience: Patience,
    timeout: float,
    report: Callable[[int], None],
) -> tuple[bool, str]:
    """Download a file to its place until it is complete, and check it there."""
    resumed = 0 < _size(part) <= asset.size
    while True:
        _complete(asset, part, session, patience, timeout, report)
        checked, problem = check(part, asset)
        if not problem:
            return resumed, checked
        part.unlink()
        if not resumed:
            raise DownloadError(
                f"what came from {asset.url} is not the file of the archive ({problem}). It is "
                "thrown away. Try again; should it happen again, report it to the archive."
            )
        # What was there may be of another version: once from the beginning.
        resumed = False


def check(path: Path, asset: Asset) -> tuple[str, str]:
    """Compare a file with the digest that the archive gives."""
    size = path.stat().st_size
    if size != asset.size or not path.is_file():
        return "size", f"it has {size} bytes, there {asset.size}"
    if SHA256 in asset.digests:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return SHA256, _difference(SHA256, found, asset.digests[SHA256])
    if ETAG in asset.digests:
        from dandischema.digests.dandietag import DandiETag

        found = DandiETag.from_file(path).as_str()
        return ETAG, _difference(ETAG, found, asset.digests[ETAG])
    return "size", ""


def _difference(name: str, found: str, expected: str) -> str:
    return "" if found == expected else f"its {name} is {found}, there {expected}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _complete(
    asset: Asset,
    part: Path,
    session: requests.Session,
    patience: Patience,
    timeout: float,
    report: Callable[[int], None],
) -> None:
    """Ask until all bytes are there."""
    if _size(part) > asset.size:
        part.unlink()
    part.touch()
    failures = 0
    while (before := _size(part)) < asset.size:
        report(before)
        try:
            _append(asset, part, before, session, timeout, report)
        except PassingError as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures > patience.retries:
                raise DownloadError(
                    f"{asset.url}: {error} ({failures} tries in a row). {_size(part)} of "
                    f"{asset.size} bytes are there; they are kept."
                ) from error
            patience.sleep(failures, error.wait)
    report(asset.size)


def _append(
    asset: Asset,
    part: Path,
    start: int,
    session: requests.Session,
    timeout: float,
    report: Callable[[int], None],
) -> None:
    """Ask once, for the bytes from `start` on."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = session.get(asset.url, headers=headers, stream=True, timeout=timeout)
    except DROPPED as error:
        raise PassingError(said(error)) from error
    except requests.RequestException as error:
        raise DownloadError(f"cannot ask for {asset.url}: {error}") from error
    with response:
        refuse_passing(response)
        start = _start_of(response, asset, start)
        with part.open("r+b") as file:
            file.seek(start)
            file.truncate()
            for piece in body(response, PIECE_BYTES):
                start += len(piece)
                if start > asset.size:
                    file.truncate(0)
                    raise DownloadError(
                        f"{asset.url}: more bytes come than the {asset.size} that the archive says"
                    )
                file.write(piece)
                report(start)
    if start < asset.size:
        raise PassingError(f"the answer ended after {start} of {asset.size} bytes")


def _start_of(response: requests.Response, asset: Asset, start: int) -> int:
    """Return at which byte of the file an answer begins; refuse answers that are not the file."""
    status = f"{response.status_code} {response.reason}"
    if response.status_code not in (200, 206):
        raise DownloadError(f"{asset.url}: the server answered {status}")
    if response.status_code == 200:
        # All of it, also where a part was asked for.
        length = response.headers.get("Content-Length", "")
        found: tuple[int, int] | None = (0, int(length) if length.isdecimal() else asset.size)
    else:
        found = content_range(response)
    if found is None or found[1] != asset.size or found[0] not in (0, start):
        said_size = "a part of unknown place" if found is None else f"{found[1]} bytes"
        raise DownloadError(
            f"{asset.url}: the server offers {said_size}, where the archive says {asset.size} bytes"
        )
    return found[0]
