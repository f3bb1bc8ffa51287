"""Make the figures of the papers from the sessions at hand: results, pictures, numbers."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import xarray as xr

from oscaxr.analyses.chance import check_permutations, seed_of
from oscaxr.atomic import explained
from oscaxr.errors import (
    CriterionError,
    ExportError,
    OscaxrError,
    SessionNotFoundError,
    listed,
    option,
)
from oscaxr.figures.chosen_sessions import chosen_sources, used_by_the_papers
from oscaxr.figures.material import Material, least
from oscaxr.figures.panels import Panel, panels
from oscaxr.figures.pictures import say_gap, say_synthetic
from oscaxr.figures.printed_numbers import table_of
from oscaxr.figures.session_results import Recipe
from oscaxr.figures.session_tasks import Computed, Session, compute, survey
from oscaxr.files.folders import file_here, new_file, object_folder, remove_file, size_of
from oscaxr.files.remote import Place, RemoteFile, as_given
from oscaxr.options import PathLike
from oscaxr.plot.axes import require_matplotlib
from oscaxr.progress import progress_bar
from oscaxr.sessions.settings import Storage, Table, settled

SHUFFLES: Final = 1_000
"""How often labels are shuffled in each session, by default."""
PERMUTATIONS: Final = 10_000
"""How often groups are permuted, by default."""
SPLITS: Final = 100
SEED: Final = 905
"""The papers' seed."""
SUMMARY: Final = "panels.csv"
_DPI: Final = 150


@dataclass(frozen=True)
class Drawn:
    """What became of one panel.

    Parameters
    ----------
    paper : str
        ``"analysis"`` or ``"dataset"``.
    panel : str
        Figure and letter, as ``"4D"``.
    title : str
        What it shows.
    status : {"drawn", "gap"}
        Whether the sessions at hand fill it.
    reason : str
        Why they do not.
    sessions : tuple of int
        Ids of the sessions that it is made of.
    left_out : tuple of str
        Sessions and mice that it leaves out, and why.
    picture : str
        Path or address of the picture.
    numbers : tuple of str
        Those of its numbers.
    """

    paper: str
    panel: str
    title: str
    status: str
    reason: str
    sessions: tuple[int, ...]
    left_out: tuple[str, ...]
    picture: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """What :func:`make_figures` made: the panels, and which sessions are missing and why."""

    panels: list[Drawn]
    sessions: list[int]
    missing: dict[str, str]
    notes: dict[int, list[str]]
    n_kept: int
    n_computed: int


@dataclass(frozen=True)
class Counts:
    """How often is shuffled and permuted; with `full` as often as in the papers."""

    shuffles: int
    permutations: int
    splits: int
    full: bool

    def of_sessions(self, recipe: Recipe, users: Sequence[tuple[Panel, Sequence[Session]]]) -> int:
        """Return how often labels are shuffled: enough for all panels that test with it."""
        usual = recipe.full if self.full else self.shuffles
        needed = [
            least(panel.compared.count(own), panel.tails) for panel, own in users if panel.tails
        ]
        return max([usual, *needed])

    def of_groups(self, panel: Panel) -> int:
        """Return how often groups are permuted."""
        return panel.full if self.full else self.permutations


