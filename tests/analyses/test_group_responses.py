"""Responses of groups: as recorded of the published code, and against plain loops."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oscaxr as ox
from how_many import examples
from oscaxr.analyses import (
    block_differences,
    block_responses,
    chance,
    group_differences,
    group_means,
    mean_traces,
    pool,
    response_difference,
)
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    SchemaError,
)
from published_figures import assert_same_bound, assert_same_p, table_of
from recorded_groups import (
    COMPARISONS,
    EACH_STIMULUS,
    OURS,
    RECORDED,
    assert_same_pairs,
    of_row,
    pooled_results,
    rows_of,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{DroppedSequencesWarning.__module__}.DroppedSequencesWarning"
)

TAILS = {"_tails_2": "two", "_tails_hi": "high", "_tails_lo": "low"}


# -- recorded --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "split", "stimulus"),
    [
        ("gabors", "unexpected", "gabors"),
        pytest.param("visflow_unexp_lock", "unexpected_onset", "visflow", marks=pytest.mark.slow),
    ],
)
def test_recorded_traces(shared, name, split, stimulus):
    found = group_means(pooled_results(shared, mean_traces, split, stimulus), "mean")
    rows = rows_of(shared, f"traces/{name}")
    assert len(rows) == found["mean"].sizes["group"] * found["mean"].sizes["session"]
    for row in rows:
        own = of_row(found, row)
        traces = np.stack([own["mean"], own["sem"]], axis=-1)
        # Of a split in time, the groups follow each other.
        traces = traces if "response_group" in own.dims else np.split(traces, 2)
        np.testing.assert_allclose(traces, row["trace_stats"], rtol=1e-9, atol=1e-9)
        assert int(own.n_rois) == sum(row["nrois"])


@pytest.mark.parametrize("stimulus", EACH_STIMULUS)
def test_recorded_differences(shared, stimulus):
    pooled = pooled_results(shared, response_difference, stimulus, permutations=OURS, seed=1)
    for end, tail in {"": "two", **(TAILS if stimulus == "gabors" else {})}.items():
        found = group_differences(
            pooled, tail=tail, permutations=OURS, comparisons=COMPARISONS, seed=1
        )
        for row in rows_of(shared, f"diffs/{stimulus}{end}"):
            own = of_row(found, row)
            np.testing.assert_allclose([own["mean"], own["sem"]], row["diff_stats"], rtol=1e-9)
            assert_same_p(own.raw_p, row["raw_p_vals"], OURS, RECORDED)
            assert_same_pairs(own, row)
            # There is one session in each of these groups: its null is the group's.
            (null,) = pooled.null.sel(pooled_session=row["sessids"]).values
            outside = 100 * 0.05 / COMPARISONS
            bounds = {"two": (outside / 2, 50, 100 - outside / 2)}
            bounds |= {"high": (None, 50, 100 - outside), "low": (outside, 50, None)}
            for percentile, recorded in zip(bounds[tail], row["null_CIs"], strict=True):
                if percentile is not None:
                    assert_same_bound(np.mean(null < recorded), percentile, OURS, RECORDED)
            wanted = np.percentile(null, [0 if b is None else b for b in bounds[tail][:2]])
            np.testing.assert_allclose(own.null_interval[:2], wanted)


def of_pairs(rows, name):
    return pool(
        [
            xr.Dataset(
                {"difference": ("pair", row[name])},
                {"line": row["lines"], "plane": row["planes"], "session": row["sess_ns"]}
                | {"session_id": row["sessids"][0], "mouse_id": row["mouseids"][0]},
            )
            for row in rows
        ],
        dim="pair",
    )


@pytest.mark.parametrize("name", ["run", "pupil"])
def test_recorded_block_differences(shared, name):
    rows = rows_of(shared, "block_diffs")
    pooled = of_pairs(rows, f"{name}_block_diffs")
    found = block_differences(
        pooled, "difference", permutations=OURS, comparisons=COMPARISONS, seed=1
    )
    for row in rows:
        own = of_row(found, row)
        assert own["mean"].item() == pytest.approx(np.mean(row[f"{name}_block_diffs"]))
        assert_same_p(own.raw_p, row[f"{name}_raw_p_vals"], OURS, RECORDED)


@pytest.mark.parametrize("name", ["run", "pupil"])
def test_published_block_differences(shared, name):
    table = table_of("8b", shared / "data" / "papers")
    rows = table.to_dict("records")
    found = block_differences(
        of_pairs(rows, f"{name}_block_diffs"), "difference", permutations=OURS, seed=1
    )
    for row in rows:
        own = of_row(found, row)
        assert_same_p(own.raw_p, row[f"{name}_raw_p_vals"], OURS, 10_000)
        assert own.p.item() == pytest.approx(2 * own.raw_p.item())


# -- against plain loops ---------------------------------------------------------------------------
tenths = st.integers(-30, 30).map(lambda x: x / 10)


def session(session_id, number=1, mouse_id=1, **variables):
    facts = {"line": "L5-Rbp4", "plane": "dend", "session": number, "mouse_id": mouse_id}
    return xr.Dataset(variables, {"session_id": session_id, **facts})


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=examples(30))
def test_null_of_a_group_equals_a_plain_loop(sizes, n_expected, n_unexpected):
    """Permute the sequences of each session, then take the mean over the pooled ROIs."""
    random = np.random.default_rng([*sizes, n_expected, n_unexpected])
    responses = [random.normal(3, 1, size=(size, n_expected + n_unexpected)) for size in sizes]
    permutations, n_sequences = 25, n_expected + n_unexpected
    results, shuffled = [], []
    for place, own in enumerate(responses):
        null = chance.difference_null(
            chance.generator(1, place), permutations, own.mean(axis=0), n_unexpected
        )
        difference = own[:, n_expected:].mean(axis=1) - own[:, :n_expected].mean(axis=1)
        variables = {"difference": ("roi", difference), "null": ("permutation", null)}
        results.append(session(place, mouse_id=place, **variables))
        random_ = chance.generator(1, place)
        fewer = min(n_unexpected, n_sequences - n_unexpected)
        shuffled.append(next(chance.choice_blocks(random_, permutations, n_sequences, fewer)))
    plain = []
    for permutation in range(permutations):
        of_rois = []
        for own, chosen in zip(responses, shuffled, strict=True):
            drawn = np.isin(np.arange(n_sequences), chosen[permutation])
            second = drawn if chosen.shape[1] == n_unexpected else ~drawn
            for roi in own:
                of_rois.append(np.mean(roi[second]) - np.mean(roi[~second]))
        plain.append(np.mean(of_rois))
    pooled = pool(results)
    found = group_differences(pooled, permutations=50, seed=1, tail="low")
    observed = found["mean"].item()
    assert observed == pytest.approx(pooled.difference.values.mean())
    plain = [observed if np.isclose(one, observed, rtol=1e-9) else one for one in plain]
    share = np.mean([(one < observed) + 0.5 * (one == observed) for one in plain])
    assert found.raw_p.item() == pytest.approx(share, abs=1e-12)


@given(hnp.arrays(np.float64, st.integers(1, 8), elements=tenths))
@settings(max_examples=examples(30))
def test_flipped_signs_equal_a_plain_loop(values):
    pooled = pool([session(7, difference=("pair", values))], dim="pair")
    found = block_differences(pooled, "difference", permutations=40, seed=2)
    random = chance.generator(2, 7)
    observed, below = np.mean(values), []
    for _ in range(40):
        flips = random.integers(2, size=len(values), dtype=np.uint32)
        one = np.mean(
            [-value if flip else value for value, flip in zip(values, flips, strict=True)]
        )
        below.append(0.5 if np.isclose(one, observed, atol=1e-10) else float(one < observed))
    share = np.mean(below)
    assert found.raw_p.item() == pytest.approx(min(share, 1 - share), abs=1e-12)


def test_three_pairs_of_blocks_can_never_be_significant():
    pooled = pool([session(7, difference=("pair", [1.0, 2.0, 3.0]))], dim="pair")
    found = block_differences(pooled, "difference", permutations=10_000, seed=2)
    assert found.least_p.item() == 1 / 8
    assert found.p.item() == pytest.approx(1 / 8, abs=0.02)
    both = pool(
        [
            session(1, difference=("pair", [1.0])),
            session(2, number=2, difference=("pair", [2.0] * 6)),
        ],
        dim="pair",
    )
    few = block_differences(both, "difference", comparisons=2, seed=2)
    assert few.least_p.values.tolist() == [[1.0, 2 / 64]]


# -- what cannot be, and what is not known ---------------------------------------------------------
def test_blocks_of_both_kinds():
    """The difference is that of unexpected from expected blocks, from a session's own results."""
    ds = ox.sample.session(n_rois=4, scale=0.2)
    blocks = block_responses(ds)
    found = block_differences(pool([blocks], dim="pair"), "run_velocity", permutations=100, seed=1)
    expected, unexpected = (blocks.run_velocity.sel(group=kind) for kind in blocks.group.values)
    assert found["mean"].item() == pytest.approx(float((unexpected - expected).mean()))
    assert found.n_pairs.item() == blocks.sizes["pair"]
    with pytest.raises(CriterionError, match=r"dims \['roi'\] beside 'pair'"):
        block_differences(pool([block_responses(ds, "dff")], dim="pair"), "dff")


