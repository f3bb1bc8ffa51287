"""Published files of matched ROIs: the real ones, and ones that are wrong."""

import copy
import json
import os

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from oscaxr.errors import FormatError, OptionError, SessionMismatchError, SessionNotFoundError
from oscaxr.formats.original.matches import read_match_examples, read_matches, rows_without_bad
from oscaxr.select.alignment import align_tracked

NAME = "mouse_400001__session_700000002__nway_matched_rois.json"


def rows(*cells):
    return {str(place): cell for place, cell in enumerate(cells)}


CONTENT = {
    "rois": {"sess_2_roi_id": rows(915, 903, 908), "dff-ordered_roi_index": rows(15, 3, 8)},
    "bad_rois": {"sess_2_bad_roi_id": rows(904, 901), "dff_local_bad_roi_idx": rows(4, 1)},
    "metadata": {
        "nway_info": rows("Union."),
        "minimum_iou": rows(0.2),
        "sess_ns": rows([1, 2, 3]),
        "sess_ids": rows([700000001, 700000002, 700000003]),
        "sess_3_to_sess_2_transformation_matrix": rows([[1, 0, 2], [0, 1, -1], [0, 0, 1]]),
        "sess_1_to_sess_2_transformation_matrix": rows([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]),
    },
    "match_perm_examples": {
        "match_level": rows("fewest", "union"),
        "sess_order": rows([2, 1, 3], float("nan")),
        "dff_local_missing_roi_idx": rows([8], float("nan")),
        "dff_local_extra_roi_idx": rows([6, 7], float("nan")),
        "sess2_missing_roi_id": rows([1], float("nan")),
        "sess2_extra_roi_id": rows([906, 907], float("nan")),
        "n_total": rows(4, 5),
    },
}


@pytest.fixture
def write(tmp_path):
    """Write a file of matched ROIs, changed by a function, and return its path."""

    def write_changed(change=lambda content: None, name=NAME):
        content = copy.deepcopy(CONTENT)
        change(content)
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write_changed


def test_what_is_read(write):
    matches = read_matches(write())
    assert matches["tracking_id"].values.tolist() == [0, 1, 2]
    assert matches["roi_index"].values.tolist() == [15, 3, 8]
    assert matches["roi"].values.tolist() == [13, 2, 6]
    assert matches["roi_id"].values.tolist() == [915, 903, 908]
    assert matches["bad_roi_index"].values.tolist() == [4, 1]
    assert matches["bad_roi_id"].values.tolist() == [904, 901]
    assert [int(matches[name]) for name in ("mouse_id", "session", "session_id")] == [
        400001,
        2,
        700000002,
    ]
    assert matches["source_session"].values.tolist() == [1, 3]
    assert matches["source_session_id"].values.tolist() == [700000001, 700000003]
    assert matches["matrix"].sel(source_session=3).values.tolist() == [
        [1, 0, 2],
        [0, 1, -1],
        [0, 0, 1],
    ]
    assert matches.attrs == {"minimum_iou": 0.2, "matching": "Union."}


def test_examples(write):
    examples = read_match_examples(write())
    assert examples.to_dict("records") == [
        {
            "match_level": "fewest",
            "session_order": (2, 1, 3),
            "missing_tracking_id": (2,),
            "missing_roi_index": (8,),
            "extra_roi_index": (6, 7),
            "extra_roi_id": (906, 907),
            "n_total": 4,
        },
        {
            "match_level": "union",
            "session_order": (),
            "missing_tracking_id": (),
            "missing_roi_index": (),
            "extra_roi_index": (),
            "extra_roi_id": (),
            "n_total": 5,
        },
    ]
    none = read_match_examples(write(lambda content: content.pop("match_perm_examples")))
    assert list(none.columns) == list(examples.columns)
    assert none.empty


def test_rows_are_read_by_their_number(write):
    def turn(content):
        for table in content["rois"], content["bad_rois"]:
            for column, cells in table.items():
                table[column] = dict(reversed(cells.items()))

    xr.testing.assert_identical(read_matches(write(turn)), read_matches(write()))


def test_results_can_be_written(write, tmp_path):
    matches = read_matches(write())
    matches.to_netcdf(tmp_path / "matches.nc")
    with xr.open_dataset(tmp_path / "matches.nc") as back:
        xr.testing.assert_identical(back.load(), matches)


