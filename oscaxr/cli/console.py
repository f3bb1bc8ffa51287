"""How the command line speaks: plain when piped, one clear message when something goes wrong."""

import json
import math
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from oscaxr.atomic import explained
from oscaxr.errors import OscaxrError, OscaxrWarning, TargetExistsError, command_line_words, option
from oscaxr.files import folders
from oscaxr.files.remote import Place, RemoteFile, place_of
from oscaxr.options import PathLike

FAILED: Final = 1
PROBLEMS: Final = 3

# Lines are not broken, whatever they hold.
_WIDEST: Final = 100_000

DebugOption = Annotated[
    bool, typer.Option("--debug", help="When something goes wrong, show the whole traceback.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs, instead of text.")
]
out_option = partial(typer.Option, "-o", "--out")
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the target if it is there already.")
]


def tell(text: str = "", style: str | None = None, *, to_messages: bool = False) -> None:
    """Print text as it is: nothing in it is markup, and lines are not broken."""
    console = Console(stderr=to_messages, highlight=False)
    # Names of files need not be text.
    text = text.encode(errors="backslashreplace").decode()
    console.print(text, style=style, markup=False, soft_wrap=True)


def folded(text: str, *, used: int = 0) -> str:
    """Break text into lines that fit the terminal, never within a word such as a path."""
    width = max(20, Console().width - used)
    return fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def note(text: str) -> None:
    """Say on standard error what the user may want to know."""
    tell(f"Note: {text}", "yellow", to_messages=True)


def complain(text: str) -> None:
    """Say on standard error what went wrong."""
    tell(f"Error: {text}", "red", to_messages=True)


def table_text(
    headings: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str] = ()
) -> str:
    """Set a table in columns as wide as what they hold, those headed by `words` to the left."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        side: JustifyMethod = "left" if heading in words else "right"
        table.add_column(Text(heading), justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell.expandtabs()) for cell in row))
    # Whatever the terminal's width.
    console = Console(width=_WIDEST, color_system=None)
    with console.capture() as printed:
        console.print(table)
    return "\n".join(line.rstrip() for line in printed.get().splitlines())


def working(what: str) -> AbstractContextManager[object]:
    """Show that something is being done while the block runs, on a terminal only."""
    console = Console(stderr=True, highlight=False)
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def reported_errors(debug: bool = False) -> Iterator[None]:
    """Turn errors of the block into one message on standard error and exit code 1."""
    with warnings.catch_warnings(), command_line_words():
        _show_warnings_as_notes()
        try:
            yield
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            if debug:
                raise
            if isinstance(error, OscaxrError | OSError):
                complain(str(error))
            else:
                complain(
                    f"{type(error).__name__}: {error}\n"
                    "This looks like a mistake in oscaxr itself; --debug shows where it happened."
                )
            raise typer.Exit(FAILED) from None


def _show_warnings_as_notes() -> None:
    """Let warnings of oscaxr be one line each, without the place in the code that gave them."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, OscaxrWarning):
            note(str(message))
        else:
            usual(message, category, *args, **kwargs)

    warnings.showwarning = show


def check_target(path: PathLike, *, overwrite: bool) -> Place:
    """Return a target; refuse one that is there already, before any work is done.

    In an object store, that is told when it is written.
    """
    place = place_of(path)
    if isinstance(place, Path) and place.exists() and not overwrite:
        raise TargetExistsError(
            f"{path} exists already. Give another path, or {option('overwrite', True)} to replace "
            "it."
        )
    return place


@contextmanager
def new_file(path: Place, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path, which becomes the file if all goes well."""
    check_target(path, overwrite=overwrite)
    if isinstance(path, Path) and path.is_dir():
        raise TargetExistsError(f"{path} is a folder. Give the path of a file.")
    with (
        explained(f"cannot write {path}"),
        folders.new_file(path, overwrite=overwrite) as temporary,
    ):
        yield temporary


def bytes_at(path: Place) -> int:
    """Return the size of a file, or of all files in a folder."""
    if isinstance(path, RemoteFile):
        return sum(folders.object_folder(path).sizes().values())
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def counted(words: Iterable[str]) -> str:
    """Say how many there are of each, in order of first occurrence."""
    return ", ".join(f"{count} {word}" for word, count in Counter(words).items())


def print_json(value: Any) -> None:
    """Print a result as JSON on standard output."""
    typer.echo(json.dumps(plain(value), indent=1, allow_nan=False))


def plain(value: Any) -> Any:
    """Return what JSON can hold in place of a value."""
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path | RemoteFile) else value
