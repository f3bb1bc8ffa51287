"""``oscaxr download``: fetch sessions of DANDI 000037, after saying how much that is."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.filesize import decimal

from oscaxr.cli import console
from oscaxr.cli.place_options import StoreOption, no_file, storage_options, table_option
from oscaxr.cli.session_options import takes
from oscaxr.cli.sessions import numbers
from oscaxr.download import VERSION, Asset, Fetched, Plan, fetch, plan, refresh
from oscaxr.errors import DownloadError
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.progress import progress_bar
from oscaxr.sessions.settings import settled

_WORDS: Final = {"verified": "already there, verified"}

_what = partial(typer.Option, rich_help_panel="What to fetch")
FolderOption = Annotated[
    str,
    console.out_option(
        metavar="DIR|URL",
        callback=no_file,
        help="Folder to download into, or its address in an object store; files go to "
        "DIR/sub-MOUSE/.",
    ),
]


def _what_to_fetch(
    sessions: Annotated[
        str | None,
        _what(
            metavar="N,N-N", help="Session numbers of --table, or session ids.", show_default="all"
        ),
    ] = None,
    mice: Annotated[
        str | None,
        _what(metavar="N,N-N", help="Mouse numbers of --table, or mouse ids.", show_default="all"),
    ] = None,
    table: Annotated[
        str | None,
        table_option(
            rich_help_panel="What to fetch",
            envvar="OSCAXR_TABLE",
            help="Session table (mouse_df.csv), which knows the numbers. Without it, give ids.",
        ),
    ] = None,
    stimulus_templates: Annotated[
        bool, _what("--stimulus-templates", help="Also the stimulus images (2 GB each).")
    ] = False,
    movies: Annotated[
        bool, _what("--movies", help="Also the motion-corrected movies (45 GB each).")
    ] = False,
    version: Annotated[
        str, _what(help="Version of the dandiset; 'draft' for what is not published yet.")
    ] = VERSION,
    api_url: Annotated[
        str | None, _what(metavar="URL", help="Another archive.", show_default="dandiarchive.org")
    ] = None,
) -> dict[str, Any]:
    """Return the options of the plan."""
    return {**locals(), "mice": numbers("mice", mice), "sessions": numbers("sessions", sessions)}


@takes(_what_to_fetch)
def download(
    what: dict[str, Any],
    folder: FolderOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and its size, and stop.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before beginning.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that differ from the archive's.")
    ] = False,
    refresh_list: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Ask the archive for its list of files first, and keep it. The list of the "
            "version that is fetched otherwise comes with oscaxr.",
        ),
    ] = False,
    storage_option: StoreOption = None,
    as_json: console.JsonOption = False,
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
    storage = storage_options(storage_option or ())
    root = settled(folder, storage)
    with console.working("planning"):
        if refresh_list:
            kept = refresh(what["version"], api_url=what["api_url"])
            console.note(f"the archive's list of files is kept in {kept}")
        planned = plan(**what, storage_options=storage)
    if dry_run and as_json:
        console.print_json(planned.to_dict())
        return
    if not as_json:
        _tell_plan(planned, root)
    for session in planned.missing:
        console.note(f"not in version {planned.version}: {session}")
    if dry_run:
        return
    if sys.stderr.isatty() and not (yes or as_json):
        typer.confirm("Download?", default=True, abort=True, err=True)
    results = _fetch(planned, root, overwrite)
    if as_json:
        console.print_json(_as_dict(planned, root, results))
    else:
        _tell_results(results, needs_options=bool(storage) and isinstance(root, RemoteFile))
    failed = [one for one in results if one.status == "failed"]
    for one in failed:
        console.complain(f"{one.asset.path}: {one.reason}")
    if failed:
        console.tell("Run the same command again to go on.", to_messages=True)
        raise typer.Exit(console.FAILED)


def _fetch(planned: Plan, folder: Place, overwrite: bool) -> Sequence[Fetched]:
    try:
        with progress_bar("downloading", in_bytes=True) as report:
            return fetch(planned, folder, overwrite=overwrite, progress=_total(planned, report))
    except DownloadError as error:
        if not error.results:
            raise
        return [one for one in error.results if isinstance(one, Fetched)]


def _total(planned: Plan, report: Callable[..., None]) -> Callable[[Asset, int], None]:
    """Tell a progress bar how much of all files is there, and which file is being fetched."""
    done = dict.fromkeys((asset.identifier for asset in planned.assets), 0)

    def progress(asset: Asset, n_bytes: int) -> None:
        done[asset.identifier] = n_bytes
        report(sum(done.values()), planned.size, asset.label)

    return progress


def _tell_plan(planned: Plan, folder: Place) -> None:
    there = [asset.bytes_there(folder) for asset in planned.assets]
    rows = [
        [
            asset.label,
            asset.path.rpartition("/")[2],
            f"{asset.size / 1e6:,.1f}",
            f"{100 * part // asset.size if asset.size else 100} %" if part else "",
        ]
        for asset, part in zip(planned.assets, there, strict=True)
    ]
    console.tell(f"Dandiset {planned.dandiset}, version {planned.version}, into {folder}:")
    console.tell(console.table_text(("session", "file", "MB", "there"), rows, ("session", "file")))
    files = f"{len(planned.assets)} file{'s' if len(planned.assets) != 1 else ''}"
    console.tell(
        f"{files}, {decimal(planned.size)}; {decimal(planned.size - sum(there))} to download"
    )
    for asset in planned.assets:
        if asset.note:
            console.note(f"{asset.path} {asset.note}")


def _tell_results(results: Sequence[Fetched], *, needs_options: bool) -> None:
    console.tell(console.counted(_WORDS.get(one.status, one.status) for one in results))
    unchecked = [one.asset.path for one in results if one.checked == "size"]
    if unchecked:
        console.note(f"no digest in the archive, only sizes compared: {', '.join(unchecked)}")
    good = next((one for one in results if one.status != "failed"), None)
    if good is not None:
        console.tell("\nTry next, in Python:\n  import oscaxr as ox")
        how = ", storage_options={...}" if needs_options else ""
        console.tell(f"  ds = ox.open_session({str(good.path)!r}{how})")


def _as_dict(planned: Plan, folder: Place, results: Sequence[Fetched]) -> dict[str, Any]:
    said = ("path", "status", "checked", "reason")
    files = [
        {"bytes": one.asset.size} | {name: getattr(one, name) for name in said} for one in results
    ]
    facts = {name: getattr(planned, name) for name in ("dandiset", "version", "missing")}
    return facts | {"folder": folder, "files": files}
