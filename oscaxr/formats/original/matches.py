"""The published matching of ROIs over sessions: one JSON file a session."""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.errors import FormatError, SessionMismatchError, listed
from oscaxr.files.remote import place_of
from oscaxr.model import names as n

if TYPE_CHECKING:
    from oscaxr.files.direct import DirectFile

PathLike = str | os.PathLike[str]
Table = dict[str, list[Any]]
Fits = Callable[[Any], bool]
Integers = npt.NDArray[np.int64]

_FILE_NAME: Final = re.compile(r"mouse_(\d+)__session_(\d+)__nway_matched_rois\.json")
_MATRIX: Final = re.compile(r"sess_(\d+)_to_sess_(\d+)_transformation_matrix")
_EXAMPLES: Final = "match_perm_examples"
_OF_ROIS: Final = ("rois", "bad_rois")
_LONG_NAMES: Final = {
    "roi_index": "index of the ROI, bad ROIs counted",
    "bad_roi_index": "index of the bad ROI",
    "bad_roi_id": "id of the bad ROI",
    "matrix": "transformation matrix",
    n.ROI: "row of the ROI in the NWB file",
    n.ROI_ID: "id of the ROI in the source",
}
_EXAMPLE_COLUMNS: Final = (
    *("match_level", "session_order", "missing_tracking_id", "missing_roi_index"),
    *("extra_roi_index", "extra_roi_id", "n_total"),
)


