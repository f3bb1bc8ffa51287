"""Measure oscaxr against plain h5py and numpy, and print one table.

    python tests/benchmarks/run.py                                all of it: half an hour
    python tests/benchmarks/run.py --only open sequences masks    groups, or parts of names
    python tests/benchmarks/run.py --layout gzip --repeat 5

Both sides of a ratio are measured in the same run, in turn, with a warm page cache; the best of the
repeats counts. Before that their results are compared. Memory is what a fresh process holds
privately at its peak, above what it held before the task. The bars are those of `bars.py`; a row
outside its must is marked. The sessions are written once, into a folder of the temporary directory:
126,741 frames, 628 ROIs (942 in the dendritic layout).
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import analysing
import decoders
import exporting
import grouping
import many
import original
import picturing
import reading
import reducing
import starting
from bars import Bar, bar_of
from task import LAYOUTS, ROIS, TASKS, Case, Row, child, chosen, measure

MODULES = (starting, reading, reducing, exporting, original, many)
MODULES += (analysing, grouping, decoders, picturing)  # which fill TASKS
COLUMNS = ("task", "layout", "ratio", "must", "goal", "seconds", "peak memory, MB")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    groups = sorted({one.group for one in TASKS.values()})
    parser = argparse.ArgumentParser(description="Measure oscaxr against plain h5py and numpy.")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help=f"groups of tasks ({', '.join(groups)}), or parts of their names",
    )
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--rois", type=int, help="of all layouts; otherwise 628 and 942")
    parser.add_argument("--scale", type=float, default=1.0, help="length of sessions; 1 is real")
    parser.add_argument("--sessions", type=int, default=24, help="of the tasks with many")
    parser.add_argument("--seconds", type=float, default=5.0, help="of work for each process")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file too")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def rows(options: argparse.Namespace) -> Iterable[Row]:
    """Measure, layout by layout."""
    case, floors = None, {}
    pending = list(chosen(options.only, options.layout))
    options.folder.mkdir(parents=True, exist_ok=True)
    for number, (layout, one) in enumerate(pending, 1):
        if case is None or case.layout != layout:
            if case is not None:
                case.stack.close()
            case, floors = case_of(layout, options), {}
        print(f"[{number}/{len(pending)}] {one.name} ({layout})", file=sys.stderr, flush=True)
        yield measure(one, case, options.repeat, options.memory, floors)
    if case is not None:
        case.stack.close()


def case_of(layout: str, options: argparse.Namespace) -> Case:
    """Return what the tasks of a layout work on."""
    rois = options.rois or ROIS.get(layout, 628)
    return Case(options.folder, layout, rois, options.scale, options.sessions, options.seconds)


# -- the table -------------------------------------------------------------------------------------
def misses(row: Row, bar: Bar) -> bool:
    """Say whether a row is outside its must."""
    pairs = ((row.ratio, bar.must), (row.megabytes, bar.megabytes), (row.seconds, bar.seconds))
    return any(found is not None and most is not None and found > most for found, most in pairs)


def limited(found: float | None, most: float | None, digits: int) -> str:
    """Write a number with the most that it may be."""
    shown = "" if found is None else f"{found:.{digits}f}"
    return shown if most is None else f"{shown} (< {most:g})"


def cells(row: Row) -> list[str]:
    """Return a row of the table."""
    bar = bar_of(row.task, row.layout)
    numbers = [f"{n:.2f}" if n is not None else "" for n in (row.ratio, bar.must, bar.goal)]
    if misses(row, bar):
        numbers[0] = f"! {numbers[0]}"
    seconds = limited(row.seconds, bar.seconds, 4 if row.seconds < 1 else 2)
    return [row.task, row.layout, *numbers, seconds, limited(row.megabytes, bar.megabytes, 0)]


def table_of(measured: Sequence[Row]) -> Table:
    """Return all rows as one table."""
    outside = sum(misses(row, bar_of(row.task, row.layout)) for row in measured)
    table = Table(title=f"oscaxr against h5py and numpy: {outside} of {len(measured)} outside (!)")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for row in sorted(measured, key=lambda row: list(TASKS).index(row.task)):
        table.add_row(*cells(row))
    return table


def main(words: Sequence[str] | None = None) -> list[Row]:
    """Measure, print the table, and return its rows."""
    options = arguments(words)
    warnings.simplefilter("ignore")
    if options.child:
        child(*options.child)
        return []
    measured = []
    try:
        for row in rows(options):
            measured.append(row)
    finally:
        Console(width=130).print(table_of(measured))
        if options.json:
            options.json.write_text(json.dumps([row._asdict() for row in measured], indent=1))
    return measured


if __name__ == "__main__":
    main()
