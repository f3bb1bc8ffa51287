"""Variance explained by running, pupil and stimulus: planted, and predictors against a loop."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import explained_variance, roi_encoding
from oscaxr.errors import CriterionError, MissingVariableError, WindowError

PREDICTORS = ["running", "pupil", "stimulus"]


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=6, scale=0.06, seed=2)


@pytest.fixture(scope="module")
def planted(session):
    """The first ROIs follow running, half a second ago; the pupil; A frames; and noise."""
    fps, n_frames = session.attrs["twop_fps"], session.sizes["time"]
    running = ox.interpolate(session.run_velocity)
    running = running.sel(stim_time=session.time.values, method="nearest").values
    pupil = ox.interpolate(session.pupil_diameter).values
    shown = np.zeros(n_frames)
    a = session.osca.select(gabor_frame="A")
    shown[a.start_frame_twop.values[:, None] + np.arange(9)] = 1
    signals = np.stack([np.roll(running, round(0.5 * fps)), pupil, shown, np.zeros(n_frames)]).T
    deviation = signals.std(axis=0)
    signals /= np.where(deviation > 0, deviation, 1)
    dff = np.random.default_rng(0).normal(size=(n_frames, 4)) + signals
    ds = session.isel(roi=slice(4))
    return ds.assign(dff=(("time", "roi"), dff, session.dff.attrs))


@pytest.fixture(scope="module")
def found(planted):
    return explained_variance(planted, piece=10)


def test_what_follows_a_predictor_is_explained_by_it_alone(found):
    assert (found["explained"][:3] > 0.3).all()
    assert abs(found["explained"][3]) < 0.05
    for place, name in enumerate(PREDICTORS):
        alone, unique = (found[part].sel(predictor=name) for part in ("alone", "unique"))
        assert abs(alone[place] - found["explained"][place]) < 0.1
        assert unique[place] > 0.2
        assert (unique.drop_isel(roi=place) < 0.1).all()


def test_parts_are_differences_of_models(planted, found):
    """Each model, asked for by itself."""
    options = {"piece": 10}
    for name in PREDICTORS:
        rest = [other for other in PREDICTORS if other != name]
        alone = explained_variance(planted, [name], **options)
        without = explained_variance(planted, rest, **options)
        np.testing.assert_allclose(found["alone"].sel(predictor=name), alone["explained"])
        unique = found["explained"] - without["explained"]
        np.testing.assert_allclose(found["unique"].sel(predictor=name), unique, atol=1e-12)
    np.testing.assert_allclose(alone["unique"][0], alone["explained"])


def test_predictors_of_a_frame(session):
    """Lags side by side, kinds within each, against a loop over segments."""
    wanted = {"stimulus": (0.0, 0.3), "running": (-0.5,)}
    fps = session.attrs["twop_fps"]
    design = roi_encoding._Design.of(session, wanted, fps)
    frames = np.array([0, *session.start_frame_twop.values[::60], session.sizes["time"] - 1])
    rows = design.rows(frames)
    assert rows.shape == (len(frames), design.n_columns)
    assert design.columns(("running",)).tolist() == [design.n_columns - 1]
    kinds = {}
    for row, frame in zip(rows, frames, strict=True):
        for lag, values in zip((0, round(0.3 * fps)), np.split(row[:-1], 2), strict=True):
            at = max(frame - lag, 0)
            (segment,) = ox.segments_at(session, [at]).values
            if segment < 0 or session.stimulus_type.values[segment] == "grayscreen":
                assert not values.any()
                continue
            kind = tuple(str(session[name].values[segment]) for name in roi_encoding._KIND)
            assert values.sum() == 1
            assert kinds.setdefault(kind, values.argmax()) == values.argmax()
    assert len(set(kinds.values())) == len(kinds) > 1


def test_blocks_do_not_matter(planted, found, monkeypatch):
    monkeypatch.setattr(roi_encoding, "_BLOCK_BYTES", 20_000)
    blocks = explained_variance(planted, piece=10)
    np.testing.assert_allclose(blocks["unique"], found["unique"], atol=1e-10)


def test_scale_does_not_matter(planted, found):
    larger = explained_variance(planted.assign(dff=planted.dff * 7 + 100), piece=10)
    np.testing.assert_allclose(larger["unique"], found["unique"], atol=1e-9)


def test_results_can_be_written(found, tmp_path):
    found.to_netcdf(tmp_path / "explained.nc")
    with xr.open_dataset(tmp_path / "explained.nc") as read:
        xr.testing.assert_equal(read, found)


def test_tracked_rois(session):
    tracked = explained_variance(session, ["pupil"], piece=10, tracked=True)
    assert tracked["explained"].dims == ("tracking_id",)
    assert tracked.sizes["tracking_id"] == ox.n_tracked(session)


def test_rois_with_nan_are_nan(planted, found):
    gone = planted.dff.where((planted.roi != 1) | (planted.time != planted.time[4000]))
    part = explained_variance(planted.assign(dff=gone), piece=10)
    assert part["explained"].isnull().values.tolist() == [False, True, False, False]
    np.testing.assert_allclose(part["explained"][0], found["explained"][0])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"predictors": ["speed"]}, CriterionError, "one or more of"),
        ({"predictors": []}, CriterionError, "one or more of"),
        ({"predictors": ["pupil", "pupil"]}, CriterionError, "each once"),
        ({"lags": {"speed": [0]}}, CriterionError, "one or more of"),
        ({"lags": {"pupil": []}}, CriterionError, "lags of pupil"),
        ({"folds": 2}, CriterionError, "three parts"),
        ({"piece": -5}, CriterionError, "piece=-5: it is a length"),
        ({"piece": 1000}, WindowError, "too short for 5 parts"),
    ],
)
def test_bad_input(session, options, error, says):
    with pytest.raises(error, match=says):
        explained_variance(session, **options)


def test_says_which_stimuli_there_were(session, found):
    assert found.attrs["stimuli"] == "gabors, visflow"
    without = session.isel(segment=session.stimulus_type.values != "gabors")
    assert explained_variance(without, "stimulus", piece=10).attrs["stimuli"] == "visflow"
    gray = session.isel(segment=session.stimulus_type.values == "grayscreen")
    with pytest.raises(MissingVariableError, match="no stimulus but gray screens"):
        explained_variance(gray, piece=10)


def test_missing_behaviour(session):
    with pytest.raises(MissingVariableError, match="no pupil_diameter: leave it out"):
        explained_variance(session.drop_vars("pupil_diameter"), piece=10)
    gone = session.assign(pupil_diameter=session.pupil_diameter * np.nan)
    with pytest.raises(MissingVariableError, match="pupil_diameter of this session has no values"):
        explained_variance(gone, piece=10)
    with pytest.raises(WindowError, match="was cut"):
        explained_variance(session.isel(time=slice(2000)), piece=10)
