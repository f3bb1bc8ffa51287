"""Decoding of sessions, against scikit-learn's pipeline on the same divisions, and as recorded."""

import json

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import decode, decoding
from oscaxr.errors import (
    CriterionError,
    InvalidRoiWarning,
    MissingVariableError,
    TrackingError,
    WindowError,
)
from plain_decoder import plain_decoder
from recorded_analyses import SESSIONS, Recorded

pytest.importorskip("sklearn")

FEW = {"counts": "all", "splits": 4, "seed": 3}


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=6, scale=0.08, seed=2)


def planted(session, strength=0.5):
    """The session, the first ROIs of which respond to one orientation of D each."""
    ds = session.copy()
    dff = ds.dff.transpose("time", "roi").values.copy()
    for roi, orientation in enumerate((0, 45, 90)):
        segments = ds.osca.select(gabor_frame="D", gabor_mean_orientation=orientation)
        frames = segments.start_frame_twop.values[:, None] + np.arange(14)
        dff[frames, roi] += strength * ds.dff.isel(roi=roi).std().item() * 10
    ds["dff"] = (("time", "roi"), dff, ds.dff.attrs)
    return ds


# -- against scikit-learn ------------------------------------------------------------------------
@pytest.mark.parametrize("time_course", [False, True])
def test_scores_are_those_of_the_plain_pipeline(session, time_course):
    """The same divisions and permutations, all features, and scikit-learn to a tight tolerance."""
    options = {**FEW, "shuffles": 20, "time_course": time_course, "window": (0, 0.1)}
    found = decode(session, **options)
    slow = decode(session, **options, estimator=plain_decoder(6, tolerance=1e-8))
    xr.testing.assert_allclose(found, slow)
    assert found["shuffled"].sizes["shuffle"] == 20


def test_expected_against_unexpected_is_of_two_classes(session):
    """Two classes have one set of weights in scikit-learn."""
    options = {"coordinate": "unexpected", "splits": 4, "seed": 3, "shuffles": 20}
    found = decode(session, **options)
    slow = decode(session, **options, estimator=plain_decoder(6, tolerance=1e-8))
    xr.testing.assert_allclose(found, slow)
    assert found.attrs["chance"] == 0.5
    frames = session.osca.select(gabor_kappa=16, gabor_frame=["D", "U"])
    assert found["n_sequences"].sum() in (frames.sizes["segment"], frames.sizes["segment"] - 1)


@pytest.mark.parametrize("coordinate", ["main_flow_direction", "unexpected"])
def test_visual_flow(session, coordinate):
    found = decode(session, coordinate, "visflow", splits=3, seed=1)
    flow = session.osca.select(stimulus="visflow", square_size=128)
    np.testing.assert_array_equal(found[coordinate], np.unique(flow[coordinate]))


def test_balanced_accuracy_is_that_of_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score

    random = np.random.default_rng(0)
    labels, predicted = random.integers(3, size=20), random.integers(3, size=(2, 4, 20))
    found = decoding._balanced_accuracy(predicted, labels)
    slow = [[balanced_accuracy_score(labels, one) for one in part] for part in predicted]
    np.testing.assert_allclose(found, slow)


def test_balanced_accuracy_is_over_the_classes_that_are_tested():
    """Of a class with few sequences, a division may leave none to test on."""
    labels = np.array([0, 0, 2, 2])
    with np.errstate(all="raise"):
        found = decoding._balanced_accuracy(np.array([0, 1, 2, 2]), labels)
    assert found == 0.75


def test_statistics(session):
    found = decode(session, **FEW, shuffles=21)
    np.testing.assert_allclose(found["mean"], np.mean(found["score"]))
    np.testing.assert_allclose(found["sem"], np.std(found["score"], ddof=1) / 2)
    above = [(x > found["mean"]) + (x == found["mean"]) / 2 for x in found["shuffled"]]
    np.testing.assert_allclose(found["p"], np.mean(above))


# -- what it finds -------------------------------------------------------------------------------
def test_what_responds_to_orientations_tells_them(session):
    found = decode(planted(session), **FEW, shuffles=200)
    assert found["mean"] > 0.9
    assert abs(found["shuffled"].mean() - 0.25) < 0.1
    assert found["p"] < 0.05


