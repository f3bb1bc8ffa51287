"""Definitions on the stimulus table, against plain loops."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscaxr.errors import FormatError
from oscaxr.model import segments as table

times = st.floats(-5, 40, allow_nan=False)
clocks = st.lists(st.integers(0, 4000), min_size=2, max_size=60, unique=True).map(
    lambda values: np.sort(np.array(values)) / 100
)


@given(clocks, st.lists(times, max_size=20))
def test_nearest_frames(clock: np.ndarray, wanted: list[float]) -> None:
    found = table.nearest_frames(clock, np.array(wanted, float))
    assert found.dtype == np.int64
    for time, frame in zip(wanted, found.tolist(), strict=True):
        distances = np.abs(clock - time)
        assert distances[frame] == pytest.approx(distances.min(), abs=1e-12)


def test_nearest_frames_ties_and_ends() -> None:
    clock = np.array([0.0, 1.0, 2.0, 10.0])
    found = table.nearest_frames(clock, np.array([[0.5, 1.5], [6.0, 99.0]]))
    np.testing.assert_array_equal(found, [[0, 1], [2, 3]])


@given(clocks, st.lists(st.integers(0, 4000), min_size=1, max_size=10))
def test_frames_from_times(clock: np.ndarray, starts: list[int]) -> None:
    start = np.sort(np.array(starts)) / 100
    stop = np.append(start[1:], start[-1] + 0.3)
    first, last = table.frames_from_times(start, stop, clock)
    assert (np.diff(first) >= 0).all()
    np.testing.assert_array_equal(first[1:], last[:-1])
    assert last[-1] >= first[-1]
    for segment, time in enumerate(start):
        assert abs(clock[first[segment]] - time) == pytest.approx(np.abs(clock - time).min())


def test_frame_rate_is_over_the_whole_table() -> None:
    columns = {
        "start_frame_twop": np.array([100, 130, 190]),
        "stop_frame_twop": np.array([130, 190, 400]),
        "start_time": np.array([2.0, 3.0, 5.0]),
        "stop_time": np.array([3.0, 5.0, 12.0]),
    }
    assert table.frame_rate(columns, "twop") == 30.0


kinds = st.lists(st.sampled_from(["gabors", "visflow", "grayscreen"]), max_size=40)


@given(kinds)
def test_block_numbers(types: list[str]) -> None:
    found = table.block_numbers(np.array(types, dtype="U10"))
    expected, block = [], -1
    for i, kind in enumerate(types):
        block += i == 0 or kind != types[i - 1]
        expected.append(block)
    np.testing.assert_array_equal(found, expected)


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=30, unique_by=lambda x: x[0]
    )
)
def test_first_of_consecutive(pairs: list[tuple[int, int]]) -> None:
    pairs = sorted(pairs)
    segments = np.array([segment for segment, _ in pairs], int)
    blocks = np.sort(np.array([block for _, block in pairs], int))
    for grouping in (None, blocks):
        found = table.first_of_consecutive(segments, grouping)
        for i in range(len(pairs)):
            follows = i > 0 and segments[i] == segments[i - 1] + 1
            if grouping is not None and i > 0:
                follows = follows and grouping[i] == grouping[i - 1]
            assert found[i] == (not follows)


rows = st.lists(
    st.tuples(
        st.sampled_from(["gabors", "visflow", "grayscreen"]),
        st.sampled_from([0.0, 1.0, np.nan]),
        st.sampled_from(["A", "B", "C", "D", "U", "G", ""]),
    ),
    max_size=40,
)


@given(rows)
def test_derive(rows: list[tuple[str, float, str]]) -> None:
    columns = {
        "stimulus_type": np.array([row[0] for row in rows], "U10"),
        "unexpected": np.array([row[1] for row in rows], float),
        "gabor_frame": np.array([row[2] for row in rows], "U1"),
    }
    derived = table.derive(columns)
    sequence = -1
    for i, (kind, unexpected, frame) in enumerate(rows):
        sequence += kind == "gabors" and frame == "A"
        assert derived["sequence_index"][i] == (sequence if kind == "gabors" else -1)
        if i == 0:
            assert derived["run_start"][i]
            continue
        before = rows[i - 1][1]
        alike = unexpected == before or (np.isnan(unexpected) and np.isnan(before))
        same_block = kind == rows[i - 1][0]
        assert derived["run_start"][i] == (not (alike and same_block))
    assert derived["run_start"].dtype == bool
    assert derived["block"].dtype == derived["sequence_index"].dtype == np.int64


# -- normalising columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array(["A", "", "NaN", "nan", "None"]), ["A", "", "", "", ""]),
        (np.array([b"right (temp)", b""], object), ["right (temp)", ""]),
        (np.array([b"A", b"B"]), ["A", "B"]),
        (np.array(["A", None, np.nan], object), ["A", "", ""]),
        (np.full(3, np.nan), ["", "", ""]),
        (np.array([], object), []),
        (np.array([], float), []),
    ],
    ids=str,
)
def test_as_text(values: Any, expected: list[str]) -> None:
    found = table.as_text(values)
    assert found.dtype.kind == "U"
    assert found.tolist() == expected


@given(st.lists(st.text(alphabet="ABGñé ", max_size=4), max_size=20))
def test_as_text_keeps_words(words: list[str]) -> None:
    assert table.as_text(np.array(words, object)).tolist() == words
    encoded = np.array([word.encode() for word in words], object)
    assert table.as_text(encoded).tolist() == words


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 0], "i2"), [1.0, 0.0]),
        (np.array([True, False]), [1.0, 0.0]),
        (np.array([16, np.nan], "f4"), [16.0, np.nan]),
        (np.array(["16", "", "nan", "True", "False", "2.5e1"]), [16, np.nan, np.nan, 1, 0, 25]),
        (np.array([b"4.0", b""], object), [4.0, np.nan]),
        (np.array([4, None, 2.5], object), [4.0, np.nan, 2.5]),
    ],
    ids=str,
)
def test_as_number(values: Any, expected: list[float]) -> None:
    found = table.as_number(values, "column")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_as_number_names_the_column() -> None:
    with pytest.raises(FormatError, match=r"gabor_kappa.*sixteen"):
        table.as_number(np.array(["16", "sixteen"]), "gabor_kappa")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, 5], "u2"), [3, 5]),
        (np.array([3.0, np.nan]), [3, -1]),
        (np.array(["7", ""]), [7, -1]),
        (np.array([b"7.0"], object), [7]),
    ],
    ids=str,
)
def test_as_frames(values: Any, expected: list[int]) -> None:
    found = table.as_frames(values, "column")
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_as_frames_refuses_fractions() -> None:
    for bad in (np.array([1.5]), np.array([np.inf])):
        with pytest.raises(FormatError, match="start_frame_twop"):
            table.as_frames(bad, "start_frame_twop")


# -- problems ------------------------------------------------------------------------------------


def sound() -> dict[str, np.ndarray]:
    return {
        "stimulus_type": np.array(["grayscreen", "gabors", "gabors", "visflow"]),
        "gabor_frame": np.array(["", "A", "B", ""]),
        "main_flow_direction": np.array(["", "", "", "right (temp)"]),
        "start_time": np.array([0.0, 1.0, 2.0, 3.0]),
        "start_frame_stim": np.array([0, 60, 120, 180]),
        "stop_frame_stim": np.array([60, 120, 180, 240]),
    }


def test_sound_table_has_no_problems() -> None:
    assert table.problems_of_table(sound(), {"stim": 240}) == []


@pytest.mark.parametrize(
    ("column", "row", "value", "words"),
    [
        ("stimulus_type", 0, "noise", "'noise' (known: 'gabors', 'visflow', 'grayscreen')"),
        ("gabor_frame", 1, "X", "unknown gabor frames: 'X'"),
        ("main_flow_direction", 3, "up", "'up'"),
        ("start_time", 2, 0.5, "start_time decreases or is NaN at 1 place(s) (first: segment 2)"),
        ("start_time", 2, np.nan, "at 2 place(s)"),
        ("start_frame_stim", 1, -1, "start_frame_stim decreases"),
        ("stop_frame_stim", 3, 241, "beyond the recording of 240 stim frames"),
        ("stop_frame_stim", 3, 100, "segment 3, frames 180 to 100"),
    ],
)
def test_problems(column: str, row: int, value: Any, words: str) -> None:
    columns = sound()
    columns[column] = columns[column].astype(object if isinstance(value, str) else None)
    columns[column][row] = value
    assert words in " | ".join(table.problems_of_table(columns, {"stim": 240}))


def test_all_problems_are_listed() -> None:
    columns = sound()
    columns["stimulus_type"] = np.array(["a", "b", "gabors", "a"])
    columns["start_time"] = columns["start_time"][::-1]
    problems = table.problems_of_table(columns, {"stim": 100})
    assert len(problems) == 3
    assert "'a', 'b'" in problems[0]
    assert "3 segment(s)" in problems[2]
