"""Many tasks in processes, threads, here and on a cluster: what comes of each, whoever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from command_line import without_ignored
from oscaxr.errors import CriterionError, WorkersError
from oscaxr.sessions.workers import RETRIES, NoResult, run_each


def double(item):
    return 2 * item


def fails_on_two(item):
    if item == 2:
        raise ValueError("no luck")
    return item


class Awkward(Exception):
    """An error that cannot be sent from one process to another."""

    def __init__(self):
        super().__init__("not to be sent")
        self.lock = threading.Lock()


def fails_awkwardly_on_two(item):
    if item == 2:
        raise Awkward
    return item


def lock_on_two(item):
    return threading.Lock() if item == 2 else item


def dies_on_two(item, folder):
    """Leave a trace of each attempt, and take some time, so that others run beside it."""
    (folder / f"{item}-{os.getpid()}").touch()
    if item == 2:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return item


def attempts(folder, item):
    return len(list(folder.glob(f"{item}-*")))


class Bound:
    """A function with its arguments, as a class that pickles by its name."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __call__(self, item):
        return self.function(item, *self.args)


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


# -- a real cluster -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a cluster of two processes that gives up on a task after one more death."""
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("cluster")), silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_failures_on_a_cluster(client):
    told = []
    found = run_each(
        fails_awkwardly_on_two, [1, 2, 3], scheduler=client, report=lambda *n: told.append(n)
    )
    assert found == [1, NoResult("Awkward: not to be sent"), 3]
    assert told[-1] == (3, 3)
    found = run_each(lock_on_two, [1, 2, 3], scheduler=client)
    assert found[::2] == [1, 3]
    assert "cannot be sent back by the worker" in found[1].reason


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_a_cluster_that_dies_again_and_again(client, tmp_path):
    found = run_each(Bound(dies_on_two, tmp_path), [1, 2, 3, 4, 5], scheduler=client)
    assert found[:1] + found[2:] == [1, 3, 4, 5]
    assert "died each time" in found[1].reason
    assert attempts(tmp_path, 2) >= 2


def sleeps(item, folder):
    (folder / str(item)).touch()
    time.sleep(1)
    return item


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_client_that_is_closed(client, tmp_path):
    own = type(client)(client.cluster, set_as_default=False)

    def close(done, total):
        if done:
            own.close()

    found = run_each(Bound(sleeps, tmp_path), range(6), scheduler=own, report=close)
    kept = [number for number, one in enumerate(found) if one == number]
    assert 1 <= len(kept) < 6
    lost = [one.reason for one in found if isinstance(one, NoResult)]
    assert len(lost) == 6 - len(kept)
    assert all("cancelled on the cluster: was its client" in reason for reason in lost)
    with pytest.raises(WorkersError, match="make another"):
        run_each(double, [1], scheduler=own)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_control_c_cancels_what_waits_on_a_cluster(client, tmp_path):
    def interrupt():
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    client.wait_for_workers(2)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_each(Bound(sleeps, tmp_path), range(20), scheduler=client)
    thread.join()
    until = time.monotonic() + 20
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1.5)
    # What a worker has been given already, it does.
    assert len(list(tmp_path.iterdir())) <= 4
    assert run_each(double, [1, 2], scheduler=client) == [2, 4]


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
