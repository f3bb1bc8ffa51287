"""Where a sample comes to stand: whole or not at all, and never over what is no sample."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

from oscaxr.errors import (
    ExportError,
    OscaxrError,
    RemoteError,
    TargetExistsError,
    few,
    listed,
    option,
)
from oscaxr.files.folders import file_here, folder_here, is_folder, new_file, size_of
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.model.facts import FACTS
from oscaxr.model.synthetic import MARK, WORDS

_MARKED: Final = "*_sync.h5"


class SampleExistsError(OscaxrError, FileExistsError):
    """A sample file is already there and was not to be overwritten, or is none of a sample."""


def check_place(paths: Iterable[Place], *, overwrite: bool) -> None:
    """Refuse to write where something is, but for samples if they are to be replaced."""
    there = [path for path in paths if _is_there(path)]
    if there and not overwrite:
        raise SampleExistsError(
            f"Already there (give {option('overwrite', True)} to replace samples, or another "
            f"folder):{listed(there)}"
        )
    reasons = {path: why_not_ours(path) for path in there}
    if foreign := [f"{path} {why}" for path, why in reasons.items() if why]:
        raise SampleExistsError(
            f"{option('overwrite', True)} replaces only samples as they were written:"
            f"{listed(foreign)}\nNothing was touched. Give another folder, or remove them yourself."
        )


def _is_there(place: Place) -> bool:
    if isinstance(place, Path):
        return place.exists() or place.is_symlink()
    return size_of(place) is not None or is_folder(place)


@contextmanager
def taking_place(
    path: Place,
    *,
    overwrite: bool,
    making: Callable[..., AbstractContextManager[Path]] = new_file,
) -> Iterator[Path]:
    """Give a path to write to, which takes its place when it is complete, never before."""

    def check(_: Place = path) -> None:
        check_place([path], overwrite=overwrite)

    try:
        check()
        # Writing takes long enough for something else to come.
        with making(path, overwrite=overwrite, check=check) as partial:
            yield partial
    except TargetExistsError:
        check()
        raise
    except OSError as error:
        if isinstance(error, OscaxrError):
            raise
        raise ExportError(f"cannot write {path}: {error}") from error


# -- what samples are recognised by ---------------------------------------------------------------
def why_not_ours(path: Place) -> str:
    """Say why a file, a table or a folder is no sample as it was written; empty where it is one."""
    if isinstance(path, Path) and path.is_symlink():
        return "is a link"
    if is_folder(path):
        with folder_here(path) as folder:
            return _why_not_our_folder(folder)
    if path.name.endswith(".csv"):
        with file_here(path) as table:
            return _why_not_our_table(table)
    return _mark_in(path)[1]


def mark_file(file: Any, about: str = WORDS) -> None:
    """Mark an open HDF5 file as that of a sample."""
    file.attrs[MARK] = about


def mark_folder(folder: Path) -> None:
    """Mark a session's folder: its sync file lists the digests of all others."""
    import h5py

    (marked,) = folder.glob(_MARKED)
    with h5py.File(marked, "r+") as file:
        mark_file(file, json.dumps(_digests(folder, marked)))


def _mark_in(path: Place) -> tuple[str, str]:
    """Return the mark of an HDF5 file, and why there is none."""
    from oscaxr.files.hdf5 import open_file

    try:
        with open_file(path if isinstance(path, RemoteFile) else str(path)) as file:
            mark = file.attrs.get(MARK, "")
    except RemoteError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError):
        return "", "is no file that can be recognised as a sample"
    return str(mark), "" if mark else "is not marked as a sample"


def _why_not_our_table(path: Path) -> str:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return "is no table that can be read"
    if list(table) != [fact.column for fact in FACTS] or table.empty:
        return "is not the session table of samples"
    others = table["sessid"][table["notes"] != WORDS]
    return f"has sessions that are no samples: {few(others, 5)}" if len(others) else ""


def _why_not_our_folder(folder: Path) -> str:
    marks = {path: _mark_in(path)[0] for path in folder.glob(_MARKED)}
    marked = next((path for path, mark in marks.items() if mark), None)
    if marked is None:
        return "is not marked as a sample"
    try:
        written = json.loads(marks[marked])
        found = _digests(folder, marked)
    except (OSError, ValueError):
        return "cannot be compared with what was written"
    if not isinstance(written, dict):
        return "is marked in another way"
    changed = [name for name in found if found[name] != written.get(name)]
    return f"holds what is no sample, or was changed: {few(changed, 5)}" if changed else ""


def _digests(folder: Path, but: Path) -> dict[str, str]:
    """Digest all that is in a folder, but for one file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            name = path.relative_to(folder).as_posix()
            found[name] = "link" if path.is_symlink() else _digest(path)
    del found[but.relative_to(folder).as_posix()]
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
