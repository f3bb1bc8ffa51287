"""``oscaxr config``: which data folder and session table are used, and who said so."""

from typing import Annotated

import typer

from oscaxr.cli.place_options import StorageOption, storage_options
from oscaxr.sessions.settings import show_config


def config(
    datadir: Annotated[
        str | None, typer.Option(metavar="DIR|URL", help="As given to other commands.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(metavar="CSV|URL", help="As given to other commands.")
    ] = None,
    storage_option: StorageOption = None,
) -> None:
    """Show which data folder, session table and number of threads are used, and who said so.

    An option counts before the environment (OSCAXR_DATADIR, OSCAXR_TABLE), and that
    before a mouse_df.csv that lies in the data folder.
    """
    storage = storage_options(storage_option or ()) or None
    show_config(datadir=datadir, table=table, storage_options=storage)