def test_a_time_course_tells_when(session):
    course = decode(planted(session), **FEW, time_course=True)["mean"]
    assert course.sel(rel_time=slice(0.05, 0.4)).mean() > 0.85
    assert course.sel(rel_time=slice(-0.9, -0.1)).mean() < 0.5


def test_d_takes_as_many_as_there_are_u(session):
    """Of each orientation, as many as of the U 90 degrees on."""
    # Every third D is called U here, of which short sessions have too few.
    frame, orientation = session.gabor_frame.values.copy(), session.gabor_mean_orientation.values
    called = np.flatnonzero((frame == "D") & (session.gabor_kappa.values == 16))[::3]
    frame[called], turned = "U", orientation.copy()
    turned[called] += 90
    named = {"gabor_frame": ("segment", frame), "gabor_mean_orientation": ("segment", turned)}
    ds = session.assign_coords(named)
    unexpected = ds.osca.select(gabor_kappa=16, gabor_frame="U")
    counts = {
        orientation: int((unexpected.gabor_mean_orientation == orientation + 90).sum())
        for orientation in (0.0, 45.0, 90.0, 135.0)
    }
    by_hand = decode(ds, counts=counts, splits=3, seed=1)
    assert by_hand["n_sequences"].values.tolist() == [*counts.values()]
    xr.testing.assert_identical(by_hand, decode(ds, splits=3, seed=1))
    # Of the frames before it by request.
    a = decode(ds, gabor_frame="A", unexpected=0, counts="unexpected", splits=3, seed=1)
    assert a["n_sequences"].values.tolist() == [*counts.values()]


# -- what does not matter ------------------------------------------------------------------------
def same(found, other):
    xr.testing.assert_allclose(found.drop_vars("roi", errors="ignore"), other)


def test_scale_and_company_do_not_matter(session):
    ds = planted(session, 0.05)
    found = decode(ds, **FEW, shuffles=20)
    same(decode(ds.assign(dff=ds.dff * 3 - 1), **FEW, shuffles=20), found)
    # The session's own random numbers, whatever was drawn for others before.
    decode(session.assign_coords(session_id=1), **FEW)
    xr.testing.assert_identical(decode(ds, **FEW, shuffles=20), found)


def test_seeds_differ_between_sessions_and_are_told(session):
    found = decode(session, **{**FEW, "seed": None})
    xr.testing.assert_identical(decode(session, **{**FEW, "seed": found.attrs["seed"]}), found)
    other = decode(session.assign_coords(session_id=1), **{**FEW, "seed": found.attrs["seed"]})
    assert (other["score"] != found["score"]).any()


def test_shuffles_are_dealt_to_the_divisions():
    assert [*decoding._shares(7, 3)] == [3, 2, 2]
    assert [*decoding._shares(2, 4)] == [1, 1, 0, 0]


@pytest.mark.parametrize("time_course", [False, True])
def test_results_can_be_written(session, tmp_path, time_course):
    found = decode(session, **FEW, shuffles=20, time_course=time_course)
    found.to_netcdf(tmp_path / "decoded.nc")
    with xr.open_dataset(tmp_path / "decoded.nc") as read:
        xr.testing.assert_equal(read, found)


def test_tracked_rois_only(session):
    found = decode(session, **FEW, tracked=True)
    assert found.attrs["n_rois"] == ox.n_tracked(session)
    with pytest.raises(TrackingError):
        decode(session.assign_coords(tracking_id=("roi", np.full(6, -1))), **FEW, tracked=True)


# -- bad input -----------------------------------------------------------------------------------
def test_rois_with_nan_are_left_out_and_told(session):
    gone = session.dff.where(session.roi != 2)
    with pytest.warns(InvalidRoiWarning, match="1 of 6 ROIs have NaN"):
        found = decode(session.assign(dff=gone), **FEW)
    assert (found.attrs["n_rois"], found.attrs["rois_left_out"]) == (5, 1)
    without = decode(session.isel(roi=[0, 1, 3, 4, 5]), **FEW)
    xr.testing.assert_equal(found, without)
    with pytest.raises(CriterionError, match="no ROI has responses without NaN"):
        decode(session.assign(dff=session.dff * np.nan), **FEW)


