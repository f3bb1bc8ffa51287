"""Criteria and their values, as words of the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.cli.session_options import Part, open_options, read_value, split_words
from oscaxr.errors import CriterionError
from oscaxr.options import DEFAULTS

INF = float("inf")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("U", "U"),
        ("D,U", ["D", "U"]),
        ("3", 3),
        ("16,4", [16, 4]),
        ("0.25", 0.25),
        ("-1.5e2", -150.0),
        ("1500:4000", (1500, 4000)),
        ("1500:", (1500, INF)),
        (":4.5", (-INF, 4.5)),
        ("true", True),
        ("False", False),
        ("right (temp)", "right (temp)"),
        ("A:C", "A:C"),
        ("nan", "nan"),
        (" D , U ", ["D", "U"]),
        ("1_000", "1_000"),
        ("\u0661", "\u0661"),
    ],
)
def test_values_are_read(text, value):
    found = read_value("name", text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["", "D,", ",", "1:3,5", "1:2,3:4"])
def test_odd_values_are_refused(text):
    with pytest.raises(CriterionError, match=r"gabor_frame="):
        read_value("gabor_frame", text)


def test_criteria_are_told_from_other_words():
    words = ["./a=b.nwb", "gabor_frame=U", "/x/y=1", "a b=c", "note=a=b"]
    others, criteria = split_words(words)
    assert others == ["./a=b.nwb", "/x/y=1", "a b=c"]
    assert criteria == {"gabor_frame": "U", "note": "a=b"}
    with pytest.raises(CriterionError, match="given twice"):
        split_words(["block=1", "block=2"])
    with pytest.raises(CriterionError, match="explain"):
        split_words(["explain=true"])


@given(
    st.one_of(
        st.integers(-(10**9), 10**9),
        st.floats(-1e9, 1e9),
        st.booleans(),
        st.text("abcXYZ ()_", min_size=1).map(str.strip).filter(bool),
    )
)
def test_scalars_come_back_from_their_words(value):
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return
    assert read_value("name", str(value)) == value


@given(st.lists(st.integers(0, 99), min_size=2), st.integers(-99, 99), st.integers(-99, 99))
def test_lists_and_ranges_come_back_from_their_words(values, low, high):
    assert read_value("name", ",".join(map(str, values))) == values
    assert read_value("name", f"{low}:{high}") == (low, high)


def test_what_is_read_is_what_select_takes(memory_session):
    cases = {
        "gabor_frame=U": {"gabor_frame": "U"},
        "gabor_frame=D,U gabor_kappa=16": {"gabor_frame": ["D", "U"], "gabor_kappa": 16},
        "gabor_frame=3 unexpected=1": {"gabor_frame": 3, "unexpected": 1},
        "start_frame_twop=500:1500": {"start_frame_twop": (500, 1500)},
        "stimulus=visflow unexpected=1 run_start=true": {
            "stimulus": "visflow", "unexpected": 1, "run_start": True,
        },
        "main_flow_direction=nasal": {"main_flow_direction": "nasal"},
    }  # fmt: skip
    for text, criteria in cases.items():
        _, read = split_words(text.split(" "))
        found = ox.select_segments(memory_session, **read)
        wanted = ox.select_segments(memory_session, **criteria)
        assert wanted.sizes["segment"] > 0
        assert found.identical(wanted), text


def test_every_option_of_opening_is_there():
    asked = open_options(
        include=[Part.squares],
        drop_variables=["dff"],
        fluorescence="raw",
        segmentation="extr",
        keep_decoded=True,
        chunks=["roi=32", "time=-1"],
        header=["Authorization: token"],
    )
    of_indexes = {"group", "sources"}  # which are of the command, beside the path of an index
    assert set(asked) == set(DEFAULTS) - of_indexes
    assert asked["chunks"] == {"roi": 32, "time": -1}


@pytest.mark.parametrize("word", ["roi", "=3", "roi=many", "roi="])
def test_chunks_that_are_none(word):
    bad = pytest.importorskip("typer").BadParameter
    with pytest.raises(bad, match="DIM=N"):
        open_options(chunks=[word])
