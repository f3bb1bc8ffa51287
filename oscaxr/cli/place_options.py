"""Where the files of a command lie, and how servers are reached: options of many commands."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from oscaxr.errors import OscaxrError
from oscaxr.files.remote import Place, is_url
from oscaxr.paths import local_path
from oscaxr.sessions.settings import DATADIR, TABLE, settled

WHICH: Final = "Which session"
HOW: Final = "How to open it"


def that_is_there(kind: str) -> Callable[[str | None], str | None]:
    """Make the check of a word that is to be a folder, a file, or any path; or an address."""

    def check(word: str | None) -> str | None:
        if word is None or is_url(word):
            return word
        try:
            place = local_path(word)
        except OscaxrError as error:
            raise typer.BadParameter(str(error)) from None
        if not place.exists():
            raise typer.BadParameter(f"{kind} '{word}' does not exist.")
        if kind != "Path" and place.is_dir() is not (kind == "Directory"):
            what = "a directory" if place.is_dir() else "a file"
            raise typer.BadParameter(f"{kind} '{word}' is {what}.")
        return word

    return check


def no_file(word: str) -> str:
    """Refuse a file where a folder is to be, or an address."""
    try:
        place = settled(word, None)
    except OscaxrError as error:
        raise typer.BadParameter(str(error)) from None
    if isinstance(place, Path) and place.is_file():
        raise typer.BadParameter(f"Directory '{word}' is a file.")
    return word


# Of a folder and of a session table that have to be there.
folder_option = partial(typer.Option, metavar="DIR|URL", callback=that_is_there("Directory"))
table_option = partial(typer.Option, metavar="CSV|URL", callback=that_is_there("File"))

DatadirOption = Annotated[
    str | None,
    folder_option(
        "--datadir",
        rich_help_panel=WHICH,
        envvar=DATADIR,
        help="Folder below which the files of sessions lie, at any depth.",
    ),
]
TableOption = Annotated[
    str | None,
    table_option(
        "--table",
        rich_help_panel=WHICH,
        envvar=TABLE,
        help="Session table; by default mouse_df.csv in the data folder, if it is there.",
    ),
]
StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=HOW,
        metavar="NAME=VALUE",
        help="How a store is reached, e.g. anon=true; may be repeated.",
    ),
]
# Of commands that write, and know of one store only.
StoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        rich_help_panel="In an object store",
        metavar="NAME=VALUE",
        help="How an object store is reached, e.g. profile=lab; may be repeated.",
    ),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="How the object store that is written to is reached; may be repeated.",
    ),
]


def place_to_write(word: str, how: list[str] | None) -> Place:
    """Return where to write; how a store is reached concerns what is in one only."""
    return settled(word, storage_options(how or ()))


def storage_options(words: Iterable[str]) -> dict[str, Any]:
    """Read how a store is reached: values are JSON, or else text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (equals and name):
            raise typer.BadParameter("--storage-option is written NAME=VALUE, e.g. anon=true")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
