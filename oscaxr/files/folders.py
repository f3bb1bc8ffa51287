"""Going through folders, of this computer and of object stores."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from oscaxr.atomic import atomic_target
from oscaxr.files.remote import Place, RemoteFile, missing_library

if TYPE_CHECKING:
    from oscaxr.files.object_folder import ObjectFolder

Names = tuple[Place, list[str], list[str]]
"""A folder, and the names of the folders and files in it."""


def object_folder(remote: RemoteFile) -> "ObjectFolder":
    """Return a folder of an object store; an error that names what is not installed."""
    try:
        from oscaxr.files.object_folder import ObjectFolder

        return ObjectFolder(remote)
    except ImportError as error:
        raise missing_library(remote, error) from error


def new_file(target: Place, *, overwrite: bool) -> AbstractContextManager[Path]:
    """Give a temporary path, which becomes the file in one step if all goes well."""
    if isinstance(target, Path):
        return atomic_target(target, overwrite=overwrite)
    return object_folder(target.parent).new_object(target.name, overwrite=overwrite)


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
