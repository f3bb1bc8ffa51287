"""Which exports of sessions lie below a folder, by what they say of themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from oscaxr.errors import (
    AmbiguousSessionError,
    ExportError,
    ForeignExportError,
    OscaxrError,
)
from oscaxr.files.walk import walk_folders
from oscaxr.model import names as n
from oscaxr.store.open import is_exported, layouts_of, open_exported, provenance_of


@dataclass(frozen=True)
class SessionExport:
    """An export of a session."""

    path: Path
    session_id: int | None

    def open(self) -> xr.Dataset:
        """Open it, lazily."""
        opened: xr.Dataset = open_exported(self.path)
        return opened


def session_exports(datadir: Path) -> tuple[list[SessionExport], dict[Path, str]]:
    """Find the exports of sessions below a folder."""
    found: list[SessionExport] = []
    unreadable: dict[Path, str] = {}
    for path in sorted(_candidates(datadir)):
        try:
            layout = layouts_of(path)[""]
            if layout.kind == "Dataset" and any(n.SEGMENT in d for d in layout.dims.values()):
                found.append(SessionExport(path, provenance_of(path).get("session_id")))
        except ForeignExportError:
            continue
        except OscaxrError as error:
            unreadable[path] = str(error)
    return found, unreadable


def find_session_export(datadir: Path, session_id: int) -> Path | None:
    """Find the export of one session below a folder."""
    found, unreadable = session_exports(datadir)
    paths = [one.path for one in found if one.session_id == session_id]
    if len(paths) > 1:
        raise AmbiguousSessionError(
            f"Session {session_id} has several exports below {datadir}:"
            + "".join(f"\n  {path}" for path in paths)
            + "\nOpen one of them by its path, or give a narrower datadir."
        )
    if not paths and unreadable:
        raise ExportError(
            f"There is no export of session {session_id} below {datadir} among those that can be "
            "read. These cannot:" + "".join(f"\n  {reason}" for reason in unreadable.values())
        )
    return paths[0] if paths else None


def _candidates(datadir: Path) -> Iterator[Path]:
    """Yield what is named like an export, each real one once."""
    seen: set[Path] = set()
    for root, folders, files in walk_folders(datadir):
        stores = [name for name in folders if is_exported(name)]
        # A store is not searched itself.
        folders[:] = [name for name in folders if not is_exported(name)]
        packed = [name for name in files if is_exported(name)]
        for path in (root / name for name in [*stores, *packed]):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path
