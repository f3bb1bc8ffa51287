"""The unexpected-stimulus index and its percentile, against plain loops and scipy."""

import importlib
import itertools
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oscaxr as ox
from how_many import examples
from oscaxr.analyses.tracked import tracked_unexpected_index, unexpected_index_of
from oscaxr.analyses.unexpected_index import unexpected_index
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    SessionMismatchError,
    TrackingError,
    WindowError,
)

# The package's function of the same name hides the module.
module = importlib.import_module("oscaxr.analyses.unexpected_index")

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


def slow_index(expected, unexpected):
    expected = [x for x in expected if not np.isnan(x)]
    unexpected = [x for x in unexpected if not np.isnan(x)]
    if not expected or not unexpected or len({*expected, *unexpected}) == 1:
        return np.nan
    means, variances = [], []
    for group in (expected, unexpected):
        mean = sum(group) / len(group)
        means.append(mean)
        constant = len(set(group)) == 1
        variances.append(0 if constant else sum((x - mean) ** 2 for x in group) / len(group))
    if not any(variances):
        return np.inf * (means[1] - means[0])
    return (means[1] - means[0]) / (sum(variances) / 2) ** 0.5


def slow_percentile(expected, unexpected, permutations, seed):
    """The definition, one permutation after the other, with the function's own random numbers."""
    from scipy.stats import percentileofscore

    pooled = np.concatenate([expected, unexpected])
    known = ~np.isnan(pooled)
    n_unexpected = int((~np.isnan(unexpected)).sum())
    actual = slow_index(expected, unexpected)
    if np.isnan(actual):
        return np.nan
    random = np.random.default_rng(seed)
    distribution = []
    for _ in range(permutations):
        keys = random.random(len(pooled))[known]
        order = np.argsort(keys)
        shuffled = pooled[known][order]
        distribution.append(slow_index(shuffled[n_unexpected:], shuffled[:n_unexpected]))
    # Ties are ties whatever the order of summation.
    rounded = [actual if np.isclose(x, actual, rtol=1e-10, atol=1e-12) else x for x in distribution]
    return percentileofscore(rounded, actual, kind="mean")


@given(tables(st.integers(1, 6)), tables(st.integers(1, 5)), st.integers(0, 5))
@settings(max_examples=examples(60))
def test_equals_a_plain_loop(expected, unexpected, seed):
    found = unexpected_index(responses(expected), responses(unexpected), permutations=30, seed=seed)
    index = [slow_index(*rows) for rows in zip(expected, unexpected, strict=True)]
    np.testing.assert_allclose(found["index"], index, rtol=1e-7, atol=1e-9)
    percentile = [
        slow_percentile(*rows, 30, seed) for rows in zip(expected, unexpected, strict=True)
    ]
    np.testing.assert_allclose(found["percentile"], percentile, atol=1e-9)
    known = np.nan_to_num(found["percentile"], nan=50)
    np.testing.assert_array_equal(found["significant"], (known < 2.5) | (known > 97.5))
    assert found["significant"].dtype == bool
    for name, table in (("n_expected", expected), ("n_unexpected", unexpected)):
        np.testing.assert_array_equal(found[name], (~np.isnan(table)).sum(axis=1))


def test_index_is_d_prime_of_numpy():
    random = np.random.default_rng(1)
    expected, unexpected = random.normal(size=(5, 40)), random.normal(0.4, 2, size=(5, 12))
    found = unexpected_index(responses(expected), responses(unexpected), permutations=1)
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
    found = unexpected_index(responses([expected]), responses([unexpected]), permutations=40_000)
    assert float(found["index"][0]) == pytest.approx(exact.statistic)
    assert float(found["percentile"][0]) == pytest.approx(percentile, abs=1.0)


