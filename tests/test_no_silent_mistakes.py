"""Labels never bend: what once gave a plausible wrong answer is an error, or right."""

import h5py
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    CriterionError,
    InvalidRoiWarning,
    SessionMismatchError,
    WindowError,
)
from sample_forms import planted, write_nwb_form
from small_sessions import small_spec


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=6, n_tracked=3, scale=0.05, seed=3)


@pytest.fixture(scope="module")
def other():
    return ox.sample.session(n_rois=6, n_tracked=3, scale=0.05, session_id=900000002)


def test_another_sessions_segments_and_frames(ds, other):
    segments = other.osca.select(gabor_frame="U")
    for call in (
        lambda: ds.osca.patches(segments),
        lambda: ds.osca.patches(segments.segment),
        lambda: ds.osca.patches_around(segments.start_frame_twop, pre=0, post=0.3),
        lambda: ds.osca.convert_frames(segments.start_frame_twop, "stim"),
        lambda: ds.osca.segments_at(segments.start_frame_twop),
    ):
        with pytest.raises(SessionMismatchError, match="900000002"):
            call()


def test_frames_of_the_other_clock_and_frames_as_segments(ds):
    segments = ds.osca.select(gabor_frame="U")
    with pytest.raises(WindowError, match="stim clock"):
        ds.osca.sequences("dff", frames=segments.start_frame_stim, post=0.5)
    with pytest.raises(WindowError, match="frames, not segments"):
        ds.osca.sequences("dff", segments.start_frame_twop, post=0.5)
    ds.osca.sequences("run_velocity", frames=segments.start_frame_stim, post=0.5)


def test_a_reversed_or_cut_session(ds):
    segments = ds.osca.select(gabor_frame="U")
    with pytest.raises(WindowError, match="re-ordered"):
        ds.isel(time=slice(None, None, -1)).osca.sequences("dff", segments, post=0.5)
    with pytest.raises(WindowError, match="cut"):
        ds.isel(time=slice(500, None)).osca.active_rois(stimulus="gabors")
    with pytest.raises(WindowError, match="cut"):
        ds.isel(stim_time=slice(500, None)).osca.scale_factors("run_velocity")


def test_windows_by_time_across_frames_that_were_left_out(ds):
    times = ds.time.values[[2000, 2100]]
    whole = ds.osca.sequences("dff", times=times, pre=0.2, post=0.5)
    cut = ds.isel(time=slice(1500, 3000)).osca.sequences("dff", times=times, pre=0.2, post=0.5)
    xr.testing.assert_equal(whole.drop_vars("reference_frame"), cut.drop_vars("reference_frame"))
    for frames in (slice(None, None, 2), np.r_[0:2050, 3000 : ds.sizes["time"]]):
        with pytest.raises(WindowError, match="left out"):
            ds.isel(time=frames).osca.sequences("dff", times=times[:1], pre=0.2, post=5)


def test_integrals_of_every_second_frame(ds):
    u = ds.osca.sequences("pupil_diameter", [30, 40], post=2, interpolate=True)
    thinned = u.isel(rel_time=slice(None, None, 2))
    np.testing.assert_allclose(thinned.osca.integrate(), u.osca.integrate(), rtol=0.05)
    with pytest.raises(WindowError, match="equal steps"):
        u.isel(rel_time=slice(None, None, -1)).osca.baseline(0.1)
    with pytest.raises(WindowError, match="equal steps"):
        u.isel(rel_time=[0, 1, 5]).osca.integrate()


def test_run_starts_of_a_shuffled_selection(ds):
    segments = ds.osca.select(stimulus="gabors", unexpected=1)
    order = np.random.default_rng(0).permutation(segments.sizes["segment"])
    shuffled = segments.isel(segment=order).osca.select(run_start=True)
    in_order = segments.osca.select(run_start=True)
    assert sorted(shuffled.segment.values.tolist()) == in_order.segment.values.tolist()


def test_blocks_and_pairs_need_whole_blocks(ds):
    for part in (ds.osca.select(gabor_frame="U"), ds.isel(segment=slice(None, None, -1))):
        with pytest.raises(CriterionError, match="left out or re-ordered"):
            part.osca.blocks()
        with pytest.raises(CriterionError, match="left out or re-ordered"):
            part.osca.onset_pairs()
    gabors = ds.osca.select(stimulus="gabors")
    xr.testing.assert_identical(gabors.osca.onset_pairs(), ds.osca.onset_pairs(stimulus="gabors"))


def test_chunks_that_differ_between_variables(ds):
    chunked = ds.chunk(roi=2).assign(dff=ds.dff.chunk(roi=3, time=500))
    np.testing.assert_array_equal(chunked.osca.active_rois(), ds.osca.active_rois())


