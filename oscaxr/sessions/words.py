"""Which sessions a list of words names: files, session folders, folders to search, tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from oscaxr.errors import CriterionError, OscaxrError, SessionNotFoundError
from oscaxr.formats.registry import EXPORTS, FORMATS, NWB, ORIGINAL, Format, format_of, places_below
from oscaxr.sessions.asked import (
    SessionSource,
    many_sources,
    plain,
    source_of,
    typed_table,
)
from oscaxr.sessions.find import say_problems, without_originals_of_nwb
from oscaxr.sessions.owners import Found, sessions_at
from oscaxr.sessions.table import session_row

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAME: Final = "mouse_df.csv"


def table_in(folder: Path) -> Path | None:
    """Return the session table that lies in a data folder, if there is one."""
    path = folder / TABLE_NAME
    return path if path.is_file() else None


def named_sources(
    words: Sequence[Path],
    *,
    table: Path | None = None,
    default_table: Path | None = None,
    datadir: Path | None = None,
    options: Mapping[str, Any],
    every: bool = False,
) -> list[SessionSource]:
    """Find the sessions that were named, each once, each with a name of its own."""
    # With `every`, exports below folders too, and each form in which a session is there.
    tables = _Tables(table, default_table, words)
    sources: list[SessionSource] = []
    places: dict[Format, list[Path]] = {one: [] for one in FORMATS}
    problems: list[str] = []
    for path in words:
        if path.suffix.lower() == ".csv":
            sources += many_sources(path, datadir=datadir or path.parent, options=options)
            continue
        one = _format_of_word(path)
        if one is None:
            below = places_below(path, lambda error: problems.append(str(error)))
            for format_ in FORMATS if every else (NWB, ORIGINAL):
                places[format_] += below[format_]
        elif one in EXPORTS:
            name = path.name if every else _stem(path)
            sources.append(SessionSource((path,), options=options, name=name))
        else:
            places[one].append(path)
    found = sessions_at({one: _each_once(paths) for one, paths in places.items()})
    say_problems(", ".join(map(str, words)), [*problems, *found.problems])
    found = found if every else without_originals_of_nwb(found)
    sources += _sources_of(found, tables, options)
    if not sources:
        expected = ", ".join(one.looks_like for one in (NWB, ORIGINAL))
        raise SessionNotFoundError(
            f"There is no session in {', '.join(map(str, words))}, at any depth: neither "
            f"{expected}, nor rows of a session table."
        )
    unique = list({(one.name, one.places): one for one in sources}.values())
    return unique if every else _without_equal_names(unique)


def _format_of_word(path: Path) -> Format | None:
    """Return the format of the session at a path; None for a folder that is to be searched."""
    is_named = path.suffix.lower() == ".nwb" or any(one.recognises(path) for one in EXPORTS)
    if path.is_dir() and not is_named:
        return ORIGINAL if ORIGINAL.recognises(path) else None
    if not path.exists():
        raise SessionNotFoundError(f"{path}: there is no such file or folder. Check the path.")
    if not is_named:
        expected = ", ".join(one.looks_like for one in FORMATS)
        raise CriterionError(
            f"{path} is nothing to convert: give {expected}, folders of these, or session tables "
            "(.csv)"
        )
    return format_of(path)


def _each_once(paths: Sequence[Path]) -> list[Path]:
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".zip").rpartition(".")[0]


def _sources_of(found: Found, tables: "_Tables", options: Mapping[str, Any]) -> list[SessionSource]:
    sources = []
    for one in found.sessions:
        source = source_of(one, options)
        try:
            facts = tables.row(one.identity.session_id, one.path)
        except OscaxrError as error:
            source = replace(source, problem=source.problem or str(error))
        else:
            source = replace(source, facts=facts)
        sources.append(source)
    return sources + [
        SessionSource((path,), options=options, problem=reason, name=_stem(path) or path.name)
        for path, reason in found.unreadable.items()
    ]


class _Tables:
    """What session tables say of sessions: one that has to have them all, or those at hand."""

    def __init__(
        self, table: Path | None, default_table: Path | None, words: Sequence[Path]
    ) -> None:
        self.strict = table is not None
        beside = [found for path in words if path.is_dir() and (found := table_in(path))]
        chosen = [table] if table else [default_table] if default_table else beside
        self.tables: list[pd.DataFrame] = [typed_table(path) for path in chosen]

    def row(self, session_id: int | None, path: Path) -> dict[str, Any] | None:
        """Return the row of a session, by column; None where no table at hand has it."""
        if self.strict and session_id is None:
            raise SessionNotFoundError(
                f"{path} states no session id, so its row of the session table cannot be told. "
                "Leave table= out."
            )
        for table in self.tables:
            if self.strict or session_id in table["session_id"].values:
                return plain(session_row(table, session_id=session_id))
        return None


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
