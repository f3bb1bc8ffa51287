"""How the command line speaks: plain when piped, one clear message when something goes wrong."""

import json
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from oscaxr.errors import ExportError, OscaxrError, OscaxrWarning, TargetExistsError
from oscaxr.store.atomic import AtomicTarget

FAILED: Final = 1
PROBLEMS: Final = 3

DebugOption = Annotated[
    bool, typer.Option("--debug", help="When something goes wrong, show the whole traceback.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs, instead of text.")
]


def output() -> Console:
    """Return the console for results, on standard output."""
    return Console(highlight=False)


def messages() -> Console:
    """Return the console for progress, notes and errors, on standard error."""
    return Console(stderr=True, highlight=False)


def say(console: Console, text: str = "", style: str | None = None) -> None:
    """Print text as it is: nothing in it is markup, and lines are not broken."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def table_lines(
    headings: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str] = ()
) -> list[str]:
    """Set a table in columns that are as wide as what they hold, whatever the terminal's width."""
    cells = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = [heading in words for heading in headings]
    return [
        "  ".join(
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in cells
    ]


def working(what: str) -> AbstractContextManager[object]:
    """Show that something is being done while the block runs, on a terminal only."""
    console = messages()
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def reported_errors(
    debug: bool = False, options: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Turn errors of the block into one message on standard error and exit code 1."""
    # Warnings of oscaxr become one line each, without the place in the code that gave them.
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning_with(warnings.showwarning, options or {})
        try:
            yield
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except (OscaxrError, OSError) as error:
            if debug:
                raise
            say(messages(), f"Error: {as_options(str(error), options or {})}", style="red")
            raise typer.Exit(FAILED) from None
        except Exception as error:
            if debug:
                raise
            say(
                messages(),
                f"Error: {type(error).__name__}: {error}\n"
                "This looks like a mistake in oscaxr itself; --debug shows where it happened.",
                style="red",
            )
            raise typer.Exit(FAILED) from None


def as_options(text: str, options: Mapping[str, str]) -> str:
    """Say keywords of Python as the options that they are on the command line."""
    if not options:
        return text
    names = "|".join(map(re.escape, options))
    # Not in Python code, as in open_session(datadir=...).
    keyword = re.compile(rf"(?<![\w.-])({names})=(?!\.\.\.)(True\b|'[^']*'|)(?=([\w-]?))")

    def replaced(match: re.Match[str]) -> str:
        option, value, following = options[match[1]], match[2], match[3]
        if value in ("", "True"):
            return option + " " * bool(following and not value)
        return f"{option} {value.strip(chr(39))}"

    return keyword.sub(replaced, text)


def _show_warning_with(
    usual: Callable[..., Any], options: Mapping[str, str]
) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, OscaxrWarning):
            say(messages(), f"Note: {as_options(str(message), options)}", style="yellow")
        else:
            usual(message, category, *args, **kwargs)

    return show


OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the target if it is there already.")
]


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a target that is there already, before any work is done."""
    if path.exists() and not overwrite:
        raise TargetExistsError(
            f"{path} exists already. Give another path, or --overwrite to replace it."
        )


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside a file, which becomes the file if all goes well."""
    check_target(path, overwrite=overwrite)
    if path.is_dir():
        raise TargetExistsError(f"{path} is a folder. Give the path of a file.")
    try:
        with AtomicTarget(path, overwrite=overwrite) as temporary:
            yield temporary
    except OscaxrError:
        raise
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error


def bytes_at(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def in_words(size: int) -> str:
    """Return a size in words."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if size >= power:
            return f"{size / power:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


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
    return str(value) if isinstance(value, Path) else value
