"""``oscaxr demo`` and ``oscaxr sample``: what needs no download, made-up sessions."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import xarray as xr
from platformdirs import user_cache_path
from rich.filesize import decimal

import oscaxr as ox
from oscaxr import __version__, plot
from oscaxr import sample as samples
from oscaxr.atomic import explained
from oscaxr.cli import console
from oscaxr.cli.place_options import StoreOption, storage_options
from oscaxr.cli.plot import check_format, save
from oscaxr.errors import TargetExistsError, few, option
from oscaxr.files.folders import folder_here, is_folder, new_folder, size_of
from oscaxr.files.remote import Place, RemoteFile, as_given, place_of
from oscaxr.progress import progress_bar
from oscaxr.sample.mouse import TABLE_NAME, FileFormat, session_place
from oscaxr.sample.place import why_not_ours
from oscaxr.sample.spec import Layout, Plane
from oscaxr.sessions.settings import settled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# -- sample ---------------------------------------------------------------------------------------
def sample(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR|URL",
            help="Folder to write into; made if it is not there. Or its address in an object "
            "store.",
        ),
    ],
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    scale: Annotated[
        float, typer.Option(help="Length of the sessions; 1 is a real one (70 minutes).")
    ] = 0.12,
    rois: Annotated[int, typer.Option(help="Number of ROIs in each session.")] = 30,
    tracked: Annotated[
        int | None, typer.Option(help="Number of tracked ROIs.", show_default="60 % of the ROIs")
    ] = None,
    bad_rois: Annotated[
        int,
        typer.Option(help="Number of unfit ROIs beside these; only the original layout has them."),
    ] = 0,
    file_format: Annotated[
        FileFormat,
        typer.Option("--format", help="NWB files, or folders in the format from before NWB."),
    ] = "nwb",
    plane: Annotated[
        Plane, typer.Option(help="Imaging plane: of somata, or of dendrites.")
    ] = "soma",
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="How the large arrays are stored in the files.",
            show_default="as published: somata contiguous, dendrites gzip",
        ),
    ] = None,
    overwrite: console.OverwriteOption = False,
    storage_option: StoreOption = None,
) -> None:
    """Write three synthetic sessions of one mouse, and their session table.

    The files are NWB files laid out as those of DANDI 000037, or folders of the format from before.
    Equal options give equal sessions, in both formats.

    Of real size are --scale 1 --rois 628 (somata; 15 s and 0.9 GB a session) and --scale 1
    --rois 942 --plane dend (dendrites; a minute and 1 GB a session).
    """
    sizes: dict[str, Any] = {"scale": scale, "n_rois": rois, "n_tracked": tracked}
    sizes |= {"seed": seed, "n_bad_rois": bad_rois, "plane": plane}
    form: dict[str, Any] = {"format": file_format, "overwrite": overwrite}
    form |= {} if layout is None else {"layout": layout}
    storage = storage_options(storage_option or ())
    root = place_of(folder, storage or None)
    with progress_bar("writing sample sessions") as progress:
        samples.write_mouse(root, **sizes, **form, progress=progress)
    console.tell("Wrote")
    for spec in samples.mouse_specs(**sizes):
        path = session_place(spec, root, file_format)
        console.tell(f"  {path}  ({decimal(console.bytes_at(path))})")
    table = root / TABLE_NAME
    where = f"datadir={str(root)!r}, table={str(table)!r}" + ", storage_options=..." * bool(storage)
    console.tell(f"  {table}  (session table)\n\nTry next, in Python:\n  import oscaxr as ox")
    console.tell(f"  ds = ox.open_session(mouse=1, session=1, {where})")
    console.tell('  u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"))')


# -- demo -----------------------------------------------------------------------------------------
def demo(
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Folder for the sample sessions. Default: the user's cache folder, where the next "
            "run finds them again.",
        ),
    ] = None,
    figure: Annotated[
        str, typer.Option(metavar="FILE|URL", help="Where to save the figure.")
    ] = "oscaxr-demo.png",
    overwrite: console.OverwriteOption = False,
    storage_option: StoreOption = None,
) -> None:
    """Make small sample sessions, compare what was expected with what was not, draw a figure.

    What stands after >>> is the Python code of the step. Needs no download.
    """
    storage = storage_options(storage_option or ())
    with ExitStack() as opened:
        target = console.check_target(settled(figure, storage), overwrite=overwrite)
        check_format(target)
        with progress_bar("writing sample sessions") as progress:
            chosen = None if out is None else settled(out, storage)
            folder, written = demo_sessions(chosen, progress)
        how = "written" if written else "already there, unchanged"
        console.tell(f"Three sample sessions of one mouse, synthetic ({how}):\n  {folder}\n")
        names: dict[str, Any] = {"options": storage}
        opened.callback(lambda: [ds.close() for ds in names.get("sessions", ())])
        table = str(as_given(folder / TABLE_NAME))
        where = {"datadir": str(as_given(folder)), "table": table}
        where["storage"] = ", storage_options=options" * bool(storage)
        for words, code, shown in _STEPS:
            _run(words, code.format(**where), shown, names)
        _compare(names)
        with console.working("drawing"):
            save(draw(names["sessions"], names["u"]), target, overwrite=overwrite)
        saved = target.absolute() if isinstance(target, Path) else target
        console.tell(f"Figure: {saved}\n", "bold")
        console.tell(_HINTS)


# What is told, the code that is shown and run, and the expression whose value is shown.
_STEPS: Final = (
    (
        "1. A session is one lazy Dataset.",
        "import oscaxr as ox\n"
        "where = dict(datadir={datadir!r}, table={table!r}{storage})\n"
        "sessions = [ox.open_session(mouse=1, session=k, **where) for k in (1, 2, 3)]\n"
        "ds = sessions[-1]",
        "ds",
    ),
    (
        "2. Which segments: criteria named like the columns of the stimulus table.",
        'u_segments, left = ds.osca.select(gabor_frame="U", gabor_kappa=16, explain=True)',
        "left",
    ),
    (
        "3. Sequences: 1 s before to 1 s after the start of each segment.",
        'd_segments = ds.osca.select(gabor_frame="D", gabor_kappa=16)\n'
        'u = ds.osca.sequences("dff", u_segments, pre=1, post=1)\n'
        'd = ds.osca.sequences("dff", d_segments, pre=1, post=1)',
        "dict(u.sizes)",
    ),
    (
        "4. Expected (D) and unexpected (U): mean dF/F over 0 to 0.6 s, SEM over ROIs; last, U for "
        "the\n   ROIs tracked over the three sessions.",
        "import oscaxr.plot\n"
        'response = ds.osca.sequences("dff", u_segments, post=0.6).mean("rel_time")\n'
        'u_stats = ox.stats(response, dim=("sequence", "roi"), stat="mean", error="sem")\n'
        'same = oscaxr.plot.tracked_responses(sessions, dict(gabor_frame="U"))\n'
        'same_stats = ox.stats(same, dim="tracking_id")',
        "",
    ),
)
_HINTS: Final = """\
Try next
  type what stands after >>> above into Python, and change it
  oscaxr sample my-data --rois 100
      sample files of your own, laid out as those of DANDI 000037
  ox.open_session(764704289, datadir='000037')
      a real session: a folder with files from https://dandiarchive.org/dandiset/000037"""


