"""What a store is written through, in a thread of its own, so that Ctrl-C leaves nothing behind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from oscaxr.store.blocks import Region
from oscaxr.store.encoding import Stored

Array = np.ndarray[Any, Any]
Result = TypeVar("Result")


class Writer(Protocol):
    """A store that is being written."""

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its variables, empty."""

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""

    def finish(self, attrs: dict[str, dict[str, Any]]) -> None:
        """Write the attributes of the groups and complete the store."""

    def close(self) -> None:
        """Release what is open."""


class ThreadedWriter:
    """Writes through another writer in one thread that signals do not reach."""

    # Ctrl-C interrupts the main thread wherever it is. Zarr, called by it, goes on writing in
    # threads of its own, into a folder that is being removed; a lock of the netCDF library stays
    # locked. Here, only the waiting is interrupted, and closing waits for what was begun.

    def __init__(self, make: Callable[[], Writer]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._writer: Writer | None = None
        try:
            self._run(partial(self._make, make))
        except BaseException:
            self.close()
            raise

    def _make(self, make: Callable[[], Writer]) -> None:
        self._writer = make()

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its variables, empty (see :class:`Writer`)."""
        self._run(lambda: self._made().create(group, stored))

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable (see :class:`Writer`)."""
        self._run(lambda: self._made().write(group, one, region, values))

    def finish(self, attrs: dict[str, dict[str, Any]]) -> None:
        """Write the attributes of the groups and complete the store (see :class:`Writer`)."""
        self._run(lambda: self._made().finish(attrs))

    def close(self) -> None:
        """Wait until nothing is being written any more, and release what is open."""
        self._pool.submit(self._close)
        self._pool.shutdown(wait=True)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _made(self) -> Writer:
        assert self._writer is not None
        return self._writer

    def _run(self, task: Callable[[], Result]) -> Result:
        return self._pool.submit(task).result()
