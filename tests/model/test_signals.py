"""Outliers, missing frames and pupil shifts against plain loops and the published numbers."""

import json
import time

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import SchemaError
from oscaxr.model import signals

SESSIONS = ("758519303", "759189643", "759660390", "764704289")

velocities = hnp.arrays(
    np.float64,
    st.integers(0, 60),
    elements=st.one_of(
        st.sampled_from([0.0, 10.0, 50.0, 50.5, 60.0, 100.0, 101.0, 200.0, -60.0, np.nan]),
        st.floats(-300, 300),
    ),
)


def walk(velocity, threshold):
    """The rule, one frame after the other."""
    given_nan = np.isnan(velocity)
    original = velocity[~given_nan]
    kept = original.copy()
    steps = [i for i in range(len(original) - 1) if abs(original[i + 1] - original[i]) > threshold]
    handled = -1
    for step in steps:
        if step <= handled:
            continue
        i, reference = step, original[step]
        if step == 0:
            reference = 0.0
            if abs(original[0]) > threshold:
                kept[0] = np.nan
        while i + 1 < len(original) and abs(original[i + 1] - reference) > threshold:
            kept[i + 1] = np.nan
            i += 1
        handled = i
    result = velocity.copy()
    result[~given_nan] = kept
    return result


@settings(max_examples=examples(300), deadline=None)
@given(velocities, st.sampled_from([50.0, 5.0]))
def test_outliers_equal_the_walk_frame_by_frame(velocity, threshold):
    cleaned, n_in_file, n_added = signals.remove_running_outliers(velocity, threshold)
    np.testing.assert_array_equal(cleaned, walk(velocity, threshold))
    assert n_in_file == np.isnan(velocity).sum()
    assert n_in_file + n_added == np.isnan(cleaned).sum()


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("to_the_end", [False, True])
def test_outlier_runs_of_any_length(length, to_the_end):
    velocity = np.r_[np.full(7, 3.0), np.full(length, 200.0), np.full(0 if to_the_end else 9, 4.0)]
    cleaned, n_in_file, n_added = signals.remove_running_outliers(velocity)
    assert (n_in_file, n_added) == (0, length)
    assert np.isnan(cleaned[7 : 7 + length]).all()
    np.testing.assert_array_equal(cleaned[7 + length :], velocity[7 + length :])


def test_first_frame_is_compared_with_standing_still():
    cleaned, _, n_added = signals.remove_running_outliers([90.0, 1.0, 2.0])
    np.testing.assert_array_equal(cleaned, [np.nan, 1.0, 2.0])
    assert n_added == 1
    # Fast from the beginning on: everything is beyond 50 cm/s of standing still.
    cleaned, _, n_added = signals.remove_running_outliers([150.0, 90.0, 91.0])
    assert n_added == 3


def test_input_is_not_changed():
    velocity = np.array([1.0, 200.0, 1.0])
    signals.remove_running_outliers(velocity)
    np.testing.assert_array_equal(velocity, [1.0, 200.0, 1.0])


def test_a_whole_session_without_outliers_is_quick():
    velocity = np.random.default_rng(0).normal(15, 4, 252_000)
    signals.remove_running_outliers(velocity)
    start = time.thread_time()  # not of the clock: other processes may run beside
    signals.remove_running_outliers(velocity)
    # One to two milliseconds; the bound only catches a loop over frames.
    assert time.thread_time() - start < 0.05


def test_two_dimensional_traces_are_refused():
    for function in (signals.remove_running_outliers, signals.interpolate_nan):
        with pytest.raises(SchemaError, match="shape"):
            function(np.zeros((2, 2)))
    with pytest.raises(SchemaError, match="3 x positions but 2 y"):
        signals.center_shift(np.zeros(3), np.zeros(2))


def interpolate_slowly(values):
    known = [i for i, value in enumerate(values) if not np.isnan(value)]
    result = values.copy()
    if not known:
        return result
    for i, value in enumerate(values):
        if np.isnan(value):
            before = [k for k in known if k < i]
            after = [k for k in known if k > i]
            if not before:
                result[i] = values[after[0]]
            elif not after:
                result[i] = values[before[-1]]
            else:
                a, b = before[-1], after[0]
                result[i] = values[a] + (values[b] - values[a]) * (i - a) / (b - a)
    return result


@settings(max_examples=examples(200), deadline=None)
@given(velocities)
def test_interpolation_equals_a_plain_loop(values):
    filled = signals.interpolate_nan(values)
    np.testing.assert_allclose(filled, interpolate_slowly(values), rtol=1e-12, atol=1e-9)
    assert filled is not values


def test_interpolation_keeps_float32():
    assert signals.interpolate_nan(np.array([1, np.nan, 2], dtype=np.float32)).dtype == np.float32
    assert signals.interpolate_nan([1, 2]).dtype == np.float64


@settings(max_examples=examples(100), deadline=None)
@given(velocities)
def test_nan_runs_cover_the_nans(values):
    starts, lengths = signals.runs(np.isnan(values))
    covered = np.zeros(values.size, dtype=bool)
    for start, length in zip(starts, lengths, strict=True):
        assert length > 0
        assert not covered[max(0, start - 1) : start].any()
        covered[start : start + length] = True
    np.testing.assert_array_equal(covered, np.isnan(values))


def test_message_says_what_was_missing_and_where():
    velocity = np.full(1000, 3.0)
    velocity[100:107] = np.nan
    velocity[500:512] = np.nan
    velocity[700] = 300.0
    message = signals.dropped_frames_message(*signals.remove_running_outliers(velocity))
    assert message is not None
    assert "20 of 1000 running frames (2.00 %)" in message
    assert "19 in the file, 1 removed" in message
    assert "2 runs of more than 5 frames, the longest of 12 from frame 500" in message


def test_no_message_within_tolerance_or_without_frames():
    velocity = np.full(10_000, 3.0)
    velocity[:3] = np.nan
    assert signals.dropped_frames_message(*signals.remove_running_outliers(velocity)) is None
    assert signals.dropped_frames_message(*signals.remove_running_outliers([])) is None


@pytest.mark.shared
@pytest.mark.parametrize("session", SESSIONS)
def test_published_running_and_pupil_traces(session):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{session}*.nwb")
    golden = np.load(SHARED / "golden" / f"{session}.npz")
    columns = json.loads((SHARED / "golden" / f"{session}.json").read_text())["pup_fact_cols"]
    with h5py.File(path) as file:
        behavior = file["processing/behavior"]
        velocity = behavior["BehavioralTimeSeries/running_velocity/data"][:]
        x = behavior["PupilTracking/pupil_position_x/data"][:]
        y = behavior["PupilTracking/pupil_position_y/data"][:]
    cleaned, n_in_file, n_added = signals.remove_running_outliers(velocity)
    np.testing.assert_array_equal(cleaned, golden["run_full__no"])
    np.testing.assert_array_equal(signals.interpolate_nan(cleaned), golden["run_full__yes"])
    assert (n_in_file, n_added) == (24, 5)
    shift = signals.center_shift(x, y) / 0.0102
    assert np.isnan(shift[0])
    median = golden["pup_facts__no"][0, columns.index("pup_center_diff")]
    np.testing.assert_allclose(np.nanmedian(shift), median, rtol=1e-10)
