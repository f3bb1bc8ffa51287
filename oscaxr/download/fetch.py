"""Downloading what was planned, file by file: taken up where it stopped, tried again, checked.

The bytes are asked for here and not by the client's own download, because that gives a file its
name before it compares the digest, removes what is in its way (also a folder), adds an answer that
is not the range asked for to what it has, and waits for minutes before it gives up.
"""

import hashlib
import reprlib
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from unicodedata import normalize

from oscaxr.download.assets import PART_SUFFIX, Asset, Plan, part_path
from oscaxr.download.transfer import Progress, Transfer, size_at
from oscaxr.errors import (
    CriterionError,
    DownloadError,
    OptionError,
    OscaxrError,
    UnsafePathError,
    option,
)
from oscaxr.files.folders import file_here, new_file, object_folder, size_of
from oscaxr.files.remote import Place, RemoteFile, as_given, is_number, place_of, public_url
from oscaxr.options import PathLike

Status = Literal["downloaded", "resumed", "verified", "failed"]

_SHA256: Final = "sha2-256"
_ETAG: Final = "dandi-etag"


@dataclass(frozen=True)
class Fetched:
    """What became of one file.

    Parameters
    ----------
    asset : Asset
        The file of the archive.
    path : Path or str
        Where it is; in a store, its address, a str.
    status : {"downloaded", "resumed", "verified", "failed"}
        ``"verified"``: it was there already, with the right digest.
    checked : str
        The digest that was compared; ``"size"`` where the archive gives none.
    reason : str
        Why it failed.
    """

    asset: Asset
    path: Path | str
    status: Status
    checked: str = ""
    reason: str = ""


def fetch(
    plan: Plan,
    folder: PathLike,
    *,
    overwrite: bool = False,
    retries: int = 8,
    retry_wait: float = 1.0,
    timeout: float = 60.0,
    deadline: float = 600.0,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> list[Fetched]:
    """Download what was planned.

    Parameters
    ----------
    plan : Plan
        Of :func:`plan`.
    folder : path-like
        Where to: files go below it by their paths in the dandiset. Made if it is not there. Or an
        address in an object store (``s3://bucket/data``).
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
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.

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

    For an object store, each file is put together in the temporary folder of this computer
    (``TMPDIR``), with its digest checked, then put. What is there already is read back, and its
    digest compared; after an interruption only the file that was half there starts anew.
    """
    from oscaxr.files.http import Client
    from oscaxr.files.patience import Patience

    _check_numbers(retries=retries, retry_wait=retry_wait, timeout=timeout, deadline=deadline)
    root = _folder_of(folder, storage_options)
    _refuse_same_places(plan, root)
    _refuse_full_disk(plan, root)
    results: list[Fetched] = []
    for asset in plan.assets:
        patience = Patience(retries, retry_wait, deadline)
        with closing(Client(patience, timeout)) as client:
            transfer = Transfer(asset, client, patience, progress)
            try:
                results.append(_fetch_one(transfer, root, overwrite=overwrite))
            except (OscaxrError, OSError, ValueError) as error:
                path = as_given(root / asset.path)
                results.append(Fetched(asset, path, "failed", reason=str(error)))
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


def _folder_of(folder: PathLike, storage: Mapping[str, Any] | None) -> Place:
    """Return the folder to download into; refuse what cannot be one."""
    why = ""
    try:
        root = place_of(folder, storage)
        if isinstance(root, RemoteFile):
            object_folder(root)
        elif not (there := _existing(root)).is_dir():
            why = f"{there} is no folder"
    except CriterionError:
        raise
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


def _refuse_same_places(plan: Plan, root: Place) -> None:
    """Refuse files of which one would be written over another, on some systems at least."""
    places: dict[str, Asset] = {}
    for asset in plan.assets:
        asset.target(root)  # refused where it is none
        for path in (asset.path, asset.path + PART_SUFFIX):
            other = places.setdefault(normalize("NFC", path).casefold(), asset)
            if other != asset:
                raise UnsafePathError(
                    f"The archive names files {other.path!r} and {asset.path!r}, of which one "
                    "would be written over the other on some systems. Download them one at a time, "
                    "into different folders."
                )


def _refuse_full_disk(plan: Plan, root: Place) -> None:
    if not isinstance(root, Path):
        _refuse_full_temporary_folder(plan)
        return
    there = _existing(root)
    needed = sum(asset.size - asset.bytes_there(root) for asset in plan.assets)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.1f} GB are to be downloaded, but the disk of {root} has "
            f"{free / 1e9:.1f} GB free. Ask for fewer sessions, or another folder."
        )


def _refuse_full_temporary_folder(plan: Plan) -> None:
    there = Path(tempfile.gettempdir())
    needed = max((asset.size for asset in plan.assets), default=0)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"The largest file has {needed / 1e9:.1f} GB, but the disk of {there}, where each is "
            f"put together, has {free / 1e9:.1f} GB free. Let TMPDIR name a folder with more room."
        )


def _fetch_one(transfer: Transfer, root: Place, *, overwrite: bool) -> Fetched:
    asset = transfer.asset
    target = asset.target(root)
    there = size_of(target) is not None
    if there or (isinstance(target, Path) and target.exists()):
        checked, problem = _check(target, asset)
        if not problem:
            transfer.report(asset.size)
            return Fetched(asset, as_given(target), "verified", checked)
        if not overwrite or not there:
            raise DownloadError(
                f"{target} is there already, but is not the file of the archive ({problem}). Give "
                f"{option('overwrite', True)} to replace it, or download into another folder."
            )
    if isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        asset.target(root)  # once more, now that the folders are there
        return _put_together(transfer, target)
    with new_file(target, overwrite=overwrite) as path:
        fetched = _put_together(transfer, path)
    return replace(fetched, path=as_given(target))


def _put_together(transfer: Transfer, target: Path) -> Fetched:
    """Fetch a file, or what is missing of it, and give it its name when it is whole."""
    asset = transfer.asset
    part = part_path(target)
    resumed = 0 < size_at(part) <= asset.size
    try:
        transfer.complete(part)
    finally:
        if not size_at(part) and asset.size:
            part.unlink(missing_ok=True)
    checked, problem = _check(part, asset)
    if problem:
        part.unlink()
        if resumed:
            # What was there may be of another version: once from the beginning.
            return _put_together(transfer, target)
        raise DownloadError(
            f"what came from {public_url(asset.url)} is not the file of the archive ({problem}). "
            "It is thrown away. Try again; should it happen again, report it to the archive."
        )
    part.replace(target)
    return Fetched(asset, target, "resumed" if resumed else "downloaded", checked)


def _check(place: Place, asset: Asset) -> tuple[str, str]:
    """Compare a file with the digest that the archive gives: its name, and what differs."""
    size = size_of(place)
    if size != asset.size:
        return (
            "size",
            "it is no file" if size is None else f"it has {size} bytes, there {asset.size}",
        )
    name = next((one for one in (_SHA256, _ETAG) if one in asset.digests), "")
    if not name:
        return "size", ""
    with file_here(place) as path:
        found = _digest(path, name)
    expected = asset.digests[name]
    return name, "" if found == expected else f"its {name} is {found}, there {expected}"


def _digest(path: Path, name: str) -> str:
    if name == _SHA256:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    from dandischema.digests.dandietag import DandiETag

    return str(DandiETag.from_file(path).as_str())