def test_infinite_responses_have_no_error_streamed_or_not(tmp_path, monkeypatch):
    path = ox.sample.write_nwb(small_spec(), tmp_path)
    with ox.open_session(path) as ds:
        frame = int(ds.osca.select(stimulus="gabors").start_frame_twop[3])
    with h5py.File(path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/data"][frame, 2] = np.inf
    with ox.open_session(path) as ds:
        u = ds.osca.sequences("dff", ds.osca.select(stimulus="gabors"), post=0.3)
        read = u.osca.stats("sequence")
        monkeypatch.setattr("oscaxr.arrays.window_variable.LOADED_BYTES", 1)
        again = ds.osca.sequences("dff", ds.osca.select(stimulus="gabors"), post=0.3)
        streamed = again.osca.stats("sequence")
    xr.testing.assert_allclose(read, streamed, rtol=1e-9)
    infinite = ~np.isfinite(read["mean"])
    assert infinite.any()
    assert (
        read["sem"].where(infinite, drop=True).isnull().sum()
        == infinite.sum()
        == (read["sem"].isnull().sum())
    )


def test_a_file_named_for_another_session_or_mouse(tmp_path):
    path = ox.sample.write_nwb(small_spec(), tmp_path)
    for wrong in (
        path.name.replace("900000001", "900000002"),
        path.name.replace("900001", "900002"),
    ):
        copy = tmp_path / wrong
        copy.write_bytes(path.read_bytes())
        with pytest.raises(SessionMismatchError, match=r"by its name"):
            ox.open_session(copy)
    with pytest.raises(CriterionError, match="run_type"):
        ox.open_session(path, run_type="pilot")


def test_validate_knows_the_domains(ds):
    odd = ds.assign_coords(
        unexpected=ds.unexpected.where(ds.segment != 5, 7.0),
        stop_time=ds.stop_time.where(ds.segment != 6, 0.0),
    )
    report = str(odd.osca.validate())
    assert "error: unexpected: has values [7.0]" in report
    assert "error: stop_time: is not after start_time in segment(s) 6" in report


def test_scaled_sequences_are_lazy(tmp_path, monkeypatch):
    from oscaxr.model import derived

    path = ox.sample.write_nwb(small_spec(), tmp_path)
    with ox.open_session(path) as ds:
        eager = ds.osca.sequences("dff", [30, 40], post=0.5).osca.scale(ds)

    def refuse(*_):
        raise AssertionError("scale factors were computed")

    with ox.open_session(path) as ds:
        with monkeypatch.context() as patch:
            patch.setattr(derived, "_factors", refuse)
            with ox.open_session(path) as closed:
                lazy = closed.osca.sequences("dff", [30, 40], post=0.5, scale=True)
            assert lazy.dtype == np.float64
        np.testing.assert_array_equal(
            ds.osca.sequences("dff", [30, 40], post=0.5, scale=True), eager
        )


def test_words_that_are_no_clocks(ds):
    for call in (
        lambda: ds.osca.convert_frames([1], to="x"),
        lambda: ds.osca.segments_at([1], clock="x"),
        lambda: ds.osca.patches_around([300], pre=0, post=1, clock="x"),
        lambda: ds.osca.patches_around([300], pre=0, post=0),
        lambda: ds.osca.sequences("dff", [30], post=1, pad=2),
        lambda: ds.osca.sequences("dff", [30], post=1, pad=(1.5, 0)),
    ):
        with pytest.raises(WindowError):
            call()
    with pytest.raises(CriterionError, match="whole number"):
        ox.open_session(900000001.5, datadir=".")


def test_each_part_comes_from_the_first_file_that_has_it(tmp_path):
    parts = "behavior+image+ophys"
    first = write_nwb_form(small_spec(), tmp_path, "repeated_timestamps", parts=parts)
    second = ox.sample.write_nwb(small_spec(), tmp_path)
    with h5py.File(first, "r+") as file:
        del file["processing/behavior/PupilTracking"]
        for axis in ("x", "y"):
            del file[f"intervals/trials/square_locations_{axis}"]
            del file[f"intervals/trials/square_locations_{axis}_index"]
    with (
        ox.open_session(900000001, datadir=tmp_path, include="all") as ds,
        ox.open_session(second, include="squares") as expected,
    ):
        xr.testing.assert_equal(ds.pupil_center_shift, expected.pupil_center_shift)
        xr.testing.assert_equal(ds.square_x, expected.square_x)
        assert "template_gabors" in ds
    with h5py.File(first, "r+") as file:
        del file["processing/ophys/DfOverF"]
    with ox.open_session(900000001, datadir=tmp_path) as ds:
        assert ds.sizes["roi"] == small_spec().n_rois


def test_invalid_rois_are_named_when_scale_factors_are_used(tmp_path):
    path = write_nwb_form(small_spec(), tmp_path, planted([2], np.nan))
    with ox.open_session(path) as ds:
        scaled = ds.osca.sequences("dff", [30], post=0.5).osca.scale(ds)
        with pytest.warns(InvalidRoiWarning, match=r"roi 2\)"):
            scaled.load()
        # Once is enough.
        assert ds.valid.values.tolist() == [k != 2 for k in range(ds.sizes["roi"])]
