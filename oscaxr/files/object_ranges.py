"""Files in object stores (S3, Google's, memory), which are asked by way of fsspec.

fsspec makes requests in a thread of its own, while the thread that reads may hold the lock of the
HDF5 library. Should garbage be collected in that thread, it may wait for the same lock, and both
for ever: so none is collected while it is asked.
"""

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import fsspec

from oscaxr.errors import (
    CriterionError,
    FormatError,
    OscaxrError,
    RemoteError,
    SessionNotFoundError,
    without_secrets,
)
from oscaxr.files.remote import RemoteFile, RemoteSource, scheme_of

# What tells the state of an object, by the words of the stores, the surest first.
_STATES: Final = ("ETag", "etag", "generation", "LastModified", "updated", "created", "mtime")
# These give a range on the condition that the object is the one that was opened.
_CONDITIONAL: Final = frozenset({"s3"})
# Shorter values of options are words such as "true", which an error may well have.
_LEAST_SECRET: Final = 4
_EXPIRED: Final = "FileExpired"


class ObjectServer:
    """An object store, as it is reached with some options."""

    def __init__(self, root: RemoteFile) -> None:
        self._root = root
        self.fs = filesystem_of(root)

    def open(self, remote: RemoteFile, n_bytes: int) -> "ObjectRanges":
        """Ask for what is known of an object, and for its first bytes."""
        return ObjectRanges(self.fs, remote, n_bytes)

    def close(self) -> None:
        """Do nothing: fsspec keeps its connections for whoever asks next."""


class ObjectRanges:
    """An object, of which ranges are asked for."""

    def __init__(self, fs: Any, remote: RemoteFile, n_bytes: int) -> None:
        self._fs = fs
        self._remote = remote
        self.n_requests = 0
        self.n_bytes = 0
        self._object: Any = None
        if scheme_of(remote.url) in _CONDITIONAL:
            self._object = ask(remote, partial(fs.open, remote.url, "rb", cache_type="none"))
        self.source = self._state()
        if not self.source.size:
            raise FormatError(f"{remote} is empty. Check the address.")
        self.head = self.read(0, n_bytes)

    def read(self, start: int, stop: int) -> bytes:
        """Return a range; an error if it is not of the object any more that was opened."""
        stop = min(stop, self.source.size)
        self.n_requests += 1
        if self._object is not None:
            data = ask(self._remote, self._object._fetch_range, start, stop)
        else:
            data = ask(self._remote, self._fs.cat_file, self._remote.url, start, stop)
        self.n_bytes += len(data)
        if len(data) != stop - start or (self._object is None and self._state() != self.source):
            raise changed(self._remote)
        return bytes(data)

    def _state(self) -> RemoteSource:
        self.n_requests += 1
        if self._object is not None:
            found = self._object.details
        else:
            found = ask(self._remote, self._fs.info, self._remote.url)
        if found.get("type") == "directory" or found.get("size") is None:
            raise SessionNotFoundError(
                f"{self._remote} is a folder in the store, not a file. Check the address."
            )
        state = next((str(found[word]) for word in _STATES if found.get(word)), "")
        return RemoteSource(str(self._remote), int(found["size"]), state)


def changed(remote: RemoteFile) -> FormatError:
    """Return the error of a file that is not any more what was opened."""
    return FormatError(
        f"{remote}: it was replaced in the store. Open the session again to read it as it is now."
    )


def filesystem_of(remote: RemoteFile) -> Any:
    """Return the file system of fsspec for an address; an ImportError where it is missing."""
    options = remote.server_options
    try:
        # What is there may be written to by others: nothing that was listed is kept.
        return fsspec.filesystem(scheme_of(remote.url), **{"use_listings_cache": False} | options)
    except (TypeError, ValueError, AttributeError) as error:
        # (Not what the options hold: it may be secret.)
        what = type(error).__name__
    raise CriterionError(
        f"storage_options ({', '.join(options)}) cannot be used for {remote} ({what}): fsspec's "
        f"file system for {scheme_of(remote.url)}:// says in its documentation what it takes"
    )


def ask(remote: RemoteFile, function: Callable[..., Any], *args: Any, doing: str = "read") -> Any:
    """Ask a store; say in our words what it refuses, none of the options shown."""
    try:
        with _nothing_collected():
            return function(*args)
    except (OscaxrError, MemoryError):
        raise
    except FileNotFoundError:
        failure: OscaxrError = SessionNotFoundError(
            f"there is no file at {remote}. Check the address."
        )
    except Exception as error:
        failure = _failure(remote, error, doing)
    # Here, since an error that is raised while another one is handled would show that one.
    raise failure


def _failure(remote: RemoteFile, error: Exception, doing: str) -> OscaxrError:
    kind = type(error).__name__
    if kind == _EXPIRED:
        return changed(remote)
    said = f"{kind}: {_without_values(str(error), remote.options)}"
    if isinstance(error, PermissionError) or "Credential" in kind:
        how = (
            "storage_options={...}; of S3, what is public is read with storage_options={'anon': "
            "True}."
            if doing == "read"
            else "target_options={...}, or storage_options={...} of a call that has no other."
        )
        return RemoteError(
            f"the store does not let {remote} be {'read' if doing == 'read' else 'written'} "
            f"({said}). If it needs a login, give it: in the environment or a file, as its tools "
            f"take it, or in {how}"
        )
    return RemoteError(
        f"could not {doing} {remote} ({said}). Check the address and the connection, and try again."
    )


def _without_values(text: str, value: object) -> str:
    """Leave out of a text what options hold."""
    if isinstance(value, Mapping):
        for one in value.values():
            text = _without_values(text, one)
    elif isinstance(value, str) and len(value) >= _LEAST_SECRET:
        text = text.replace(value, "...")
    return without_secrets(text)


# -- no garbage -----------------------------------------------------------------------------------
_asking = threading.Lock()
_n_asking = 0
_was_enabled = False


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Collect no garbage for as long as any thread waits for fsspec."""
    global _n_asking, _was_enabled
    with _asking:
        if not _n_asking:
            _was_enabled = gc.isenabled()
            gc.disable()
        _n_asking += 1
    try:
        yield
    finally:
        with _asking:
            _n_asking -= 1
            if not _n_asking and _was_enabled:
                gc.enable()
