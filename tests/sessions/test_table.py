"""The session table: types, checks, published defaults, one row, and a table made from files."""

import math
import pickle
import warnings
from itertools import product

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    OscaxrError,
    OscaxrWarning,
    SessionNotFoundError,
    TableError,
    UnknownFactsWarning,
)
from oscaxr.formats.identity import site_date, utc_start
from oscaxr.model.facts import FACT_BY_NAME, FACTS, PUBLISHED, facts_from_row
from oscaxr.sessions.find import find_sessions
from oscaxr.sessions.table import default_sessions, pilot_omissions, session_row, session_table
from oscaxr.sessions.table_columns import PILOT_STIMULI

DATA = SHARED / "data"
EXAMPLES = DATA.parent / "sessions"
TABLES = [DATA / "mouse_df.csv", DATA / "mouse_df_2021.csv"]
shared = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared")

CSV_2026 = """\
sessid,full_timestamp,mouse_n,mouseid,sex,DOB,date,age_weeks,depth,plane,line,runtype,sess_n,nrois,\
nrois_tracked,nrois_all,nrois_allen,nrois_allen_all,pass_fail,all_files,any_files,incl,stim_seed,notes
758519303,20180926T172917,1,408021,M,20180623,20180926,13.57,175,soma,L23-Cux2,prod,1,96,59,116,\
96,116,P,1,1,yes,30587,
759666166,20181001T180256,2,411400,F,20180711,20181001,11.7,20,dend,L5-Rbp4,prod,1,942,-1,1009,\
70,79,F,1,1,yes,11883,"dropped frames (5), then more"
761730740,20181009T175037,2,411400,F,20180711,20181009,12.9,20,dend,L5-Rbp4,prod,4,630,162,657,\
57,65,P,1,1,yes,44023,
"""
CSV_2021 = """\
sessid,dandi_session_id,mouse_n,mouseid,date,depth,plane,line,runtype,sess_n,nrois,nrois_tracked,\
nrois_all,nrois_allen,nrois_allen_all,pass_fail,all_files,any_files,incl,stim_seed,notes
714893802,,1,389778,20180627,20,dend,L5-Rbp4,pilot,3,-1,-1,-1,-1,-1,F,0,1,no,103,missing
715244457,,1,389778,20180628,20,dend,L5-Rbp4,pilot,4,896,-1,949,458,504,P,1,1,yes,103,
720519615,,3,392960,20180717,175,soma,L23-Cux2,pilot,3,29,-1,31,29,31,P,1,1,yes,100,half
724421207,,4,396998,20180725,175,soma,L23-Cux2,pilot,1,48,-1,50,48,50,P,1,1,yes,103,half
758519303,20180926T172917,1,408021,20180926,175,soma,L23-Cux2,prod,4,96,59,116,96,116,P,1,1,yes,\
30587,
"""


