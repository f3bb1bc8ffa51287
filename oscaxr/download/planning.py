"""Planning a download: which sessions, which of their files, how many bytes."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from oscaxr.catalog import sessions as read_table
from oscaxr.download.archive import Archive
from oscaxr.download.assets import DANDISET, VERSION, Plan
from oscaxr.download.choose import files_of, named, wanted_by_name, wanted_by_table
from oscaxr.download.safe_paths import target_path
from oscaxr.errors import CriterionError, SessionNotFoundError


def plan(
    *,
    mice: int | Iterable[int] | None = None,
    sessions: int | Iterable[int] | None = None,
    table: str | os.PathLike[str] | pd.DataFrame | None = None,
    runtype: str | None = "prod",
    stimulus_templates: bool = False,
    movies: bool = False,
    version: str = VERSION,
    api_url: str | None = None,
) -> Plan:
    """Plan a download of sessions of DANDI 000037: which files, how many bytes.

    Parameters
    ----------
    mice, sessions : int or iterable of int, optional
        Numbers of mice and of their sessions in the session table, or their ids (6 and 9 digits);
        all by default.
    table : path-like or pandas.DataFrame, optional
        The session table (``mouse_df.csv``), which knows the numbers. Without it, ids are looked
        for in the names of the archive's files.
    runtype : {"prod", "pilot"} or None, optional
        Which sessions of the table.
    stimulus_templates, movies : bool, optional
        Whether the files should hold the stimulus templates (some 2 GB a session), and the
        motion-corrected movie (some 45 GB).
    version : str, optional
        Version of the dandiset; ``"draft"`` for what is not published yet.
    api_url : str, optional
        Another server with the archive's interface.

    Returns
    -------
    Plan
        Nothing is downloaded yet: give it to :func:`fetch`.

    Raises
    ------
    SessionNotFoundError
        If sessions or parts that were asked for do not exist, or there is no such version.
    CriterionError
        If numbers are given without a table.
    UnsafePathError
        If a file has a path that leads out of the folder that it is downloaded into.
    DownloadError
        If the archive cannot be reached.

    Notes
    -----
    Of a session's files, the smallest one is taken that holds what is asked for: mostly
    ``*_behavior+ophys.nwb``, with templates ``*_behavior+image+ophys.nwb``, with movies
    ``*_obj-raw*.nwb``.

    Examples
    --------
    >>> from oscaxr.download import fetch, plan
    >>> sessions = plan(mice=[408021], sessions=[758519303])  # doctest: +SKIP
    >>> sessions.size  # doctest: +SKIP
    237993128
    >>> fetch(sessions, "data")  # doctest: +SKIP
    """
    asked_mice, asked_sessions = _numbers("mice", mice), _numbers("sessions", sessions)
    typed = None
    if table is not None:
        typed = read_table(table if isinstance(table, pd.DataFrame) else Path(table))
    archive = Archive(DANDISET, version, api_url)
    files = named(archive.list_assets())
    if typed is None:
        wanted = wanted_by_name(files, asked_mice, asked_sessions)
    else:
        wanted = wanted_by_table(typed, asked_mice, asked_sessions, runtype)
    chosen, missing = [], []
    for one in wanted:
        found = files_of(one, files, templates=stimulus_templates, movies=movies)
        chosen += found
        if not found:
            missing.append(f"{one.label} ({one.session_id})")
    if not chosen:
        raise SessionNotFoundError(
            f"None of the sessions asked for is in version {version} of dandiset {DANDISET}: "
            f"{', '.join(missing)}."
        )
    for asset in chosen:
        target_path(Path(), asset.path)
    return Plan(DANDISET, version, tuple(archive.with_digests(chosen)), tuple(missing))


def _numbers(word: str, values: Any) -> list[int] | None:
    if values is None:
        return None
    numbers = [values] if isinstance(values, int) else list(values)
    if not numbers or not all(isinstance(value, int) and value > 0 for value in numbers):
        raise CriterionError(f"{word}={values!r}: give whole numbers, above 0")
    return list(dict.fromkeys(numbers))
