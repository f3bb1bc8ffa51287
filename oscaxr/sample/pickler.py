"""Pickles as Python 2 wrote them, where text and bytes are one type and NumPy has its old names."""

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, ClassVar, Final, Never

import numpy as np

from oscaxr.sample.spec import SampleError

# The pickler of the standard library that is written in Python, so that parts can be replaced.
_Pickler: Any = pickle._Pickler


@dataclass(frozen=True)
class _Name:
    """Something that is pickled by where to import it from."""

    module: str
    name: str

    def __call__(self) -> Never:
        """Stand for a function: the pickler asks whether it is one, and does not call it."""
        raise NotImplementedError


_PLAIN: Final = (type(None), bool, int, float, str, bytes, tuple, list, dict, _Name)
# What is referred to when it comes again.
_KEPT: Final = (str, np.dtype, _Name)


class Python2Pickler(_Pickler):  # type: ignore[misc]
    """Pickler of the plain data in a stimulus log, as Python 2.7 wrote it."""

    # The standard library writes bytes in these protocols as calls of `_codecs.encode` and text as
    # Unicode, which is not what the logs hold. Every object gets its number in the memo, as Python
    # 2 gave it one, but only names, text and dtypes are referred to again: no copy of the arrays is
    # kept. Read the result with `encoding="latin1"`.

    def __init__(self, file: BinaryIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.write = file.write
        self._n_puts = 0
        self._numbers: dict[Any, int] = {}

    def save(self, value: Any) -> None:
        """Write a value, or the number of an equal one that is there."""
        # Equal words are one object to Python 2 where they stand in its source.
        number = self._numbers.get(value) if isinstance(value, _KEPT) else None
        if number is not None:
            self.write(self.get(number))
        elif type(value) in _PLAIN:
            self.dispatch[type(value)](self, value)
        else:
            self.save_reduce(*_made_again(value), obj=value)

    def memoize(self, value: Any) -> None:
        """Give what was just written its number."""
        self.write(self.put(self._n_puts))
        if isinstance(value, _KEPT):
            self._numbers[value] = self._n_puts
        self._n_puts += 1

    def _save_name(self, value: _Name) -> None:
        self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        self.memoize(value)

    def _save_text(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        if not self.bin:
            self.write(pickle.STRING + repr(content)[1:].encode("ascii") + b"\n")
        elif len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(content)) + content)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch: ClassVar = {
        **_Pickler.dispatch,
        **dict.fromkeys((str, bytes), _save_text),
        _Name: _save_name,
    }


def _made_again(value: Any) -> tuple[Any, ...]:
    """Return what makes a value again that is no plain data: function, arguments, state."""
    match value:
        case np.generic():
            return _Name("numpy.core.multiarray", "scalar"), (value.dtype, value.tobytes())
        case np.ndarray():
            state = (1, value.shape, value.dtype, False, value.tobytes())
            maker = _Name("numpy.core.multiarray", "_reconstruct")
            return maker, (_Name("numpy", "ndarray"), (0,), "b"), state
        case np.dtype():
            order, name = value.str[0], value.str[1:]
            details = (3, order, None, None, None, -1, -1, 0)
            return _Name("numpy", "dtype"), (name, False, True), details
        case OrderedDict():
            return _Name("collections", "OrderedDict"), (
                [[key, item] for key, item in value.items()],
            )
        case datetime():
            return _Name("datetime", "datetime"), (value.__reduce_ex__(2)[1][0],)
        case np.random.RandomState():
            return _Name("numpy.random", "__RandomState_ctor"), (), value.get_state()
    raise SampleError(f"Cannot pickle a {type(value).__name__} as Python 2 did.")
