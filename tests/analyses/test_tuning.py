"""Tuning curves: against loops over the grid, and curves that were planted."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import orientation_tuning, tuning
from oscaxr.errors import CriterionError, MissingVariableError, TrackingError, WindowError
from planted_tuning import responding

WINDOW = (0, 0.3)
PREFERRED, CONCENTRATION = (20, 175, 90), (4.0, 1.0, 16.0)


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=6, scale=0.08, seed=2)


def curve(ds, preferred, concentration):
    """The mean over patches of the curve, for each segment."""
    angle = np.deg2rad(2 * (np.round(ds.gabor_orientation.values) - preferred))
    return np.exp(concentration * (np.cos(angle) - 1)).mean(axis=1)


def tuned(ds):
    """Responses of three ROIs, each about another level in frames A."""
    curves = [curve(ds, *one) for one in zip(PREFERRED, CONCENTRATION, strict=True)]
    return np.nan_to_num(np.stack(curves, axis=1)) + (ds.gabor_frame.values == "A")[:, None]


@pytest.fixture(scope="module")
def planted(session):
    return responding(session, tuned, noise=0.1)


@pytest.fixture(scope="module")
def found(planted):
    return orientation_tuning(planted, window=WINDOW)


def test_planted_curves_are_found(found):
    off = (found["preferred_orientation"] - PREFERRED + 90) % 180 - 90
    assert (abs(off) < 5).all()
    np.testing.assert_allclose(np.log2(found["concentration"] / CONCENTRATION), 0, atol=1.1)
    np.testing.assert_allclose(found["amplitude"], 1, atol=0.4)
    assert (found["predicted"] > 0.5).all()
    # About as much as it explains where it was fitted.
    assert (abs(found["explained"] - found["predicted"]) < 0.1).all()


def test_noise_has_no_tuning_to_predict(session):
    ds = responding(session, lambda ds: np.zeros((ds.sizes["segment"], 2)), noise=0.1)
    assert (abs(orientation_tuning(ds, window=WINDOW)["predicted"]) < 0.05).all()


def test_equals_a_loop_over_all_curves(planted, monkeypatch):
    """Every curve of the grid for each ROI, fitted to segments one part of which is hidden."""
    monkeypatch.setattr(tuning, "_CONCENTRATIONS", np.array([1.0, 8.0]))
    found = orientation_tuning(planted, window=WINDOW)
    segments = planted.osca.select(gabor_frame=["A", "B", "C", "D"], gabor_kappa=16)
    windows = planted.osca.sequences("dff", segments, pre=0, post=0.3)
    frame = windows.gabor_frame.values
    kept = segments.sel(segment=windows.sequence.values)
    grid = [(k, p) for k in tuning._CONCENTRATIONS for p in range(180)]
    g = np.array([about_frames(curve(kept, p, k), frame) for k, p in grid])
    for roi in (0, 2):
        y = about_frames(windows.values[roi].mean(axis=1), frame)
        best, height = slow_fit(g, y)
        one = found.isel(roi=roi)
        assert grid[best] == (one["concentration"], one["preferred_orientation"])
        np.testing.assert_allclose(one["amplitude"], height)
        error = ((y - height * g[best]) ** 2).sum()
        np.testing.assert_allclose(one["explained"], 1 - error / (y**2).sum())
        hidden = 0.0
        for part in range(5):
            test = np.arange(len(y)) % 5 == part
            best, height = slow_fit(g[:, ~test], y[~test])
            hidden += ((y[test] - height * g[best][test]) ** 2).sum()
        np.testing.assert_allclose(one["predicted"], 1 - hidden / (y**2).sum())


def about_frames(values, frame):
    means = {one: values[frame == one].mean() for one in set(frame.tolist())}
    return values - np.array([means[one] for one in frame.tolist()])


def slow_fit(curves, y):
    errors, heights = [], []
    for one in curves:
        height = max(0.0, (one @ y) / (one @ one))
        errors.append(((y - height * one) ** 2).sum())
        heights.append(height)
    best = int(np.argmin(errors))
    return best, heights[best]


def test_mean_responses(planted, found):
    segments = planted.osca.select(
        gabor_frame=["A", "B", "C", "D"], gabor_kappa=16, gabor_mean_orientation=45
    )
    mean = planted.osca.sequences("dff", segments, pre=0, post=0.3).mean(("sequence", "rel_time"))
    np.testing.assert_allclose(found["response"].sel(orientation=45), mean)


def test_scale_does_not_matter(planted, found):
    larger = orientation_tuning(planted.assign(dff=planted.dff * 3 + 1), window=WINDOW)
    for name in ("preferred_orientation", "concentration", "predicted"):
        np.testing.assert_allclose(larger[name], found[name])
    np.testing.assert_allclose(larger["amplitude"], 3 * found["amplitude"])


def test_results_can_be_written(found, tmp_path):
    found.to_netcdf(tmp_path / "tuning.nc")
    with xr.open_dataset(tmp_path / "tuning.nc") as read:
        xr.testing.assert_equal(read, found)


def test_tracked_rois_and_rois_with_nan(session, planted, found):
    tracked = orientation_tuning(session, tracked=True)
    assert tracked["amplitude"].dims == ("tracking_id",)
    with pytest.raises(TrackingError):
        orientation_tuning(session.assign_coords(tracking_id=("roi", [-1] * 6)), tracked=True)
    start = int(planted.osca.select(gabor_frame="A", gabor_kappa=16).start_frame_twop[3])
    gone = planted.dff.where((planted.roi != 1) | (planted.time != planted.time[start]))
    part = orientation_tuning(planted.assign(dff=gone), window=WINDOW)
    for name in ("preferred_orientation", "amplitude", "explained", "predicted"):
        assert part[name].isnull().values.tolist() == [False, True, False]
    constant = orientation_tuning(planted.assign(dff=planted.dff * 0), window=WINDOW)
    assert constant["preferred_orientation"].isnull().all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"gabor_frames": ["G"]}, CriterionError, "patches without orientation"),
        ({"gabor_frames": ["X"]}, CriterionError, "not known"),
        ({"gabor_frame": "D"}, CriterionError, "gabor_frame='D': .*gabor_frames= says"),
        ({"block": 1000}, CriterionError, "no Gabor segments"),
        ({"gabor_frames": ["U"]}, CriterionError, "too few to fit"),
        ({"folds": 1}, CriterionError, "two parts"),
        ({"folds": "two"}, CriterionError, "two parts"),
        ({"window": 0.5}, WindowError, "begin and end"),
        ({"window": (0, 0)}, WindowError, "empty window"),
    ],
)
def test_bad_input(session, options, error, says):
    with pytest.raises(error, match=says):
        orientation_tuning(session, **options)
    with pytest.raises(MissingVariableError, match="no 'gabor_orientation'"):
        orientation_tuning(session.drop_vars("gabor_orientation"))
