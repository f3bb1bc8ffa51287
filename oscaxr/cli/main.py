"""The command ``oscaxr`` and its sub-commands."""

import sys
from typing import Annotated

import typer

from oscaxr import __version__
from oscaxr.cli.convert import convert
from oscaxr.cli.demo import demo
from oscaxr.cli.download import download
from oscaxr.cli.sample import sample

app = typer.Typer(
    name="oscaxr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oscaxr {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """OpenScope Credit Assignment sessions (DANDI 000037) as labelled xarray Datasets.

    New here? `oscaxr demo` makes small sample sessions and shows what can be done with them.
    """


app.command()(demo)
app.command()(sample)
app.command()(convert)
app.command()(download)


def run() -> None:
    """Run the command line; the entry point of the console script."""
    # A pipe that is closed early (`oscaxr demo | head`) is the reader's choice, not an error.
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
