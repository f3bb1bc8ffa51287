"""A folder in an object store: which objects there are, put and removed many at a time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oscaxr.errors import CriterionError, SessionNotFoundError, TargetExistsError, option
from oscaxr.files.object_ranges import ask, filesystem_of
from oscaxr.files.remote import RemoteFile


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

    def modified_ns(self, name: str) -> int:
        """Return when an object was last written, in nanoseconds."""
        return int(self._ask(self._fs.modified, f"{self._root}/{name}").timestamp() * 1e9)

    def put(self, folder: Path, names: Collection[str]) -> None:
        """Store files of a folder under their names."""
        here = [str(folder / name) for name in names]
        there = [f"{self._root}/{name}" for name in names]
        if here:
            self._ask(self._fs.put, here, there)

    @contextmanager
    def new_object(self, name: str, *, overwrite: bool) -> Iterator[Path]:
        """Give a temporary path, and store what is there under a name if all goes well.

        In one step: until then, readers see the old object, or none.
        """

        def check_free() -> None:
            if name in self.names()[1] and not overwrite:
                raise TargetExistsError(
                    f"{self.remote / name} exists already. Give another address, or "
                    f"{option('overwrite', True)} to replace it."
                )

        check_free()
        with TemporaryDirectory(prefix="oscaxr-") as temporary:
            yield Path(temporary) / name
            check_free()
            self.put(Path(temporary), [name])

    def remove(self, names: Collection[str]) -> None:
        """Remove objects."""
        if names:
            self._ask(self._fs.rm, [f"{self._root}/{name}" for name in names])

    def _ask(self, function: Any, *args: Any) -> Any:
        return ask(self.remote, function, *args, doing="write")
