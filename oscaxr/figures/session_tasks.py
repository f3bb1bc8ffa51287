"""The results of all sessions: which there are, what is kept already, and computing the rest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from oscaxr.errors import OscaxrError, collected_warnings
from oscaxr.figures.kept_results import FOLDER, identity_of, keep, kept, made_from, name_of
from oscaxr.figures.session_results import Recipe
from oscaxr.files.folders import folder_here
from oscaxr.files.remote import Place
from oscaxr.progress import progress_bar
from oscaxr.sessions.open import SessionSource
from oscaxr.sessions.tasks import NoResult
from oscaxr.sessions.workers import run_each

# Without these, nothing says of which group, and which of its sessions, a session is.
_NEEDED = ("session_id", "mouse_id", "line", "plane", "session")


@dataclass(frozen=True)
class Session:
    """A session that is there: where, whose it is, and what tells it from others."""

    source: SessionSource
    identity: Mapping[str, Any]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Mouse, line, plane, number and id of the session."""
        facts: Mapping[str, Any] = self.identity["facts"]
        return facts

    @property
    def id(self) -> int:
        """The session id."""
        return int(self.facts["session_id"])

    @property
    def number(self) -> int:
        """The number of the session of its mouse."""
        return int(self.facts["session"])

    @property
    def group(self) -> str:
        """Line and plane."""
        return f"{self.facts['line']} {self.facts['plane']}"


def survey(
    sources: Sequence[SessionSource], *, progress: bool = True
) -> tuple[list[Session], dict[str, str]]:
    """Open each session for a moment; return those that are there, and why others are not."""
    found: dict[int, Session] = {}
    missing: dict[str, str] = {}
    with progress_bar("looking for sessions", show=progress) as report:
        for done, source in enumerate(sources, start=1):
            try:
                with source.open() as ds:
                    lacking = [name for name in _NEEDED if name not in ds.coords]
                    session = Session(source, identity_of(ds))
                if lacking:
                    missing[str(source)] = (
                        f"nothing says its {', '.join(lacking)}: give the session table"
                    )
                elif session.id in found:
                    missing[str(source)] = f"session {session.id} is there more than once"
                else:
                    found[session.id] = session
            except OscaxrError as error:
                missing[str(source)] = str(error)
            report(done, len(sources))
    return [found[number] for number in sorted(found)], missing


@dataclass(frozen=True)
class Work:
    """A result that is to be computed: how, and where it is kept."""

    recipe: Recipe
    parameters: Mapping[str, Any]
    folder: Place
    name: str
    made: str


@dataclass(frozen=True)
class Task:
    """Results of one session that are computed while it is open; picklable."""

    source: SessionSource
    works: tuple[Work, ...]


@dataclass
class Computed:
    """The results of sessions by recipe and session id, why others failed, and what was noted."""

    results: dict[str, dict[int, xr.Dataset]] = field(default_factory=dict)
    failures: dict[str, dict[int, str]] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=dict)
    n_kept: int = 0
    n_computed: int = 0


def compute(
    sessions: Sequence[Session],
    wanted: Mapping[Recipe, Collection[int]],
    parameters: Mapping[Recipe, Mapping[str, Any]],
    folder: Place,
    *,
    scheduler: Any = None,
    workers: int | None = None,
    progress: bool = True,
) -> Computed:
    """Read the results that are kept, and compute the others, a few of a session at once."""
    done = Computed()
    tasks: list[Task] = []
    names = {name_of(recipe.name, number) for recipe, ids in wanted.items() for number in ids}
    results = folder / FOLDER
    with folder_here(results, names) as here:
        for session in sessions:
            together: list[Work] = []
            for recipe in (recipe for recipe, ids in wanted.items() if session.id in ids):
                made = made_from(session.identity, recipe.name, parameters[recipe])
                name = name_of(recipe.name, session.id)
                result = kept(here / name, made)
                if result is not None:
                    done.results.setdefault(recipe.name, {})[session.id] = result
                    done.n_kept += 1
                    continue
                work = Work(recipe, parameters[recipe], results, name, made)
                if recipe.apart:
                    tasks.append(Task(session.source, (work,)))
                else:
                    together.append(work)
            if together:
                tasks.append(Task(session.source, tuple(together)))
    # What takes longest first, so that no worker is alone with it in the end.
    tasks.sort(key=lambda task: not task.works[0].recipe.apart)
    with progress_bar("analysing sessions", show=progress) as report:
        is_alone = workers == 1 and scheduler is None
        chosen = "synchronous" if is_alone else scheduler
        outcomes = run_each(run, tasks, scheduler=chosen, workers=workers, report=report)
    ids = {id(session.source): session.id for session in sessions}
    with folder_here(results, {work.name for task in tasks for work in task.works}) as here:
        for task, outcome in zip(tasks, outcomes, strict=True):
            _take_in(done, task, ids[id(task.source)], outcome, here)
    return done


def _take_in(
    done: Computed,
    task: Task,
    session_id: int,
    outcome: "list[tuple[str, list[str]]] | NoResult",
    here: Path,
) -> None:
    """Read what a task has computed, and note why it has not."""
    for number, work in enumerate(task.works):
        name = work.recipe.name
        result = kept(here / work.name, work.made)
        reason, notes = (outcome.reason, []) if isinstance(outcome, NoResult) else outcome[number]
        if result is None:
            words = reason or f"its result was not found at {work.folder / work.name}"
            done.failures.setdefault(name, {})[session_id] = words
        else:
            done.results.setdefault(name, {})[session_id] = result
            done.n_computed += 1
        if notes:
            before = done.notes.setdefault(session_id, [])
            before += [one for one in dict.fromkeys(notes) if one not in before]


def run(task: Task) -> list[tuple[str, list[str]]]:
    """Compute results of a session, and keep them: what runs in a worker.

    Each as soon as it is there, so that what is interrupted loses one only.
    """
    outcomes: list[tuple[str, list[str]]] = []
    with task.source.open() as ds:
        for work in task.works:
            with collected_warnings() as told:
                reason = ""
                try:
                    result = work.recipe.compute(ds, work.parameters)
                    keep(result, work.folder / work.name, work.made)
                except OscaxrError as error:
                    reason = str(error)
                # A mistake in one analysis is no reason for the others not to be there.
                except Exception as error:
                    reason = f"{type(error).__name__}: {error}"
            outcomes.append((reason, [message for message, _ in told]))
    return outcomes
