"""Facts about a session that come from the published session table, declared as data.

The table (``mouse_df.csv`` of the dataset's public analysis repository) was published with two
sets of columns: that of 2021, with the pilot sessions, and that of 2026. Both are read; in our
tables and Datasets, a fact has one name.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from oscaxr.errors import RenamedError, TableError
from oscaxr.model.schema import Described

FactKind = Literal["id", "int", "count", "flag", "float", "word", "text", "date", "time"]
FactRole = Literal["coord", "attr"]

MISSING_INT: Final = -1
"""Stands in the table for an integer that is not known, as published for the ROI counts."""


@dataclass(frozen=True)
class FactSpec(Described):
    """What one column of the published session table is, and what it is called here.

    Parameters
    ----------
    column : str
        Published column of the session table.
    name : str
        Name of the column in our tables, and of the scalar coordinate or attribute in a Dataset.
    kind : {"id", "int", "count", "flag", "float", "word", "text", "date", "time"}
        ``id`` is an integer that must be there; ``int``, ``count``, ``flag`` (0 or 1) and
        ``date`` (yyyymmdd) are integers with -1 where missing; ``float`` has NaN; ``word`` (one of
        `allowed`), ``text`` and ``time`` (yyyymmddThhmmss) are strings, empty where missing.
    long_name : str
        What it is, for people.
    units : str, optional
        CF units; empty for labels.
    role : {"coord", "attr"}, optional
        Scalar coordinate or attribute.
    allowed : tuple of str, optional
        The words of a ``word`` column.
    """

    column: str
    name: str
    kind: FactKind
    long_name: str
    units: str = ""
    role: FactRole = "attr"
    allowed: tuple[str, ...] = ()


LINES: Final = ("L23-Cux2", "L5-Rbp4")
PLANES: Final = ("soma", "dend")
RUN_TYPES: Final = ("prod", "pilot")

FACTS: Final = (
    FactSpec("sessid", "session_id", "id", "session id", role="coord"),
    FactSpec("full_timestamp", "dandi_session_time", "time", "start of the session, UTC"),
    FactSpec("mouse_n", "mouse", "id", "mouse number, within its run type", role="coord"),
    FactSpec("mouseid", "mouse_id", "id", "mouse id", role="coord"),
    FactSpec("sex", "sex", "word", "sex of the mouse", allowed=("M", "F", "U", "O")),
    FactSpec("DOB", "date_of_birth", "date", "date of birth of the mouse"),
    FactSpec("date", "date", "date", "date of the session, local to the recording site"),
    FactSpec("age_weeks", "age_weeks", "float", "age of the mouse", "weeks"),
    FactSpec("depth", "depth", "int", "imaging depth", "um", "coord"),
    FactSpec("plane", "plane", "word", "imaging plane", "", "coord", PLANES),
    FactSpec("line", "line", "word", "mouse line", "", "coord", LINES),
    FactSpec("runtype", "run_type", "word", "production or pilot", "", "coord", RUN_TYPES),
    FactSpec("sess_n", "session", "id", "session number of the mouse", role="coord"),
    FactSpec("nrois", "n_rois", "count", "number of valid ROIs"),
    FactSpec("nrois_tracked", "n_rois_tracked", "count", "number of tracked ROIs"),
    FactSpec("nrois_all", "n_rois_all", "count", "number of ROIs, invalid ones too"),
    FactSpec("nrois_allen", "n_rois_allen", "count", "valid ROIs, Allen segmentation"),
    FactSpec("nrois_allen_all", "n_rois_allen_all", "count", "ROIs, Allen segmentation"),
    FactSpec("pass_fail", "pass_fail", "word", "quality control", allowed=("P", "F")),
    FactSpec("all_files", "all_files", "flag", "all files of the session exist"),
    FactSpec("any_files", "any_files", "flag", "some files of the session exist"),
    FactSpec("incl", "included", "word", "session is fit for analysis", allowed=("yes", "no")),
    FactSpec("stim_seed", "stimulus_seed", "int", "seed of the stimulus"),
    FactSpec("notes", "notes", "text", "notes on the session"),
)
"""Every published column of the session table, in the published order."""

FACT_BY_NAME: Final = {spec.name: spec for spec in FACTS}

PUBLISHED: Final = {spec.column: spec.name for spec in FACTS if spec.column != spec.name} | {
    "dandi_session_id": "dandi_session_time"  # of 2021
}
"""Published columns that have another name here."""


class SessionTable(pd.DataFrame):
    """A session table, which answers to the published name of a column with the name here."""

    @property
    def _constructor(self) -> Any:
        return SessionTable

    if not TYPE_CHECKING:  # to checkers, these are the methods of pandas

        def __getitem__(self, key: Any) -> Any:
            try:
                return super().__getitem__(key)
            except KeyError:
                self._say_new_names(key if isinstance(key, list) else [key])
                raise

        def __getattr__(self, name: str) -> Any:
            if name in PUBLISHED:
                self._say_new_names([name])
            return super().__getattr__(name)

        def eval(self, expr: str, **options: Any) -> Any:
            """Evaluate an expression; `query` does so, too."""
            # One more function stands between the expression and the variables it may use.
            options["level"] = options.get("level", 0) + 1
            try:
                return super().eval(expr, **options)
            except NameError as error:
                self._say_new_names(re.findall(r"\w+", str(error)))
                raise

    def _say_new_names(self, names: Iterable[Any]) -> None:
        new = {str(name): PUBLISHED[name] for name in names if name in PUBLISHED}
        old = [name for name in new if name not in self.columns]
        if old:
            said = ", ".join(f"{name} is {new[name]} here" for name in old)
            raise RenamedError(f"{said}: table.query({f'{new[old[0]]} == ...'!r})")


_MOMENTS: Final[dict[FactKind, tuple[str, str]]] = {
    "date": ("%Y%m%d", "%Y-%m-%d"),
    "time": ("%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M:%S+00:00"),
}
_LEAST: Final[dict[FactKind, int]] = {"id": 0, "count": MISSING_INT}


def typed_fact(value: Any, spec: FactSpec) -> int | float | str:
    """Return a value of the session table as its column has it; refuse it with a ValueError."""
    text = "" if pd.isna(value) else str(value).strip()
    if spec.kind in ("word", "text", "time"):
        if text and spec.allowed and text not in spec.allowed:
            raise ValueError("it is another word")
        if text and spec.kind == "time":
            _check_moment(text, spec.kind)
        return text
    if spec.kind == "float" and not text:
        return math.nan
    if pd.api.types.is_bool(value):
        text = str(int(value))
    number = _number(text) if text else MISSING_INT
    if spec.kind == "float":
        return float(number)
    whole = int(number)
    fits = spec.kind != "flag" or whole in (0, 1, MISSING_INT)
    fits &= abs(whole) < 2**63 if isinstance(number, int) else abs(number) < 2**53
    if whole != number or whole < _LEAST.get(spec.kind, whole) or not fits:
        raise ValueError("it is not such a number")
    if spec.kind == "date" and whole != MISSING_INT:
        _check_moment(str(whole), spec.kind)
    return whole


def _number(text: str) -> int | float:
    """Read a number; a whole one exactly, however long it is."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise ValueError("it is no number")
    return number


