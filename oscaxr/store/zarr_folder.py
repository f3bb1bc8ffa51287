"""The folder that an export is written into, as a store of zarr that can be left alone.

Zarr handles many files at once, in threads of its own, and goes on with the others where one of
them fails: it writes into a folder that is being removed, and has the handles that this takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Use:
    """How many files of a folder are read or written, until no more may be begun."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._files = 0
        self._ended = False

    @contextmanager
    def of_one_more(self) -> Iterator[None]:
        """Count a file while it is read or written."""
        with self._state:
            if self._ended:
                raise OSError("the export has ended")
            self._files += 1
        try:
            yield
        finally:
            with self._state:
                self._files -= 1
                self._state.notify_all()

    def end(self) -> None:
        """Let no more be begun, and wait for what was."""
        with self._state:
            self._ended = True
            self._state.wait_for(lambda: not self._files)


def zarr_folder(path: Path, use: Use) -> Any:
    """Return a folder as a store of zarr, whose use is counted."""
    from zarr.storage import LocalStore

    class Folder(LocalStore):
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            with use.of_one_more():
                return await super().get(key, *args, **kwargs)

        async def set(self, key: str, value: Any) -> None:
            with use.of_one_more():
                await super().set(key, value)

        async def set_if_not_exists(self, key: str, value: Any) -> None:
            with use.of_one_more():
                await super().set_if_not_exists(key, value)

    return Folder(path)
