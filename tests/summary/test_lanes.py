"""Bars of a lane cover the pixels of its segments, and no others."""

import numpy as np
import pytest

from oscaxr.plot import axes
from oscaxr.summary import lanes, markup


def timeline(start, stop, last, unexpected=0.0, kind="gabors"):
    start, stop = np.array(start, float), np.array(stop, float)
    columns = {"start_time": start, "stop_time": stop}
    columns["unexpected"] = np.broadcast_to(unexpected, start.shape)
    columns["stimulus_type"] = np.broadcast_to(kind, start.shape)
    return lanes.timeline_of(columns, 0.0, last)


def test_bars_are_those_of_a_loop_over_segments():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 4000, 300)
    stop = start + rng.choice([0.3, 1, 30], 300)
    shown = timeline(start, stop, 4200)
    filled = np.zeros(lanes.WIDTH, bool)
    for one, other in zip(start, stop, strict=True):
        filled[int(one * lanes.WIDTH / 4200) : int(np.ceil(other * lanes.WIDTH / 4200))] = True
    found = lanes.bars(start, stop, shown)
    again = np.zeros(lanes.WIDTH, bool)
    for left, right in found:
        assert not again[left:right].any()
        again[left:right] = True
    np.testing.assert_array_equal(again, filled)


def test_the_shortest_segment_is_seen_at_either_end():
    shown = timeline([0, 4199.99], [0.01, 4200], 4200)
    assert lanes.bars(*(np.array([0, 4199.99]), np.array([0.01, 4200])), shown).tolist() == [
        [0, 1],
        [lanes.WIDTH - 1, lanes.WIDTH],
    ]


@pytest.mark.parametrize("last", [0.5, 30, 433, 4200, 90000])
def test_ticks_are_few_and_within(last):
    found = lanes.ticks(timeline([0], [last], last))
    assert 1 <= len(found) <= 11
    assert 0 <= found[0] <= found[-1] <= last / 60


def test_what_is_neither_expected_nor_unexpected_is_of_no_colour():
    shown = timeline(
        [0, 10, 20], [5, 15, 25], 30, [np.nan, 0, 1], ["grayscreen", "gabors", "gabors"]
    )
    assert [lane.name for lane in shown.lanes] == ["gabors", "grayscreen"]
    picture = lanes.svg(shown)
    assert picture.count('<path class="neither"') == picture.count('<path class="unexpected"') == 1
    assert "expected</span>" not in lanes.svg(timeline([0], [5], 9, np.nan))


def test_times_that_are_missing_are_left_out():
    assert timeline([np.nan, 3], [2, np.nan], 9) is None
    assert timeline([], [], 9) is None
    (lane,) = timeline([np.nan, 3], [2, 4], 9).lanes
    assert lane.start.tolist() == [3]


def test_bars_have_the_colours_of_figures():
    html = markup._STYLE
    assert f".expected{{fill:{axes.EXPECTED}" in html
    assert f".unexpected{{fill:{axes.UNEXPECTED}" in html
