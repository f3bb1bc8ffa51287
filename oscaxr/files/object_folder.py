"""A folder in an object store: which objects there are, put and removed many at a time."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from oscaxr.errors import CriterionError
from oscaxr.files.object_ranges import ask, filesystem_of
from oscaxr.files.remote import RemoteFile


class ObjectFolder:
    """The objects whose names begin with an address."""

    def __init__(self, remote: RemoteFile) -> None:
        if remote.is_http:
            raise CriterionError(
                f"{remote}: nothing can be written to an address on the web. Give one in an object "
                "store (s3://bucket/..., gs://bucket/...), or a folder."
            )
        self.remote = remote
        self._fs = filesystem_of(remote)
        self._root = str(self._fs._strip_protocol(remote.url)).rstrip("/")

    def sizes(self) -> dict[str, int]:
        """Return the objects that there are, by name below the folder, and their sizes."""
        found = self._ask(partial(self._fs.find, self._root, detail=True))
        named = {str(path).removeprefix(self._root).lstrip("/"): one for path, one in found.items()}
        return {name: int(one["size"]) for name, one in named.items()}

    def modified_ns(self, name: str) -> int:
        """Return when an object was last written, in nanoseconds."""
        return int(self._ask(self._fs.modified, f"{self._root}/{name}").timestamp() * 1e9)

    def put(self, folder: Path, names: Collection[str]) -> None:
        """Store files of a folder under their names."""
        here = [str(folder / name) for name in names]
        there = [f"{self._root}/{name}" for name in names]
        if here:
            self._ask(self._fs.put, here, there)

    def remove(self, names: Collection[str]) -> None:
        """Remove objects."""
        if names:
            self._ask(self._fs.rm, [f"{self._root}/{name}" for name in names])

    def _ask(self, function: Any, *args: Any) -> Any:
        return ask(self.remote, function, *args, doing="write")
