"""Paths that an archive names, kept inside the folder that they are meant for."""

import re
from pathlib import Path
from typing import Final

from oscaxr.errors import UnsafePathError

# Separators and drives of other systems, and characters that no file name should have.
_STRANGE: Final = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')


def target_path(folder: Path, asset_path: str) -> Path:
    """Return where an asset goes below a folder."""
    parts = asset_path.split("/")
    if any(part in ("", ".", "..") or _STRANGE.search(part) for part in parts):
        raise UnsafePathError(
            f"The archive names a file {asset_path!r}, which is no plain path below a folder. It "
            "is not downloaded: report it to the archive."
        )
    target = folder
    for part in parts:
        target = target / part
        _refuse_link(folder, target)
    _refuse_link(folder, target.with_name(target.name + ".part"))
    return target


def _refuse_link(folder: Path, path: Path) -> None:
    if path.is_symlink():
        raise UnsafePathError(
            f"{path} is a symbolic link to {path.readlink()}. Nothing is written through links "
            f"below {folder}: remove it, or download into another folder."
        )
