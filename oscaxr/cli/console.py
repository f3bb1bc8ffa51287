"""How the command line speaks: plain when piped, one clear message when something goes wrong."""

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from oscaxr.errors import OscaxrError, OscaxrWarning

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
