"""Which sessions there are: the session table, typed, searched, and made from files."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final, Never

import pandas as pd

from oscaxr.errors import AmbiguousSessionError, SessionNotFoundError, listed
from oscaxr.files.remote import place_of
from oscaxr.model.facts import LINES
from oscaxr.options import PathLike
from oscaxr.renamed import refuse_keywords
from oscaxr.sessions.table_columns import (
    PILOT_SESSIONS_WITHOUT_DATA,
    PILOT_STIMULI,
    PRODUCTION_STIMULI,
    fits_by_column,
    many,
    pilot_omissions,
    rows_with,
    typed_table,
    wanted_stimuli,
    with_numbers,
)
from oscaxr.sessions.table_file import read_rows

__all__ = ["default_sessions", "pilot_omissions", "session_row", "session_table"]

_LINE_WORDS: Final = {"L23": LINES[0], "L5": LINES[1]}
_LISTED: Final = 12
# Named, as linters take a word in an argument called pass... for a password.
_PASSED: Final = "P"


def session_table(
    source: PathLike | pd.DataFrame,
    *,
    storage_options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> pd.DataFrame:
    """Read a session table, and check and type its columns.

    Parameters
    ----------
    source : path-like or pandas.DataFrame
        The published ``mouse_df.csv``, of 2021 or 2026, or its address (``https://``, ``s3://``,
        ``gs://``); or such a table, typed already or not, under the published names or ours.
    storage_options : mapping, optional
        How the server of an address is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    pandas.DataFrame
        All rows and columns, under the names that sessions have as coordinates and attributes:
        ``session_id``, ``mouse``, ``session``, ``run_type``, ... for ``sessid``, ``mouse_n``,
        ``sess_n``, ``runtype``; a query by a published name is an error that says ours. Integers,
        flags (0 or 1) and dates (yyyymmdd) are int64 with -1 where missing, strings are empty where
        missing, ages are float. Columns that are not published ones are kept. No row is hidden: see
        :func:`default_sessions`.

    Raises
    ------
    TableError
        The file cannot be read, columns are missing or there twice, session ids are not unique, or
        values are of the wrong kind: all missing columns, or all wrong values, at once.
    SessionNotFoundError, RemoteError
        There is no file at an address, or its server cannot be reached.

    Examples
    --------
    >>> import pandas as pd
    >>> table = session_table(pd.DataFrame({"sessid": ["758519303"], "mouseid": ["408021"],
    ...                                "mouse_n": ["1"], "sess_n": ["1"], "plane": ["soma"]}))
    >>> table.query("plane == 'soma' and session <= 3").session_id.tolist()
    [758519303]
    """
    refuse_keywords("session_table", unknown, ())
    if isinstance(source, pd.DataFrame):
        return typed_table(source, "The DataFrame")
    path = place_of(source, storage_options)
    return typed_table(with_numbers(read_rows(path)), f"The session table {path}")


def default_sessions(
    table: PathLike | pd.DataFrame,
    *,
    pass_fail: str | Collection[str] | None = _PASSED,
    included: str | Collection[str] | None = "yes",
    all_files: int | None = 1,
    any_files: int | None = 1,
    min_rois: int | None = 1,
    run_type: str | Collection[str] | None = "prod",
    plane: str | Collection[str] | None = None,
    line: str | Collection[str] | None = None,
    session: int | Collection[int] | None = None,
    mouse: int | Collection[int] | None = None,
    stimulus: str | None = None,
    gabor_kappa: float | Collection[float] | None = None,
    main_flow_direction: str | Collection[str] | None = None,
    square_size: float | Collection[float] | None = None,
    omit_sessions: Collection[int] = (),
    omit_mice: Collection[int] = (),
    storage_options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> pd.DataFrame:
    """Choose the sessions that published analyses use by default.

    Parameters
    ----------
    table : path-like or pandas.DataFrame
        Session table, as for :func:`oscaxr.session_table`.
    pass_fail, included, run_type, plane, line : str or collection of str, optional
        Values of these columns (``"L23"`` and ``"L5"`` will do for lines). None does not constrain;
        this holds for all criteria.
    all_files, any_files : int, optional
        Flags of the table.
    min_rois : int, optional
        Fewest ROIs (``n_rois``).
    session, mouse : int or collection of int, optional
        Published session and mouse numbers.
    stimulus : {"gabors", "visflow"}, optional
        Keep the sessions in which this stimulus was shown with any of the values asked for.
    gabor_kappa, main_flow_direction, square_size : optional
        As for :func:`oscaxr.sessions.table.pilot_omissions`; they count only with their `stimulus`.
    omit_sessions, omit_mice : collection of int, optional
        Session ids and mouse numbers to leave out.
    storage_options : mapping, optional
        How the server of an address is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    pandas.DataFrame
        The rows that fit, in the order of the table; none may.

    Raises
    ------
    CriterionError
        A value outside the domain.
    TableError
        The table is not a session table, or lacks a column that a criterion needs.

    Notes
    -----
    A session that the table says too little of (an empty ``pass_fail``, ``included`` or ``n_rois``,
    ...) is not chosen by it, and an :class:`~oscaxr.errors.UnknownFactsWarning` names it, unless
    something else is against it.

    The defaults are those of ``sess_per_mouse`` in the dataset's published tool
    (``sess_util/sess_gen_util.py`` of OpenScope_CA_Analysis), whose scripts set `min_rois` to 5;
    no published production session has fewer than 15. All sessions count, there and here: analyses
    of sessions 1 to 3 say ``session=(1, 2, 3)``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"session_id": [1, 2], "mouse_id": [7, 7], "mouse": [1, 1],
    ...                       "session": [1, 2], "pass_fail": ["F", "P"], "n_rois": [9, 9]})
    >>> default_sessions(table, included=None, all_files=None, any_files=None,
    ...                  run_type=None).session_id.tolist()
    [2]
    """
    refuse_keywords("default_sessions", unknown, default_sessions.__kwdefaults__ or ())
    table = session_table(table, storage_options=storage_options)
    lines = None if line is None else [_LINE_WORDS.get(word, word) for word in many(line)]
    criteria = {
        "pass_fail": pass_fail,
        "included": included,
        "all_files": all_files,
        "any_files": any_files,
        "run_type": run_type,
        "plane": plane,
        "line": lines,
        "session": session,
        "mouse": mouse,
    }
    needed = [*["n_rois"] * (min_rois is not None), *["run_type"] * (stimulus is not None)]
    fits = fits_by_column(table, criteria, *needed)
    omissions = {"session_id": list(omit_sessions), "mouse": list(omit_mice)}
    for column, omitted in omissions.items():
        fits[column] = fits.get(column, True) & ~table[column].isin(omitted)
    if min_rois is not None:
        fits["n_rois"] = table["n_rois"] >= min_rois
    if stimulus is not None:
        wanted = wanted_stimuli(stimulus, gabor_kappa, main_flow_direction, square_size)
        mice = [mouse for mouse, shown in PILOT_STIMULI.items() if shown & wanted]
        is_pilot = table["run_type"] == "pilot"
        shown = is_pilot & table["mouse"].isin(mice)
        if PRODUCTION_STIMULI & wanted:
            shown |= ~is_pilot
        fits["session_id"] &= ~table["session_id"].isin(PILOT_SESSIONS_WITHOUT_DATA)
        fits["run_type"] = fits.get("run_type", True) & shown
    return table[rows_with(table, fits)]


def session_row(
    table: PathLike | pd.DataFrame,
    *,
    session_id: int | None = None,
    mouse: int | None = None,
    session: int | None = None,
    run_type: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> "pd.Series[Any]":
    """Find the one row of the session table that fits.

    Parameters
    ----------
    table : path-like or pandas.DataFrame
        Session table, as for :func:`oscaxr.session_table`.
    session_id : int, optional
        Session id.
    mouse, session : int, optional
        Published mouse and session numbers.
    run_type : {"prod", "pilot"}, optional
        Run type: the numbers of pilot mice start from 1, too.
    storage_options : mapping, optional
        How the server of an address is reached, as for :func:`oscaxr.open_session`.

    Returns
    -------
    pandas.Series
        The row, typed.

    Raises
    ------
    SessionNotFoundError
        No row fits; the message says what there is nearby.
    AmbiguousSessionError
        More than one row fits; they are listed.
    CriterionError
        There is no such run type.
    TableError
        The table is not a session table, or lacks a column asked for.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"session_id": [11, 12], "mouse_id": [7, 7], "mouse": [1, 1],
    ...                       "session": [1, 2]})
    >>> int(session_row(table, mouse=1, session=2).session_id)
    12
    """
    table = session_table(table, storage_options=storage_options)
    criteria = {"session_id": session_id, "mouse": mouse, "session": session, "run_type": run_type}
    rows = table[rows_with(table, fits_by_column(table, criteria))]
    if len(rows) == 1:
        return rows.iloc[0]
    asked = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in criteria.items() if value is not None
    )
    if len(rows) == 0:
        near = _nearby(table, session_id, mouse)
        raise SessionNotFoundError(f"The session table has no session with {asked}. {near}")
    several_types = "run_type" in rows and len(set(rows["run_type"])) > 1
    advice = "run_type, or session_id" if several_types else "session_id, or mouse and session"
    raise AmbiguousSessionError(
        f"{len(rows)} sessions of the table have {asked or 'no criterion to meet'}:"
        f"{_listed(rows)}\nGive {advice}."
    )


def _listed(rows: pd.DataFrame) -> str:
    lines = [
        f"{row.session_id}: mouse {row.mouse}, session {row.session}"
        + (f", {row.run_type}" if "run_type" in rows else "")
        for row in rows.itertuples()
    ]
    return listed(lines, _LISTED)


def _nearby(table: pd.DataFrame, session_id: int | None, mouse: int | None) -> str:
    said = []
    if session_id is not None:
        same = table[table["session_id"] == session_id]
        near = get_close_matches(str(session_id), table["session_id"].astype(str), n=3)
        close = same if len(same) else table[table["session_id"].astype(str).isin(near)]
        if len(close):
            said.append(f"{'It has' if len(same) else 'The nearest ids are'}:{_listed(close)}")
    if mouse is not None:
        rows = table[table["mouse"] == mouse]
        by_id = table[table["mouse_id"] == mouse]
        if len(rows):
            said.append(f"Mouse {mouse} has the sessions:{_listed(rows)}")
        elif len(by_id):
            said.append(f"{mouse} is a mouse id: give mouse={by_id['mouse'].iloc[0]}.")
        else:
            known = ", ".join(map(str, sorted(set(table["mouse"]))))
            said.append(f"The mice in the table are {known or 'none'}.")
    return "\n".join(said) or f"It has {len(table)} sessions:{_listed(table)}"
