"""Errors and warnings of oscaxr.

Every error is an :class:`OscaxrError` and also the fitting built-in, so that both
``except OscaxrError`` and ``except FileNotFoundError`` work. A message says what was asked, what
was found, in which file or session, and what to do about it.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Final

_ON_COMMAND_LINE: Final = ContextVar("_ON_COMMAND_LINE", default=False)

Told = tuple[str, type["OscaxrWarning"]]
"""A warning: its words and its kind."""

_COLLECTED: ContextVar[list[Told] | None] = ContextVar("_COLLECTED", default=None)


# User and password of an address in a text; and its query or fragment, which may be a signature.
_ADDRESS: Final = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]+:/+)([^\s/@'\"]*@)?([^\s?#'\"]*)([?#][^\s'\",;)]*)?"
)


def without_secrets(text: str) -> str:
    """Leave out of the addresses in a text what may be secret."""
    return _ADDRESS.sub(r"\1\3", text)


class OscaxrError(Exception):
    """Base of all errors raised on purpose by oscaxr."""

    def __str__(self) -> str:
        # KeyError would print the repr of the message, newlines and quotes escaped.
        text = str(self.args[0]) if len(self.args) == 1 else super().__str__()
        # Also where an address is given for a path, and there is said to be none.
        return without_secrets(text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def listed(problems: Iterable[object], most: int | None = None) -> str:
    """Return problems one a line, as they stand in a message; what one lists is set further in."""
    lines = ["\n  - " + str(problem).replace("\n", "\n  ") for problem in problems]
    is_long = most is not None and len(lines) > most
    return "".join(lines[:most]) + f"\n  ... and {len(lines[most:])} more" * is_long


class SessionNotFoundError(OscaxrError, FileNotFoundError):
    """No file, or no row of the session table, belongs to the session that was asked for."""


class AmbiguousSessionError(OscaxrError, ValueError):
    """More than one session, or more than one candidate file, fits what was asked for."""


class SessionMismatchError(OscaxrError, ValueError):
    """A file's own ids disagree with the session table or with the session asked for."""


class FormatError(OscaxrError, OSError):
    """A file is not readable as a session: not HDF5, truncated, or not laid out as specified."""


class UnsafeLinkError(FormatError):
    """A file refers to data outside its own folder."""


class MissingLibraryError(OscaxrError, ImportError):
    """Something needs a library that is not installed; the message names the extra to install."""


class RemoteError(OscaxrError, ConnectionError):
    """A server cannot be reached, refuses, does not serve ranges, or drops the connection."""


class PlaceError(OscaxrError, ValueError):
    """A path can be none of a file on this computer: an address, NUL, a user who is not known."""


class UnsafePathError(OscaxrError, ValueError):
    """A path that comes from elsewhere leads out of the folder that it is meant for."""


class UnsafePickleError(FormatError):
    """A pickle refers to something that no data file needs; nothing of it was run."""


class SchemaError(OscaxrError, ValueError):
    """A Dataset is not a session (or sequences) Dataset; all problems are listed at once."""


class RenamedError(OscaxrError, AttributeError, TypeError):
    """Something has another name now; the message says which."""


class AccessorError(OscaxrError, AttributeError):
    """What was asked of ``.osca`` is done by another kind of object; the message says by which."""


class CriterionError(OscaxrError, ValueError):
    """A selection criterion is unknown or has a value outside the experiment's domain."""


class NoSessionError(CriterionError):
    """An export holds something else than a session: sequences, statistics, a tree."""


class OptionError(CriterionError, TypeError):
    """An option is unknown or misspelt, or one that the format of a session cannot honour."""


class WindowError(OscaxrError, ValueError):
    """A window around the reference frames is empty or leaves the recording."""


class MissingVariableError(OscaxrError, KeyError):
    """A variable or coordinate that an operation needs is not in the Dataset."""


class TrackingError(OscaxrError, ValueError):
    """Tracked ROIs are absent, duplicated, or differ between sessions."""


class TableError(OscaxrError, ValueError):
    """A session table lacks columns, or holds values of the wrong kind."""


