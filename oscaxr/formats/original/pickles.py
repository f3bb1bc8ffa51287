"""Stimulus logs are pickles, and a pickle is a program: this reads one without running any of it.

Only the names that stimulus logs are known to use are admitted, and none of them leads to numpy's
own unpickling: arrays and dtypes become inert holders of bytes, checked when they are turned into
arrays. What is admitted has no state of its own that a pickle could write to.
"""

import datetime
import gc
import pickle
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Final

from oscaxr.errors import FormatError, UnsafePickleError
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original.similar_arrays import SimilarArrays
from oscaxr.formats.original.stored_arrays import QuotedText, StoredArray, StoredDtype, array_of
from oscaxr.formats.original.unpickler import BoundedUnpickler

# Logs of whole sessions have 200,000,000.
MOST_BYTES: Final = 2**29
_MOST_SCALAR_BYTES: Final = 1000
_ENTRY_BYTES: Final = 100
_LONGEST_WORDS: Final = 300


class Ignored:
    """Stands for an object whose content is of no use here, such as a random generator."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Admitted:
    """Something a pickle may name, or call; it has no attributes that could be set."""

    __slots__ = ("_call", "_of_unpickler")
    _call: Any
    _of_unpickler: bool

    def __init__(
        self, call: Callable[..., Any] | None = None, *, of_unpickler: bool = False
    ) -> None:
        object.__setattr__(self, "_call", call)
        object.__setattr__(self, "_of_unpickler", of_unpickler)

    def within(self, unpickler: BoundedUnpickler) -> "_Admitted":
        """Return this as one unpickler calls it: what makes copies has to tell it how large."""
        return _Admitted(partial(self._call, unpickler)) if self._of_unpickler else self

    def __call__(self, *values: Any) -> Any:
        return self._call(*values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise UnsafePickleError("a pickle tries to change what reads it")

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("a pickle tries to change what reads it")


def _reconstruct(kind: Any, shape: Any, code: Any) -> StoredArray:
    if kind is not _NAMED or not isinstance(shape, tuple) or not isinstance(code, str | bytes):
        raise UnsafePickleError("an array is made of something else than others are")
    return StoredArray()


def _scalar(dtype: Any, data: Any = b"") -> Any:
    stored = array_of(data, dtype, ())
    kind = stored.dtype.value
    if kind.kind == "c" or kind.itemsize > _MOST_SCALAR_BYTES:
        raise UnsafePickleError(f"single values of dtype {kind} are not read: no log holds them")
    return stored.array()[()]


def _encode(unpickler: BoundedUnpickler, text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"text is encoded as {reprlib.repr(encoding)}, not as latin1")
    unpickler.charge(len(text))
    return text.encode("latin1")


def _ordered(unpickler: BoundedUnpickler, pairs: Any = ()) -> dict[Any, Any]:
    # A plain dict keeps the order too, and has no attributes that a pickle could replace.
    keys = [key for key, _ in pairs]
    unpickler.charge(_ENTRY_BYTES * len(keys))
    unpickler.check_keys(keys)
    return dict(pairs)


_ARRAY_MODULES: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES: Final = ("numpy.core.numeric", "numpy._core.numeric")
_NAMED: Final = _Admitted()
_RECONSTRUCT: Final = _Admitted(_reconstruct)
_IGNORED: Final = _Admitted(lambda *_: Ignored())
ADMITTED: Final[dict[tuple[str, str], Any]] = {
    **{(module, "_reconstruct"): _RECONSTRUCT for module in _ARRAY_MODULES},
    **{(module, "scalar"): _Admitted(_scalar) for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _Admitted(array_of) for module in _BUFFER_MODULES},
    ("numpy", "ndarray"): _NAMED,
    ("numpy", "dtype"): _Admitted(lambda code, align=0, copy=0: StoredDtype(code)),
    ("_codecs", "encode"): _Admitted(_encode, of_unpickler=True),
    # What Python 3 writes for an empty array with protocols up to 2: ``bytes()``.
    ("__builtin__", "bytes"): _Admitted(lambda: b""),
    ("collections", "OrderedDict"): _Admitted(_ordered, of_unpickler=True),
    ("datetime", "datetime"): _Admitted(datetime.datetime),
    ("datetime", "date"): _Admitted(datetime.date),
    ("datetime", "timedelta"): _Admitted(datetime.timedelta),
    ("numpy.random", "__RandomState_ctor"): _IGNORED,
    ("numpy.random._pickle", "__randomstate_ctor"): _IGNORED,
    ("numpy.random._pickle", "__bit_generator_ctor"): _IGNORED,
    ("numpy.random._mt19937", "MT19937"): _NAMED,
}
"""What a stimulus log may refer to: (module, name)."""


class _LogUnpickler(BoundedUnpickler):
    """Resolves admitted names only; refuses all others, and all references to outside."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._similar = SimilarArrays(content, self.memo, _RECONSTRUCT, _NAMED)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name].within(self)
        except KeyError:
            raise UnsafePickleError(
                f"it refers to {module}.{name}, which no stimulus log of this dataset needs; "
                "nothing of it was run"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f"it refers to an object outside the file ({reprlib.repr(pid)})")

    def _get(self) -> None:
        """Read what stands in the memo, or arrays, one after the other, that begin so."""
        position = self.file.tell() - len(pickle.GET)
        arrays, end = self._similar.take(position)
        if not arrays or (len(arrays) > 1 and type(self.stack[-1]) is not list):
            self.load_get()
            self._read_text()
        else:
            if len(arrays) > 1:
                self.stack[-1].extend(arrays[:-1])
            self.append(arrays[-1])
            self.file.seek(end)

    def _get_binary(self) -> None:
        self.load_binget()
        self._read_text()

    def _get_long_binary(self) -> None:
        self.load_long_binget()
        self._read_text()

    def _read_text(self) -> None:
        if type(self.stack[-1]) is QuotedText:
            self.stack[-1] = self.stack[-1].text

    dispatch: ClassVar = {
        **BoundedUnpickler.dispatch,
        pickle.GET[0]: _get,
        pickle.BINGET[0]: _get_binary,
        pickle.LONG_BINGET[0]: _get_long_binary,
    }


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


def load(file: DirectFile) -> Any:
    """Read a pickle of plain values, without running anything that it says."""
    path, content = file.place, file.whole(MOST_BYTES)
    with _uncollected():
        try:
            return _LogUnpickler(content).load()
        except FormatError as error:
            kind = type(error)
            words = f"It is a pickle of {len(content):,} bytes, which begins with {content[:20]!r}"
            raise kind(f"{path} is not read as a stimulus log: {error}. {words}.") from None
        except (Exception, RecursionError) as error:
            raise FormatError(
                f"{path} is not a stimulus log: unpickling it fails ({type(error).__name__}: "
                f"{str(error)[:_LONGEST_WORDS]}). The file is cut short or damaged: fetch it again."
            ) from error