def read_matches(path: PathLike, *, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Read which ROIs of a session are tracked, from its published matching file.

    Parameters
    ----------
    path : path-like
        ``mouse_<id>__session_<id>__nway_matched_rois.json``, or its address (``https://``,
        ``s3://``, ``gs://``). The ids in the name are used where the name has this form.
    storage_options : mapping, optional
        How the server of an address is reached, as for :func:`oscaxr.open_session`.

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
    SessionNotFoundError, RemoteError
        If there is no such file, or its server cannot be reached.
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
    return _parsed(path, storage_options).matches()


def read_match_examples(
    path: PathLike, *, storage_options: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Read what single orders of the sessions matched, from a published matching file.

    Parameters
    ----------
    path : path-like
        See :func:`oscaxr.read_matches`. Two of the published mice have such examples.
    storage_options : mapping, optional
        How the server of an address is reached.

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
    rows = _parsed(path, storage_options).example_rows
    return pd.DataFrame(rows, columns=list(_EXAMPLE_COLUMNS))


def matches_in(file: "DirectFile") -> xr.Dataset:
    """Return what :func:`read_matches` does, of a file that is read whole."""
    return _Parsed(file).matches()


def rows_without_bad(index: npt.ArrayLike, bad: npt.ArrayLike) -> Integers:
    """Turn indices that count bad ROIs into rows of an NWB file, which has none of them."""
    index = np.asarray(index, np.int64)
    return index - np.searchsorted(np.sort(np.asarray(bad, np.int64)), index, side="left")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _is_list_of_counts(value: Any) -> bool:
    counts = isinstance(value, list) and all(_is_count(item) for item in value)
    return counts and len(set(value)) == len(value)


def _is_list_or_nan(value: Any) -> bool:
    return _is_nan(value) or _is_list_of_counts(value)


def _is_matrix(value: Any) -> bool:
    rows = value if isinstance(value, list) else []
    if [len(row) if isinstance(row, list) else 0 for row in rows] != [3, 3, 3]:
        return False
    if not all(_is_number(item) for row in rows for item in row):
        return False
    return bool(np.linalg.matrix_rank(np.array(rows, np.float64)) == 3)


_COUNTS: Final = "list of different whole numbers"
# What there is of an example: the column by name, and what its cells are.
_EXAMPLE: Final[tuple[tuple[str, str, Fits], ...]] = (
    ("match_level", "texts", _is_text),
    ("sess_order", f"a {_COUNTS} or NaN", _is_list_or_nan),
    ("dff_local_missing_roi_idx", f"a {_COUNTS} or NaN", _is_list_or_nan),
    ("dff_local_extra_roi_idx", f"a {_COUNTS} or NaN", _is_list_or_nan),
    (r"sess_?\d+_extra_roi_id", f"a {_COUNTS} or NaN", _is_list_or_nan),
    ("n_total", "whole numbers", _is_count),
)


class _Parsed:
    """The content of one matching file, checked; all problems are raised together."""

    def __init__(self, file: "DirectFile") -> None:
        self.path = file.place
        self.problems: list[str] = []
        content = _load(file)
        given = [_EXAMPLES] if _EXAMPLES in content else []
        names = (*_OF_ROIS, "metadata", *given)
        self.tables = {name: self._table(name, content.get(name)) for name in names}
        self.session, self.index, self.roi_id = self._rois(
            "rois", "dff-ordered_roi_index", r"sess_(\d+)_roi_id"
        )
        bad_session, self.bad_index, self.bad_id = self._rois(
            "bad_rois", "dff_local_bad_roi_idx", r"sess_(\d+)_bad_roi_id"
        )
        if None not in (self.session, bad_session) and self.session != bad_session:
            self.problems.append(
                f"rois are those of session {self.session}, bad_rois of session {bad_session}"
            )
        both = sorted(set(self.index.tolist()) & set(self.bad_index.tolist()))
        if both:
            self.problems.append(f"ROIs {both} are tracked and bad at once")
        self.minimum_iou = self._single("minimum_iou", "number", _is_number)
        self.matching = self._single("nway_info", "text", _is_text)
        self.session_ids = self._sessions()
        self.matrices = self._matrices()
        self.example_rows = self._examples() if given else []
        if self.problems:
            found = listed(self.problems)
            raise FormatError(f"{self.path} is not a file of matched ROIs as published:{found}")
        self._check_name()

    def _table(self, name: str, table: Any) -> Table:
        """Return a table's columns as lists, its rows in the order of their numbers."""
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

    def _column(
        self, table: str, form: str, words: str, fits: Fits, *, single: bool = False
    ) -> tuple[re.Match[str] | None, list[Any]]:
        """Return the one column whose name has a form; no values if they are not as they should."""
        columns = self.tables[table]
        matches = [match for column in columns if (match := re.fullmatch(form, column))]
        if len(matches) != 1:
            self.problems.append(
                f"{table}: one column should be named {form!r}, but there are {sorted(columns)}"
            )
            return None, []
        (match,) = matches
        values = columns[match[0]]
        odd = [value for value in values if not fits(value)]
        if not odd and table in _OF_ROIS:
            odd = sorted({value for value in values if values.count(value) > 1})
        if odd or (single and len(values) != 1):
            found = (odd or values)[:5]
            self.problems.append(f"{table}: {match[0]!r} should hold {words}, but it holds {found}")
            return match, []
        return match, values

    def _rois(self, table: str, index: str, ids: str) -> tuple[int | None, Integers, Integers]:
        """Return the session, the indices and the ids of a table of ROIs."""
        what = "the numbers of ROIs, each once"
        _, indices = self._column(table, index, what, _is_count)
        match, roi_ids = self._column(table, ids, what, _is_count)
        session = None if match is None else int(match[1])
        return session, np.array(indices, np.int64), np.array(roi_ids, np.int64)

    def _single(self, form: str, words: str, fits: Fits) -> Any:
        """Return the one value of a column of the metadata, None if it is not as it should be."""
        _, values = self._column("metadata", form, f"one {words}", fits, single=True)
        return values[0] if values else None

    def _sessions(self) -> dict[int, int]:
        """Return the ids of the matched sessions by their numbers."""
        numbers = self._single("sess_ns", _COUNTS, _is_list_of_counts) or []
        ids = self._single("sess_ids", _COUNTS, _is_list_of_counts) or []
        if len(numbers) != len(ids):
            self.problems.append(f"metadata: {len(numbers)} session numbers, but {len(ids)} ids")
        elif self.session is not None and self.session not in numbers:
            self.problems.append(f"session {self.session} is none of the matched ones, {numbers}")
        return dict(zip(numbers, ids, strict=False))

    def _matrices(self) -> dict[int, npt.NDArray[np.float64]]:
        """Return the matrices by the number of the session that each is from."""
        matrices = {}
        for match in filter(None, map(_MATRIX.fullmatch, self.tables["metadata"])):
            column, source, target = match[0], int(match[1]), int(match[2])
            what = "invertible 3 x 3 matrix of numbers"
            matrices[source] = np.array(self._single(column, what, _is_matrix), np.float64)
            if self.session is not None and target != self.session:
                self.problems.append(
                    f"metadata: {column!r} does not lead to session {self.session}"
                )
            elif self.session_ids and source not in self.session_ids:
                self.problems.append(f"metadata: {column!r} is from a session that is not matched")
        return matrices

    def _examples(self) -> list[tuple[Any, ...]]:
        columns = [self._column(_EXAMPLES, *kind)[1] for kind in _EXAMPLE]
        if len({len(column) for column in columns}) > 1:
            return []  # said above
        rows = []
        tracking_id = {index: place for place, index in enumerate(self.index.tolist())}
        for number, cells in enumerate(zip(*columns, strict=True)):
            level, order, missing, extra, ids, total = ([] if _is_nan(c) else c for c in cells)
            unknown = sorted(set(missing) - tracking_id.keys())
            known = sorted(set(extra) & tracking_id.keys())
            if unknown or known or len(extra) != len(ids):
                self.problems.append(
                    f"{_EXAMPLES}, row {number}: missing ROIs should be tracked ({unknown} are "
                    f"not), extra ones not ({known} are), with an id each"
                )
                continue
            lists = (order, [tracking_id[index] for index in missing], missing, extra, ids)
            rows.append((level, *map(tuple, lists), total))
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


def _parsed(path: PathLike, storage_options: Mapping[str, Any] | None) -> _Parsed:
    # Here, not above: the package is imported without the libraries of files.
    from oscaxr.files.direct import DirectFile

    with closing(DirectFile(place_of(path, storage_options))) as file:
        return _Parsed(file)


def _load(file: "DirectFile") -> dict[str, Any]:
    content = file.whole()
    try:
        tables = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file.place} is not a JSON file: {error}") from error
    if isinstance(tables, dict):
        return tables
    raise FormatError(f"{file.place} holds no tables, but a JSON {type(tables).__name__}")
