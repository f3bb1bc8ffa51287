"""The session table as checked columns, and which stimuli the sessions in it were shown."""

from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any, Final

import pandas as pd

from oscaxr.errors import CriterionError, TableError, UnknownFactsWarning, few, listed, warn
from oscaxr.model import names as n
from oscaxr.model.facts import (
    FACT_BY_NAME,
    MISSING_INT,
    PUBLISHED,
    FactKind,
    FactSpec,
    SessionTable,
    typed_fact,
)

REQUIRED_COLUMNS: Final = {
    "session_id": "sessid",
    "mouse_id": "mouseid",
    "mouse": "mouse_n",
    "session": "sess_n",
}
"""What a session table has to have, with the published names."""

_KIND_WORDS: Final[dict[FactKind, str]] = {
    "id": "a whole number, 0 or more",
    "int": "a whole number",
    "count": "a whole number, 0 or more (-1 where not known)",
    "flag": "0 or 1",
    "float": "a number",
    "date": "a date as yyyymmdd",
    "time": "a time as yyyymmddThhmmss",
    "text": "text",
}


Stimuli = frozenset[tuple[str | float, ...]]
"""Gabors by their kappa, visual flow by its direction and the size of the squares."""


def _stimuli(kappas: Iterable[float], flows: Iterable[tuple[str, float]]) -> Stimuli:
    return frozenset(
        {(n.GABORS, kappa) for kappa in kappas} | {(n.VISFLOW, *flow) for flow in flows}
    )


PRODUCTION_STIMULI: Final = _stimuli([16.0], [(n.RIGHT, 128.0), (n.LEFT, 128.0)])
_ALL_STIMULI: Final = _stimuli(n.GABOR_KAPPAS, product((n.RIGHT, n.LEFT), n.SQUARE_SIZES))

# The notes of the 2021 table (mouse 3: "gab k4, visflow left 128, visflow right 256"; mouse 4:
# "gabors k16, visflow right"), of which the published tool's omission rules follow.
PILOT_STIMULI: Final = {
    1: _ALL_STIMULI,
    2: _ALL_STIMULI,
    3: _stimuli([4.0], [(n.LEFT, 128.0), (n.RIGHT, 256.0)]),
    4: _stimuli([16.0], [(n.RIGHT, 128.0), (n.RIGHT, 256.0)]),
}
"""What each pilot mouse was shown, by mouse number."""

PILOT_SESSIONS_WITHOUT_DATA: Final = (714893802,)
"""Pilot sessions of which neither recordings nor ROI traces exist."""


def typed_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check the columns of a session table, and give them their types and our names."""
    table = table.rename(columns=lambda column: str(column).strip())
    given = list(table.columns)
    # A table with both the published and our column is neither's: both are kept.
    table = table.rename(columns={a: b for a, b in PUBLISHED.items() if b not in given})
    _check_required(table.columns, given, name)
    columns: dict[str, pd.Series[Any]] = {}
    problems: list[str] = []
    for column, said in zip(table.columns, given, strict=True):
        spec = FACT_BY_NAME.get(column)
        if spec is None:
            columns[column] = table[column]
            continue
        columns[column], wrong = _typed_column(table[column], spec)
        wanted = f"one of {', '.join(spec.allowed)}" if spec.allowed else _KIND_WORDS[spec.kind]
        problems += [
            f"row {row} (session id {session_id}): {said} is {value!r}, not {wanted}"
            for row, session_id, value in zip(
                table.index[wrong], table["session_id"][wrong], table[column][wrong], strict=True
            )
        ]
    ids = columns["session_id"]
    problems = problems or [
        f"session id {value} is in rows {', '.join(map(str, table.index[ids == value]))}"
        for value in sorted(set(ids[ids.duplicated()]))
    ]
    if problems:
        raise TableError(f"{name} has wrong values; correct them:\n  " + "\n  ".join(problems))
    found = SessionTable(columns, index=table.index)
    units = {column: FACT_BY_NAME[column].units for column in columns if column in FACT_BY_NAME}
    found.attrs["units"] = {column: unit for column, unit in units.items() if unit}
    return found


def _check_required(columns: "pd.Index[Any]", given: list[str], name: str) -> None:
    missing = [f"{ours} ({old})" for ours, old in REQUIRED_COLUMNS.items() if ours not in columns]
    twice = sorted(set(columns[columns.duplicated()]))
    problems = [f"lacks the columns {', '.join(missing)}"] if missing else []
    problems += [f"has more than one column {', '.join(twice)}"] if twice else []
    if problems:
        raise TableError(
            f"{name} {' and '.join(problems)}, so it is not a session table. Columns found: "
            f"{', '.join(given) or 'none'}. The table is published as mouse_df.csv with the "
            "dataset's analysis code."
        )


def pilot_omissions(
    stimulus: str,
    *,
    gabor_kappa: float | Collection[float] | None = None,
    main_flow_direction: str | Collection[str] | None = None,
    square_size: float | Collection[float] | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Say which pilot sessions and mice to omit when analysing a stimulus.

    Parameters
    ----------
    stimulus : {"gabors", "visflow"}
        Stimulus to analyse. Criteria of the other one are ignored.
    gabor_kappa : float or collection of float, optional
        Orientation dispersions to include (4, 16); None includes all, here as below.
    main_flow_direction : str or collection of str, optional
        Directions to include (``"right"``, ``"left"``, ``"temp"``, ``"nasal"`` or in full).
    square_size : float or collection of float, optional
        Sizes of the squares to include, pixels (128, 256).

    Returns
    -------
    sessions : tuple of int
        Ids of pilot sessions without data.
    mice : tuple of int
        Numbers of the pilot mice that were shown the stimulus with none of the values to include.

    Raises
    ------
    CriterionError
        A value that no mouse was ever shown, or an unknown stimulus.

    Notes
    -----
    The pilot mice 3 and 4 were shown half the stimuli each, as the ``notes`` of the 2021 session
    table say. The mice omitted are those of ``all_omit`` in the published tool
    (``sess_util/sess_gen_util.py`` of OpenScope_CA_Analysis). Mouse numbers start again with the
    production mice: apply these to pilot sessions only, as
    :func:`oscaxr.default_sessions` does.

    Examples
    --------
    >>> pilot_omissions("gabors", gabor_kappa=16)
    ((714893802,), (3,))
    >>> pilot_omissions("visflow", main_flow_direction="left", square_size=256)
    ((714893802,), (3, 4))
    """
    wanted = wanted_stimuli(stimulus, gabor_kappa, main_flow_direction, square_size)
    mice = tuple(mouse for mouse, shown in PILOT_STIMULI.items() if not shown & wanted)
    return PILOT_SESSIONS_WITHOUT_DATA, mice


