"""Sweep many sessions: does memory stay flat, and does time grow in proportion?

    python tests/benchmarks/scale.py                          50 sessions, three ways: minutes
    python tests/benchmarks/scale.py --client                 on a dask.distributed cluster, too
    python tests/benchmarks/scale.py --sessions 200 --rois 100

Sessions have the length and structure of real ones and few ROIs; they are written once. The same
small analysis of all of them is run one by one (`loop`), over a tree that is open (`open tree`), by
`map_sessions` in two processes, and by `map_sessions` on a cluster of two workers. What an open
tree itself holds, its clocks and tables, is a row of its own (`opening`). Each run is a process of
its own, and is told some of the sessions, then more. Memory is the most that the process and those
that it started held privately at a time, above what it held before.
"""

import argparse
import functools
import json
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

import many
import oscaxr as ox
import samples
from task import private_megabytes

WAYS = ("loop", "opening", "open tree", "map_sessions")
PARTS = (0.2, 0.5, 1.0)
# What is held may grow by so many megabytes a session, the time of a session by so large a factor.
MOST_MEGABYTES, MOST_TIME = 0.5, 1.25
# Of fewer sessions, what is paid once and the noise are longer than what they differ in.
FEWEST_TIMED = 10


class Run(NamedTuple):
    """What one way took for so many sessions."""

    way: str
    sessions: int
    seconds: float
    megabytes: float


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Sweep many sessions for time and memory.")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--rois", type=int, default=16)
    parser.add_argument("--scale", type=float, default=1.0, help="length of sessions; 1 is real")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--client", action="store_true", help="on a cluster of dask's, too")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file too")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


@contextmanager
def prepared(way: str, paths: Sequence[Path], workers: int) -> Iterator[Callable[[], object]]:
    """Give what is to be timed."""
    mapped = functools.partial(ox.map_sessions, many.mean_response, paths, progress=False)
    opened = functools.partial(ox.open_sessions, paths, progress=False)
    with ExitStack() as stack:
        if way == "distributed":
            from distributed import Client, LocalCluster

            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            yield functools.partial(mapped, scheduler=stack.enter_context(Client(cluster)))
            cluster.close()
        elif way == "map_sessions":
            yield functools.partial(mapped, workers=workers)
        elif way == "open tree":
            yield functools.partial(many.sweep, stack.enter_context(opened()))
        else:
            yield opened if way == "opening" else functools.partial(many.loop, paths)


# -- a process of its own --------------------------------------------------------------------------
def child(name: str, told: str) -> None:
    """Be the process that is watched: say when it is ready, and how long the sweep took."""
    case = json.loads(told)
    paths = [Path(path) for path in case["paths"]]
    with prepared(name, paths, case["workers"]) as sweep:
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        kept = sweep()
        print(time.perf_counter() - start, flush=True)
        del kept


def watched(name: str, paths: Sequence[Path], workers: int) -> Run:
    """Sweep sessions in a fresh process."""
    told = json.dumps({"workers": workers, "paths": [str(path) for path in paths]})
    code = [sys.executable, __file__, "--child", name, told]
    with subprocess.Popen(
        code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin
        assert process.stdout
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name}: the process failed (see above)")
        before = peak = held(process.pid)
        process.stdin.write("go\n")
        while not select.select([process.stdout], [], [], 0.01)[0]:
            peak = max(peak, held(process.pid))
        seconds = float(process.stdout.readline())
    return Run(name, len(paths), seconds, peak - before)


def held(process: int) -> float:
    """Return what a process and those that it started hold privately."""
    total = 0.0
    for one in family(process):
        try:
            total += private_megabytes(one)
        except (OSError, StopIteration):
            continue  # it has just ended
    return total


def family(process: int) -> Iterator[int]:
    """Yield a process and those that it started."""
    yield process
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            started = listed.read_text().split()
        except OSError:
            continue
        for one in started:
            yield from family(int(one))


# -- the table -------------------------------------------------------------------------------------
def verdict(runs: Sequence[Run]) -> str:
    """Say how memory and the time of a session grew with the number of sessions."""
    first, middle, last = runs[0], runs[len(runs) // 2], runs[-1]
    # The first sessions add what is held once, as modules are.
    added = (last.megabytes - middle.megabytes) / max(1, last.sessions - middle.sessions)
    # What a way costs once, such as starting workers, is taken off by the difference.
    early = (middle.seconds - first.seconds) / max(1, middle.sessions - first.sessions)
    late = (last.seconds - middle.seconds) / max(1, last.sessions - middle.sessions)
    each = late / early if early > 0 else float("nan")
    flat = "flat" if added <= MOST_MEGABYTES else "grows"
    said = f"{last.way}: memory {flat} ({added:+.2f} MB a session)"
    if middle.sessions - first.sessions < FEWEST_TIMED:
        return f"{said}, time of too few sessions to tell"
    linear = "linear" if each <= MOST_TIME else "grows"
    return f"{said}, time {linear} (later sessions to earlier ones: {each:.2f})"


def main(words: Sequence[str] | None = None) -> list[Run]:
    """Sweep, print the table, and return its rows."""
    options = arguments(words)
    warnings.simplefilter("ignore")
    if options.child:
        child(*options.child)
        return []
    paths = samples.many_files(options.folder, options.sessions, options.rois, options.scale)
    counts = sorted({max(1, round(part * len(paths))) for part in PARTS})
    ways = [*WAYS, *(["distributed"] if options.client else [])]
    runs: dict[str, list[Run]] = {}
    table = Table(title=f"{len(paths)} sessions of {options.rois} ROIs")
    for column in ("way", "sessions", "seconds", "seconds a session", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in ways:
        for count in counts:
            print(f"{way}, {count} sessions", file=sys.stderr, flush=True)
            one = watched(way, paths[:count], options.workers)
            runs.setdefault(way, []).append(one)
            numbers = (one.seconds, one.seconds / count, one.megabytes)
            table.add_row(way, str(count), *(f"{number:.3g}" for number in numbers))
    Console(width=100).print(table, *map(verdict, runs.values()), sep="\n")
    found = [one for each in runs.values() for one in each]
    if options.json:
        options.json.write_text(json.dumps([one._asdict() for one in found], indent=1))
    return found


if __name__ == "__main__":
    main()
