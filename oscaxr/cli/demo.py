"""``oscaxr demo``: from files to a figure on synthetic sessions, with the code of each step."""

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import typer
import xarray as xr
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

import oscaxr as ox
from oscaxr import __version__, plot, sample
from oscaxr.cli import pictures
from oscaxr.cli.console import DebugOption, output, reported_errors, say, working
from oscaxr.errors import OscaxrError
from oscaxr.plot import tracked_responses
from oscaxr.plot.overview import HEIGHT_RATIOS
from oscaxr.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """Make small sample sessions, compare what was expected with what was not, draw a figure.

    What stands after >>> is the Python code of the step. Needs no download.
    """
    with reported_errors(debug):
        pictures.check_format(figure)
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
                drawn = draw(sessions, compared[-1].sequences)
                pictures.save(drawn, figure, overwrite=True)
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
        f"where = dict(datadir={where!r}, table={table!r})",
        "sessions = [ox.open_session(mouse=1, session=k, **where) for k in (1, 2, 3)]",
        "ds = sessions[-1]",
        "ds",
    )
    with working("opening"):
        sessions = [
            opened.enter_context(
                ox.open_session(mouse=1, session=number, datadir=folder, table=table)
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


def draw(sessions: Sequence[xr.Dataset], unexpected: xr.DataArray) -> "Figure":
    """Draw the demo's figure."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    last = sessions[-1]
    number = int(last["session"])
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.04, wspace=0.02, hspace=0.04)
    figure = Figure(figsize=(11, 7.6), layout=layout, dpi=110)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.05, 1))[:, 0]

    rows = above.subplots(len(HEIGHT_RATIOS), 1, sharex=True, height_ratios=HEIGHT_RATIOS)
    plot.session_overview(last, list(rows))
    above.suptitle(
        f"A  mouse {int(last['mouse'])}, session {number}: {last.sizes['roi']} ROIs "
        f"(synthetic sample data)", x=0.01, ha="left", fontweight="bold", fontsize="medium",
    )  # fmt: skip

    compared, sorted_rois, tracked = below.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
    plot.expected_unexpected(last, compared)
    plot.heatmap(unexpected.osca.baseline(0.5), sorted_rois)
    plot.tracked_over_sessions(sessions, tracked)
    for ax, title in (
        (compared, f"B  Gabor responses, session {number}"),
        (sorted_rois, "C  U responses of each ROI"),
        (tracked, "D  U responses of tracked ROIs"),
    ):
        ax.set_title(title, loc="left", fontweight="bold", fontsize="medium", pad=20)
    return figure


# Long enough for some twenty unexpected sequences, small enough to be written in seconds.
DESCRIPTION: Final[dict[str, Any]] = {
    "seed": 0,
    "scale": 0.3,
    "n_rois": [40, 36, 44],
    "n_tracked": 24,
}
MANIFEST: Final = "demo.json"


class DemoFolderError(OscaxrError, OSError):
    """The demo's sessions cannot be put into a folder: it is occupied, or not writable."""


def cache_folder() -> Path:
    """Return where the demo's sessions are kept, for this version and description."""
    described = json.dumps([__version__, DESCRIPTION], sort_keys=True)
    name = f"demo-{__version__}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    return user_cache_path("oscaxr", appauthor=False) / name


def demo_sessions(
    folder: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Path, bool]:
    """Return the folder of the demo's sessions, written if they are not there and intact."""
    # They are written elsewhere on the same disk and moved into place when complete, the list of
    # their fingerprints last, so that a demo that is stopped half-way leaves nothing that would be
    # taken for sessions, and two demos may start at the same time.
    chosen = cache_folder() if folder is None else folder.absolute()
    if is_intact(chosen):
        return chosen, False
    occupied = chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir()))
    if folder is not None and occupied:
        raise DemoFolderError(
            f"{folder} is not empty and does not hold the demo's sessions as they were written "
            f"(oscaxr {__version__}). Nothing in it was touched. Give a new folder with --out."
        )
    # An empty folder that was given stays the same folder: someone may be standing in it.
    fill = folder is not None and chosen.is_dir()
    partial = _unused(chosen if fill else chosen.parent)
    try:
        chosen.parent.mkdir(parents=True, exist_ok=True)
        sample.write_mouse(partial, progress=progress, **DESCRIPTION)
        content = {path: _fingerprint(partial / path) for path in _files(partial)}
        (partial / MANIFEST).write_text(
            json.dumps({"version": __version__, "sample": DESCRIPTION, "files": content}, indent=1)
        )
        if fill:
            for path in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
                path.rename(chosen / path.name)
        else:
            _put(partial, chosen, is_cache=folder is None)
    except OSError as error:
        raise DemoFolderError(
            f"cannot write the demo's sessions to {chosen}: {error}. Give another folder with "
            "--out."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return chosen, True


def is_intact(folder: Path) -> bool:
    """Return whether a folder holds the demo's sessions, byte for byte as they were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if (manifest["version"], manifest["sample"]) != (__version__, DESCRIPTION):
            return False
        files = manifest["files"]
        return bool(files) and all(
            _fingerprint(folder / path) == found for path, found in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unused(parent: Path) -> Path:
    return parent / f".{uuid4().hex}.partial"


def _put(partial: Path, chosen: Path, *, is_cache: bool) -> None:
    """Move the finished folder to its name, in place of a damaged one in the cache."""
    if is_cache and chosen.is_dir() and not is_intact(chosen):
        aside = chosen.replace(_unused(chosen.parent))
        shutil.rmtree(aside, ignore_errors=True)
    try:
        partial.replace(chosen)
    except OSError:
        # Another demo was quicker.
        if not is_intact(chosen):
            raise
