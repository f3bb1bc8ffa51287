"""Which exports of sessions lie below a folder, by what they say of themselves."""

import os
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
from oscaxr.io.exported import is_exported, layouts_of, open_exported, provenance_of
from oscaxr.model import names as n


@dataclass(frozen=True)
class SessionExport:
    """An export of a session.

    Parameters
    ----------
    path : Path
        Where it is.
    session_id : int or None
        Session id; None where it states none.
    """

    path: Path
    session_id: int | None

    def open(self) -> xr.Dataset:
        """Open it, lazily."""
        opened: xr.Dataset = open_exported(self.path)
        return opened


def session_exports(datadir: Path) -> tuple[list[SessionExport], dict[Path, str]]:
    """Find the exports of sessions below a folder.

    Parameters
    ----------
    datadir : Path
        Folder; searched at any depth. Hidden files and folders are passed over, links to folders
        are followed, each folder being entered once.

    Returns
    -------
    found : list of SessionExport
        In order of their paths. Exports of other things, e.g. sequences, and stores and files that
        oscaxr did not write are passed over.
    unreadable : dict of Path to str
        What is named like an export but cannot be read, and why.
    """
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
    """Find the export of one session below a folder.

    Parameters
    ----------
    datadir : Path
        Folder; searched at any depth.
    session_id : int
        Session id.

    Returns
    -------
    Path or None
        None where there is none.

    Raises
    ------
    AmbiguousSessionError
        If there are several.
    ExportError
        If there is none among those that can be read, and some cannot.
    """
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
    seen: set[str] = set()

    def is_new(path: str | Path) -> bool:
        real = os.path.realpath(path)
        new = real not in seen
        seen.add(real)
        return new

    for root, folders, files in os.walk(datadir, followlinks=True):
        if not is_new(root):
            folders.clear()
            continue
        shown = [name for name in sorted(folders) if not name.startswith(".")]
        # A store is not searched itself.
        folders[:] = [name for name in shown if not is_exported(name)]
        stores = [name for name in shown if is_exported(name)]
        packed = [name for name in sorted(files) if is_exported(name) and name[0] != "."]
        for path in (Path(root, name) for name in [*stores, *packed]):
            if is_new(path):
                yield path
