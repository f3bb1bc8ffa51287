"""Indices of discrimination and their percentiles, against plain loops and scipy."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from how_many import examples
from oscaxr.analyses import chance, discrimination
from oscaxr.analyses.discrimination import OPERATIONS, discrimination_index
from oscaxr.errors import CriterionError, MissingVariableError, SessionMismatchError

# Few different values, so that ties are many.
tenths = st.integers(-1000, 1000).map(lambda x: x / 10)
values = st.one_of(st.integers(-3, 3).map(float), tenths, st.just(np.nan))


def tables(n_sequences):
    return hnp.arrays(np.float64, st.tuples(st.just(3), n_sequences), elements=values)


def responses(array, **coords):
    array = np.asarray(array)
    return xr.DataArray(
        array, dims=("roi", "sequence"), coords={"roi": np.arange(len(array)), **coords}
    )


def slow_index(first, second, operation="d-prime"):
    first = [x for x in first if not np.isnan(x)]
    second = [x for x in second if not np.isnan(x)]
    if min(len(first), len(second)) < (2 if operation == "d-prime" else 1):
        return np.nan
    means = [sum(group) / len(group) for group in (first, second)]
    difference = means[1] - means[0]
    if len({*first, *second}) == 1:
        difference = 0.0
    if operation == "diff":
        return difference
    if operation == "rel_diff":
        both = means[1] + means[0]
        return difference / both if abs(both) > 1e-9 else np.nan
    variances = [
        0 if len(set(group)) == 1 else sum((x - mean) ** 2 for x in group) / len(group)
        for group, mean in zip((first, second), means, strict=True)
    ]
    return np.divide(difference, (sum(variances) / 2) ** 0.5)


def slow_percentile(first, second, permutations, seed, operation="d-prime"):
    """The definition, one permutation after the other, with the function's own random numbers."""
    from scipy.stats import percentileofscore

    pooled = np.concatenate([first, second])
    pooled = pooled[~np.isnan(pooled)]
    n_second = int((~np.isnan(second)).sum())
    actual = slow_index(first, second, operation)
    if np.isnan(actual):
        return np.nan
    random = chance.generator(seed)
    fewer = min(n_second, len(pooled) - n_second)
    null = []
    for _ in range(permutations):
        (chosen,) = next(chance.choice_blocks(random, 1, len(pooled), fewer))
        one, other = pooled[chosen], np.delete(pooled, chosen)
        groups = (other, one) if fewer == n_second else (one, other)
        null.append(slow_index(*groups, operation))
    if np.isnan(null).any():
        return np.nan
    # Ties are ties whatever the order of summation.
    rounded = [actual if np.isclose(x, actual, rtol=1e-10, atol=1e-12) else x for x in null]
    return percentileofscore(rounded, actual, kind="mean")


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value)")
@given(
    tables(st.integers(1, 6)),
    tables(st.integers(1, 5)),
    st.integers(0, 5),
    st.sampled_from(OPERATIONS),
)
@settings(max_examples=examples(90))
def test_equals_a_plain_loop(first, second, seed, operation):
    options = {"permutations": 40, "seed": seed, "operation": operation}
    if operation == "d-prime" and 1 in (first.shape[1], second.shape[1]):
        with pytest.raises(CriterionError, match="d-prime"):
            discrimination_index(responses(first), responses(second), **options)
        return
    found = discrimination_index(responses(first), responses(second), **options)
    pairs = list(zip(first, second, strict=True))
    index = [slow_index(*rows, operation) for rows in pairs]
    np.testing.assert_allclose(found["index"], index, rtol=1e-7, atol=1e-9)
    percentile = [slow_percentile(*rows, 40, seed, operation) for rows in pairs]
    np.testing.assert_allclose(found["percentile"], percentile, atol=1e-9)
    known = np.nan_to_num(found["percentile"], nan=50)
    np.testing.assert_array_equal(found["significant"], (known < 2.5) | (known > 97.5))
    assert found["significant"].dtype == bool
    counts = [(~np.isnan(table)).sum(axis=1) for table in (first, second)]
    np.testing.assert_array_equal(found["n_sequences"], counts)
    alone = discrimination_index(responses(first), responses(second), operation=operation)
    xr.testing.assert_identical(alone["index"], found["index"])
    assert "percentile" not in alone


