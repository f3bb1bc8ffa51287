"""Which places below a folder are whose: asked by name first, and opened only where needed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from oscaxr.errors import (
    AmbiguousSessionError,
    ForeignExportError,
    NoSessionError,
    OscaxrError,
    SessionMismatchError,
    SessionNotFoundError,
)
from oscaxr.formats.identity import Identity
from oscaxr.formats.registry import EXPORTS, FORMATS, NWB, Format, places_below

_LISTED: Final = 10


@dataclass(frozen=True)
class Owned:
    """A place, and whose it is as far as known."""

    path: Path
    identity: Identity


@dataclass(frozen=True)
class FoundSession:
    """The places of one session in one format."""

    format: Format
    identity: Identity
    paths: tuple[Path, ...]
    problem: str = ""
    """Why it cannot be told which of the places are the session's; empty where it can."""

    @property
    def path(self) -> Path:
        """The first place."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """What the session is called where files are named after it."""
        session = self.identity.session_id or self.identity.start
        if self.identity.mouse_id is None or not session:
            return self.path.name if self.path.is_dir() else self.path.stem
        return f"sub-{self.identity.mouse_id}_ses-{session}"


@dataclass(frozen=True)
class Found:
    """What lies below a folder."""

    sessions: list[FoundSession]
    problems: list[str]
    unreadable: dict[Path, str]
    """Places that cannot be read, and why: whose they are is not known."""


def sessions_at(places: Mapping[Format, Sequence[Path]]) -> Found:
    """Ask all places whose they are, and put those of each session together."""
    found = Found([], [], {})
    for one, paths in places.items():
        found.sessions.extend(grouped(one, identify(one, paths, found)))
    return found


def identify(one: Format, paths: Iterable[Path], found: Found) -> list[Owned]:
    """Say whose these places are, and note in `found` why some could not be asked."""
    # An NWB file that is named by its session id is not opened, unless another file of the same
    # mouse states no session id: that one then gets the id of a file of the same start.
    owned: list[Owned] = []
    for path in paths:
        identity = one.named(path) or Identity()
        if one is not NWB or identity.session_id is None:
            try:
                identity = identity.completed(one.identity(path))
            except (ForeignExportError, NoSessionError):
                continue
            except OscaxrError as error:
                if one is not NWB:
                    found.unreadable[path] = str(error)
                    continue
                found.problems.append(str(error))
        owned.append(Owned(path, identity))
    return _matched_by_start(one, owned, found.problems)


def _matched_by_start(one: Format, owned: list[Owned], problems: list[str]) -> list[Owned]:
    """Give places that state no session id that of a place of the same mouse and start."""
    unnamed = [o.identity for o in owned if o.identity.session_id is None and o.identity.start]
    mice = {identity.mouse_id for identity in unnamed}
    if not mice:
        return owned
    ids: dict[tuple[int | None, str], int] = {}
    for item in owned:
        identity = item.identity
        if identity.session_id is None or identity.mouse_id not in mice:
            continue
        start = identity.start
        if not start:
            try:
                start = one.identity(item.path).start
            except OscaxrError as error:
                problems.append(str(error))
        ids[(identity.mouse_id, start)] = identity.session_id
    return [
        item
        if item.identity.session_id is not None or not item.identity.start
        else replace(
            item,
            identity=replace(
                item.identity, session_id=ids.get((item.identity.mouse_id, item.identity.start))
            ),
        )
        for item in owned
    ]


def grouped(one: Format, owned: Iterable[Owned]) -> list[FoundSession]:
    """Put the places of each session together."""
    groups: dict[object, list[Owned]] = defaultdict(list)
    for item in owned:
        identity = item.identity
        if one in EXPORTS or not (identity.session_id or identity.start):
            groups[item.path].append(item)
        else:
            key = identity.session_id or (identity.mouse_id, identity.start)
            groups[key].append(item)
    found = [_session_of(one, items) for items in groups.values()]
    unknown = float("inf")
    return sorted(
        found,
        key=lambda session: (
            session.identity.session_id is None,
            unknown if session.identity.mouse_id is None else session.identity.mouse_id,
            session.identity.session_id or 0,
            session.identity.start,
            session.paths,
        ),
    )


def _session_of(one: Format, items: list[Owned]) -> FoundSession:
    """Make one session of its places, those named by its id first."""
    identity = Identity()
    for item in items:
        identity = identity.completed(item.identity)

    def order(item: Owned) -> tuple[bool, str, Path]:
        named = one.named(item.path)
        return (named is None or named.session_id is None, item.path.name, item.path)

    paths = tuple(item.path for item in sorted(items, key=order))
    return FoundSession(one, replace(identity, part=None), paths, problem_of(items))


def problem_of(items: Sequence[Owned]) -> str:
    """Say why these cannot all be the places of one session; empty where they can."""
    number = items[0].identity.session_id
    mice = sorted({o.identity.mouse_id for o in items if o.identity.mouse_id is not None})
    if len(mice) > 1:
        return (
            f"Session {number} has files of several mice {mice}:{listed(o.path for o in items)}\n"
            "Open it by its path."
        )
    parts: dict[object, list[Path]] = defaultdict(list)
    for item in items:
        parts[item.identity.part].append(item.path)
    copies = [
        path
        for part, paths in parts.items()
        if len({path.parent for path in paths}) > 1 or (part is None and len(paths) > 1)
        for path in sorted(paths)
    ]
    if copies:
        return (
            f"Session {number} has more than one file with the same parts:{listed(copies)}\nRemove "
            "or rename the copies, give a narrower datadir, or open one of them by its path."
        )
    return ""


def listed(items: Iterable[object]) -> str:
    """List things one a line, the first few of many."""
    lines = [str(item) for item in items]
    more = [f"... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "".join(f"\n  {line}" for line in lines[:_LISTED] + more)


# -- one session of a folder ----------------------------------------------------------------------
def find_places(
    datadir: str | Path, session_id: int, *, mouse_id: int | None = None, start: str = ""
) -> tuple[Path, ...]:
    """Find the places of one session: its NWB files, else its original folder, else its export."""
    problems: list[str] = []
    places = places_below(Path(datadir), lambda error: problems.append(str(error)))
    for one in FORMATS:
        owned = _owned_by(one, places[one], Identity(session_id, mouse_id, start), problems)
        if not owned:
            continue
        found = _session_of(one, owned)
        _check_mouse(found, session_id, mouse_id)
        if found.problem:
            raise AmbiguousSessionError(found.problem)
        return found.paths
    raise SessionNotFoundError(
        _not_found_message(datadir, places, session_id, mouse_id, start, problems)
    )


def _owned_by(
    one: Format, paths: Sequence[Path], wanted: Identity, problems: list[str]
) -> list[Owned]:
    """Return the places of a session: by their names first, opening others only where needed."""
    found_here = Found([], problems, {})
    if one in EXPORTS:
        exports = identify(one, paths, found_here)
        problems += found_here.unreadable.values()
        return [o for o in exports if o.identity.session_id == wanted.session_id]
    names = {path: one.named(path) for path in paths}
    found = [
        Owned(path, replace(name, session_id=wanted.session_id))
        for path, name in names.items()
        if name is not None and _is_named_for(name, wanted)
    ]
    if one is NWB and (not found or not wanted.start):
        # With a file found by its name, only its mouse's time-stamped files can be others of it.
        mice = {item.identity.mouse_id for item in found}
        have = {item.path for item in found}
        candidates = [
            path
            for path, name in names.items()
            if path not in have
            and (name is None or name.session_id is None)
            and (not found or (name is not None and name.mouse_id in mice))
        ]
        found += [
            item
            for item in identify(one, [*candidates, *have], found_here)
            if item.identity.session_id == wanted.session_id and item.path not in have
        ]
    return found


def _is_named_for(name: Identity, wanted: Identity) -> bool:
    if name.session_id is not None:
        return name.session_id == wanted.session_id
    return name.start == wanted.start and wanted.mouse_id in (None, name.mouse_id)


def _check_mouse(found: FoundSession, session_id: int, mouse_id: int | None) -> None:
    own = found.identity.mouse_id
    if mouse_id is not None and own not in (None, mouse_id):
        raise SessionMismatchError(
            f"Session {session_id} was asked for as one of mouse {mouse_id}, but its files are "
            f"those of mouse {own}:{listed(found.paths)}\n"
            "Check the session table, or the names of the files."
        )


def _not_found_message(
    datadir: object,
    places: dict[Format, list[Path]],
    session_id: int,
    mouse_id: int | None,
    start: str,
    problems: Sequence[str],
) -> str:
    mouse = "*" if mouse_id is None else str(mouse_id)
    patterns = [f"sub-{mouse}_ses-{ses}*.nwb" for ses in (session_id, start) if ses]
    names = [name for one in FORMATS for path in places[one] if (name := one.named(path))]
    known = {name.session_id: name for name in names if name.session_id}
    said = [
        f"There is nothing of session {session_id} below {datadir}: looked at any depth for "
        f"{' and '.join(patterns)}, NWB files named otherwise that state the id inside, a "
        f"folder ophys_session_{session_id} in the original layout, or an export of it.",
        f"{len(places[NWB])} NWB files were seen; names state {len(known)} session ids.",
    ]
    near = get_close_matches(str(session_id), [str(i) for i in known], n=3)
    same_mouse = sorted(i for i, name in known.items() if i and mouse_id == name.mouse_id)
    if near:
        said.append(f"Nearest ids: {', '.join(near)}.")
    if mouse_id is not None and same_mouse:
        said.append(f"Sessions of mouse {mouse_id}: {', '.join(map(str, same_mouse))}.")
    if not start and any(name.start for name in names):
        said.append("Some files are named by start time: give a session table, which has it.")
    said.append("Check datadir, or download the session.")
    if problems:
        said.append(f"Could not be read:{listed(problems)}")
    return " ".join(said)
