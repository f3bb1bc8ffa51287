"""The published matching of ROIs over sessions: one JSON file a session."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.errors import FormatError, SessionMismatchError, listed
from oscaxr.model import names as n

PathLike = str | os.PathLike[str]
Table = dict[str, list[Any]]
Integers = npt.NDArray[np.int64]

_FILE_NAME: Final = re.compile(r"mouse_(\d+)__session_(\d+)__nway_matched_rois\.json")
_MATRIX: Final = re.compile(r"sess_(\d+)_to_sess_(\d+)_transformation_matrix")
_ROI_ID: Final = re.compile(r"sess_(\d+)_roi_id")
_BAD_ROI_ID: Final = re.compile(r"sess_(\d+)_bad_roi_id")
_EXTRA_ROI_ID: Final = re.compile(r"sess_?(\d+)_extra_roi_id")
_INDEX: Final = "dff-ordered_roi_index"
_BAD_INDEX: Final = "dff_local_bad_roi_idx"
_LONG_NAMES: Final = {
    "roi_index": "index of the ROI, bad ROIs counted",
    "bad_roi_index": "index of the bad ROI",
    "bad_roi_id": "id of the bad ROI",
    "matrix": "transformation matrix",
    n.ROI: "row of the ROI in the NWB file",
    n.ROI_ID: "id of the ROI in the source",
}
_EXAMPLE: Final = (
    *("match_level", "sess_order", "n_total"),
    *("dff_local_missing_roi_idx", "dff_local_extra_roi_idx"),
)
_EXAMPLE_COLUMNS: Final = (
    *("match_level", "session_order", "missing_tracking_id", "missing_roi_index"),
    *("extra_roi_index", "extra_roi_id", "n_total"),
)


def read_matches(path: PathLike) -> xr.Dataset:
    """Read which ROIs of a session are tracked, from its published matching file.

    Parameters
    ----------
    path : path-like
        ``mouse_<id>__session_<id>__nway_matched_rois.json``. The ids in the name are used where
        the name has this form.

    Returns
    -------
    xarray.Dataset
        Coordinates along ``tracking_id`` (the tracking order): ``roi``, the row of the ROI in the
        session's NWB file, and ``roi_id``. Scalar coordinates: ``session``, ``session_id`` and,
        where the file's name has it, ``mouse_id``. Variables:

        - ``roi_index`` (tracking_id): index of the ROI in the trace files of the original format,
          bad ROIs counted;
        - ``bad_roi_index``, ``bad_roi_id`` (bad_roi): the ROIs that NWB files leave out;
        - ``matrix`` (source_session, matrix_row, matrix_column): takes masks and images of another
          session of the mouse to this one (:func:`oscaxr.register_masks`);
          ``source_session`` is the number of the other session, beside it
          ``source_session_id``.

        Attributes: ``minimum_iou`` (the least overlap of matched masks) and ``matching``.

    Raises
    ------
    FormatError
        If the file is not a matching file; all problems are listed.
    SessionMismatchError
        If the file's name states another session than its content.

    Notes
    -----
    What single orders of the sessions matched is read by
    :func:`oscaxr.formats.original.matches.read_match_examples`.

    The original format's indices count bad ROIs (those with NaNs in their traces, and the like);
    NWB files have no such ROIs, so the index is less by the number of bad ROIs before it.
    Sessions of a mouse list the same ROIs in the same order.
    """
    return _Parsed(path).matches()


def read_match_examples(path: PathLike) -> pd.DataFrame:
    """Read what single orders of the sessions matched, from a published matching file.

    Parameters
    ----------
    path : path-like
        See :func:`oscaxr.read_matches`. Two of the published mice have such examples.

    Returns
    -------
    pandas.DataFrame
        One row an example, none if the file has none:

        - ``match_level``: ``"fewest"`` or ``"most"`` matches of all orders, or ``"union"``, of all
          orders before conflicts between them were taken out;
        - ``session_order``: tuple of session numbers, empty for the union;
        - ``missing_tracking_id``: tuple of the tracked ROIs that this order did not match;
        - ``missing_roi_index``, ``extra_roi_index``: tuples of indices in the trace files of the
          original format; the extra ROIs are those that this order matched and the tracking has
          not;
        - ``extra_roi_id``: their ids, as published;
        - ``n_total``: number of matches.

    Raises
    ------
    FormatError
        If the file is not a matching file; all problems are listed.

    Notes
    -----
    The ids that the files give for missing ROIs are not used: some are another session's. The
    indices agree with the tracked ROIs, whose ids :func:`oscaxr.read_matches` has.
    """
    return _Parsed(path).examples()


def rows_without_bad(index: npt.ArrayLike, bad: npt.ArrayLike) -> Integers:
    """Turn indices that count bad ROIs into rows of an NWB file, which has none of them."""
    index = np.asarray(index, np.int64)
    below: Integers = np.searchsorted(np.sort(np.asarray(bad, np.int64)), index, side="left")
    return index - below


class _Parsed:
    """The content of one matching file, checked; all problems are raised together."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        content = _load(self.path)
        self.session, self.index, self.roi_id = self._rois(content, "rois", _INDEX, _ROI_ID)
        bad = self._rois(content, "bad_rois", _BAD_INDEX, _BAD_ROI_ID)
        bad_session, self.bad_index, self.bad_id = bad
        if None not in (self.session, bad_session) and self.session != bad_session:
            self.problems.append(
                f"rois are those of session {self.session}, bad_rois of session {bad_session}"
            )
        both = sorted(set(self.index.tolist()) & set(self.bad_index.tolist()))
        if both:
            self.problems.append(f"ROIs {both} are tracked and bad at once")
        self.metadata = self._table(content, "metadata")
        self.example_table: Table | None = None
        if "match_perm_examples" in content:
            self.example_table = self._table(content, "match_perm_examples")
        self._check_sessions()
        self._check_matrices()
        self.example_rows = self._check_examples() if self.example_table is not None else []
        if self.problems:
            found = listed(self.problems)
            raise FormatError(f"{self.path} is not a file of matched ROIs as published:{found}")
        self._check_name()

    def _table(self, content: Mapping[str, Any], name: str) -> Table:
        """Return a table's columns as lists, its rows in the order of their numbers."""
        table = content.get(name)
        if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
            self.problems.append(f"there is no table {name!r} of columns of numbered rows")
            return {}
        columns: Table = {}
        for column, cells in table.items():
            if set(cells) == {str(row) for row in range(len(cells))}:
                columns[column] = [cells[str(row)] for row in range(len(cells))]
            else:
                self.problems.append(f"{name}: the rows of {column!r} are not numbered from 0")
        lengths = {column: len(cells) for column, cells in columns.items()}
        if len(set(lengths.values())) > 1:
            self.problems.append(f"{name}: columns differ in length: {lengths}")
        return columns

    def _rois(
        self, content: Mapping[str, Any], name: str, index: str, id_pattern: re.Pattern[str]
    ) -> tuple[int | None, Integers, Integers]:
        """Return the session, the indices and the ids of a table of ROIs."""
        table = self._table(content, name)
        found = [match for column in table if (match := id_pattern.fullmatch(column))]
        indices = self._integers(name, table, index)
        if len(found) == 1:
            return int(found[0][1]), indices, self._integers(name, table, found[0][0])
        self.problems.append(
            f"{name}: one column should be named {id_pattern.pattern!r}, but there are "
            f"{sorted(table)}"
        )
        return None, indices, np.empty(0, np.int64)

    def _integers(self, name: str, table: Table, column: str) -> Integers:
        """Return a column of different whole numbers, zero or more."""
        if column not in table:
            if table:
                self.problems.append(f"{name}: no column {column!r}, only {sorted(table)}")
            return np.empty(0, np.int64)
        values = table[column]
        odd = [value for value in values if not _is_count(value)]
        if odd:
            self.problems.append(f"{name}: {column!r} holds {odd[:5]}, not ROI numbers")
            return np.empty(0, np.int64)
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            self.problems.append(f"{name}: {column!r} lists {twice[:5]} more than once")
        return np.array(values, np.int64)

    def _single(self, column: str, valid: Callable[[Any], bool], what: str) -> Any:
        """Return the one value of a column of the metadata, None if it is not as it should be."""
        values = self.metadata.get(column)
        if values is None or len(values) != 1 or not valid(values[0]):
            self.problems.append(f"metadata: {column!r} should be {what}, not {values}")
            return None
        return values[0]

    def _check_sessions(self) -> None:
        whole = "one list of different whole numbers"
        numbers = self._single("sess_ns", _is_list_of_counts, whole)
        ids = self._single("sess_ids", _is_list_of_counts, whole)
        self.minimum_iou = self._single("minimum_iou", _is_number, "a number")
        self.matching = self._single("nway_info", lambda value: isinstance(value, str), "a text")
        self.session_ids: dict[int, int] = {}
        if numbers is None or ids is None:
            return
        if len(numbers) != len(ids):
            self.problems.append(f"metadata: {len(numbers)} session numbers, but {len(ids)} ids")
            return
        self.session_ids = dict(zip(numbers, ids, strict=True))
        if self.session is not None and self.session not in self.session_ids:
            self.problems.append(f"session {self.session} is none of the matched ones, {numbers}")

    def _check_matrices(self) -> None:
        self.matrices: dict[int, npt.NDArray[np.float64]] = {}
        for column in self.metadata:
            match = _MATRIX.fullmatch(column)
            if match is None:
                continue
            matrix = self._single(column, _is_matrix, "one invertible 3 x 3 matrix of numbers")
            source, target = int(match[1]), int(match[2])
            if self.session is not None and target != self.session:
                self.problems.append(
                    f"metadata: {column!r} does not lead to session {self.session}"
                )
            elif self.session_ids and source not in self.session_ids:
                self.problems.append(f"metadata: {column!r} is from a session that is not matched")
            if matrix is not None:
                self.matrices[source] = np.array(matrix, np.float64)

    def _check_examples(self) -> list[dict[str, Any]]:
        table = self.example_table or {}
        extra_ids = [column for column in table if _EXTRA_ROI_ID.fullmatch(column)]
        absent = [column for column in _EXAMPLE if column not in table]
        if absent or len(extra_ids) != 1:
            self.problems.append(
                f"match_perm_examples: {absent or 'the extra ROI ids'} should be among its columns "
                f"{sorted(table)}"
            )
            return []
        columns = [table[column] for column in (*_EXAMPLE, extra_ids[0])]
        if len({len(column) for column in columns}) > 1:
            return []  # said above
        rows = []
        tracking_id = {index: place for place, index in enumerate(self.index.tolist())}
        for number, (level, order, total, missing, extra, extra_id) in enumerate(
            zip(*columns, strict=True)
        ):
            lists = [[] if _is_nan(value) else value for value in (order, missing, extra, extra_id)]
            where = f"match_perm_examples, row {number}"
            if not all(_is_list_of_counts(value) for value in lists) or not _is_count(total):
                self.problems.append(f"{where}: {lists} and {total} should be ROI numbers")
                continue
            order, missing, extra, extra_id = lists
            unknown = sorted(set(missing) - tracking_id.keys())
            known = sorted(set(extra) & tracking_id.keys())
            if unknown or known or len(extra) != len(extra_id):
                self.problems.append(
                    f"{where}: missing ROIs should be tracked ({unknown} are not), extra ones not "
                    f"({known} are), with an id each"
                )
                continue
            lists.insert(1, [tracking_id[index] for index in missing])
            row = (str(level), *map(tuple, lists), total)
            rows.append(dict(zip(_EXAMPLE_COLUMNS, row, strict=True)))
        return rows

    def _check_name(self) -> None:
        match = _FILE_NAME.fullmatch(self.path.name)
        self.mouse_id = int(match[1]) if match else None
        stated = self.session_ids[self.session or 0]
        if match and int(match[2]) != stated:
            raise SessionMismatchError(
                f"{self.path} is named as of session {match[2]}, but holds the ROIs of session "
                f"{stated}. Rename it, or take the right file"
            )

    def matches(self) -> xr.Dataset:
        sources = sorted(self.matrices)
        matrices = np.array([self.matrices[source] for source in sources]).reshape(-1, 3, 3)
        session = self.session or 0
        facts = {"session": session, "session_id": self.session_ids[session]}
        facts |= {} if self.mouse_id is None else {"mouse_id": self.mouse_id}
        rows = rows_without_bad(self.index, self.bad_index)
        along, source = n.TRACKING_ID, "source_session"
        ids = np.array([self.session_ids[number] for number in sources], np.int64)
        found = xr.Dataset(
            {
                "roi_index": (along, self.index),
                "bad_roi_index": ("bad_roi", self.bad_index),
                "bad_roi_id": ("bad_roi", self.bad_id),
                "matrix": ((source, "matrix_row", "matrix_column"), matrices),
            },
            coords={
                along: (along, np.arange(len(self.index))),
                n.ROI: (along, rows),
                n.ROI_ID: (along, self.roi_id),
                source: (source, np.array(sources, np.int64)),
                "source_session_id": (source, ids),
                **facts,
            },
            attrs={"minimum_iou": float(self.minimum_iou), "matching": self.matching},
        )
        for name, words in _LONG_NAMES.items():
            found[name].attrs["long_name"] = words
        what = "maps a pixel (x, y, 1) of this session to the source session"
        found["matrix"].attrs["comment"] = what
        return found

    def examples(self) -> pd.DataFrame:
        return pd.DataFrame(self.example_rows, columns=list(_EXAMPLE_COLUMNS))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not a JSON file: {error}") from error
    if isinstance(content, dict):
        return content
    raise FormatError(f"{path} holds no tables, but a JSON {type(content).__name__}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _is_list_of_counts(value: Any) -> bool:
    counts = isinstance(value, list) and all(_is_count(item) for item in value)
    return counts and len(set(value)) == len(value)


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    if not all(isinstance(row, list) and len(row) == 3 for row in value):
        return False
    if not all(_is_number(item) for row in value for item in row):
        return False
    return bool(np.linalg.matrix_rank(np.array(value, np.float64)) == 3)