def test_index_is_d_prime_of_numpy():
    random = np.random.default_rng(1)
    expected, unexpected = random.normal(size=(5, 40)), random.normal(0.4, 2, size=(5, 12))
    found = discrimination_index(responses(expected), responses(unexpected))
    pooled = np.sqrt((unexpected.var(axis=1) + expected.var(axis=1)) / 2)
    d_prime = (unexpected.mean(axis=1) - expected.mean(axis=1)) / pooled
    np.testing.assert_allclose(found["index"], d_prime, rtol=1e-13)


def test_percentile_agrees_with_the_exact_distribution_of_scipy():
    from scipy.stats import percentileofscore, permutation_test

    random = np.random.default_rng(2)
    expected, unexpected = random.normal(size=6), random.normal(0.7, 1, size=4)

    def statistic(u, e, axis=-1):
        variance = (u.var(axis=axis) + e.var(axis=axis)) / 2
        return (u.mean(axis=axis) - e.mean(axis=axis)) / np.sqrt(variance)

    exact = permutation_test((unexpected, expected), statistic, vectorized=True, n_resamples=np.inf)
    assert len(exact.null_distribution) == 210  # all ways to choose 4 of 10
    percentile = percentileofscore(
        exact.null_distribution.round(12), np.round(exact.statistic, 12), kind="mean"
    )
    found = discrimination_index(
        responses([expected]), responses([unexpected]), permutations=40_000, seed=0
    )
    assert float(found["index"][0]) == pytest.approx(exact.statistic)
    assert float(found["percentile"][0]) == pytest.approx(percentile, abs=1.0)


@pytest.mark.parametrize("n_bytes", [1, 3_000, 50_000, 10**9])
def test_same_result_whatever_the_blocks(n_bytes, monkeypatch):
    random = np.random.default_rng(3)
    expected, unexpected = random.normal(size=(9, 30)), random.normal(size=(9, 7))
    expected[4, 3] = unexpected[4, 2] = expected[6, 3] = np.nan
    whole = discrimination_index(
        responses(expected), responses(unexpected), permutations=97, seed=4
    )
    for one in (discrimination, chance):
        monkeypatch.setattr(one, "BLOCK_BYTES", n_bytes)
    again = discrimination_index(
        responses(expected), responses(unexpected), permutations=97, seed=4
    )
    xr.testing.assert_allclose(again["index"], whole["index"], rtol=1e-12)
    xr.testing.assert_identical(again.drop_vars("index"), whole.drop_vars("index"))


@pytest.mark.parametrize("threads", [1, 3, 20])
def test_same_result_whatever_the_number_of_threads(threads, monkeypatch):
    random = np.random.default_rng(3)
    first, second = random.normal(size=(9, 30)), random.normal(size=(9, 7))
    first[4, 3] = second[4, 2] = first[6, 3] = np.nan
    whole = discrimination_index(responses(first), responses(second), permutations=97, seed=4)
    monkeypatch.setenv("OSCAXR_THREADS", str(threads))
    again = discrimination_index(responses(first), responses(second), permutations=97, seed=4)
    xr.testing.assert_allclose(again, whole, rtol=1e-12)


def test_same_result_on_dask_and_for_one_roi():
    random = np.random.default_rng(5)
    expected, unexpected = random.normal(size=(7, 30)), random.normal(size=(7, 8))
    arrays = responses(expected), responses(unexpected)
    whole = discrimination_index(*arrays, permutations=80, seed=2)
    lazy = discrimination_index(
        *(array.chunk(roi=3, sequence=5) for array in arrays), permutations=80, seed=2
    )
    assert all(array.chunks is not None for array in lazy.data_vars.values())
    xr.testing.assert_allclose(lazy.compute(), whole, rtol=1e-12)
    alone = discrimination_index(
        *(array.isel(roi=[5]) for array in arrays), permutations=80, seed=2
    )
    xr.testing.assert_allclose(alone, whole.isel(roi=[5]), rtol=1e-12)
    scalar = discrimination_index(*(array.isel(roi=5) for array in arrays), permutations=80, seed=2)
    xr.testing.assert_allclose(scalar, whole.isel(roi=5), rtol=1e-12)


