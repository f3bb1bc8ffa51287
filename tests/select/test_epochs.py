"""Epochs: sets of them against a slow loop on a fine grid, and what lies within."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.select.epochs import lie_within

# Times are whole numbers here, so that what lies between two of them is one cell of a grid.
LAST = 24
INTERVALS = st.lists(st.tuples(st.integers(0, LAST), st.integers(0, LAST)).map(sorted), max_size=6)
SETS = {
    "union": (ox.epoch_union, lambda first, *others: any([first, *others])),
    "intersection": (ox.epoch_intersection, lambda first, *others: all([first, *others])),
    "difference": (ox.epoch_difference, lambda first, *others: first and not any(others)),
}


def made(intervals, **options):
    start, stop = np.array(intervals, float).reshape(-1, 2).T
    return ox.epochs(start, stop, **options)


def listed(found):
    return list(zip(found.start_time.values.tolist(), found.stop_time.values.tolist(), strict=True))


def cells(intervals):
    """Whether each cell of the grid lies in one of the intervals."""
    return [any(start <= k < stop for start, stop in intervals) for k in range(LAST)]


def runs_of(flags):
    """Start and stop of each run of True, one cell at a time."""
    found, begun = [], None
    for k, flag in enumerate([*flags, False]):
        if flag and begun is None:
            begun = k
        if not flag and begun is not None:
            found.append((float(begun), float(k)))
            begun = None
    return found


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=3, n_tracked=0, scale=0.1, field_shape=(48, 48))


# -- sets ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SETS)
@given(given_sets=st.lists(INTERVALS, min_size=1, max_size=3))
def test_sets_equal_a_loop_over_a_grid(name, given_sets):
    combine, rule = SETS[name]
    expected = [rule(*flags) for flags in zip(*map(cells, given_sets), strict=True)]
    found = combine(*map(made, given_sets))
    assert listed(found) == runs_of(expected)
    assert found.epoch.values.tolist() == list(range(found.sizes["epoch"]))
    # Epochs are in order, do not touch, and are what epochs make of themselves.
    assert listed(ox.epochs(found)) == listed(found)


@given(intervals=INTERVALS, bridge=st.integers(0, 4), least=st.integers(0, 5))
def test_gaps_are_bridged_before_short_epochs_go(intervals, bridge, least):
    runs = runs_of(cells(intervals))
    joined: list[tuple[float, float]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] <= bridge:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    expected = [(start, stop) for start, stop in joined if stop - start >= least]
    assert listed(made(intervals, bridge=bridge, least=least)) == expected


@given(intervals=INTERVALS, segments=INTERVALS)
def test_what_lies_within_equals_a_loop(intervals, segments):
    segments = [(start, stop) for start, stop in segments if start < stop]
    flags = cells(intervals)
    inside = [sum(flags[start:stop]) for start, stop in segments]
    length = [stop - start for start, stop in segments]
    start, stop = np.array(segments, float).reshape(-1, 2).T
    wholly, partly = lie_within(start, stop, made(intervals))
    assert wholly.tolist() == [k == of for k, of in zip(inside, length, strict=True)]
    assert partly.tolist() == [0 < k < of for k, of in zip(inside, length, strict=True)]


# -- where epochs come from ---------------------------------------------------------------------
def test_epochs_of_blocks_and_segments(ds):
    blocks = ox.blocks(ds, stimulus="visflow")
    flow = ox.epochs(blocks)
    assert listed(flow) == list(zip(blocks.start_time.values, blocks.stop_time.values, strict=True))
    assert listed(ox.epochs(ds.osca.select(stimulus="visflow"))) == listed(flow)
    # The segments of a run follow each other without a gap.
    runs = ds.osca.select(stimulus="visflow", unexpected=1)
    onsets = ds.osca.select(stimulus="visflow", unexpected=1, run_start=True)
    found = runs.osca.epochs()
    assert found.start_time.values.tolist() == onsets.start_time.values.tolist()
    assert found.start_time.attrs["units"] == "s"
    assert int(found.session_id) == int(ds.session_id)
    assert listed(ox.epochs(ds)) == [(float(ds.start_time[0]), float(ds.stop_time[-1]))]
    assert ox.epochs(runs.isel(segment=[])).sizes["epoch"] == 0


def test_running_bouts_equal_a_loop_over_frames(ds):
    found = ds.osca.running_bouts(above=4, bridge=0.6, least=1.2)
    times, velocity = ds.stim_time.values, ds.run_velocity.values
    bouts: list[list[float]] = []
    for k in range(len(times) - 1):
        if not abs(velocity[k]) > 4:
            continue
        if bouts and times[k] - bouts[-1][1] <= 0.6:
            bouts[-1][1] = times[k + 1]
        else:
            bouts.append([times[k], times[k + 1]])
    expected = [(start, stop) for start, stop in bouts if stop - start >= 1.2]
    assert listed(found) == expected
    assert len(expected) > 2


def test_flags_over_a_clock_that_was_cut(ds):
    pupil = ds.pupil_diameter.isel(time=[*range(10), *range(100, 110)])
    (first, second) = listed(ox.epochs(pupil > 0))
    times = ds.time.values
    # The last frame before the gap lasts as long as others do, not until the next.
    step = float(np.median(np.diff(times[:10])))
    assert first == (times[0], pytest.approx(times[9] + step))
    assert second == (times[100], pytest.approx(times[109] + step))
    assert ox.epochs(pupil.isel(time=[]) > 0).sizes["epoch"] == 0


# -- select within ------------------------------------------------------------------------------
def test_segments_within_epochs_equal_a_loop(ds):
    bouts = ds.osca.running_bouts(above=4)
    chosen, steps = ds.osca.select(gabor_frame=["D", "U"], within=bouts, explain=True)
    shown = ds.osca.select(gabor_frame=["D", "U"])
    spans = zip(shown.start_time.values, shown.stop_time.values, strict=True)
    kinds = [
        (
            any(a <= start and stop <= b for a, b in listed(bouts)),
            any(a < stop and start < b for a, b in listed(bouts)),
        )
        for start, stop in spans
    ]
    wholly = [inside for inside, _ in kinds]
    assert chosen.segment.values.tolist() == shown.segment.values[wholly].tolist()
    partly = sum(touched and not inside for inside, touched in kinds)
    number = bouts.sizes["epoch"]
    assert steps[-1].criterion == f"within {number} epochs ({partly} more in part)"
    assert steps[-1].left == sum(wholly) > 0
    rest = ox.epoch_difference(ox.epochs(ds), bouts)
    resting = ds.osca.select(gabor_frame=["D", "U"], within=rest).sizes["segment"]
    assert resting + sum(wholly) + partly == shown.sizes["segment"]


def test_blocks_are_epochs_too_and_runs_begin_within(ds):
    blocks = ox.blocks(ds)
    for block in blocks.block.values[1:4]:
        found = ds.osca.select(within=blocks.sel(block=[block]))
        assert set(found.block.values.tolist()) == {block}
        assert found.sizes["segment"] == int(blocks.num_segments.sel(block=block))
    runs = ds.osca.select(stimulus="visflow", unexpected=1)
    onsets = ds.osca.select(within=runs, run_start=True)
    assert onsets.segment.values.tolist() == ds.osca.select(
        stimulus="visflow", unexpected=1, run_start=True
    ).segment.values.tolist()  # fmt: skip
    assert ds.osca.select(within=ox.epochs([], [])).sizes["segment"] == 0


def test_the_session_is_not_changed(ds):
    before = ds.copy()
    ds.osca.select(within=ds.osca.running_bouts())
    xr.testing.assert_identical(ds, before)


# -- what cannot be -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda ds: ox.epochs([3], [1]), WindowError, "3 to 1 s"),
        (lambda ds: ox.epochs([np.nan], [1]), WindowError, "no finite times"),
        (lambda ds: ox.epochs([0, 1], [1]), WindowError, "do not go with"),
        (lambda ds: ox.epochs(["a"], ["b"]), WindowError, "are seconds"),
        (lambda ds: ox.epochs([0, 1]), CriterionError, "epochs of a list"),
        (lambda ds: ds.osca.epochs(ds.osca.blocks()), CriterionError, "segments.osca.epochs"),
        (lambda ds: ox.epochs([0], ds.osca.blocks()), CriterionError, "one of both is a Dataset"),
        (lambda ds: ox.epochs(ds.run_velocity), CriterionError, "bool over 'time' or 'stim_time'"),
        (lambda ds: ox.epochs(ds.roi_mask), CriterionError, "bool over"),
        (lambda ds: ox.epochs(ds[["dff"]]), MissingVariableError, "no 'start_time'"),
        (lambda ds: ox.epochs(ds.dff[::-1, 0] > 0), WindowError, "not in the order"),
        (lambda ds: ox.epochs(ds, bridge=-1), WindowError, "bridge=-1"),
        (lambda ds: ox.epochs(ds, least="1"), WindowError, "least='1'"),
        (lambda ds: ox.running_bouts(ds, above=-1), WindowError, "above=-1"),
        (lambda ds: ox.running_bouts(ds[["dff"]]), MissingVariableError, "run_velocity"),
        (lambda ds: ox.epoch_union(ox.epochs([0], [1]), [(0, 1)]), CriterionError, "not a list"),
        (lambda ds: ds.osca.select(within=[(0, 1)]), CriterionError, "are a Dataset"),
    ],
)
def test_what_are_no_epochs(ds, make, error, says):
    with pytest.raises(error, match=says):
        make(ds)


def test_epochs_of_another_session_are_refused(ds):
    other = ox.epochs(ds.assign_coords(session_id=ds.session_id + 1))
    with pytest.raises(CriterionError, match="different sessions"):
        ds.osca.select(within=other)
    with pytest.raises(CriterionError, match="different sessions"):
        ox.epoch_union(ox.epochs(ds), other)
    # Of times alone, nobody knows of which session they are.
    assert ds.osca.select(within=ox.epochs([0], [1e6])).sizes["segment"] == ds.sizes["segment"]
