"""Stimulus logs are pickles, and a pickle is a program: this reads one without running any of it.

Only the names that stimulus logs are known to use are admitted, and none of them leads to numpy's
own unpickling: arrays and dtypes become inert holders of bytes, checked when they are turned into
arrays. What is admitted has no state of its own that a pickle could write to.
"""

import datetime
import gc
import math
import pickle
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import FormatError, UnsafePickleError

_BUFFER_BYTES: Final = 2**16
_PLAIN_DTYPE: Final = re.compile(r"[<>=|]?(?:[biu][1248]|f[248]|c(?:8|16)|[SU]\d{1,6})|\?")

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
                f"arrays of dtype {code!r} are not read: stimulus logs hold plain numbers and text"
            )
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subdtype, names, fields, item size, alignment, flags)
        if not isinstance(state, tuple) or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise UnsafePickleError("arrays of records are not read: no stimulus log holds them")
        order = _BYTE_ORDERS.get(state[1]) if isinstance(state[1], str | bytes) else None
        if order is None:
            raise UnsafePickleError(f"an array has the byte order {state[1]!r}")
        self.value = self.value.newbyteorder(order)


class StoredArray:
    """An array as it lies in a pickle; nothing of it is interpreted before :meth:`array`."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __setstate__(self, state: Any) -> None:
        try:
            _, self.shape, self.dtype, self.fortran, self.data = state
        except (TypeError, ValueError) as error:
            raise UnsafePickleError(f"an array has an unknown state ({error})") from error
        if not isinstance(self.dtype, StoredDtype):
            raise UnsafePickleError("an array has a dtype that is not one of plain numbers or text")

    @property
    def raw(self) -> bytes:
        """The bytes of the array."""
        # Python 2 wrote bytes as text, which latin-1 takes back to bytes one by one.
        data = getattr(self, "data", None)
        try:
            return (
                data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data or b""))
            )
        except (TypeError, ValueError) as error:
            raise FormatError(f"an array's content is not bytes ({error})") from error

    def array(self) -> Array:
        """Return the array."""
        dtype, shape = self.dtype.value, self.shape
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise FormatError(f"an array has the shape {shape!r}")
        raw = self.raw
        if len(raw) != math.prod(shape) * dtype.itemsize:
            raise FormatError(f"an array of {dtype} and shape {shape} holds {len(raw)} bytes")
        values = np.frombuffer(raw, dtype) if raw else np.empty(math.prod(shape), dtype)
        try:
            return values.reshape(shape, order="F" if self.fortran else "C")
        except ValueError as error:
            # Too many dims, or sizes beside a zero that no array can have.
            raise FormatError(f"an array has the shape {reprlib.repr(shape)} ({error})") from error


def stack(stored: Iterable[Any]) -> Array:
    """Return many stored arrays of one shape and dtype as one array."""
    arrays = list(stored)
    if not all(type(one) is StoredArray for one in arrays):
        raise FormatError("a list of arrays holds something else")
    if not arrays:
        return np.empty(0)
    kinds = {(one.dtype.value.str, one.shape, bool(one.fortran)) for one in arrays}
    if len(kinds) != 1:
        raise FormatError(f"arrays of one list differ in dtype or shape: {sorted(kinds)[:3]}")
    first = arrays[0]
    shape = first.shape[::-1] if first.fortran else first.shape
    data = b"".join([one.raw for one in arrays])
    whole = _from_buffer(data, first.dtype, (len(arrays), *shape)).array()
    return whole.transpose(0, *range(len(shape), 0, -1)) if first.fortran else whole


class Ignored:
    """Stands for an object whose content is of no use here, such as a random generator."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Admitted:
    """Something a pickle may name, or call; it has no attributes that could be set."""

    __slots__ = ("_call",)
    _call: Any

    def __init__(self, call: Callable[..., Any] | None = None) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *values: Any) -> Any:
        return self._call(*values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise UnsafePickleError("a pickle tries to change what reads it")

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("a pickle tries to change what reads it")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> StoredArray:
    found = StoredArray()
    found.__setstate__((1, shape, dtype, order == "F", data))
    return found


def _scalar(dtype: Any, data: Any = b"") -> Any:
    return _from_buffer(data, dtype, ()).array()[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"text is encoded as {encoding!r}, not as latin1")
    return text.encode("latin1")


_ARRAY_MODULES: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES: Final = ("numpy.core.numeric", "numpy._core.numeric")
_NAMED: Final = _Admitted()
_IGNORED: Final = _Admitted(lambda *_: Ignored())
# Immutable types of the interpreter, and the helpers above.
ADMITTED: Final[dict[tuple[str, str], Any]] = {
    **{(module, "_reconstruct"): _Admitted(lambda *_: StoredArray()) for module in _ARRAY_MODULES},
    **{(module, "scalar"): _Admitted(_scalar) for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _Admitted(_from_buffer) for module in _BUFFER_MODULES},
    ("numpy", "ndarray"): _NAMED,
    ("numpy", "dtype"): _Admitted(lambda code, *_: StoredDtype(code)),
    ("_codecs", "encode"): _Admitted(_encode),
    # What Python 3 writes for an empty array with protocols up to 2: ``bytes()``.
    ("__builtin__", "bytes"): _Admitted(lambda: b""),
    # A plain dict keeps the order too, and has no attributes that a pickle could replace.
    ("collections", "OrderedDict"): dict,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "timedelta"): datetime.timedelta,
    ("numpy.random", "__RandomState_ctor"): _IGNORED,
    ("numpy.random._pickle", "__randomstate_ctor"): _IGNORED,
    ("numpy.random._pickle", "__bit_generator_ctor"): _IGNORED,
    ("numpy.random._mt19937", "MT19937"): _NAMED,
}
"""What a stimulus log may refer to: (module, name)."""


class _Unpickler(pickle.Unpickler):
    """Resolves admitted names only; refuses all others, and all references to outside."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise UnsafePickleError(
                f"it refers to {module}.{name}, which no stimulus log of this dataset needs; "
                "nothing of it was run"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f"it refers to an object outside the file ({pid!r})")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the search for reference cycles: a log makes 100,000s of objects, and none of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load(path: Path) -> Any:
    """Read a pickle of plain values, without running anything that it says."""
    with path.open("rb", buffering=_BUFFER_BYTES) as file, _uncollected():
        try:
            return _Unpickler(file, encoding="latin1").load()
        except UnsafePickleError as error:
            raise UnsafePickleError(f"{path} is not read: {error}.") from None
        except OSError:
            raise
        except (Exception, RecursionError) as error:
            raise FormatError(
                f"{path} is not a stimulus log: unpickling it fails ({type(error).__name__}: "
                f"{error}). The file is cut short or damaged: fetch it again."
            ) from error
