"""What the panels need of each session: against plain computations of the same."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import analyses
from oscaxr.errors import CriterionError
from oscaxr.figures import session_results as of_session


@pytest.fixture(scope="module")
def session():
    """A session with enough U sequences of each orientation to be decoded. Not to be changed."""
    return ox.sample.session(n_rois=6, n_tracked=3, scale=0.3)


def test_differences_by_third(session):
    found = of_session.differences_by_third(session)
    for third, word in ((1, "first"), (3, "last")):
        groups = analyses.split(session, third=third)
        means = [part.mean("sequence") for part in groups.values()]
        np.testing.assert_allclose(found[word], means[1] - means[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["change"], found["last"] - found["first"])


def test_an_example_is_the_index_of_an_roi_and_its_shuffles(session):
    permutations = 400
    found = of_session.null_of_example(session, permutations, 3)
    usi = analyses.usi(session)["index"].sel(roi=found["roi"].item())
    assert found["index"].item() == pytest.approx(usi.item(), abs=1e-12)
    one, other = (
        part.sel(roi=found["roi"].item()).values
        for part in analyses.split(session, scale=False).values()
    )
    # The same by shuffling one by one: two samples of one distribution.
    random = np.random.default_rng(0)
    both = np.concatenate([one, other])
    plain = []
    for _ in range(permutations):
        mixed = random.permutation(both)
        parts = mixed[: len(one)], mixed[len(one) :]
        spread = np.sqrt((parts[0].var() + parts[1].var()) / 2)
        plain.append((parts[1].mean() - parts[0].mean()) / spread)
    null = found["null"].values
    deviation = np.std(plain)
    assert abs(null.mean() - np.mean(plain)) < 5 * deviation * np.sqrt(2 / permutations)
    assert abs(null.std() / deviation - 1) < 5 / np.sqrt(permutations)


def test_expected_frames_are_decoded_from_as_many_sequences_as_u(session):
    few = {"splits": 2, "shuffles": 0, "seed": 1}
    found = {
        frame: of_session.DECODED[frame]
        .compute(session, {**of_session.DECODED[frame].options, **few})["n_sequences"]
        .values
        for frame in "ABCDU"
    }
    for frame in "ABCD":
        np.testing.assert_array_equal(found[frame], found["U"])
    without = session.isel(segment=session["gabor_frame"].values != "U")
    with pytest.raises(CriterionError, match="too few sequences"):
        of_session.DECODED["A"].compute(without, {**of_session.DECODED["A"].options, **few})


@pytest.mark.parametrize("kind", ["expected", "both"])
def test_examples_are_the_rois_with_the_best_ratio_of_signal_to_noise(session, kind):
    options = {} if kind == "expected" else {"stimulus": "visflow", "split": "unexpected_onset"}
    found = of_session.example_responses(session, kind, **options)
    ratio = ox.snr(session)["snr"]
    best = ratio.sortby(ratio, ascending=False)["roi"].values
    assert found["roi"].values.tolist() == best.tolist()
    np.testing.assert_allclose(found["mean"], found["response"].mean("sequence"), atol=1e-12)
    whole = analyses.mean_traces(session, window=None, **options)["mean"]
    if kind == "both":
        plain = whole.sel(roi=found["roi"]).transpose(*found["mean"].dims)
        np.testing.assert_allclose(found["mean"], plain, atol=1e-12)


def test_behaviour_is_the_mean_of_equal_parts(session):
    found = of_session.behaviour(session)
    values = session["run_velocity"].values
    width = len(values) // 2000
    plain = [np.nanmean(values[k * width : (k + 1) * width]) for k in range(50)]
    np.testing.assert_allclose(found["run_velocity"].values[:50], plain)


def test_shares_are_those_of_a_variable(session):
    found = of_session.shares(session, "run_velocity")
    xr.testing.assert_identical(found, analyses.value_shares(session["run_velocity"]))


def test_correlations_of_rois_are_counted_pair_by_pair(session):
    found = of_session.correlations(session)
    assert found["count"].sum().item() == ox.roi_correlations(session).size == 15


def test_the_field_is_that_of_tracked_rois(session):
    found = of_session.field_of_tracked(session)
    tracked = ox.tracked(session)
    xr.testing.assert_identical(found["roi_mask"].load(), tracked["roi_mask"].load())


def test_shuffles_and_splits_are_said_where_they_matter():
    assert of_session.TRACES.parameters(7, 5, 1) == {}
    assert of_session.INDICES.parameters(7, 5, 1) == {"permutations": 7, "seed": 1}
    decoded = {"gabor_frame": "A", "unexpected": 0, "counts": "unexpected"}
    decoded |= {"shuffles": 7, "splits": 5, "seed": 1}
    assert of_session.DECODED["A"].parameters(7, 5, 1) == decoded
