"""``oscaxr convert`` and ``oscaxr validate``: the same for each of many sessions."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, cast

import typer

from oscaxr.cli import console
from oscaxr.cli.place_options import (
    TargetOption,
    folder_option,
    no_file,
    storage_options,
    table_option,
)
from oscaxr.cli.session_options import open_options, takes
from oscaxr.errors import CriterionError, OscaxrError, OscaxrWarning, SessionsFailedError
from oscaxr.files.remote import is_url
from oscaxr.model.dataset import Problem, Report, check_structure
from oscaxr.model.dataset import validate as check_values
from oscaxr.paths import local_path
from oscaxr.progress import progress_bar
from oscaxr.sessions import convert as conversion
from oscaxr.sessions.asked import sources_of
from oscaxr.sessions.convert import Converted, Format
from oscaxr.sessions.open import SessionSource

_STATUSES: Final = ("written", "replaced", "verified", "failed")
_STATUS_WORDS: Final = {"verified": "already there, verified", "failed": "FAILED"}


Depth = Literal["structure", "values", "traces"]
"""How deep to look."""


def _that_are_there(words: list[str]) -> list[str]:
    for word in words:
        if not is_url(word) and not local_path(word).exists():
            raise typer.BadParameter(f"Path '{word}' does not exist.")
    return words


def _folder_for_exports(folder: str) -> str:
    try:
        conversion.check_folder(folder)
    except CriterionError as error:
        raise typer.BadParameter(str(error)) from None
    return no_file(folder)


# -- convert --------------------------------------------------------------------------------------
_SOURCES_HELP: Final = (
    "NWB files, session folders in the original layout, or exports, or their addresses; folders, "
    "which are searched for the first two at any depth; or session tables (.csv), of which every "
    "row is converted."
)
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of processes.", show_default="one per core, at most one per session"
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read all values of exports that are there already, to find damage."
    ),
]
ConvertTableOption = Annotated[
    str | None,
    table_option(
        help="Session table (mouse_df.csv) with the facts of the sessions, e.g. the mouse number.",
        show_default="OSCAXR_TABLE, or mouse_df.csv in the folders",
    ),
]
TableFilesOption = Annotated[
    str | None,
    folder_option(
        help="Where the files of session tables given as SRC are.",
        show_default="the folder of the table",
    ),
]


@takes(open_options)
def convert(
    options: dict[str, Any],
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC", help=_SOURCES_HELP, callback=_that_are_there)
    ],
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="Folder to write into, made if it is not there; or an address in an object store.",
            callback=_folder_for_exports,
        ),
    ],
    to: Annotated[Format, typer.Option("--format", help="What to write.")] = "zarr",
    workers: WorkersOption = None,
    table: ConvertTableOption = None,
    datadir: TableFilesOption = None,
    dtype: Annotated[
        Literal["float32", "float64"] | None,
        typer.Option(help="Dtype of all floating data variables.", show_default="as in the source"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace exports that differ from their source.")
    ] = False,
    verify: VerifyOption = False,
    target_option: TargetOption = None,
    as_json: console.JsonOption = False,
    debug: console.DebugOption = False,
) -> None:
    """Convert sessions to zarr or netCDF, each to DEST/sub-MOUSE_ses-SESSION.FORMAT.

    Run the same command again to go on after an interruption. What is already
    there is verified and skipped: same source files (name, size and digest),
    same options, same variables and facts, no part of the data missing. An
    export that differs is an error, unless --overwrite is given. It appears when
    it is complete, not before.

    Exit status: 0 when all sessions are there; 1 when any failed (the others are
    converted all the same) or nothing could be done; 2 for a wrong command line;
    130 when interrupted.
    """
    try:
        results = conversion.convert(
            sources,
            folder,
            format=to,
            table=table,
            datadir=datadir,
            workers=workers,
            overwrite=overwrite,
            verify=verify,
            dtype=dtype,
            target_options=storage_options(target_option or ()) or None,
            **options,
        )
    except SessionsFailedError as error:
        results = cast("list[Converted]", error.results)
    if as_json:
        console.print_json(_converted_as_dict(results, folder))
    else:
        _tell_converted(results, debug=debug)
    if any(one.status == "failed" for one in results):
        raise typer.Exit(console.FAILED)


def _converted_as_dict(results: Sequence[Converted], folder: str) -> dict[str, Any]:
    counts = {name: sum(one.status == name for one in results) for name in _STATUSES}
    sessions = [asdict(one) for one in results]
    for one in sessions:
        del one["traceback"]
    return {"folder": folder, **counts, "sessions": sessions}


def _tell_converted(results: Sequence[Converted], *, debug: bool) -> None:
    words = [_STATUS_WORDS.get(one.status, one.status) for one in results]
    sizes = [f"{one.bytes / 1e6:.1f}" if one.bytes else "" for one in results]
    rows = zip([one.session for one in results], words, sizes, strict=True)
    console.tell(console.table_text(("session", "result", "MB"), rows, ("session", "result")))
    order = sorted(results, key=lambda one: _STATUSES.index(one.status))
    console.tell(
        "\n" + console.counted(_STATUS_WORDS.get(one.status, one.status).lower() for one in order)
    )
    for one in results:
        for words_of_note in one.notes:
            console.note(f"{one.session}: {words_of_note}")
    for one in results:
        if one.reason:
            where = f"\n{one.traceback}" if debug else ""
            console.complain(f"{one.session}: {one.reason}{where}")


# -- validate -------------------------------------------------------------------------------------
@takes(open_options)
def validate(
    options: dict[str, Any],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            callback=_that_are_there,
            help="NWB files, sessions in the original layout, folders with either at any depth, "
            "exports, or session tables.",
        ),
    ],
    level: Annotated[
        Depth,
        typer.Option(
            help="How deep to look: names, dims and dtypes (structure); also the values of "
            "coordinates (values); also all dF/F traces for NaN (traces, slow)."
        ),
    ] = "values",
    strict: Annotated[
        bool, typer.Option("--strict", help="Let warnings count as errors, too.")
    ] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Check that sessions are sound, and list all problems of each.

    Errors make results wrong, warnings may, notes do not. Exit status: 0 without
    errors, 3 with errors in any session (or with warnings, under --strict), and 1
    if nothing could be checked.
    """
    with console.working("searching"):
        found = sources_of(paths, options=options, every=True)
    checked: list[tuple[str, Report]] = []
    with progress_bar("checking sessions") as progress:
        progress(0, len(found))
        for one in found:
            checked.append((one.name, check(one, level)))
            progress(len(checked), len(found))
    levels = ("error", "warning") if strict else ("error",)
    n_bad = sum(any(one.level in levels for one in report) for _, report in checked)
    if as_json:
        sessions = [
            {
                "session": name,
                "sound": not report.at_level("error"),
                "problems": list(map(asdict, report)),
            }
            for name, report in checked
        ]
        counts = {"level": level, "checked": len(checked), "unsound": n_bad}
        console.print_json({**counts, "sessions": sessions})
    else:
        _tell_checked(checked, n_bad)
    if n_bad:
        raise typer.Exit(console.PROBLEMS)


def check(found: SessionSource, level: Depth) -> Report:
    """Check one session; one that cannot be opened has that as its problem."""
    problems: list[Problem] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OscaxrWarning)
        try:
            with found.open() as ds:
                if level == "structure":
                    problems += check_structure(ds)
                else:
                    problems += check_values(ds, traces=level == "traces")
        except OscaxrError as error:
            problems.append(Problem("error", "file", str(error)))
    said = dict.fromkeys(str(one.message) for one in caught)
    problems += [Problem("warning", "file", message) for message in said]
    return Report(problems)


def _tell_checked(checked: Sequence[tuple[str, Report]], n_bad: int) -> None:
    styles = {"error": "red", "warning": "yellow"}
    for name, report in checked:
        console.tell(f"{name}: {'NOT SOUND' if report.at_level('error') else 'sound'}")
        for problem in report:
            console.tell(f"  {problem}", styles.get(problem.level))
    word = "session" if len(checked) == 1 else "sessions"
    console.tell(f"\n{len(checked)} {word} checked, {n_bad or 'none'} with problems")
