"""Many tasks on a cluster of ``distributed``."""

import time
from collections.abc import Collection, Set
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from oscaxr.errors import WorkersError
from oscaxr.sessions.tasks import NoResult, Run, call_sent, later_interrupts

# What a client that takes no more work says of itself.
_CLOSED: Final = ("closing", "closed")
# Between two questions whether all has ended.
_PAUSE_SECONDS: Final = 0.05
# What is handed to a client, the scheduler knows of long before.
_ARRIVAL_SECONDS: Final = 5.0


def on_cluster(run: Run, client: Any) -> None:
    """Do all tasks on a cluster."""
    if client.status in _CLOSED:
        raise WorkersError(f"the client is {client.status}: make another distributed.Client")
    run.check_pickles()
    blamed = _round(run, client, range(len(run.items)))
    if len(blamed) == 1:
        # The engine has tried it several times, and lost no other: it is the one.
        alone = blamed
    else:
        # Tasks that waited at the same workers are blamed with the one that killed them.
        alone = {}
        for number in blamed:
            alone |= _round(run, client, [number])
    for number, reason in alone.items():
        run.done(number, NoResult(reason))


def _round(run: Run, client: Any, numbers: Collection[int]) -> dict[int, str]:
    """Run tasks; return those whose workers died again and again, and the reason."""
    from distributed import KilledWorker
    from distributed import as_completed as completed_on_cluster

    address, security = client.scheduler.address, client.security
    futures: dict[Any, int] = {}
    killed = {}
    ended: set[str] = set()
    name = f"oscaxr-{uuid4().hex}-"
    try:
        for number in numbers:
            future = client.submit(
                call_sent, run.pickled(number), key=f"{name}{number}", pure=False
            )
            futures[future] = number
        for future in completed_on_cluster(list(futures), loop=client.loop):
            number = futures[future]
            if future.status == "finished":
                ended.add(future.key)
                run.done_elsewhere(number, future.result())
                continue
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                ended.add(future.key)
                killed[number] = f"the workers that ran it died each time: {error}"
            else:
                why = repr(error) if error else "was its client or its scheduler closed?"
                run.done(number, NoResult(f"{future.status} on the cluster: {why}"))
    finally:
        keys = {future.key for future in futures} - ended
        with later_interrupts():
            _end(client, list(futures), keys, address, security)
    return killed


def _end(client: Any, futures: list[Any], keys: Set[str], address: str, security: Any) -> None:
    """Let the cluster forget tasks, and wait until none of those that had not ended is running."""
    from distributed import Client

    # Where the scheduler is gone, so is all that it had to do.
    with suppress(OSError):
        if client.status not in _CLOSED:
            _wait_until_known(client, keys)
            # What is done is not held by the cluster any longer either.
            client.cancel(futures)
            _wait_until_idle(client, keys)
        elif keys:
            # It has cancelled all, and takes no orders.
            with Client(address, security=security, set_as_default=False) as other:
                _wait_until_idle(other, keys)


def _wait_until_known(client: Any, keys: Set[str]) -> None:
    """Wait for what is on the way: the scheduler would first cancel it and then begin it."""
    until = time.monotonic() + _ARRIVAL_SECONDS
    while keys - client.run_on_scheduler(_known, keys) and time.monotonic() < until:
        time.sleep(_PAUSE_SECONDS)


def _wait_until_idle(client: Any, keys: Set[str]) -> None:
    while keys and (
        client.run_on_scheduler(_known, keys)
        or any(client.run(_held, keys, on_error="ignore").values())
    ):
        time.sleep(_PAUSE_SECONDS)


def _known(keys: Set[str], dask_scheduler: Any) -> Set[str]:
    """Return which tasks a scheduler knows of."""
    return {key for key in keys if key in dask_scheduler.tasks}


def _held(keys: Set[str], dask_worker: Any) -> bool:
    """Say whether a worker has any of some tasks, or still runs one that is forgotten."""
    return bool(keys & (dask_worker.state.tasks.keys() | set(dask_worker.active_threads.values())))
