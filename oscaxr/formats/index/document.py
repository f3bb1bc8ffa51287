"""The file of an index: references of kerchunk (version 1), found session by session.

It is one JSON object, which plain tools read whole. Its first line says of each session which line
is its own, so that to open one of many, only these two are read.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from oscaxr.errors import AmbiguousSessionError, FormatError, SessionNotFoundError, few, option
from oscaxr.files.direct import DirectFile
from oscaxr.files.hdf5 import Stamp
from oscaxr.files.remote import Place, RemoteSource
from oscaxr.formats.index.zarr_arrays import ATTRS, METADATA, References, document, parsed

VERSION: Final = 1
"""Version of what we say ourselves; a reader refuses those that are newer than it knows."""

_KERCHUNK_VERSION: Final = 1
# So much is read of it first, and no more than that where its beginning is longer.
_HEAD_BYTES: Final = (2**16, 2**20)
_END_OF_HEAD: Final = b'"refs":{\n'
_SESSION_BYTES: Final = 2**25
_GROUP: Final = re.compile(r"\w+/\w+", re.ASCII)
_TEMPLATE: Final = b"{{"
_ROOT: Final = "oscaxr"
GROUP: Final = ".zgroup"
CONSOLIDATED: Final = ".zmetadata"
ZARR_GROUP: Final = {"zarr_format": 2}
_DOCUMENTS: Final = (GROUP, METADATA, ATTRS)


@dataclass(frozen=True)
class FileState:
    """What a file was when its session was indexed: by its time of change here, or its ETag."""

    size: int
    mtime_ns: int = -1
    etag: str = ""

    @classmethod
    def of(cls, found: Stamp | RemoteSource) -> "FileState":
        """Return the state of a file."""
        if isinstance(found, Stamp):
            return cls(found.size, mtime_ns=found.modified_ns)
        return cls(found.size, etag=found.etag)


@dataclass(frozen=True)
class IndexedSession:
    """What an index says of a session: whose it is, its files, where its line stands."""

    session_id: int | None
    mouse_id: int | None
    files: Mapping[str, FileState]
    """The files that it lies in, by address."""
    start: int = 0
    length: int = 0
    checksum: int = 0
    """CRC-32 of the line, so that damage shows; a stranger could write another one."""


Described = tuple[IndexedSession, References]
"""What an index says of a session, and of its variables, by key within its group."""


# -- written --------------------------------------------------------------------------------------
def lines_of(sessions: Mapping[str, Described], version: str) -> Iterator[str]:
    """Give the lines of an index of these sessions, by group."""
    entries, lines, start = {}, [], 0
    everything: References = {}
    for group, (session, references) in sessions.items():
        own = {f"{group}/{key}": value for key, value in references.items()}
        line = document(own)[1:-1]
        where = {"start": start, "length": len(line), "checksum": zlib.crc32(line.encode())}
        entries[group] = asdict(session) | where
        lines.append(line + ",\n")
        start += len(line) + 2
        everything |= {key: own[key] for key in own if key.endswith(_DOCUMENTS)}
    above = {GROUP: document(ZARR_GROUP)}
    above |= {f"{group.partition('/')[0]}/{GROUP}": document(ZARR_GROUP) for group in sessions}
    # Plain readers then need not look for groups and arrays, which takes a listing of all keys.
    metadata = {key: parsed(value) for key, value in (above | everything).items()}
    above[CONSOLIDATED] = document({"zarr_consolidated_format": 1, "metadata": metadata})
    head = {
        "version": _KERCHUNK_VERSION,
        _ROOT: {"format": VERSION, "version": version, "sessions": entries},
    }
    yield f"{document(head)[:-1]},{_END_OF_HEAD.decode()}"
    yield from lines
    yield f"{document(above)[1:-1]}}}}}\n"


# -- read -----------------------------------------------------------------------------------------
class Index:
    """An index that is read; what it says is refused unless it is what an index may say."""

    def __init__(self, place: Place) -> None:
        self.file = DirectFile(place)
        try:
            found = self.file.found()
            self._size = found.size
            if isinstance(found, Stamp):
                self.file.stamp = found
            else:
                self.file.remote = found
            for most in _HEAD_BYTES:
                head = self.file.read(0, min(self._size, most))
                line, end, _ = head.partition(_END_OF_HEAD)
                if end:
                    break
            else:
                raise self.refused(f"it does not begin as an index does, in {most} bytes")
            self._start = len(line) + len(end)
            try:
                self.sessions = self._sessions(line)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise self.refused(f"its beginning is damaged ({error})") from error
        except BaseException:
            self.file.close()
            raise

    def refused(self, what: str) -> FormatError:
        """Return the error of an index that is not what it should be."""
        return FormatError(
            f"{self.file.path} is no index of sessions as oscaxr.write_index writes it: {what}. "
            "Write it again from the files themselves."
        )

    def _sessions(self, line: bytes) -> dict[str, IndexedSession]:
        _refuse_templates(line)
        said = parsed(line.rstrip(b",") + b"}")
        if said.keys() != {"version", _ROOT} or said["version"] != _KERCHUNK_VERSION:
            raise ValueError(f"it has {few(said)}, not version {_KERCHUNK_VERSION} and {_ROOT}")
        if not isinstance(said[_ROOT]["format"], int) or said[_ROOT]["format"] > VERSION:
            raise ValueError("a later version of oscaxr wrote it: install that")
        return {group: self._session(group, one) for group, one in said[_ROOT]["sessions"].items()}

    def _session(self, group: str, said: Mapping[str, Any]) -> IndexedSession:
        if not _GROUP.fullmatch(group):
            raise ValueError(f"{group[:60]!r} is no name of a session")
        numbers = [said["start"], said["length"], said["checksum"]]
        states = {address: FileState(**state) for address, state in said["files"].items()}
        numbers += [n for one in states.values() for n in (one.size, one.mtime_ns)]
        ids = [said["session_id"], said["mouse_id"]]
        if not all(type(n) is int for n in (*numbers, *(i for i in ids if i is not None))):
            raise ValueError(f"what is said of {group} are not all whole numbers")
        start, length, checksum = numbers[:3]
        if not 0 <= start <= start + length <= self._size - self._start:
            raise ValueError(f"the line of {group} lies beyond its end")
        if length > _SESSION_BYTES:
            raise ValueError(f"the line of {group} has {length} bytes, more than {_SESSION_BYTES}")
        return IndexedSession(ids[0], ids[1], states, start, length, checksum)

    def chosen(self, group: str | None, session_id: int | None = None) -> str:
        """Return the group of the session that is meant, also by its path in a tree."""
        group = None if group is None else group.removeprefix("/")
        by_id = [name for name, one in self.sessions.items() if one.session_id == session_id]
        fits = [*self.sessions] if session_id is None else by_id
        fits = [name for name in fits if group in (None, name)]
        if len(fits) == 1:
            return fits[0]
        there = few(f"{name} ({one.session_id})" for name, one in self.sessions.items())
        if fits:
            raise AmbiguousSessionError(
                f"{self.file.path} is an index of {len(self.sessions)} sessions: {there}. Say "
                f"which: {option('group', [fits[0]])}; or give a session id, and the index as "
                "datadir. oscaxr.open_sessions opens all of them."
            )
        asked = f"session {session_id}" if group is None else f"group {group!r}"
        raise SessionNotFoundError(f"{self.file.path} has no {asked}. It has {there}.")

    def references(self, group: str) -> References:
        """Return what the index holds of a session, by key within its group."""
        session = self.sessions[group]
        start = self._start + session.start
        line = self.file.read(start, start + session.length)
        try:
            if zlib.crc32(line) != session.checksum:
                raise ValueError("its checksum is another one")
            _refuse_templates(line)
            found = parsed(b"{" + line + b"}")
            if strange := [key for key in found if not key.startswith(f"{group}/")]:
                raise ValueError(f"{strange[0][:60]!r} is none of its keys")
        except (ValueError, RecursionError) as error:
            raise self.refused(f"the line of {group} is damaged ({error})") from error
        return {key.removeprefix(f"{group}/"): value for key, value in found.items()}


def _refuse_templates(line: bytes) -> None:
    if _TEMPLATE in line:
        raise ValueError("it has templates ({{), which are not followed")
