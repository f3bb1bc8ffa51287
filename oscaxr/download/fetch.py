"""Downloading what was planned, file by file: taken up where it stopped, tried again, checked.

The bytes are asked for here and not by the client's own download, because that gives a file its
name before it compares the digest, removes what is in its way (also a folder), adds an answer that
is not the range asked for to what it has, and waits for minutes before it gives up.
"""

import hashlib
import os
import reprlib
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from unicodedata import normalize

from oscaxr.download.assets import Asset, Plan, part_path
from oscaxr.errors import DownloadError, OptionError, OscaxrError, UnsafePathError, option
from oscaxr.files.patience import PassingError
from oscaxr.files.remote import is_number, public_url
from oscaxr.paths import local_path

if TYPE_CHECKING:
    import requests

    from oscaxr.files.http import Client, Version
    from oscaxr.files.patience import Patience

Status = Literal["downloaded", "resumed", "verified", "failed"]
Progress = Callable[[Asset, int], None]

# Of a connection that is cut, no more than a piece is lost.
_PIECE_BYTES: Final = 2**16
_SHA256: Final = "sha2-256"
_ETAG: Final = "dandi-etag"


@dataclass(frozen=True)
class Fetched:
    """What became of one file.

    Parameters
    ----------
    asset : Asset
        The file of the archive.
    path : Path
        Where it is.
    status : {"downloaded", "resumed", "verified", "failed"}
        ``"verified"``: it was there already, with the right digest.
    checked : str
        The digest that was compared; ``"size"`` where the archive gives none.
    reason : str
        Why it failed.
    """

    asset: Asset
    path: Path
    status: Status
    checked: str = ""
    reason: str = ""


def fetch(
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    retries: int = 8,
    retry_wait: float = 1.0,
    timeout: float = 60.0,
    deadline: float = 600.0,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Download what was planned.

    Parameters
    ----------
    plan : Plan
        Of :func:`plan`.
    folder : path-like
        Where to: files go below it by their paths in the dandiset. Made if it is not there.
    overwrite : bool, optional
        Whether to replace files that are there, but are not those of the archive.
    retries : int, optional
        How often in a row a file is asked for again when nothing comes: the connection drops, or
        the server answers with an error that may pass.
    retry_wait : float, optional
        Seconds before the first of these; doubled each time, up to a minute.
    timeout : float, optional
        Seconds without a byte after which a connection counts as dropped.
    deadline : float, optional
        Seconds that waiting for the server may take in all for each file, repetitions included;
        those in which 10 kB come are not counted.
    progress : callable, optional
        Called with the asset and the number of its bytes that are there.

    Returns
    -------
    list of Fetched
        One a file, in order.

    Raises
    ------
    DownloadError
        If any file failed, once all others are done: all reasons are listed, and ``.results`` says
        what became of each. Also, before anything is downloaded, if the disk is too small.
    OptionError
        If a number is none, or below zero.
    UnsafePathError
        If a file would be written outside the folder, through a link, or over another one.

    Notes
    -----
    A file is put together beside its place, as ``*.part``, and gets its name when it is whole and
    its digest is right. After an interruption the same call goes on where it stopped.
    """
    from oscaxr.files.http import Client
    from oscaxr.files.patience import Patience

    _check_numbers(retries=retries, retry_wait=retry_wait, timeout=timeout, deadline=deadline)
    root = _folder_of(folder)
    _refuse_same_places(plan, root)
    _refuse_full_disk(plan, root)
    results: list[Fetched] = []
    for asset in plan.assets:
        patience = Patience(retries, retry_wait, deadline)
        with closing(Client(patience, timeout)) as client:
            transfer = _Transfer(asset, client, patience, progress)
            try:
                results.append(_fetch_one(transfer, root, overwrite=overwrite))
            except (OscaxrError, OSError, ValueError) as error:
                results.append(Fetched(asset, root / asset.path, "failed", reason=str(error)))
    failed = [result for result in results if result.status == "failed"]
    if failed:
        lines = "".join(f"\n  {one.asset.path}: {one.reason}" for one in failed)
        raise DownloadError(
            f"{len(failed)} of {len(results)} files could not be downloaded:{lines}\nThe same call "
            "goes on where it stopped.",
            results,
        )
    return results


def _check_numbers(**given: float) -> None:
    """Refuse what would fail for each file anew, or never end."""
    for name, value in given.items():
        kinds = int if name == "retries" else int | float
        least = 0.0 if name in ("retries", "retry_wait") else 0.001
        if not is_number(value, kinds, least):
            what = "a whole number from 0 on" if kinds is int else "a number of seconds"
            raise OptionError(f"{option(name, value)}: give {what}")


def _folder_of(folder: str | os.PathLike[str]) -> Path:
    """Return the folder to download into; refuse what cannot be one."""
    try:
        root = local_path(folder)
        there = _existing(root)
        why = "" if there.is_dir() else f"{there} is no folder"
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise DownloadError(
            f"{reprlib.repr(folder)} is no folder to download into: {why}. Give another one."
        )
    return root


def _existing(path: Path) -> Path:
    """Return the innermost folder of a path that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _refuse_same_places(plan: Plan, root: Path) -> None:
    """Refuse files of which one would be written over another, on some systems at least."""
    places: dict[str, Asset] = {}
    for asset in plan.assets:
        target = asset.target(root)
        for path in (target, part_path(target)):
            other = places.setdefault(normalize("NFC", str(path)).casefold(), asset)
            if other != asset:
                raise UnsafePathError(
                    f"The archive names files {other.path!r} and {asset.path!r}, of which one "
                    "would be written over the other on some systems. Download them one at a time, "
                    "into different folders."
                )


def _refuse_full_disk(plan: Plan, root: Path) -> None:
    there = _existing(root)
    needed = sum(asset.size - asset.bytes_there(root) for asset in plan.assets)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.1f} GB are to be downloaded, but the disk of {root} has "
            f"{free / 1e9:.1f} GB free. Ask for fewer sessions, or another folder."
        )


