"""``oscaxr convert``: many sessions to zarr or netCDF, resumable."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from oscaxr.cli.console import (
    FAILED,
    DebugOption,
    messages,
    output,
    reported_errors,
    say,
    working,
)
from oscaxr.cli.convert_session import Job, Result, convert_one, result_of
from oscaxr.progress import progress_bar
from oscaxr.sessions.words import named_sources
from oscaxr.sessions.workers import NoResult, run_each
from oscaxr.store.atomic import clean
from oscaxr.store.layout import SUFFIXES


class Format(StrEnum):
    """What sessions are converted to."""

    ZARR = "zarr"
    PACKED = "zarr.zip"
    NETCDF = "nc"


class Part(StrEnum):
    """Heavy parts of a session that are converted only when asked for."""

    SQUARES = "squares"
    TEMPLATES = "templates"
    MOVIE = "movie"
    ALL = "all"


class Precision(StrEnum):
    """Floating-point dtypes of data variables."""

    SINGLE = "float32"
    DOUBLE = "float64"


_TRY_AGAIN: Final = (
    "Nothing is left of this export: run the same command again to go on, perhaps with fewer "
    "--workers"
)


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC",
            exists=True,
            help="NWB files, session folders in the original layout, or exports; folders, which "
            "are searched for the first two at any depth; or session tables (.csv), of which every "
            "row is converted.",
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DEST", help="Folder to write into; made if it is not there.", file_okay=False
        ),
    ],
    to: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.ZARR,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of processes.", show_default="one per core, at most one per session"
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="CSV",
            exists=True,
            dir_okay=False,
            help="Session table (mouse_df.csv) with the facts of the sessions, e.g. the mouse "
            "number.",
            show_default="OSCAXR_TABLE, or mouse_df.csv in the folders",
        ),
    ] = None,
    datadir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Where the files of session tables given as SRC are.",
            show_default="the folder of the table",
        ),
    ] = None,
    include: Annotated[
        list[Part] | None, typer.Option(help="Heavy parts to have too; may be given several times.")
    ] = None,
    dtype: Annotated[
        Precision | None,
        typer.Option(help="Dtype of all floating data variables.", show_default="as in the source"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace exports that differ from their source.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read all values of exports that are there already, to find damage."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    debug: DebugOption = False,
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
    if folder.name.lower().endswith(SUFFIXES):
        raise typer.BadParameter(
            f"{folder} is named like one export, but DEST is the folder that exports are put into.",
            param_hint="'DEST'",
        )
    with reported_errors(debug):
        parts = [part.value for part in include or ()]
        with working("searching"):
            found = named_sources(
                sources,
                table=table,
                default_table=Path(said) if (said := os.environ.get("OSCAXR_TABLE")) else None,
                datadir=datadir,
                options={"include": "all" if Part.ALL in parts else tuple(parts)},
            )
        jobs = [
            Job(
                one,
                folder / f"{one.name}.{to.value}",
                None if dtype is None else dtype.value,
                overwrite,
                debug,
                verify,
            )
            for one in found
        ]
        clean(folder)
        try:
            with progress_bar("converting sessions") as report:
                results = convert_all(jobs, workers, report)
        finally:
            # Of workers that died or were interrupted while zarr's threads were still writing.
            clean(folder)
        if as_json:
            typer.echo(_as_json(results, folder))
        else:
            _show(results)
        if any(result.status == "failed" for result in results):
            raise typer.Exit(FAILED)


def convert_all(
    jobs: Sequence[Job], workers: int | None, report: Callable[[int, int], None]
) -> list[Result]:
    """Convert sessions, in several processes where there is more than one."""
    scheduler = "synchronous" if workers == 1 or len(jobs) == 1 else "processes"
    results = run_each(convert_one, jobs, scheduler=scheduler, workers=workers, report=report)
    return [
        result_of(job, "failed", reason=f"{result.reason}. {_TRY_AGAIN}")
        if isinstance(result, NoResult)
        else result
        for job, result in zip(jobs, results, strict=True)
    ]


# -- the summary ----------------------------------------------------------------------------------
def _counts(results: Sequence[Result]) -> dict[str, int]:
    counts = Counter(result.status for result in results)
    return {status: counts[status] for status in ("written", "replaced", "verified", "failed")}


def _as_json(results: Sequence[Result], folder: Path) -> str:
    return json.dumps(
        {
            "folder": str(folder),
            **_counts(results),
            "sessions": [asdict(result) for result in results],
        },
        indent=1,
        ensure_ascii=False,
    )


def _show(results: Sequence[Result]) -> None:
    words = {"verified": "already there, verified", "failed": "FAILED"}
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("session", no_wrap=True, overflow="fold")
    table.add_column("result", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    for result in results:
        size = f"{result.bytes / 1e6:.1f}" if result.bytes else ""
        table.add_row(result.session, words.get(result.status, result.status), size)
    console = output()
    console.print(table, markup=False)
    counts = {words.get(status, status).lower(): n for status, n in _counts(results).items() if n}
    say(console, "\n" + ", ".join(f"{n} {status}" for status, n in counts.items()))
    for result in results:
        for note in result.notes:
            say(messages(), f"Note: {result.session}: {note}", style="yellow")
    for result in results:
        if result.reason:
            say(messages(), f"Error: {result.session}: {result.reason}", style="red")