def write(folder, text, name="mouse_df.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path):
    return session_table(write(tmp_path, CSV_2026))


@pytest.fixture
def old_table(tmp_path):
    return session_table(write(tmp_path, CSV_2021))


# -- the table ------------------------------------------------------------------------------------


def test_types(table):
    for column in table:
        kind = FACT_BY_NAME[column].kind
        if kind == "float":
            assert table[column].dtype == "float64"
        elif kind in ("word", "text", "time"):
            assert all(isinstance(value, str) for value in table[column])
        else:
            assert table[column].dtype == "int64"
    assert table["notes"].tolist() == ["", "dropped frames (5), then more", ""]
    assert table["n_rois_tracked"].tolist() == [59, -1, 162]
    assert table.query("plane == 'dend' and session <= 3").session_id.tolist() == [759666166]


def test_both_column_sets_have_the_timestamp(table, old_table):
    assert table["dandi_session_time"].iloc[0] == "20180926T172917"
    assert "dandi_session_id" not in old_table
    assert old_table["dandi_session_time"].tolist() == [""] * 4 + ["20180926T172917"]
    assert "sex" not in old_table
    assert len(old_table) == 5


def test_its_own_output_is_accepted_unchanged(table, old_table):
    for one in (table, old_table, old_table.iloc[[3, 1]], old_table.iloc[:0]):
        pd.testing.assert_frame_equal(session_table(one), one)


@pytest.mark.parametrize("text", [CSV_2026, CSV_2021])
def test_a_frame_read_by_pandas_gives_the_same(tmp_path, text):
    path = write(tmp_path, text)
    pd.testing.assert_frame_equal(session_table(pd.read_csv(path)), session_table(path))
    pd.testing.assert_frame_equal(
        session_table(pd.read_csv(path, dtype=str)), session_table(str(path))
    )


def test_byte_order_mark_spaces_and_empty_cells(tmp_path):
    text = "\ufeffsessid, mouseid,mouse_n,sess_n,plane,nrois,age_weeks,sex\n 1, 7,1,1, soma ,,,\n"
    row = session_table(write(tmp_path, text)).iloc[0]
    assert (row.session_id, row.mouse_id, row.plane, row.n_rois, row.sex) == (1, 7, "soma", -1, "")
    assert math.isnan(row.age_weeks)


def test_other_columns_are_kept(tmp_path):
    text = "sessid,mouseid,mouse_n,sess_n,mine,score,nothing\n1,7,1,1,a,0.5,\n2,7,1,2,b,,\n"
    table = session_table(write(tmp_path, text))
    assert table["mine"].tolist() == ["a", "b"]
    assert table["score"].iloc[0] == 0.5
    assert math.isnan(table["score"].iloc[1])
    assert table["nothing"].tolist() == ["", ""]
    pd.testing.assert_frame_equal(session_table(table), table)


def test_flags_may_be_booleans_and_counts_floats():
    table = session_table(
        pd.DataFrame(
            {
                "session_id": [1, 2],
                "mouse_id": [7, 7],
                "mouse": [1.0, 1.0],
                "session": [1, 2],
                "all_files": [True, False],
                "n_rois": [10.0, np.nan],
            },
            index=[5, 5],
        )
    )
    assert table["all_files"].tolist() == [1, 0]
    assert table["n_rois"].tolist() == [10, -1]
    assert table.index.tolist() == [5, 5]


def test_missing_columns_are_all_named(tmp_path):
    path = write(tmp_path, "sessid,plane\n1,soma\n")
    with pytest.raises(TableError) as caught:
        session_table(path)
    message = str(caught.value)
    assert str(path) in message
    assert "mouse_id (mouseid), mouse (mouse_n), session (sess_n)" in message
    assert "Columns found: sessid, plane." in message


def test_wrong_values_are_all_named(tmp_path):
    rows = [
        ("1", "7", "1", "1", "soma", "10", "20180926", "20180926T172917", "1"),
        ("2", "x", "1", "2", "axon", "1.5", "20181399", "2018-09-26", "2"),
        ("3", "", "1", "-3", "dend", "many", "180926", "20180926T1729", "0"),
    ]
    names = "sessid,mouseid,mouse_n,sess_n,plane,nrois,date,full_timestamp,all_files"
    path = write(tmp_path, "\n".join([names, *map(",".join, rows)]))
    with pytest.raises(TableError) as caught:
        session_table(path)
    message = str(caught.value)
    assert str(path) in message
    wanted = [
        "row 1 (session id 2): mouseid is 'x'",
        "row 1 (session id 2): plane is 'axon', not one of soma, dend",
        "row 1 (session id 2): nrois is '1.5'",
        "row 1 (session id 2): date is '20181399', not a date as yyyymmdd",
        "row 1 (session id 2): full_timestamp is '2018-09-26'",
        "row 1 (session id 2): all_files is '2', not 0 or 1",
        "row 2 (session id 3): mouseid is ''",
        "row 2 (session id 3): sess_n is '-3'",
        "row 2 (session id 3): nrois is 'many'",
        "row 2 (session id 3): date is '180926'",
        "row 2 (session id 3): full_timestamp is '20180926T1729'",
    ]
    for part in wanted:
        assert part in message
    assert message.count("(session id") == len(wanted)


def test_session_ids_are_unique(table):
    with pytest.raises(TableError, match=r"session id 758519303 is in rows 0, 3"):
        session_table(pd.concat([table, table.iloc[:1]], ignore_index=True))


def test_columns_are_unique(table):
    with pytest.raises(TableError, match="more than one column plane"):
        session_table(pd.concat([table, table[["plane"]]], axis=1))
    with pytest.raises(TableError, match="The DataFrame lacks the columns"):
        session_table(pd.DataFrame())


def test_unreadable_files_are_named(tmp_path):
    empty = write(tmp_path, "", "empty.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    ragged = write(tmp_path, "sessid,mouseid,mouse_n,sess_n\n1,7,1,1\n2,7,1,2,3,4\n", "ragged.csv")
    shifted = write(tmp_path, "sessid,mouseid,mouse_n,sess_n\n1,7,1,1,note\n", "shifted.csv")
    for path in (tmp_path / "absent.csv", tmp_path, empty, binary, ragged, shifted):
        with pytest.raises(TableError, match="The session table") as caught:
            session_table(path)
        assert str(path) in str(caught.value)


@shared
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_published_tables(path):
    raw = pd.read_csv(path).rename(columns=PUBLISHED)
    table = session_table(path)
    assert table.columns.tolist() == raw.columns.tolist()
    assert len(table) == {"mouse_df": 50, "mouse_df_2021": 83}[path.stem]
    for column in table:
        expected = raw[column]
        if FACT_BY_NAME[column].kind in ("word", "text", "time"):
            expected = expected.fillna("")
        assert (table[column] == expected).all(), column
    pd.testing.assert_frame_equal(session_table(table), table)
    assert set(table.columns) <= set(FACT_BY_NAME)


# -- facts ----------------------------------------------------------------------------------------


def test_facts(table):
    coords, attrs = facts_from_row(table.iloc[1])
    assert coords == {
        "session_id": 759666166,
        "mouse": 2,
        "mouse_id": 411400,
        "depth": 20,
        "plane": "dend",
        "line": "L5-Rbp4",
        "run_type": "prod",
        "session": 1,
    }
    assert attrs == {
        "dandi_session_time": "2018-10-01T18:02:56+00:00",
        "sex": "F",
        "date_of_birth": "2018-07-11",
        "date": "2018-10-01",
        "age_weeks": 11.7,
        "n_rois": 942,
        "n_rois_all": 1009,
        "n_rois_allen": 70,
        "n_rois_allen_all": 79,
        "pass_fail": "F",
        "all_files": 1,
        "any_files": 1,
        "included": "yes",
        "stimulus_seed": 11883,
        "notes": "dropped frames (5), then more",
    }


@shared
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_facts_are_the_same_from_the_raw_row_and_have_plain_types(path):
    raw, table = pd.read_csv(path), session_table(path)
    for i in range(len(table)):
        coords, attrs = facts_from_row(table.iloc[i])
        assert facts_from_row(raw.iloc[i]) == (coords, attrs)
        assert all(type(value) in (int, float, str) for value in (coords | attrs).values())
        assert "" not in (coords | attrs).values()
        assert -1 not in (coords | attrs).values()


def test_facts_name_all_wrong_values():
    row = pd.Series({"session_id": 1, "n_rois": "many", "date": 20181399, "all_files": 3})
    with pytest.raises(TableError, match=r"session 1 .*date.*n_rois.*all_files"):
        facts_from_row(row)


def test_fact_names_are_unique():
    assert len({spec.name for spec in FACTS}) == len({spec.column for spec in FACTS}) == len(FACTS)
    assert FACT_BY_NAME["depth"].attrs == {"long_name": "imaging depth", "units": "um"}


# -- defaults -------------------------------------------------------------------------------------


def test_defaults(table, old_table):
    assert default_sessions(table).session_id.tolist() == [758519303, 761730740]
    assert default_sessions(table, pass_fail=None).session_id.tolist() == table.session_id.tolist()
    assert default_sessions(table, line="L5").session_id.tolist() == [761730740]
    assert default_sessions(table, line=["L5-Rbp4", "L23"], min_rois=700).empty
    assert default_sessions(table, omit_sessions=[758519303]).session_id.tolist() == [761730740]
    assert default_sessions(table, omit_mice=[2]).session_id.tolist() == [758519303]
    assert default_sessions(old_table).session_id.tolist() == [758519303]


EMPTY = {
    "pass_fail": "",
    "included": "",
    "all_files": -1,
    "any_files": -1,
    "n_rois": -1,
    "run_type": "",
}


@pytest.mark.parametrize("column", EMPTY)
def test_sessions_that_the_table_says_too_little_of_are_reported(table, column):
    table.loc[0, column] = EMPTY[column]
    with pytest.warns(UnknownFactsWarning) as caught:
        assert default_sessions(table).session_id.tolist() == [761730740]
    (said,) = caught
    assert "1 session(s) are left out" in str(said.message)
    assert f"session 758519303 (mouse 1, session 1): {column}\n" in str(said.message)
    assert said.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It does not fit for another reason, or need not.
        found = default_sessions(table, mouse=2)
        assert found.session_id.tolist() == [761730740]
        assert default_sessions(table, omit_sessions=[758519303]).equals(found)
        assert default_sessions(table, omit_mice=[1]).equals(found)
        name = "min_rois" if column == "n_rois" else column
        assert 758519303 in default_sessions(table, **{name: None}).session_id.tolist()


def test_rows_of_one_label_are_told_apart(table):
    table.loc[0, "n_rois"] = -1
    table.index = [7, 7, 7]
    with pytest.warns(UnknownFactsWarning, match=r"1 session.*\n.*session 758519303 .*: n_rois\n"):
        assert default_sessions(table).session_id.tolist() == [761730740]


def test_all_that_is_empty_is_named(table):
    table.loc[[0, 1], "pass_fail"] = ""
    table.loc[0, "n_rois"] = -1
    table.loc[1, "line"] = ""
    with pytest.warns(UnknownFactsWarning) as caught:
        assert default_sessions(table, line="L5").session_id.tolist() == [761730740]
    assert "session 759666166 (mouse 2, session 1): pass_fail, line\n" in str(caught[0].message)
    assert "758519303" not in str(caught[0].message), "it is of the other line"
    with pytest.warns(UnknownFactsWarning, match=r"mouse 1, session 1\): pass_fail, n_rois\n"):
        assert default_sessions(table).session_id.tolist() == [761730740]


def test_a_run_type_that_is_not_known(old_table):
    old_table.loc[4, "run_type"] = ""
    with pytest.warns(UnknownFactsWarning, match="758519303.*: run_type"):
        assert default_sessions(old_table).empty
    flow = {"stimulus": "visflow", "square_size": 256, "run_type": None}
    with pytest.warns(UnknownFactsWarning, match="758519303.*: run_type"):
        assert default_sessions(old_table, **flow).session_id.tolist() == [
            715244457, 720519615, 724421207,
        ]  # fmt: skip
    with (
        pytest.warns(UnknownFactsWarning, match="758519303.*: run_type"),
        pytest.raises(SessionNotFoundError),
    ):
        session_row(old_table, session_id=758519303, run_type="prod")


def test_stimuli_of_pilot_and_production_mice(old_table):
    def chosen(**kwargs):
        return default_sessions(old_table, run_type=None, **kwargs).session_id.tolist()

    both = [715244457, 720519615, 724421207, 758519303]
    assert chosen() == chosen(stimulus="gabors") == both
    assert chosen(stimulus="gabors", gabor_kappa=4) == [715244457, 720519615]
    assert chosen(stimulus="gabors", gabor_kappa=16) == [715244457, 724421207, 758519303]
    # The size concerns visual flow only.
    assert chosen(stimulus="gabors", gabor_kappa=16, square_size=256) == chosen(
        stimulus="gabors", gabor_kappa=16
    )
    left = {"stimulus": "visflow", "main_flow_direction": "nasal"}
    assert chosen(**left) == [715244457, 720519615, 758519303]
    assert chosen(**left, square_size=256) == [715244457]
    no_data = {"pass_fail": None, "included": None, "all_files": None, "min_rois": None}
    assert 714893802 in chosen(**no_data)
    assert 714893802 not in chosen(**no_data, stimulus="visflow")


def test_values_outside_the_domain(table):
    for kwargs, words in (
        ({"plane": "axon"}, "plane is 'axon'; it can be soma, dend"),
        ({"line": ["L4"]}, "line is 'L4'"),
        ({"run_type": "any"}, "run_type is 'any'; it can be prod, pilot"),
        ({"stimulus": "bricks"}, "'bricks'; it can be 'gabors' or 'visflow'"),
        ({"stimulus": "gabors", "gabor_kappa": 8}, "gabor_kappa is 8"),
        ({"stimulus": "visflow", "main_flow_direction": "up"}, "'up'"),
    ):
        with pytest.raises(CriterionError, match=words):
            default_sessions(table, **kwargs)


def test_a_criterion_without_its_column_is_not_passed_over(table):
    with pytest.raises(TableError, match="lacks the columns included, n_rois"):
        default_sessions(table.drop(columns=["n_rois", "included"]))
    lean = default_sessions(
        table.drop(columns=["n_rois", "included"]), included=None, min_rois=None
    )
    assert len(lean) == 2


rows = st.fixed_dictionaries(
    {
        "mouse": st.integers(1, 5),
        "session": st.integers(1, 6),
        "run_type": st.sampled_from(["prod", "pilot"]),
        "plane": st.sampled_from(["soma", "dend", ""]),
        "line": st.sampled_from(["L23-Cux2", "L5-Rbp4"]),
        "pass_fail": st.sampled_from(["P", "F"]),
        "included": st.sampled_from(["yes", "no"]),
        "all_files": st.integers(0, 1),
        "any_files": st.integers(0, 1),
        "n_rois": st.integers(-1, 10),
    }
)
CRITERION_COLUMN = {
    "mouse": "mouse",
    "session": "session",
    "run_type": "run_type",
    "plane": "plane",
    "line": "line",
    "pass_fail": "pass_fail",
    "included": "included",
    "all_files": "all_files",
    "any_files": "any_files",
}
DEFAULTS = {"run_type": "prod", "pass_fail": "P", "included": "yes", "all_files": 1, "any_files": 1}


@pytest.mark.filterwarnings("ignore::oscaxr.errors.UnknownFactsWarning")
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(rows, max_size=12), st.data())
def test_defaults_are_a_row_by_row_filter(some_rows, data):
    table = pd.DataFrame(some_rows, columns=[*CRITERION_COLUMN.values(), "n_rois"])
    table["session_id"] = range(100, 100 + len(table))
    table["mouse_id"] = 7
    asked = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "mouse": st.none() | st.lists(st.integers(1, 5), max_size=3),
                "session": st.none() | st.integers(1, 6) | st.just((1, 2, 3)),
                "run_type": st.sampled_from([None, "prod", "pilot", ["prod", "pilot"]]),
                "plane": st.sampled_from([None, "soma", ["dend"], {"soma", "dend"}]),
                "line": st.sampled_from([None, "L5-Rbp4"]),
                "pass_fail": st.sampled_from([None, "P", "F"]),
                "included": st.sampled_from([None, "yes", ["yes", "no"]]),
                "all_files": st.sampled_from([None, 0, 1]),
                "any_files": st.sampled_from([None, 0, 1]),
                "min_rois": st.none() | st.integers(0, 10),
                "omit_sessions": st.lists(st.integers(100, 112), max_size=2),
                "omit_mice": st.lists(st.integers(1, 5), max_size=2),
            },
        )
    )
    expected = []
    for row in table.to_dict("records"):
        fits = row["session_id"] not in asked.get("omit_sessions", [])
        fits &= row["mouse"] not in asked.get("omit_mice", [])
        min_rois = asked.get("min_rois", 1)
        fits &= min_rois is None or row["n_rois"] >= min_rois
        for criterion, column in CRITERION_COLUMN.items():
            value = asked.get(criterion, DEFAULTS.get(criterion))
            if isinstance(value, (str, int)):
                fits &= row[column] == value
            elif value is not None:
                fits &= row[column] in value
        if fits:
            expected.append(row["session_id"])
    assert default_sessions(table, **asked).session_id.tolist() == expected


