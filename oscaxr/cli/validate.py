"""``oscaxr validate``: whether files are sound sessions."""

import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oscaxr.cli.console import (
    PROBLEMS,
    DebugOption,
    JsonOption,
    output,
    print_json,
    reported_errors,
    say,
    working,
)
from oscaxr.errors import OscaxrError, OscaxrWarning
from oscaxr.model.dataset import Problem, Report, check_structure
from oscaxr.model.dataset import validate as check_values
from oscaxr.progress import progress_bar
from oscaxr.sessions.asked import SessionSource
from oscaxr.sessions.words import named_sources


class Depth(StrEnum):
    """How deep to look."""

    STRUCTURE = "structure"
    VALUES = "values"
    TRACES = "traces"


@dataclass(frozen=True)
class Checked:
    """What was found in one session."""

    session: str
    problems: Report

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return not self.problems.at_level("error")


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            exists=True,
            help="NWB files, sessions in the original layout, folders with either at any depth, "
            "exports, or session tables.",
        ),
    ],
    level: Annotated[
        Depth,
        typer.Option(
            help="How deep to look: names, dims and dtypes (structure); also the values of "
            "coordinates (values); also all dF/F traces for NaN (traces, slow)."
        ),
    ] = Depth.VALUES,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let warnings count as errors, too.")
    ] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check that sessions are sound, and list all problems of each.

    Errors make results wrong, warnings may, notes do not. Exit status: 0 without
    errors, 3 with errors in any session (or with warnings, under --strict), and 1
    if nothing could be checked.
    """
    with reported_errors(debug):
        with working("searching"):
            found = named_sources(paths, options={}, every=True)
        checked = []
        with progress_bar("checking sessions") as report:
            report(0, len(found))
            for one in found:
                checked.append(check(one, level))
                report(len(checked), len(found))
        bad = [
            one for one in checked if not one.sound or (strict and one.problems.at_level("warning"))
        ]
        if as_json:
            _print_json(checked, level, n_bad=len(bad))
        else:
            _show(checked, n_bad=len(bad))
        if bad:
            raise typer.Exit(PROBLEMS)


def check(found: SessionSource, level: Depth) -> Checked:
    """Check one session; one that cannot be opened has that as its problem."""
    problems: list[Problem] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OscaxrWarning)
        try:
            with found.open() as ds:
                if level is Depth.STRUCTURE:
                    problems += check_structure(ds)
                else:
                    problems += check_values(ds, traces=level is Depth.TRACES)
        except OscaxrError as error:
            problems.append(Problem("error", "file", str(error)))
    said = dict.fromkeys(str(one.message) for one in caught)
    problems += [Problem("warning", "file", message) for message in said]
    return Checked(found.name, Report(problems))


def _print_json(checked: list[Checked], level: Depth, *, n_bad: int) -> None:
    print_json(
        {
            "level": level.value,
            "checked": len(checked),
            "unsound": n_bad,
            "sessions": [
                {
                    "session": one.session,
                    "sound": one.sound,
                    "problems": [
                        {"level": p.level, "where": p.where, "message": p.message}
                        for p in one.problems
                    ],
                }
                for one in checked
            ],
        }
    )


def _show(checked: list[Checked], *, n_bad: int) -> None:
    console = output()
    styles = {"error": "red", "warning": "yellow"}
    for one in checked:
        say(console, f"{one.session}: {'sound' if one.sound else 'NOT SOUND'}")
        for problem in one.problems:
            say(console, f"  {problem}", style=styles.get(problem.level))
    word = "session" if len(checked) == 1 else "sessions"
    say(console, f"\n{len(checked)} {word} checked, {n_bad or 'none'} with problems")