def make_figures(
    sessions: Any,
    folder: PathLike,
    *,
    datadir: PathLike | None = None,
    table: Table | None = None,
    paper: str | None = None,
    figure: int | str | None = None,
    shuffles: int | None = None,
    permutations: int | None = None,
    splits: int = SPLITS,
    full: bool = False,
    seed: int | None = SEED,
    workers: int | None = None,
    scheduler: Any = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
) -> Made:
    """Make every data panel of the papers from the sessions at hand, and its numbers.

    Parameters
    ----------
    sessions : path-like, pandas.DataFrame or iterable
        Which sessions: a folder, all of whose sessions are taken; the path of a session table, of
        which those are taken that the papers use; or rows, ids or paths as for
        :func:`oscaxr.open_sessions`.
    folder : path-like
        Where to; made if it is not there. Results of sessions are kept in it. Or an address in an
        object store (``s3://bucket/figures``).
    datadir, table : optional
        As for :func:`oscaxr.open_sessions`. By default the files of a session table lie beside it,
        and the table of a folder is the ``mouse_df.csv`` in it.
    paper, figure : optional
        Which panels, as for :func:`oscaxr.figures.panels`; by default all.
    shuffles : int, optional
        How often labels are shuffled in each session, by default 1,000; more where its p needs
        more.
    permutations : int, optional
        How often groups are permuted, by default 10,000.
    splits : int, optional
        How often sequences are divided to decode.
    full : bool, optional
        Shuffle and permute as often as the papers, 5,000 to 100,000 times, instead. Neither number
        can be given beside it.
    seed : int, optional
        Seed of all random numbers; the papers' by default.
    workers : int, optional
        Number of processes; by default one a core.
    scheduler : str or distributed.Client, optional
        As for :func:`oscaxr.map_sessions`. The workers of a cluster have to see `folder`: where
        they share no disk, give an address.
    progress : bool, optional
        Show progress bars on a terminal.
    storage_options : mapping, optional
        How the server is reached that sessions, table and `folder` are on.
    target_options : mapping, optional
        How the object store of `folder` is reached, if it differs.

    Returns
    -------
    Made
        ``panels``, a list of :class:`Drawn`, in order; ``sessions``, the ids of those that were
        there; ``missing``, why others were not; ``notes``, what was warned of, by session;
        ``n_kept`` and ``n_computed`` results of sessions.

    Raises
    ------
    SessionNotFoundError
        If there is no session at all.
    CriterionError
        If a paper, figure or number is not known, or `full` has a number beside it.
    ExportError
        If the folder cannot be written to.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The same call goes on where it was interrupted: results of sessions are kept in `folder`, and
    computed again only if files, facts, parameters or the version of oscaxr have changed. Pictures
    and numbers are made anew, and replace those that were there; those of a panel that has none any
    more are removed.

    Each panel has a picture (``.png``), its results (``.nc``, several in groups) and, where that is
    not too long to be read, a table (``.csv``); ``panels.csv`` lists all that are in the folder. A
    panel that cannot be filled is drawn as a gap that says why, and so is what is left out of
    others.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> from oscaxr.figures import make_figures
    >>> data = tempfile.mkdtemp()
    >>> table = ox.sample.write_mouse(data, scale=0.05, n_rois=2)
    >>> made = make_figures(data, Path(data) / "figures", figure="4D", workers=1, shuffles=100)
    >>> [(one.panel, one.status, len(one.sessions)) for one in made.panels]
    [('4D', 'drawn', 1)]
    """
    require_matplotlib()
    chosen = panels(paper, figure)
    counts = _counts(shuffles, permutations, splits, full)
    seed = seed_of(seed)
    root = _folder(folder, storage_options if target_options is None else target_options)
    sources, used = chosen_sources(sessions, datadir, table, storage_options)
    there, missing = survey(sources, progress=progress)
    there, unused = used_by_the_papers(there, used)
    missing |= unused
    if not there:
        raise SessionNotFoundError(f"none of the sessions can be used:{listed(missing.values())}")
    wanted, parameters = _plan(chosen, there, counts, seed)
    done = compute(
        there, wanted, parameters, root, scheduler=scheduler, workers=workers, progress=progress
    )
    drawn = []
    with progress_bar("drawing panels", show=progress) as report:
        for number, panel in enumerate(chosen):
            report(number, len(chosen))
            drawn.append(_panel(panel, there, done, counts.of_groups(panel), seed, root))
    _summarise(drawn, root)
    ids = [session.id for session in there]
    return Made(drawn, ids, missing, done.notes, done.n_kept, done.n_computed)


def _counts(shuffles: int | None, permutations: int | None, splits: int, full: bool) -> Counts:
    """Return how often is shuffled and permuted; refuse numbers beside those of the papers."""
    asked = {"shuffles": shuffles, "permutations": permutations}
    given = [option(name, number) for name, number in asked.items() if number is not None]
    if full and given:
        raise CriterionError(
            f"{option('full', True)} takes the papers' numbers of shuffles and permutations, so "
            f"that {' and '.join(given)} would count for nothing: give one or the other"
        )
    shuffles = SHUFFLES if shuffles is None else shuffles
    permutations = PERMUTATIONS if permutations is None else permutations
    for number in (shuffles, permutations, splits):
        check_permutations(number)
    return Counts(shuffles, permutations, splits, full)


def _folder(folder: PathLike, storage: Storage) -> Place:
    """Return the folder for figures; refuse what cannot be one before anything is computed."""
    root = settled(folder, storage)
    if isinstance(root, RemoteFile):
        object_folder(root)
    elif root.exists() and not root.is_dir():
        raise ExportError(f"{root} is a file: give the folder that the figures are to go to")
    return root


def _plan(
    chosen: Sequence[Panel], there: Sequence[Session], counts: Counts, seed: int
) -> tuple[dict[Recipe, set[int]], dict[Recipe, dict[str, Any]]]:
    """Return which results are wanted of which sessions, and how each is computed."""
    users: dict[Recipe, list[tuple[Panel, list[Session]]]] = {}
    for panel in chosen:
        own = panel.chosen(there)
        for recipe in panel.recipes:
            users.setdefault(recipe, []).append((panel, own))
    wanted = {
        recipe: {one.id for _, own in using for one in own} for recipe, using in users.items()
    }
    parameters = {
        recipe: recipe.parameters(counts.of_sessions(recipe, using), counts.splits, seed)
        for recipe, using in users.items()
    }
    return wanted, parameters


