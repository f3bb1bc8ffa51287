"""Comparisons of groups between sessions, against plain loops over permutations."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from how_many import examples
from oscaxr.analyses import chance, pool
from oscaxr.analyses.group_comparisons import compare_sessions, mean_and_sem
from oscaxr.analyses.pooling import Cells
from published_figures import sessions_of_one_mouse

tenths = st.integers(-30, 30).map(lambda x: x / 10)
STATISTICS = {"mean": np.mean, "variance": np.var}


def sessions(*values, dim="roi"):
    return pool(sessions_of_one_mouse(*values, dim=dim))


def compared(pooled, statistic, permutations=40, seed=3, comparisons=1):
    cells = Cells(pooled)
    found = compare_sessions(
        cells,
        pooled["index"].values,
        statistic=statistic,
        permutations=permutations,
        seed=seed,
        comparisons=comparisons,
    )
    return cells.dataset(found, cells.pairs()).isel(group=0)


def slow_share(null, observed):
    null = [observed if np.isclose(one, observed, rtol=1e-9, atol=1e-10) else one for one in null]
    return np.mean([(one < observed) + 0.5 * (one == observed) for one in null])


def slow_unpaired(one, other, statistic, random, permutations):
    both = np.concatenate([one, other])
    fewer = min(len(one), len(other))
    null = []
    for _ in range(permutations):
        chosen = next(chance.choice_blocks(random, 1, len(both), fewer))[0]
        drawn = np.isin(np.arange(len(both)), chosen)
        second = drawn if fewer == len(other) else ~drawn
        null.append(STATISTICS[statistic](both[second]) - STATISTICS[statistic](both[~second]))
    return null


def slow_paired(one, other, statistic, random, permutations):
    null = []
    for _ in range(permutations):
        one_, other_ = one.copy(), other.copy()
        for roi in range(len(one)):
            if random.integers(2, dtype=np.uint32):
                one_[roi], other_[roi] = other[roi], one[roi]
        null.append(STATISTICS[statistic](other_) - STATISTICS[statistic](one_))
    return null


@given(
    hnp.arrays(np.float64, st.integers(1, 8), elements=tenths),
    hnp.arrays(np.float64, st.integers(1, 8), elements=tenths),
    st.sampled_from(["mean", "variance"]),
)
@settings(max_examples=examples(30))
def test_unpaired_sessions_equal_a_plain_loop(one, other, statistic):
    found = compared(sessions(one, other), statistic)
    observed = STATISTICS[statistic](other) - STATISTICS[statistic](one)
    assert found.difference.item() == pytest.approx(observed, abs=1e-12)
    null = slow_unpaired(one, other, statistic, chance.generator(3, 11, 12), 40)
    share = slow_share(null, observed)
    assert found.difference_raw_p.item() == pytest.approx(min(share, 1 - share), abs=1e-12)


@given(
    hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(1, 8)), elements=tenths),
    st.sampled_from(["mean", "variance"]),
)
@settings(max_examples=examples(30))
def test_tracked_sessions_equal_a_plain_loop(both, statistic):
    found = compared(sessions(*both, dim="tracking_id"), statistic)
    observed = STATISTICS[statistic](both[1]) - STATISTICS[statistic](both[0])
    assert found.difference.item() == pytest.approx(observed, abs=1e-12)
    null = slow_paired(*both, statistic, chance.generator(3, 11, 12), 40)
    share = slow_share(null, observed)
    assert found.difference_raw_p.item() == pytest.approx(min(share, 1 - share), abs=1e-12)


@pytest.mark.parametrize(
    "both", [([0.1], [0.2]), ([0.1, 0.3], [0.3, 0.1]), ([0.7, 0.1, 0.1], [0.1, 0.7, 0.7])]
)
def test_differences_that_are_none_are_ties(both):
    """What is left of them by rounding says nothing."""
    found = compared(sessions(*both, dim="tracking_id"), "variance")
    null = slow_paired(*map(np.array, both), "variance", chance.generator(3, 11, 12), 40)
    share = slow_share(null, np.var(both[1]) - np.var(both[0]))
    assert found.difference_raw_p.item() == pytest.approx(min(share, 1 - share), abs=1e-12)


@pytest.mark.parametrize("dim", ["roi", "tracking_id"])
def test_p_agrees_with_the_exact_distribution_of_scipy(dim):
    from scipy.stats import permutation_test

    random = np.random.default_rng(2)
    one, other = random.normal(size=7), random.normal(0.5, 1, size=7)
    exact = permutation_test(
        (other, one),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        permutation_type="samples" if dim == "tracking_id" else "independent",
        n_resamples=np.inf,
        alternative="greater",
    )
    share = slow_share(exact.null_distribution, exact.statistic)
    found = compared(sessions(one, other, dim=dim), "mean", 10_000)
    deviation = np.sqrt(share * (1 - share) / 10_000)
    assert abs(found.difference_raw_p.item() - min(share, 1 - share)) < 4 * deviation


@pytest.mark.parametrize(
    ("dim", "sizes", "ways"),
    [("tracking_id", (3, 3), 8), ("tracking_id", (5, 5), 32), ("roi", (3, 3), 20),
     ("roi", (1, 4), 5)],
)  # fmt: skip
def test_no_p_is_below_the_least_that_so_few_rois_can_have(dim, sizes, ways):
    # Nothing is more extreme than sessions of which one has all the larger values.
    one, other = (k + np.linspace(0, 0.1, size) for k, size in zip((0, 1), sizes, strict=True))
    found = compared(sessions(one, other, dim=dim), "mean", 10_000, comparisons=2)
    least = found.difference_least_p.item()
    assert least == pytest.approx(min(1, 2 / ways))
    deviation = np.sqrt(1 / ways * (1 - 1 / ways) / 10_000)
    assert abs(found.difference_raw_p.item() - 0.5 / ways) < 2 * deviation


def test_no_p_is_below_what_permutations_can_tell():
    many = np.arange(5_000.0)
    for dim in ("roi", "tracking_id"):
        found = compared(sessions(many, many + 9_000, dim=dim), "mean", 99)
        assert found.difference_least_p.item() == pytest.approx(0.02)


def test_other_sessions_and_groups_change_nothing():
    random = np.random.default_rng(0)
    values = [random.normal(size=size) for size in (5, 6, 7)]
    of_two = compared(sessions(*values[:2]), "mean")
    of_three = compared(sessions(*values), "mean")
    assert of_three.pair.values.tolist() == ["1-2", "1-3", "2-3"]
    xr.testing.assert_identical(of_two, of_three.sel(pair=["1-2"]).sel(session=of_two.session))


def test_what_is_not_known_is_nan():
    pooled = sessions([1.0, np.nan], [1.0, 2.0], [3.0, 4.0])
    found = compared(pooled, "mean")
    known = np.isfinite(found.difference_p.values)
    assert known.tolist() == [False, False, True]
    mean, sem = mean_and_sem(np.array([[1.0], [np.nan]]))
    assert np.isnan(mean).all()
    assert np.isnan(sem).all()
    assert np.isnan(mean_and_sem(np.array([1.0]))[1])
    assert np.isnan(mean_and_sem(np.zeros(0))[0])
