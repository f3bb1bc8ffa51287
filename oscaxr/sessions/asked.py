"""Which sessions were asked for: as rows of a table, ids and paths, a folder, words."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from oscaxr.errors import (
    CriterionError,
    OscaxrError,
    OscaxrWarning,
    SessionNotFoundError,
    few,
    warn,
)
from oscaxr.files.folders import is_folder
from oscaxr.files.remote import Place, RemoteFile, is_url, remote_file
from oscaxr.formats.identity import Identity
from oscaxr.formats.registry import (
    EXPORTS,
    FORMATS,
    INDEX,
    LOOKS,
    NWB,
    ORIGINAL,
    Format,
    format_of,
    is_session,
    named_like,
    places_below,
)
from oscaxr.options import PathLike
from oscaxr.paths import local_path
from oscaxr.sessions.find import say_problems, sessions_below, table_of, without_originals_of_nwb
from oscaxr.sessions.open import SessionSource, id_or_path, plain, sources_in
from oscaxr.sessions.owners import FoundSession, sessions_at
from oscaxr.sessions.settings import (
    NO_TABLE,
    TABLE_NAME,
    KnownTable,
    Table,
    data_folder,
    known_table,
    settled,
    table_in,
)
from oscaxr.sessions.table import session_row
from oscaxr.sessions.table import session_table as read_table
from oscaxr.sessions.table_file import is_table


# -- many -----------------------------------------------------------------------------------------
def many_sources(
    sessions: Any,
    *,
    datadir: PathLike | None = None,
    table: Table | None = None,
    options: Mapping[str, Any],
) -> list[SessionSource]:
    """Return the sessions that were asked for, one by one."""
    storage = options.get("storage_options")
    if isinstance(sessions, str | os.PathLike):
        place = settled(sessions, storage)
        if INDEX.recognises(place):
            return sources_in(place, options, table=known_table(table, storage=storage))
        if _is_to_be_searched(place):
            return _sources_below(place, options, known_table(table, place, storage))
        sessions = read_table(place) if is_table(place) else [place]
    if isinstance(sessions, pd.DataFrame):
        if table is not None:
            raise CriterionError("sessions= are rows of a session table already: leave table= out")
        rows = [plain(row) for row in read_table(sessions).to_dict("records")]
        return [
            SessionSource(
                (),
                row["session_id"],
                data_folder(datadir, storage),
                facts=row,
                options=options,
                name=f"sub-{row['mouse_id']}_ses-{row['session_id']}",
            )
            for row in rows
        ]
    # Those that can be gone through, but are no list of sessions: open files of any kind, bytes.
    odd = isinstance(sessions, bytes | bytearray | Mapping) or hasattr(sessions, "read")
    if odd or not isinstance(sessions, Iterable):
        raise CriterionError(
            f"sessions= is a {type(sessions).__name__}: give rows of a table, ids, paths, a folder"
        )
    known = known_table(table, datadir, storage)
    return _joined([id_or_path(asked, datadir, known, options) for asked in sessions])


def _is_to_be_searched(place: Place) -> bool:
    """Say whether a place is a folder that is no session itself."""
    if isinstance(place, Path):
        return place.is_dir() and not is_session(place)
    return not is_table(place) and named_like(place, FORMATS) is None and is_folder(place)


def _joined(sources: Sequence[SessionSource]) -> list[SessionSource]:
    """Make one of those that are different files of one session, as their names say."""
    joined: dict[object, SessionSource] = {}
    parts: set[object] = set()
    for number, one in enumerate(sources):
        own = NWB.named(one.places[0]) if len(one.places) == 1 else None
        key: object = number
        if own and own.session_id is not None:
            part = (own.session_id, own.mouse_id, own.obj, own.parts)
            # Two that are the same part are copies, and fail as a session that is asked for twice.
            key = number if part in parts else part[:2]
            parts.add(part)
        before = joined.get(key)
        joined[key] = replace(before, places=before.places + one.places) if before else one
    return list(joined.values())


def _sources_below(
    folder: Place, options: Mapping[str, Any], table: KnownTable
) -> list[SessionSource]:
    """Return the sessions below a folder; exports that cannot be read too, to fail when opened."""
    found = sessions_below(folder)
    rows = {row["path"]: plain(row) for row in table_of(found).to_dict("records")}
    say_problems(folder, found.problems)
    # Numbers that count what is in the folder and published ones do not go together: where an
    # export has its own, the sessions that have none go by their ids.
    is_counted = table.rows is None and not any(one.identity.is_numbered for one in found.sessions)
    by_path = {str(one.path): one for one in found.sessions}
    at_hand = None
    if table.rows is not None and table.found:
        at_hand = RowsAtHand([table.rows], [table.found])
    given = NO_TABLE if at_hand else table
    sources = []
    for path, row in rows.items():
        one = by_path[path]
        facts = at_hand.of(one.identity.session_id) if at_hand else row if is_counted else None
        sources.append(source_of(one, options, table=given, facts=facts))
    if at_hand:
        at_hand.say_missing()
    sources += [SessionSource((path,), table=given, options=options) for path in found.unreadable]
    if not sources:
        expected = ", ".join(LOOKS)
        raise SessionNotFoundError(
            f"There is no session below {folder}, at any depth; looked for {expected}. Check the "
            "path, or make sessions with oscaxr.sample."
        )
    return sources


def source_of(found: FoundSession, options: Mapping[str, Any], **known: Any) -> SessionSource:
    """Return a session that was found as one to be opened."""
    return SessionSource(
        found.paths,
        found.identity.session_id,
        options=options,
        problem=found.problem,
        name=found.name,
        **known,
    )


# -- by words, to be converted --------------------------------------------------------------------
def sources_of(
    words: Sequence[PathLike],
    *,
    table: PathLike | None = None,
    options: Mapping[str, Any],
    **more: Any,
) -> list[SessionSource]:
    """Find the sessions that were named: at addresses, and in files and folders here."""
    storage = options.get("storage_options")
    remote = [remote_file(os.fspath(one), storage or {}) for one in words if is_url(one)]
    here = [local_path(one) for one in words if not is_url(one)]
    known = known_table(table, storage=storage) if remote else NO_TABLE
    sources = []
    for place in remote:
        if is_table(place) or _is_to_be_searched(place):
            where = more.get("datadir") or place.parent if is_table(place) else None
            sources += many_sources(place, datadir=where, table=table, options=options)
        else:
            sources.append(_remote_source(place, known, options))
    if here or not remote:
        sources += named_sources(here, table=table, options=options, **more)
    return sources if more.get("every") else _without_equal_names(sources)


def _remote_source(
    place: RemoteFile, table: KnownTable, options: Mapping[str, Any]
) -> SessionSource:
    """Return the session at an address, named after what this, or its file, states."""
    format_, problem = format_of(place), ""
    own = format_.named(place) or Identity()
    if own.session_id is None or own.mouse_id is None:
        try:
            own = own.completed(format_.identity(place))
        except OscaxrError as error:
            problem = str(error)
    is_known = own.session_id is not None and own.mouse_id is not None
    name = f"sub-{own.mouse_id}_ses-{own.session_id}" if is_known else _stem(place)
    return SessionSource(
        (place,), own.session_id, table=table, options=options, problem=problem, name=name
    )


def named_sources(
    words: Sequence[Path],
    *,
    table: PathLike | None = None,
    default_table: PathLike | None = None,
    datadir: PathLike | None = None,
    options: Mapping[str, Any],
    every: bool = False,
) -> list[SessionSource]:
    """Find the sessions that were named, each once, each with a name of its own."""
    # With `every`, exports below folders too, and each form in which a session is there.
    tables = [path for path in words if path.suffix.lower() == ".csv"]
    beside = [path / TABLE_NAME for path in words if table_in(path)]
    storage = options.get("storage_options")
    known = NO_TABLE if table is None else known_table(table, storage=storage)
    own = [default_table] if default_table else beside
    at_hand = (
        [] if table is not None else [read_table(settled(one, storage)) for one in (*own, *tables)]
    )
    problems: list[str] = []
    others = [path for path in words if path not in tables]
    below_folders = [one for one in FORMATS if every or one not in EXPORTS]
    places, exports = _by_format(others, below_folders, problems)
    found = sessions_at({one: _each_once(paths) for one, paths in places.items()})
    say_problems(", ".join(map(str, words)), [*problems, *found.problems])
    found = found if every else without_originals_of_nwb(found)
    # All of them have to be in a table that was given; one at hand may have them.
    rows = RowsAtHand(at_hand, [str(path) for path in own])
    sources = [
        SessionSource(
            (path,),
            table=known,
            facts=rows.of(_stated_id(path)) if at_hand else None,
            options=options,
            name=path.name if every else _stem(path),
        )
        for path in exports
    ]
    sources += [
        source_of(one, options, table=known, facts=rows.of(one.identity.session_id))
        for one in found.sessions
    ]
    sources += [
        SessionSource((path,), options=options, problem=reason, name=_stem(path) or path.name)
        for path, reason in found.unreadable.items()
    ]
    rows.say_missing()
    have = {one.session_id for one in sources if one.session_id is not None}
    for path in tables:
        folder = settled(datadir or path.parent, storage)
        is_searched = isinstance(folder, Path) and any(
            folder.resolve().is_relative_to(word.resolve()) for word in words
        )
        listed = many_sources(path, datadir=folder, options=options)
        sources += [one for one in listed if not (is_searched and one.session_id in have)]
    if not sources:
        expected = ", ".join(one.looks_like for one in (NWB, ORIGINAL))
        raise SessionNotFoundError(
            f"There is no session in {', '.join(map(str, words))}, at any depth: neither "
            f"{expected}, nor rows of a session table."
        )
    unique = list({(one.name, one.places): one for one in sources}.values())
    return unique if every else _without_equal_names(unique)


def _by_format(
    words: Sequence[Path], below_folders: Sequence[Format], problems: list[str]
) -> tuple[dict[Format, list[Place]], list[Path]]:
    """Return the places that were named or lie below folders, and the exports that were named."""
    places: dict[Format, list[Place]] = {one: [] for one in FORMATS}
    exports: list[Path] = []
    for path in words:
        format_ = _format_of_word(path)
        if format_ is None:
            below = places_below(path, lambda error: problems.append(str(error)))
            for one in below_folders:
                places[one] += below[one]
        elif format_ in EXPORTS:
            exports.append(path)
        else:
            places[format_].append(path)
    return places, exports


def _format_of_word(path: Path) -> Format | None:
    """Return the format of the session at a path; None for a folder that is to be searched."""
    is_named = named_like(path, (NWB, *EXPORTS)) is not None
    if path.is_dir() and not is_named:
        return ORIGINAL if ORIGINAL.recognises(path) else None
    if not path.exists():
        raise SessionNotFoundError(f"{path}: there is no such file or folder. Check the path.")
    if not is_named:
        expected = ", ".join(LOOKS)
        raise CriterionError(
            f"{path} is nothing to convert: give {expected}, folders of these, or tables (.csv)"
        )
    return format_of(path)


def _each_once(paths: Sequence[Place]) -> list[Place]:
    return list({os.path.realpath(path): path for path in reversed(paths)}.values())[::-1]


def _stem(path: Place) -> str:
    return path.name.removesuffix(".zip").rpartition(".")[0]


def _stated_id(path: Path) -> int | None:
    """Return the session id that an export states; what cannot be read fails when it is opened."""
    try:
        return format_of(path).identity(path).session_id
    except OscaxrError:
        return None


@dataclass
class RowsAtHand:
    """Rows of session tables that nobody gave: a session that has none does without."""

    tables: Sequence[pd.DataFrame]
    places: Sequence[str]
    missing: list[str] = field(default_factory=list)

    def of(self, session_id: int | None) -> dict[str, Any] | None:
        """Return the row of a session."""
        for table in self.tables:
            if session_id in table["session_id"].values:
                return plain(session_row(table, session_id=session_id))
        self.missing.append(str(session_id or "one without an id"))
        return None

    def say_missing(self) -> None:
        """Say which sessions had no row, if there are tables that may have had one."""
        if self.missing and self.places:
            warn(
                f"{len(self.missing)} session(s) are not in the session table "
                f"{', '.join(self.places)}, which was found, not given: {few(self.missing)}. Their "
                "facts are those that their files know",
                OscaxrWarning,
            )


def _without_equal_names(found: list[SessionSource]) -> list[SessionSource]:
    counts = Counter(one.name for one in found)
    return [
        one
        if counts[one.name] == 1
        else replace(
            one,
            problem=f"{counts[one.name]} of the sessions would be written to the same name "
            f"{one.name}: convert them into different folders",
        )
        for one in found
    ]
