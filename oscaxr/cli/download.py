"""``oscaxr download``: fetch sessions of DANDI 000037, after saying how much that is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from oscaxr.cli.console import (
    FAILED,
    DebugOption,
    JsonOption,
    as_options,
    messages,
    output,
    print_json,
    reported_errors,
    say,
    table_lines,
    working,
)
from oscaxr.cli.sessions import numbers
from oscaxr.download import DANDISET, VERSION, Asset, Fetched, Plan, fetch, plan
from oscaxr.errors import DownloadError
from oscaxr.progress import progress_bar

_OPTION_WORDS: Final = {
    "overwrite": "--overwrite",
    "mice": "--mice",
    "sessions": "--sessions",
}
_WORDS: Final = {"verified": "already there, verified"}


def download(
    folder: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Folder to download into; files go to DIR/sub-MOUSE/.",
        ),
    ],
    sessions: Annotated[
        str | None,
        typer.Option(
            metavar="N,N-N",
            help="Session numbers of --table, or session ids.",
            show_default="all",
        ),
    ] = None,
    mice: Annotated[
        str | None,
        typer.Option(
            metavar="N,N-N", help="Mouse numbers of --table, or mouse ids.", show_default="all"
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            envvar="OSCAXR_TABLE",
            exists=True,
            dir_okay=False,
            help="Session table (mouse_df.csv), which knows the numbers. Without it, give ids.",
        ),
    ] = None,
    stimulus_templates: Annotated[
        bool, typer.Option("--stimulus-templates", help="Also the stimulus images (2 GB each).")
    ] = False,
    movies: Annotated[
        bool, typer.Option("--movies", help="Also the motion-corrected movies (45 GB each).")
    ] = False,
    version: Annotated[
        str, typer.Option(help="Version of the dandiset; 'draft' for what is not published yet.")
    ] = VERSION,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and its size, and stop.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before beginning.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that differ from the archive's.")
    ] = False,
    as_json: JsonOption = False,
    api_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another archive.", show_default="dandiarchive.org"),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Download sessions of DANDI 000037.

    First says which files, and how much that is; on a terminal it then asks.
    Each file is checked against the archive's digest and gets its name when it
    is complete. Run the same command again to go on after an interruption:
    what is there is verified and skipped.

    Exit status: 0 when all files are there; 1 when any failed (the others are
    downloaded all the same) or nothing could be done; 2 for a wrong command
    line; 130 when interrupted.
    """
    with reported_errors(debug, _OPTION_WORDS):
        asked_mice = numbers("--mice", mice)
        asked_sessions = numbers("--sessions", sessions)
        with working("asking the archive"):
            planned = plan(
                mice=asked_mice,
                sessions=asked_sessions,
                table=table,
                stimulus_templates=stimulus_templates,
                movies=movies,
                version=version,
                api_url=api_url,
            )
        if dry_run and as_json:
            print_json(planned.to_dict())
            return
        if not as_json:
            _show_plan(planned, folder)
        for session in planned.missing:
            say(messages(), f"Note: not in version {version}: {session}", style="yellow")
        if dry_run:
            return
        console = messages()
        if console.is_terminal and not (yes or as_json):
            typer.confirm("Download?", default=True, abort=True, err=True)
        results, failed = _fetch(planned, folder, overwrite)
        if as_json:
            print_json(_as_dict(planned, folder, results))
        else:
            _show_results(results, folder)
        for one in results:
            if one.status == "failed":
                reason = as_options(one.reason, _OPTION_WORDS)
                say(messages(), f"Error: {one.asset.path}: {reason}", style="red")
        if failed:
            say(messages(), "Run the same command again to go on.")
            raise typer.Exit(FAILED)


def _fetch(planned: Plan, folder: Path, overwrite: bool) -> tuple[Sequence[Fetched], bool]:
    try:
        with progress_bar("downloading", in_bytes=True) as report:
            progress = _total(planned, report)
            return fetch(planned, folder, overwrite=overwrite, progress=progress), False
    except DownloadError as error:
        if not error.results:
            raise
        return [one for one in error.results if isinstance(one, Fetched)], True


def _total(planned: Plan, report: Callable[..., None]) -> Callable[[Asset, int], None]:
    """Tell a progress bar how much of all files is there, and which file is being fetched."""
    done = dict.fromkeys((asset.identifier for asset in planned.assets), 0)

    def progress(asset: Asset, n_bytes: int) -> None:
        done[asset.identifier] = n_bytes
        report(sum(done.values()), planned.size, asset.label)

    return progress


def _show_plan(planned: Plan, folder: Path) -> None:
    rows = []
    there = 0
    for asset in planned.assets:
        part = asset.bytes_there(folder)
        there += part
        percent = f"{100 * part // asset.size if asset.size else 100} %" if part else ""
        name = asset.path.rpartition("/")[2]
        rows.append([asset.label, name, f"{asset.size / 1e6:,.1f}", percent])
    console = output()
    say(console, f"Dandiset {planned.dandiset}, version {planned.version}, into {folder}:")
    for line in table_lines(["session", "file", "MB", "there"], rows, ["session", "file"]):
        say(console, line)
    files = f"{len(planned.assets)} file{'s' if len(planned.assets) != 1 else ''}"
    say(
        console,
        f"{files}, {_amount(planned.size)}; {_amount(planned.size - there)} to download",
    )
    for asset in planned.assets:
        if asset.note:
            say(messages(), f"Note: {asset.path} {asset.note}", style="yellow")


def _amount(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _show_results(results: Sequence[Fetched], folder: Path) -> None:
    counts: dict[str, int] = {}
    for one in results:
        word = _WORDS.get(one.status, one.status)
        counts[word] = counts.get(word, 0) + 1
    say(output(), ", ".join(f"{n} {word}" for word, n in counts.items()))
    unchecked = [one.asset.path for one in results if one.checked == "size"]
    if unchecked:
        say(
            messages(),
            f"Note: no digest in the archive, only sizes compared: {', '.join(unchecked)}",
            style="yellow",
        )
    good = next((one for one in results if one.status != "failed"), None)
    if good is not None:
        say(output(), "\nTry next, in Python:")
        say(output(), "  import oscaxr as ox")
        say(output(), f"  ds = ox.open_session({str(good.path)!r})")


def _as_dict(planned: Plan, folder: Path, results: Sequence[Fetched]) -> dict[str, Any]:
    return {
        "dandiset": DANDISET,
        "version": planned.version,
        "folder": str(folder),
        "files": [
            {
                "path": str(one.path),
                "bytes": one.asset.size,
                "status": one.status,
                "checked": one.checked,
                "reason": one.reason,
            }
            for one in results
        ],
        "missing": list(planned.missing),
    }
