"""Arrays that are computed once, on first use, and shared with all that was derived from them."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from oscaxr.arrays.xarray_internals import IndexedOnRead, LazilyIndexedArray


class Once:
    """A value that is computed on first use and then kept; picklable, thread-safe."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self._lock = threading.Lock()
        self._value: Any = None
        self._done = False

    def __call__(self) -> Any:
        """Return the value, computing it the first time."""
        with self._lock:
            if not self._done:
                self._value = self.function()
                self._done = True
        return self._value

    @property
    def done(self) -> bool:
        """Whether the value has been computed."""
        return self._done

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Once.__init__(self, state["function"])

    def __deepcopy__(self, memo: dict[int, Any]) -> "Once":
        return self


class ComputedArray(IndexedOnRead):
    """An array whose values are one part of a :class:`Once`."""

    def __init__(
        self, once: Once, shape: tuple[int, ...], dtype: Any, part: str | None = None
    ) -> None:
        self.once = once
        self.part = part
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ComputedArray":
        return self

    def _read(self, key: tuple[Any, ...]) -> Any:
        value = self.once() if self.part is None else self.once()[self.part]
        for dim in reversed(range(len(key))):
            value = value[(slice(None),) * dim + (key[dim],)]
        # The kept value is shared by all: nobody may write into it through a view.
        return np.array(value)


def computed(
    once: Once, shape: tuple[int, ...], dtype: Any, part: str | None = None
) -> LazilyIndexedArray:
    """Return a computed array, ready to be the data of a Variable."""
    return LazilyIndexedArray(ComputedArray(once, shape, dtype, part))
