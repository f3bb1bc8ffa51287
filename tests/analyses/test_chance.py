"""Permutations, p values and intervals, against plain loops and against what they must be."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oscaxr.analyses import chance
from oscaxr.errors import CriterionError, OscaxrError, RenamedError

counts = st.tuples(st.integers(1, 12), st.integers(0, 12)).filter(lambda pair: pair[1] <= pair[0])
tenths = st.integers(-50, 50).map(lambda x: x / 10)


def slow_choices(seed, permutations, n, k):
    """Shuffle a list step by step, one permutation after the other."""
    random = np.random.default_rng(seed)
    chosen = []
    for _ in range(permutations):
        pool = list(range(n))
        for step in range(k):
            key = int(random.integers(1 << 32, dtype=np.uint32))
            place = step + key * (n - step) // 2**32
            pool[step], pool[place] = pool[place], pool[step]
        chosen.append(pool[:k])
    return np.array(chosen, int).reshape(permutations, k)


def choices(random, count, n, k):
    return np.concatenate([np.zeros((0, k), int), *chance.choice_blocks(random, count, n, k)])


@given(counts, st.integers(0, 5))
def test_choices_are_those_of_a_plain_shuffle(pair, seed):
    n, k = pair
    found = choices(chance.generator(seed), 7, n, k)
    np.testing.assert_array_equal(found, slow_choices(seed, 7, n, k))


@pytest.mark.parametrize(("n", "k"), [(5, 2), (5, 3), (4, 4)])
def test_every_choice_is_equally_likely(n, k):
    from scipy.stats import chisquare

    found = np.sort(choices(chance.generator(1), 20_000, n, k), axis=1)
    distinct, times = np.unique(found, axis=0, return_counts=True)
    assert list(map(tuple, distinct)) == list(itertools.combinations(range(n), k))
    assert len(times) == 1 or chisquare(times).pvalue > 1e-3


def test_choices_of_more_than_a_small_integer_holds():
    found = choices(chance.generator(0), 400, 40_000, 3)
    assert found.min() >= 0
    assert 32_768 < found.max() < 40_000


@given(
    hnp.arrays(np.float64, st.integers(2, 12), elements=tenths), st.integers(1, 11), st.integers()
)
def test_null_of_a_difference_equals_a_plain_loop(values, n_second, seed):
    assume(n_second < len(values))
    seed = abs(seed) % 1000
    found = chance.difference_null(chance.generator(seed), 20, values, n_second)
    fewer = min(n_second, len(values) - n_second)
    for chosen, one in zip(slow_choices(seed, 20, len(values), fewer), found, strict=True):
        drawn = np.isin(np.arange(len(values)), chosen)
        second = drawn if fewer == n_second else ~drawn
        plain = np.mean(values[second]) - np.mean(values[~second])
        assert one == pytest.approx(plain, abs=1e-12)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=tenths))
def test_sums_of_swaps_equal_a_plain_loop(values):
    found = chance.swap_sums(chance.generator(3), 15, values)
    random = np.random.default_rng(3)
    for sums in found:
        plain = np.zeros(2)
        for row in values:
            plain += row * int(random.integers(2, dtype=np.uint32))
        np.testing.assert_allclose(sums, plain, atol=1e-12)


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 3))
def test_sums_of_blocks_of_choices_equal_a_plain_loop(n, k, seed):
    k = min(k, n)
    values = np.random.default_rng(seed).normal(size=(n, 3))
    blocks = chance.choice_blocks(chance.generator(seed), 700, n, k, 3)
    sums = np.concatenate([chance.labels_of(chosen, n) @ values for chosen in blocks])
    random = chance.generator(seed)
    for row in sums:
        (chosen,) = choices(random, 1, n, k)
        wanted = sum((values[place] for place in chosen), np.zeros(3))
        np.testing.assert_allclose(row, wanted, rtol=1e-12, atol=1e-12)
    assert (chance.labels_of(chosen[None], n) @ values.astype(np.float32)).dtype == np.float32


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=tenths))
def test_products_with_shuffled_values_equal_a_plain_loop(values):
    fixed, shuffled = values.T
    found = chance.shuffled_products(chance.generator(3), 15, fixed, shuffled)
    random = np.random.default_rng(3)
    for one in found:
        plain = sum(a * b for a, b in zip(fixed, random.permuted(shuffled), strict=True))
        assert one == pytest.approx(plain, abs=1e-9)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=tenths))
def test_sums_of_several_columns_are_of_the_same_choices(values):
    k = len(values) // 2 + 1
    found = chance.choice_sums(chance.generator(3), 15, values, k)
    for column in (0, 1):
        one = chance.choice_sums(chance.generator(3), 15, values[:, column], k)
        np.testing.assert_allclose(found[:, column], one, atol=1e-12)


@pytest.mark.parametrize("n_bytes", [1, 3_000, 10**9])
def test_same_numbers_whatever_the_blocks(n_bytes, monkeypatch):
    values = np.random.default_rng(0).normal(size=(11, 2))

    def all_of_them():
        yield chance.difference_null(chance.generator(5, 7), 1234, values[:, 0], 3)
        yield chance.swap_sums(chance.generator(5, 7), 123, values)
        yield chance.shuffled_products(chance.generator(5), 123, *values.T)
        yield chance.bootstrap(
            chance.generator(5), values[:, 0], lambda rows: rows.mean(axis=1), 99
        )
        yield np.concatenate(list(chance.choice_blocks(chance.generator(5), 1234, 11, 5, 2)))

    before = list(all_of_them())
    monkeypatch.setattr(chance, "BLOCK_BYTES", n_bytes)
    for one, other in zip(before, all_of_them(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_memory_of_blocks_is_bounded():
    sizes = list(chance.blocks(100_000, 8 * 2000))
    assert sum(sizes) == 100_000
    assert max(sizes) * 8 * 2000 <= chance.BLOCK_BYTES
    assert list(chance.blocks(2, 10**12)) == [1, 1]


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    means = chance.bootstrap(chance.generator(1), values, lambda rows: rows.mean(axis=1))
    assert means.shape == (chance.BOOTSTRAPS,)
    assert means.mean() == pytest.approx(values.mean(), abs=0.002)
    # The error of a standard deviation of 10,000 is 1/sqrt(20,000) of it.
    assert means.std() == pytest.approx(values.std() / 20, rel=0.03)


def test_seeds_depend_on_the_session_and_on_nothing_else():
    one, same = chance.generator(1, 758519303), chance.generator(1, 758519303)
    other = chance.generator(1, 759189643)
    first = one.random(4)
    np.testing.assert_array_equal(first, same.random(4))
    assert (first != other.random(4)).all()


def test_a_seed_that_is_not_given_is_drawn_and_can_be_given_again():
    drawn = {chance.seed_of(None) for _ in range(5)}
    assert len(drawn) == 5
    assert all(0 <= seed < 2**63 for seed in drawn)  # netCDF holds it
    assert chance.seed_of(np.int64(3)) == 3


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_seeds_that_are_none(seed):
    with pytest.raises(CriterionError, match="zero or more"):
        chance.seed_of(seed)


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=tenths), tenths)
def test_share_below_equals_scipy(null, observed):
    from scipy.stats import percentileofscore

    share = chance.share_below(observed, null)
    assert share == pytest.approx(percentileofscore(null, observed, kind="mean") / 100)
    # A tie is one whatever the order of summation, and a shift of the unit changes nothing.
    assert chance.share_below(observed * 3.3, null * 3.3) == pytest.approx(share)


def test_share_below_of_what_is_not_known():
    null = np.array([[0.0, np.nan, 0.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(
        chance.share_below([0.5, 0.5, np.nan], null), [0.5, np.nan, np.nan]
    )


@pytest.mark.parametrize(
    ("tail", "raw", "p"),
    [
        ("two", [0.01, 0.5, 0.25], [0.06, 1, 1]),
        ("high", [0.99, 0.5, 0.25], [1, 1, 0.75]),
        ("low", [0.01, 0.5, 0.75], [0.03, 1, 1]),
    ],
)
def test_p_of_each_tail(tail, raw, p):
    found = chance.raw_p([0.01, 0.5, 0.75], tail)
    np.testing.assert_allclose(found, raw)
    np.testing.assert_allclose(chance.corrected_p(found, tail, 3), p)


@pytest.mark.parametrize(("old", "new"), [(2, "two"), ("2", "two"), ("hi", "high"), ("lo", "low")])
def test_published_tails_name_the_new(old, new):
    with pytest.raises(RenamedError, match=f'tail="{new}"'):
        chance.raw_p(0.5, old)


def test_words_that_are_no_tail():
    with pytest.raises(CriterionError, match="'two', 'high' or 'low'"):
        chance.corrected_p(0.5, "both")


@pytest.mark.parametrize("comparisons", [0, 1.5, True])
def test_numbers_of_comparisons_that_are_none(comparisons):
    with pytest.raises(CriterionError, match="at least 1"):
        chance.corrected_p(0.5, "two", comparisons)


@pytest.mark.parametrize(
    ("tail", "bounds"),
    [("two", (0.25, 50, 99.75)), ("high", (0, 50, 99.5)), ("low", (0.5, 50, 100))],
)
def test_interval_of_a_null(tail, bounds):
    null = np.random.default_rng(0).normal(size=(1000, 3))
    found = chance.null_interval(null, tail, 10)
    assert found.shape == (3, 3)
    np.testing.assert_array_equal(found[1], np.percentile(null[:, 1], bounds))


@pytest.mark.parametrize(("tail", "least"), [("two", 400), ("high", 200), ("low", 200)])
def test_too_few_permutations_are_refused_with_the_number_needed(tail, least):
    null = np.random.default_rng(0).normal(size=least)
    chance.null_interval(null, tail, 10)
    with pytest.raises(CriterionError, match=f"{least} or more"):
        chance.null_interval(null[1:], tail, 10)


def test_q_values_equal_the_definition():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    ranked = sorted(p[~np.isnan(p)])
    plain = [
        min(ranked[later] * 4 / (later + 1) for later in range(ranked.index(one), 4))
        for one in p[~np.isnan(p)]
    ]
    found = chance.q_values(p)
    np.testing.assert_allclose(found[~np.isnan(p)], plain)
    assert np.isnan(found[1])
    assert np.isnan(chance.q_values([np.nan])).all()


@given(st.integers(1, 30), st.sampled_from([0.025, 0.5, 0.9]), st.sampled_from([1, 8, 10]))
def test_binomial_interval_and_p_equal_plain_sums(n, share, comparisons):
    from math import comb

    odds = [comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    up_to = np.cumsum(odds)
    outside = 0.05 / comparisons
    bounds = [
        next(k for k in range(n + 1) if up_to[k] >= wanted - 1e-12) / n
        for wanted in (outside / 2, 0.5, 1 - outside / 2)
    ]
    np.testing.assert_allclose(chance.binomial_interval(n, share, comparisons), bounds)
    for k in range(n + 1):
        plain = min(up_to[k], sum(odds[k:]))
        assert chance.binomial_raw_p(k, n, share) == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("permutations", [0, -3, 1.5, True])
def test_numbers_of_permutations_that_are_none(permutations):
    with pytest.raises(OscaxrError, match="at least one"):
        chance.check_permutations(permutations)