def test_every_labelling_is_equally_likely(monkeypatch):
    """Chosen sequences are recovered from powers of two: their sum names the labelling."""
    from scipy.stats import chisquare

    seen = []
    plain = module._index_of

    def spy(sums, totals, n_rows, n_unexpected):
        seen.append(sums[:, 0])
        return plain(sums, totals, n_rows, n_unexpected)

    monkeypatch.setattr(module, "_index_of", spy)
    unexpected_index(responses([[1.0, 2.0, 4.0]]), responses([[8.0, 16.0]]), permutations=20_000)
    labellings, counts = np.unique(np.concatenate(seen[1:]).round(9), return_counts=True)
    assert len(labellings) == len(list(itertools.combinations(range(5), 2)))
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n_bytes", [1, 3_000, 50_000, 10**9])
def test_same_result_whatever_the_blocks(n_bytes, monkeypatch):
    random = np.random.default_rng(3)
    expected, unexpected = random.normal(size=(9, 30)), random.normal(size=(9, 7))
    expected[4, 3] = unexpected[4, 2] = expected[6, 3] = np.nan
    whole = unexpected_index(responses(expected), responses(unexpected), permutations=97, seed=4)
    monkeypatch.setattr(module, "BLOCK_BYTES", n_bytes)
    again = unexpected_index(responses(expected), responses(unexpected), permutations=97, seed=4)
    xr.testing.assert_allclose(again["index"], whole["index"], rtol=1e-12)
    xr.testing.assert_identical(again.drop_vars("index"), whole.drop_vars("index"))


def test_same_result_on_dask_and_for_one_roi():
    random = np.random.default_rng(5)
    expected, unexpected = random.normal(size=(7, 30)), random.normal(size=(7, 8))
    arrays = responses(expected), responses(unexpected)
    whole = unexpected_index(*arrays, permutations=80)
    lazy = unexpected_index(*(array.chunk(roi=3, sequence=5) for array in arrays), permutations=80)
    assert all(array.chunks is not None for array in lazy.data_vars.values())
    xr.testing.assert_allclose(lazy.compute(), whole, rtol=1e-12)
    alone = unexpected_index(*(array.isel(roi=[5]) for array in arrays), permutations=80)
    xr.testing.assert_allclose(alone, whole.isel(roi=[5]), rtol=1e-12)
    scalar = unexpected_index(*(array.isel(roi=5) for array in arrays), permutations=80)
    xr.testing.assert_allclose(scalar, whole.isel(roi=5), rtol=1e-12)


