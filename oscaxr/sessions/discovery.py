"""Which sessions lie below a folder, as a session table."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import xarray as xr

from oscaxr.errors import AmbiguousSessionError, OscaxrError, OscaxrWarning, warn
from oscaxr.model.facts import FACT_BY_COLUMN, LINES, MISSING_INT
from oscaxr.sessions.table import session_table

if TYPE_CHECKING:
    from oscaxr.sessions.export_search import SessionExport

FOUND_COLUMNS: Final = (
    "sessid",
    "full_timestamp",
    "mouse_n",
    "mouseid",
    "sex",
    "date",
    "line",
    "sess_n",
    "nrois",
    "nrois_tracked",
    "path",
    "n_files",
)

# Pacific standard time. Recordings are made by day, so daylight saving time moves no date.
_SITE_OFFSET: Final = timedelta(hours=-8)
_LINE_OF_GENOTYPE: Final = {"Cux2": LINES[0], "Rbp4": LINES[1]}


def find_sessions(datadir: str | Path) -> pd.DataFrame:
    """Make a session table from the sessions below a folder.

    Parameters
    ----------
    datadir : str or pathlib.Path
        Folder; files are looked for at any depth.

    Returns
    -------
    pandas.DataFrame
        One row a session, in order of mouse id and start, with the published columns that files
        can tell (``sessid``, ``full_timestamp``, ``mouse_n``, ``mouseid``, ``sex``, ``date``,
        ``line``, ``sess_n``, ``nrois``, ``nrois_tracked``), ``path`` (str, the session's first
        NWB file, or its folder in the original layout, or its export, where there is none) and
        ``n_files``.

    Raises
    ------
    SessionNotFoundError
        There is no such folder.
    AmbiguousSessionError
        There is an export of a session beside its files, or several exports of it: all are named.

    Warns
    -----
    OscaxrWarning
        Files that could not be read, and files of unknown session or mouse, which have no row.

    Notes
    -----
    Of a session in the original layout, only names are read: they say its ids and its date.

    Files do not say the published numbers: ``mouse_n`` counts the mice found, by mouse id, and
    ``sess_n`` the sessions found of each mouse, by start. They equal the published numbers only
    where all sessions of all production mice are there. ``line`` follows from the genotype
    (Cux2 or Rbp4), ``date`` is the day at the recording site, taken as 8 h behind UTC.

    Examples
    --------
    >>> import tempfile
    >>> len(find_sessions(tempfile.mkdtemp()))
    0
    """
    found = search(datadir)
    problems = [*found.problems, *found.unreadable.values()]
    if problems:
        warn(
            f"Not all files below {datadir} could be used:\n  " + "\n  ".join(problems),
            OscaxrWarning,
        )
    return found.table


@dataclass(frozen=True)
class Found:
    """What was found below a folder."""

    table: pd.DataFrame
    problems: list[str]
    unreadable: dict[Path, str]
    exports: dict[str, bool]


def search(datadir: str | Path) -> Found:
    """Find the sessions below a folder, without a warning of what could not be used."""
    # Here, not above: h5py is not needed to read a session table.
    from oscaxr.formats.nwb.files import scan
    from oscaxr.formats.nwb.identity import utc_stamp
    from oscaxr.sessions.export_search import session_exports

    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for files in scan(datadir):
        identity, unread = files.identity()
        problems += unread
        mouse_id = identity["subject_id"] if files.mouse_id is None else files.mouse_id
        if files.session_id is None or mouse_id is None:
            problems.append(f"{files.path} states no session id or no mouse id: left out")
            continue
        start = utc_stamp(identity["session_start_time"]) or files.start_time or ""
        line = [line for word, line in _LINE_OF_GENOTYPE.items() if word in identity["genotype"]]
        rows.append(
            {
                "sessid": files.session_id,
                "full_timestamp": start,
                "mouseid": mouse_id,
                "sex": identity["sex"] if identity["sex"] in FACT_BY_COLUMN["sex"].allowed else "",
                "date": _site_date(start),
                "line": line[0] if len(line) == 1 else "",
                "nrois": identity["n_rois"],
                "nrois_tracked": identity["n_tracked"],
                "path": str(files.path),
                "n_files": len(files.paths),
            }
        )
    known = {row["sessid"] for row in rows}
    rows += _original_rows(Path(datadir), known, problems)
    exported, unreadable = session_exports(Path(datadir))
    _refuse_doubles(exported, rows)
    exports = {}
    for export in exported:
        with export.open() as ds:
            row = _export_row(export, ds)
            if row is None:
                problems.append(f"{export.path} states no session id or no mouse id: left out")
                continue
            rows.append(row)
            exports[str(export.path)] = {"mouse", "session"} <= set(ds.coords)
    table = pd.DataFrame(rows, columns=[c for c in FOUND_COLUMNS if c not in ("mouse_n", "sess_n")])
    order = ["mouseid", "date", "full_timestamp", "sessid"]
    table = table.sort_values(order, ignore_index=True)
    table["mouse_n"] = table.groupby("mouseid").ngroup() + 1
    table["sess_n"] = table.groupby("mouseid").cumcount() + 1
    table = session_table(table[list(FOUND_COLUMNS)].astype({"path": "str", "n_files": "int64"}))
    return Found(table, problems, unreadable, exports)


def _refuse_doubles(exported: "list[SessionExport]", rows: list[dict[str, Any]]) -> None:
    """Refuse sessions that are there as an export and otherwise: they need not be the same."""
    paths: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        paths[row["sessid"]].append(row["path"])
    for export in exported:
        if export.session_id is not None:
            paths[export.session_id].append(str(export.path))
    doubles = {number: found for number, found in paths.items() if len(found) > 1}
    if doubles:
        lines = [f"\n  {number}: {', '.join(found)}" for number, found in sorted(doubles.items())]
        raise AmbiguousSessionError(
            f"{len(doubles)} session(s) are there more than once, as files and exports or as "
            f"several exports:{''.join(lines)}\nSearch a folder that has each once, or give the "
            "paths of those that you want."
        )


def _export_row(export: "SessionExport", ds: xr.Dataset) -> dict[str, Any] | None:
    """Return the row of an export; None where it states no session id or no mouse id."""
    from oscaxr.formats.nwb.identity import utc_stamp

    if export.session_id is None or "mouse_id" not in ds.coords:
        return None
    start = utc_stamp(str(ds.attrs.get("session_start_time", ""))) or ""
    day = str(ds.attrs.get("date", "")).replace("-", "")
    tracked = ds.get("tracking_id")
    sex = str(ds.attrs.get("sex", ""))
    return {
        "sessid": export.session_id,
        "full_timestamp": start,
        "mouseid": int(ds["mouse_id"]),
        "sex": sex if sex in FACT_BY_COLUMN["sex"].allowed else "",
        "date": int(day) if day.isdecimal() else _site_date(start),
        "line": str(ds["line"].values) if "line" in ds.coords else "",
        "nrois": ds.sizes.get("roi", MISSING_INT),
        "nrois_tracked": MISSING_INT if tracked is None else int((tracked >= 0).sum()),
        "path": str(export.path),
        "n_files": 1,
    }


def _original_rows(
    datadir: Path, known: Collection[object], problems: list[str]
) -> list[dict[str, Any]]:
    """Return a row for each session in the original layout that has no NWB file."""
    from oscaxr.formats.original.files import read_tree, session_folders

    rows = []
    for number, folder in session_folders(datadir):
        if number in known:
            continue
        try:
            tree = read_tree(folder)
        except OscaxrError as error:
            problems.append(str(error))
            continue
        rows.append(
            {
                "sessid": tree.session_id,
                "full_timestamp": "",
                "mouseid": tree.mouse_id,
                "sex": "",
                "date": int(tree.date.replace("-", "")),
                "line": "",
                "nrois": MISSING_INT,
                "nrois_tracked": MISSING_INT,
                "path": str(folder),
                "n_files": len(tree.files),
            }
        )
    return rows


def _site_date(start: str) -> int:
    if not start:
        return MISSING_INT
    moment = datetime.strptime(f"{start}+0000", "%Y%m%dT%H%M%S%z") + _SITE_OFFSET
    return int(moment.strftime("%Y%m%d"))
