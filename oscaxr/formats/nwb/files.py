"""Which files belong to a session: folders searched, files grouped, copies refused."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from oscaxr.errors import (
    AmbiguousSessionError,
    FormatError,
    OscaxrWarning,
    SessionMismatchError,
    SessionNotFoundError,
    warn,
)
from oscaxr.files.walk import walk_folders
from oscaxr.formats.nwb.identity import (
    UNKNOWN,
    Identity,
    OwnedFile,
    ParsedName,
    check_identity,
    find_owners,
    parse_name,
    read_identity,
)

__all__ = [
    "Identity",
    "ParsedName",
    "SessionFiles",
    "check_identity",
    "find_session_files",
    "parse_name",
    "read_identity",
    "scan",
]

_LISTED: Final = 10


@dataclass(frozen=True)
class SessionFiles:
    """The NWB files of one session."""

    mouse_id: int | None
    session_id: int | None
    start_time: str | None
    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The first file."""
        return self.paths[0]

    @property
    def templates_path(self) -> Path | None:
        """The first file with stimulus templates (``image``), by its name."""
        return _first(self.paths, lambda name: "image" in name.parts)

    @property
    def movie_path(self) -> Path | None:
        """The first file with the motion-corrected movie (``obj-raw``), by its name."""
        return _first(self.paths, lambda name: name.obj == "raw")

    def identity(self) -> tuple[Identity, list[str]]:
        """Read what the first readable file states, and why earlier ones could not be read."""
        problems: list[str] = []
        for path in self.paths:
            try:
                return read_identity(path), problems
            except (FormatError, SessionNotFoundError) as error:
                problems.append(str(error))
        return UNKNOWN, problems


def scan(datadir: str | Path) -> list[SessionFiles]:
    """Find all NWB files below a folder and group them by session."""
    # Files named by session id are not opened, unless a time-stamped file of the same mouse states
    # no session id itself: then start times are compared. Copies are listed, not refused.
    paths, problems = _nwb_files(_checked_folder(datadir))
    found, unread = find_owners(paths)
    groups = list(_by_session(found).values())
    problems += unread + [_several_mice(items) for items in groups if len(_mice(items)) > 1]
    if problems:
        warn(
            f"Not all NWB files below {datadir} are what they should be; files that could not be "
            f"read are grouped by what their names say: {_listed(problems)}",
            OscaxrWarning,
        )
    unknown = float("inf")
    return sorted(
        map(_grouped, groups),
        key=lambda session: (
            session.session_id is None,
            unknown if session.mouse_id is None else session.mouse_id,
            session.session_id or 0,
            session.start_time or "",
            session.paths,
        ),
    )


def find_session_files(
    datadir: str | Path,
    session_id: int,
    *,
    mouse_id: int | None = None,
    start_time: str | None = None,
) -> tuple[Path, ...]:
    """Find the NWB files of one session."""
    # Names are looked at first. Time-stamped files are opened to read their ids only where
    # `start_time` is not given or nothing was found by name.
    folder = _checked_folder(datadir)
    start_time = start_time or None  # empty where the session table does not know it
    files, problems = _nwb_files(folder)
    names = {path: parse_name(path) for path in files}
    found = [
        OwnedFile(path, name.mouse_id, session_id, name.start_time)
        for path, name in names.items()
        if name is not None and _is_named_for(name, session_id, mouse_id, start_time)
    ]
    if not found or start_time is None:
        # With a file found by its name, only its mouse's time-stamped files can be others of it.
        mice = {item.mouse_id for item in found}
        have = {item.path for item in found}
        candidates = [
            path
            for path, name in names.items()
            if path not in have
            and (name.session_id is None if name is not None else True)
            and (not found or (name is not None and name.mouse_id in mice))
        ]
        identified, unread = find_owners([*candidates, *have])
        problems += unread
        found += [i for i in identified if i.session_id == session_id and i.path not in have]
    if not found:
        raise SessionNotFoundError(
            _not_found_message(folder, names, session_id, mouse_id, start_time, problems)
        )
    _check_mouse(found, session_id, mouse_id)
    _refuse_copies(found, session_id)
    return _grouped(found).paths


def _first(paths: Iterable[Path], fits: Callable[[ParsedName], bool]) -> Path | None:
    return next((p for p in paths if (name := parse_name(p)) is not None and fits(name)), None)