@given(st.permutations(range(5)), st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_follows_the_rois_and_ignores_their_scale(order, factor, offset):
    random = np.random.default_rng(6)
    expected, unexpected = random.normal(size=(5, 20)), random.normal(size=(5, 6))
    whole = discrimination_index(
        responses(expected), responses(unexpected), permutations=50, seed=2
    )
    moved = discrimination_index(
        (responses(expected) * factor + offset).isel(roi=list(order)).transpose(),
        (responses(unexpected) * factor + offset).isel(roi=list(order)),
        permutations=50,
        seed=2,
    )
    xr.testing.assert_allclose(moved, whole.isel(roi=list(order)), rtol=1e-6)


def test_seeds_give_different_shuffles():
    random = np.random.default_rng(7)
    arrays = responses(random.normal(size=(20, 40))), responses(random.normal(size=(20, 9)))
    found = [discrimination_index(*arrays, permutations=100, seed=seed) for seed in (0, 0, 1, None)]
    xr.testing.assert_identical(found[0], found[1])
    for other in found[2:]:
        assert not np.array_equal(other["percentile"], found[0]["percentile"])
    again = discrimination_index(*arrays, permutations=100, seed=found[3].attrs["seed"])
    xr.testing.assert_identical(again, found[3])


def test_the_session_is_part_of_the_seed():
    random = np.random.default_rng(7)
    plain = responses(random.normal(size=(20, 40))), responses(random.normal(size=(20, 9)))
    percentiles = [
        discrimination_index(
            *(one.assign_coords(session_id=session) for one in plain), permutations=100, seed=0
        )["percentile"]
        for session in (5, 5, 6)
    ]
    np.testing.assert_array_equal(percentiles[0], percentiles[1])
    assert not np.array_equal(percentiles[0], percentiles[2])


def test_constant_missing_and_infinite_responses():
    expected = responses([[1, 1, 1], [2, 2, 2], [0.1, 0.1, 0.1], [np.nan] * 3, [1, 2, np.inf]])
    unexpected = responses([[2, 2], [2, 2], [0.1, 0.1], [1, 2], [1, 2]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = discrimination_index(expected, unexpected, permutations=200, seed=0)
    np.testing.assert_array_equal(found["index"], [np.inf, np.nan, np.nan, np.nan, np.nan])
    assert found["percentile"].isnull().values.tolist() == [False, True, True, True, True]
    # One labelling of ten is the actual one, all others are below it.
    assert float(found["percentile"][0]) == pytest.approx(95, abs=3)
    assert not found["significant"][1:].any()
    for operation, index in (("diff", [1, 0, 0]), ("rel_diff", [1 / 3, 0, 0])):
        found = discrimination_index(
            expected, unexpected, operation=operation, permutations=200, seed=0
        )
        np.testing.assert_allclose(found["index"], [*index, np.nan, np.nan], atol=1e-15)
        np.testing.assert_array_equal(found["percentile"][1:], [50, 50, np.nan, np.nan])


def test_no_rois():
    found = discrimination_index(responses(np.ones((0, 3))), responses(np.ones((0, 2))))
    assert found["index"].shape == (0,)


def test_too_few_responses():
    """The variance of one is no variance; an ROI that has one left has no index."""
    random = np.random.default_rng(8)
    many, one = responses(random.normal(size=(2, 9))), responses(random.normal(size=(2, 1)))
    with pytest.raises(CriterionError, match=r"2 or more responses .* there are 1 second ones"):
        discrimination_index(many, one)
    with pytest.raises(CriterionError, match="there are 1 unexpected ones: take more segments"):
        discrimination_index(one.assign_attrs(group="unexpected"), many, permutations=40)
    difference = discrimination_index(many, one, operation="diff", permutations=40, seed=0)
    np.testing.assert_allclose(difference["index"], one[:, 0] - many.mean("sequence"))
    with pytest.raises(CriterionError, match=r"there are 0 first ones: take more segments$"):
        discrimination_index(one[:, :0], many, operation="diff")
    left = xr.concat([one, one + 1], "sequence").copy()
    left[1, 0] = np.nan
    found = discrimination_index(many, left, permutations=40, seed=0)
    assert found["index"].isnull().values.tolist() == [False, True]
    assert found["n_sequences"].values.tolist() == [[9, 9], [2, 1]]


def test_coordinates_of_the_rois_stay_and_those_of_sequences_go():
    expected = responses(
        np.eye(3), roi_id=("roi", [7, 8, 9]), session_id=5, segment=("sequence", [1, 2, 3])
    )
    unexpected = responses(np.eye(3)[:, :2], roi_id=("roi", [7, 8, 9]), session_id=5)
    found = discrimination_index(expected, unexpected, permutations=40, seed=0)
    assert set(found.coords) == {"roi", "roi_id", "session_id", "group"}
    assert found.attrs == {"operation": "d-prime", "permutations": 40, "seed": 0}
    assert found["n_sequences"].dims == ("group", "roi")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda u: u.isel(roi=slice(2)), "sizes"),
        (lambda u: u.assign_coords(roi=[2, 1, 0]), "'roi' differ"),
        (lambda u: u.assign_coords(roi_id=("roi", [7, 9, 8])), "'roi_id' differ"),
        (lambda u: u.assign_coords(session_id=6), "'session_id' differ"),
    ],
)
def test_responses_of_different_rois_are_refused(change, says):
    expected = responses(np.eye(3), roi_id=("roi", [7, 8, 9]), session_id=5)
    with pytest.raises(SessionMismatchError, match=says):
        discrimination_index(expected, change(expected))


