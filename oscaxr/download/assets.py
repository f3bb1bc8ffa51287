"""Files of the archive as they are planned to be downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oscaxr.download.safe_paths import target_path

DANDISET: Final = "000037"

# The newest published version that public sources name: `DANDI:000037/0.240209.1623` in copies of
# the dandiset's own metadata, and `dandi/000037/0.240209.1623` as the origin of others' data sets.
# (The data descriptor, doi 10.1038/s41597-023-02214-y, cites 0.230426.0054.) Pinned, so that the
# same command fetches the same bytes.
VERSION: Final = "0.240209.1623"

PART_SUFFIX: Final = ".part"


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

    def target(self, folder: Path) -> Path:
        """Return where the file goes below a folder.

        Parameters
        ----------
        folder : Path
            The folder.

        Returns
        -------
        Path

        Raises
        ------
        UnsafePathError
            If that leads out of the folder.
        """
        return target_path(folder, self.path)

    def bytes_there(self, folder: Path) -> int:
        """Return how many of its bytes are below a folder already, whole or in part.

        Parameters
        ----------
        folder : Path
            The folder.

        Returns
        -------
        int
            No more than the asset's size; the bytes are not checked.
        """
        target = self.target(folder)
        for path in (target, part_path(target)):
            if path.is_file():
                return min(self.size, path.stat().st_size)
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
        return {
            "dandiset": self.dandiset,
            "version": self.version,
            "bytes": self.size,
            "assets": [
                {
                    "path": asset.path,
                    "bytes": asset.size,
                    "mouse_id": asset.mouse_id,
                    "session_id": asset.session_id,
                    "session": asset.label,
                    "note": asset.note,
                    "url": asset.url,
                    "digests": dict(asset.digests),
                }
                for asset in self.assets
            ],
            "missing": list(self.missing),
        }


def part_path(target: Path) -> Path:
    """Return where a file is put together until it is complete."""
    return target.with_name(target.name + PART_SUFFIX)
