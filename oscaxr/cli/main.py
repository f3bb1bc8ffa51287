"""The command ``oscaxr`` and its sub-commands."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from oscaxr import __version__
from oscaxr.cli.batch import convert, validate
from oscaxr.cli.cite import cite
from oscaxr.cli.config import config
from oscaxr.cli.demo import demo, sample
from oscaxr.cli.download import download
from oscaxr.cli.explore import explore
from oscaxr.cli.extract import extract
from oscaxr.cli.figures import figures
from oscaxr.cli.index import index
from oscaxr.cli.look import info, segments
from oscaxr.cli.plot import plot
from oscaxr.cli.session_options import reported
from oscaxr.cli.sessions import sessions
from oscaxr.renamed import OPTIONS

# In the order in which they are listed. No line of help may be longer than the terminal is wide.
_COMMANDS: Final[dict[str, dict[Callable[..., None], str]]] = {
    "Begin": {
        demo: "Make small sample sessions and show what can be done with them.",
        sample: "Write synthetic sessions of a length and size of your choice.",
    },
    "Look": {
        sessions: "List the sessions in a folder, or in the session table.",
        info: "Show what a session is: facts, sizes, rates, what it lacks.",
        segments: "Count and list the segments that fulfil criteria.",
        explore: "Look at sessions in a browser.",
        validate: "Check that sessions are sound.",
    },
    "Take out": {
        extract: "Write windows around segments, or statistics of them.",
        plot: "Draw a picture of a session and save it.",
        convert: "Convert many sessions to zarr or netCDF.",
        figures: "Make the figures of the papers.",
    },
    "Fetch": {
        download: "Download sessions of DANDI 000037.",
        index: "Write where the values of sessions lie in their files.",
    },
    "About": {
        config: "Show which folder and table are used, and who said so.",
        cite: "Print what to cite.",
    },
}

_EPILOG: Final = """\b
Examples
  oscaxr demo
  oscaxr sessions DATA --plane soma --session 1-3
  oscaxr info SESSION.nwb
  oscaxr explore SESSION.nwb
  oscaxr segments SESSION.nwb gabor_frame=U gabor_kappa=16
  oscaxr extract SESSION.nwb gabor_frame=U --pre 1 --post 1 -o u.nc
  oscaxr plot SESSION.nwb expected-unexpected -o figure.png
  oscaxr figures DATA --paper analysis --figure 4 -o FIGURES
  oscaxr download --table mouse_df.csv --sessions 1-3 -o DATA --dry-run

\b
Exit status
  0  done
  1  it failed; one message on standard error says why (--debug: where)
  2  an option or argument is unknown, missing or of the wrong kind
  3  validate found errors
  130  interrupted

\b
Environment
  OSCAXR_DATADIR  folder of the files, in place of --datadir
  OSCAXR_TABLE    session table, in place of --table
"""


class Command(TyperCommand):
    """A command that says what an option of another time is called now."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        own = {name for parameter in self.params for name in parameter.opts}
        for option in (word.partition("=")[0] for word in args):
            if option in OPTIONS and option not in own:
                ctx.fail(f"{option} is now {OPTIONS[option]}")
        return super().parse_args(ctx, [_with_home(word) for word in args])


def _with_home(word: str) -> str:
    """Put the home folder in place of ``~``, also where a shell does not: in ``--out=~/u.nc``."""
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + equals + os.path.expanduser(value)  # noqa: PTH111 (it need be no path)


app = typer.Typer(
    name="oscaxr",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oscaxr {__version__}")
        raise typer.Exit


@app.callback(epilog=_EPILOG)
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
    Every command has its own --help.
    """


for _panel, _commands in _COMMANDS.items():
    for _command, _words in _commands.items():
        app.command(cls=Command, rich_help_panel=_panel, short_help=_words)(reported(_command))


def run() -> None:
    """Run the command line; the entry point of the console script."""
    # A pipe that is closed early (`oscaxr demo | head`) is the reader's choice, not an error.
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
