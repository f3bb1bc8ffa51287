"""``oscaxr extract``: windows around segments, or statistics of them, into a file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from textwrap import indent
from typing import Annotated, Any, Final, Literal

import typer
import xarray as xr
from rich.filesize import decimal

from oscaxr import measure, save
from oscaxr.bridges.long_tables import CSV_HINT, check_rows, write_long_table
from oscaxr.cli import console
from oscaxr.cli.epoch_options import WithinOption, within
from oscaxr.cli.look import left_of
from oscaxr.cli.place_options import TargetOption, place_to_write
from oscaxr.cli.session_options import Asked, CriteriaArgument, given, takes, takes_segments
from oscaxr.errors import CriterionError, ExportError, MissingVariableError, option
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.registry import EXPORTS, named_like
from oscaxr.measure.statistics import Stat
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.model.synthetic import is_synthetic
from oscaxr.progress import progress_bar
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import Explanation, select_segments
from oscaxr.select.sequences import sequences
from oscaxr.select.window_edges import Edge

# Of windows that are worked on before they are saved, so many bytes are held at a time.
_BLOCK_BYTES: Final = 16 * 2**20


_window = partial(typer.Option, rich_help_panel="Windows")
_result = partial(typer.Option, rich_help_panel="What is written of them")


def window_options(
    pre: Annotated[
        float | None, _window(help="Seconds before the start of each segment.", show_default="1")
    ] = None,
    post: Annotated[
        float | None, _window(help="Seconds after the start of each segment.", show_default="1")
    ] = None,
    variable: Annotated[
        str | None,
        _window(
            "-v",
            "--variable",
            metavar="NAME",
            help="dff, run_velocity, pupil_diameter, ...",
            show_default="dff",
        ),
    ] = None,
    scale: Annotated[
        bool,
        _window("--scale", help="Subtract the median of the whole trace and divide by its spread."),
    ] = False,
    baseline: Annotated[
        float | None,
        _window(
            metavar="SECONDS",
            help="Subtract from each sequence the mean of its first so many seconds.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Return those options of windows that were given."""
    return given(locals())


OutOption = Annotated[
    str,
    console.out_option(
        metavar="FILE|URL",
        help="Where to: .nc, .zarr or .zarr.zip keep all labels; .csv is one long table. Into an "
        "object store: .zarr or .csv.",
    ),
]
ErrorOption = Annotated[
    Literal["sem", "std", "mad", "quartiles"] | None,
    _result(
        help="With --stats: sem (default) or std of the mean, mad (default) or quartiles of the "
        "median."
    ),
]