def _panel(
    panel: Panel,
    there: Sequence[Session],
    done: Computed,
    permutations: int,
    seed: int,
    root: Place,
) -> Drawn:
    """Make the results of a panel, and write picture and numbers."""
    from matplotlib.figure import Figure

    material = Material(panel.chosen(there), done, permutations, seed, panel.compared)
    results: dict[str, xr.Dataset] = {}
    reason = ""
    try:
        results = panel.build(material)
    except OscaxrError as error:
        reason = str(error)
    name = f"figure {panel.name} of the {panel.paper} paper"
    figure = Figure(figsize=panel.size, layout="constrained", dpi=_DPI)
    if reason:
        say_gap(figure, name, reason)
    else:
        panel.draw(figure, results)
        say_synthetic(figure, results)
    figure.suptitle(f"{panel.name}  {panel.title}", x=0.01, ha="left", fontsize="medium")
    words = "".join(one if one.isalnum() else "_" for one in panel.title.lower())
    stem = "_".join(filter(None, words.split("_")))
    place = root / panel.paper / f"figure_{panel.figure}"
    stem = f"{panel.name}_{stem}"
    picture = _write(place / f"{stem}.png", lambda path: figure.savefig(path, format="png"))
    numbers = _write_numbers(results, place, stem, material.left_out)
    return Drawn(
        panel.paper,
        panel.name,
        panel.title,
        "gap" if reason else "drawn",
        reason,
        () if reason else tuple(sorted(material.used)),
        tuple(material.left_out),
        picture,
        tuple(numbers),
    )


def _write_numbers(
    results: dict[str, xr.Dataset], place: Place, stem: str, left_out: Sequence[str]
) -> list[str]:
    """Write the results of a panel, and as a table what is not too long for one."""
    written: dict[str, Callable[[Path], Any]] = {}
    if results:
        tree = xr.DataTree.from_dict({f"/{name}": one for name, one in results.items()})
        if left_out:
            tree.attrs["left_out"] = "; ".join(left_out)
        written[".nc"] = lambda path: tree.to_netcdf(path, engine="netcdf4")
    table = table_of(results)
    if table is not None:
        written[".csv"] = lambda path: table.to_csv(path, index=False)
    # Numbers of an earlier picture would be taken for those of this one.
    for suffix in (one for one in (".nc", ".csv") if one not in written):
        with explained(f"cannot remove {place / (stem + suffix)}"):
            remove_file(place / f"{stem}{suffix}")
    return [_write(place / f"{stem}{suffix}", write) for suffix, write in written.items()]


def _summarise(drawn: Sequence[Drawn], root: Place) -> None:
    """List all panels in a table, also those of earlier calls whose pictures are still there."""
    own: list[dict[Hashable, Any]] = [
        {
            "paper": one.paper,
            "panel": one.panel,
            "title": one.title,
            "status": one.status,
            "reason": one.reason,
            "n_sessions": len(one.sessions),
            "left_out": "; ".join(one.left_out),
            "picture": Path(one.picture).relative_to(root).as_posix(),
        }
        for one in drawn
    ]
    mine = {(one.paper, one.panel) for one in drawn}
    earlier = _listed(root, [*own[0]])
    others = [row for row in earlier if (row["paper"], row["panel"]) not in mine]
    kept = [row for row in others if size_of(root / row["picture"]) is not None]
    order = {(panel.paper, panel.name): number for number, panel in enumerate(panels())}
    rows = sorted(
        [*own, *kept], key=lambda row: order.get((row["paper"], row["panel"]), len(order))
    )
    _write(root / SUMMARY, lambda path: pd.DataFrame(rows).to_csv(path, index=False))


def _listed(root: Place, columns: list[Hashable]) -> list[dict[Hashable, Any]]:
    """Return the rows of an earlier table of panels; none where there is none."""
    if size_of(root / SUMMARY) is None:
        return []
    with file_here(root / SUMMARY) as path:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            return table[columns].to_dict("records")
        except (ValueError, KeyError):
            return []


def _write(place: Place, write: Callable[[Path], Any]) -> str:
    """Write a file, complete or not at all, in place of what was there; return where it is."""
    with explained(f"cannot write {place}"), new_file(place, overwrite=True) as temporary:
        write(temporary)
    return str(as_given(place))
