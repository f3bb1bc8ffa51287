"""The files of a zarr store on a server: fetched as they are read, each read by oscaxr and zarr."""

import asyncio
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn, cast

from oscaxr.arrays.lazy import Once
from oscaxr.errors import ExportError, OscaxrError
from oscaxr.files.remote import RemoteFile, missing_library
from oscaxr.store.checks import Opened, damaged, read_json

END: Final = 2**63
"""Where the last range of a file ends, whatever its size."""


class RemoteStoreFiles:
    """The files of a store on a server; picklable."""

    is_plain = True

    def __init__(self, remote: RemoteFile) -> None:
        if str(remote).lower().endswith(".zip"):
            raise ExportError(
                f"{remote} is a packed store, which is not read over a network: download it first, "
                "or export to .zarr, of which only what is used is fetched."
            )
        self.remote = remote
        self.path = str(remote)
        self._mirror = _Mirrors(remote)
        self.zarr_store = Once(partial(_zarr_store, self._mirror), in_each_process=True)

    @contextmanager
    def opened(self, key: str) -> Iterator[Opened | None]:
        """Open one of the files, if it is there."""
        found = self._mirror().file(key)
        try:
            yield None if found is None else Opened(cast("Any", _Reading(found)), found.size)
        except OscaxrError:
            raise
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"{key} was changed, or is damaged ({error})") from error

    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON document."""
        with self.opened(key) as opened:
            return None if opened is None else read_json(self.path, key, opened)

    def keys(self) -> Iterator[str]:
        """Refuse to look for documents: not all servers list what they have."""
        raise damaged(
            self.path, "its metadata are not gathered in its first document, as exports have them"
        )

    def check_unchanged(self) -> None:
        """Do nothing: each file is asked for in one state, and chunks are those of the digest."""

    def fetch(self, wanted: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """Fetch ranges of many files, several at a time."""
        self._mirror().fetch(wanted)

    def close(self) -> None:
        """Forget what was fetched."""
        self._mirror.close()


class _Mirrors:
    """Gives what is fetched; after it was closed, anew."""

    def __init__(self, remote: RemoteFile) -> None:
        self._once = Once(partial(_mirror_of, remote), in_each_process=True)

    def __call__(self) -> Any:
        return self._once()

    def close(self) -> None:
        if self._once.done:
            self._once().close()
        self._once = Once(self._once.function, in_each_process=True)


class _Reading(io.RawIOBase):
    """One of the files, read from a place that is its own."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.bytes(self._position, self._position + size)
        self._position += len(data)
        return data


def _mirror_of(remote: RemoteFile) -> Any:
    try:
        from oscaxr.files.mirror import Mirror

        return Mirror(remote)
    except ImportError as error:
        raise missing_library(remote, error) from error


def _zarr_store(mirror: _Mirrors) -> Any:
    """Return the files as a store of zarr, which reads in threads of its own."""
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

    def bytes_of(key: str, wanted: Any) -> bytes | None:
        file = mirror().file(key)
        if file is None:
            return None
        start, stop = 0, file.size
        if isinstance(wanted, RangeByteRequest):
            start, stop = wanted.start, wanted.end
        elif isinstance(wanted, OffsetByteRequest):
            start = wanted.offset
        elif isinstance(wanted, SuffixByteRequest):
            start = max(0, stop - wanted.suffix)
        found: bytes = file.bytes(start, stop)
        return found

    class Mirrored(Store):
        supports_writes = supports_deletes = supports_listing = supports_partial_writes = False

        def __eq__(self, other: object) -> bool:
            return self is other

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            found = await asyncio.to_thread(bytes_of, key, byte_range)
            return None if found is None else prototype.buffer.from_bytes(found)

        async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Any]:
            return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

        async def exists(self, key: str) -> bool:
            return await asyncio.to_thread(mirror().file, key) is not None

        async def set(self, key: str, value: Any) -> NoReturn:
            raise NotImplementedError

        async def set_partial_values(self, key_start_values: Any) -> NoReturn:
            raise NotImplementedError

        async def delete(self, key: str) -> NoReturn:
            raise NotImplementedError

        def list(self) -> NoReturn:
            raise NotImplementedError

        def list_prefix(self, prefix: str) -> NoReturn:
            raise NotImplementedError

        def list_dir(self, prefix: str) -> NoReturn:
            raise NotImplementedError

    return Mirrored(read_only=True)