# -- pilots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappas", [4, 16, [4, 16], None])
def test_pilot_omissions_for_gabors(kappas):
    # The published rule: without kappa 4 not mouse 3, without kappa 16 not mouse 4.
    asked = [4, 16] if kappas is None else np.atleast_1d(kappas)
    mice = () if len(asked) == 2 else (4,) if 4 in asked else (3,)
    assert pilot_omissions("gabors", gabor_kappa=kappas) == ((714893802,), mice)


@pytest.mark.parametrize(
    ("directions", "sizes"),
    list(product(["right", "left", ["right", "left"], None], [128, 256, [128, 256], None])),
)
def test_pilot_omissions_for_visual_flow(directions, sizes):
    directions_asked = ["right", "left"] if directions is None else np.atleast_1d(directions)
    sizes_asked = [128, 256] if sizes is None else np.atleast_1d(sizes)
    # The published rule, by case.
    if "right" not in directions_asked:
        mice = {4} if 128 in sizes_asked else {3, 4}
    elif "left" not in directions_asked and 256 not in sizes_asked:
        mice = {3}
    else:
        mice = set()
    omitted = pilot_omissions("visflow", main_flow_direction=directions, square_size=sizes)
    assert omitted == ((714893802,), tuple(sorted(mice)))


def test_pilot_criteria_of_the_other_stimulus_are_ignored():
    assert pilot_omissions("gabors", square_size=999)[1] == ()
    with pytest.raises(CriterionError, match=r"square_size is 999; it can be 128.0, 256.0"):
        pilot_omissions("visflow", square_size=999)


