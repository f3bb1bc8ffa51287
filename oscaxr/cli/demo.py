"""``oscaxr demo``: from files to a figure on synthetic sessions, with the code of each step."""

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

import oscaxr as ox
from oscaxr.cli import demo_figure, figures
from oscaxr.cli.console import DebugOption, output, reported_errors, say, working
from oscaxr.cli.demo_data import demo_sessions
from oscaxr.plot import tracked_responses
from oscaxr.progress import progress_bar

FIGURE_NAME: Final = "oscaxr-demo.png"
SESSIONS: Final = (1, 2, 3)
RESPONSE_SECONDS: Final = 0.6


@dataclass(frozen=True)
class Compared:
    """What is compared of one session."""

    session: xr.Dataset
    expected: xr.Dataset
    unexpected: xr.Dataset
    sequences: xr.DataArray


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the sample sessions. Default: the user's cache folder, where the next "
            "run finds them again.",
        ),
    ] = None,
    figure: Annotated[Path, typer.Option(metavar="PATH", help="Where to save the figure.")] = Path(
        FIGURE_NAME
    ),
    debug: DebugOption = False,
) -> None:
    """Make small sample sessions, compare what was expected with what was not, draw a figure."""
    # What stands after >>> is the Python code of the step. Needs no download.
    with reported_errors(debug):
        figures.check_format(figure)
        console = output()
        with progress_bar("writing sample sessions") as progress:
            folder, written = demo_sessions(out, progress)
        how = "written" if written else "already there, unchanged"
        say(console, f"Three sample sessions of one mouse, synthetic ({how}):\n  {folder}\n")
        with ExitStack() as opened:
            sessions = _open(console, folder, opened)
            compared = _extract(console, sessions)
            _compare(console, compared)
            with working("drawing"):
                drawn = demo_figure.draw(sessions, compared[-1].sequences)
                figures.save(drawn, figure, overwrite=True)
        _hints(console, figure)


def _step(console: Console, words: str, *code: str) -> None:
    say(console, words, style="bold")
    for line in code:
        say(console, f">>> {line}", style="cyan")


def _open(console: Console, folder: Path, opened: ExitStack) -> list[xr.Dataset]:
    where = str(folder)
    table = str(folder / "mouse_df.csv")
    _step(
        console,
        "1. A session is one lazy Dataset.",
        "import oscaxr as ox",
        f"where = dict(datadir={where!r}, sessions={table!r})",
        "sessions = [ox.open_session(mouse=1, session=k, **where) for k in (1, 2, 3)]",
        "ds = sessions[-1]",
        "ds",
    )
    with working("opening"):
        sessions = [
            opened.enter_context(
                ox.open_session(mouse=1, session=number, datadir=folder, sessions=table)
            )
            for number in SESSIONS
        ]
    say(console, repr(sessions[-1]) + "\n")
    return sessions


def _extract(console: Console, sessions: list[xr.Dataset]) -> list[Compared]:
    criteria: dict[str, Any] = {"gabor_kappa": 16}
    _step(
        console,
        "2. Which segments: criteria named like the columns of the stimulus table.",
        'u_segments, left = ds.osca.select(gabor_frame="U", gabor_kappa=16, explain=True)',
        "left",
    )
    _, left = sessions[-1].osca.select(gabor_frame="U", **criteria, explain=True)
    say(console, f"{left}\n")
    _step(
        console,
        "3. Sequences: 1 s before to 1 s after the start of each segment.",
        'd_segments = ds.osca.select(gabor_frame="D", gabor_kappa=16)',
        'u = ds.osca.sequences("dff", u_segments, pre=1, post=1)',
        'd = ds.osca.sequences("dff", d_segments, pre=1, post=1)',
        "dict(u.sizes)",
    )
    with working("extracting"):
        found = [_compared(ds, **criteria) for ds in sessions]
    sizes = {str(dim): size for dim, size in found[-1].sequences.sizes.items()}
    say(console, f"{sizes}\n")
    return found


def _compared(ds: xr.Dataset, **criteria: Any) -> Compared:
    expected = ds.osca.select(gabor_frame="D", **criteria)
    unexpected = ds.osca.select(gabor_frame="U", **criteria)
    windows = ds.osca.sequences("dff", unexpected, pre=1, post=1)
    return Compared(ds, expected, unexpected, windows)


def _compare(console: Console, compared: list[Compared]) -> None:
    _step(
        console,
        "4. Expected (D) and unexpected (U): mean dF/F over 0 to 0.6 s, SEM over ROIs; last, U for "
        "the\n   ROIs tracked over the three sessions.",
        "import oscaxr.plot",
        'response = ds.osca.sequences("dff", u_segments, post=0.6).mean("rel_time")',
        'u_stats = ox.stats(response, dim=("sequence", "roi"), stat="mean", error="sem")',
        'same = oscaxr.plot.tracked_responses(sessions, dict(gabor_frame="U"))',
        'same_stats = ox.stats(same, dim="tracking_id")',
    )
    table = Table(box=None, pad_edge=False, header_style="")
    for title in ("session", "ROIs", "expected (D)", "unexpected (U)", "tracked ROIs, U"):
        table.add_column(title, justify="right", no_wrap=True)
    with working("comparing"):
        same = tracked_responses((part.session for part in compared), window=(0, RESPONSE_SECONDS))
        same_stats = ox.stats(same, dim="tracking_id")
        for part in compared:
            number = int(part.session["session"])
            table.add_row(
                str(number),
                str(part.session.sizes["roi"]),
                _mean_and_sem(_response(part.session, part.expected)),
                _mean_and_sem(_response(part.session, part.unexpected)),
                f"{_mean_and_sem(same_stats.sel(session=number))} ({part.session.osca.n_tracked})",
            )
    console.print(table)
    say(console)


def _response(ds: xr.Dataset, segments: xr.Dataset) -> xr.Dataset:
    response = ds.osca.sequences("dff", segments, post=RESPONSE_SECONDS).mean("rel_time")
    return ox.stats(response, dim=("sequence", "roi"), stat="mean", error="sem")


def _mean_and_sem(found: xr.Dataset) -> str:
    return f"{float(found['mean']):.3f} +- {float(found['sem']):.3f}"


def _hints(console: Console, figure: Path) -> None:
    say(console, f"Figure: {figure.absolute()}\n", style="bold")
    say(console, "Try next")
    say(console, "  type what stands after >>> above into Python, and change it")
    say(console, f"  {shlex.join(['oscaxr', 'sample', 'my-data', '--rois', '100'])}")
    say(console, "      sample files of your own, laid out as those of DANDI 000037")
    say(console, "  ox.open_session(764704289, datadir='000037')")
    say(
        console,
        "      a real session: a folder with files from https://dandiarchive.org/dandiset/000037",
    )