def _listed(items: Iterable[object]) -> str:
    """List things one a line, the first few of many."""
    lines = [str(item) for item in items]
    more = [f"... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "".join(f"\n  {line}" for line in lines[:_LISTED] + more)


def _checked_folder(datadir: str | Path) -> Path:
    folder = Path(datadir)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.is_file() else "does not exist"
        raise SessionNotFoundError(
            f"The data folder {folder} {what}. Give the folder that holds the sub-<mouse id> "
            "folders."
        )
    return folder


def _nwb_files(folder: Path) -> tuple[list[Path], list[str]]:
    """List the NWB files below a folder, each real one once, and what could not be searched."""
    found: dict[str, Path] = {}
    problems: list[str] = []
    for root, _, files in walk_folders(folder, lambda error: problems.append(str(error))):
        for file in files:
            if file.endswith(".nwb"):
                path = root / file
                found.setdefault(str(path.resolve()), path)
    return sorted(found.values()), problems


def _is_named_for(
    name: ParsedName, session_id: int, mouse_id: int | None, start_time: str | None
) -> bool:
    if name.session_id is not None:
        return name.session_id == session_id
    return name.start_time == start_time and mouse_id in (None, name.mouse_id)


def _by_session(found: Iterable[OwnedFile]) -> dict[tuple[object, ...], list[OwnedFile]]:
    groups: dict[tuple[object, ...], list[OwnedFile]] = defaultdict(list)
    for item in found:
        if item.session_id is not None:
            groups[(item.session_id,)].append(item)
        elif item.start_time is not None:
            groups[(item.mouse_id, item.start_time)].append(item)
        else:
            groups[(item.path,)].append(item)
    return groups


def _grouped(items: list[OwnedFile]) -> SessionFiles:
    def order(path: Path) -> tuple[bool, str, Path]:
        name = parse_name(path)
        return (name is None or name.session_id is None, path.name, path)

    return SessionFiles(
        mouse_id=next((i.mouse_id for i in items if i.mouse_id is not None), None),
        session_id=items[0].session_id,
        start_time=next((i.start_time for i in items if i.start_time is not None), None),
        paths=tuple(sorted((i.path for i in items), key=order)),
    )


def _mice(items: list[OwnedFile]) -> list[int]:
    return sorted({item.mouse_id for item in items if item.mouse_id is not None})


def _several_mice(items: list[OwnedFile]) -> str:
    files = _listed(item.path for item in items)
    return f"Session {items[0].session_id} has files of several mice {_mice(items)}:{files}"


def _check_mouse(found: list[OwnedFile], session_id: int, mouse_id: int | None) -> None:
    others = [mouse for mouse in _mice(found) if mouse != mouse_id]
    if mouse_id is not None and others:
        raise SessionMismatchError(
            f"Session {session_id} was asked for as one of mouse {mouse_id}, but its files are "
            f"those of mouse {', '.join(map(str, others))}:{_listed(f.path for f in found)}\n"
            "Check the session table, or the names of the files."
        )
    if len(others) > 1:
        raise AmbiguousSessionError(f"{_several_mice(found)}\nGive mouse_id, or a path.")


def _refuse_copies(found: list[OwnedFile], session_id: int) -> None:
    by_parts: dict[object, list[Path]] = defaultdict(list)
    for item in found:
        name = parse_name(item.path)
        by_parts[None if name is None else (name.obj, name.parts)].append(item.path)
    copies = [
        path
        for paths in by_parts.values()
        if len({path.parent for path in paths}) > 1
        for path in sorted(paths)
    ]
    if copies:
        raise AmbiguousSessionError(
            f"Session {session_id} has more than one file with the same parts, in different "
            f"folders:{_listed(copies)}\nRemove or rename the copies, give a narrower datadir, or "
            "open one of them by its path."
        )


def _not_found_message(
    folder: Path,
    names: dict[Path, ParsedName | None],
    session_id: int,
    mouse_id: int | None,
    start_time: str | None,
    problems: list[str],
) -> str:
    mouse = "*" if mouse_id is None else str(mouse_id)
    patterns = [f"sub-{mouse}_ses-{ses}*.nwb" for ses in (session_id, start_time) if ses]
    said = [
        f"No NWB file of session {session_id} below {folder}: looked at any depth for "
        f"{' and '.join(patterns)}, and in files named otherwise for their own session id."
    ]
    known = {name.session_id: name for name in names.values() if name and name.session_id}
    said.append(f"{len(names)} NWB files were seen, of {len(known)} session ids.")
    near = get_close_matches(str(session_id), [str(i) for i in known], n=3)
    same_mouse = sorted(i for i, name in known.items() if mouse_id == name.mouse_id)
    if near:
        said.append(f"Nearest ids: {', '.join(near)}.")
    if same_mouse:
        said.append(f"Sessions of mouse {mouse_id}: {', '.join(map(str, same_mouse))}.")
    if start_time is None and any(name and name.start_time for name in names.values()):
        said.append("Some files are named by start time: give start_time, or a session table.")
    said.append("Check datadir, or download the session.")
    if problems:
        said.append(f"Could not be read:{_listed(problems)}")
    return " ".join(said)
