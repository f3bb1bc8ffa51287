"""Which ROIs respond, against plain loops over permutations, shifts and labels."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oscaxr as ox
from how_many import examples
from oscaxr.analyses import chance, responsive_rois
from oscaxr.errors import CriterionError, RenamedError, TrackingError, WindowError

TESTS = ("baseline", "shuffled", "gray")


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=5, n_tracked=2, scale=0.05, field_shape=(64, 64), seed=3)


def segments_of(ds, stimulus):
    frame = {"gabor_frame": "A"} if stimulus == "gabors" else {}
    return ds.osca.select(stimulus=stimulus, **frame)


def integral(trace, frame, window, fps):
    start, stop = (round(edge * fps) for edge in window)
    return trace[frame + start : frame + stop].sum() / fps


def p_of(observed, null, tail):
    """Count the permutations as extreme as the actual one, which is one of them, ties half."""
    close = np.isclose(null, observed, rtol=1e-10, atol=1e-14)
    above = np.sum((null > observed) & ~close) + close.sum() / 2
    below = np.sum((null < observed) & ~close) + close.sum() / 2
    sides = {"high": above, "low": below, "two": min(above, below)}
    p = (sides[tail] + 1) / (len(null) + 1)
    return min(1.0, 2 * p) if tail == "two" else p


def slow_null(ds, trace, frames, window, against, permutations, seed):
    """Return the response and its null, one permutation after the other."""
    fps = ds.attrs["twop_fps"]
    random = chance.generator(seed, int(ds.session_id))
    responses = np.array([integral(trace, frame, window, fps) for frame in frames])
    length = round(window[1] * fps) - round(window[0] * fps)
    if against == "baseline":
        before = np.array([trace[f + round(-0.3 * fps) : f].mean() for f in frames])
        differences = responses - before * length / fps
        # Of ones on the diagonal, the sums are the coins themselves.
        coins = chance.swap_sums(random, permutations, np.eye(len(frames)))
        null = [np.where(row == 1, -differences, differences).mean() for row in coins]
        return differences.mean(), np.array(null)
    if against == "shuffled":
        n_starts = len(trace) - length + 1
        first = frames + round(window[0] * fps)
        shifts = random.integers(n_starts, size=permutations)
        null = [
            np.mean([trace[k : k + length].sum() / fps for k in (first + shift) % n_starts])
            for shift in shifts
        ]
        everywhere = np.mean([trace[k : k + length].sum() / fps for k in range(n_starts)])
        return responses.mean() - everywhere, np.array(null) - everywhere
    gray = []
    screens = ds.osca.blocks(stimulus="grayscreen")
    for start, stop in zip(screens.start_frame_twop, screens.stop_frame_twop, strict=True):
        frame = int(start)
        while frame + length <= int(stop):
            if frame + length < len(trace):
                gray.append(trace[frame : frame + length].sum() / fps)
            frame += length
    pooled = np.concatenate([gray, responses])
    k = min(len(gray), len(responses))
    null = []
    for _ in range(permutations):
        (chosen,) = next(chance.choice_blocks(random, 1, len(pooled), k))
        one, other = pooled[chosen].mean(), np.delete(pooled, chosen).mean()
        null.append(one - other if k == len(responses) else other - one)
    return responses.mean() - np.mean(gray), np.array(null)


@pytest.mark.parametrize("against", TESTS)
@given(
    st.integers(0, 5),
    st.sampled_from(["two", "high", "low"]),
    st.sampled_from(["gabors", "visflow"]),
)
@settings(max_examples=examples(24))
def test_equals_a_plain_loop(ds, against, seed, tail, stimulus):
    window = {"gabors": (0.1, 0.6), "visflow": (0, 1)}[stimulus]
    found = responsive_rois(
        ds, stimulus, against=against, window=window, permutations=40, seed=seed, tail=tail
    )
    segments = segments_of(ds, stimulus)
    windows = ds.osca.sequences("dff", segments, pre=0, post=window[1])
    frames = windows.reference_frame.values
    assert int(found["n_sequences"]) == len(frames)
    for number in (0, 3):
        trace = ds.dff.transpose("time", "roi").values[:, number]
        response, null = slow_null(ds, trace, frames, window, against, 40, seed)
        own = found.isel(roi=number)
        assert float(own["response"]) == pytest.approx(response, rel=1e-9, abs=1e-12)
        assert float(own["p"]) == pytest.approx(p_of(response, null, tail), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_q_is_that_of_benjamini_and_hochberg(p):
    order = np.argsort(p)
    q, least = np.empty(len(p)), 1.0
    for rank in range(len(p), 0, -1):
        least = min(least, p[order[rank - 1]] * len(p) / rank)
        q[order[rank - 1]] = least
    np.testing.assert_allclose(chance.q_values(np.array(p)), q, rtol=1e-12)


@pytest.mark.parametrize("against", TESTS)
def test_what_follows_from_p_tracked_and_written(ds, against, tmp_path):
    options = {"against": against, "permutations": 50, "seed": 1}
    whole = responsive_rois(ds, **options)
    np.testing.assert_array_equal(whole["q"], chance.q_values(whole["p"].values))
    np.testing.assert_array_equal(whole["responsive"], whole["q"] < 0.05)
    tracked = responsive_rois(ds, tracked=True, **options)
    np.testing.assert_allclose(tracked["p"], whole["p"].sel(roi=tracked.roi.values))
    whole.to_netcdf(tmp_path / "responsive.nc")
    with xr.open_dataset(tmp_path / "responsive.nc") as again:
        xr.testing.assert_identical(again.load(), whole)


@pytest.mark.parametrize("against", TESTS)
def test_planted_responses_are_found_and_p_of_noise_is_uniform(ds, against):
    """Of ROIs that are noise but for one, which rises with each A frame."""
    random = np.random.default_rng(6)
    traces = random.normal(size=(ds.sizes["time"], 200))
    starts = segments_of(ds, "gabors").start_frame_twop.values
    traces[starts[:, None] + np.arange(18), 7] += 1
    noise = xr.DataArray(traces, dims=("time", "roi"), attrs={"units": "1"})
    bare = ds.drop_dims("roi").assign(dff=noise).assign_coords(roi=np.arange(200))
    found = responsive_rois(bare, against=against, seed=0)
    assert found["responsive"].sel(roi=7)
    assert found["p"].idxmin() == 7
    for share in (0.05, 0.5):
        error = np.sqrt(share * (1 - share) / 200)
        assert abs(float((found["p"] < share).mean()) - share) < 3 * error


@pytest.mark.parametrize("against", TESTS)
def test_rois_with_nan_are_named_by_nan(ds, against):
    broken = ds.assign(dff=ds.dff.where(ds.roi != 2))
    found = responsive_rois(broken, against=against, permutations=50, seed=1)
    for name in ("response", "p", "q"):
        assert np.isnan(found[name]).values.tolist() == [k == 2 for k in range(5)]
    assert not found["responsive"].sel(roi=2)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"against": "grey"}, CriterionError, "against='grey': it may be 'baseline', 'shuffled'"),
        ({"tail": "hi"}, RenamedError, 'tail="high"'),
        ({"permutations": 0}, CriterionError, "permutations=0"),
        ({"permutations": 39}, CriterionError, "40 or more"),
        ({"permutations": 99, "alpha": 0.01, "tail": "high"}, CriterionError, "100 or more"),
        ({"alpha": 5}, CriterionError, "alpha=5: it is a rate between 0 and 1"),
        ({"gabor_frame": "U", "unexpected": 0}, CriterionError, "has no segments of gabors"),
        ({"stimulus": "movie"}, CriterionError, "stimulus='movie'"),
        ({"window": (0.5, 0.2), "against": "gray"}, WindowError, "empty window"),
        ({"against": "gray", "window": (-40, 0)}, CriterionError, "no gray screen as long as"),
    ],
)
def test_what_cannot_be_asked_for(ds, options, error, says):
    with pytest.raises(error, match=says):
        responsive_rois(ds, **options)


def test_what_the_session_lacks(ds):
    with pytest.raises(TrackingError):
        responsive_rois(ds.assign_coords(tracking_id=("roi", [-1] * 5)), tracked=True)
    with pytest.raises(CriterionError, match="no gray screen as long as"):
        responsive_rois(ds.isel(segment=ds.stimulus_type != "grayscreen"), against="gray")
