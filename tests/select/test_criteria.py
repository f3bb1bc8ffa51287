"""Selection of segments: every kind of criterion, against filters that go row by row."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.errors import CriterionError
from oscaxr.model import names as n
from oscaxr.select.criteria import CONCERNS, Explanation, Step, segment_part
from small_sessions import reopened


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=3, n_tracked=0, scale=0.05, field_shape=(48, 48))


def kept(ds, **criteria):
    return ox.select_segments(ds, **criteria).segment.values.tolist()


def rows(ds, keep):
    table = ox.segment_table(ds)
    return [number for number, row in table.iterrows() if keep(row)]


def gabors(condition):
    return lambda row: row.stimulus_type == "gabors" and condition(row)


def flow(condition):
    return lambda row: row.stimulus_type == "visflow" and condition(row)


CASES = [
    ({}, lambda row: True),
    ({"stimulus": "gabors"}, gabors(lambda row: True)),
    ({"stimulus_type": "visflow"}, flow(lambda row: True)),
    ({"stimulus": ["gabors", "grayscreen"]}, lambda row: row.stimulus_type != "visflow"),
    ({"unexpected": 1}, lambda row: row.unexpected == 1),
    ({"unexpected": False}, lambda row: row.unexpected == 0),
    ({"gabor_frame": "U"}, gabors(lambda row: row.gabor_frame == "U")),
    ({"gabor_frame": 0}, gabors(lambda row: row.gabor_frame == "A")),
    ({"gabor_frame": 3}, gabors(lambda row: row.gabor_frame in "DU")),
    ({"gabor_frame": 4}, gabors(lambda row: row.gabor_frame == "G")),
    ({"gabor_frame": [3, "A"]}, gabors(lambda row: row.gabor_frame in "DUA")),
    ({"gabor_kappa": 16}, gabors(lambda row: row.gabor_kappa == 16)),
    ({"gabor_mean_orientation": [45, 90.0]},
     gabors(lambda row: row.gabor_mean_orientation in (45, 90))),
    ({"gabor_number": 30}, gabors(lambda row: row.gabor_number == 30)),
    ({"main_flow_direction": "right"}, flow(lambda row: "right" in row.main_flow_direction)),
    ({"main_flow_direction": "temp"}, flow(lambda row: "right" in row.main_flow_direction)),
    ({"main_flow_direction": "left"}, flow(lambda row: "left" in row.main_flow_direction)),
    ({"main_flow_direction": "nasal"}, flow(lambda row: "left" in row.main_flow_direction)),
    ({"main_flow_direction": n.RIGHT}, flow(lambda row: "right" in row.main_flow_direction)),
    ({"main_flow_direction": ["right", "nasal"]}, flow(lambda row: True)),
    ({"square_size": 128}, flow(lambda row: True)),
    ({"square_number": 105}, flow(lambda row: True)),
    ({"square_proportion_flipped": 0.25},
     flow(lambda row: row.square_proportion_flipped == 0.25)),
    ({"stimulus_template_name": "visflow_left"},
     lambda row: row.stimulus_template_name == "visflow_left"),
    ({"start_frame_twop": (1500, 4000)}, lambda row: 1500 <= row.start_frame_twop < 4000),
    ({"num_frames_twop": (9, 10)}, lambda row: row.num_frames_twop == 9),
    ({"start_time": (20.5, np.inf)}, lambda row: row.start_time_sec >= 20.5),
    ({"duration": (0.2, 0.4)}, lambda row: 0.2 <= row.duration_sec < 0.4),
    ({"segment": range(5, 9)}, lambda row: row.name in range(5, 9)),
    ({"segment": (5, 9)}, lambda row: 5 <= row.name < 9),
    ({"gabor_mean_orientation": lambda column: column > 100},
     gabors(lambda row: row.gabor_mean_orientation > 100)),
    ({"gabor_frame": None, "unexpected": None}, lambda row: True),
    ({"stimulus": "gabors", "gabor_frame": "U", "gabor_kappa": 16, "unexpected": 1},
     gabors(lambda row: row.gabor_frame == "U")),
]  # fmt: skip


def named(case):
    """Name a case the same in each process: functions by their place only."""
    return re.sub(r"<function .*? at 0x[0-9a-f]+>", "callable", str(case))[:60]


@pytest.mark.parametrize(("criteria", "keep"), CASES, ids=named)
def test_criteria_equal_a_filter_of_rows(ds, criteria, keep):
    assert kept(ds, **criteria) == rows(ds, keep)


def test_derived_columns_are_criteria(ds):
    blocks = ds.segment.values[ds.block.values == 3].tolist()
    assert kept(ds, block=3) == blocks
    sequence = (ds.sequence_index == 4) & (ds.stimulus_type == "gabors")
    assert kept(ds, sequence_index=4) == ds.segment.values[sequence.values].tolist()


@pytest.mark.parametrize(
    "value",
    [
        np.float64(90),
        np.array(90),
        [np.int32(90)],
        np.array([90.0]),
        xr.DataArray(90),
        xr.DataArray([90], dims="wanted"),
        [xr.DataArray(90)],
        {90},
        frozenset([90.0]),
        (number for number in [90]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_scalars_and_collections_of_any_kind(ds, value):
    assert kept(ds, gabor_mean_orientation=value) == kept(ds, gabor_mean_orientation=90)


@pytest.mark.parametrize(
    "value", [np.str_("U"), np.array(["U"]), np.array("U"), xr.DataArray(["U"], dims="x"), {"U"}]
)
def test_words_of_any_kind(ds, value):
    assert kept(ds, gabor_frame=value) == kept(ds, gabor_frame="U")


def test_bounds_of_ranges_of_any_kind(ds):
    low, high = ds.start_time[20], ds.start_time[60]
    wanted = list(range(20, 60))
    assert kept(ds, start_time=(low, high)) == wanted
    assert kept(ds, start_time=(float(low), high.values)) == wanted


def test_criteria_that_do_not_concern_the_stimulus_are_ignored(ds):
    both = kept(ds, stimulus="visflow", gabor_kappa=16, gabor_frame="U", gabor_mean_orientation=45)
    assert both == kept(ds, stimulus="visflow")
    assert kept(ds, stimulus="gabors", main_flow_direction="left") == kept(ds, stimulus="gabors")
    both = kept(ds, stimulus=["gabors", "visflow"], gabor_frame="A", main_flow_direction="left")
    assert both == sorted(kept(ds, gabor_frame="A") + kept(ds, main_flow_direction="left"))


def test_the_concerned_stimuli_are_implied(ds):
    assert kept(ds, gabor_kappa=16) == kept(ds, stimulus="gabors", gabor_kappa=16)
    both = kept(ds, gabor_kappa=16, square_size=128)
    assert both == kept(ds, stimulus=["gabors", "visflow"])
    assert kept(ds, unexpected=1) == kept(ds, stimulus=["gabors", "visflow"], unexpected=1)


def test_unknown_criteria_and_values_are_all_listed(ds):
    with pytest.raises(CriterionError) as caught:
        ox.select_segments(
            ds,
            stimulus="noise",
            gabor_fram="A",
            gabor_frame=["A", "Q", 7],
            gabor_kappa=8,
            gabor_mean_orientation=30,
            main_flow_direction="up",
            square_size=(128,),
            unexpected="yes",
            start_time=(3, 2),
            start_frame_twop=(1, 2, 3),
            duration=lambda column: column[:2] > 1,
            run_start="first",
        )
    message = str(caught.value)
    for part in (
        "stimulus_type = 'noise'", "'gabors', 'visflow', 'grayscreen'",
        "'gabor_fram'; did you mean 'gabor_frame'?",
        "gabor_frame = 'Q', 7", "'A', 'B', 'C', 'D', 'U', 'G', 0, 1, 2, 3, 4",
        "gabor_kappa = 8", "4, 16",
        "gabor_mean_orientation = 30", "0, 45, 90, 135, 180, 225",
        "main_flow_direction = 'up'", "'temp', 'temporal', 'right (temp)', 'left', 'nasal'",
        "square_size = (128,): a tuple is a range (min, max), and square_size has none",
        "start_frame_twop = (1, 2, 3): a tuple is a range (min, max), max exclusive",
        "unexpected = 'yes'", "0, 1",
        "start_time = (3, 2): the range is upside down",
        "duration: the callable should return one flag a segment",
        "run_start = 'first'",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize(
    "criteria",
    [
        {"gabor_kappa": [None]},
        {"gabor_kappa": True},
        {"gabor_kappa": np.nan},
        {"gabor_kappa": 4 + 1j},
        {"gabor_frame": True},
        {"gabor_frame": [["A"]]},
        {"gabor_frame": slice(1)},
        {"start_time": ("a", "b")},
        {"start_time": (1, 2, 3)},
        {"start_time": (np.nan, 2.0)},
        {"start_frame_stim": "first"},
        {"stimulus": "gabors", "stimulus_type": "gabors"},
        {"duration": lambda column: column},
        {"patch": 3},
    ],
    ids=named,
)
def test_values_that_make_no_sense(ds, criteria):
    with pytest.raises(CriterionError):
        ox.select_segments(ds, **criteria)


def test_a_session_without_segments(ds):
    with pytest.raises(CriterionError, match="no dim 'segment'"):
        ox.select_segments(ds.drop_dims("segment"))


def test_a_patch_coordinate_is_no_criterion(ds):
    labelled = ds.assign_coords(patch=np.arange(30))
    with pytest.raises(CriterionError, match="unknown criterion 'patch'"):
        ox.select_segments(labelled, patch=3)
    assert kept(labelled, gabor_frame="U") == kept(ds, gabor_frame="U")


@pytest.mark.parametrize("criteria", [{"gabor_kappa": 4}, {"square_size": 256}, {"segment": []}])
def test_a_legal_value_that_does_not_occur_gives_an_empty_selection(ds, criteria):
    empty = ox.select_segments(ds, **criteria)
    assert empty.sizes["segment"] == 0
    assert set(empty.coords) == set(segment_part(ds).coords)
    u = ox.sequences(ds, "dff", empty, pre=1, post=1)
    assert u.sizes["sequence"] == 0
    assert u.sizes["rel_time"] == 60
    assert ox.sequences(ds, "dff", empty).sizes["sequence"] == 0
    assert ox.stats(u, ("sequence", "roi"))["mean"].isnull().all()
    assert ox.segment_table(empty).empty
    assert ox.blocks(empty).sizes["block"] == 0
    assert ox.responses(ds, empty).sizes["segment"] == 0
    assert ox.patches(ds, empty).gabor_x.shape == (0, 30)
    assert kept(empty, unexpected=1) == []


def test_a_selection_can_be_selected_from_again(ds):
    first = ox.select_segments(ds, stimulus="gabors", unexpected=1)
    assert kept(first, gabor_frame="U") == kept(ds, gabor_frame="U")
    assert set(first.data_vars) == set(n.GABOR_PATCH_VARIABLES)


def test_users_own_columns_are_criteria(ds):
    number = ds.segment.values
    own = ds.assign_coords(
        quality=("segment", number % 7 / 2),
        good=("segment", number % 3 == 0),
        label=("segment", np.where(number % 2, "odd", "even").astype(object)),
    )
    assert kept(own, quality=1.5) == number[number % 7 == 3].tolist()
    assert kept(own, good=True) == number[number % 3 == 0].tolist()
    assert kept(own, label="odd") == number[number % 2 == 1].tolist()


def naive_run_start(segments):
    return [s for i, s in enumerate(segments) if i == 0 or segments[i - 1] != s - 1]


@pytest.mark.parametrize(
    "criteria",
    [
        {"stimulus": "gabors", "unexpected": 1},
        {"stimulus": "visflow", "unexpected": 0},
        {"stimulus": "gabors", "gabor_frame": ["C", "U"]},
        {"stimulus": "visflow"},
        {"gabor_kappa": 4},
    ],
    ids=named,
)
def test_run_start_is_the_published_removal_of_consecutive_segments(ds, criteria):
    everything = kept(ds, **criteria)
    assert kept(ds, run_start=True, **criteria) == naive_run_start(everything)
    rest = sorted(set(everything) - set(naive_run_start(everything)))
    assert kept(ds, run_start=[False], **criteria) == rest
    assert kept(ds, run_start=[True], **criteria) == naive_run_start(everything)
    assert kept(ds, run_start=False, **criteria) == everything


def test_a_run_ends_with_its_block(ds):
    # Without the gray screens between them, the blocks would run into each other.
    first = ox.select_segments(ds, run_start=True)
    assert first.segment.values.tolist() == ox.blocks(ds).start_segment.values.tolist()


def test_explanation_counts_what_each_criterion_left(ds):
    selected, why = ox.select_segments(
        ds, stimulus="gabors", gabor_frame=3, unexpected=1, run_start=True, explain=True
    )
    assert [step.criterion for step in why] == [
        "stimulus = 'gabors'", "gabor_frame = 3", "unexpected = 1", "run_start = True"
    ]  # fmt: skip
    counts = [
        len(kept(ds, stimulus="gabors")),
        len(kept(ds, gabor_frame=3)),
        len(kept(ds, gabor_frame="U")),
        selected.sizes["segment"],
    ]
    assert [step.left for step in why] == counts
    assert str(why).splitlines()[1].split() == ["gabor_frame", "=", "3", str(counts[1])]
    assert repr(why) == str(why)
    assert f"<td>gabor_frame = 3</td><td>{counts[1]:,}</td>" in why._repr_html_()
    assert "&lt;" in Explanation([Step("a < b", 1)])._repr_html_()


def test_explanation_says_what_was_implied_and_stays_short(ds):
    _, why = ox.select_segments(ds, gabor_frame="U", segment=np.arange(400), explain=True)
    assert why[0].criterion == "stimulus = ['gabors'] (implied)"
    assert all(len(step.criterion) < 90 for step in why)
    _, nothing = ox.select_segments(ds, explain=True)
    assert nothing == ()
    assert str(nothing) == ""


@pytest.mark.parametrize(
    ("criterion", "pair"),
    [
        ("stimulus", ("gabors", "visflow")),
        ("unexpected", (0, 1)),
        ("gabor_kappa", (4, 16)),
        ("gabor_mean_orientation", (0, 90)),
        ("gabor_frame", ("D", "U")),
        ("square_size", (128, 256)),
        ("main_flow_direction", ("left", "right")),
        ("run_start", (True, False)),
    ],
)
def test_what_has_a_few_values_has_no_range(ds, criterion, pair):
    with pytest.raises(CriterionError, match=r"give a list|\[False\] the others"):
        ox.select_segments(ds, **{criterion: pair})


LETTERS = [*n.GABOR_FRAMES, 0, 1, 2, 3, 4]


def values_of(name):
    numbers = {
        "unexpected": [0, 1],
        "gabor_kappa": [4, 16],
        "gabor_mean_orientation": list(n.GABOR_MEAN_ORIENTATIONS),
        "square_size": [128, 256],
    }
    if name == "gabor_frame":
        one = st.sampled_from(LETTERS)
    elif name == "main_flow_direction":
        one = st.sampled_from(list(n.FLOW_DIRECTION_WORDS))
    elif name == "start_frame_twop":
        bounds = st.tuples(st.integers(0, 200), st.integers(0, 200))
        return bounds.map(lambda pair: tuple(sorted(pair)))
    else:
        one = st.sampled_from(numbers[name])
    return st.one_of(one, st.lists(one, max_size=3))


NAMES = ("unexpected", "gabor_frame", "gabor_kappa", "gabor_mean_orientation",
         "main_flow_direction", "square_size", "start_frame_twop")  # fmt: skip


@st.composite
def tables(draw):
    """Draw a random stimulus table, in time order."""
    length = draw(st.integers(0, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = rng.choice(n.STIMULUS_TYPES, length) if length else np.zeros(0, "U10")
    is_gabor, is_flow = kind == n.GABORS, kind == n.VISFLOW
    columns = {
        "stimulus_type": kind,
        "unexpected": np.where(is_gabor | is_flow, rng.integers(0, 2, length), np.nan),
        "gabor_frame": np.where(is_gabor, rng.choice(n.GABOR_FRAMES, length), ""),
        "gabor_kappa": np.where(is_gabor, rng.choice(n.GABOR_KAPPAS, length), np.nan),
        "gabor_mean_orientation": np.where(
            is_gabor, rng.choice((*n.GABOR_MEAN_ORIENTATIONS, np.nan), length), np.nan
        ),
        "main_flow_direction": np.where(is_flow, rng.choice(n.FLOW_DIRECTIONS, length), ""),
        "square_size": np.where(is_flow, rng.choice(n.SQUARE_SIZES, length), np.nan),
        "start_frame_twop": np.sort(rng.integers(0, 200, length)),
        "block": np.cumsum(rng.integers(0, 2, length)),
    }
    return xr.Dataset(
        coords={
            "segment": np.arange(length),
            **{name: ("segment", column) for name, column in columns.items()},
        }
    )


def fulfils(name, cell, value):
    if isinstance(value, tuple):
        return value[0] <= cell < value[1]
    for one in value if isinstance(value, list) else [value]:
        if name == "gabor_frame":
            letters = {0: "A", 1: "B", 2: "C", 3: "DU", 4: "G"}.get(one, one)
            if cell and cell in letters:
                return True
        elif name == "main_flow_direction":
            if one.removesuffix("oral") in cell:
                return True
        elif cell == one:
            return True
    return False


@given(table=tables(), data=st.data())
def test_selection_equals_a_filter_of_rows(table, data):
    names = data.draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    criteria = {name: data.draw(values_of(name), label=name) for name in names}
    one = st.sampled_from(n.STIMULUS_TYPES)
    stimulus = data.draw(st.none() | one | st.lists(one, max_size=2), label="stimulus")
    run_start = data.draw(st.sampled_from([None, False, True, [True], [False]]), label="run_start")
    concerned = {CONCERNS[name] for name in names if name in CONCERNS}
    if stimulus is not None:
        shown = {stimulus} if isinstance(stimulus, str) else set(stimulus)
    else:
        shown = concerned or set(n.STIMULUS_TYPES)
    wanted = []
    for position in range(table.sizes["segment"]):
        row = {name: table[name].values[position] for name in table.coords}
        checks = [row["stimulus_type"] in shown]
        for name, value in criteria.items():
            applies = CONCERNS.get(name, row["stimulus_type"]) == row["stimulus_type"]
            checks.append(not applies or fulfils(name, row[name], value))
        if all(checks):
            wanted.append((int(row["segment"]), int(row["block"])))
    if run_start:
        first = [
            i == 0 or wanted[i - 1][0] != s - 1 or wanted[i - 1][1] != b
            for i, (s, b) in enumerate(wanted)
        ]
        wanted = [
            pair for pair, flag in zip(wanted, first, strict=True) if flag in np.ravel(run_start)
        ]
    found = ox.select_segments(table, stimulus=stimulus, run_start=run_start, **criteria)
    assert found.segment.values.tolist() == [segment for segment, _ in wanted]


@pytest.mark.parametrize("form", ["zarr", pytest.param("netcdf", marks=pytest.mark.slow)])
def test_reopened_tables_are_selected_from_alike(ds, form, tmp_path):
    with reopened(segment_part(ds), tmp_path, form) as again:
        for criteria, _ in CASES:
            if not isinstance(next(iter(criteria.values()), None), type(i for i in ())):
                assert kept(again, **criteria) == kept(ds, **criteria)