@shared
def test_pilot_stimuli_follow_from_the_notes():
    table = session_table(TABLES[1]).query("run_type == 'pilot'")
    half = table[table["notes"].str.contains("half stimuli")]
    whole = {mouse for mouse, shown in PILOT_STIMULI.items() if len(shown) == 6}
    assert set(half["mouse"]) == set(PILOT_STIMULI) - whole == {3, 4}
    assert set(table["mouse"]) == set(PILOT_STIMULI)


@shared
def test_published_defaults_on_the_published_tables():
    for path in TABLES:
        assert len(default_sessions(path)) == 42
        assert len(default_sessions(path, min_rois=5)) == 42
    chosen = default_sessions(TABLES[1], run_type="pilot", stimulus="gabors", gabor_kappa=16)
    assert set(chosen["mouse"]) == {1, 2, 4}


# -- one row --------------------------------------------------------------------------------------


def test_session_row(table, old_table):
    assert session_row(table, session_id=761730740)["session"] == 4
    assert session_row(table, mouse=2, session=1)["session_id"] == 759666166
    assert session_row(table, mouse=1)["session_id"] == 758519303
    assert session_row(old_table, mouse=1, session=4, run_type="prod")["session_id"] == 758519303


def test_ambiguous_row(old_table):
    with pytest.raises(AmbiguousSessionError) as caught:
        session_row(old_table, mouse=1, session=4)
    message = str(caught.value)
    for part in (
        "2 sessions of the table have mouse 1, session 4",
        "715244457: mouse 1, session 4, pilot",
        "758519303: mouse 1, session 4, prod",
        "Give run_type",
    ):
        assert part in message
    with pytest.raises(AmbiguousSessionError, match="5 sessions of the table have no criterion"):
        session_row(old_table)


