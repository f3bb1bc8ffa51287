"""Reads pickles opcode by opcode, within bounds of memory, time and depth.

The unpickler of the standard library that is written in C has none: nine bytes make it take
gigabytes, and a key of a dict that is a tuple of tuples overflows its stack, or takes for ever.
"""

import copyreg
import io
import pickle
import re
import struct
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Final

import numpy as np

from oscaxr.errors import FormatError, UnsafePickleError

MOST_OPCODES: Final = 5_000_000
"""Whole sessions have 3.7 million."""
_MOST_COPIED: Final = 2**28
_MOST_OPEN: Final = 500
_MOST_TUPLE_KEYS: Final = 2**12
_LONGEST_TUPLE_KEY: Final = 8
_SET_BYTES: Final = 250
_INTEGER_BITS: Final = 64

_ATOMS: Final = frozenset({str, bytes, int, float, bool, type(None)})
_NUMBER: Final = re.compile(rb"[^_\s]{1,40}\n")

# The unpickler of the standard library that is written in Python, so that parts can be replaced.
_Unpickler: Any = pickle._Unpickler
_READ: Final[dict[int, Callable[[Any], None]]] = _Unpickler.dispatch


def _checked(read: Callable[[Any], None], check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return how an opcode is read of which the result is checked."""

    def read_and_check(self: Any) -> None:
        read(self)
        check(self)

    return read_and_check


def _with_keys(opcode: bytes, step: int) -> Callable[[Any], None]:
    """Return how an opcode is read that hashes what is on the stack since the last mark."""
    read = _READ[opcode[0]]

    def check_and_read(self: Any) -> None:
        self.check_keys(self.stack[::step])
        read(self)

    return check_and_read


class BoundedUnpickler(_Unpickler):  # type: ignore[misc]
    """Unpickler that takes no more memory, time and depth than a stimulus log needs."""

    def __init__(self, content: bytes) -> None:
        # (The memo is a dict, in which a large number takes no more room than a small one.)
        self.file = io.BytesIO(content)
        super().__init__(self.file, encoding="latin1")
        self.content = content
        self._copied = 0
        self._tuple_keys = 0

    def load(self) -> Any:
        """Return what is pickled."""
        # Where a pickle claims to have more bytes than there are, a file of bytes gives these.
        self.read, self.readline, self.readinto = (
            self.file.read, self.file.readline, self.file.readinto
        )  # fmt: skip
        self.metastack: list[Any] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        read, opcodes = self.read, {bytes([code]): way for code, way in self.dispatch.items()}
        opcodes[b""] = _end
        try:
            for _ in range(MOST_OPCODES):
                opcodes[read(1)](self)
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value
        raise FormatError(f"it has more than {MOST_OPCODES:,} opcodes")

    def charge(self, n_bytes: int) -> None:
        """Count memory that is taken beyond what stands in the file."""
        self._copied += n_bytes
        if self._copied > _MOST_COPIED:
            raise FormatError(f"it unfolds to {_MOST_COPIED:,} bytes more than it has")

    def check_keys(self, keys: Collection[Any]) -> None:
        """Raise unless values are fit to be keys of a dict, or in a set.

        To hash a tuple of tuples takes as much of the stack as it is deep, and endless time where
        its parts are the same ones again and again. Hashes of many tuples can be made equal, with
        which a dict takes the square of their number in time.
        """
        kinds = set(map(type, keys))
        if tuple in kinds:
            tuples = [key for key in keys if type(key) is tuple]
            self._tuple_keys += len(tuples)
            if self._tuple_keys > _MOST_TUPLE_KEYS:
                raise FormatError(f"more than {_MOST_TUPLE_KEYS:,} keys in it are tuples")
            if max(map(len, tuples)) > _LONGEST_TUPLE_KEY:
                raise FormatError(f"a key in it is a tuple of {max(map(len, tuples)):,} values")
            kinds |= {type(value) for key in tuples for value in key if type(value) is not tuple}
            if any(type(value) is tuple for key in tuples for value in key):
                raise FormatError("a key in it is a tuple of tuples")
            kinds.remove(tuple)
        for kind in kinds - _ATOMS:
            if not issubclass(kind, np.generic):
                raise FormatError(f"a key in it is a {kind.__name__}")

    def get_extension(self, code: int) -> None:
        """Resolve a number by the name it stands for, also where somebody did so before."""
        known = getattr(copyreg, "_inverted_registry")  # noqa: B009 (not in the stubs)
        if code not in known:
            raise UnsafePickleError(f"it refers to the extension {code}, which nobody registered")
        self.append(self.find_class(*known[code]))

    def _open(self) -> None:
        if len(self.metastack) >= _MOST_OPEN:
            raise FormatError(f"its parts are nested more than {_MOST_OPEN} deep")
        _READ[pickle.MARK[0]](self)

    def _skip_frame(self) -> None:
        # What is in a frame is read like all else.
        self.read(8)

    def _bytearray(self) -> None:
        # As bytes, which are not made before it is known how many there are.
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(min(size, len(self.content))))

    def _empty_set(self) -> None:
        # It is as large as it would be with some members.
        self.charge(_SET_BYTES)
        self.append(set())

    def _set_item(self) -> None:
        if type(self.stack[-2]) is not str:
            self.check_keys(self.stack[-2:-1])
        _READ[pickle.SETITEM[0]](self)

    def _integer(self) -> None:
        line = self.readline()
        truth = {pickle.TRUE[1:]: True, pickle.FALSE[1:]: False}.get(line)
        self.append(self._number(line, _to_integer) if truth is None else truth)

    def _long(self) -> None:
        self.append(self._number(self.readline(), _to_integer))

    def _float(self) -> None:
        self.append(self._number(self.readline(), float))

    def _number(self, line: bytes, convert: Callable[[bytes], Any]) -> Any:
        if not _NUMBER.fullmatch(line):
            raise FormatError(f"it has the number {line[:50]!r}")
        return convert(line[:-1])

    def _check_integer(self) -> None:
        n_bits = self.stack[-1].bit_length()
        if n_bits > _INTEGER_BITS:
            raise FormatError(f"it has an integer of {n_bits:,} bits")

    def _check_text(self) -> None:
        # One letter that needs four bytes gives four to all letters of a text.
        text = self.stack[-1]
        if not text.isascii():
            self.charge(4 * len(text))

    dispatch: ClassVar = {
        **_READ,
        pickle.MARK[0]: _open,
        pickle.FRAME[0]: _skip_frame,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.EMPTY_SET[0]: _empty_set,
        pickle.INT[0]: _integer,
        pickle.LONG[0]: _long,
        pickle.FLOAT[0]: _float,
        pickle.SETITEM[0]: _set_item,
        **{code[0]: _with_keys(code, 2) for code in (pickle.SETITEMS, pickle.DICT)},
        **{code[0]: _with_keys(code, 1) for code in (pickle.ADDITEMS, pickle.FROZENSET)},
    }
    for _code in (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4):
        dispatch[_code[0]] = _checked(dispatch[_code[0]], _check_integer)
    for _code in (pickle.UNICODE, pickle.BINUNICODE, pickle.BINUNICODE8, pickle.SHORT_BINUNICODE):
        dispatch[_code[0]] = _checked(dispatch[_code[0]], _check_text)


def _to_integer(text: bytes) -> int:
    return int(text.removesuffix(b"L"), 0)


def _end(unpickler: BoundedUnpickler) -> None:
    raise EOFError("it ends within a value")
