"""Windows on a time grid: the same rel_time in all sessions, values between frames."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.arrays.interpolated import frames_between
from oscaxr.errors import DroppedSequencesWarning, MissingVariableError, WindowError
from small_sessions import small_spec


@pytest.fixture(scope="module")
def segments(memory_session):
    return memory_session.osca.select(gabor_frame=["D", "U"])


def slow(ds, name, starts, rel_time):
    """Interpolate one window, one ROI, one time after the other."""
    trace = ds[name].transpose(..., "stim_time" if "stim_time" in ds[name].dims else "time")
    times = trace[trace.dims[-1]].values
    rows = np.atleast_2d(trace.values)
    found = np.full((len(rows), len(starts), len(rel_time)), np.nan)
    for i, row in enumerate(rows):
        for j, start in enumerate(starts):
            for k, after in enumerate(rel_time):
                at = start + after
                if not times[0] <= at <= times[-1]:
                    continue
                last = np.searchsorted(times, at, side="right") - 1
                found[i, j, k] = row[last]
                if times[last] != at:
                    share = (at - times[last]) / (times[last + 1] - times[last])
                    found[i, j, k] += share * (row[last + 1] - row[last])
    return found


@pytest.mark.parametrize("rate", [7.3, 30, 60.0])
@pytest.mark.parametrize("name", ["dff", "run_velocity", "pupil_diameter"])
def test_as_one_by_one(memory_session, segments, name, rate):
    found = memory_session.osca.sequences(name, segments, pre=0.4, post=0.7, rate=rate)
    clock = "stim" if name == "run_velocity" else "twop"
    dim = {"stim": "stim_time", "twop": "time"}[clock]
    starts = memory_session[dim].values[segments[f"start_frame_{clock}"].values]
    steps = np.arange(-round(0.4 * rate), round(0.7 * rate))
    np.testing.assert_array_equal(found.rel_time, steps / rate)
    np.testing.assert_array_equal(found.rel_frame, steps)
    expected = slow(memory_session, name, starts, steps / rate)
    np.testing.assert_allclose(np.atleast_3d(found.values.T).T, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.time, starts[:, None] + steps / rate)
    assert found.attrs["fps"] == rate
    assert found.dtype == memory_session[name].dtype


def test_lazy_dask_and_memory_are_the_same(memory_session, sample_path):
    with ox.open_session(sample_path) as lazy, ox.open_session(sample_path, chunks={}) as dask:
        segments = lazy.osca.select(gabor_frame="U")
        found = lazy.osca.sequences("dff", segments, pre=0.3, post=0.5, rate=25, scale=True)
        assert not isinstance(found.variable._data, np.ndarray)
        chunked = dask.osca.sequences("dff", segments, pre=0.3, post=0.5, rate=25, scale=True)
        assert chunked.chunks is not None
        xr.testing.assert_allclose(found, chunked)
        few = found.isel(roi=[3, 0], sequence=-1, rel_time=slice(None, None, 3)).values
        in_memory = lazy.load().osca.sequences(
            "dff", segments, pre=0.3, post=0.5, rate=25, scale=True
        )
        np.testing.assert_allclose(few, in_memory.values[[3, 0], -1, ::3], rtol=1e-6)
        xr.testing.assert_allclose(found, in_memory)


def test_a_nan_counts_where_its_frame_does(memory_session):
    clock = memory_session.time.values
    pupil = np.arange(clock.size, dtype=float)
    pupil[[500, 520]] = np.nan
    pupil[700] = np.inf
    ds = memory_session.assign(pupil_diameter=("time", pupil))
    # At frames: those alone are missing.
    found = ds.osca.sequences("pupil_diameter", frames=[500, 505], pre=0, post=0.1, rate=20)
    assert np.isnan(found.values[0, 0])
    assert np.isfinite(found.values[1]).all()
    between = ds.osca.sequences("pupil_diameter", frames=[499], pre=0, post=0.2, rate=50)
    times = clock[499] + between.rel_time.values
    near = (times > clock[499]) & (times < clock[501])
    np.testing.assert_array_equal(np.isnan(between.values[0]), near)
    at_infinity = ds.osca.sequences("pupil_diameter", frames=[700], pre=0, post=0.04, rate=30)
    assert at_infinity.values[0, 0] == np.inf
    filled = ds.osca.sequences(
        "pupil_diameter", frames=[499], pre=0, post=0.2, rate=50, interpolate=True
    )
    assert np.isfinite(filled).all()


def test_several_variables_from_their_own_clocks(memory_session, segments):
    names = ["dff", "run_velocity", "pupil_diameter"]
    with pytest.raises(WindowError, match="different clocks"):
        memory_session.osca.sequences(names, segments, pre=0.2, post=0.2, rate=20)
    found = memory_session.osca.sequences(names, segments, pre=0.2, post=0.2, rate=20, clock="twop")
    starts = memory_session.time.values[segments.start_frame_twop.values]
    expected = slow(memory_session, "run_velocity", starts, found.rel_time.values)[0]
    np.testing.assert_allclose(found.run_velocity, expected)


def test_sessions_of_different_rates_join_exactly():
    one, two = (
        ox.sample.session(small_spec(n_rois=3, n_tracked=0, twop_rate=rate))
        for rate in (30.08, 30.146)
    )
    parts = [ds.osca.select(gabor_frame="A").isel(segment=slice(4)) for ds in (one, two)]
    pairs = list(zip((one, two), parts, strict=True))
    options = {"pre": 0.5, "post": 0.5}
    apart = [ds.osca.sequences("dff", part, **options) for ds, part in pairs]
    with pytest.raises(ValueError, match="rel_time"):
        xr.concat([u.mean("sequence") for u in apart], "session", join="exact")
    swapped = [u.mean("sequence").swap_dims(rel_time="rel_frame") for u in apart]
    joined = xr.concat(swapped, "session", join="exact", coords="minimal", compat="override")
    assert joined.sizes["rel_frame"] == 30
    same = [ds.osca.sequences("dff", part, rate=30, **options) for ds, part in pairs]
    joined = xr.concat([u.mean("sequence") for u in same], "session", join="exact")
    assert joined.sizes["rel_time"] == 30


def test_edges(memory_session):
    last = memory_session.sizes["time"] - 1
    frames = [3, 500, last - 5]
    options = {"frames": frames, "pre": 0.2, "post": 0.3, "rate": 30}
    with pytest.warns(DroppedSequencesWarning, match="2 of 3 sequences"):
        found = memory_session.osca.sequences("dff", **options)
    assert found.sequence.values.tolist() == [1]
    with pytest.raises(WindowError, match="come too close to an end"):
        memory_session.osca.sequences("dff", **options, edge="raise")
    kept = memory_session.osca.sequences("dff", **options, edge="nan")
    outside = np.isnan(kept.time)
    assert outside.any("rel_time").values.tolist() == [True, False, True]
    np.testing.assert_array_equal(np.isnan(kept.isel(roi=0)), outside)
    # Up to the very last frame.
    near = memory_session.osca.sequences("dff", frames=[last], pre=0.3, post=0.01, rate=100)
    np.testing.assert_allclose(near[:, 0, -1], memory_session.dff[-1])


def test_what_a_grid_cannot_be_made_of(memory_session, segments):
    flags = memory_session.assign(
        state=("time", np.arange(memory_session.sizes["time"])),
        licks=("stim_time", np.zeros(memory_session.sizes["stim_time"], bool)),
    )
    for name in ("state", "licks"):
        with pytest.raises(MissingVariableError, match=f"{name} .* has no values between frames"):
            flags.osca.sequences(name, segments, post=0.3, rate=20)
    for rate in (0, -3, np.nan, np.inf, "30", True):
        with pytest.raises(WindowError, match="time points a second"):
            memory_session.osca.sequences("dff", segments, post=0.3, rate=rate)
    with pytest.raises(WindowError, match="a length each"):
        memory_session.osca.sequences("dff", segments, rate=20)
    with pytest.raises(WindowError, match="pad is in frames"):
        memory_session.osca.sequences("dff", segments, post=0.3, pad=(1, 0), rate=20)
    with pytest.raises(WindowError, match="empty"):
        memory_session.osca.sequences("dff", segments, post=0.01, rate=1)


def test_gaps_of_a_session_that_was_cut(memory_session):
    kept = np.r_[0:300, 310:1000]
    cut = memory_session.isel(time=kept)
    times = memory_session.time.values
    options = {"pre": 0.2, "post": 0.2, "rate": 20}
    found = cut.osca.sequences("dff", times=[times[600]], **options)
    whole = memory_session.osca.sequences("dff", times=[times[600]], **options)
    np.testing.assert_array_equal(found, whole)
    with pytest.raises(WindowError, match="1 of 2 windows lie across time frames"):
        cut.osca.sequences("dff", times=[times[299], times[600]], **options)
    turned = memory_session.isel(time=np.r_[0:599, 600, 599, 601 : times.size])
    with pytest.raises(WindowError, match="not in the order of time"):
        turned.osca.sequences("dff", times=[times[600]], **options)


def test_what_follows_counts_in_the_grid(memory_session, segments):
    u = memory_session.osca.sequences("dff", segments, pre=0.5, post=1, rate=40)
    assert u.osca.integrate((0, 0.5)).dims == ("roi", "sequence")
    expected = u.sel(rel_time=slice(-1e-9, 0.5 - 1e-9)).sum("rel_time") / 40
    np.testing.assert_allclose(u.osca.integrate((0, 0.5)), expected, rtol=1e-5)
    based = u.osca.baseline(0.5)
    np.testing.assert_allclose(
        based.sel(rel_time=slice(None, -1e-9)).mean("rel_time"), 0, atol=1e-6
    )


def test_rounding_at_frames():
    clock = np.array([0.0, 0.1, 0.3, 0.4])
    times = np.array([[0.0, 0.1 + 1e-12, 0.3 - 1e-12, 0.2, 0.4, 0.41, -0.01, np.nan]])
    found = frames_between(clock, times)
    assert found.before.tolist() == [[0, 1, 2, 1, 3, -1, -1, -1]]
    assert found.after.tolist() == [[0, 1, 2, 2, 3, -1, -1, -1]]
    assert found.weight[0, 3] == pytest.approx(0.5)
