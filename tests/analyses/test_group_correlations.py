"""Correlations of indices over sessions: real ones as published, recorded ones, and plain loops."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from how_many import examples
from oscaxr.analyses import chance, pool, usi, usi_correlations
from oscaxr.analyses.group_correlations import correlation, null_correlations
from oscaxr.errors import CriterionError, DroppedSequencesWarning, RenamedError, TrackingError
from published_figures import (
    assert_same_bound,
    assert_same_deviation,
    assert_same_p,
    sessions_of_one_mouse,
    table_of,
    tracked_usis,
)
from recorded_groups import (
    COMPARISONS,
    EACH_STIMULUS,
    OURS,
    RECORDED,
    SPLIT_OF,
    of_row,
    pooled_results,
    rows_of,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{DroppedSequencesWarning.__module__}.DroppedSequencesWarning"
)

PUBLISHED = 100_000


@pytest.fixture(scope="module")
def real():
    return pool(tracked_usis())


def of_both(pooled, own):
    """Return the indices of a group in the two sessions of a pair."""
    return [
        pooled["index"].values[(pooled.group == own.group) & (pooled.session == number)]
        for number in (int(own.first_session), int(own.second_session))
    ]


@pytest.mark.parametrize("permutations", [2_000, pytest.param(PUBLISHED, marks=pytest.mark.slow)])
def test_published_correlations(real, permutations):
    found = usi_correlations(
        real,
        "session",
        consecutive=True,
        tail="low",
        permutations=permutations,
        comparisons=8,
        seed=1,
    )
    assert found.pair.values.tolist() == ["1-2", "2-3"]
    table = table_of("9c")
    for (_, row), pair in itertools.product(table.iterrows(), found.pair.values):
        own = found.sel(group=f"{row['lines']} {row['planes']}", pair=pair)
        of = pair.replace("-", "v")
        assert own.correlation.item() == pytest.approx(row[f"{of}_corrs"], rel=1e-9)
        assert own.error.item() == pytest.approx(row[f"{of}_corr_stds"], rel=0.03)
        assert_same_p(own.raw_p, row[f"{of}_raw_p_vals"], permutations, PUBLISHED)
        values = of_both(real, own)
        null = null_correlations(chance.generator(2), permutations, *values, "session", "rois")
        # With one tail, the other bound is the extreme of the null.
        for bound, percentile in zip(row[f"{of}_null_CIs"][:2], (0.625, 50), strict=True):
            assert_same_bound(np.mean(null < bound), percentile, permutations, PUBLISHED)


@pytest.mark.parametrize(("name", "against"), [("", "change"), ("_plain", "session")])
@pytest.mark.parametrize("stimulus", EACH_STIMULUS)
def test_recorded_correlations(shared, stimulus, name, against):
    pooled = pooled_results(shared, usi, stimulus, SPLIT_OF[stimulus], tracked=True)
    options = {"permutations": OURS, "comparisons": COMPARISONS, "seed": 1}
    found = usi_correlations(pooled, against, **options)
    few = usi_correlations(pooled, against, consecutive=True, **options)
    xr.testing.assert_equal(few, found.sel(pair=["1-2", "2-3"]))
    tables = [rows_of(shared, f"usi_corr{name}/{stimulus}/consec_{end}") for end in (True, False)]
    for row, pair in itertools.product(itertools.chain(*tables), found.pair.values):
        own, of = of_row(found, row).sel(pair=pair), pair.replace("-", "v")
        if f"{of}_corrs" not in row:
            assert pair == "1-3"
            continue
        assert own.correlation.item() == pytest.approx(row[f"{of}_corrs"], rel=1e-9)
        both = np.stack(of_both(pooled, own), axis=-1)
        drawn = chance.bootstrap(
            chance.generator(2), both, lambda rows: correlation(rows, against), 4000
        )
        assert_same_deviation(drawn, row[f"{of}_corr_stds"])
        assert own.error.item() == pytest.approx(np.nanstd(drawn), rel=0.1)
        # One of the recorded p is 3.3 errors off, by chance.
        assert_same_p(own.raw_p, row[f"{of}_raw_p_vals"], OURS, RECORDED, errors=4)
        null = null_correlations(chance.generator(2), OURS, *both.T, against, "rois")
        for bound, percentile in zip(row[f"{of}_null_CIs"], (0.25, 50, 99.75), strict=True):
            assert_same_bound(np.mean(null < bound), percentile, OURS, RECORDED)


# -- against plain loops ---------------------------------------------------------------------------
few_values = hnp.arrays(
    np.float64,
    st.tuples(st.just(2), st.integers(3, 7)),
    elements=st.integers(-20, 20).map(lambda x: x / 10),
)


def slow_correlation(x, y):
    if np.ptp(x) < 1e-9 or np.ptp(y) < 1e-9:
        return np.nan
    return np.corrcoef(x, y)[0, 1]


@given(few_values, st.sampled_from(["session", "change"]))
@example(np.array([[0.1, 0.1, 0.1], [0.1, 0.3, 0.7]]), "session")
@settings(max_examples=examples(30))
def test_permuted_rois_equal_a_plain_loop(both, against):
    x, y = both
    found = null_correlations(chance.generator(4), 12, x, y, against, "rois")
    random = np.random.default_rng(4)
    for one in found:
        shuffled = random.permuted(y)
        plain = slow_correlation(x, shuffled if against == "session" else shuffled - x)
        assert one == pytest.approx(plain, abs=1e-7, nan_ok=True)


@given(few_values)
@example(np.array([[0, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0, 0]]))
@settings(max_examples=examples(30))
def test_permuted_sessions_equal_a_plain_loop(both):
    found = null_correlations(chance.generator(4), 12, *both, "change", "sessions")
    random = np.random.default_rng(4)
    for one in found:
        swapped = random.integers(2, size=both.shape[1], dtype=np.uint32).astype(bool)
        x, y = np.where(swapped, both[::-1], both)
        plain = slow_correlation(x, y - x)
        assert one == pytest.approx(plain, abs=1e-7, nan_ok=True)


def of_sessions(*values):
    return pool(sessions_of_one_mouse(*values))


def test_normalised_correlations_lie_between_the_median_and_the_ends():
    pooled = of_sessions(*np.random.default_rng(3).normal(size=(3, 30)))
    found = usi_correlations(pooled, permute="sessions", permutations=1000, seed=1)
    m = found.null_interval.sel(bound="median", drop=True)
    r = found.correlation
    assert (m < -0.3).all()  # the earlier session is in the change, too
    plain = xr.where(r < m, (r - m) / (1 + m), (r - m) / (1 - m))
    np.testing.assert_allclose(found.normalised, plain)
    ends = found.normalised_null_interval
    np.testing.assert_array_equal(ends.sel(bound="median"), 0)
    assert (ends.sel(bound="low") > -1).all()
    assert (ends.sel(bound="low") < 0).all()


def test_order_of_rois_does_not_matter():
    random = np.random.default_rng(3)
    values = random.normal(size=(2, 20))
    order = random.permutation(20)
    pooled = of_sessions(*values)
    rows = np.concatenate([order, 20 + random.permutation(20)])
    one = usi_correlations(pooled, permutations=100, seed=1)
    other = usi_correlations(pooled.isel(roi=rows), permutations=100, seed=1)
    xr.testing.assert_allclose(one, other)


def test_seed_that_is_drawn_gives_the_same_again():
    pooled = of_sessions(*np.random.default_rng(3).normal(size=(3, 9)))
    drawn = usi_correlations(pooled, permutations=100)
    again = usi_correlations(pooled, permutations=100, seed=drawn.attrs["seed"])
    xr.testing.assert_identical(drawn, again)


def test_results_can_be_written(tmp_path):
    pooled = of_sessions(*np.random.default_rng(3).normal(size=(3, 9)))
    for permute in ("rois", "sessions"):
        found = usi_correlations(pooled, permute=permute, permutations=100, seed=1)
        found.to_netcdf(tmp_path / "found.nc")
        with xr.open_dataset(tmp_path / "found.nc") as again:
            xr.testing.assert_identical(again.load(), found)


@pytest.mark.parametrize("against", ["session", "change"])
def test_an_index_that_is_not_known_leaves_no_number(against):
    values = np.random.default_rng(4).normal(size=(2, 9))
    values[1, 3] = np.nan
    permute = "sessions" if against == "change" else "rois"
    found = usi_correlations(
        pool(sessions_of_one_mouse(*values)), against, permute=permute, permutations=100, seed=1
    )
    for name in set(found) - {"n_rois", "n_mice"}:
        assert np.isnan(found[name]).all(), name


def test_correlations_of_what_has_none():
    pooled = of_sessions([1.0, 1, 1], [1.0, 2, 3], [0.5, 2, 1])
    found = usi_correlations(pooled, "session", permutations=100, seed=1)
    known = np.isfinite(found.correlation.isel(group=0)).values
    assert known.tolist() == [False, False, True]
    np.testing.assert_array_equal(np.isfinite(found.p.isel(group=0)), known)
    for few in (of_sessions([1.0], [2.0]), of_sessions([1.0, 2], [2.0, 5])):
        found = usi_correlations(few, permutations=100, seed=1)
        for name in set(found) - {"n_rois", "n_mice"}:
            assert np.isnan(found[name]).all(), name


def test_a_group_that_lacks_a_session_leaves_the_others():
    values = np.random.default_rng(5).normal(size=(3, 9))
    whole = sessions_of_one_mouse(*values)
    fewer = [
        one.assign_coords(line="another", session_id=one.session_id + 100, mouse_id=2)
        for one in sessions_of_one_mouse(*values)[:2]
    ]
    found = usi_correlations(pool([*whole, *fewer]), permutations=100, seed=1)
    alone = usi_correlations(pool(whole), permutations=100, seed=1)
    (group,) = alone.group.values
    kept = found.sel(group=group)
    np.testing.assert_array_equal(kept.correlation, alone.correlation.sel(group=group))
    known = np.isfinite(found.drop_sel(group=group).correlation.squeeze("group"))
    assert known.values.tolist() == [pair == "1-2" for pair in found.pair.values]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"against": "other"}, "'change' or 'session'"),
        ({"permute": "labels"}, "'rois' or 'sessions'"),
        ({"against": "session", "permute": "sessions"}, "take against='change'"),
        ({"permutations": 100, "comparisons": 10}, "400 or more"),
        ({"permutations": 0}, "at least one"),
    ],
)
def test_words_that_cannot_be(words, message):
    with pytest.raises(CriterionError, match=message):
        usi_correlations(of_sessions([1, 2], [2, 1]), **words)


def test_other_errors():
    with pytest.raises(RenamedError, match='tail="low"'):
        usi_correlations(of_sessions([1, 2], [2, 1]), tail="lo")
    untracked = of_sessions([1, 2], [2, 1]).assign_attrs(tracked=0)
    with pytest.raises(TrackingError, match="tracked=True"):
        usi_correlations(untracked)
