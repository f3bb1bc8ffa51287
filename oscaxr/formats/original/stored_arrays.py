"""Arrays as they lie in a pickle: inert holders of bytes, checked when they become arrays."""

import codecs
import math
import re
import reprlib
from collections.abc import Iterable
from typing import Any, Final, Literal

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import FormatError, UnsafePickleError

_PLAIN_DTYPE: Final = re.compile(r"[<>=|]?(?:[biu][1248]|f[248]|c(?:8|16)|[SU]\d{1,6})|\?")
_MOST_DIMS: Final = 32
_MOST_STACKED: Final = 2**28

_BYTE_ORDERS: Final[dict[str | bytes, Literal["<", ">", "=", "|"]]] = {
    "<": "<", ">": ">", "=": "=", "|": "|", b"<": "<", b">": ">", b"=": "=", b"|": "|"
}  # fmt: skip


class StoredDtype:
    """The dtype of a stored array: a code and a byte order, nothing more."""

    __slots__ = ("value",)

    def __init__(self, code: Any) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not _PLAIN_DTYPE.fullmatch(code):
            raise UnsafePickleError(
                f"arrays of dtype {reprlib.repr(code)} are not read: stimulus logs hold plain "
                "numbers and text"
            )
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subdtype, names, fields, item size, alignment, flags)
        if not isinstance(state, tuple) or not 7 <= len(state) <= 9 or state[0] not in range(5):
            raise UnsafePickleError(f"a dtype has the unknown state {reprlib.repr(state)}")
        if any(part is not None for part in state[2:5]):
            raise UnsafePickleError("arrays of records are not read: no stimulus log holds them")
        order = _BYTE_ORDERS.get(state[1]) if isinstance(state[1], str | bytes) else None
        if order is None:
            raise UnsafePickleError(f"an array has the byte order {reprlib.repr(state[1])}")
        self.value = self.value.newbyteorder(order)


class QuotedText:
    """Text as it stands between quotes in a pickle; it is not read before it is asked for."""

    __slots__ = ("_begin", "_content", "_end", "_text")

    def __init__(self, content: bytes, begin: int, end: int) -> None:
        self._content, self._begin, self._end = content, begin, end
        self._text: str | None = None

    def may_have(self, size: int) -> bool:
        """Say whether there may be so many bytes; each stands as itself, or in up to four."""
        return size <= self._end - self._begin <= 4 * size

    @property
    def raw(self) -> bytes:
        """The text, of which each letter is a byte."""
        try:
            return codecs.escape_decode(self._content[self._begin : self._end])[0]
        except ValueError as error:
            raise FormatError(f"an array's content is not bytes ({error})") from error

    @property
    def text(self) -> str:
        """The text; the same object each time, of which a pickle may ask again and again."""
        if self._text is None:
            self._text = self.raw.decode("latin1")
        return self._text


class StoredArray:
    """An array as it lies in a pickle; nothing of it is interpreted before :meth:`array`."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(
        self, shape: Any = (), dtype: Any = None, fortran: Any = False, data: Any = None
    ) -> None:
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, fortran, data

    def __setstate__(self, state: Any) -> None:
        try:
            version, self.shape, self.dtype, self.fortran, self.data = state
        except (TypeError, ValueError) as error:
            raise UnsafePickleError(f"an array has an unknown state ({error})") from error
        if not isinstance(self.dtype, StoredDtype):
            raise UnsafePickleError("an array has a dtype that is not one of plain numbers or text")
        if version != 1 or not isinstance(self.fortran, int):
            raise UnsafePickleError(f"an array has a state of version {reprlib.repr(version)}")

    @property
    def form(self) -> tuple[str, tuple[int, ...], bool, int]:
        """Dtype, shape, whether in Fortran order, and number of bytes, as it says that it has."""
        if not isinstance(self.dtype, StoredDtype):
            raise FormatError("an array has no content")
        shape, dtype = self.shape, self.dtype.value
        # (Not the product of a shape that is endless.)
        is_shape = type(shape) is tuple and len(shape) <= _MOST_DIMS
        if not is_shape or not all(type(n) is int and n >= 0 for n in shape):
            raise FormatError(f"an array has the shape {reprlib.repr(shape)}")
        return dtype.str, shape, bool(self.fortran), math.prod(shape) * dtype.itemsize

    @property
    def raw(self) -> bytes:
        """The bytes of the array, as many as it says that it has."""
        dtype, shape, _, size = self.form
        data = b"" if self.data is None else self.data
        # What has another size is not converted: it may be large, and the same of many arrays.
        if isinstance(data, QuotedText) and data.may_have(size):
            data = data.raw
        elif isinstance(data, str) and len(data) == size:
            try:
                # Python 2 wrote bytes as text, which latin-1 takes back to bytes one by one.
                data = data.encode("latin1")
            except UnicodeEncodeError as error:
                raise FormatError(f"an array's content is not bytes ({error})") from error
        if not isinstance(data, str | bytes | QuotedText):
            raise FormatError(f"an array's content is not bytes, but a {type(data).__name__}")
        if not isinstance(data, bytes) or len(data) != size:
            held = "another number of" if isinstance(data, QuotedText) else len(data)
            raise FormatError(f"an array of {dtype} and shape {shape} holds {held} bytes")
        return data

    def array(self) -> Array:
        """Return the array."""
        _, shape, fortran, size = self.form
        raw, dtype = self.raw, self.dtype.value
        try:
            values = np.frombuffer(raw, dtype) if size else np.empty(0, dtype)
            return values.reshape(shape, order="F" if fortran else "C")
        except ValueError as error:
            # Sizes beside a zero that no array can have, or values without a size.
            raise FormatError(f"an array has the shape {reprlib.repr(shape)} ({error})") from error


def stack(stored: Iterable[Any]) -> Array:
    """Return many stored arrays of one shape and dtype as one array."""
    arrays = list(stored)
    if not all(type(one) is StoredArray for one in arrays):
        raise FormatError("a list of arrays holds something else")
    if not arrays:
        return np.empty(0)
    forms = {one.form for one in arrays}
    if len(forms) != 1:
        kinds = sorted(form[:3] for form in forms)
        raise FormatError(f"arrays of one list differ in dtype or shape: {kinds[:3]}")
    ((_, shape, fortran, size),) = forms
    # (The same array may stand in a list again and again.)
    if len(arrays) * size > _MOST_STACKED:
        raise FormatError(f"{len(arrays):,} arrays of {size:,} bytes are more than a session has")
    if fortran:
        shape = shape[::-1]
    data = b"".join([one.raw for one in arrays])
    whole = array_of(data, arrays[0].dtype, (len(arrays), *shape)).array()
    return whole.transpose(0, *range(len(shape), 0, -1)) if fortran else whole


def array_of(data: Any, dtype: Any, shape: Any, order: Any = "C") -> StoredArray:
    """Return an array as it would lie in a pickle."""
    found = StoredArray()
    found.__setstate__((1, shape, dtype, order == "F", data))
    return found
