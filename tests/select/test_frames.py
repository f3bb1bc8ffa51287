"""Frames of one clock as frames of the other, and the segments they fall into."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.select.frames import clock_of, convert_frames, frame_lookup, recording_frames


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(
        n_rois=3, n_tracked=0, scale=0.02, field_shape=(48, 48), late_frames=0.01
    )


def naive_nearest(times, time):
    return min(range(len(times)), key=lambda frame: (abs(times[frame] - time), frame))


def test_stimulus_frames_to_twop_equal_brute_force(ds):
    frames = np.arange(0, ds.sizes["stim_time"], 7)
    wanted = [naive_nearest(ds.time.values, ds.stim_time.values[frame]) for frame in frames]
    assert convert_frames(ds, frames, to="twop").values.tolist() == wanted


def test_twop_frames_to_stimulus_equal_brute_force(ds):
    first, last = int(ds.start_frame_twop[0]), int(ds.stop_frame_twop[-1])
    # Whether the table's very last frame is outside is a matter of less than a frame.
    frames = np.r_[0 : ds.sizes["time"] : 7, first - 1 : first + 2, last - 3 : last - 1, last]
    frames = frames[frames != last - 1]
    wanted = [
        naive_nearest(ds.stim_time.values, ds.time.values[frame]) if first <= frame < last else -1
        for frame in frames
    ]
    assert convert_frames(ds, frames, to="stim").values.tolist() == wanted


def test_round_trip_stays_within_a_frame(ds):
    frames = np.arange(int(ds.start_frame_twop[0]), int(ds.stop_frame_twop[-1]) - 1)
    there = convert_frames(ds, frames, to="stim")
    assert (there >= 0).all()
    back = convert_frames(ds, there, to="twop")
    # A stimulus frame is nearest to its two-photon frame except where frames were late.
    assert abs(back - frames).max() <= 1
    assert (back == frames).mean() > 0.95


@pytest.mark.parametrize(
    ("times", "other"), [("start_frame_stim", "twop"), ("start_frame_twop", "stim")]
)
def test_labels_and_shapes_are_kept(ds, times, other):
    converted = convert_frames(ds, ds[times], to=other)
    assert converted.dims == ("segment",)
    assert "gabor_frame" in converted.coords
    np.testing.assert_array_equal(converted.segment, ds.segment)
    assert converted.dtype == np.int64
    assert convert_frames(ds, np.array([[5], [6]]), to="twop").shape == (2, 1)
    assert convert_frames(ds, 5, to="twop").shape == ()
    assert convert_frames(ds, [], to="twop").shape == (0,)


@pytest.mark.parametrize("frames", [[-1], [10**6], [1.5], [np.nan], ["a"]])
@pytest.mark.parametrize("to", ["twop", "stim"])
def test_frames_that_do_not_exist_are_refused(ds, frames, to):
    with pytest.raises(WindowError, match=r"recording|whole numbers"):
        convert_frames(ds, frames, to=to)


def test_a_session_that_was_cut_is_refused(ds):
    for cut in (ds.isel(time=slice(100, None)), ds.isel(stim_time=slice(None, 100))):
        with pytest.raises(WindowError, match="was cut or re-ordered along"):
            convert_frames(cut, [5], to="twop")
    assert recording_frames(ds, "twop") == ds.sizes["time"]


def test_conversion_does_not_depend_on_the_segments_that_are_left(ds):
    few = ds.isel(segment=slice(20, 25))
    frames = np.arange(ds.sizes["time"])
    xr.testing.assert_equal(
        convert_frames(few, frames, to="stim"), convert_frames(ds, frames, to="stim")
    )


def test_lookup_of_a_cut_session_has_no_frames_beyond_it(ds):
    whole = frame_lookup(ds, "twop")
    cut = frame_lookup(ds.isel(time=slice(500, 900)), "twop")
    inside = (whole >= 501) & (whole < 899)
    np.testing.assert_array_equal(cut[inside], whole[inside] - 500)
    assert (cut[(whole < 499) | (whole > 901)] == -1).all()
    assert (frame_lookup(ds.isel(time=[]), "twop") == -1).all()


def test_clock_of_a_variable(ds):
    assert clock_of(ds, "dff") == "twop"
    assert clock_of(ds, "run_velocity") == "stim"
    with pytest.raises(MissingVariableError, match="neither clock"):
        clock_of(ds, "roi_mask")


@pytest.mark.parametrize("clock", ["twop", "stim"])
def test_segments_at_equal_a_loop(ds, clock):
    length = ds.sizes[{"twop": "time", "stim": "stim_time"}[clock]]
    starts, stops = ds[f"start_frame_{clock}"].values, ds[f"stop_frame_{clock}"].values
    frames = np.r_[-2 : length + 2 : 3]
    wanted = [
        next((s for s in range(len(starts)) if starts[s] <= frame < stops[s]), -1)
        for frame in frames
    ]
    found = ox.segments_at(ds, frames, clock)
    assert found.values.tolist() == wanted
    assert found.dtype == np.int64


@given(data=st.data())
def test_segments_at_of_any_selection_in_any_order(ds, data):
    positions = data.draw(
        st.lists(st.integers(0, ds.sizes["segment"] - 1), unique=True, max_size=8)
    )
    part = ds.isel(segment=positions)
    frames = data.draw(st.lists(st.integers(-5, ds.sizes["time"] + 5), max_size=20))
    wanted = []
    for frame in frames:
        found = [
            p for p in positions
            if ds.start_frame_twop.values[p] <= frame < ds.stop_frame_twop.values[p]
        ]  # fmt: skip
        wanted.append(found[0] if found else -1)
    assert ox.segments_at(part, frames).values.tolist() == wanted


def test_segments_at_keeps_labels_and_shapes(ds):
    frames = xr.DataArray([[150, 160]], dims=("event", "k"), coords={"event": [7]})
    found = ox.segments_at(ds, frames)
    assert found.dims == ("event", "k")
    assert found.event.values.tolist() == [7]
    assert ox.segments_at(ds, []).shape == (0,)