def with_null(session_id=1, n_rois=2, **facts):
    null = np.random.default_rng(0).normal(size=1000)
    variables = {"difference": ("roi", np.arange(n_rois) + 1.0), "null": ("permutation", null)}
    return session(session_id, **facts, **variables)


def test_rois_that_were_taken_away_since_the_null():
    pooled = pool([with_null(), with_null(2, mouse_id=2)])
    with pytest.raises(SchemaError, match=r"sessions \[1\] do not have the ROIs"):
        group_differences(pooled.isel(roi=slice(1, None)), seed=1)
    # Those without a difference are not in the null: they may be left out.
    known = with_null().assign(n_rois=1)
    known["difference"][0] = np.nan
    lost = group_differences(pool([known]), seed=1)
    assert np.isnan(lost["mean"]).all()
    assert np.isnan(lost.p).all()
    assert np.isnan(lost.null_interval).all()
    found = group_differences(pool([known]).isel(roi=[1]), seed=1)
    assert found["mean"].item() == 2
    assert found.n_rois.item() == 1


def test_a_whole_session_may_be_left_out():
    pooled = pool([with_null(), with_null(2, mouse_id=2)])
    one = group_differences(pooled.isel(roi=pooled.session_id.values == 1), seed=1)
    xr.testing.assert_allclose(one, group_differences(pool([with_null()]), seed=1))


