"""Divisions of sequences: every class on both sides, as many as wanted, none twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscaxr.analyses.decoding_splits import divisions
from oscaxr.errors import CriterionError

pytest.importorskip("sklearn")


@st.composite
def classes(draw):
    """Labels in any order, and how many of each class to take."""
    sizes = draw(st.lists(st.integers(8, 20), min_size=2, max_size=4))
    labels = draw(st.permutations(np.repeat(np.arange(len(sizes)), sizes).tolist()))
    wanted = [draw(st.integers(2, size - 4)) for size in sizes]
    return np.array(labels), np.array(wanted)


@given(classes(), st.integers(0, 100))
def test_without_counts_all_rows_are_dealt(drawn, seed):
    labels, _ = drawn
    for train, test in divisions(labels, 3, np.random.default_rng(seed), train=0.75):
        assert sorted([*train, *test]) == [*range(len(labels))]
        assert len(train) == len(labels) * 3 // 4
        shares = np.bincount(labels[train]) - len(train) / len(labels) * np.bincount(labels)
        assert (abs(shares) < 1).all()


@given(classes(), st.integers(0, 100))
def test_with_counts_so_many_of_each_class(drawn, seed):
    labels, wanted = drawn
    random = np.random.default_rng(seed)
    for train, test in divisions(labels, 3, random, train=0.75, counts=wanted):
        assert len({*train, *test}) == wanted.sum()
        for number, count in enumerate(wanted):
            assert (labels[train] == number).sum() == int(0.75 * count)
            assert (labels[test] == number).sum() == count - int(0.75 * count)


def test_every_row_is_as_likely():
    """In a class of which half is taken, each row is taken in half of the divisions."""
    labels = np.repeat([0, 1], 16)
    dealt = divisions(labels, 2000, np.random.default_rng(0), train=0.75, counts=np.array([8, 8]))
    times = np.bincount(np.concatenate([one.train for one in dealt]), minlength=32)
    # 6 of 16 in each of 2,000: 750 times, standard deviation 22.
    assert abs(times - 750).max() < 5 * 22
    assert times.sum() == 2000 * 12


def test_divisions_that_cannot_be_are_refused():
    labels = np.repeat([0, 1], [6, 10])
    with pytest.raises(CriterionError, match="give smaller counts"):
        divisions(labels, 20, np.random.default_rng(0), train=0.75, counts=np.array([6, 6]))
