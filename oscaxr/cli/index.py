"""``oscaxr index``: where the values of sessions lie in their files, in one JSON file."""

from typing import Annotated, Any

import typer

from oscaxr.cli import console
from oscaxr.cli.place_options import TargetOption, folder_option, storage_options, table_option
from oscaxr.cli.session_options import open_options, takes
from oscaxr.sessions.write_index import write_index


@takes(open_options)
def index(
    options: dict[str, Any],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|URL...",
            help="NWB files or their addresses; or one folder, or session table, of them.",
        ),
    ],
    out: Annotated[
        str,
        console.out_option(
            metavar="JSON", help="The index to write, a .json; or its address in an object store."
        ),
    ],
    table: Annotated[
        str | None,
        table_option(
            envvar="OSCAXR_TABLE", help="Session table, whose facts and numbers the index then has."
        ),
    ] = None,
    datadir: Annotated[
        str | None,
        folder_option(envvar="OSCAXR_DATADIR", help="Where the files of a session table are."),
    ] = None,
    overwrite: console.OverwriteOption = False,
    target_option: TargetOption = None,
) -> None:
    """Write an index: sessions then open without a search through their files.

    Over a network that takes a tenth of the requests. Nothing is copied: the
    index says where dF/F, running, pupil and clocks lie in the files, and holds
    the stimulus table. It is to be written again when a file was changed.

    Open it with `oscaxr info JSON --sources DIR|URL`, below which the files lie;
    or with plain xarray, as it is in the form of kerchunk.
    """
    sessions = files[0] if len(files) == 1 else files
    target = write_index(
        sessions,
        out,
        table=table,
        datadir=datadir,
        overwrite=overwrite,
        target_options=storage_options(target_option or ()) or None,
        **options,
    )
    console.tell(f"wrote {target}")