def test_rois_without_spread_are_left_out(session):
    constant = session.dff.where(session.roi != 2, 1.0)
    without = decode(session.isel(roi=[0, 1, 3, 4, 5]), **FEW)
    same(decode(session.assign(dff=constant), **FEW).assign_attrs(n_rois=5), without)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"coordinate": "gabor_orientations"}, MissingVariableError, "there are gabor_frame"),
        ({"coordinate": "gabor_frame", "gabor_frame": "A"}, CriterionError, "one class"),
        ({"coordinate": "start_time"}, CriterionError, "too few sequences"),
        ({"stimulus": "grayscreen"}, CriterionError, "gabors or visflow"),
        ({"stim": "gabors"}, CriterionError, "stim= is now stimulus"),
        ({"block": 1000}, CriterionError, "no segments of gabors"),
        ({"counts": {0: 3}}, CriterionError, "give one for each"),
        ({"counts": dict.fromkeys((0, 45, 90, 135), 1)}, CriterionError, "too few sequences"),
        ({"counts": dict.fromkeys((0, 45, 90, 135), 999)}, CriterionError, "too few sequences"),
        ({"counts": "some"}, CriterionError, "a mapping, 'unexpected' or 'all'"),
        ({"counts": "unexpected", "gabor_frame": "U"}, CriterionError, "of one of the frames"),
        ({"counts": "unexpected", "gabor_frame": ["A", "D"]}, CriterionError, "of one of the"),
        ({"splits": 1}, CriterionError, "splits=1"),
        ({"shuffles": -1}, CriterionError, "shuffles=-1"),
        ({"shuffles": True}, CriterionError, "shuffles=True"),
        ({"shuffles": 19}, CriterionError, r"19 permutations cannot resolve.*20 or more"),
        ({"counts": dict.fromkeys((0, 45, 90, 135), 3.7)}, CriterionError, "whole numbers"),
        ({"splits": 2.5}, CriterionError, "splits=2.5"),
        ({"train": 1.0}, CriterionError, "train=1"),
        ({"splits": "ten"}, CriterionError, "splits='ten'"),
        ({"window": (0,)}, CriterionError, "begin and end"),
        ({"window": (0, 0)}, WindowError, "empty window"),
        ({"penalty": 0}, CriterionError, "penalty=0"),
        ({"seed": -1}, CriterionError, "seed=-1"),
    ],
)
def test_bad_input(session, options, error, says):
    with pytest.raises(error, match=says):
        decode(session, **{**FEW, **options})


def test_a_session_without_unexpected_frames_has_nothing_to_match(session):
    expected = session.isel(segment=session.gabor_frame.values != "U")
    with pytest.raises(CriterionError, match=r"of which \[0, 0, 0, 0\] are to be taken"):
        decode(expected, splits=3)


# -- recorded results of the published code ------------------------------------------------------
# Of each mouse one; the others with the slow tests.
QUICK = ((SESSIONS[0], "D"), (SESSIONS[3], "U"))


@pytest.mark.parametrize(
    ("number", "frame"),
    [
        pytest.param(number, frame, marks=[pytest.mark.slow] * ((number, frame) not in QUICK))
        for number in SESSIONS
        for frame in "DU"
    ],
)
def test_recorded(shared, number, frame):
    recorded = Recorded(shared, number)
    told = json.loads((shared / "golden_analyses" / "analyses.json").read_text())
    ds = recorded.ds
    wanted = decoding._criteria(decoding.ORIENTATION, "gabors", {"gabor_frame": frame})
    segments = decoding._segments(ds, decoding.ORIENTATION, "gabors", wanted)
    windows = ox.sequences(ds, "dff", segments, pre=0, post=0.45, scale=True)
    key = f"decoding__{frame}ori__"
    means = windows.mean(("roi", "rel_time"))
    np.testing.assert_allclose(means, recorded[f"{key}input_mean"], rtol=1e-9, atol=1e-9)
    classes = np.unique(windows.gabor_mean_orientation, return_inverse=True)[1]
    np.testing.assert_array_equal(classes, recorded[f"{key}target"])
    key = f"{number}/decoding/{frame}ori/"
    found = decode(ds, gabor_frame=frame, seed=1)
    if frame == "D":
        assert found["n_sequences"].values.tolist() == told[f"{key}ctrl_ns"]
    mean, error = told[f"{key}balanced_accuracy"]
    assert abs(found["mean"] - mean) < 3 * np.hypot(found["sem"], error)
