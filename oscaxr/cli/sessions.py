"""``oscaxr sessions``: which sessions there are, in a folder or in the session table."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import pandas as pd
import typer
from rich.filesize import decimal

from oscaxr.cli import console
from oscaxr.cli.place_options import StorageOption, TableOption, storage_options, that_is_there
from oscaxr.cli.session_options import RunType, given, takes
from oscaxr.errors import CriterionError, option
from oscaxr.files.folders import is_folder
from oscaxr.model.facts import MISSING_INT
from oscaxr.model.synthetic import SESSION_IDS
from oscaxr.sessions.find import find_sessions
from oscaxr.sessions.settings import datadir_setting, settled, table_setting
from oscaxr.sessions.table import default_sessions
from oscaxr.sessions.table import session_table as read_table

# Columns shown, with headings that leave room for all of them in 80 characters.
_SHOWN: Final = {
    "session_id": "session id",
    "mouse": "mouse",
    "session": "sess.",
    "run_type": "type",
    "line": "line",
    "plane": "plane",
    "date": "date",
    "pass_fail": "QC",
    "n_rois": "ROIs",
    "n_rois_tracked": "tracked",
}
_WORDS: Final = ("type", "line", "plane", "QC")
# Options about what files alone do not tell, and their columns.
_COLUMNS: Final = {name: name for name in ("plane", "line", "pass_fail", "run_type")} | {
    "min_rois": "n_rois"
}


Line = Literal["L23-Cux2", "L5-Rbp4", "L23", "L5"]
"""Mouse line, in full or by its layer."""


def _criteria(
    mouse: Annotated[
        str | None, typer.Option(metavar="N", help="Numbers of mice, e.g. 1 or 1,3 or 1-4.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="N", help="Numbers of sessions, e.g. 1-3.")
    ] = None,
    plane: Annotated[Literal["soma", "dend"] | None, typer.Option(help="Imaging plane.")] = None,
    line: Annotated[Line | None, typer.Option(help="Mouse line.")] = None,
    pass_fail: Annotated[
        Literal["P", "F"] | None, typer.Option(help="Result of quality control.")
    ] = None,
    run_type: Annotated[RunType | None, typer.Option(help="Production or pilot.")] = None,
    min_rois: Annotated[int | None, typer.Option(min=1, help="Fewest ROIs.")] = None,
) -> dict[str, Any]:
    """Return those criteria that were given."""
    asked = dict(locals())
    return given(asked | {"mouse": numbers("mouse", mouse), "session": numbers("session", session)})


@takes(_criteria)
def sessions(
    criteria: dict[str, Any],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR|CSV|URL",
            callback=that_is_there("Path"),
            help="Folder whose files are looked through, at any depth; or session table; or the "
            "address of one.",
            show_default="OSCAXR_DATADIR, or OSCAXR_TABLE",
        ),
    ] = None,
    table: TableOption = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Only those that published analyses use: production, passed, fit for analysis.",
        ),
    ] = False,
    storage_option: StorageOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """List sessions: those with files in a folder, or those in the session table.

    Of a folder, what the session table knows of its sessions is shown too.
    Without a table, mice and sessions are numbered in the order of id and time:
    these are the published numbers only where all production mice are there.
    """
    with console.working("looking for sessions"):
        there = read_sessions(source, table, storage_options(storage_option or ()))
    found = choose(there, criteria, published=published)
    if as_json:
        console.print_json(known(found))
        return
    columns = {name: title for name, title in _SHOWN.items() if name in found}
    rows = known(found).to_dict("records")
    cells = [[_cell(name, row[name]) for name in columns] for row in rows]
    if cells:
        console.tell(console.table_text(list(columns.values()), cells, _WORDS))
    made_up = int(found["session_id"].between(SESSION_IDS[0], SESSION_IDS[-1]).sum())
    console.tell(
        f"{len(found)} of {len(there)} sessions" + f", {made_up} of them synthetic" * bool(made_up)
    )
    if "published_bytes" in found:
        known_size = found["published_bytes"] >= 0
        other = found[known_size & (found["bytes"] != found["published_bytes"])]
        for row in other.to_dict("records"):
            console.note(
                f"session {row['session_id']} has files of {decimal(row['bytes'])}, those of the "
                f"archive have {decimal(row['published_bytes'])}: {row['path']}"
            )


def choose(table: pd.DataFrame, criteria: dict[str, Any], *, published: bool) -> pd.DataFrame:
    """Choose rows of the session table."""
    absent = [
        option(name)
        for name, column in _COLUMNS.items()
        if name in criteria
        and (column not in table or (column == "n_rois" and (table[column] < 0).all()))
    ]
    if absent or (published and "included" not in table):
        raise CriterionError(
            f"{', '.join(absent or [option('published')])}: the files of sessions do not say this, "
            f"the session table does; give {option('table', 'mouse_df.csv')}"
        )
    free = dict.fromkeys(
        ("pass_fail", "included", "all_files", "any_files", "min_rois", "run_type"), None
    )
    options: dict[str, Any] = criteria if published else {**free, **criteria}
    return default_sessions(table, **options)


def numbers(name: str, text: str | None) -> list[int] | None:
    """Read numbers and ranges of numbers."""
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise CriterionError(
                f"{option(name, text)}: give numbers or ranges, such as 1 or 1,3 or 1-4"
            )
        found += range(int(first), int(last or first) + 1)
    return found


def known(table: pd.DataFrame) -> pd.DataFrame:
    """Return a session table with None for what is not known."""
    values = table.astype(object)
    return values.where(values.notna() & (values != "") & (values != MISSING_INT), None)


def read_sessions(
    source: str | None, table: str | None, storage: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Find the sessions of a folder or of a table."""
    place = datadir_setting(source, storage).value
    if place is None and table is not None:
        place = settled(table, storage)
    if place is None:
        raise typer.BadParameter(
            "say where: a folder with files of sessions, or a session table (.csv)"
        )
    if not is_folder(place):
        return read_table(place)
    found = find_sessions(place)
    known = table_setting(table, place, storage).value
    if known is None:
        return found
    listed = read_table(known)
    unknown = sorted(set(found["session_id"]) - set(listed["session_id"]))
    if unknown:
        console.note(
            f"the session table {known} does not have {', '.join(map(str, unknown))}, found "
            f"in {place}: left out of the list"
        )
    here = ["session_id", "path", "n_files", "bytes", "published_bytes"]
    return listed.merge(found[here], on="session_id")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if column == "date" else text
