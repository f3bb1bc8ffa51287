"""Many tasks in processes, threads, here and on a cluster: what comes of each, whoever dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from command_line import without_ignored
from oscaxr.errors import CriterionError, OscaxrWarning, warn
from oscaxr.sessions.tasks import NoResult
from oscaxr.sessions.workers import RETRIES, run_each
from tasks import Bound, attempts, dies_on_two, double, fails_awkwardly_on_two, lock_on_two


def fails_on_two(item):
    if item == 2:
        raise ValueError("no luck")
    return item


SCHEDULERS = ["synchronous", "threads", "processes"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_results_are_in_order_and_failures_in_their_place(scheduler):
    told = []
    items = [3, 2, 1]
    found = run_each(
        fails_on_two, items, scheduler=scheduler, workers=2, report=lambda *n: told.append(n)
    )
    assert [found[0], found[2]] == [3, 1]
    assert found[1] == NoResult("ValueError: no luck")
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_what_cannot_be_asked():
    with pytest.raises(CriterionError, match="'processes', 'threads'"):
        run_each(double, [1], scheduler="cluster")
    with pytest.raises(CriterionError, match="at least one"):
        run_each(double, [1], workers=0)
    lock = threading.Lock()
    with pytest.raises(CriterionError, match=r"cannot be sent to other processes.*lock"):
        run_each(lambda item: lock, [1])
    assert run_each(double, []) == []


def test_what_cannot_be_sent_back_fails_alone():
    found = run_each(lock_on_two, [1, 2, 3], workers=1)
    assert found[::2] == [1, 3]
    assert "cannot be sent back by the worker" in found[1].reason
    found = run_each(fails_awkwardly_on_two, [1, 2, 3], workers=1)
    assert found == [1, NoResult("Awkward: not to be sent"), 3]


def test_only_the_guilty_is_left_without_a_result(tmp_path):
    found = run_each(Bound(dies_on_two, tmp_path), [1, 2, 3, 4, 5], workers=2)
    assert found[:1] + found[2:] == [1, 3, 4, 5]
    assert f"died each of {RETRIES + 1} times" in found[1].reason
    assert attempts(tmp_path, 2) == RETRIES + 1
    # What ran beside it was lost once at most, and tried again alone.
    assert max(attempts(tmp_path, item) for item in (1, 3, 4, 5)) <= 2


@pytest.mark.slow
def test_all_of_several_guilty_ones_are_found(tmp_path):
    items = [2, 1, 2, 3, 2]
    found = run_each(Bound(dies_on_two, tmp_path), items, workers=2)
    assert [isinstance(one, NoResult) for one in found] == [item == 2 for item in items]


def facts_of_a_worker(item):
    time.sleep(0.2)
    return os.getpid(), os.environ.get("OSCAXR_TEST"), str(Path.cwd()), float(np.random.random())  # noqa: NPY002 (the one that forks share)


@pytest.mark.skipif(os.name == "nt", reason="looks at processes")
def test_workers_see_the_present_and_end_with_the_call(monkeypatch, tmp_path):
    for value in ("one", "two"):
        folder = tmp_path / value
        folder.mkdir()
        monkeypatch.setenv("OSCAXR_TEST", value)
        monkeypatch.chdir(folder)
        facts = run_each(facts_of_a_worker, [0, 1], workers=2)
        pids, variables, folders, drawn = map(set, zip(*facts, strict=True))
        assert len(pids) == len(drawn) == 2
        assert (variables, folders) == ({value}, {str(folder)})
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


SCRIPT = """
import oscaxr.sessions.workers as w
offset = 3
def plus(item):
    return item + offset
{guard}print(w.run_each(plus, [1, 2], workers=2))
"""


def run_script(path, guard):
    path.write_text(SCRIPT.format(guard=guard))
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_functions_of_scripts_and_notebooks(tmp_path):
    done = run_script(tmp_path / "guarded.py", 'if __name__ == "__main__": ')
    assert (done.stdout, done.stderr) == ("[4, 5]\n", "")
    # A notebook has no file that workers could read.
    code = SCRIPT.format(guard="")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[4, 5]\n", "")


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    done = run_script(tmp_path / "bare.py", "")
    assert done.returncode == 1
    assert "WorkersError: no worker process could be started" in done.stderr
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]


# -- all that was started has ended ---------------------------------------------------------------
def naps(item, folder):
    (folder / f"{item} begun").touch()
    time.sleep(0.3)
    (folder / f"{item} ended").touch()


@pytest.fixture
def begun():
    """Return what counts the tasks that began, and fails where anything of them goes on."""
    before = set(threading.enumerate())

    def count(folder):
        counts = [len(list(folder.glob(f"* {word}"))) for word in ("begun", "ended")]
        assert counts[0] == counts[1]
        left = set(threading.enumerate()) - before
        assert not [one for one in left if "ThreadPool" in one.name or "Executor" in one.name]
        assert not multiprocessing.active_children()
        return counts[0]

    return count


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_an_error_on_the_way_ends_all(tmp_path, begun, scheduler):
    def fail(done, total):
        if done:
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        run_each(Bound(naps, tmp_path), range(20), scheduler=scheduler, workers=2, report=fail)
    assert begun(tmp_path) <= 4


@pytest.fixture
def press():
    """Return a function that presses Ctrl-C, some times, once there is something in a folder."""

    def interrupt(number, frame):
        # One that comes late would end the tests.
        while frame is not None and frame.f_code is not run_each.__code__:
            frame = frame.f_back
        if frame is not None:
            raise KeyboardInterrupt

    def presses(folder, times, after):
        while not list(folder.iterdir()):
            time.sleep(0.005)
        time.sleep(after)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.04)

    threads = []

    def start(folder, times, after=0.0):
        threads.append(threading.Thread(target=presses, args=(folder, times, after)))
        threads[0].start()

    usual = signal.signal(signal.SIGINT, interrupt)
    yield start
    threads[0].join()
    signal.signal(signal.SIGINT, usual)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to this process")
@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_control_c_ends_all_however_often_it_is_pressed(tmp_path, press, begun, scheduler, times):
    press(tmp_path, times)
    with pytest.raises(KeyboardInterrupt):
        run_each(Bound(naps, tmp_path), range(20), scheduler=scheduler, workers=2)
    assert begun(tmp_path) <= 4


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to this process")
@pytest.mark.parametrize("moment", range(30))
def test_control_c_at_any_time_leaves_no_process(tmp_path, press, begun, moment):
    (tmp_path / "at once").touch()
    folder = tmp_path / "traces"
    folder.mkdir()
    press(tmp_path, 2, moment / 100)
    with pytest.raises(KeyboardInterrupt):
        run_each(Bound(naps, folder), range(20), workers=2)
    assert begun(folder) <= 4


# -- warnings in threads, whose filters are the same for all --------------------------------------
def test_a_warning_is_not_lost_to_what_another_thread_ignores():
    ignored, told = threading.Event(), threading.Event()

    def work(item):
        if item == "ignore":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ignored.set()
                assert told.wait(20)
        else:
            assert ignored.wait(20)
            warn("mind the gap", OscaxrWarning)
            told.set()

    with pytest.warns(OscaxrWarning, match="mind the gap"):
        assert run_each(work, ["ignore", "warn"], scheduler="threads", workers=2) == [None, None]


def test_filters_that_threads_leave_otherwise_are_put_back():
    events = [threading.Event() for _ in range(3)]
    entered, entered_too, left = events

    def work(item):
        if item == "first":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                entered.set()
                assert entered_too.wait(20)
            left.set()
        else:
            assert entered.wait(20)
            with warnings.catch_warnings():
                entered_too.set()
                assert left.wait(20)

    before = list(warnings.filters)
    assert run_each(work, ["first", "then"], scheduler="threads", workers=2) == [None, None]
    assert warnings.filters == before


INTERRUPTED = """
import sys, time, pathlib
import oscaxr.sessions.workers as w
def slow(item):
    folder = pathlib.Path(sys.argv[1])
    try:
        (folder / str(item)).touch()
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"{item} stopped").touch()
        raise
