"""Which places below a folder are whose: asked by name first, and opened only where needed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from oscaxr.errors import (
    AmbiguousSessionError,
    ForeignExportError,
    NoSessionError,
    OscaxrError,
    SessionMismatchError,
    SessionNotFoundError,
    listed,
)
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.identity import Identity
from oscaxr.formats.published import smallest_of
from oscaxr.formats.registry import EXPORTS, FORMATS, NWB, ORIGINAL, Format, places_below, steps_of

_LISTED = 10

Owners = dict[Place, Identity]
"""Whose each place is, as far as known."""


@dataclass(frozen=True)
class FoundSession:
    """The places of one session in one format."""

    format: Format
    identity: Identity
    paths: tuple[Place, ...]
    problem: str = ""
    """Why it cannot be told which of the places are the session's; empty where it can."""

    @property
    def path(self) -> Place:
        """The first place."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """What the session is called where files are named after it."""
        session = self.identity.session_id or self.identity.start
        if self.identity.mouse_id is None or not session:
            is_file = isinstance(self.path, RemoteFile) or not self.path.is_dir()
            return Path(self.path.name).stem if is_file else self.path.name
        return f"sub-{self.identity.mouse_id}_ses-{session}"


class Found(NamedTuple):
    """What lies below a folder."""

    sessions: list[FoundSession]
    problems: list[str]
    unreadable: dict[Place, str]
    """Places that cannot be read, and why: whose they are is not known."""


def sessions_at(places: Mapping[Format, Sequence[Place]]) -> Found:
    """Ask all places whose they are, and put those of each session together."""
    found = Found([], [], {})
    for one, paths in places.items():
        found.sessions.extend(grouped(one, identify(one, paths, found)))
    return found


def identify(one: Format, paths: Iterable[Place], found: Found) -> Owners:
    """Say whose these places are, and note in `found` why some could not be asked."""
    # An NWB file that is named by its session id is not opened, unless another file of the same
    # mouse states no session id: that one then gets the id of a file of the same start.
    owners: Owners = {}
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
        owners[path] = identity
    return _matched_by_start(one, owners, found.problems)


def _matched_by_start(one: Format, owners: Owners, problems: list[str]) -> Owners:
    """Give places that state no session id that of a place of the same mouse and start."""
    unnamed = {path: own for path, own in owners.items() if own.session_id is None and own.start}
    mice = {own.mouse_id for own in unnamed.values()}
    ids: dict[tuple[int | None, str], int] = {}
    for path, own in owners.items():
        if own.session_id is None or own.mouse_id not in mice:
            continue
        start = own.start
        if not start:
            try:
                start = one.identity(path).start
            except OscaxrError as error:
                problems.append(str(error))
        ids[(own.mouse_id, start)] = own.session_id
    return owners | {
        path: replace(own, session_id=ids.get((own.mouse_id, own.start)))
        for path, own in unnamed.items()
    }


def grouped(one: Format, owners: Owners) -> list[FoundSession]:
    """Put the places of each session together."""
    groups: dict[object, Owners] = defaultdict(dict)
    for path, own in owners.items():
        is_alone = one in EXPORTS or not (own.session_id or own.start)
        key = path if is_alone else own.session_id or (own.mouse_id, own.start)
        groups[key][path] = own
    unknown = float("inf")
    return sorted(
        (_session_of(one, items) for items in groups.values()),
        key=lambda session: (
            session.identity.session_id is None,
            unknown if session.identity.mouse_id is None else session.identity.mouse_id,
            session.identity.session_id or 0,
            session.identity.start,
            [steps_of(path) for path in session.paths],
        ),
    )


def _session_of(one: Format, owners: Owners) -> FoundSession:
    """Make one session of its places, those named by its id first."""
    identity = Identity()
    for own in owners.values():
        identity = identity.completed(own)

    def order(path: Place) -> tuple[bool, str, tuple[str, ...]]:
        named = one.named(path)
        return (named is None or named.session_id is None, path.name, steps_of(path))

    paths = tuple(sorted(owners, key=order))
    return FoundSession(one, identity, paths, problem_of(owners))


def problem_of(owners: Owners) -> str:
    """Say why these cannot all be the places of one session; empty where they can."""
    number = next(iter(owners.values())).session_id
    mice = sorted({own.mouse_id for own in owners.values() if own.mouse_id is not None})
    if len(mice) > 1:
        return (
            f"Session {number} has files of several mice {mice}:{listed(owners, _LISTED)}\n"
            "Open it by its path."
        )
    parts: dict[tuple[bool, str, tuple[str, ...]], list[Place]] = defaultdict(list)
    for path, own in owners.items():
        parts[own.is_named, own.obj, own.parts].append(path)
    copies = [
        path
        for (is_named, *_), paths in parts.items()
        if len({path.parent for path in paths}) > 1 or (not is_named and len(paths) > 1)
        for path in sorted(paths, key=steps_of)
    ]
    if copies:
        return (
            f"Session {number} has more than one file with the same parts:"
            f"{listed(copies, _LISTED)}\nRemove or rename the copies, give a narrower datadir, or "
            "open one of them by its path."
        )
    return ""


# -- one session of a folder ----------------------------------------------------------------------
def find_places(
    datadir: Place, session_id: int, *, mouse_id: int | None = None, start: str = ""
) -> tuple[Place, ...]:
    """Find the places of one session: its NWB files, else its original folder, else its export."""
    problems: list[str] = []
    places = places_below(datadir, lambda error: problems.append(str(error)))
    wanted = Identity(session_id, mouse_id, start)
    for one in FORMATS:
        owned = _owned_by(one, places[one], wanted, problems)
        if not owned:
            continue
        found = _session_of(one, owned)
        own = found.identity.mouse_id
        if mouse_id is not None and own not in (None, mouse_id):
            raise SessionMismatchError(
                f"Session {session_id} was asked for as one of mouse {mouse_id}, but its files are "
                f"those of mouse {own}:{listed(found.paths, _LISTED)}\n"
                "Check the session table, or the names of the files."
            )
        if found.problem:
            raise AmbiguousSessionError(found.problem)
        return found.paths
    raise SessionNotFoundError(_not_found_message(datadir, places, wanted, problems))


def _owned_by(one: Format, paths: Sequence[Place], wanted: Identity, problems: list[str]) -> Owners:
    """Return the places of a session: by their names first, opening others only where needed."""
    names = {path: one.named(path) for path in paths}
    found = {
        path: replace(name, session_id=wanted.session_id)
        for path, name in names.items()
        if name is not None and _is_named_for(name, wanted)
    }
    if one is ORIGINAL or (found and wanted.start):
        return found
    # With a file found by its name, only its mouse's time-stamped files can be others of it.
    mice = {own.mouse_id for own in found.values()}
    candidates = [
        path
        for path, name in names.items()
        if (name is None and not found)
        or (name is not None and name.session_id is None and (not found or name.mouse_id in mice))
    ]
    here = Found([], problems, {})
    others = identify(one, [*candidates, *found], here)
    problems += here.unreadable.values()
    return found | {
        path: own
        for path, own in others.items()
        if own.session_id == wanted.session_id and path not in found
    }


def _is_named_for(name: Identity, wanted: Identity) -> bool:
    if name.session_id is not None:
        return name.session_id == wanted.session_id
    return name.start == wanted.start and wanted.mouse_id in (None, name.mouse_id)


def _not_found_message(
    datadir: object,
    places: dict[Format, list[Place]],
    wanted: Identity,
    problems: Sequence[str],
) -> str:
    mouse = "*" if wanted.mouse_id is None else str(wanted.mouse_id)
    ids = [wanted.session_id, wanted.start]
    patterns = [f"sub-{mouse}_ses-{ses}*.nwb" for ses in ids if ses]
    names = [name for one in FORMATS for path in places[one] if (name := one.named(path))]
    known = {name.session_id: name for name in names if name.session_id}
    said = [
        f"There is nothing of session {wanted.session_id} below {datadir}: looked at any depth for "
        f"{' and '.join(patterns)}, NWB files named otherwise that state the id inside, a "
        f"folder ophys_session_{wanted.session_id} in the original layout, or an export of it.",
        f"{len(places[NWB])} NWB files were seen; names state {len(known)} session ids.",
    ]
    near = get_close_matches(str(wanted.session_id), [str(i) for i in known], n=3)
    same_mouse = sorted(i for i, name in known.items() if i and wanted.mouse_id == name.mouse_id)
    if near:
        said.append(f"Nearest ids: {', '.join(near)}.")
    if wanted.mouse_id is not None and same_mouse:
        said.append(f"Sessions of mouse {mouse}: {', '.join(map(str, same_mouse))}.")
    if not wanted.start and any(name.start for name in names):
        said.append("Some files are named by start time: give a session table, which has it.")
    published = smallest_of(wanted.session_id) if wanted.session_id else None
    how = f": oscaxr download --sessions {wanted.session_id}" if published else ""
    how += f" fetches {published.size / 1e6:.1f} MB" if published else ""
    said.append(f"Check datadir, or download the session{how}.")
    if problems:
        said.append(f"Could not be read:{listed(problems, _LISTED)}")
    return " ".join(said)
