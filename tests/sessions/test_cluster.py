"""Many tasks on a real cluster: what comes of each, whoever dies, and that all ends."""

import os
import signal
import threading
import time

import pytest

from oscaxr.errors import WorkersError
from oscaxr.sessions.workers import NoResult, run_each
from tasks import Bound, attempts, dies_on_two, double, fails_awkwardly_on_two, lock_on_two


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a cluster of two processes that gives up on a task after one more death."""
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
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
    (folder / f"{item} begun").touch()
    time.sleep(1)
    (folder / f"{item} ended").touch()
    return item


def begun(folder):
    """Return how many have begun; fail where one has not ended."""
    counts = [len(list(folder.glob(f"* {word}"))) for word in ("begun", "ended")]
    assert counts[0] == counts[1]
    return counts[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_client_that_is_closed(client, tmp_path):
    own = type(client)(client.cluster, set_as_default=False)

    def close(done, total):
        if done:
            own.close()

    found = run_each(Bound(sleeps, tmp_path), range(6), scheduler=own, report=close)
    assert begun(tmp_path) < 6
    kept = [number for number, one in enumerate(found) if one == number]
    assert 1 <= len(kept) < 6
    lost = [one.reason for one in found if isinstance(one, NoResult)]
    assert len(lost) == 6 - len(kept)
    assert all("cancelled on the cluster: was its client" in reason for reason in lost)
    with pytest.raises(WorkersError, match="make another"):
        run_each(double, [1], scheduler=own)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_error_on_the_way_cancels_what_waits_on_a_cluster(client, tmp_path):
    def fail(done, total):
        if done:
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        run_each(Bound(sleeps, tmp_path), range(20), scheduler=client, report=fail)
    count = begun(tmp_path)
    assert count <= 6
    time.sleep(1.5)
    assert begun(tmp_path) == count


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
    # What a worker has been given already, it does.
    count = begun(tmp_path)
    thread.join()
    assert count <= 4
    assert not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    time.sleep(1.5)
    assert begun(tmp_path) == count
    assert run_each(double, [1, 2], scheduler=client) == [2, 4]