def _run(words: str, code: str, shown: str, names: dict[str, Any]) -> None:
    """Show the code of a step, and run it."""
    console.tell(words, "bold")
    for line in [*code.splitlines(), *filter(None, [shown])]:
        console.tell(f">>> {line}", "cyan")
    with console.working("running"):
        exec(code, names)  # noqa: S102 (our own code, from above)
        value = eval(shown, names) if shown else None  # noqa: S307 (likewise)
    if shown:
        console.tell(f"{value}\n")


def _compare(names: Mapping[str, Any]) -> None:
    """Tell the responses of each session, as the last step makes them for one."""
    rows = []
    with console.working("comparing"):
        for ds in names["sessions"]:
            tracked = _mean_and_sem(names["same_stats"].sel(session=int(ds["session"])))
            told = [_mean_and_sem(_response(ds, gabor_frame)) for gabor_frame in "DU"]
            n_rois, n_tracked = ds.sizes["roi"], ds.osca.n_tracked
            rows.append([str(int(ds["session"])), str(n_rois), *told, f"{tracked} ({n_tracked})"])
    headings = ("session", "ROIs", "expected (D)", "unexpected (U)", "tracked ROIs, U")
    console.tell(console.table_text(headings, rows) + "\n")


def _response(ds: xr.Dataset, gabor_frame: str) -> xr.Dataset:
    segments = ds.osca.select(gabor_frame=gabor_frame, gabor_kappa=16)
    response = ds.osca.sequences("dff", segments, post=0.6).mean("rel_time")
    return ox.stats(response, dim=("sequence", "roi"), stat="mean", error="sem")


def _mean_and_sem(found: xr.Dataset) -> str:
    return f"{float(found['mean']):.3f} +- {float(found['sem']):.3f}"