class SessionsFailedError(OscaxrError, RuntimeError):
    """Some of many sessions failed; what the others gave is kept.

    Parameters
    ----------
    failures : dict of str to str
        Reason by session.
    results : object
        What the other sessions gave, combined.
    """

    def __init__(self, failures: dict[str, str], results: object) -> None:
        lines = "\n".join(f"  - {name}: {reason}" for name, reason in failures.items())
        super().__init__(
            f"{len(failures)} session(s) failed:\n{lines}\nWhat the others gave is kept in "
            ".results of this error; errors='collect' leaves the failed ones out."
        )
        self.failures = failures
        self.results = results


class WorkersError(OscaxrError, RuntimeError):
    """The processes that should work on many sessions cannot be started."""


class OscaxrWarning(UserWarning):
    """Base of all warnings given by oscaxr."""


class DroppedFramesWarning(OscaxrWarning):
    """More of the running data than usual (0.0003 of the frames) is missing."""


class DroppedSequencesWarning(OscaxrWarning):
    """Some sequences were left out because their window leaves the recording."""


class FailedSessionsWarning(OscaxrWarning):
    """Some of many sessions failed and were left out, as was asked for."""


class InvalidRoiWarning(OscaxrWarning):
    """Some ROIs have NaN or infinite values in their traces."""


class UnknownFactsWarning(OscaxrWarning):
    """Sessions were left out of a choice since the session table does not say whether they fit."""


class UncheckedExportWarning(OscaxrWarning):
    """What is opened carries no digest: changes and damage of it are not noticed."""


class DownloadError(OscaxrError, OSError):
    """A download failed, or what came is not what the archive says it is.

    Parameters
    ----------
    message : str
        The words.
    results : sequence, optional
        What became of each file, where several were asked for.
    """

    def __init__(self, message: str, results: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.results = tuple(results)


class ExportError(OscaxrError, OSError):
    """An export could not be written, or is not one that can be read back."""


class ForeignExportError(ExportError):
    """A zarr store or netCDF file was not written by oscaxr."""


class DamagedExportError(ExportError, FormatError):
    """An export is truncated or damaged, or lacks a part of its data."""


class ExportContentError(OscaxrError, ValueError):
    """An object holds something that the file format cannot give back as it is."""


class TargetExistsError(OscaxrError, FileExistsError):
    """There is something at the path that an export is to be written to."""


class UnsafeTargetError(OscaxrError, ValueError):
    """An export would replace a file that the exported data are still read from."""


def warn(message: str, category: type[OscaxrWarning]) -> None:
    """Give a warning that points to the user's own line.

    Parameters
    ----------
    message : str
        The words.
    category : type
        Kind of warning.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("mind the gap", OscaxrWarning)
    >>> caught[0].category.__name__
    'OscaxrWarning'
    """
    collected = _COLLECTED.get()
    if collected is not None:
        collected.append((message, category))
        return
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and _is_inside(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(without_secrets(message), category, stacklevel=level)


def warn_once(message: str, category: type[OscaxrWarning]) -> None:
    """Give a warning, unless this process has given it before."""
    # Python's own memory of what it has said is lost whenever any library changes the filters.
    if message not in _SAID:
        warn(message, category)
        _SAID.add(message)


_SAID: Final[set[str]] = set()


@contextmanager
def collected_warnings() -> Iterator[list[Told]]:
    """Keep what this thread warns of for later: what others do to the filters cannot lose it."""
    told: list[Told] = []
    token = _COLLECTED.set(told)
    try:
        yield told
    finally:
        _COLLECTED.reset(token)


def _is_inside(frame: FrameType) -> bool:
    library = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return library in ("oscaxr", "xarray", "dask", "contextlib")


def option(name: str, value: object = None) -> str:
    """Name an option in a message as its reader writes it: overwrite=True, or --overwrite."""
    if not _ON_COMMAND_LINE.get():
        values = value if isinstance(value, list) else [] if value is None else [value]
        return f"{name}={', '.join(map(repr, values))}"
    word = f"--{name.replace('_', '-')}"
    if value is None or value is True:
        return word
    return f"{word} {','.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def few(items: Iterable[object], most: int = 10) -> str:
    """List things in a message, the first of many."""
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + ", ..." * (len(words) > most)


@contextmanager
def command_line_words() -> Iterator[None]:
    """Name options as the command line does, in the messages made while the block runs."""
    before = _ON_COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _ON_COMMAND_LINE.reset(before)
