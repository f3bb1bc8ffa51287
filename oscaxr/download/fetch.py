"""Downloading what was planned, file by file."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from oscaxr.download.assets import Asset, Plan, part_path
from oscaxr.errors import DownloadError, OscaxrError, option

if TYPE_CHECKING:
    import requests

    from oscaxr.files.http import Patience

Status = Literal["downloaded", "resumed", "verified", "failed"]
Progress = Callable[[Asset, int], None]


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
    UnsafePathError
        If a file would be written outside the folder, or through a link.

    Notes
    -----
    A file is put together beside its place, as ``*.part``, and gets its name when it is whole and
    its digest is right. After an interruption the same call goes on where it stopped.
    """
    from oscaxr.files.http import Patience, new_session

    root = Path(folder)
    for asset in plan.assets:
        asset.target(root)
    _refuse_full_disk(plan, root)
    results: list[Fetched] = []
    with new_session() as session:
        for asset in plan.assets:
            try:
                results.append(
                    _fetch_one(
                        asset,
                        root,
                        overwrite=overwrite,
                        session=session,
                        patience=Patience(retries, retry_wait),
                        timeout=timeout,
                        report=_reporter(asset, progress),
                    )
                )
            except (OscaxrError, OSError) as error:
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


def _fetch_one(
    asset: Asset,
    root: Path,
    *,
    overwrite: bool,
    session: "requests.Session",
    patience: "Patience",
    timeout: float,
    report: Callable[[int], None],
) -> Fetched:
    from oscaxr.download.transfer import check, transfer

    target = asset.target(root)
    if target.exists():
        checked, problem = check(target, asset)
        if not problem:
            report(asset.size)
            return Fetched(asset, target, "verified", checked)
        if not overwrite or not target.is_file():
            raise DownloadError(
                f"{target} is there already, but is not the file of the archive ({problem}). Give "
                f"{option('overwrite', True)} to replace it, or download into another folder."
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    asset.target(root)  # once more, now that the folders are there
    resumed, checked = transfer(
        asset, part_path(target), session=session, patience=patience, timeout=timeout, report=report
    )
    part_path(target).replace(target)
    return Fetched(asset, target, "resumed" if resumed else "downloaded", checked)


def _refuse_full_disk(plan: Plan, root: Path) -> None:
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    needed = sum(asset.size - asset.bytes_there(root) for asset in plan.assets)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.1f} GB are to be downloaded, but the disk of {root} has "
            f"{free / 1e9:.1f} GB free. Ask for fewer sessions, or another folder."
        )


def _reporter(asset: Asset, progress: Progress | None) -> Callable[[int], None]:
    def report(done: int) -> None:
        if progress is not None:
            progress(asset, done)

    return report