def test_wrong_arguments():
    array = responses(np.eye(3))
    with pytest.raises(MissingVariableError, match="no dim 'sequence'"):
        discrimination_index(array, array.rename(sequence="segment"))
    for options, says in (
        ({"permutations": -1}, "permutations=-1"),
        ({"permutations": 2.5}, "permutations=2.5"),
        ({"permutations": 39}, "39 permutations cannot .* 40 or more"),
        ({"permutations": 50, "seed": -1}, "seed=-1"),
        ({"seed": -3}, "seed=-3"),
        ({"permutations": False}, "permutations=False"),
        ({"operation": "dprime"}, "operation='dprime' is not known; it may be 'd-prime', 'diff'"),
    ):
        with pytest.raises(CriterionError, match=says):
            discrimination_index(array, array, **options)


@pytest.mark.parametrize("operation", ["d-prime", "diff", "rel_diff"])
def test_the_null_is_that_of_the_percentile(operation):
    random = np.random.default_rng(1)
    first = xr.DataArray(2 + random.normal(size=(4, 30)), dims=("roi", "sequence"))
    second = xr.DataArray(2.3 + random.normal(size=(4, 9)), dims=("roi", "sequence"))
    # One ROI has fewer responses, one has none that can be compared.
    first[1, :3], second[2] = np.nan, np.nan
    options = {"operation": operation, "permutations": 300, "seed": 4}
    found = discrimination_index(first, second, keep_null=True, **options)
    xr.testing.assert_identical(
        found.drop_vars("null"), discrimination_index(first, second, **options)
    )
    null, index = found["null"].transpose("roi", "permutation"), found["index"]
    near = abs(null - index) <= 1e-9 * abs(index)
    plain = 100 * (((null < index) & ~near).mean("permutation") + near.mean("permutation") / 2)
    np.testing.assert_allclose(found["percentile"], plain.where(index.notnull()), atol=1e-9)
    alone = discrimination_index(first[[3]], second[[3]], keep_null=True, **options)
    np.testing.assert_allclose(alone["null"][0], null[3], rtol=1e-9)
    on_dask = discrimination_index(
        first.chunk(roi=2), second.chunk(roi=2), keep_null=True, **options
    )
    np.testing.assert_allclose(on_dask["null"], found["null"], rtol=1e-9)
    with pytest.raises(CriterionError, match="keep_null=True needs permutations"):
        discrimination_index(first, second, keep_null=True)
