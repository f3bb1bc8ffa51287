"""Responses relative to a mouse's expected ones, and their change compared between stimuli."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oscaxr as ox
from how_many import examples
from oscaxr.analyses import (
    chance,
    compare_stimuli,
    frame_responses,
    group_means,
    pool,
    relative_responses,
)
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    SchemaError,
    SessionMismatchError,
)
from recorded_groups import (
    COMPARISONS,
    OURS,
    assert_same_pairs,
    of_row,
    pooled_results,
    rows_of,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{DroppedSequencesWarning.__module__}.DroppedSequencesWarning"
)


@pytest.mark.parametrize("stimulus", [pytest.param("gabors", marks=pytest.mark.slow), "visflow"])
def test_recorded_relative_responses(shared, stimulus):
    relative = relative_responses(pooled_results(shared, frame_responses, stimulus))
    words = {
        "expected": "rel_reg" if stimulus == "gabors" else "rel_exp",
        "unexpected": "rel_unexp",
    }
    for kind, word in words.items():
        found = group_means(relative, kind, permutations=OURS, comparisons=COMPARISONS, seed=1)
        for row in rows_of(shared, f"relative/{stimulus}"):
            own = of_row(found, row)
            np.testing.assert_allclose([own["mean"], own["sem"]], row[word], rtol=1e-9)
            assert_same_pairs(own, row, f"{word}_")


# -- against plain loops ---------------------------------------------------------------------------
FRAMES = ["A", "B", "C", "D", "U", "G"]


def session(session_id, number, mouse_id, values, tracked=False, **facts):
    dim = "tracking_id" if tracked else "roi"
    dims = ("group", "gabor_frame", dim) if values.ndim == 3 else ("group", dim)
    coords = {"group": ["expected", "unexpected"], dim: np.arange(values.shape[-1])}
    coords |= {"gabor_frame": FRAMES} if values.ndim == 3 else {}
    facts = {"line": "L5-Rbp4", "plane": "dend", **facts}
    return xr.Dataset(
        {"response": (dims, values)},
        {**coords, "session_id": session_id, "session": number, "mouse_id": mouse_id, **facts},
    )


def made(n_frames=(6,), seed=0, n_rois=None, tracked=False, **facts):
    random = np.random.default_rng(seed)
    size = (lambda: 4) if n_rois is None else (lambda: n_rois)
    return [
        session(
            100 * mouse + number, number, mouse, 1 + random.random((2, *n_frames, size())), tracked
        ).assign_coords(facts)
        for mouse in (1, 2)
        for number in (1, 2, 3)
    ]


def test_relative_responses_equal_a_plain_loop():
    results = made()
    found = relative_responses(pool(results))
    for one in results:
        first = results[0 if int(one.mouse_id) == 1 else 3].response.sel(group="expected")
        rows = found.session_id.values == int(one.session_id)
        for roi, (expected, unexpected) in enumerate(
            zip(found.expected.values[rows], found.unexpected.values[rows], strict=True)
        ):
            own = one.response.isel(roi=roi)
            reference = {frame: float(first.sel(gabor_frame=frame).mean()) for frame in FRAMES}
            plain = [
                float(own.sel(group="expected", gabor_frame=frame)) / reference[frame]
                for frame in "ABC"
            ]
            assert expected == pytest.approx(np.mean(plain))
            u, g = (float(own.sel(group="unexpected", gabor_frame=f)) for f in "UG")
            assert unexpected == pytest.approx((u / reference["D"] + g / reference["G"]) / 2)


def slow_change(first, second):
    return abs((np.mean(second) - np.mean(first)) / np.mean(first))


@given(st.integers(1, 5), st.integers(0, 50))
@settings(max_examples=examples(15))
def test_exchanged_stimuli_equal_a_plain_loop(n_rois, seed):
    groups = [{"plane": "dend"}, {"plane": "soma"}]
    pooled = []
    for place in (0, 1):
        results = [made((), seed + place, n_rois)[k] for k in (0, 2)]
        other = [one.assign_coords(groups[1]) for one in made((), seed + 7 + place, n_rois)[3::2]]
        pooled.append(relative_responses(pool([*results, *other])))
    found = compare_stimuli(*pooled, permutations=40, seed=5)
    nulls, observed = [], []
    for group in ("L5-Rbp4 dend", "L5-Rbp4 soma"):
        values = [
            [one.unexpected.values[(one.group == group) & (one.session == k)] for one in pooled]
            for k in (1, 3)
        ]
        ids = sorted(set(pooled[0].session_id.values[pooled[0].group == group].tolist()))
        random = chance.generator(5, *ids)
        for own in values:  # the bootstrap samples of each session come first
            chance.bootstrap(random, np.transpose(own), lambda rows: rows.mean(axis=1))
        coins = [random.integers(2, size=(40, n_rois), dtype=np.uint32) for _ in (1, 3)]
        null = []
        for k in range(40):
            exchanged = [
                [np.where(coin[k], own[1], own[0]), np.where(coin[k], own[0], own[1])]
                for coin, own in zip(coins, values, strict=True)
            ]
            null.append([slow_change(exchanged[0][s], exchanged[1][s]) for s in (0, 1)])
        nulls.append(null)
        observed.append([slow_change(values[0][s], values[1][s]) for s in (0, 1)])
    nulls = [*nulls, np.mean(nulls, axis=0)]
    observed = [*observed, np.mean(observed, axis=0)]
    np.testing.assert_allclose(found.change, observed, rtol=1e-9)
    for place, (null, own) in enumerate(zip(nulls, observed, strict=True)):
        difference = own[1] - own[0]
        plain = np.diff(null)[:, 0]
        plain = np.where(np.isclose(plain, difference, rtol=1e-9, atol=1e-11), difference, plain)
        share = np.mean((plain < difference) + 0.5 * (plain == difference))
        assert found.raw_p.values[place] == pytest.approx(min(share, 1 - share), abs=1e-12)
    assert found.group.values.tolist()[-1] == "all"


def test_samples_of_tracked_rois_are_the_same_in_both_sessions():
    """Responses that double in every ROI change by 1, whichever ROIs are drawn."""
    results = []
    for stimulus in (0, 1):
        random = np.random.default_rng(stimulus)
        first = 1 + random.random((2, 5))
        own = [session(k, k, 1, first * (1 if k == 1 else 2), tracked=True) for k in (1, 3)]
        results.append(relative_responses(pool(own)))
    tracked = compare_stimuli(*results, permutations=100, seed=1)
    np.testing.assert_allclose(tracked.change, 1)
    np.testing.assert_allclose(tracked.change_error, 0, atol=1e-12)
    apart = [
        one.assign_attrs(tracked=0).assign_coords(session_roi=one.tracking_id) for one in results
    ]
    assert (compare_stimuli(*apart, permutations=100, seed=1).change_error > 0.01).all()


def test_a_group_without_a_session_is_nan():
    both = []
    for seed in (0, 1):
        lone = session(300, 1, 3, 1 + np.random.default_rng(seed).random((2, 4)), plane="soma")
        both.append(relative_responses(pool([*made((), seed), lone])))
    found = compare_stimuli(*both, permutations=100, seed=1)
    known = np.isfinite(found.p.values)
    assert dict(zip(found.group.values.tolist(), known.tolist(), strict=True)) == {
        "L5-Rbp4 dend": True,
        "L5-Rbp4 soma": False,
        "all": False,
    }


def test_what_cannot_be():
    pooled = pool(made())
    relative = relative_responses(pooled)
    with pytest.raises(SchemaError, match=r"mice \[1, 2\] have no session 4"):
        relative_responses(pooled, session=4)
    with pytest.raises(MissingVariableError, match="no 'response'"):
        relative_responses(relative)
    with pytest.raises(MissingVariableError, match=r"analyses\.frame_responses"):
        relative_responses(pooled.isel(response_group=0))
    with pytest.raises(SessionMismatchError, match="not of the same ROIs: 'session_id' differs"):
        compare_stimuli(relative, relative.isel(roi=slice(1, None)))
    for sessions in ((1, 4), (1, 1)):
        with pytest.raises(CriterionError, match=r"which are \[1, 2, 3\]"):
            compare_stimuli(relative, relative, sessions=sessions)
    with pytest.raises(CriterionError, match="or more are needed"):
        compare_stimuli(relative, relative, permutations=10)
    gabors, visflow = (relative.assign_attrs(stimulus=word) for word in ("gabors", "visflow"))
    for swapped in ((visflow, gabors), (gabors, gabors), (visflow, visflow)):
        with pytest.raises(SessionMismatchError, match=r"it is compare_stimuli\(gabors, visflow\)"):
            compare_stimuli(*swapped, permutations=100)


def test_scaled_responses_are_relative_to_nothing():
    ds = ox.sample.session(n_rois=3, scale=0.05)
    relative = relative_responses(pool([frame_responses(ds)]))
    assert relative.attrs["stimulus"] == "gabors"
    with pytest.raises(CriterionError, match="the responses are scaled"):
        relative_responses(pool([frame_responses(ds, scale=True)]))


def test_a_comparison_of_samples_says_so():
    both = [relative_responses(pool(made((), seed=k))) for k in (0, 1)]
    recorded = compare_stimuli(*both, permutations=100, seed=1)
    of_samples = [one.assign_coords(mouse_id=one.mouse_id + 900_000) for one in both]
    samples = compare_stimuli(*of_samples, permutations=100, seed=1)
    assert "synthetic" not in recorded.attrs
    assert samples.attrs["synthetic"] == 1


def test_results_can_be_written(tmp_path):
    relative = relative_responses(pool(made()))
    found = compare_stimuli(relative, relative, permutations=100, seed=1)
    found.to_netcdf(tmp_path / "found.nc")
    with xr.open_dataset(tmp_path / "found.nc") as again:
        xr.testing.assert_identical(again.load(), found)