def _check_moment(text: str, kind: FactKind) -> None:
    # The same when written again: a form also reads dates with fewer digits than it has.
    form, _ = _MOMENTS[kind]
    if datetime.strptime(text, form).strftime(form) != text:
        raise ValueError("it has another form")


def facts_from_row(
    row: "Mapping[str, Any] | pd.Series[Any]",
) -> tuple[dict[str, int | float | str], dict[str, int | float | str]]:
    """Turn a row of the session table into scalar coordinates and attributes."""
    found: dict[FactRole, dict[str, int | float | str]] = {"coord": {}, "attr": {}}
    problems = []
    values = {PUBLISHED.get(str(column), str(column)): value for column, value in row.items()}
    for spec in FACTS:
        value = values.get(spec.name)
        try:
            if pd.isna(value) or value == MISSING_INT or not str(value).strip():
                continue
            typed = typed_fact(value, spec)
        except (TypeError, ValueError, OverflowError):
            problems.append(f"{spec.name} = {value!r} is not a {spec.kind}")
            continue
        if typed == MISSING_INT:
            continue
        if spec.kind in _MOMENTS:
            stored, form = _MOMENTS[spec.kind]
            typed = datetime.strptime(str(typed), stored).strftime(form)
        found[spec.role][spec.name] = typed
    if problems:
        raise TableError(
            f"The row of session {values.get('session_id', '(no id)')} in the session table has "
            "values of the wrong kind: " + "; ".join(problems) + ". Correct the table."
        )
    return found["coord"], found["attr"]
