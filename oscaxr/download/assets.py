"""Files of the archive as they are planned to be downloaded."""

import logging
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from oscaxr.errors import DownloadError, MissingLibraryError, SessionNotFoundError, UnsafePathError
from oscaxr.files.folders import size_of
from oscaxr.files.remote import Place, place_of, public_url
from oscaxr.options import PathLike

DANDISET: Final = "000037"

# The newest published version that public sources name: `DANDI:000037/0.240209.1623` in copies of
# the dandiset's own metadata, and `dandi/000037/0.240209.1623` as the origin of others' data sets.
# (The data descriptor, doi 10.1038/s41597-023-02214-y, cites 0.230426.0054.) Pinned, so that the
# same command fetches the same bytes.
VERSION: Final = "0.240209.1623"

PART_SUFFIX: Final = ".part"
# Separators and drives of other systems; what Windows takes off a name, or takes for a device.
_STRANGE: Final = re.compile(
    r'.*[\\:*?"<>|].*|.*[ .]| .*'
    r"|(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\xb9\xb2\xb3]) *(\..*)?",
    re.IGNORECASE,
)
_LONGEST_NAME: Final = 255


@dataclass(frozen=True)
class Asset:
    """One file of the archive.

    Parameters
    ----------
    path : str
        Its path in the dandiset, with forward slashes.
    size : int
        Bytes.
    identifier : str
        Its id in the archive.
    url : str
        Where it is downloaded from.
    digests : mapping of str to str
        ``"sha2-256"`` and ``"dandi-etag"``, as far as the archive knows them.
    mouse_id, session_id : int or None
        Whose it is.
    label : str
        The session in words, e.g. ``"mouse 1, session 3"``.
    note : str
        What is particular about the choice of this file; mostly empty.
    blob_id : str
        The id of its bytes in the archive, which its address on S3 has; empty where not known.
    """

    path: str
    size: int
    identifier: str
    url: str
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)
    mouse_id: int | None = None
    session_id: int | None = None
    label: str = ""
    note: str = ""
    blob_id: str = ""

    def target(self, folder: PathLike) -> Place:
        """Return where the file goes below a folder.

        Parameters
        ----------
        folder : path-like
            The folder, or its address in an object store.

        Returns
        -------
        path-like

        Raises
        ------
        UnsafePathError
            If that leads out of the folder, or through a link, or some systems do not take it.
        """
        parts = self.path.split("/")
        if not all(map(_is_plain_name, parts)):
            raise UnsafePathError(
                f"The archive names a file {reprlib.repr(self.path)}, which is no plain path below "
                "a folder on every system. It is not downloaded: report it to the archive."
            )
        root = place_of(folder)
        if not isinstance(root, Path):
            return root / self.path
        _, *places = accumulate(parts, Path.joinpath, initial=root)
        target = places[-1]
        try:
            links = [path for path in (*places, part_path(target)) if path.is_symlink()]
        except OSError as error:
            raise UnsafePathError(
                f"{reprlib.repr(self.path)} cannot be written below {folder} ({error.strerror}). "
                "Download into a folder with a shorter path."
            ) from error
        if links:
            raise UnsafePathError(
                f"{links[0]} is a symbolic link to {links[0].readlink()}. Nothing is written "
                f"through links below {folder}: remove it, or download into another folder."
            )
        return target

    def bytes_there(self, folder: PathLike) -> int:
        """Return how many of its bytes are below a folder already, whole or in part.

        Parameters
        ----------
        folder : path-like
            The folder, or its address in an object store.

        Returns
        -------
        int
            No more than the asset's size; the bytes are not checked.
        """
        target = self.target(folder)
        # In a store, there are no parts.
        for place in (target, part_path(target)) if isinstance(target, Path) else (target,):
            size = size_of(place)
            if size is not None:
                return min(self.size, size)
        return 0


