"""``oscaxr info`` and ``oscaxr segments``: what one session is, and which segments it has."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
import xarray as xr
from rich.filesize import decimal

from oscaxr.cli import console
from oscaxr.cli.epoch_options import WithinOption, within
from oscaxr.cli.place_options import TargetOption, place_to_write
from oscaxr.cli.session_options import Asked, CriteriaArgument, takes_segments, takes_session
from oscaxr.errors import CriterionError
from oscaxr.files.sources import source_paths
from oscaxr.formats.published import file_of
from oscaxr.model import names as n
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SEGMENT_COLUMNS, SESSION
from oscaxr.select.alignment import n_tracked
from oscaxr.select.criteria import Explanation, Step, select_segments
from oscaxr.select.tables import segment_table
from oscaxr.sessions.tree import facts_of
from oscaxr.summary.known import title_lines

# Letters of a line beside a number, so that it fits.
_WIDEST: Final = 70
# Traces short enough to be read for counting what is missing.
_COUNTED: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)


# -- info -----------------------------------------------------------------------------------------
@takes_session
def info(asked: Asked, as_json: console.JsonOption = False) -> None:
    """Show what a session is: facts, sizes, rates, ROIs, segments, and what it lacks.

    Only small things are read, whatever the size of the session.
    """
    with asked.open([] if asked.word is None else [asked.word]) as ds:
        with console.working("reading"):
            found = describe(ds)
        if as_json:
            console.print_json(found)
        else:
            _tell_info(found)


def describe(ds: xr.Dataset) -> dict[str, Any]:
    """Describe a session."""
    tracked = n_tracked(ds) if n.TRACKING_ID in ds.coords else 0
    return {
        "facts": {**facts_of(ds), **ds.attrs},
        "files": _files(ds),
        "recording": {
            clock: {
                "frames": ds.sizes[dim],
                "fps": ds.attrs[f"{clock}_fps"],
                "start_s": ds[dim].values[0],
                "stop_s": ds[dim].values[-1],
            }
            for clock, dim in (("twop", n.TIME), ("stim", n.STIM_TIME))
        },
        "rois": {"total": ds.sizes[n.ROI], "tracked": tracked},
        "segments": _segments(ds),
        "missing": _missing(ds),
        "variables": {
            str(name): {
                "dims": dict(array.sizes),
                "dtype": str(array.dtype),
                "bytes": array.nbytes,
                "units": array.attrs.get("units"),
            }
            for name, array in ds.data_vars.items()
        },
    }


def _files(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return the files and folders of a session, without what lies in another of them."""
    sources = source_paths(ds)
    paths = {source for source in sources if isinstance(source, Path)}
    found: list[dict[str, Any]] = [
        {"path": source, "bytes": console.bytes_at(source)}
        if isinstance(source, Path)
        else {"path": source.url, "bytes": source.size}
        for source in sources
        if not (isinstance(source, Path) and paths & set(source.parents))
    ]
    for one in found:
        if listed := file_of(one["path"]):
            one["published_bytes"] = listed.size
    return found


def _file_lines(file: dict[str, Any]) -> list[str]:
    """Say how large a file is, and the archive's of that name where it is another."""
    here, published = file["bytes"], file.get("published_bytes")
    other = "" if published in (None, here) else f"; {decimal(published)} in the archive"
    # A path is not broken, so that it can be copied.
    path, size = str(file["path"]), f"({decimal(here)}{other})"
    return [f"{path}  {size}"] if len(path) + len(size) < _WIDEST else [path, f"  {size}"]