@takes_segments()
@takes(window_options)
def extract(
    options: dict[str, Any],
    asked: Asked,
    out: OutOption,
    words: CriteriaArgument = None,
    epochs: WithinOption = None,
    tracked: Annotated[
        bool, _result("--tracked", help="Only tracked ROIs, in the tracking order.")
    ] = False,
    integrate: Annotated[
        bool, _result("--integrate", help="One number a sequence: its integral.")
    ] = False,
    stats: Annotated[Stat | None, _result(help="Average over sequences, then over ROIs.")] = None,
    by_roi: Annotated[
        bool, _result("--by-roi", help="With --stats: over sequences only, ROI by ROI.")
    ] = False,
    error: ErrorOption = None,
    edge: Annotated[
        Edge, _result(help="What to do with windows that leave the recording.")
    ] = "drop",
    invalid: Annotated[
        Invalid, _result(help="What to do with ROIs that the files list as invalid.")
    ] = "drop",
    overwrite: console.OverwriteOption = False,
    target_option: TargetOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Write the windows around the segments that fulfil criteria, or their statistics.

    A .csv file has one row for each value. Its columns, as far as they apply, are
    sequence (number of the segment), the criteria, roi, tracking_id, rel_time (s
    from the start of the segment), time (s in the session), and the variable or
    its statistics. More than 20 million rows are refused: write .nc or .zarr.
    """
    target = _target(out, target_option)
    if (by_roi or error) and stats is None:
        raise typer.BadParameter("--by-roi and --error are about --stats: give that too")
    console.check_target(target, overwrite=overwrite)
    others, criteria = asked.split(words)
    with asked.open(others) as ds:
        selected, steps = chosen_segments(ds, criteria | within(ds, epochs))
        source = tracked_rois(ds) if tracked else ds
        options |= {"edge": edge, "invalid": invalid, "integrate": integrate}
        windows = take_windows(source, selected, **options)
        result: xr.Dataset | xr.DataArray = windows
        if stats is not None:
            result = statistics(windows, stats, error, by_roi=by_roi, invalid=invalid)
        _write(result, target, list(criteria), overwrite=overwrite)
        told = {
            "path": target,
            "bytes": console.bytes_at(target),
            "variables": [result.name] if isinstance(result, xr.DataArray) else list(result),
            "sizes": dict(result.sizes),
            "total": ds.sizes[n.SEGMENT],
            "criteria": list(map(asdict, steps)),
            "selected": selected.sizes[n.SEGMENT],
            "sequences": windows.sizes[n.SEQUENCE],
            "synthetic": is_synthetic(ds),
        }
    if as_json:
        console.print_json(told)
    else:
        _tell(told, steps)


def chosen_segments(ds: xr.Dataset, criteria: dict[str, Any]) -> tuple[xr.Dataset, Explanation]:
    """Select segments and say what each criterion left; an error if there are none."""
    selected: xr.Dataset
    selected, steps = select_segments(ds, **criteria, explain=True)
    if not selected.sizes[n.SEGMENT]:
        left = left_of(steps, ds.sizes[n.SEGMENT])
        raise CriterionError(f"no segment fulfils the criteria:\n{indent(left, '  ')}")
    return selected, steps


def take_windows(
    ds: xr.Dataset,
    segments: xr.Dataset,
    variable: str = n.DFF,
    *,
    pre: float = 1.0,
    post: float = 1.0,
    baseline: float | None = None,
    integrate: bool = False,
    **options: Any,
) -> xr.DataArray:
    """Take windows of a variable, and work on them without holding all of them."""
    windows: xr.DataArray = sequences(ds, variable, segments, pre=pre, post=post, **options)
    if baseline is None and not integrate:
        return windows
    length = windows.sizes[n.SEQUENCE]
    step = max(1, length * _BLOCK_BYTES // max(1, windows.nbytes))
    windows = windows.chunk({n.SEQUENCE: step})
    if baseline is not None:
        windows = measure.baseline(windows, baseline)
    return measure.integrate(windows) if integrate else windows


def statistics(
    windows: xr.DataArray,
    stat: Any,
    error: str | None = None,
    *,
    by_roi: bool = False,
    invalid: Invalid = "drop",
) -> xr.Dataset:
    """Average windows over sequences, and then over ROIs if there are any."""
    rois = [dim for dim in (n.ROI, n.TRACKING_ID) if dim in windows.dims]
    if by_roi and not rois:
        raise MissingVariableError(f"{windows.name} has no ROIs: {option('by_roi')} is about them")
    dims = [n.SEQUENCE, *([] if by_roi else rois)]
    with console.working("averaging"):
        found = measure.stats(windows, dims, stat=stat, error=error or "sem", invalid=invalid)
        return found.compute()


def _target(out: str, how: list[str] | None) -> Place:
    """Return where to write, of a name that says in which format."""
    target = place_to_write(out, how)
    if not _is_table(target) and named_like(target, EXPORTS) is None:
        raise ExportError(
            f"cannot tell the format of {out}: its name should end in .nc, .zarr, .zarr.zip or .csv"
        )
    return target


def _is_table(place: Place) -> bool:
    return place.name.lower().endswith(".csv")


def _write(
    result: xr.Dataset | xr.DataArray, out: Place, criteria: Sequence[str], *, overwrite: bool
) -> None:
    if not _is_table(out):
        with progress_bar(f"writing {out.name}", in_bytes=True) as report:
            how = out.options if isinstance(out, RemoteFile) else None
            save(result, out, overwrite=overwrite, progress=report, storage_options=how)
        return
    table = result if isinstance(result, xr.Dataset) else result.to_dataset()
    of_sequences = {name for name, one in table.coords.items() if one.dims == (n.SEQUENCE,)}
    columns = [name for name in criteria if name in of_sequences - {n.SEQUENCE, n.SEGMENT}]
    check_rows(table, CSV_HINT)
    with (
        progress_bar(f"writing {out.name}") as report,
        console.new_file(out, overwrite=overwrite) as temporary,
    ):
        write_long_table(table, temporary, columns, report)


def _tell(told: Mapping[str, Any], steps: Explanation) -> None:
    """Say what was written, and what each criterion left."""
    console.tell(left_of(steps, told["total"]) + "\n")
    sizes = ", ".join(f"{dim} {size:,}" for dim, size in told["sizes"].items())
    names = ", ".join(map(str, told["variables"]))
    n_sequences = told["sequences"]
    dropped = told["selected"] - n_sequences
    console.tell(
        f"Wrote {told['path']} ({decimal(told['bytes'])}): {names}"
        + (f" over {sizes}" if sizes else "")
        + (f", of {n_sequences:,} sequences" if n.SEQUENCE not in told["sizes"] else "")
        + (f"; {dropped:,} dropped at the ends of the recording" if dropped else "")
        + "; synthetic data" * told["synthetic"]
    )
