"""How the command line speaks: plain when piped, one clear message when something goes wrong."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console

from oscaxr.errors import OscaxrError, OscaxrWarning

FAILED = 1

DebugOption = Annotated[
    bool, typer.Option("--debug", help="When something goes wrong, show the whole traceback.")
]


def output() -> Console:
    """Return the console for results, on standard output.

    Returns
    -------
    rich.console.Console
        Without colours where the output is not a terminal.
    """
    return Console(highlight=False)


def messages() -> Console:
    """Return the console for progress, notes and errors, on standard error.

    Returns
    -------
    rich.console.Console
        Without colours where the output is not a terminal.
    """
    return Console(stderr=True, highlight=False)


def say(console: Console, text: str = "", style: str | None = None) -> None:
    """Print text as it is: nothing in it is markup, and lines are not broken.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    text : str, optional
        What to print; an empty line by default.
    style : str, optional
        Rich style, of no effect where the output is not a terminal.
    """
    console.print(text, style=style, markup=False, soft_wrap=True)


def working(what: str) -> AbstractContextManager[object]:
    """Show that something is being done while the block runs, on a terminal only.

    Parameters
    ----------
    what : str
        What is being done.

    Returns
    -------
    context manager
        Nothing may be printed inside it: it borrows standard output too.
    """
    console = messages()
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def reported_errors(debug: bool = False) -> Iterator[None]:
    """Turn errors of the block into one message on standard error and exit code 1.

    Parameters
    ----------
    debug : bool, optional
        Let them through with their traceback.

    Raises
    ------
    typer.Exit
        With code 1, in place of any error.

    Notes
    -----
    Warnings of oscaxr become one line each, without the place in the code that gave them.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning_with(warnings.showwarning)
        try:
            yield
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except (OscaxrError, OSError) as error:
            if debug:
                raise
            say(messages(), f"Error: {error}", style="red")
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


def _show_warning_with(usual: Callable[..., Any]) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, OscaxrWarning):
            say(messages(), f"Note: {message}", style="yellow")
        else:
            usual(message, category, *args, **kwargs)

    return show
