"""A folder on a server: what is read of its files is kept in a temporary folder."""

import os
import shutil
import weakref
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock

from oscaxr.arrays.lazy import Once
from oscaxr.errors import SessionNotFoundError
from oscaxr.files.range_cache import CONNECTIONS
from oscaxr.files.ranges import Ranges, server_of
from oscaxr.files.remote import BLOCK_SIZE, RemoteFile

Span = tuple[int, int]
"""A range of bytes; from the end, if its start is negative."""


class Mirror:
    """Files of a folder on a server, fetched block by block as they are read."""

    def __init__(self, root: RemoteFile) -> None:
        self._root = root
        self._server = server_of(root)
        self._block = int(root.options.get("block_size", BLOCK_SIZE))
        self._folder = Path(mkdtemp(prefix="oscaxr-"))
        self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())
        self._lock = Lock()
        self._files: dict[str, Once] = {}

    def file(self, key: str) -> "MirroredFile | None":
        """Return a file of the folder; None where there is none of this name."""
        with self._lock:
            path = self._folder / str(len(self._files))
            once = self._files.setdefault(key, Once(partial(self._opened, key, path)))
        found: MirroredFile | None = once()
        return found

    def _opened(self, key: str, path: Path) -> "MirroredFile | None":
        try:
            ranges = self._server.open(self._root / key, self._block)
        except SessionNotFoundError:
            return None
        return MirroredFile(ranges, path, self._block)

    def fetch(self, wanted: Mapping[str, Iterable[Span]]) -> None:
        """Fetch ranges of many files, several at a time; files that are not there are left out."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = zip(pool.map(self.file, wanted), wanted.values(), strict=True)
            tasks = [(file, span) for file, spans in found if file for span in spans]
            list(pool.map(lambda task: task[0].fetch(*task[1]), tasks))

    def close(self) -> None:
        """Forget everything, and close the connections."""
        self._server.close()
        self._remove()


def _remove(folder: Path, process: int) -> None:
    # In a process that is forked from it, the folder is still that of the other.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


class MirroredFile:
    """One of the files, as a file that is read."""

    def __init__(self, ranges: Ranges, path: Path, block: int) -> None:
        self._ranges = ranges
        self._path = path
        self._block = block
        self._lock = Lock()
        self._have: set[int] = set()
        self.size = ranges.source.size
        with path.open("wb") as file:
            # Nothing is stored of what is not fetched, where the file system can do so.
            file.truncate(self.size)
        self._keep(0, ranges.head)

    def fetch(self, start: int, stop: int) -> None:
        """Fetch what is not kept yet of a range."""
        first, last = (self.size + at if start < 0 else at for at in (start, stop))
        numbers = range(max(0, first) // self._block, -(-min(last, self.size) // self._block))
        with self._lock:
            missing = [number for number in numbers if number not in self._have]
        for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
            blocks = [number for _, number in run]
            begin = blocks[0] * self._block
            end = min((blocks[-1] + 1) * self._block, self.size)
            self._keep(begin, self._ranges.read(begin, end))

    def _keep(self, start: int, data: bytes) -> None:
        """Write whole blocks where they belong."""
        with self._lock, self._path.open("r+b") as file:
            file.seek(start)
            file.write(data)
            first = start // self._block
            self._have.update(range(first, first + -(-len(data) // self._block)))

    def bytes(self, start: int, stop: int) -> bytes:
        """Return a range."""
        stop = min(stop, self.size)
        self.fetch(start, stop)
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)
