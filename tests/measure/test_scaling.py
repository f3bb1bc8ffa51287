"""Scaling by whole-recording factors: labels, order, and the published numbers."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import MissingVariableError, SchemaError, SessionMismatchError
from oscaxr.measure import baseline, integrate, interpolate, scale, scale_factors, scale_parameters
from oscaxr.model.signals import center_shift, remove_running_outliers

SESSIONS = ("758519303", "759189643", "759660390", "764704289")


@pytest.fixture
def ds():
    rng = np.random.default_rng(2)
    dff = rng.normal(2, 3, size=(400, 6))
    dff[7, 2] = np.nan
    run = rng.normal(10, 4, 300)
    run[[4, 5, 90]] = np.nan
    return xr.Dataset(
        {
            "dff": (("time", "roi"), dff, {"units": "1", "long_name": "dF/F"}),
            "run_velocity": ("stim_time", run, {"units": "cm/s"}),
            "pupil_diameter": ("time", rng.normal(3, 1, 400), {"units": "mm"}),
        },
        coords={
            "roi": np.arange(6),
            "roi_id": ("roi", np.arange(6) * 11 + 100),
            "tracking_id": ("roi", [-1, 2, 0, -1, 1, 3]),
            "time": np.arange(400) / 30.0,
            "stim_time": np.arange(300) / 60.0,
            "session_id": 900000001,
        },
    )


def cut(trace, frames, n_pre, n_post, fps):
    """Sequences by plain indexing."""
    (clock,) = set(trace.dims) & {"time", "stim_time"}
    offsets = np.arange(-n_pre, n_post)
    index = xr.DataArray(
        np.asarray(frames)[:, None] + offsets,
        dims=("sequence", "rel_time"),
        coords={"sequence": np.arange(len(frames)), "rel_time": offsets / fps},
    )
    u = trace.isel({clock: index}).assign_coords(rel_frame=("rel_time", offsets))
    return u.assign_attrs(**trace.attrs, fps=fps, scaled=0)


def tracked(ds):
    """The tracked ROIs in tracking order, along a dim of their own."""
    order = np.argsort(ds.tracking_id.values)
    order = order[ds.tracking_id.values[order] >= 0]
    return ds.isel(roi=order).swap_dims(roi="tracking_id")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("dims", [("time", "roi"), ("roi", "time")])
def test_roi_factors_of_traces(ds, dims, chunked):
    if chunked:
        ds = ds.chunk({"time": 100, "roi": 2})
    found = scale_factors(ds.transpose(*dims, ...), "dff")
    low, middle, high = np.nanpercentile(ds.dff.values, [5, 50, 95], axis=0)
    np.testing.assert_array_equal(found["median"], middle)
    np.testing.assert_array_equal(found["spread"], high - low)
    assert found["median"].dims == ("roi",)
    np.testing.assert_array_equal(found.roi_id, ds.roi_id)


def test_the_sessions_own_factors_are_used(ds):
    ds = ds.assign(dff_median=("roi", np.zeros(6)), dff_spread=("roi", np.full(6, 2.0)))
    assert (scale_factors(ds, "dff")["spread"] == 2.0).all()
    np.testing.assert_array_equal(scale(ds.dff, ds), ds.dff / 2)


@pytest.mark.parametrize("interpolated", [False, True])
def test_running_factors(ds, interpolated):
    found = scale_factors(ds, "run_velocity", interpolate=interpolated)
    trace = ds.run_velocity
    trace = interpolate(trace) if interpolated else trace
    low, middle, high = np.nanpercentile(trace, [25, 50, 75])
    assert (float(found["median"]), float(found["spread"])) == (middle, high - low)
    assert found["median"].attrs["units"] == "cm/s"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("what", ["trace", "sequences"])
def test_scaled_by_label_whatever_the_order(ds, what, chunked):
    source = ds.chunk({"time": 90}) if chunked else ds
    low, middle, high = np.nanpercentile(ds.dff.values, [5, 50, 95], axis=0)
    data = source.dff if what == "trace" else cut(source.dff, [40, 90, 200], 5, 9, 30.0)
    order = [4, 0, 5]
    found = scale(data.isel(roi=order).transpose(..., "roi"), ds)
    expected = (
        (data - xr.DataArray(middle, dims="roi")) / xr.DataArray(high - low, dims="roi")
    ).isel(roi=order)
    xr.testing.assert_allclose(found, expected.transpose(..., "roi"), rtol=1e-14)
    assert (found.chunks is not None) == chunked
    assert found.attrs == {**data.attrs, "units": "1", "scaled": 1}
    assert found.name == "dff"
    assert set(found.coords) == set(data.coords)
    assert found.dtype == np.float64


@settings(max_examples=examples(30), deadline=None)
@given(st.permutations(range(4)), st.booleans(), st.booleans())
def test_tracked_rois_align_by_roi(order, session_tracked, data_tracked):
    rng = np.random.default_rng(0)
    dff = xr.DataArray(
        rng.normal(size=(50, 4)) * [1, 10, 100, 1000],
        dims=("time", "roi"),
        coords={"roi": np.arange(4), "tracking_id": ("roi", [3, 1, 0, 2])},
        name="dff",
    )
    whole = dff.to_dataset()
    low, middle, high = np.percentile(dff, [5, 50, 95], axis=0)
    data = tracked(whole).dff if data_tracked else dff
    dim = "tracking_id" if data_tracked else "roi"
    found = scale(data.isel({dim: list(order)}), tracked(whole) if session_tracked else whole)
    rois = found.roi.values
    np.testing.assert_allclose(
        found.transpose("time", dim), (dff.values[:, rois] - middle[rois]) / (high - low)[rois]
    )


def test_one_roi_only(ds):
    one = scale(ds.dff.sel(roi=3), ds)
    np.testing.assert_array_equal(one, scale(ds.dff, ds).sel(roi=3))


def test_other_rois_are_refused(ds):
    with pytest.raises(SessionMismatchError, match=r"1 of 6 ROIs of the data: 5$"):
        scale(ds.dff, ds.isel(roi=slice(0, 5)))
    with pytest.raises(SchemaError, match="no labels 'roi'"):
        scale(ds.dff.drop_vars("roi"), ds)
    with pytest.raises(SchemaError, match="no labels 'roi'"):
        scale(ds.dff.mean("roi", keep_attrs=True), ds)
    other = ds.assign_coords(roi_id=("roi", [100, 111, 122, 0, 144, 155]))
    with pytest.raises(SessionMismatchError, match=r"roi_id differs .* 3: 133 against 0"):
        scale(ds.dff, other)
    with pytest.raises(SessionMismatchError, match="twice"):
        scale(ds.dff, ds.isel(roi=[0, 1, 2, 3, 4, 5, 5]))


def test_other_session_is_refused(ds):
    data = ds.dff.assign_coords(session_id=900000002)
    with pytest.raises(SessionMismatchError, match=r"900000002.*900000001"):
        scale(data, ds)
    assert scale(ds.dff.assign_coords(session_id=900000001), ds).attrs["scaled"] == 1


def test_what_cannot_be_scaled_says_why(ds):
    u = cut(ds.dff, [40, 90], 5, 9, 30.0)
    once = scale(u, ds)
    with pytest.raises(SchemaError, match="scaled already"):
        scale(once, ds)
    with pytest.raises(SchemaError, match="baseline was subtracted"):
        scale(baseline(u, 0.1), ds)
    with pytest.raises(SchemaError, match="integrated; scale first"):
        scale(integrate(u), ds)
    with pytest.raises(SchemaError, match="no scale factors"):
        scale(u.rename("movie"), ds)
    with pytest.raises(MissingVariableError, match="give the session"):
        scale(u)
    with pytest.raises(MissingVariableError, match="run_velocity"):
        scale(u, ds[["run_velocity"]])
    with pytest.raises(SchemaError, match="not interpolated"):
        scale_factors(ds, "dff", interpolate=True)


def test_interpolated_data_take_interpolated_factors(ds):
    filled = interpolate(ds.run_velocity)
    low, middle, high = np.percentile(filled, [25, 50, 75])
    np.testing.assert_allclose(scale(filled, ds), (filled - middle) / (high - low))
    factors = scale_factors(ds, "run_velocity", interpolate=True)
    np.testing.assert_array_equal(
        scale(filled, ds), (filled - factors["median"]) / factors["spread"]
    )


def test_variable_known_by_its_attribute(ds):
    u = ds.run_velocity.rename("speed").assign_attrs(variable="run_velocity")
    np.testing.assert_array_equal(scale(u, ds), scale(ds.run_velocity, ds))


def test_dataset_scales_what_it_can(ds):
    found = scale(ds, ds)
    for name in ("dff", "run_velocity", "pupil_diameter"):
        xr.testing.assert_identical(found[name], scale(ds[name], ds))
    with pytest.raises(SchemaError, match=r"none of .*movie.* is scaled"):
        scale(ds[[]].assign(movie=("time", np.zeros(400))), ds)


def test_scaling_a_constant_trace_is_nan_not_an_error(ds):
    ds["dff"][:, 0] = 1.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(scale(ds.dff, ds).isel(roi=0)).all()


def test_parameters_by_their_ranges():
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        {
            "gabor_x": (("segment", "patch"), rng.uniform(-960, 960, (5, 30)), {"units": "px"}),
            "gabor_y": (("segment", "patch"), rng.uniform(-600, 600, (5, 30))),
            "gabor_orientation": (("segment", "patch"), rng.uniform(0, 360, (5, 30))),
            "square_x": (("flow_segment",), np.array([-960, 0, 960], dtype=np.int16)),
            "other": ("segment", np.arange(5)),
        },
        coords={"gabor_mean_orientation": ("segment", [0.0, 90.0, np.nan, 180.0, 225.0])},
    )
    found = scale_parameters(ds)
    np.testing.assert_allclose(found.gabor_x, ds.gabor_x / 960)
    np.testing.assert_allclose(found.gabor_y, ds.gabor_y / 600)
    np.testing.assert_allclose(found.gabor_orientation, ds.gabor_orientation / 180 - 1)
    np.testing.assert_array_equal(found.square_x, [-1, 0, 1])
    assert found.gabor_x.attrs == {"units": "1", "scaled": 1}
    xr.testing.assert_identical(found.other, ds.other)
    xr.testing.assert_identical(found.gabor_mean_orientation, ds.gabor_mean_orientation)
    np.testing.assert_allclose(
        scale_parameters(ds.gabor_mean_orientation), [-1, -0.5, np.nan, 0, 0.25]
    )
    with pytest.raises(SchemaError, match="scaled already"):
        scale_parameters(found)
    with pytest.raises(SchemaError, match="no stimulus parameter"):
        scale_parameters(ds.other)
    with pytest.raises(SchemaError, match=r"none of .*other.* has a range"):
        scale_parameters(ds[["other"]])


def golden_session(session):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{session}*.nwb")
    facts = json.loads((SHARED / "golden" / f"{session}.json").read_text())
    with h5py.File(path) as file:
        dff = file["processing/ophys/DfOverF/RoiResponseSeries/data"][:]
        behavior = file["processing/behavior"]
        run = behavior["BehavioralTimeSeries/running_velocity/data"][:]
        pupil = {key: behavior[f"PupilTracking/{key}/data"][:] for key in behavior["PupilTracking"]}
    x, y = pupil["pupil_position_x"], pupil["pupil_position_y"]
    ds = xr.Dataset(
        {
            "dff": (("time", "roi"), dff),
            "run_velocity": ("stim_time", remove_running_outliers(run)[0]),
            "pupil_diameter": ("time", pupil["pupil_diameter"]),
            "pupil_center_x": ("time", x),
            "pupil_center_y": ("time", y),
            "pupil_center_shift": ("time", center_shift(x, y)),
        },
        coords={"roi": np.arange(dff.shape[1])},
    )
    return ds, np.load(SHARED / "golden" / f"{session}.npz"), facts


@pytest.mark.shared
@pytest.mark.parametrize("session", SESSIONS)
def test_published_factors_and_scaled_sequences(session):
    ds, golden, facts = golden_session(session)
    twop, stim = facts["fps"]["twop"], facts["fps"]["stim"]
    factors = scale_factors(ds, "dff")
    np.testing.assert_allclose(factors["median"], golden["roi_facts"][0], rtol=1e-10)
    np.testing.assert_allclose(factors["spread"], golden["roi_facts"][1], rtol=1e-10)
    columns = {
        "pup_center_diff": "pupil_center_shift",
        "pup_center_x": "pupil_center_x",
        "pup_center_y": "pupil_center_y",
        "pup_diam": "pupil_diameter",
    }
    for word, interpolated in (("yes", True), ("no", False)):
        found = scale_factors(ds, "run_velocity", interpolate=interpolated)
        pair = [float(found["median"]), float(found["spread"])]
        np.testing.assert_allclose(pair, golden[f"run_facts__{word}"], rtol=1e-12)
        for index, column in enumerate(facts["pup_fact_cols"]):
            found = scale_factors(ds, columns[column], interpolate=interpolated)
            pair = np.array([float(found["median"]), float(found["spread"])]) / 0.0102
            np.testing.assert_allclose(pair, golden[f"pup_facts__{word}"][:, index], rtol=1e-10)

    n_twop, n_stim = round(twop), round(stim)
    frames = golden["frames_twop__gab_U"]
    dff = scale(cut(ds.dff, frames, n_twop, n_twop, twop), ds)
    tolerance = {"rtol": 1e-5, "atol": 1e-7 if ds.dff.dtype == np.float32 else 1e-12}
    np.testing.assert_allclose(
        dff.transpose("roi", "sequence", "rel_time"), golden["roi__scaled"], **tolerance
    )
    run = interpolate(ds.run_velocity)
    run = scale(cut(run, golden["frames_stim__gab_U"], n_stim, n_stim, stim), ds)
    np.testing.assert_allclose(run, golden["run__scaled"], rtol=1e-12)
    pupil = scale(cut(interpolate(ds.pupil_diameter), frames, n_twop, n_twop, twop), ds)
    np.testing.assert_allclose(pupil, golden["pup__scaled"], rtol=1e-8)
    everything = integrate(baseline(dff, 0.4))
    np.testing.assert_allclose(
        everything.transpose("roi", "sequence"), golden["roi__all"], rtol=1e-5, atol=1e-6
    )
