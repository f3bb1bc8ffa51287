"""A folder in an object store: which objects there are; put, fetched and removed many at a time.

What is written is made in a temporary folder, then put. An object appears in one step. A folder
does not, as nothing in a store can be renamed: it is complete when the one object is there that is
put last, without which readers refuse it. What is replaced loses that one first.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oscaxr.errors import (
    CriterionError,
    ExportError,
    RemoteError,
    SessionNotFoundError,
    TargetExistsError,
    UnsafePathError,
    option,
)
from oscaxr.files.object_ranges import ask, filesystem_of
from oscaxr.files.remote import Place, RemoteFile

Check = Callable[[Place], None]
"""Refuses to replace what is at a place."""


class ObjectFolder:
    """The objects whose names begin with an address."""

    def __init__(self, remote: RemoteFile) -> None:
        if remote.is_http:
            raise CriterionError(
                f"{remote} is no folder: an address on the web says nothing of what lies below it, "
                "and nothing can be written there. Give one in an object store "
                "(s3://bucket/..., gs://bucket/...), or a folder."
            )
        self.remote = remote
        self._fs = filesystem_of(remote)
        self._root = str(self._fs._strip_protocol(remote.url)).rstrip("/")

    def sizes(self) -> dict[str, int]:
        """Return the objects that there are, by name below the folder, and their sizes."""
        found = self._ask(partial(self._fs.find, self._root, detail=True))
        named = {str(path).removeprefix(self._root).lstrip("/"): one for path, one in found.items()}
        return {name: int(one["size"]) for name, one in named.items()}

    def names(self) -> tuple[list[str], list[str]]:
        """Return which folders and which objects lie directly in it; none where it is none."""
        try:
            found = ask(self.remote, partial(self._fs.ls, self._root, detail=True))
        except SessionNotFoundError:
            return [], []
        names: tuple[list[str], list[str]] = ([], [])
        for one in found:
            name = str(one["name"]).rstrip("/").removeprefix(self._root).lstrip("/")
            # What has the name of the folder itself is an object, or a mark that the folder is.
            if name:
                names[one["type"] != "directory"].append(name)
        return names

    def size(self, name: str) -> int | None:
        """Return the size of an object; None where there is none."""
        try:
            found = ask(self.remote / name, self._fs.info, f"{self._root}/{name}")
        except SessionNotFoundError:
            return None
        return None if found["type"] == "directory" else int(found["size"])

    def modified_ns(self, name: str) -> int:
        """Return when an object was last written, in nanoseconds."""
        return int(self._ask(self._fs.modified, f"{self._root}/{name}").timestamp() * 1e9)

    def put(self, folder: Path, names: Collection[str]) -> None:
        """Store files of a folder under their names."""
        here = [str(folder / name) for name in names]
        there = [f"{self._root}/{name}" for name in names]
        if here:
            self._ask(self._fs.put, here, there)

    def get(self, folder: Path, names: Collection[str]) -> None:
        """Copy objects into a folder of this computer, under their names."""
        root = folder.resolve()
        for name in names:
            if not (root / name).resolve().is_relative_to(root):
                raise UnsafePathError(
                    f"{self.remote} has an object {name!r}, which leads out of the folder that it "
                    "is copied to. Nothing is copied: remove the object."
                )
        here = [str(folder / name) for name in names]
        there = [f"{self._root}/{name}" for name in names]
        if there:
            ask(self.remote, self._fs.get, there, here)

    @contextmanager
    def new_object(
        self, name: str, *, overwrite: bool = False, check: Check | None = None
    ) -> Iterator[Path]:
        """Give a temporary path, and store what is there under a name if all goes well.

        In one step: until then, readers see the old object, or none.
        """
        target = self.remote / name

        def check_free() -> None:
            if not (overwrite and check is None) and self.size(name) is not None:
                _refuse(target, overwrite=overwrite, check=check)

        check_free()
        with TemporaryDirectory(prefix="oscaxr-") as temporary:
            yield Path(temporary) / name
            check_free()
            self.put(Path(temporary), [name])

    @contextmanager
    def new_folder(
        self, *, first: str = "", last: str, overwrite: bool = False, check: Check | None = None
    ) -> Iterator[Path]:
        """Give a temporary path, and store the folder that is there if all goes well.

        By the object that is put first, what an interruption leaves is known for ours, so that it
        may be replaced.
        """

        def check_free() -> set[str]:
            there = set(self.sizes())
            if there:
                _refuse(self.remote, overwrite=overwrite, check=check)
            return there

        check_free()
        with TemporaryDirectory(prefix="oscaxr-") as temporary:
            path = Path(temporary) / self.remote.name
            yield path
            old = check_free()
            try:
                self._replace(path, old, first, last)
            except RemoteError as error:
                failure = ExportError(
                    f"{error} What is at {self.remote} is not complete, and is refused by readers: "
                    f"write it again, with {option('overwrite', True)}."
                )
            else:
                return
            raise failure

    def _replace(self, path: Path, old: set[str], first: str, last: str) -> None:
        """Put a folder in place of the objects that there are."""
        sizes = {
            one.relative_to(path).as_posix(): one.stat().st_size
            for one in sorted(path.rglob("*"))
            if one.is_file()
        }
        self.remove(old & {last})
        self.remove(sorted(old - {first, last}))
        self.put(path, [first] if first else [])
        self.put(path, [name for name in sizes if name not in (first, last)])
        if self.sizes() != {name: size for name, size in sizes.items() if name != last}:
            raise RemoteError(f"what is at {self.remote} now is not what was put there")
        self.put(path, [last])

    def remove(self, names: Collection[str]) -> None:
        """Remove objects."""
        if names:
            self._ask(self._fs.rm, [f"{self._root}/{name}" for name in names])

    def _ask(self, function: Any, *args: Any) -> Any:
        return ask(self.remote, function, *args, doing="write")


def _refuse(target: RemoteFile, *, overwrite: bool, check: Check | None) -> None:
    """Refuse to replace what is there, unless it is to be replaced."""
    if not overwrite:
        raise TargetExistsError(
            f"{target} exists already. Give another address, or {option('overwrite', True)} to "
            "replace it."
        )
    if check is not None:
        check(target)
