"""Responses by the orientations of patches at their places: against regressions, and planted."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import position_response
from oscaxr.errors import CriterionError, MissingVariableError
from planted_tuning import responding

WINDOW = (0, 0.3)
FRAMES = ["A", "B"]


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=5, scale=0.15, seed=2)


def of_one_patch(ds):
    """An ROI that follows patch 7 of frame B, at its best at 30 degrees, and one that does not."""
    angle = np.deg2rad(2 * (ds.gabor_orientation.values[:, 7] - 30))
    follows = np.where(ds.gabor_frame == "B", 2 * np.cos(angle), 0.0)
    return np.stack([np.nan_to_num(follows), np.zeros(len(angle))], axis=1)


@pytest.fixture(scope="module")
def planted(session):
    return responding(session, of_one_patch, noise=0.5)


@pytest.fixture(scope="module")
def found(planted):
    return position_response(planted, FRAMES, window=WINDOW)


def test_a_planted_patch_is_found(found):
    one = found.sel(gabor_frame="B", patch=7).isel(roi=0)
    np.testing.assert_allclose(one["amplitude"], 2, atol=0.3)
    np.testing.assert_allclose(one["preferred_orientation"], 30, atol=5)
    significant = np.argwhere((found["q"].transpose("roi", ...) < 0.05).values)
    assert significant.tolist() == [[0, 1, 7]]


def test_equals_regressions_with_and_without_each_patch(planted, found):
    from scipy.stats import f

    for number, name in enumerate(FRAMES):
        segments = planted.osca.select(gabor_frame=name, gabor_kappa=16)
        windows = planted.osca.sequences("dff", segments, pre=0, post=0.3)
        angle = np.deg2rad(2 * segments.sel(segment=windows.sequence.values).gabor_orientation)
        y = windows.mean("rel_time").values[1]
        for patch in (0, 7, 29):
            others = np.delete(np.arange(30), patch)
            weights, error = regression(angle.values, y)
            _, larger = regression(angle.values[:, others], y)
            freedom = len(y) - 61
            ratio = (larger - error) / 2 / (error / freedom)
            one = found.isel(gabor_frame=number, patch=patch, roi=1)
            np.testing.assert_allclose(one["p"], f.sf(ratio, 2, freedom), rtol=1e-6)
            cosine, sine = weights[1 + patch], weights[31 + patch]
            np.testing.assert_allclose(one["amplitude"], np.hypot(cosine, sine))
            preferred = np.rad2deg(np.arctan2(sine, cosine)) / 2 % 180
            np.testing.assert_allclose(one["preferred_orientation"], preferred)


def regression(angle, y):
    x = np.concatenate([np.ones((len(y), 1)), np.cos(angle), np.sin(angle)], axis=1)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    return weights, ((y - x @ weights) ** 2).sum()


def test_places_are_those_of_the_patches(planted, found):
    shown = planted.osca.select(gabor_frame="B").isel(segment=0)
    for name in ("x", "y", "size"):
        np.testing.assert_array_equal(found[name].sel(gabor_frame="B"), shown[f"gabor_{name}"])
    moved = planted.gabor_x.copy(data=planted.gabor_x.values.copy())
    first = planted.osca.select(gabor_frame="B").segment.values[0]
    moved[{"segment": first, "patch": 3}] += 1
    other = position_response(planted.assign(gabor_x=moved), FRAMES, window=WINDOW)
    assert np.argwhere(other["x"].isnull().values).tolist() == [[1, 3]]


def test_p_of_noise_is_even(session):
    ds = responding(session, lambda ds: np.zeros((ds.sizes["segment"], 5)), noise=0.5, seed=1)
    p = position_response(ds, FRAMES, window=WINDOW)["p"]
    # 300 of them: standard deviation of the share 0.0126.
    assert abs((p < 0.05).mean() - 0.05) < 4 * 0.0126
    assert abs(p.mean() - 0.5) < 0.07


def test_frames_with_too_few_segments_are_nan(planted):
    with_u = position_response(planted, [*FRAMES, "U"], window=WINDOW)
    assert with_u["n_segments"][2] < 62
    assert with_u["p"].sel(gabor_frame="U").isnull().all()
    assert with_u["p"].sel(gabor_frame=FRAMES).notnull().all()
    with pytest.raises(CriterionError, match=r"'U': .* 62 of a frame are needed"):
        position_response(planted, ["U"], window=WINDOW)


def test_rois_with_nan_are_nan(planted, found):
    start = int(planted.osca.select(gabor_frame="A", gabor_kappa=16).start_frame_twop[3])
    gone = planted.dff.where((planted.roi != 1) | (planted.time != planted.time[start]))
    part = position_response(planted.assign(dff=gone), FRAMES, window=WINDOW)
    assert part["p"].isel(roi=1).sel(gabor_frame="A").isnull().all()
    np.testing.assert_allclose(part["p"].isel(roi=0), found["p"].isel(roi=0))
    constant = position_response(planted.assign(dff=planted.dff * 0), FRAMES, window=WINDOW)
    assert constant["p"].isnull().all()


def test_results_can_be_written(found, tmp_path):
    found.to_netcdf(tmp_path / "positions.nc")
    with xr.open_dataset(tmp_path / "positions.nc") as read:
        xr.testing.assert_equal(read, found)


def test_orientations_are_needed(session):
    with pytest.raises(MissingVariableError, match="no 'gabor_orientation'"):
        position_response(session.drop_vars("gabor_orientation"))