def test_a_name_without_ids_is_no_matter(write):
    assert "mouse_id" not in read_matches(write(name="matched.json")).coords
    with pytest.raises(SessionMismatchError, match="named as of session 700000003"):
        read_matches(write(name=NAME.replace("700000002", "700000003")))


def test_sessions_without_bad_rois(write):
    def clean(content):
        for column in content["bad_rois"]:
            content["bad_rois"][column] = {}

    matches = read_matches(write(clean))
    np.testing.assert_array_equal(matches["roi"], matches["roi_index"])
    assert matches.sizes["bad_roi"] == 0


@given(st.permutations(range(12)), st.integers(0, 12))
def test_rows_equal_positions_among_good_rois(order, n_bad):
    bad, tracked = order[:n_bad], order[n_bad:]
    good = [index for index in range(12) if index not in bad]
    assert rows_without_bad(tracked, bad).tolist() == [good.index(index) for index in tracked]


def put(table, column, *cells):
    return lambda content: content[table].__setitem__(column, rows(*cells))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("rois"), "no table 'rois'"),
        (lambda c: c.__setitem__("bad_rois", [1, 2]), "no table 'bad_rois'"),
        (lambda c: c["rois"].pop("sess_2_roi_id"), "one column should be named"),
        (
            lambda c: c["rois"].pop("dff-ordered_roi_index"),
            "should be named 'dff-ordered_roi_index'",
        ),
        (lambda c: c["rois"]["sess_2_roi_id"].pop("0"), "not numbered from 0"),
        (put("rois", "sess_2_roi_id", 1, 2), "columns differ in length"),
        (put("rois", "dff-ordered_roi_index", 15, -3, 8), "holds [-3]"),
        (put("rois", "dff-ordered_roi_index", 15, 3.0, "8"), "holds [3.0, '8']"),
        (put("rois", "dff-ordered_roi_index", 15, True, None), "holds [True, None]"),
        (put("rois", "dff-ordered_roi_index", 15, 3, 15), "each once, but it holds [15]"),
        (put("rois", "dff-ordered_roi_index", 15, 4, 8), "[4] are tracked and bad"),
        (put("bad_rois", "sess_1_bad_roi_id", 1, 2), "one column should be named"),
        (
            lambda c: c["bad_rois"].__setitem__(
                "sess_3_bad_roi_id", c["bad_rois"].pop("sess_2_bad_roi_id")
            ),
            "bad_rois of session 3",
        ),
        (put("metadata", "sess_ns", [1, 2]), "2 session numbers, but 3 ids"),
        (put("metadata", "sess_ns", [1, 4, 3]), "session 2 is none of the matched ones"),
        (put("metadata", "sess_ns", "[1, 2, 3]"), "'sess_ns' should hold one list"),
        (put("metadata", "minimum_iou", None), "'minimum_iou' should hold one number"),
        (put("metadata", "sess_1_to_sess_2_transformation_matrix", [[1, 0], [0, 1]]), "3 x 3"),
        (put("metadata", "sess_1_to_sess_2_transformation_matrix", [[1, 1, 1]] * 3), "3 x 3"),
        (
            put("metadata", "sess_1_to_sess_2_transformation_matrix", [[1, 0, "exit()"]] * 3),
            "3 x 3",
        ),
        (
            put("metadata", "sess_1_to_sess_3_transformation_matrix", np.eye(3).tolist()),
            "does not lead to session 2",
        ),
        (
            put("metadata", "sess_7_to_sess_2_transformation_matrix", np.eye(3).tolist()),
            "from a session that is not matched",
        ),
        (lambda c: c["match_perm_examples"].pop("n_total"), "one column should be named 'n_total'"),
        (
            put("match_perm_examples", "dff_local_missing_roi_idx", [9], float("nan")),
            "[9] are not",
        ),
        (put("match_perm_examples", "dff_local_extra_roi_idx", [8, 6], []), "[8] are"),
        (
            put("match_perm_examples", "n_total", "4", 5),
            "'n_total' should hold whole numbers, but it holds ['4']",
        ),
    ],
)
def test_wrong_files_say_what_is_wrong(change, says, write):
    with pytest.raises(FormatError) as raised:
        read_matches(write(change))
    assert says in str(raised.value)
    assert NAME in str(raised.value)