def wanted_stimuli(
    stimulus: str,
    gabor_kappa: float | Collection[float] | None,
    main_flow_direction: str | Collection[str] | None,
    square_size: float | Collection[float] | None,
) -> Stimuli:
    """Spell out the stimuli that criteria include; those of :func:`pilot_omissions`."""
    if stimulus == n.GABORS:
        kappas = _in_domain("gabor_kappa", gabor_kappa, {k: k for k in n.GABOR_KAPPAS})
        return _stimuli(kappas, ())
    if stimulus == n.VISFLOW:
        directions = _in_domain("main_flow_direction", main_flow_direction, n.FLOW_DIRECTION_WORDS)
        sizes = _in_domain("square_size", square_size, {size: size for size in n.SQUARE_SIZES})
        return _stimuli((), product(directions, sizes))
    raise CriterionError(f"stimulus is {stimulus!r}; it can be {n.GABORS!r} or {n.VISFLOW!r}.")


def fits_by_column(
    table: pd.DataFrame, criteria: Mapping[str, Any], *more_columns: str
) -> "dict[str, pd.Series[bool]]":
    """Say which rows meet each criterion, a value or values by column, None for any."""
    values = {column: many(value) for column, value in criteria.items() if value is not None}
    absent = sorted({*values, *more_columns} - set(table))
    if absent:
        raise TableError(
            f"The session table lacks the columns {', '.join(absent)} of the criteria: pass None "
            f"for these, or use the published table. Columns found: {', '.join(table.columns)}."
        )
    for column, wanted in values.items():
        _check_words(column, wanted, FACT_BY_NAME[column].allowed or wanted)
    return {column: table[column].isin(wanted) for column, wanted in values.items()}


def rows_with(table: pd.DataFrame, fits: "Mapping[str, pd.Series[bool]]") -> "pd.Series[bool]":
    """Say which rows meet all criteria; report those of which the table does not say so."""
    keep = pd.Series(data=True, index=table.index)
    may_fit = keep.copy()
    unknown = {}
    for column, fit in fits.items():
        keep &= fit
        unknown[column] = ~fit & table[column].isin(["", MISSING_INT])
        may_fit &= fit | unknown[column]
    left_out = may_fit & ~keep
    if left_out.any():
        empty = pd.DataFrame(unknown)[left_out]
        lines = [
            f"session {row.session_id} (mouse {row.mouse}, session {row.session}): "
            f"{', '.join(empty.columns[is_empty])}"
            for row, is_empty in zip(table[left_out].itertuples(), empty.to_numpy(), strict=True)
        ]
        warn(
            f"{len(lines)} session(s) are left out, since the session table does not say whether "
            f"they meet the criteria. Empty are:{listed(lines)}\nFill in the table, or leave "
            "these criteria out (None).",
            UnknownFactsWarning,
        )
    return keep


def with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Make numbers of the columns that are not published ones, where they hold only numbers."""
    numbers = {}
    for column in table.columns.unique().difference([*FACT_BY_NAME, *PUBLISHED]):
        text = table.loc[:, table.columns == column].iloc[:, 0].str.strip()
        number = pd.to_numeric(text, errors="coerce")
        if (text != "").any() and not (number.isna() & (text != "")).any():
            numbers[column] = number
    return table.assign(**numbers)


def many(value: Any) -> list[Any]:
    """Make a list of a criterion's value or values."""
    return [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def _in_domain(criterion: str, value: Any, domain: dict[Any, Any]) -> list[Any]:
    if value is None:
        return list(dict.fromkeys(domain.values()))
    _check_words(criterion, many(value), domain)
    return [domain[item] for item in many(value)]


def _check_words(criterion: str, words: Iterable[Any], allowed: Collection[Any]) -> None:
    unknown = [word for word in words if word not in allowed]
    if unknown:
        found = few(map(repr, unknown))
        raise CriterionError(f"{criterion} is {found}; it can be {few(allowed)}.")


def _typed_column(
    values: "pd.Series[Any]", spec: FactSpec
) -> tuple["pd.Series[Any]", "pd.Series[bool]"]:
    """Give the typed values of a column, and where the given ones are of the wrong kind."""
    typed: list[Any] = []
    wrong = []
    for value in values:
        try:
            typed.append(typed_fact(value, spec))
            wrong.append(False)
        except (TypeError, ValueError, OverflowError):
            typed.append(MISSING_INT)
            wrong.append(True)
    dtype: Any = "float64" if spec.kind == "float" else "int64"
    if spec.kind in ("word", "text", "time"):
        dtype = "str"
    column = pd.Series(typed, index=values.index, dtype=object).astype(dtype)
    return column, pd.Series(wrong, index=values.index, dtype=bool)