def _segments(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    types, unexpected = ds["stimulus_type"].values, ds["unexpected"].values == 1
    block, duration = ds[n.BLOCK].values, ds["duration"].values
    return {
        kind: {
            "segments": int(shown.sum()),
            "unexpected": int((shown & unexpected).sum()),
            "blocks": len(np.unique(block[shown])),
            "seconds": float(duration[shown].sum()),
        }
        for kind, shown in ((kind, types == kind) for kind in n.STIMULUS_TYPES)
    }


def _missing(ds: xr.Dataset) -> dict[str, Any]:
    frames = {name: float(np.isnan(ds[name].values).mean()) for name in _COUNTED if name in ds}
    return {
        "variables": [
            name
            for name, spec in SESSION.items()
            if spec.role == "data" and not spec.include and name not in ds
        ],
        "facts": [
            spec.name for spec in FACTS if spec.role == "coord" and spec.name not in ds.coords
        ],
        "fraction_of_frames": frames,
    }


def _tell_info(found: dict[str, Any]) -> None:
    title, *known = title_lines(found["facts"])
    console.tell(console.folded(title), "bold")
    for line in _folded(known):
        console.tell(f"  {line}")
    sections = {
        "Files": [line for one in found["files"] for line in _file_lines(one)],
        "Recording": _recording_lines(found),
        "Segments": _segment_lines(found["segments"]),
        "Variables": _variable_lines(found["variables"]),
        "Missing": _folded(_missing_lines(found["missing"])),
    }
    for heading, lines in sections.items():
        console.tell(f"\n{heading}", "bold")
        for line in lines:
            console.tell(f"  {line}")


def _folded(lines: Iterable[str]) -> list[str]:
    """Break lines so that they fit below a heading, two spaces in."""
    return [part for line in lines for part in console.folded(line, used=2).splitlines()]


def _recording_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, frames in zip(("two-photon", "stimulus"), found["recording"].values(), strict=True):
        minutes = (frames["stop_s"] - frames["start_s"]) / 60
        rate = f"{frames['fps']:.2f} Hz, {minutes:.1f} min"
        lines.append(f"{name:<11} {frames['frames']:>9,} frames at {rate}")
    rois = found["rois"]
    return [*lines, f"{'ROIs':<11} {rois['total']:>9,}, {rois['tracked']:,} of them tracked"]


def _segment_lines(found: dict[str, Any]) -> list[str]:
    rows = [
        [kind, *(f"{one[k]:,}" for k in _SEGMENT_COUNTS), f"{one['seconds'] / 60:.1f}"]
        for kind, one in found.items()
    ]
    headings = ("stimulus", *_SEGMENT_COUNTS, "minutes")
    return console.table_text(headings, rows, ("stimulus",)).splitlines()


def _variable_lines(found: dict[str, Any]) -> list[str]:
    rows = [
        [name, ", ".join(one["dims"]), one["dtype"], decimal(one["bytes"]), one["units"] or "-"]
        for name, one in found.items()
    ]
    headings = ("name", "dims", "dtype", "size", "units")
    return console.table_text(headings, rows, ("name", "dims", "dtype", "units")).splitlines()


_SEGMENT_COUNTS: Final = ("segments", "unexpected", "blocks")


def _missing_lines(missing: dict[str, Any]) -> list[str]:
    lines = []
    if missing["variables"]:
        names = (f"{name} ({SESSION[name].long_name})" for name in missing["variables"])
        lines.append(f"not in the files: {', '.join(names)}")
    if missing["facts"]:
        lines.append(
            f"not known: {', '.join(missing['facts'])} (the session table has them: --table)"
        )
    lines += [
        f"{name}: {fraction:.2%} of the frames"
        for name, fraction in missing["fraction_of_frames"].items()
        if fraction
    ]
    return lines or ["nothing"]


# -- segments -------------------------------------------------------------------------------------
_HEADINGS: Final = ("segment", "stimulus", "block", "unexp.", "start (s)", "2p frame", "shown")
# What was shown, by columns that are empty or NaN where they do not concern the stimulus.
_SHOWN: Final = {
    "gabor_frame": "{}",
    "gabor_kappa": "kappa {:g}",
    "gabor_mean_orientation": "{:g} deg",
    "main_flow_direction": "{}",
    "square_size": "{:g} px",
}


@takes_segments()
def segments(
    asked: Asked,
    words: CriteriaArgument = None,
    epochs: WithinOption = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows to show; 0 for all of them.")
    ] = 10,
    out: Annotated[
        str | None,
        console.out_option(
            metavar="CSV|URL",
            help="Write the segments to a .csv file, with all that is known of each.",
        ),
    ] = None,
    overwrite: console.OverwriteOption = False,
    target_option: TargetOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Count and list the segments that fulfil criteria, and say what each criterion left.

    Without criteria, these are all segments of the session.
    """
    target = None
    if out is not None:
        target = console.check_target(place_to_write(out, target_option), overwrite=overwrite)
        if not target.name.lower().endswith(".csv"):
            raise CriterionError(f"{out}: a table of segments is written as .csv")
    others, criteria = asked.split(words)
    with asked.open(others) as ds:
        criteria |= within(ds, epochs)
        selected, steps = select_segments(ds, **criteria, explain=True)
        total = ds.sizes[n.SEGMENT]
        table = segment_table(selected).rename(columns=dict(SEGMENT_COLUMNS))
        table = table.assign(block=selected[n.BLOCK].values)
    if target is not None:
        with console.new_file(target, overwrite=overwrite) as temporary:
            table.to_csv(temporary)
    if as_json:
        counts = {"total": total, "criteria": list(map(asdict, steps)), "selected": len(table)}
        console.print_json({**counts, "segments": table.reset_index()})
        return
    console.tell(left_of(steps, total))
    if len(table):
        console.tell()
        _tell_segments(table.head(limit) if limit else table)
    if limit and len(table) > limit:
        console.tell(f"... and {len(table) - limit:,} more (--limit 0 shows all)")
    if out is not None:
        console.tell(f"\nWrote {out}")


def left_of(steps: Explanation, total: int) -> str:
    """Return what each criterion left, for people."""
    short = [replace(step, criterion=shorten(step.criterion, _WIDEST)) for step in steps]
    return str(Explanation((Step("all segments", total), *short)))


def _tell_segments(table: pd.DataFrame) -> None:
    columns = [
        table.index.astype(str),
        table["stimulus_type"],
        table["block"].astype(str),
        table["unexpected"].map("{:g}".format).replace("nan", "-"),
        table["start_time"].map("{:.2f}".format),
        table["start_frame_twop"].astype(str),
        [_what(row) for row in table[list(_SHOWN)].to_dict("records")],
    ]
    console.tell(console.table_text(_HEADINGS, zip(*columns, strict=True), ("stimulus", "shown")))


def _what(row: dict[Any, Any]) -> str:
    known = {name: value for name, value in row.items() if value != "" and pd.notna(value)}
    words = (_SHOWN[name].format(n.FLOW_WORDS.get(value, value)) for name, value in known.items())
    return ", ".join(words)
