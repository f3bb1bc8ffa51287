"""The files of a zarr store: in a folder, or packed into one zip file.

Of a folder, nothing is kept open; a store that was closed reads again.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Final

from oscaxr.arrays.lazy import Once
from oscaxr.errors import DamagedExportError, OscaxrError
from oscaxr.files.hdf5 import check_unchanged, stamp_of
from oscaxr.files.remote import RemoteFile
from oscaxr.store.checks import MAX_DOCUMENT_BYTES, Opened, damaged, read_json

DOCUMENT: Final = "zarr.json"
"""File that describes a group or an array."""

DIGEST: Final = "oscaxr.json"
"""File of the digest of a store."""

_UNREADABLE: Final = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile)
# The list of names of a zip file is described in its last bytes.
_ZIP_TAIL: Final = 2**16 + 100


class StoreFiles:
    """The files of a store; picklable."""

    remote: RemoteFile | None = None

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.packed = path.is_file()
        self._archive = Once(partial(_open_zip, self.path), in_each_process=True)
        self.zarr_store = Once(partial(_zarr_store, self.path, self.packed), in_each_process=True)
        marks = [] if self.packed else [path / DIGEST, path / DOCUMENT]
        self._mark = str(next((mark for mark in marks if mark.exists()), path))
        self._stamp = stamp_of(self._mark)
        self._content = self._marked()

    @contextmanager
    def opened(self, key: str) -> Iterator[Opened | None]:
        """Open one of the files, if it is there and a file of the store."""
        try:
            found = self._open(key)
            with found.file if found else nullcontext():
                yield found
        except OscaxrError:
            raise
        except _UNREADABLE as error:
            raise damaged(self.path, f"{key} was changed, or is damaged ({error})") from error

    def _open(self, key: str) -> Opened | None:
        if self.packed:
            archive, members = self._archive()
            info = members.get(key)
            return None if info is None else Opened(archive.open(info), info.compress_size)
        path = f"{self.path}/{key}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode) or os.path.realpath(path) != path:
            raise damaged(self.path, f"{key} cannot be read: it is no file of the store")
        return Opened(FileIO(path), status.st_size)

    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON document."""
        with self.opened(key) as opened:
            return None if opened is None else read_json(self.path, key, opened)

    def keys(self) -> Iterator[str]:
        """List the files of the store that describe its groups and arrays, below the root."""
        if self.packed:
            _, members = self._archive()
            yield from (key for key in members if key.endswith(f"/{DOCUMENT}"))
            return
        for folder, _, names in os.walk(self.path):
            if DOCUMENT in names and folder != self.path:
                yield f"{os.path.relpath(folder, self.path)}/{DOCUMENT}".replace(os.sep, "/")

    def check_unchanged(self) -> None:
        """Refuse to read from another store that took the place of this one."""
        found = check_unchanged(self.path, self._stamp, self._mark, DamagedExportError)
        if self._stamp.place is None:
            # In another process than the one that opened it, size and time alone say little.
            if self._marked() != self._content:
                raise damaged(self.path, "it was replaced by another since it was opened")
            self._stamp = found

    def _marked(self) -> int:
        """Return a checksum of the digest of a folder."""
        if self.packed:
            return 0
        try:
            with self.opened(Path(self._mark).name) as opened:
                if opened is None or opened.size > MAX_DOCUMENT_BYTES:
                    return 0
                return zlib.crc32(opened.read(0, opened.size))
        except DamagedExportError:
            # It is refused when it is read.
            return 0

    @property
    def is_plain(self) -> bool:
        """Whether only plain zarr reads it."""
        return self.packed

    def close(self) -> None:
        """Release the zip file."""
        if self.packed and self._archive.done:
            self._archive()[0].close()
            self._archive = Once(self._archive.function, in_each_process=True)
        if self.packed and self.zarr_store.done:
            self.zarr_store().close()


def _open_zip(path: str) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """Open a zip file; return it with its members, checked."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (of a string, not of a Path)
            _check_directory(file)
        archive = zipfile.ZipFile(path)
        infos, size = archive.infolist(), os.stat(path).st_size  # noqa: PTH116
        if any(info.header_offset + info.compress_size > size for info in infos):
            raise ValueError("a part of it runs beyond its end")
    except _UNREADABLE as error:
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
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise damaged(path, "it has several files of the same name")
    return archive, members


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


def _zarr_store(path: str, packed: bool) -> Any:
    """Open a store for zarr."""
    import zarr
    from zarr.storage import LocalStore, ZipStore

    store = ZipStore(path, mode="r") if packed else LocalStore(path, read_only=True)
    if packed:
        zarr.open_group(store, mode="r", use_consolidated=False)  # a store does not open itself
    return store
