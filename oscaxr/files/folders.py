"""Folders of this computer and of object stores: gone through, read from and written to alike."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from oscaxr.atomic import atomic_target
from oscaxr.files.remote import Place, RemoteFile, missing_library

if TYPE_CHECKING:
    from oscaxr.files.object_folder import Check, ObjectFolder

Names = tuple[Place, list[str], list[str]]
"""A folder, and the names of the folders and files in it."""


def object_folder(remote: RemoteFile) -> "ObjectFolder":
    """Return a folder of an object store; an error that names what is not installed."""
    try:
        from oscaxr.files.object_folder import ObjectFolder

        return ObjectFolder(remote)
    except ImportError as error:
        raise missing_library(remote, error) from error


def new_file(
    target: Place, *, overwrite: bool, check: "Check | None" = None
) -> AbstractContextManager[Path]:
    """Give a temporary path, which becomes the file in one step if all goes well."""
    if isinstance(target, Path):
        return atomic_target(target, overwrite=overwrite, check=check)
    folder = object_folder(target.parent)
    return folder.new_object(target.name, overwrite=overwrite, check=check)


def new_folder(
    target: Place, *, first: str = "", last: str, overwrite: bool, check: "Check | None" = None
) -> AbstractContextManager[Path]:
    """Give a temporary path, which becomes the folder if all goes well.

    In a store, one of its files is put first, and one last that marks it as complete.
    """
    if isinstance(target, Path):
        return atomic_target(target, overwrite=overwrite, check=check)
    folder = object_folder(target)
    return folder.new_folder(first=first, last=last, overwrite=overwrite, check=check)


@contextmanager
def file_here(place: Place) -> Iterator[Path]:
    """Give the path of a file; of one in a store, that of a copy, for as long as it is used."""
    if isinstance(place, Path):
        yield place
        return
    with TemporaryDirectory(prefix="oscaxr-") as temporary:
        object_folder(place.parent).get(Path(temporary), [place.name])
        yield Path(temporary) / place.name


@contextmanager
def folder_here(place: Place, names: Collection[str] | None = None) -> Iterator[Path]:
    """Give the path of a folder; of one in a store, that of a copy, for as long as it is used.

    If names are given, of those files only that have them.
    """
    if isinstance(place, Path):
        yield place
        return
    with TemporaryDirectory(prefix="oscaxr-") as temporary:
        folder = object_folder(place)
        there = folder.sizes()
        folder.get(Path(temporary), [one for one in there if names is None or one in names])
        yield Path(temporary)


def size_of(place: Place) -> int | None:
    """Return the size of a file; None where there is none."""
    if isinstance(place, Path):
        return place.stat().st_size if place.is_file() else None
    return object_folder(place.parent).size(place.name)


def remove_file(place: Place) -> None:
    """Remove a file, if it is there."""
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
    elif size_of(place) is not None:
        object_folder(place.parent).remove([place.name])


def names_in(folder: Place) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder; none where it is none."""
    names: tuple[list[str], list[str]] = ([], [])
    if isinstance(folder, RemoteFile):
        return names if folder.is_http else object_folder(folder).names()
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() or path.is_file():
            names[path.is_file()].append(path.name)
    return names


def is_folder(place: Place) -> bool:
    """Say whether there is a folder at a place; on the web, nothing is known as one."""
    return place.is_dir() if isinstance(place, Path) else any(names_in(place))


def has_file(folder: Place, name: str) -> bool:
    """Say whether a file of this name lies in a folder; on the web, none is looked for."""
    if isinstance(folder, Path):
        return (folder / name).is_file()
    return name in names_in(folder)[1]


def walk(folder: Place, on_error: Callable[[OSError], object] | None = None) -> Iterator[Names]:
    """Go through a folder and all below it that are left in the list of folders that it gives."""
    if isinstance(folder, RemoteFile):
        yield from _walk_store(folder)
        return
    entered = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(root)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = _seen(folders)
        yield Path(root), folders, _seen(files)


def _walk_store(folder: RemoteFile) -> Iterator[Names]:
    folders, files = map(_seen, names_in(folder))
    yield folder, folders, files
    for name in folders:
        yield from _walk_store(folder / name)


def _seen(names: list[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("."))
