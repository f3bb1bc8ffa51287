"""Every benchmark runs once, on sessions as small as can be: they are to keep working.

Nothing is timed here, and no bar is held. Both sides of each task run in this process, and their
results are compared where the benchmark does that.
"""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bars
import run
import scale
import task

# In the last of their layouts: that of exports is gzip, that of most others the dendritic one.
TASKS = sorted(task.TASKS.values(), key=lambda one: one.layouts[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def cases(folder: Path) -> Iterator[dict[str, task.Case]]:
    """A tiny session in each layout."""
    layouts = {one.layouts[-1] for one in TASKS}
    cases = {
        layout: task.Case(folder, layout, rois=5, scale=0.02, sessions=2, seconds=0.0)
        for layout in layouts
    }
    yield cases
    for case in cases.values():
        case.stack.close()


def in_this_process(code: str, *arguments: object) -> object:
    """Do what is done in a fresh process otherwise."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", ["-c", *map(str, arguments)])
        exec(code, {})
    return json.loads(said.getvalue())


# A few by default, all of them with the slow tests.
QUICK = ("full traces", "windows: stats, mean and SEM", "responses, a row a segment")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "one",
    [pytest.param(one, marks=[pytest.mark.slow] * (one.name not in QUICK)) for one in TASKS],
    ids=[one.name for one in TASKS],
)
def test_task(one, cases, monkeypatch):
    for module in run.MODULES:
        monkeypatch.setattr(module, "in_fresh_process", in_this_process, raising=False)
    work = one.make(cases[one.layouts[-1]])
    if work.prepare_floor:
        work.prepare_floor()
    ours = work.ours()
    floor = work.floor() if work.floor else None
    if work.same:
        work.same(ours, floor)


def test_every_task_has_bars_and_every_bar_a_task():
    assert set(bars.BARS) == set(task.TASKS)
    for name, layouts in bars.BARS.items():
        assert set(layouts) <= {bars.ANY, *task.TASKS[name].layouts}


def test_the_table(folder, capsys):
    """The command measures what it is asked for, prints one table, and writes its rows."""
    small = ["--rois", "5", "--scale", "0.01", "--repeat", "1", "--folder", str(folder)]
    told = folder / "rows.json"
    words = ["--only", "full traces", "--layout", "dendritic", "--no-memory", "--json", str(told)]
    (row,) = run.main([*small, *words])
    printed = capsys.readouterr().out
    assert json.loads(told.read_text()) == [row._asdict()]
    assert [column for column in run.COLUMNS if column not in printed] == []
    assert (row.task, row.layout) == ("full traces", "dendritic")


@pytest.mark.slow
def test_many_sessions_are_swept_in_every_way(folder, capsys, monkeypatch):
    monkeypatch.setattr(scale, "PARTS", (1.0,))
    small = ["--sessions", "2", "--rois", "4", "--scale", "0.01", "--folder", str(folder)]
    runs = scale.main([*small, "--client"])
    printed = capsys.readouterr().out
    ways = ["loop", "opening", "open tree", "map_sessions", "distributed"]
    assert list(dict.fromkeys(one.way for one in runs)) == ways
    assert {one.sessions for one in runs} == {2}
    assert [way for way in ways if f"{way}: memory" not in printed] == []
    assert all(one.seconds > 0 for one in runs)


def test_what_grows_with_the_number_of_sessions_is_told():
    flat = [scale.Run("loop", n, 0.2 * n, 50.0) for n in (10, 25, 50)]
    assert "memory flat" in scale.verdict(flat)
    assert "time linear" in scale.verdict(flat)
    growing = [scale.Run("loop", n, 0.01 * n**2, 50.0 + n) for n in (10, 25, 50)]
    assert "memory grows (+1.00 MB" in scale.verdict(growing)
    assert "time grows" in scale.verdict(growing)
    # What the first sessions add once is no growth, and few sessions are no measure of time.
    few = [scale.Run("loop", n, 0.9, held) for n, held in ((2, 50.0), (6, 56.0), (12, 56.0))]
    assert scale.verdict(few) == (
        "loop: memory flat (+0.00 MB a session), time of too few sessions to tell"
    )


def test_rows_outside_their_must_are_marked():
    row = task.Row("U sequences", "gzip", 0.5, 0.01, None)
    assert run.cells(row)[2:5] == ["0.50", "0.50", "0.40"]
    assert run.cells(row._replace(ratio=0.51))[2] == "! 0.51"
    mean = task.Row("windows: plain mean", "gzip", 1.0, 0.01, 501.0)
    assert run.cells(mean)[2::4] == ["! 1.00", "501 (< 500)"]
    call = task.Row("the call sequences(scale=True)", "gzip", None, 0.03, None)
    assert run.cells(call)[2].startswith("!")
