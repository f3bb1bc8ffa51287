"""The files of a zarr store, in a folder or packed into one zip file: found, read and packed.

Nothing is kept open: a store that was closed reads again, and many stores need no descriptors.
"""

import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Final

from oscaxr.arrays.lazy import Once
from oscaxr.errors import DamagedExportError, ExportError
from oscaxr.store.checks import MAX_DOCUMENT_BYTES, Opened, damaged, read_json

DOCUMENT: Final = "zarr.json"
"""File that describes a group or an array."""

DIGEST: Final = "oscaxr.json"
"""File of the digest of a store."""

# Fixed part of the header that precedes a file within a zip file.
_ZIP_HEADER: Final = struct.Struct("<4s5H3I2H")
# The list of names of a zip file is described in its last bytes.
_ZIP_TAIL: Final = 2**16 + 100


class StoreFiles:
    """The files of a store; picklable, and nothing of it stays open."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.packed = path.is_file()
        self._places = Once(partial(_places_in_zip, self.path))
        self._stamp = self._found_stamp()

    @contextmanager
    def opened(self, key: str) -> Iterator[Opened | None]:
        """Open one of the files, if it is there and a file of the store."""
        if self.packed:
            start, size = self._places().get(key, (0, -1))
            if size < 0:
                yield None
                return
            with FileIO(self.path) as file:
                yield file, start, size
            return
        path = f"{self.path}/{key}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        if not stat.S_ISREG(status.st_mode) or os.path.realpath(path) != path:
            raise damaged(self.path, f"{key} cannot be read: it is no file of the store")
        try:
            file = FileIO(path)
        except OSError as error:
            raise damaged(self.path, f"{key} cannot be read ({error})") from error
        with file:
            yield file, 0, status.st_size

    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON document."""
        with self.opened(key) as opened:
            if opened is None:
                return None
            file, start, _ = opened
            size = min(opened[2], MAX_DOCUMENT_BYTES + 1)
            file.seek(start)
            return read_json(self.path, key, file.read(size))

    def keys(self) -> Iterator[str]:
        """List the files of the store that describe its groups and arrays, below the root."""
        if self.packed:
            yield from (key for key in self._places() if key.endswith(f"/{DOCUMENT}"))
            return
        for folder, _, names in os.walk(self.path):
            if DOCUMENT in names and folder != self.path:
                yield f"{os.path.relpath(folder, self.path)}/{DOCUMENT}".replace(os.sep, "/")

    def check_unchanged(self) -> None:
        """Refuse to read from another store that took the place of this one."""
        if self._found_stamp() != self._stamp:
            raise DamagedExportError(
                f"{self.path} was replaced, changed or removed since it was opened. Open it again."
            )

    def _found_stamp(self) -> tuple[int, ...] | None:
        for name in [""] if self.packed else [f"/{DIGEST}", f"/{DOCUMENT}"]:
            try:
                status = Path(self.path + name).stat()
            except OSError:
                continue
            return status.st_ino, status.st_size, status.st_mtime_ns
        return None


def _places_in_zip(path: str) -> dict[str, tuple[int, int]]:
    """Return where the data of each file begin in a zip file, and their size."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (of a string, not of a Path)
            _check_directory(file)
            with zipfile.ZipFile(file) as packed:
                infos = packed.infolist()
            places = {info.filename: _place_in_zip(file, info) for info in infos}
    except (OSError, zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise damaged(
            path, f"cannot open it as an export: it is no whole zip file ({error})"
        ) from error
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise DamagedExportError(
            f"cannot open {path} as an export: it was packed again, with compression. "
            "Pack it without (zip -0), or export it again."
        )
    if strange := [info.filename for info in infos if not _is_part(info)]:
        raise damaged(path, f"it has {strange[0]!r}, which is a link or no name within a store")
    if len(places) < len(infos):
        raise damaged(path, "it has several files of the same name")
    return places


def _is_part(info: zipfile.ZipInfo) -> bool:
    """Say whether a member is a plain file that lies within the store."""
    name = info.filename.rstrip("/")
    within = not {"", ".", ".."} & set(name.split("/")) and "\\" not in name
    return within and not stat.S_ISLNK(info.external_attr >> 16)


def _check_directory(file: Any) -> None:
    """Refuse a list of names that is too long to be read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ZIP_TAIL))
    tail = file.read()
    for mark, at, length in ((b"PK\5\6", 12, 4), (b"PK\6\6", 40, 8)):
        place = tail.rfind(mark)
        listed = int.from_bytes(tail[place + at : place + at + length], "little")
        if place >= 0 and MAX_DOCUMENT_BYTES < listed != 2**32 - 1:
            raise ValueError(f"a list of names of {listed} bytes")


def _place_in_zip(file: Any, info: zipfile.ZipInfo) -> tuple[int, int]:
    file.seek(info.header_offset)
    *_, name_length, extra_length = _ZIP_HEADER.unpack(file.read(_ZIP_HEADER.size))
    start = info.header_offset + _ZIP_HEADER.size + name_length + extra_length
    if start + info.compress_size > file.seek(0, os.SEEK_END):
        raise ValueError(f"{info.filename} runs beyond its end")
    return start, info.compress_size


def pack(folder: Path, path: Path) -> None:
    """Put a store into one zip file, each of its files as it is, and remove the folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
        # What makes the store complete is the last, and it is always the same date: equal stores
        # make equal files.
        for file in sorted(folder.rglob("*"), key=lambda one: (one.name == DIGEST, one)):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                info.file_size = file.stat().st_size
                with file.open("rb") as source, packed.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)
    with zipfile.ZipFile(path) as packed:
        if wrong := packed.testzip():
            raise ExportError(f"what was written reads back otherwise: {wrong}")
    shutil.rmtree(folder)