def _fetch_one(transfer: "_Transfer", root: Path, *, overwrite: bool) -> Fetched:
    asset = transfer.asset
    target = asset.target(root)
    if target.exists():
        checked, problem = _check(target, asset)
        if not problem:
            transfer.report(asset.size)
            return Fetched(asset, target, "verified", checked)
        if not overwrite or not target.is_file():
            raise DownloadError(
                f"{target} is there already, but is not the file of the archive ({problem}). Give "
                f"{option('overwrite', True)} to replace it, or download into another folder."
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    asset.target(root)  # once more, now that the folders are there
    part = part_path(target)
    resumed = 0 < _size(part) <= asset.size
    try:
        transfer.complete(part)
    finally:
        if not _size(part) and asset.size:
            part.unlink(missing_ok=True)
    checked, problem = _check(part, asset)
    if problem:
        part.unlink()
        if resumed:
            # What was there may be of another version: once from the beginning.
            return _fetch_one(transfer, root, overwrite=overwrite)
        raise DownloadError(
            f"what came from {public_url(asset.url)} is not the file of the archive ({problem}). "
            "It is thrown away. Try again; should it happen again, report it to the archive."
        )
    part.replace(target)
    return Fetched(asset, target, "resumed" if resumed else "downloaded", checked)


def _check(path: Path, asset: Asset) -> tuple[str, str]:
    """Compare a file with the digest that the archive gives: its name, and what differs."""
    size = path.stat().st_size
    if size != asset.size or not path.is_file():
        return "size", f"it has {size} bytes, there {asset.size}"
    if _SHA256 in asset.digests:
        name = _SHA256
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    elif _ETAG in asset.digests:
        from dandischema.digests.dandietag import DandiETag

        name = _ETAG
        found = DandiETag.from_file(path).as_str()
    else:
        return "size", ""
    expected = asset.digests[name]
    return name, "" if found == expected else f"its {name} is {found}, there {expected}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@dataclass
class _Transfer:
    """One file that comes over: from where, how patiently, and who is told how far it is."""

    asset: Asset
    client: "Client"
    patience: "Patience"
    progress: Progress | None
    version: "Version | None" = None
    """What the server said of the state of the file, of which a part is there."""

    def report(self, done: int) -> None:
        """Tell how many bytes are there."""
        if self.progress is not None:
            self.progress(self.asset, done)

    def complete(self, part: Path) -> None:
        """Ask until all bytes are there."""
        asset = self.asset

        def gave_up(reason: str) -> DownloadError:
            return self.failure(f"{reason}. {_size(part)} of {asset.size} bytes are there")

        if _size(part) > asset.size:
            part.unlink()
        part.touch()
        if _size(part) < asset.size:
            self.patience.insist(lambda: self._append(part), gave_up, lambda: _size(part))
        self.report(asset.size)

    def failure(self, what: str) -> DownloadError:
        """Return an error of this file."""
        return DownloadError(f"{public_url(self.asset.url)}: {what}")

    def _append(self, part: Path) -> None:
        """Ask once, for the bytes that are not there yet."""
        from oscaxr.files.http import Version

        asset = self.asset
        start = _size(part)
        self.report(start)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.version is not None:
            headers |= self.version.condition
        with self.client.answer(asset.url, headers) as response, part.open("r+b") as file:
            start, version = self._start_of(response, start), Version.of(response)
            if start and self.version is not None and not self.version.is_in(version):
                file.truncate(0)
                raise PassingError("the file was replaced on the server")
            self.version = version
            file.seek(start)
            file.truncate()
            for piece in self.client.pieces(response):
                start += len(piece)
                if start > asset.size:
                    file.truncate(0)
                    raise self.failure(f"more bytes come than the {asset.size} of the archive")
                file.write(piece)
                self.report(start)
        if start < asset.size:
            raise PassingError(f"the answer ended after {start} of {asset.size} bytes")

    def _start_of(self, response: "requests.Response", start: int) -> int:
        """Return at which byte of the file an answer begins; refuse what is not the file."""
        from oscaxr.files.http import Part, part_of, status_of

        size = self.asset.size
        if response.status_code not in (200, 206):
            raise self.failure(f"the server answered {status_of(response)}")
        found = part_of(response)
        if response.status_code == 200:
            # All of it, also where a part was asked for; it need not say how much that is.
            found = found or Part(0, size, size)
        if found is None or found.total != size or found.start not in (0, start):
            said = "a part of unknown place" if found is None else f"{found.total} bytes"
            raise self.failure(f"the server offers {said}, where the archive says {size} bytes")
        return found.start
