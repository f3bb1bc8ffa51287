"""``oscaxr figures``: the figures of the papers, from the sessions at hand."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

import typer

from oscaxr.cli import console
from oscaxr.cli.batch import WorkersOption
from oscaxr.cli.place_options import (
    DatadirOption,
    StoreOption,
    TableOption,
    TargetOption,
    no_file,
    storage_options,
    that_is_there,
)
from oscaxr.cli.session_options import takes
from oscaxr.errors import MissingLibraryError, WorkersError
from oscaxr.figures import Made, make_figures
from oscaxr.figures.make import PERMUTATIONS, SEED, SHUFFLES, SPLITS

_which = partial(typer.Option, rich_help_panel="Which figures")
_often = partial(typer.Option, rich_help_panel="How often and how exactly")

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TABLE|DIR|URL",
        callback=that_is_there("Path"),
        help="Session table, of which the sessions are taken that the papers use; or folder, all "
        "of whose sessions are taken.",
        show_default="the folder of --datadir",
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel="How it runs",
        help="Scheduler of dask, as tcp://host:8786; its workers have to see the folders: where "
        "they share no disk, give addresses.",
    ),
]


def _how_often(
    shuffles: Annotated[
        int | None,
        _often(
            min=1,
            help="How often labels are shuffled in each session.",
            show_default=str(SHUFFLES),
        ),
    ] = None,
    permutations: Annotated[
        int | None,
        _often(min=1, help="How often groups are permuted.", show_default=str(PERMUTATIONS)),
    ] = None,
    splits: Annotated[
        int, _often(min=2, help="How often sequences are divided to decode.")
    ] = SPLITS,
    full: Annotated[
        bool, _often("--full", help="Shuffle and permute as often as the papers, instead.")
    ] = False,
    seed: Annotated[int, _often(min=0, help="Seed of all random numbers.")] = SEED,
) -> dict[str, Any]:
    """Return how often and how exactly."""
    return dict(locals())


@takes(_how_often)
def figures(
    often: dict[str, Any],
    folder: Annotated[
        str,
        console.out_option(
            metavar="DIR|URL",
            callback=no_file,
            help="Where to, also an address in an object store; results of sessions are kept here, "
            "too.",
        ),
    ],
    source: SourceArgument = None,
    datadir: DatadirOption = None,
    table: TableOption = None,
    paper: Annotated[
        Literal["analysis", "dataset"] | None, _which(help="Figures of one paper only.")
    ] = None,
    figure: Annotated[
        str | None, _which(metavar="N", help="One figure or panel only, as 4 or 4D.")
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    storage_option: StoreOption = None,
    target_option: TargetOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Make the data panels of both papers, and the numbers of each.

    Each panel is a picture (.png) with its numbers (.nc, and .csv where these
    are not too many). Run the same command again to go on after an interruption:
    results of sessions are kept, and computed again only if something about them
    has changed. What a panel shows is made of the sessions that are there;
    missing ones are named, and a panel that cannot be filled says why.

    A p that is smaller than the shuffles can tell is written "< 1/(n + 1)".
    """
    if source is None and datadir is None:
        raise typer.BadParameter(
            "say which sessions: TABLE or DIR, or --datadir (or set OSCAXR_DATADIR)"
        )
    is_table = source is not None and source.lower().endswith(".csv")
    with _client(scheduler) as client:
        made = make_figures(
            source or datadir,
            folder,
            datadir=datadir if is_table else None,
            table=None if is_table else table,
            paper=paper,
            figure=figure,
            **often,
            workers=workers,
            scheduler=client,
            storage_options=storage_options(storage_option or ()) or None,
            target_options=storage_options(target_option or ()) or None,
        )
    if as_json:
        console.print_json(asdict(made))
        return
    _tell(made, folder)


def _client(address: str | None) -> AbstractContextManager[Any]:
    """Connect with a scheduler of dask, if there is one."""
    if address is None:
        return nullcontext()
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingLibraryError(
            f"a scheduler needs distributed, which is not installed ({error}): "
            "pip install 'oscaxr[distributed]'"
        ) from None
    try:
        client: AbstractContextManager[Any] = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkersError(f"there is no scheduler at {address}: {error}") from error
    return client


def _tell(made: Made, folder: str) -> None:
    rows = [
        (one.paper, one.panel, one.status, str(len(one.sessions)), one.title) for one in made.panels
    ]
    headings = ("paper", "panel", "result", "sessions", "what it shows")
    console.tell(console.table_text(headings, rows, ("paper", "panel", "result", headings[-1])))
    counts = console.counted(one.status for one in made.panels)
    console.tell(
        f"\n{len(made.sessions)} sessions, {made.n_computed} results computed, {made.n_kept} kept; "
        f"{counts}: {folder}"
    )
    for reason in made.missing.values():
        console.note(f"missing: {reason}")
    for number, words in made.notes.items():
        for word in words:
            console.note(f"session {number}: {word}")
    for one in made.panels:
        if one.reason:
            console.note(f"{one.paper} {one.panel} is a gap: {one.reason}")
        else:
            for word in one.left_out:
                console.note(f"{one.paper} {one.panel} leaves out {word}")
