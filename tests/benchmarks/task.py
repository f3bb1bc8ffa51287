"""What a task is, what it works on, and how time and memory are taken."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import oscaxr as ox
import samples

LAYOUTS = ("contiguous", "gzip", "dendritic")
ROIS = {"contiguous": 628, "gzip": 628, "dendritic": 942}
RUN = Path(__file__).with_name("run.py")


@dataclass(frozen=True)
class Case:
    """A session in one layout, and how much of it; what is opened is closed at the end."""

    folder: Path
    layout: str
    rois: int
    scale: float = 1.0
    sessions: int = 24
    seconds: float = 5.0
    stack: ExitStack = field(default_factory=ExitStack, compare=False)

    @cached_property
    def path(self) -> Path:
        return samples.session_file(self.folder, self.layout, self.rois, self.scale)

    @cached_property
    def ds(self) -> xr.Dataset:
        return self.stack.enter_context(ox.open_session(self.path))

    @cached_property
    def unexpected(self) -> xr.Dataset:
        return self.ds.osca.select(stimulus="gabors", gabor_frame="U")

    @cached_property
    def gabors(self) -> xr.Dataset:
        return self.ds.osca.select(stimulus="gabors")

    @cached_property
    def u_frames(self) -> tuple[np.ndarray, int, int]:
        """Frames of the unexpected gabors, and how many before and after each."""
        second = round(self.ds.attrs["twop_fps"])
        return self.unexpected.start_frame_twop.values, second, second

    @cached_property
    def wide_frames(self) -> tuple[np.ndarray, int, int]:
        """Frames of all gabors, and how many from each on."""
        after = int(np.round(0.6 * self.ds.attrs["twop_fps"]))
        return self.gabors.start_frame_twop.values, 0, after

    def arguments(self) -> list[str]:
        """Say this case to another process."""
        told = {key: getattr(self, key) for key in TOLD}
        return [json.dumps(told | {"folder": str(self.folder)})]


TOLD = ("layout", "rois", "scale", "sessions", "seconds")


@dataclass
class Work:
    """The two sides of a task, ready to run.

    Functions of a work that `times itself` return seconds; others are timed from outside. `same`
    is called once with the results of both sides. `once` is for what takes many seconds: it is not
    repeated, and floors that are the same function are taken once in a run.
    """

    ours: Callable[[], Any]
    floor: Callable[[], Any] | None = None
    same: Callable[[Any, Any], None] | None = None
    prepare_floor: Callable[[], Any] | None = None
    times_itself: bool = False
    once: bool = False


@dataclass(frozen=True)
class Task:
    """A row of the table: its name, where it belongs, and how its work is made ready."""

    name: str
    group: str
    layouts: Sequence[str]
    make: Callable[[Case], Work]
    memory: bool
    few: int | None = None
    """With so few sessions the peak is taken too, and the ratio is that of the peaks."""


TASKS: dict[str, Task] = {}


def task(
    name: str,
    group: str,
    layouts: Sequence[str] = LAYOUTS,
    memory: bool = True,
    few: int | None = None,
) -> Callable[[Callable[[Case], Work]], Callable[[Case], Work]]:
    """Enter a function that makes a work ready into the list of tasks."""

    def enter(make: Callable[[Case], Work]) -> Callable[[Case], Work]:
        TASKS[name] = Task(name, group, layouts, make, memory, few)
        return make

    return enter


# -- time ------------------------------------------------------------------------------------------
def best_times(functions: Sequence[Callable[[], Any]], repeat: int, itself: bool) -> list[float]:
    """Run the functions in turn and return the best time of each."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeat):
        for function, record in zip(functions, times, strict=True):
            start = time.perf_counter()
            result = function()
            record.append(result if itself else time.perf_counter() - start)
            # Not in the time of the next one.
            del result
    return [min(record) for record in times]


# -- memory ----------------------------------------------------------------------------------------
def private_megabytes(process: int | str = "self") -> float:
    """Return what a process holds privately, without mapped files."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def peak_megabytes(name: str, case: Case) -> float | None:
    """Run our side of a task in a fresh process; return its peak above what it held before."""
    if not Path("/proc/self/status").exists():
        return None
    code = [sys.executable, str(RUN), "--child", name, *case.arguments()]
    with subprocess.Popen(
        code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        assert child.stdin
        assert child.stdout
        if child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name}: the process that was to be watched failed (see above)")
        before = peak = private_megabytes(child.pid)
        child.stdin.write("go\n")
        while not select.select([child.stdout], [], [], 0.002)[0]:
            peak = max(peak, private_megabytes(child.pid))
        if child.stdout.readline().strip() != "done":
            raise RuntimeError(f"{name}: the process that was watched failed (see above)")
        child.stdin.close()
    return peak - before


def child(name: str, told: str) -> None:
    """Be the process that is watched: get ready, wait for the word, work, and say so."""
    case = Case(**{**json.loads(told), "folder": Path(json.loads(told)["folder"])})
    with case.stack:
        work = TASKS[name].make(case)
        print("ready", flush=True)
        sys.stdin.readline()
        kept = work.ours()
        print("done", flush=True)
        sys.stdin.readline()
        del kept


def in_fresh_process(code: str, *arguments: object) -> Any:
    """Run a few lines in a fresh process and return what they print, as JSON."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


# -- one row ---------------------------------------------------------------------------------------
class Row(NamedTuple):
    """What was measured of a task."""

    task: str
    layout: str
    ratio: float | None
    seconds: float
    megabytes: float | None


def measure(one: Task, case: Case, repeat: int, memory: bool, floors: dict[Any, float]) -> Row:
    """Measure one task; `floors` remembers what floors of long works took."""
    work = one.make(case)
    seconds, floor = times_of(work, repeat, floors)
    ratio = None if floor is None else seconds / floor
    peak = peak_megabytes(one.name, case) if memory and one.memory else None
    if peak is not None and one.few:
        least = peak_megabytes(one.name, replace(case, sessions=one.few, stack=ExitStack()))
        ratio = peak / least if least else None
    return Row(one.name, case.layout, ratio, seconds, peak)


def times_of(work: Work, repeat: int, floors: dict[Any, float]) -> tuple[float, float | None]:
    """Return the seconds of both sides, checked against each other first."""
    if work.floor is None or work.floor in floors:
        known = floors.get(work.floor)
        return *best_times([work.ours], 1 if work.once else repeat, work.times_itself), known
    if work.prepare_floor:
        work.prepare_floor()
    if work.same:
        work.same(work.ours(), work.floor())
    sides = [work.ours, work.floor]
    seconds, floor = best_times(sides, 1 if work.once else repeat, work.times_itself)
    if work.once:
        floors[work.floor] = floor
    return seconds, floor


def chosen(only: Sequence[str], layouts: Sequence[str]) -> Iterator[tuple[str, Task]]:
    """Yield layouts with the tasks to run in them, layout by layout.

    A word of `only` is the name of a group, or else part of the names of tasks.
    """
    groups = {one.group for one in TASKS.values()}
    for layout in ("-", "original", *LAYOUTS):
        for one in TASKS.values():
            wanted = not only or any(
                word == one.group if word in groups else word in one.name for word in only
            )
            if wanted and layout in one.layouts and (layout not in LAYOUTS or layout in layouts):
                yield layout, one
