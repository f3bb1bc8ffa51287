"""The same function over many sessions: one task a session, each opening its own file."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import SessionsFailedError
from oscaxr.progress import progress_bar
from oscaxr.sessions import Errors, check_errors, node_of, tree_of, warn_of_failures
from oscaxr.sources import SessionRequest, find_requests


@dataclass(frozen=True)
class Outcome:
    """What came of one session.

    Parameters
    ----------
    node : str
        Its place in a tree of sessions, ``/mouse_6/session_1``.
    value : object
        What the function returned; None where it failed.
    reason : str
        Why it failed; empty where it did not.
    facts : mapping
        Scalar coordinates of the session.
    """

    node: str
    value: Any
    reason: str
    facts: Mapping[str, Any]


def map_sessions(
    func: Callable[..., Any],
    sessions: Any,
    *args: Any,
    datadir: Any = None,
    table: Any = None,
    scheduler: Any = None,
    workers: int | None = None,
    errors: Errors = "raise",
    progress: bool = True,
    **kwargs: Any,
) -> Any:
    """Apply a function to each of many sessions and combine what it returns.

    Parameters
    ----------
    func : callable
        Takes a session Dataset (and `args` and `kwargs`) and returns something small: a number, a
        DataArray, a Dataset or a pandas object. It must pickle, unless `scheduler` is
        ``"threads"`` or ``"synchronous"``.
    sessions : DataTree, DataFrame, path-like, or iterable of ids or paths
        Which sessions, as for :func:`oscaxr.open_sessions`. The nodes of a tree are handed on as
        they are, with all that was selected in them; for anything else, each task opens its own
        files.
    *args, **kwargs
        Handed on to `func`.
    datadir, table
        As `datadir` and ``sessions=`` of :func:`oscaxr.open_session`.
    scheduler : {None, "processes", "threads", "synchronous"} or distributed.Client, optional
        Where the tasks run. None is a pool of processes on this machine, through dask.
    workers : int, optional
        Number of processes or threads on this machine.
    errors : {"raise", "collect"}, optional
        What to do about sessions that fail: raise once all others are done (the error keeps their
        results), or leave them out with a warning that names them.
    progress : bool, optional
        Show a progress bar on a terminal.

    Returns
    -------
    xarray.DataTree, xarray.DataArray, pandas.DataFrame or dict
        By session, in the order asked for: a tree where `func` returns xarray objects (nodes
        ``/mouse_6/session_1``), an array over ``session_id`` where it returns numbers, one frame
        (outer index: the node) where it returns pandas objects, otherwise a dict by node.

    Raises
    ------
    SessionsFailedError
        If sessions failed and `errors` is ``"raise"``; ``.failures`` has the reasons by session,
        ``.results`` what the others returned.

    Notes
    -----
    On a cluster, a task whose worker dies is run again on another one by ``distributed`` itself.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = tempfile.mkdtemp()
    >>> table = ox.sample.write_mouse(folder, scale=0.02, n_rois=(4, 4, 4))
    >>> counts = ox.map_sessions(
    ...     ox.n_tracked, table, datadir=folder, scheduler="synchronous", progress=False
    ... )
    >>> counts.dims, counts.sizes["session_id"]
    (('session_id',), 3)
    """
    check_errors(errors)
    tasks = _tasks(sessions, datadir, table)
    with progress_bar("sessions", len(tasks), show=progress) as advance:
        outcomes = _run(func, tasks, args, kwargs, scheduler, workers, advance)
    failures = {outcome.node: outcome.reason for outcome in outcomes if outcome.reason}
    results = _combined([outcome for outcome in outcomes if not outcome.reason])
    if failures:
        if errors == "raise":
            raise SessionsFailedError(failures, results)
        warn_of_failures(failures)
    return results


Task = tuple[str, SessionRequest | xr.Dataset]


def _tasks(sessions: Any, datadir: Any, table: Any) -> list[Task]:
    if isinstance(sessions, xr.DataTree):
        return [(node.path, node.to_dataset().copy()) for node in sessions.subtree if node.has_data]
    options: dict[str, Any] = {"include": (), "drop_variables": None, "chunks": None}
    requests = find_requests(sessions, datadir=datadir, table=table, options=options)
    return [(str(request), request) for request in requests]


def call(func: Callable[..., Any], task: Task, args: Any, kwargs: Any) -> Outcome:
    """Open a session, apply a function, and close it: what runs in a worker.

    Parameters
    ----------
    func : callable
        As for :func:`map_sessions`.
    task : tuple
        Node, and the session or where to find it.
    args, kwargs
        For `func`.

    Returns
    -------
    Outcome
        With the reason, should anything fail.
    """
    node, source = task
    facts: Mapping[str, Any] = {}
    try:
        ds = source.open() if isinstance(source, SessionRequest) else source
        try:
            node = node if isinstance(source, xr.Dataset) else node_of(ds)
            facts = {str(name): coord.values[()] for name, coord in ds.coords.items()
                     if not coord.dims}  # fmt: skip
            value = func(ds, *args, **kwargs)
            if isinstance(value, xr.Dataset | xr.DataArray):
                value = value.load()
        finally:
            if isinstance(source, SessionRequest):
                ds.close()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        return Outcome(node, None, f"{type(error).__name__}: {error} ({where})", facts)
    return Outcome(node, value, "", facts)


def _run(
    func: Callable[..., Any],
    tasks: list[Task],
    args: Any,
    kwargs: Any,
    scheduler: Any,
    workers: int | None,
    advance: Callable[[], None],
) -> list[Outcome]:
    if hasattr(scheduler, "scheduler_info"):
        return _on_cluster(scheduler, func, tasks, args, kwargs, advance)
    from dask.base import compute
    from dask.delayed import delayed

    calls = [delayed(call, pure=False)(func, delayed(task), args, kwargs) for task in tasks]
    name = scheduler or ("processes" if len(tasks) > 1 else "synchronous")
    with _counting(advance):
        try:
            return list(compute(*calls, scheduler=name, num_workers=workers))
        except BrokenProcessPool as error:
            reason = "a worker process died (out of memory?); nothing more is known"
            raise SessionsFailedError({node: reason for node, _ in tasks}, {}) from error


@contextmanager
def _counting(advance: Callable[[], None]) -> Iterator[None]:
    """Advance the progress bar with each session that is done."""
    from dask.callbacks import Callback

    def done(_key: Any, result: Any, *_: Any) -> None:
        if isinstance(result, Outcome):
            advance()

    with Callback(posttask=done):
        yield


def _on_cluster(
    client: Any,
    func: Callable[..., Any],
    tasks: list[Task],
    args: Any,
    kwargs: Any,
    advance: Callable[[], None],
) -> list[Outcome]:
    from distributed import as_completed

    futures = [
        client.submit(call, func, task, args, kwargs, pure=False, key=f"oscaxr-{i}-{id(tasks):x}")
        for i, task in enumerate(tasks)
    ]
    number = {future.key: i for i, future in enumerate(futures)}
    outcomes: list[Outcome | None] = [None] * len(tasks)
    for future in as_completed(futures):
        i = number[future.key]
        if future.status == "finished":
            outcomes[i] = future.result()
        else:
            outcomes[i] = Outcome(tasks[i][0], None, f"{future.exception()!r}", {})
        advance()
    return [outcome for outcome in outcomes if outcome is not None]


def _combined(outcomes: list[Outcome]) -> Any:
    values = {outcome.node: outcome.value for outcome in outcomes}
    if not values:
        return values
    if all(isinstance(value, xr.Dataset | xr.DataArray) for value in values.values()):
        return tree_of(
            {
                node: value
                if isinstance(value, xr.Dataset)
                else value.to_dataset(name=value.name or "result")
                for node, value in values.items()
            }
        )
    if all(isinstance(value, pd.DataFrame | pd.Series) for value in values.values()):
        return pd.concat(values, names=["session"])
    if all(np.ndim(value) == 0 and isinstance(value, int | float | np.number)
           for value in values.values()):  # fmt: skip
        return _array_of(outcomes)
    return values


def _array_of(outcomes: list[Outcome]) -> xr.DataArray:
    names = [name for name in outcomes[0].facts if all(name in o.facts for o in outcomes)]
    coords = {name: ("session_id", np.array([o.facts[name] for o in outcomes])) for name in names}
    return xr.DataArray(
        np.array([outcome.value for outcome in outcomes]), dims=("session_id",), coords=coords
    )
