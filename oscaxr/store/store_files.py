"""The files of a zarr store, in a folder or packed into one zip file: listed and read.

Nothing is kept open: a store that was closed reads again, and many stores need no descriptors.
"""

import os
import struct
import zipfile
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final

from oscaxr.arrays.lazy import Once
from oscaxr.errors import DamagedExportError

# Fixed part of the header that precedes a file within a zip file.
_ZIP_HEADER: Final = struct.Struct("<4s5H3I2H")
_ROOT: Final = "zarr.json"


class StoreFiles:
    """The files of a store, by their paths within it; picklable."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.packed = path.is_file()
        self._stamp = self._found_stamp()
        self._packed = Once(self._read_zip)
        if self.packed:
            self._packed()

    def sizes(self) -> dict[str, int]:
        """Return all files of the store."""
        if self.packed:
            return {key: size for key, (_, size) in self._packed().items()}
        found: dict[str, int] = {}
        pending = [""]
        while pending:
            below = pending.pop()
            with os.scandir(f"{self.path}/{below}") as entries:
                for entry in entries:
                    if entry.is_dir():
                        pending.append(f"{below}{entry.name}/")
                    else:
                        found[below + entry.name] = entry.stat().st_size
        return found

    def read(self, key: str) -> bytes | None:
        """Read a whole file."""
        with OpenStore(self) as opened:
            found = opened.read(key)
            return None if found is None else bytes(found)

    def check_unchanged(self) -> None:
        """Refuse to read from another store that took the place of this one."""
        if self._found_stamp() != self._stamp:
            raise DamagedExportError(
                f"{self.path} was replaced, changed or removed since it was opened. Open it again."
            )

    def _found_stamp(self) -> tuple[int, int] | None:
        try:
            status = Path(self.path if self.packed else f"{self.path}/{_ROOT}").stat()
        except OSError:
            return None
        return status.st_ino, status.st_size

    def _read_zip(self) -> dict[str, tuple[int, int]]:
        """Return where the data of each file begin in the zip file, and their size."""
        try:
            with zipfile.ZipFile(self.path) as packed:
                infos = packed.infolist()
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise DamagedExportError(
                f"cannot open {self.path} as an export: it is no whole zip file ({error}). "
                "Export it again, or copy it again if it was copied."
            ) from error
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise DamagedExportError(
                f"cannot open {self.path} as an export: it was packed again, with compression. "
                "Pack it without (zip -0), or export it again."
            )
        places = {}
        with Path(self.path).open("rb") as file:
            for info in infos:
                file.seek(info.header_offset)
                header = file.read(_ZIP_HEADER.size)
                if len(header) < _ZIP_HEADER.size:
                    raise DamagedExportError(f"{self.path} is truncated. Export it again.")
                *_, name_length, extra_length = _ZIP_HEADER.unpack(header)
                start = info.header_offset + _ZIP_HEADER.size + name_length + extra_length
                places[info.filename] = (start, info.file_size)
        return places


class OpenStore:
    """Reads pieces of a store's files, for one thread, into memory that is used again."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._file: FileIO | None = None
        self._key = ""
        self._start = self._size = 0
        self._buffer = bytearray()

    def __enter__(self) -> "OpenStore":
        self._files.check_unchanged()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def size(self, key: str) -> int | None:
        """Return the size of a file; None where there is none."""
        return self._size if self._find(key) else None

    def read(self, key: str, start: int = 0, size: int | None = None) -> memoryview | None:
        """Read a piece of a file."""
        if not self._find(key) or self._file is None:
            return None
        start = max(0, start + self._size) if start < 0 else min(start, self._size)
        length = self._size - start if size is None else max(0, min(size, self._size - start))
        if len(self._buffer) < length:
            # New memory costs more than reading into it: pieces are of like sizes.
            self._buffer = bytearray(length + length // 4)
        piece = memoryview(self._buffer)[:length]
        self._file.seek(self._start + start)
        return piece[: self._file.readinto(piece)]

    def _find(self, key: str) -> bool:
        """Make a file the one that is read from; say whether there is one."""
        if self._file is not None and key == self._key:
            return True
        files = self._files
        if files.packed:
            place = files._packed().get(key)
            if place is None:
                return False
            self._start, self._size = place
            if self._file is None:
                self._file = FileIO(files.path)
        else:
            if self._file is not None:
                self._file.close()
                self._file = None
            try:
                self._file = FileIO(f"{files.path}/{key}")
            except FileNotFoundError:
                return False
            except OSError as error:
                raise DamagedExportError(
                    f"{files.path}: {key} cannot be read ({error}). Check its permissions, or "
                    "export it again."
                ) from error
            self._start, self._size = 0, os.fstat(self._file.fileno()).st_size
        self._key = key
        return True