@given(st.permutations(range(5)), st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_follows_the_rois_and_ignores_their_scale(order, factor, offset):
    random = np.random.default_rng(6)
    expected, unexpected = random.normal(size=(5, 20)), random.normal(size=(5, 6))
    whole = unexpected_index(responses(expected), responses(unexpected), permutations=50)
    moved = unexpected_index(
        (responses(expected) * factor + offset).isel(roi=list(order)).transpose(),
        (responses(unexpected) * factor + offset).isel(roi=list(order)),
        permutations=50,
    )
    xr.testing.assert_allclose(moved, whole.isel(roi=list(order)), rtol=1e-6)


def test_seeds_give_different_shuffles():
    random = np.random.default_rng(7)
    arrays = responses(random.normal(size=(20, 40))), responses(random.normal(size=(20, 9)))
    found = [unexpected_index(*arrays, permutations=100, seed=seed) for seed in (0, 0, 1, (0, 1))]
    xr.testing.assert_identical(found[0], found[1])
    for other in found[2:]:
        assert not np.array_equal(other["percentile"], found[0]["percentile"])
    assert found[3].attrs["seed"] == [0, 1]


def test_constant_missing_and_infinite_responses():
    expected = responses([[1, 1, 1], [2, 2, 2], [0.1, 0.1, 0.1], [np.nan] * 3, [1, 2, np.inf]])
    unexpected = responses([[2, 2], [2, 2], [0.1, 0.1], [1, 2], [1, 2]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = unexpected_index(expected, unexpected, permutations=200)
    np.testing.assert_array_equal(found["index"], [np.inf, np.nan, np.nan, np.nan, np.nan])
    assert found["percentile"].isnull().values.tolist() == [False, True, True, True, True]
    # One labelling of ten is the actual one, all others are below it.
    assert float(found["percentile"][0]) == pytest.approx(95, abs=3)
    assert not found["significant"][1:].any()


def test_no_rois_and_no_sequences():
    assert unexpected_index(responses(np.ones((0, 3))), responses(np.ones((0, 2))))[
        "index"
    ].shape == (0,)
    found = unexpected_index(responses(np.ones((2, 3))), responses(np.ones((2, 0))))
    assert found["index"].isnull().all()


def test_coordinates_of_the_rois_stay_and_those_of_sequences_go():
    expected = responses(
        np.eye(3), roi_id=("roi", [7, 8, 9]), session_id=5, segment=("sequence", [1, 2, 3])
    )
    unexpected = responses(np.eye(3)[:, :2], roi_id=("roi", [7, 8, 9]), session_id=5)
    found = unexpected_index(expected, unexpected, permutations=10)
    assert set(found.coords) == {"roi", "roi_id", "session_id"}
    assert found.attrs == {"permutations": 10, "seed": 0}


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
        unexpected_index(expected, change(expected))


def test_wrong_arguments():
    array = responses(np.eye(3))
    with pytest.raises(MissingVariableError, match="no dim 'sequence'"):
        unexpected_index(array, array.rename(sequence="segment"))
    with pytest.raises(CriterionError, match="permutations=0"):
        unexpected_index(array, array, permutations=0)
    with pytest.raises(CriterionError, match="seed=-1"):
        unexpected_index(array, array, seed=-1)


# -- of a session ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mouse():
    specs = ox.sample.mouse_specs(scale=0.05, n_rois=(6, 5, 7), n_tracked=3, field_shape=(64, 64))
    return [ox.sample.session(spec) for spec in specs]


def test_of_a_session_is_that_of_its_integrated_sequences(mouse):
    ds = mouse[1]
    found = unexpected_index_of(ds, permutations=60, seed=3)
    parts = [
        ds.osca.sequences("dff", ds.osca.select(gabor_frame=frame), pre=0, post=0.6)
        .osca.integrate()
        .load()
        for frame in "DU"
    ]
    wanted = unexpected_index(*parts, permutations=60, seed=(3, int(ds.session_id)))
    xr.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert found.attrs["seed"] == 3
    assert found.attrs["stimulus"] == "gabors"
    same_rois = unexpected_index_of(ds, permutations=60, seed=3, tracked=True)
    np.testing.assert_array_equal(same_rois["roi_id"], ds.osca.tracked()["roi_id"])
    rows = found["index"].sel(roi=same_rois["roi"].values)
    np.testing.assert_allclose(same_rois["index"], rows, rtol=1e-10)


def test_of_a_session_in_blocks_and_on_dask(mouse, monkeypatch):
    whole = unexpected_index_of(mouse[0], permutations=20)
    lazy = unexpected_index_of(mouse[0].chunk(roi=2, time=500), permutations=20)
    xr.testing.assert_allclose(lazy.compute(), whole, rtol=1e-10)
    monkeypatch.setattr("oscaxr.select.sequences._BLOCK_BYTES", 5_000)
    xr.testing.assert_allclose(unexpected_index_of(mouse[0], permutations=20), whole, rtol=1e-12)


def test_of_visual_flow_with_criteria(mouse):
    found = unexpected_index_of(mouse[0], "visflow", post=0.9, permutations=20, run_start=True)
    assert 0 < int(found["n_unexpected"][0]) < 15
    with pytest.raises(CriterionError, match="gabor_frame"):
        unexpected_index_of(mouse[0], gabor_frame="A")
    with pytest.raises(CriterionError, match="no expected segments"):
        unexpected_index_of(mouse[0], gabor_kappa=4)
    with pytest.raises(CriterionError, match="grayscreen"):
        unexpected_index_of(mouse[0], "grayscreen")


def test_planted_responses_are_found():
    ds = ox.sample.session(n_rois=30, n_tracked=0, scale=0.25, field_shape=(64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedSequencesWarning)
        found = unexpected_index_of(ds, permutations=400)
    assert found["significant"].sum() > 3  # 5 % of 30 would be 1.5
    assert ((found["percentile"] > 97.5) == (found["significant"] & (found["index"] > 0))).all()


def test_over_tracked_rois_and_sessions(mouse):
    found = tracked_unexpected_index(mouse[::-1], permutations=40)
    assert dict(found.sizes) == {"session": 3, "tracking_id": 3}
    for number, ds in enumerate(mouse, start=1):
        own = unexpected_index_of(ds, permutations=40, tracked=True)
        for name in ("index", "percentile", "roi_id"):
            np.testing.assert_array_equal(found[name].sel(session=number), own[name])
    untracked = ox.sample.session(n_rois=3, n_tracked=0, scale=0.05, field_shape=(64, 64))
    with pytest.raises(TrackingError, match="no tracked ROIs"):
        tracked_unexpected_index([untracked])
    with pytest.raises(MissingVariableError):
        tracked_unexpected_index([])


def test_of_windows_that_all_leave_the_recording(mouse):
    for pre, says in ((1e5, "For milliseconds"), (220, "none of the")):
        with pytest.raises(WindowError, match=says):
            unexpected_index_of(mouse[0], pre=pre, permutations=5)