if __name__ == "__main__":
    try:
        w.run_each(slow, range(4), workers=2)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a group of processes")
def test_control_c_stops_the_workers(tmp_path):
    script, folder = tmp_path / "script.py", tmp_path / "traces"
    script.write_text(INTERRUPTED)
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        until = time.monotonic() + 30
        while len(list(folder.iterdir())) < 2:
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGINT)
        printed, said = run.communicate(timeout=60)
    assert (printed, without_ignored(said)) == ("interrupted\n", "")
    names = {path.name for path in folder.iterdir()}
    started = {name for name in names if " " not in name}
    assert len(started) == 2
    assert names == started | {f"{name} stopped" for name in started}


def own_threads(_):
    from oscaxr.arrays.columns import thread_count

    return thread_count()


def test_processes_share_the_cores_and_the_user_may_say_otherwise(monkeypatch):
    from dask.system import CPU_COUNT

    alone = run_each(own_threads, [0], workers=1)
    assert alone == [CPU_COUNT]
    assert run_each(own_threads, [0, 1], workers=2) == [max(1, CPU_COUNT // 2)] * 2
    monkeypatch.setenv("OSCAXR_THREADS", "3")
    assert run_each(own_threads, [0, 1], workers=2) == [3, 3]
    for word in ("", "0", "-1", "many"):
        monkeypatch.setenv("OSCAXR_THREADS", word)
        assert own_threads(0) == 2