def draw(sessions: Sequence[xr.Dataset], unexpected: xr.DataArray) -> "Figure":
    """Draw the demo's figure."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    last = sessions[-1]
    number = int(last["session"])
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.04, wspace=0.02, hspace=0.04)
    figure = Figure(figsize=(11, 7.6), layout=layout, dpi=110)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.05, 1))[:, 0]

    plot.session_overview(last, above)
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
        # Said once, above the figure; there is no room beside the titles.
        ax.set_title("", loc="right")
        ax.set_title(title, loc="left", fontweight="bold", fontsize="medium", pad=20)
    return figure


# -- the demo's sessions -----------------------------------------------------------------------
# Long enough for some twenty unexpected sequences, small enough to be written in seconds.
DESCRIPTION: Final[dict[str, Any]] = {
    "seed": 0,
    "scale": 0.3,
    "n_rois": [40, 36, 44],
    "n_tracked": 24,
    # Smaller than as published: they stay in the user's cache folder.
    "layout": "gzip",
    "dtype": "float32",
}
MANIFEST: Final = "demo.json"


def cache_folder() -> Path:
    """Return where the demo's sessions are kept, for this version."""
    return user_cache_path("oscaxr", appauthor=False) / f"demo-{__version__}"


def demo_sessions(
    folder: Place | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Place, bool]:
    """Return the folder of the demo's sessions, written if they are not there and intact."""
    # They appear when they are complete, the list of their fingerprints last, so that a demo that
    # is stopped half-way leaves nothing that would be taken for sessions.
    chosen = cache_folder() if folder is None else folder
    if isinstance(chosen, Path):
        chosen = chosen.absolute()
    if is_intact(chosen):
        return chosen, False
    advice = f"Give another folder with {option('out')}."
    if folder is not None and _is_occupied(chosen):
        raise TargetExistsError(
            f"{folder} is not empty and does not hold the demo's sessions as they were written "
            f"(oscaxr {__version__}). Nothing in it was touched. {advice}"
        )
    with explained(f"cannot write the demo's sessions to {chosen}", f". {advice}"):
        if folder is not None and isinstance(chosen, Path) and chosen.is_dir():
            # An empty folder that was given stays the same folder: someone may be standing in it.
            with TemporaryDirectory(prefix=".", suffix=".partial", dir=chosen) as partial:
                _write(Path(partial), progress)
                made = sorted(Path(partial).iterdir(), key=lambda path: path.name == MANIFEST)
                for path in made:
                    path.rename(chosen / path.name)
        else:
            replaced = folder is None
            with new_folder(
                chosen, last=MANIFEST, overwrite=replaced, check=_check_ours
            ) as temporary:
                _write(temporary, progress)
    return chosen, True


def _is_occupied(place: Place) -> bool:
    """Say whether there is anything at a place but an empty folder."""
    if isinstance(place, RemoteFile):
        return is_folder(place)
    return place.exists() and (not place.is_dir() or any(place.iterdir()))


def _write(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    samples.write_mouse(folder, progress=progress, **DESCRIPTION)
    (folder / MANIFEST).write_text(_described(folder), encoding="utf-8")


def _check_ours(folder: Place) -> None:
    """Refuse to replace a folder that holds anything but the demo's sessions."""
    # Nothing is replaced but what is in the cache, which is on this computer.
    assert isinstance(folder, Path)
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    others = [path.name for path in files if path.name != MANIFEST and why_not_ours(path)]
    if others or not folder.is_dir():
        raise TargetExistsError(
            f"{folder} holds what is not recognised as the demo's: {few(others, 5) or 'a file'}. "
            f"Nothing in it was touched. Remove it, or give another folder with {option('out')}."
        )


def is_intact(folder: Place) -> bool:
    """Return whether a folder holds the demo's sessions, byte for byte as they were written."""
    if size_of(folder / MANIFEST) is None:
        return False
    with folder_here(folder) as here:
        try:
            return (here / MANIFEST).read_text(encoding="utf-8") == _described(here)
        except (OSError, UnicodeDecodeError):
            return False


def _described(folder: Path) -> str:
    """Describe the sessions of a folder: what they are, and the fingerprints of their files."""
    prints = {}
    for path in [folder / TABLE_NAME, *sorted(folder.rglob("*.nwb"))]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        prints[path.relative_to(folder).as_posix()] = digest
    described = {"version": __version__, "sample": DESCRIPTION, "files": prints}
    return json.dumps(described, indent=1)