def test_differences_without_a_null():
    pooled = pool([with_null().drop_vars("null")])
    with pytest.raises(MissingVariableError, match="with permutations"):
        group_differences(pooled, seed=1)
    with pytest.raises(MissingVariableError, match=r"no 'difference', but .*other"):
        group_differences(pool([with_null().rename(difference="other")]), seed=1)


def test_too_few_permutations_of_the_session_or_the_group():
    pooled = pool([with_null()])
    with pytest.raises(CriterionError, match=r"1000 permutations.*2400 or more"):
        group_differences(pooled, comparisons=60, seed=1)
    with pytest.raises(CriterionError, match=r"100 permutations.*400 or more"):
        group_differences(pooled, permutations=100, comparisons=10, seed=1)


def test_means_of_one_roi_and_of_missing_sessions():
    pooled = pool(
        [
            session(1, value=("roi", [2.0])),
            session(2, 2, value=("roi", [4.0, 6.0])),
            session(3, 2, 2, value=("roi", [5.0])).assign_coords(plane="soma"),
        ]
    )
    found = group_means(pooled, "value", permutations=100, seed=1)
    np.testing.assert_array_equal(found["mean"], [[2, 5], [np.nan, 5]])
    np.testing.assert_array_equal(found["sem"], [[np.nan, 1], [np.nan, np.nan]])
    assert found.n_rois.values.tolist() == [[1, 2], [0, 1]]
    np.testing.assert_array_equal(np.isnan(found.difference_p), [[False], [True]])
    assert found.difference.values[0, 0] == 3


def test_sessions_are_one_where_they_are_not_a_word_of_the_groups():
    results = [session(1, value=("roi", [2.0])), session(2, 2, value=("roi", [4.0, 6.0]))]
    found = group_means(pool(results, ("line", "plane")), "value", permutations=100)
    assert found["mean"].dims == ("group",)
    assert found["mean"].item() == 4
    assert "pair" not in found.dims


def test_traces_are_not_compared_between_sessions():
    pooled = pool([session(1, value=(("roi", "odd"), np.zeros((2, 3))))])
    assert group_means(pooled, "value")["mean"].dims == ("group", "session", "odd")
    with pytest.raises(CriterionError, match=r"dims \['odd'\] beside 'roi'"):
        group_means(pooled, "value", permutations=100)
    with pytest.raises(CriterionError, match="seed=-3"):
        group_means(pooled, "value", seed=-3)


def test_means_say_what_they_are_of():
    attrs = {"long_name": "dF/F", "units": "s", "scaled": 1}
    parts = [with_null(k, number=k) for k in (1, 2)]
    for one in parts:
        one["difference"].attrs = attrs
    pooled = pool(parts)
    for found, words in (
        (group_differences(pooled, seed=1), "mean difference of dF/F"),
        (group_means(pooled, "difference"), "mean dF/F"),
    ):
        assert found["mean"].attrs == {**attrs, "long_name": words}
        assert found["sem"].attrs == {**attrs, "long_name": f"standard error of the {words}"}
        assert "synthetic" not in found.attrs
    pooled["difference"].attrs = {"long_name": "mean of dF/F"}
    assert group_means(pooled, "difference")["mean"].attrs == {"long_name": "mean of dF/F"}


def test_groups_of_samples_say_so():
    sample = with_null(900_000_001, mouse_id=900_001)
    for function in (group_differences, lambda pooled: group_means(pooled, "difference")):
        assert function(pool([sample])).attrs["synthetic"] == 1


def test_results_can_be_written(tmp_path):
    pooled = pool([with_null(), with_null(2, number=2)])
    for found in (
        group_differences(pooled, seed=1),
        group_means(pooled, "difference", permutations=100),
    ):
        found.to_netcdf(tmp_path / "found.nc")
        with xr.open_dataset(tmp_path / "found.nc") as again:
            xr.testing.assert_identical(again.load(), found)
