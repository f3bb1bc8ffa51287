"""Which sessions ``oscaxr convert`` is to convert: files, folders and tables, one name each."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from oscaxr.cli.session_options import table_in
from oscaxr.errors import CriterionError, OscaxrError, OscaxrWarning, SessionNotFoundError, warn
from oscaxr.formats.nwb.files import SessionFiles, scan
from oscaxr.formats.nwb.identity import find_owners, parse_name
from oscaxr.formats.original.files import is_session_folder, read_tree, session_folders
from oscaxr.sessions.sources import SessionRequest, SessionSource, find_requests, typed_table
from oscaxr.sessions.table import session_row
from oscaxr.store.layout import SUFFIXES
from oscaxr.store.open import is_exported


@dataclass(frozen=True)
class Found:
    """One session that was found."""

    name: str
    source: SessionSource | SessionRequest
    problem: str = ""

    def open(self) -> xr.Dataset:
        """Open the session, lazily."""
        if self.problem:
            raise OscaxrError(self.problem)
        return self.source.open()


def find_all(
    sources: Sequence[Path],
    *,
    table: Path | None = None,
    default_table: Path | None = None,
    datadir: Path | None = None,
    include: str | Collection[str] = (),
) -> list[Found]:
    """Find the sessions that were named on the command line."""
    options: dict[str, Any] = {"include": include, "drop_variables": None, "chunks": None}
    known = _Facts(table, default_table, sources)
    found: list[Found] = []
    nwb: list[SessionFiles] = []
    named: list[Path] = []
    below: list[Path] = []
    for path in sources:
        if is_exported(path):
            found.append(Found(_without_suffix(path), SessionSource((path,), None, options)))
        elif is_session_folder(path):
            named.append(path)
        elif path.is_dir():
            nwb += scan(path)
            below += [folder for _, folder in session_folders(path)]
        elif path.suffix.lower() == ".csv":
            requests = find_requests(path, datadir=datadir or path.parent, options=options)
            found += [Found(_name_of_row(request), request) for request in requests]
        elif path.suffix.lower() == ".nwb":
            nwb += _files_of(path)
        else:
            raise CriterionError(
                f"{path} is nothing to convert: give NWB files (.nwb), session folders, exports "
                f"({', '.join(SUFFIXES)}), folders of these or session tables (.csv)"
            )
    merged = _merged(nwb)
    found += [_found(name, files, known, options) for name, files in merged]
    have = {files.session_id for _, files in merged}
    found += _found_folders(named, (), known, options)
    found += _found_folders(below, have, known, options)
    if not found:
        raise SessionNotFoundError(
            f"There is no session in {', '.join(map(str, sources))}: neither NWB files (.nwb) nor "
            "session folders (ophys_session_<id>), at any depth, nor rows of a session table."
        )
    return _refuse_equal_names(list({(one.name, _key(one)): one for one in found}.values()))


def _key(found: Found) -> object:
    if isinstance(found.source, SessionSource):
        return tuple(os.path.realpath(path) for path in found.source.paths)
    return found.source.asked, os.path.realpath(found.source.datadir or ".")


def _without_suffix(path: Path) -> str:
    return next(
        path.name[: -len(suffix)]
        for suffix in sorted(SUFFIXES, key=len, reverse=True)
        if path.name.lower().endswith(suffix)
    )


def _name_of_row(request: SessionRequest) -> str:
    mouse = (request.row or {}).get("mouseid")
    return f"ses-{request.asked}" if mouse is None else f"sub-{mouse}_ses-{request.asked}"


def _files_of(path: Path) -> list[SessionFiles]:
    owned, problems = find_owners([path])
    if problems:
        warn("\n".join(problems), OscaxrWarning)
    return [
        SessionFiles(one.mouse_id, one.session_id, one.start_time, (one.path,)) for one in owned
    ]


def _merged(nwb: Iterable[SessionFiles]) -> list[tuple[str, SessionFiles]]:
    """Put the files of one session together, each real file once."""
    groups: dict[object, list[SessionFiles]] = defaultdict(list)
    for files in nwb:
        name = _name_of(files)
        groups[name if files.session_id else (name, os.path.realpath(files.path))].append(files)
    merged = []
    for parts in groups.values():
        paths = {os.path.realpath(path): path for files in parts for path in files.paths}
        ordered = sorted(paths.values(), key=_order) if len(parts) > 1 else list(paths.values())
        merged.append((_name_of(parts[0]), replace(parts[0], paths=tuple(ordered))))
    return merged


def _order(path: Path) -> tuple[bool, str, Path]:
    name = parse_name(path)
    return (name is None or name.session_id is None, path.name, path)


def _name_of(files: SessionFiles) -> str:
    session = files.session_id or files.start_time
    if files.mouse_id is None or session is None:
        return files.path.stem
    return f"sub-{files.mouse_id}_ses-{session}"


def _found(name: str, files: SessionFiles, known: "_Facts", options: Mapping[str, Any]) -> Found:
    facts, problem = None, _copies(files.paths)
    try:
        if known.strict and files.session_id is None:
            raise SessionNotFoundError(
                f"{files.path} states no session id, so its row of the session table cannot be "
                "told. Convert it without --table."
            )
        facts = known.of(files.session_id)
    except OscaxrError as error:
        problem = problem or str(error)
    return Found(name, SessionSource(files.paths, facts, options), problem)


def _found_folders(
    folders: Iterable[Path],
    have: Collection[int | None],
    known: "_Facts",
    options: Mapping[str, Any],
) -> list[Found]:
    """Return the sessions of folders in the original layout, but those that are there already."""
    found = []
    for folder in dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders):
        name, facts, problem = folder.name, None, ""
        try:
            tree = read_tree(folder)
            if tree.session_id in have:
                continue
            name = f"sub-{tree.mouse_id}_ses-{tree.session_id}"
            facts = known.of(tree.session_id)
        except OscaxrError as error:
            problem = str(error)
        found.append(Found(name, SessionSource((folder,), facts, options), problem))
    return found


class _Facts:
    """What session tables say of sessions: one that has to have them all, or those at hand."""

    def __init__(
        self, table: Path | None, default_table: Path | None, sources: Iterable[Path]
    ) -> None:
        self.strict = table is not None
        beside = [found for path in sources if path.is_dir() and (found := table_in(path))]
        chosen = [table] if table else [default_table] if default_table else beside
        self.tables = [typed_table(path) for path in chosen]

    def of(self, session_id: int | None) -> dict[str, Any] | None:
        """Return the row of a session, by column; None where no table at hand has it."""
        for table in self.tables:
            if self.strict or session_id in table["sessid"].values:
                row = session_row(table, session_id=session_id)
                return {str(key): value for key, value in row.to_dict().items()}
        return None


def _copies(paths: Iterable[Path]) -> str:
    """Say which files hold the same parts of a session; empty where none do."""
    by_parts: dict[object, list[Path]] = defaultdict(list)
    for path in paths:
        name = parse_name(path)
        by_parts[None if name is None else (name.obj, name.parts)].append(path)
    for parts, same in by_parts.items():
        if len(same) > 1 and (parts is None or len({path.parent for path in same}) > 1):
            return (
                f"more than one file has the same parts of the session: "
                f"{', '.join(map(str, sorted(same)))}. Name the one to convert."
            )
    return ""


def _refuse_equal_names(found: list[Found]) -> list[Found]:
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
