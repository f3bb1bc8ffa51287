"""``oscaxr segments``: which segments fulfil criteria, and what each criterion left."""

from pathlib import Path
from typing import Annotated, Any, Final

import pandas as pd
import typer

from oscaxr.cli.console import (
    DebugOption,
    JsonOption,
    OverwriteOption,
    check_target,
    new_file,
    output,
    print_json,
    reported_errors,
    say,
    table_lines,
)
from oscaxr.cli.session_options import (
    CRITERIA_WORDS,
    OPTION_WORDS,
    SESSION_WORDS,
    Asked,
    split_words,
    takes_session,
)
from oscaxr.errors import CriterionError
from oscaxr.model import names as n
from oscaxr.select.criteria import Explanation, select_segments
from oscaxr.select.tables import segment_table

_HEADINGS: Final = ("segment", "stimulus", "block", "unexp.", "start (s)", "2p frame", "shown")
# What was shown, by columns that are empty or NaN where they do not concern the stimulus.
_SHOWN: Final = {
    "gabor_frame": "{}",
    "gabor_kappa": "kappa {:g}",
    "gabor_mean_orientation": "{:g} deg",
    "main_flow_direction": "{}",
    "square_size": "{:g} px squares",
}


@takes_session(SESSION_WORDS, CRITERIA_WORDS)
def segments(
    asked: Asked,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Criteria; see above.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows to show; 0 for all of them.")
    ] = 10,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="CSV",
            help="Write the segments to a .csv file, all columns under their published names.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Count and list the segments that fulfil criteria, and say what each criterion left.

    Without criteria, these are all segments of the session.
    """
    with reported_errors(debug, OPTION_WORDS):
        if out is not None:
            if out.suffix.lower() != ".csv":
                raise CriterionError(f"{out}: a table of segments is written as .csv")
            check_target(out, overwrite=overwrite)
        others, criteria = split_words([*asked.words, *(words or [])])
        with asked.open(others) as ds:
            selected, steps = select_segments(ds, **criteria, explain=True)
            total = ds.sizes[n.SEGMENT]
            table = segment_table(selected).assign(block=selected[n.BLOCK].values)
        if out is not None:
            with new_file(out, overwrite=overwrite) as temporary:
                table.to_csv(temporary)
        if as_json:
            print_json(
                {
                    "total": total,
                    "criteria": left_of(steps),
                    "selected": len(table),
                    "segments": table.reset_index(),
                }
            )
            return
        console = output()
        for line in left_lines(steps, total):
            say(console, line)
        if len(table):
            say(console)
            for line in _lines(table.head(limit) if limit else table):
                say(console, line)
        if limit and len(table) > limit:
            say(console, f"... and {len(table) - limit:,} more (--limit 0 shows all)")
        if out is not None:
            say(console, f"\nWrote {out}")


def left_of(steps: Explanation) -> list[dict[str, Any]]:
    """Return what each criterion left, for JSON."""
    return [{"criterion": step.criterion, "left": step.left} for step in steps]


def left_lines(steps: Explanation, total: int) -> list[str]:
    """Return what each criterion left, for people."""
    rows = [("all segments", total), *((step.criterion, step.left) for step in steps)]
    width = max(len(words) for words, _ in rows)
    return [f"{words:<{width}}  {left:>6,}" for words, left in rows]


def _lines(table: pd.DataFrame) -> list[str]:
    columns = [
        table.index.astype(str),
        table["stimulus_type"],
        table["block"].astype(str),
        table["unexpected"].map("{:g}".format).replace("nan", "-"),
        table["start_time_sec"].map("{:.2f}".format),
        table["start_frame_twop"].astype(str),
        [_what(row) for row in table[list(_SHOWN)].to_dict("records")],
    ]
    return table_lines(_HEADINGS, zip(*columns, strict=True), ("stimulus", "shown"))


def _what(row: dict[Any, Any]) -> str:
    known = {name: value for name, value in row.items() if value != "" and pd.notna(value)}
    return ", ".join(_SHOWN[name].format(value) for name, value in known.items())