@dataclass(frozen=True)
class Plan:
    """Which files are to be downloaded.

    Parameters
    ----------
    dandiset, version : str
        Of which version of which dandiset.
    assets : tuple of Asset
        The files.
    missing : tuple of str
        Sessions that were asked for by the session table, but are not in this version.
    """

    dandiset: str
    version: str
    assets: tuple[Asset, ...]
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(asset.size for asset in self.assets)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain types, for JSON.

        Returns
        -------
        dict
        """
        assets = [asdict(asset) for asset in self.assets]
        for one in assets:
            one["bytes"] = one.pop("size")
        return {**vars(self), "bytes": self.size, "assets": assets}


def _is_plain_name(name: str) -> bool:
    """Say whether a name stands for a file or folder of that name, on every system."""
    # (What is not printable has no encoding, or turns the writing about.)
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and not _STRANGE.fullmatch(name)
        and len((name + PART_SUFFIX).encode()) <= _LONGEST_NAME
    )


def part_path(target: Path) -> Path:
    """Return where a file is put together until it is complete."""
    return target.with_name(target.name + PART_SUFFIX)


# Digests have long names in the archive's metadata.
_DIGESTS: Final = {"dandi:sha2-256": "sha2-256", "dandi:dandi-etag": "dandi-etag"}
_REQUESTS_AT_ONCE: Final = 4


class Archive:
    """One version of one dandiset."""

    def __init__(self, dandiset: str, version: str, api_url: str | None = None) -> None:
        try:
            from dandi.dandiapi import DandiAPIClient
        except ImportError as error:
            raise MissingLibraryError(
                f"downloading needs the dandi client ({error}): pip install 'oscaxr[dandi]'"
            ) from error
        self.dandiset = dandiset
        self.version = version
        self._where = f" at {public_url(api_url)}" if api_url else ""
        # The client would ask a third party for news of itself; the archive says it too.
        os.environ.setdefault("DANDI_NO_ET", "1")
        with self._asking():
            self._client = DandiAPIClient(api_url) if api_url else DandiAPIClient()
        self._assets: dict[str, Any] = {}

    def list_assets(self) -> list[Asset]:
        """List the files of the version."""
        from dandi.dandiapi import AssetType
        from dandi.exceptions import NotFoundError

        with self._asking():
            remote = self._client.get_dandiset(self.dandiset, self.version, lazy=True)
            try:
                found = [a for a in remote.get_assets() if a.asset_type is AssetType.BLOB]
            except NotFoundError as error:
                raise SessionNotFoundError(self._no_version(remote)) from error
        self._assets = {asset.identifier: asset for asset in found}
        return [
            Asset(a.path, a.size, a.identifier, a.base_download_url, blob_id=a.blob) for a in found
        ]

    def with_digests(self, assets: Iterable[Asset]) -> list[Asset]:
        """Add the digests that the archive knows of files."""

        def ask(asset: Asset) -> Asset:
            known = self._assets[asset.identifier].get_raw_metadata().get("digest") or {}
            digests = {short: known[name] for name, short in _DIGESTS.items() if known.get(name)}
            return replace(asset, digests=digests)

        with self._asking(), ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(ask, assets))

    def _no_version(self, remote: Any) -> str:
        from dandi.exceptions import NotFoundError

        try:
            versions = [version.identifier for version in remote.get_versions()]
        except NotFoundError:
            where = public_url(self._client.api_url)
            return f"The archive at {where} has no dandiset {self.dandiset}."
        return (
            f"Dandiset {self.dandiset} has no version {self.version!r}. There are: "
            f"{', '.join(versions)}."
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in one message what went wrong; the client's own log would repeat it."""
        from requests import RequestException

        from oscaxr.files.http import cause

        log = logging.getLogger("dandi")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            yield
        except (RequestException, RuntimeError) as error:
            # The client says the address in its own words; what it has to say else, we do not know.
            inner = (error, error.__context__)
            failed = next((one for one in inner if isinstance(one, RequestException)), None)
            what = cause(failed) if failed else str(error)
            raise DownloadError(
                f"The archive{self._where} could not be asked about dandiset {self.dandiset}: "
                f"{what}. Check the connection, and try again later."
            ) from None
        finally:
            log.setLevel(level)
