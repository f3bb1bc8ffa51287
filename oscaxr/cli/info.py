"""``oscaxr info``: what one session is, how large it is, and what it lacks."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.cli.console import (
    DebugOption,
    JsonOption,
    bytes_at,
    in_words,
    output,
    print_json,
    reported_errors,
    say,
    table_lines,
    working,
)
from oscaxr.cli.session_options import OPTION_WORDS, SESSION_WORDS, Asked, takes_session
from oscaxr.errors import MissingVariableError
from oscaxr.model import names as n
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SESSION
from oscaxr.select.tracked import n_tracked
from oscaxr.store.provenance import source_paths

# Traces short enough to be read for counting what is missing.
_COUNTED: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)


@takes_session(SESSION_WORDS)
def info(
    asked: Asked,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a session is: facts, sizes, rates, ROIs, segments, and what it lacks.

    Only small things are read, whatever the size of the session.
    """
    with reported_errors(debug, OPTION_WORDS), asked.open(asked.words) as ds:
        with working("reading"):
            found = describe(ds)
        if as_json:
            print_json(found)
        else:
            _show(found, ds)


def describe(ds: xr.Dataset) -> dict[str, Any]:
    """Describe a session."""
    scalars = {str(name): coord.values[()] for name, coord in ds.coords.items() if not coord.dims}
    return {
        "facts": scalars | {str(name): value for name, value in ds.attrs.items()},
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
        "rois": {"total": ds.sizes[n.ROI], "tracked": _n_tracked(ds)},
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
    return [
        {"path": source, "bytes": bytes_at(source)}
        if isinstance(source, Path)
        else {"path": source.url, "bytes": source.size}
        for source in sources
        if not (isinstance(source, Path) and paths & set(source.parents))
    ]


def _n_tracked(ds: xr.Dataset) -> int:
    try:
        return n_tracked(ds)
    except MissingVariableError:
        return 0


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
    frames = {name: float(ds[name].isnull().mean()) for name in _COUNTED if name in ds}
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


# -- for people -----------------------------------------------------------------------------------
def _show(found: dict[str, Any], ds: xr.Dataset) -> None:
    console = output()
    for line in _title(found["facts"]):
        say(console, line, style="bold" if not line.startswith(" ") else None)
    say(console, "\nFiles", style="bold")
    for file in found["files"]:
        say(console, f"  {file['path']}  ({in_words(file['bytes'])})")
    say(console, "\nRecording", style="bold")
    names = {"twop": "two-photon", "stim": "stimulus"}
    for clock, frames in found["recording"].items():
        minutes = (frames["stop_s"] - frames["start_s"]) / 60
        say(
            console,
            f"  {names[clock]:<11} {frames['frames']:>9,} frames at {frames['fps']:.2f} Hz, "
            f"{minutes:.1f} min",
        )
    rois = found["rois"]
    say(console, f"  {'ROIs':<11} {rois['total']:>9,}, {rois['tracked']:,} of them tracked")
    say(console, "\nSegments", style="bold")
    rows = [
        [
            kind,
            f"{counts['segments']:,}",
            f"{counts['unexpected']:,}",
            f"{counts['blocks']:,}",
            f"{counts['seconds'] / 60:.1f}",
        ]
        for kind, counts in found["segments"].items()
    ]
    headings = ("stimulus", "segments", "unexpected", "blocks", "minutes")
    for line in table_lines(headings, rows, ["stimulus"]):
        say(console, f"  {line}")
    say(console, "\nMissing", style="bold")
    for line in _missing_lines(found["missing"]):
        say(console, f"  {line}")
    say(console, "\nDataset", style="bold")
    say(console, repr(ds))


# What is said of a session, a line each, as far as it is known.
_TITLE: Final = (
    (("session_id", "Session {}"), ("mouse", "mouse {}"), ("session", "session {}")),
    (
        ("mouse_id", "mouse id {}"),
        ("run_type", "{}"),
        ("line", "{}"),
        ("plane", "{}"),
        ("depth", "{} um deep"),
    ),
    (
        ("date", "recorded {}"),
        ("sex", "sex {}"),
        ("age_weeks", "{:.1f} weeks old"),
        ("pass_fail", "quality control {}"),
    ),
    (("dandiset", "{}"), ("source_format", "format {}"), ("notes", "notes: {}")),
)


def _title(facts: dict[str, Any]) -> list[str]:
    """Return the first lines: which session, and what is known of it."""
    first, *others = (
        ", ".join(text.format(facts[name]) for name, text in line if name in facts)
        for line in _TITLE
    )
    return [first or "Session of unknown id", *(f"  {line}" for line in others if line)]


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
