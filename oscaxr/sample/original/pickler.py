"""Pickles as Python 2 wrote them, where text and bytes are one type and NumPy has its old names."""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.spec import SampleError


class _Name(NamedTuple):
    """Something that is pickled by where to import it from."""

    module: str
    name: str


_NDARRAY: Final = _Name("numpy", "ndarray")
_DTYPE: Final = _Name("numpy", "dtype")
_ARRAY_MAKER: Final = _Name("numpy.core.multiarray", "_reconstruct")
_SCALAR_MAKER: Final = _Name("numpy.core.multiarray", "scalar")
_RANDOM_STATE_MAKER: Final = _Name("numpy.random", "__RandomState_ctor")
_ORDERED_DICT: Final = _Name("collections", "OrderedDict")
_DATETIME: Final = _Name("datetime", "datetime")


class Python2Pickler:
    """Pickler of the plain data in a stimulus log, as Python 2.7 wrote it."""

    # The standard library writes bytes in these protocols as calls of `_codecs.encode` and text as
    # Unicode, which is not what the logs hold. Every object gets its number in the memo, as Python
    # 2 gave it one, but only names, text and dtypes are referred to again: no copy of the arrays is
    # kept. Read the result with `encoding="latin1"`.

    def __init__(self, file: BinaryIO, protocol: int) -> None:
        self._write = file.write
        self._is_binary = protocol == 2
        self._memo: dict[Any, int] = {}
        self._n_puts = 0

    def dump(self, value: Any) -> None:
        """Write the pickle of a value."""
        if self._is_binary:
            self._write(pickle.PROTO + b"\x02")
        self._save(value)
        self._write(pickle.STOP)

    def _save(self, value: Any) -> None:
        match value:
            case _Name():
                self._name(value)
            case None:
                self._write(pickle.NONE)
            case bool():
                texts = (
                    (pickle.NEWFALSE, pickle.NEWTRUE) if self._is_binary else (b"I00\n", b"I01\n")
                )
                self._write(texts[value])
            case np.generic():
                state = (value.dtype, value.tobytes())
                self._reduce(_SCALAR_MAKER, state)
            case int():
                self._integer(value)
            case float():
                number = struct.pack(">d", value) if self._is_binary else f"{value!r}\n".encode()
                self._write((pickle.BINFLOAT if self._is_binary else pickle.FLOAT) + number)
            case str():
                self._text(value)
            case bytes():
                self._bytes(value)
            case tuple():
                self._tuple(value)
            case list():
                self._list(value)
            case OrderedDict():
                self._reduce(_ORDERED_DICT, ([[key, item] for key, item in value.items()],))
            case dict():
                self._dict(value)
            case np.ndarray():
                self._array(value)
            case np.dtype():
                self._dtype(value)
            case datetime():
                self._reduce(_DATETIME, (value.__reduce_ex__(2)[1][0],))
            case np.random.RandomState():
                self._reduce(_RANDOM_STATE_MAKER, (), value.get_state())
            case _:
                raise SampleError(f"Cannot pickle a {type(value).__name__} as Python 2 did.")

    def _put(self, key: Any = None) -> None:
        """Give what was just written a number, by which a key refers to it from now on."""
        number = self._n_puts
        self._n_puts += 1
        if key is not None:
            self._memo[key] = number
        self._write(self._numbered(number, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT))

    def _get(self, key: Any) -> bool:
        number = self._memo.get(key)
        if number is None:
            return False
        self._write(self._numbered(number, pickle.GET, pickle.BINGET, pickle.LONG_BINGET))
        return True

    def _numbered(self, number: int, text: bytes, short: bytes, long: bytes) -> bytes:
        if not self._is_binary:
            return b"%s%d\n" % (text, number)
        if number < 256:
            return short + struct.pack("<B", number)
        return long + struct.pack("<I", number)

    def _name(self, value: _Name) -> None:
        if not self._get(value):
            self._write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            self._put(value)

    def _integer(self, value: int) -> None:
        if not -(2**31) <= value < 2**31:
            self._write(pickle.LONG + b"%dL\n" % value)
        elif not self._is_binary:
            self._write(pickle.INT + b"%d\n" % value)
        elif 0 <= value < 256:
            self._write(pickle.BININT1 + struct.pack("<B", value))
        else:
            self._write(pickle.BININT + struct.pack("<i", value))

    def _text(self, value: str) -> None:
        # Equal words are one object to Python 2 where they stand in its source.
        if not self._get(value):
            self._bytes(value.encode("latin1"), value)

    def _bytes(self, value: bytes, key: str | None = None) -> None:
        if not self._is_binary:
            self._write(pickle.STRING + repr(value)[1:].encode("ascii") + b"\n")
        elif len(value) < 256:
            self._write(pickle.SHORT_BINSTRING + struct.pack("<B", len(value)) + value)
        else:
            self._write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self._put(key)

    def _tuple(self, value: tuple[Any, ...]) -> None:
        if not value:
            self._write(pickle.EMPTY_TUPLE if self._is_binary else pickle.MARK + pickle.TUPLE)
            return
        is_short = self._is_binary and len(value) <= 3
        if not is_short:
            self._write(pickle.MARK)
        for item in value:
            self._save(item)
        short = (pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
        self._write(short[len(value) - 1] if is_short else pickle.TUPLE)
        self._put()

    def _list(self, value: Sequence[Any]) -> None:
        self._write(pickle.EMPTY_LIST if self._is_binary else pickle.MARK + pickle.LIST)
        self._put()
        if self._is_binary and value:
            self._write(pickle.MARK)
        for item in value:
            self._save(item)
            if not self._is_binary:
                self._write(pickle.APPEND)
        if self._is_binary and value:
            self._write(pickle.APPENDS)

    def _dict(self, value: dict[str, Any]) -> None:
        self._write(pickle.EMPTY_DICT if self._is_binary else pickle.MARK + pickle.DICT)
        self._put()
        if self._is_binary and value:
            self._write(pickle.MARK)
        for key, item in value.items():
            self._save(key)
            self._save(item)
            if not self._is_binary:
                self._write(pickle.SETITEM)
        if self._is_binary and value:
            self._write(pickle.SETITEMS)

    def _reduce(self, maker: _Name, arguments: tuple[Any, ...], state: Any = None) -> None:
        self._name(maker)
        self._tuple(arguments)
        self._write(pickle.REDUCE)
        self._put()
        if state is not None:
            self._save(state)
            self._write(pickle.BUILD)

    def _array(self, value: NDArray[Any]) -> None:
        state = (1, value.shape, value.dtype, False, value.tobytes())
        self._reduce(_ARRAY_MAKER, (_NDARRAY, (0,), "b"), state)

    def _dtype(self, value: np.dtype[Any]) -> None:
        if self._get(value):
            return
        self._name(_DTYPE)
        order, name = value.str[0], value.str[1:]
        self._tuple((name, False, True))
        self._write(pickle.REDUCE)
        self._put(value)
        self._tuple((3, order, None, None, None, -1, -1, 0))
        self._write(pickle.BUILD)
