"""``oscaxr sample``: write the sessions of a made-up mouse into a folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oscaxr import sample as samples
from oscaxr.cli.console import DebugOption, bytes_at, in_words, output, reported_errors, say
from oscaxr.progress import progress_bar


class Format(StrEnum):
    """Format of the sessions' files."""

    NWB = "nwb"
    ORIGINAL = "original"


class Layout(StrEnum):
    """How HDF5 stores the large arrays of a sample file."""

    GZIP = "gzip"
    CHUNKED = "chunked"
    CONTIGUOUS = "contiguous"


def sample(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write into; made if it is not there.")
    ],
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    scale: Annotated[
        float, typer.Option(help="Length of the sessions; 1 is a real one (70 minutes).")
    ] = 0.12,
    rois: Annotated[int, typer.Option(help="Number of ROIs in each session.")] = 30,
    tracked: Annotated[
        int | None, typer.Option(help="Number of tracked ROIs.", show_default="60 % of the ROIs")
    ] = None,
    bad: Annotated[
        int,
        typer.Option(
            "--bad-rois",
            help="Number of unfit ROIs beside these; only the original layout has them.",
        ),
    ] = 0,
    file_format: Annotated[
        Format,
        typer.Option("--format", help="NWB files, or folders in the format from before NWB."),
    ] = Format.NWB,
    layout: Annotated[
        Layout, typer.Option(help="How the large arrays are stored in the files.")
    ] = Layout.GZIP,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace sample files that are already there.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write three synthetic sessions of one mouse, and their session table.

    The files are NWB files laid out as those of DANDI 000037, or folders of the format from before.
    Equal options give equal sessions, in both formats.
    """
    with reported_errors(debug):
        specs = samples.mouse_specs(
            seed=seed, scale=scale, n_rois=rois, n_tracked=tracked, n_bad_rois=bad
        )
        with progress_bar("writing sample sessions") as progress:
            try:
                samples.write_mouse(
                    folder,
                    seed=seed,
                    scale=scale,
                    n_rois=rois,
                    n_tracked=tracked,
                    n_bad_rois=bad,
                    format=file_format.value,
                    layout=layout.value,
                    overwrite=overwrite,
                    progress=progress,
                )
            except samples.SampleExistsError as error:
                raise samples.SampleExistsError(
                    str(error).replace("overwrite=True", "--overwrite")
                ) from error
        console = output()
        table = folder / "mouse_df.csv"
        say(console, "Wrote")
        for spec in specs:
            path = samples.session_path(spec, folder, file_format.value)
            say(console, f"  {path}  ({in_words(bytes_at(path))})")
        say(console, f"  {table}  (session table)")
        say(console)
        say(console, "Try next, in Python:")
        say(console, "  import oscaxr as ox")
        say(
            console,
            f"  ds = ox.open_session(mouse=1, session=1, datadir={str(folder)!r}, "
            f"table={str(table)!r})",
        )
        say(console, '  u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"))')
