"""The same function over many sessions: one task a session, each opening its own file."""

import inspect
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import AmbiguousSessionError, CriterionError, few
from oscaxr.options import DEFAULTS, PathLike, check_options
from oscaxr.progress import progress_bar
from oscaxr.sessions.asked import many_sources
from oscaxr.sessions.open import SessionSource
from oscaxr.sessions.settings import Table
from oscaxr.sessions.tasks import NoResult
from oscaxr.sessions.tree import Errors, check_errors, facts_of, node_of, tell_failures, tree_of
from oscaxr.sessions.workers import run_each

Array = np.ndarray[Any, Any]

RESULT: Final = "result"
"""Name of an array that has none of its own in a tree of results."""

_SESSION_ID: Final = "session_id"
# Values of one kind make an array; numpy would turn others into text, or flags into numbers.
_KINDS: Final = ({"b"}, set("iufc"), {"U"}, {"M"}, {"m"})
_XARRAY: Final = xr.Dataset | xr.DataArray | xr.DataTree | xr.Variable | xr.Coordinates


@dataclass(frozen=True)
class Outcome:
    """What came of one session."""

    node: str
    value: Any
    reason: str
    facts: Mapping[str, Any]


def load(value: Any) -> None:
    """Read what is lazy in a result, in place, while its files are open."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            load(part)
    elif isinstance(value, xr.DataTree):
        for node in value.subtree:
            load(node.variables)
    elif isinstance(value, xr.Coordinates):
        load(value.variables)
    elif isinstance(value, xr.Dataset | xr.DataArray | xr.Variable):
        value.load()


def combined(outcomes: Sequence[Outcome]) -> Any:
    """Combine the results of many sessions."""
    values = {outcome.node: outcome.value for outcome in outcomes}
    if not values:
        return values
    if all(isinstance(value, _XARRAY) for value in values.values()):
        return tree_of({place: _node(value) for place, value in values.items()})
    for kind in (pd.DataFrame, pd.Series):
        if all(isinstance(value, kind) for value in values.values()):
            return pd.concat(values, names=["session"])
    array = _array_of(outcomes)
    return values if array is None else array


def _node(value: Any) -> Any:
    """Return what an xarray object makes in a tree."""
    if isinstance(value, xr.Coordinates):
        return value.to_dataset()
    if isinstance(value, xr.Variable):
        return xr.Dataset({RESULT: value})
    if isinstance(value, xr.DataArray):
        # A coordinate has its own name as a coordinate: the values stand beside it.
        name = RESULT if value.name is None or value.name in value.coords else value.name
        return value.rename(None).to_dataset(name=name)
    return value


def _array_of(outcomes: Sequence[Outcome]) -> xr.DataArray | None:
    """Return single values as an array over the sessions, None where they are not of one kind."""
    if not all(np.isscalar(o.value) or isinstance(o.value, np.ndarray) for o in outcomes):
        return None
    values = [np.asarray(outcome.value) for outcome in outcomes]
    kinds = {value.dtype.kind for value in values}
    known = all(_SESSION_ID in outcome.facts for outcome in outcomes)
    if not known or any(one.ndim for one in values) or not any(kinds <= k for k in _KINDS):
        return None
    names = [name for name in outcomes[0].facts if all(name in one.facts for one in outcomes)]
    coords = {key: (_SESSION_ID, np.array([one.facts[key] for one in outcomes])) for key in names}
    return xr.DataArray(np.array(values), dims=(_SESSION_ID,), coords=coords)


def map_sessions(
    func: Callable[..., Any],
    sessions: Any,
    *args: Any,
    datadir: PathLike | None = None,
    table: Table | None = None,
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
        DataArray, a Dataset or a pandas object. Any function does, one of a notebook too; what it
        uses from the outside, and what it returns, must pickle, unless `scheduler` is
        ``"threads"`` or ``"synchronous"``.
    sessions : DataTree, DataFrame, path-like, or iterable of ids or paths
        Which sessions, each once, as for :func:`oscaxr.open_sessions`. The nodes of a tree are
        handed on as they are, with all that was selected in them; for anything else, each task
        opens its own files, which needs the least memory.
    *args, **kwargs
        Handed on to `func`, but for the names below and the options of :func:`open_session`
        (``include``, ``drop_variables``, ``chunks``, ``storage_options``, ``fluorescence``,
        ``segmentation``, ``keep_decoded``), by which each session is opened. A parameter of `func`
        that is named like one of them is bound with :func:`functools.partial`.
    datadir, table
        As `datadir` and `table` of :func:`oscaxr.open_session`.
    scheduler : {None, "processes", "threads", "synchronous"} or distributed.Client, optional
        Where the tasks run. None is a pool of processes on this machine, through dask.
    workers : int, optional
        Number of processes or threads on this machine; by default one a core.
    errors : {"raise", "collect"}, optional
        What to do about sessions that fail: raise once all others are done (the error keeps their
        results), or leave them out with a warning that names them.
    progress : bool, optional
        Show a progress bar on a terminal.

    Returns
    -------
    xarray.DataTree, xarray.DataArray, pandas.DataFrame, pandas.Series or dict
        By session, in the order asked for:

        - a tree with the nodes ``/mouse_6/session_1``, where `func` returns xarray objects of any
          kind. An array stands in its node under its own name, or as ``result`` if it has none or
          is a coordinate, such as ``ds.roi``;
        - an array over ``session_id``, where it returns single numbers, flags or words, all of the
          same kind;
        - one frame or series (outer index: the node), where it returns pandas objects;
        - otherwise a dict by node: of None, tuples, dicts, of what differs in kind, and of numpy
          arrays, since nothing says that their rows mean the same in each session.

    Raises
    ------
    SessionsFailedError
        If sessions failed and `errors` is ``"raise"``; ``.failures`` has the reasons by session,
        ``.results`` what the others returned.
    AmbiguousSessionError
        If the same session is asked for twice; nothing has run then.
    CriterionError
        If `func` cannot be sent to other processes, or has a parameter named like an option given.
    WorkersError
        If processes cannot be started, or the client of a cluster is closed.

    Notes
    -----
    A worker that dies, killed for want of memory perhaps, takes nothing with it but the session it
    works on. That session is tried twice more, alone, and then fails by name. On a cluster
    ``distributed`` runs it again on other workers, as often as its setting ``allowed-failures``
    says.

    Processes start with the libraries loaded and nothing else, have the present environment and
    working folder, use one thread each for linear algebra, and end with the call. In a script, what
    uses them stands below ``if __name__ == "__main__":``.

    All that was started has ended before this returns or raises. After an error or Ctrl-C, what
    waits is not begun; what runs in threads or on a cluster, where nothing can stop it, is waited
    for. Warnings of oscaxr in threads are given by this function in the end, since there filters of
    warnings hold for all threads at once: set them around the call, not in `func`.

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
    options = {name: kwargs.pop(name) for name in DEFAULTS if name in kwargs}
    named = {"datadir": datadir, "table": table, "scheduler": scheduler, "workers": workers}
    given = {name: value for name, value in {**named, **options}.items() if value is not None}
    _check_options(func, sessions, list(given))
    tasks = _tasks(sessions, datadir, table, check_options(options))
    with progress_bar("sessions", show=progress) as report:
        found = run_each(
            partial(call, func, args, kwargs),
            tasks,
            scheduler=scheduler,
            workers=workers,
            report=report,
        )
    outcomes = _each_once(tasks, found)
    failures = {outcome.node: outcome.reason for outcome in outcomes if outcome.reason}
    results = combined([outcome for outcome in outcomes if not outcome.reason])
    tell_failures(failures, results, errors)
    return results


Task = tuple[str, SessionSource | xr.Dataset]


def call(func: Callable[..., Any], args: Any, kwargs: Any, task: Task) -> Outcome:
    """Open a session, apply a function, and close it: what runs in a worker."""
    node, source = task
    facts: Mapping[str, Any] = {}
    try:
        with nullcontext(source) if isinstance(source, xr.Dataset) else source.open() as ds:
            node = node if ds is source else node_of(ds)
            facts = facts_of(ds)
            value = func(ds, *args, **kwargs)
            load(value)
    # Leaving the program is for the one who called map_sessions, not for a session.
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        return Outcome(node, None, f"{type(error).__name__}: {error} ({where})", facts)
    return Outcome(node, value, "", facts)


def _check_options(func: Callable[..., Any], sessions: Any, given: Collection[str]) -> None:
    """Refuse what would silently not be handed on to the function, or to the sessions."""
    try:
        own = set(inspect.signature(func).parameters)
    except (TypeError, ValueError):  # not every callable tells
        own = set()
    bound = func.keywords if isinstance(func, partial) else {}
    both = [name for name in given if name in own and name not in bound]
    if both:
        raise CriterionError(
            f"{', '.join(both)}: an option of map_sessions and a parameter of the function. To "
            "hand it to the function, bind it with functools.partial"
        )
    useless = [name for name in given if name not in ("scheduler", "workers")]
    if isinstance(sessions, xr.DataTree) and useless:
        raise CriterionError(
            f"{few(useless)}: a tree's sessions are open; give it to open_sessions"
        )


def _tasks(sessions: Any, datadir: Any, table: Any, options: Mapping[str, Any]) -> list[Task]:
    if isinstance(sessions, xr.DataTree):
        # Copies, so that the tree does not keep what is read.
        return [(node.path, node.to_dataset().copy()) for node in sessions.subtree if node.has_data]
    sources = many_sources(sessions, datadir=datadir, table=table, options=options)
    seen: dict[object, SessionSource] = {}
    firsts = [seen.setdefault(source.identity(), source) for source in sources]
    pairs = zip(firsts, sources, strict=True)
    twice = [f"{first} and {source}" for first, source in pairs if first is not source]
    if twice:
        raise AmbiguousSessionError(f"the same session is asked for twice: {'; '.join(twice)}")
    return [(str(source), source) for source in sources]


def _each_once(tasks: Sequence[Task], found: Sequence[Outcome | NoResult]) -> list[Outcome]:
    """Turn into failures what came from a session that another name stood for as well."""
    seen: set[str] = set()
    kept = []
    for place, ((name, _), one) in enumerate(zip(tasks, found, strict=True)):
        if isinstance(one, NoResult):
            one = Outcome(name, None, one.reason, {})
        elif one.node in seen:
            reason = f"{one.node} was asked for twice, by different names; what came first is kept"
            one = Outcome(f"{one.node} (at position {place})", None, reason, one.facts)
        seen.add(one.node)
        kept.append(one)
    return kept