def test_all_problems_are_listed(write):
    def spoil(content):
        content.pop("bad_rois")
        content["rois"]["dff-ordered_roi_index"]["1"] = "three"
        content["metadata"]["minimum_iou"] = {}

    with pytest.raises(FormatError) as raised:
        read_matches(write(spoil))
    text = str(raised.value)
    for said in ("no table 'bad_rois'", "['three']", "'minimum_iou'"):
        assert said in text


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000, "\udcff"])
def test_what_is_no_json_of_tables(text, tmp_path):
    path = tmp_path / "matches.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=r"matches\.json"):
        read_matches(path)


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_matches(tmp_path / "none.json")


def test_from_a_store_as_from_here(write):
    store = pytest.importorskip("fsspec").filesystem("memory")
    address = f"memory://matches/{NAME}"
    store.put(str(write()), address)
    xr.testing.assert_identical(read_matches(address, storage_options={}), read_matches(write()))
    store.pipe(address, b"[1, 2]")
    with pytest.raises(FormatError, match=rf"{address} holds no tables"):
        read_matches(address)
    store.rm("/matches", recursive=True)
    with pytest.raises(SessionNotFoundError, match=address):
        read_matches(address)
    with pytest.raises(OptionError, match="is on this one"):
        read_matches(write(), storage_options={"anon": True})


def test_what_is_too_large_is_no_matching_file(tmp_path):
    path = tmp_path / NAME
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(
        FormatError, match=r"rois\.json is not read: it has 1,099,511,627,776 bytes"
    ):
        read_matches(path)


# -- the real files ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real_files(shared):
    paths = sorted((shared / "data" / "roi_tracking").glob("*.json"))
    if not paths:
        pytest.skip("no files of matched ROIs")
    return paths


def test_every_real_file(real_files):
    mice = {}
    for path in real_files:
        matches = read_matches(path)
        content = json.loads(path.read_text())
        index = list(content["rois"]["dff-ordered_roi_index"].values())
        bad = list(content["bad_rois"]["dff_local_bad_roi_idx"].values())
        assert matches["roi_index"].values.tolist() == index
        assert matches["roi"].values.tolist() == [i - sum(b < i for b in bad) for i in index]
        assert matches.sizes["source_session"] == 2
        examples = read_match_examples(path)
        orders = examples[examples["match_level"] != "union"]
        found = (
            len(index) - orders["missing_roi_index"].map(len) + orders["extra_roi_index"].map(len)
        )
        assert (found == orders["n_total"]).all()
        mice.setdefault(int(matches["mouse_id"]), []).append(matches)
    assert len(real_files) == 39
    assert len(mice) == 13
    for sessions in mice.values():
        assert len({own.sizes["tracking_id"] for own in sessions}) == 1
        aligned = align_tracked([own[["roi_index"]] for own in sessions])
        assert aligned["session"].values.tolist() in ([1, 2, 3], [4, 5, 6])
    everything = align_tracked(
        [own[["roi_index"]] for sessions in mice.values() for own in sessions]
    )
    n_tracked = sum(sessions[0].sizes["tracking_id"] for sessions in mice.values())
    assert dict(everything.sizes) == {"session": 6, "tracked_roi": n_tracked}


def test_matrices_of_the_real_files_undo_each_other(real_files):
    """There and back is a way of a pixel or so; there and on would be twice the shift."""
    matrices = {}
    for path in real_files:
        matches = read_matches(path)
        for source in matches["source_session"].values.tolist():
            key = (int(matches["mouse_id"]), source, int(matches["session"]))
            matrices[key] = matches["matrix"].sel(source_session=source).values

    def way(matrix):
        place = matrix @ [256, 256, 1]
        return np.hypot(*(place[:2] / place[2] - 256))

    keys = list(matrices)
    back = [
        way(matrices[mouse, target, source] @ matrices[mouse, source, target])
        for mouse, source, target in keys
    ]
    assert np.median(back) < 1 < np.median([way(matrices[key]) for key in keys])
    assert max(back) < 5


def test_places_without_a_matching_file(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        read_matches("")
    for missing in ("\udc80", tmp_path / "none.json"):
        with pytest.raises(SessionNotFoundError, match="there is no file"):
            read_matches(missing)
