"""The sessions of the demo: written once, kept in the cache folder, checked before each use."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from platformdirs import user_cache_path

from oscaxr import __version__, sample
from oscaxr.errors import OscaxrError

# Long enough for some twenty unexpected sequences, small enough to be written in seconds.
DESCRIPTION: Final[dict[str, Any]] = {
    "seed": 0,
    "scale": 0.3,
    "n_rois": [40, 36, 44],
    "n_tracked": 24,
}
MANIFEST: Final = "demo.json"


class DemoFolderError(OscaxrError, OSError):
    """The demo's sessions cannot be put into a folder: it is occupied, or not writable."""


def cache_folder() -> Path:
    """Return where the demo's sessions are kept, for this version and description."""
    described = json.dumps([__version__, DESCRIPTION], sort_keys=True)
    name = f"demo-{__version__}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    return user_cache_path("oscaxr", appauthor=False) / name


def demo_sessions(
    folder: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Path, bool]:
    """Return the folder of the demo's sessions, written if they are not there and intact."""
    # They are written elsewhere on the same disk and moved into place when complete, the list of
    # their fingerprints last, so that a demo that is stopped half-way leaves nothing that would be
    # taken for sessions, and two demos may start at the same time.
    chosen = cache_folder() if folder is None else folder.absolute()
    if is_intact(chosen):
        return chosen, False
    occupied = chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir()))
    if folder is not None and occupied:
        raise DemoFolderError(
            f"{folder} is not empty and does not hold the demo's sessions as they were written "
            f"(oscaxr {__version__}). Nothing in it was touched. Give a new folder with --out."
        )
    # An empty folder that was given stays the same folder: someone may be standing in it.
    fill = folder is not None and chosen.is_dir()
    partial = _unused(chosen if fill else chosen.parent)
    try:
        chosen.parent.mkdir(parents=True, exist_ok=True)
        sample.write_mouse(partial, progress=progress, **DESCRIPTION)
        content = {path: _fingerprint(partial / path) for path in _files(partial)}
        (partial / MANIFEST).write_text(
            json.dumps({"version": __version__, "sample": DESCRIPTION, "files": content}, indent=1)
        )
        if fill:
            for path in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
                path.rename(chosen / path.name)
        else:
            _put(partial, chosen, is_cache=folder is None)
    except OSError as error:
        raise DemoFolderError(
            f"cannot write the demo's sessions to {chosen}: {error}. Give another folder with "
            "--out."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return chosen, True


def is_intact(folder: Path) -> bool:
    """Return whether a folder holds the demo's sessions, byte for byte as they were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if (manifest["version"], manifest["sample"]) != (__version__, DESCRIPTION):
            return False
        files = manifest["files"]
        return bool(files) and all(
            _fingerprint(folder / path) == found for path, found in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unused(parent: Path) -> Path:
    return parent / f".{uuid4().hex}.partial"


def _put(partial: Path, chosen: Path, *, is_cache: bool) -> None:
    """Move the finished folder to its name, in place of a damaged one in the cache."""
    if is_cache and chosen.is_dir() and not is_intact(chosen):
        aside = chosen.replace(_unused(chosen.parent))
        shutil.rmtree(aside, ignore_errors=True)
    try:
        partial.replace(chosen)
    except OSError:
        # Another demo was quicker.
        if not is_intact(chosen):
            raise
