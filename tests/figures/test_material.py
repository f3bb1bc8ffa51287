"""What panels are made of: which sessions, and by how many comparisons p is corrected."""

import numpy as np
import pytest
import xarray as xr

from oscaxr.analyses import chance
from oscaxr.errors import CriterionError
from oscaxr.figures.material import Compared, GapError, Material, least
from oscaxr.figures.session_results import Recipe
from oscaxr.figures.session_tasks import Computed
from surveyed_sessions import FOUR_GROUPS, session

NOTHING = Compared()
RECIPE = Recipe("made", lambda ds: ds)


def result(one):
    return xr.Dataset({"index": ("roi", np.arange(3.0))}, {"roi": np.arange(3), **one.facts})


def material(sessions, compared=NOTHING, failures=None):
    computed = Computed({"made": {one.id: result(one) for one in sessions}}, failures or {})
    return Material(sessions, computed, 100, 1, compared)


@pytest.mark.parametrize(
    ("compared", "count"),
    [
        (Compared(), 1),
        (Compared(sessions=1, pairs=1), 24),
        (Compared(pairs=2), 24),
        (Compared(sessions=5), 60),
        (Compared(groups=1, once=1), 5),
        (Compared(pairs=1, consecutive=True), 8),
        (Compared(recordings=2), 48),
    ],
)
def test_comparisons_are_counted_as_in_the_papers(compared, count):
    assert compared.count(FOUR_GROUPS) == count


def test_comparisons_are_those_of_the_sessions_at_hand():
    two = [session(1, 1), session(1, 3), session(2, 1)]
    assert Compared(sessions=1, pairs=1).count(two) == 3
    assert Compared(pairs=1).count([session(1, 1)]) == 1
    assert Compared(recordings=1).count(two) == 3


@pytest.mark.parametrize(("tail", "tails"), [("two", 2), ("high", 1)])
@pytest.mark.parametrize("comparisons", [1, 7, 24, 60])
def test_the_least_number_of_shuffles_resolves_p_and_one_less_does_not(tail, tails, comparisons):
    number = least(comparisons, tails)
    chance.check_resolution(number, tail, comparisons)
    with pytest.raises(CriterionError, match="cannot resolve"):
        chance.check_resolution(number - 1, tail, comparisons)


def test_mice_without_all_sessions_of_their_group_are_left_out_by_name():
    others = [session(3, 1, plane="soma"), session(3, 2, plane="soma")]
    sessions = [*(session(1, k) for k in (1, 2, 3)), session(2, 1), session(2, 3), *others]
    there = material(sessions)
    found = there.results(RECIPE, complete=True)
    # Somata have sessions 1 and 2 only, and so are complete.
    assert [int(one.session_id) for one in found] == [11, 12, 13, 31, 32]
    assert there.left_out == ["mouse 2 has no session 2 of tracked ROIs"]
    assert there.used == {11, 12, 13, 31, 32}
    assert len(material(sessions).results(RECIPE)) == 7


def test_what_failed_is_left_out_by_name_once():
    sessions = [session(1, 1), session(1, 2)]
    failures = {"made": {12: "too few sequences"}}
    there = material(sessions, Compared(sessions=1, pairs=1), failures)
    del there.computed.results["made"][12]
    for _ in range(2):
        assert len(there.results(RECIPE)) == 1
    assert there.left_out == ["session 12: too few sequences"]
    assert there.testing() == {"permutations": 100, "comparisons": 1, "seed": 1}


def test_nothing_is_a_gap_with_its_reason():
    with pytest.raises(GapError, match="no such session is at hand"):
        material([]).results(RECIPE)
    there = material([session(1, 1)], failures={"made": {11: "too few sequences"}})
    there.computed.results.clear()
    with pytest.raises(GapError, match="session 11: too few sequences"):
        there.pooled(RECIPE)