def test_row_not_found(table):
    with pytest.raises(SessionNotFoundError) as caught:
        session_row(table, mouse=2, session=2)
    assert "no session with mouse 2, session 2" in str(caught.value)
    assert "761730740: mouse 2, session 4" in str(caught.value)
    assert "758519303" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nearest ids are:\n  - 758519303: mouse 1"):
        session_row(table, session_id=758519304)
    with pytest.raises(SessionNotFoundError, match=r"It has:\n  - 758519303: mouse 1"):
        session_row(table, session_id=758519303, mouse=2)
    with pytest.raises(SessionNotFoundError, match="411400 is a mouse id: give mouse=2"):
        session_row(table, mouse=411400)
    with pytest.raises(SessionNotFoundError, match="mice in the table are 1, 2"):
        session_row(table, mouse=9)
    with pytest.raises(SessionNotFoundError, match="It has 3 sessions"):
        session_row(table, session=9)
    with pytest.raises(CriterionError, match="run_type is 'production'"):
        session_row(table, mouse=1, run_type="production")
    with pytest.raises(TableError, match="lacks the columns run_type"):
        session_row(table.drop(columns="run_type"), mouse=1, run_type="prod")


# -- a table from files ---------------------------------------------------------------------------


def make_session(folder, session_id, mouse_id, start, genotype, n_tracked=2, suffix=""):
    path = (
        folder / f"sub-{mouse_id}" / f"sub-{mouse_id}_ses-{session_id}{suffix}_behavior+ophys.nwb"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["general/session_id"] = str(session_id)
        file["general/subject/subject_id"] = str(mouse_id)
        file["general/subject/genotype"] = genotype
        file["general/subject/sex"] = "F"
        file["session_start_time"] = start
        rois = file.create_group("processing/ophys/ImageSegmentation/PlaneSegmentation")
        rois["id"] = np.arange(5)
        if n_tracked:
            rois["tracking_id"] = np.array([*range(n_tracked), *[np.nan] * (5 - n_tracked)])
    return path


def test_find_sessions(tmp_path):
    late = make_session(
        tmp_path, 300000001, 500001, "2018-10-19T00:18:29+00:00", "Rbp4-Cre_KL100;Ai93"
    )
    first = make_session(tmp_path, 300000002, 500001, "2018-10-16T10:00:00-07:00", "Rbp4-Cre", 0)
    second = make_session(
        tmp_path, 300000002, 500001, "2018-10-16T10:00:00-07:00", "", suffix="_obj-raw"
    )
    other = make_session(
        tmp_path, 300000009, 400001, "2018-10-16T17:00:00+00:00", "Cux2-CreERT2;Camk2a-tTA"
    )
    table = find_sessions(tmp_path)

    def size(path):
        return path.stat().st_size

    assert table.to_dict("list") == {
        "session_id": [300000009, 300000002, 300000001],
        "dandi_session_time": ["20181016T170000", "20181016T170000", "20181019T001829"],
        "mouse": [1, 2, 2],
        "mouse_id": [400001, 500001, 500001],
        "sex": ["F", "F", "F"],
        "date": [20181016, 20181016, 20181018],
        "line": ["L23-Cux2", "L5-Rbp4", "L5-Rbp4"],
        "session": [1, 1, 2],
        "n_rois": [5, 5, 5],
        "n_rois_tracked": [2, -1, 2],
        "path": [str(other), str(first), str(late)],
        "n_files": [1, 2, 1],
        "bytes": [size(other), size(first) + size(second), size(late)],
        "published_bytes": [-1, -1, -1],
    }
    pd.testing.assert_frame_equal(session_table(table), table)
    assert session_row(table, mouse=2, session=2)["session_id"] == 300000001
    coords, attrs = facts_from_row(table.iloc[1])
    assert coords["line"] == "L5-Rbp4"
    assert "n_rois_tracked" not in attrs


def test_find_sessions_in_the_original_layout(original_folders):
    table = find_sessions(original_folders["soma"].parents[2])
    assert table.session_id.tolist() == [900000001, 900000004]
    assert table.mouse_id.tolist() == [900001, 900002]
    assert table.date.tolist() == [20010105, 20010105]
    assert table.path.tolist() == [str(original_folders[plane]) for plane in ("soma", "dend")]


def test_find_sessions_knows_what_the_archive_has(tmp_path):
    start = "2018-09-26T17:29:17-07:00"
    path = make_session(tmp_path, 758519303, 408021, start, "Cux2")
    make_session(tmp_path, 759189643, 408021, start, "Cux2")
    table = find_sessions(tmp_path).set_index("session_id")
    assert table["published_bytes"].to_dict() == {758519303: 240014960, 759189643: 211951336}
    assert table["bytes"][758519303] == path.stat().st_size
    make_session(tmp_path, 758519303, 408021, start, "Cux2", suffix="_obj-other")
    assert find_sessions(tmp_path)["published_bytes"].tolist() == [-1, 211951336]


def test_find_sessions_in_an_empty_folder(tmp_path):
    table = find_sessions(tmp_path)
    assert table.empty
    assert table["session_id"].dtype == table["n_files"].dtype == "int64"
    assert {"mouse", "path"} <= set(table)


def test_find_sessions_names_what_it_cannot_use(tmp_path):
    make_session(tmp_path, 300000001, 500001, "2018-10-19T00:18:29+00:00", "Rbp4")
    broken = tmp_path / "sub-500001" / "sub-500001_ses-300000002_behavior+ophys.nwb"
    broken.write_text("no")
    with pytest.warns(OscaxrWarning, match="sub-500001_ses-300000002"):
        table = find_sessions(tmp_path)
    # What the name says is kept.
    assert table.set_index("session_id")["n_rois"].to_dict() == {300000001: 5, 300000002: -1}
    with h5py.File(tmp_path / "nameless.nwb", "w"):
        pass
    with pytest.warns(OscaxrWarning, match=r"nameless.nwb states no session id"):
        assert len(find_sessions(tmp_path)) == 2


@shared
def test_dates_at_the_recording_site():
    table = session_table(TABLES[0])
    starts = [utc_start(stamp, utc_digits=True) for stamp in table["dandi_session_time"]]
    assert [site_date(start) for start in starts] == table["date"].tolist()


@shared
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs ../shared/sessions")
def test_find_the_example_sessions():
    table, published = find_sessions(EXAMPLES), session_table(TABLES[0])
    assert table["session_id"].tolist() == [758519303, 759189643, 759660390, 764704289]
    assert table["n_rois_tracked"].tolist() == [9, 9, 9, 12]
    assert table["session"].tolist() == [1, 2, 3, 1]
    both = table.merge(published, on="session_id", suffixes=("", "_published"))
    for column in ("mouse_id", "dandi_session_time", "date", "session"):
        assert (both[column] == both[f"{column}_published"]).all()


# -- names ----------------------------------------------------------------------------------------
def test_published_names_are_read_and_ours_are_written(tmp_path, table):
    assert set(PUBLISHED).isdisjoint(table)
    again = tmp_path / "again.csv"
    table.to_csv(again, index=False)
    pd.testing.assert_frame_equal(session_table(again), table)
    pd.testing.assert_frame_equal(session_table(pd.DataFrame(table)), table)


@pytest.mark.parametrize(
    "use",
    [
        lambda table: table.query("sess_n <= 3"),
        lambda table: table.query("sex == 'M' and sess_n <= @LIMIT"),
        lambda table: table.eval("sess_n + 1"),
        lambda table: table["sess_n"],
        lambda table: table[["sex", "sess_n"]],
        lambda table: table[table["sex"] == "M"].sess_n,
        lambda table: pickle.loads(pickle.dumps(table)).get("sess_n"),
    ],
)
def test_a_query_by_an_old_name_says_the_new_one(use, table, sample_path):
    for one in (table, find_sessions(sample_path.parent)):
        with pytest.raises(OscaxrError, match="sess_n is session here"):
            use(one)


LIMIT = 2


def test_queries_are_those_of_pandas(table):
    least = 1
    assert least  # the queries see it
    assert len(table.query("session <= @LIMIT and session >= @least")) == 2
    assert table.eval("session + @least").tolist() == [2, 2, 5]
    assert type(table.copy()) is type(table[["mouse"]]) is type(table)
    with pytest.raises(pd.errors.UndefinedVariableError, match="'odd'"):
        table.query("odd == 1")
    with pytest.raises(KeyError, match="odd"):
        table["odd"]
    with pytest.raises(AttributeError, match="odd"):
        table.odd  # noqa: B018
    kept = table.assign(sess_n=7)
    assert kept.query("sess_n == 7").sess_n.tolist() == kept["sess_n"].tolist() == [7] * 3
