"""The clocks of the original layout, against plain loops that follow the words of their rules."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oscaxr.errors import FormatError
from oscaxr.formats.original import synchronization
from oscaxr.formats.original.synchronization import SyncLines, photodiode_events
from oscaxr.model.segments import first_stimulus_frames

NAN = float("nan")


# -- alignment ------------------------------------------------------------------------------------
def aligned_by_scanning(twop, stim, delay):
    frames = []
    for time in stim + delay:
        found = [i for i in range(len(twop) - 1) if twop[i] < time <= twop[i + 1]]
        frames.append(found[0] if found else 0)
    return frames


@given(
    hnp.arrays(int, st.integers(2, 30), elements=st.integers(1, 9)),
    st.lists(st.integers(0, 200), min_size=1, max_size=30),
)
def test_alignment_is_a_scan_of_all_two_photon_frames(steps, shown):
    twop = np.cumsum(steps) / 8
    # On the recording, the very first time included.
    shown = np.clip(np.sort(shown) / 8, twop[0], twop[-1])
    found = synchronization.align(twop, shown - 0.25, 0.25)
    assert found.tolist() == aligned_by_scanning(twop, shown - 0.25, 0.25)


@pytest.mark.parametrize("shown", [[0.9, 2.0], [1.5, 4.1], [NAN, 2.0], [5.0, 6.0]])
def test_frames_outside_the_two_photon_recording_are_named(shown):
    with pytest.raises(FormatError, match="lie outside the two-photon recording of 4 frames"):
        synchronization.align(np.arange(1.0, 5.0), np.array(shown), 0.0)


def stimulus_frames_by_scanning(aligned, n_frames):
    frames, last = [], -1
    for frame in range(n_frames):
        first = next((k for k, value in enumerate(aligned) if value == frame), None)
        inside = aligned[0] <= frame <= aligned[-1]
        last = last if first is None else first
        frames.append(last if inside else -1)
    return frames


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 5))
def test_stimulus_frames_are_the_first_of_each_two_photon_frame(steps, start):
    aligned = np.cumsum(steps) + start
    n_frames = int(aligned[-1]) + 3
    found = first_stimulus_frames(aligned, n_frames)
    assert found.tolist() == stimulus_frames_by_scanning(aligned.tolist(), n_frames)


def test_the_second_alignment_is_a_check():
    first = np.arange(6)
    same = np.append(first, 9.0)
    assert synchronization.correct(first, same, 1)[1] == ""
    assert synchronization.correct(first, first.astype(float), 1)[1] == ""
    off = np.array([0.0, 1, 2, 6, NAN, 5])
    found, message = synchronization.correct(first, off, 1)
    assert found.tolist() == first.tolist()
    assert "1 of 6" in message
    assert "at most 3" in message
    for length in (4, 5, 8):
        with pytest.raises(FormatError, match=f"has {length} entries"):
            synchronization.correct(first, np.arange(float(length)), 1)


def test_one_session_is_shifted_by_the_most_frequent_difference():
    first = np.arange(6)
    second = first + np.array([2.0, 2, 1, 1, 0, 3])
    found, _ = synchronization.correct(first, second, 833704570)
    assert found.tolist() == (first + 1).tolist()  # the smaller of two equally frequent ones
    assert synchronization.correct(first, second, 833704571)[0].tolist() == first.tolist()


def test_one_pilot_session_takes_the_second_alignment():
    found, message = synchronization.correct(np.zeros(3, int), np.array([1.0, 2, 3, 9]), 721038464)
    assert found.tolist() == [1, 2, 3]
    assert "first one fails" in message
    with pytest.raises(FormatError, match="1 NaN"):
        synchronization.correct(np.zeros(3, int), np.array([1.0, NAN, 3]), 721038464)


@pytest.mark.parametrize("frames", [[0, 2, 1], [-1, 0, 1], [0, 1, 5]])
def test_an_alignment_neither_goes_back_nor_leaves_the_recording(frames):
    with pytest.raises(FormatError, match="alignment of stimulus frames"):
        synchronization.check_alignment(np.array(frames), 5)


# -- monitor delay --------------------------------------------------------------------------------
def events_by_steps(rising, falling):
    """The four steps of the rule, event by event."""
    merged = sorted([*rising, *falling])
    regular = [a for a, b in itertools.pairwise(falling) if 1.9 <= b - a <= 2.1]
    short = [a for a, b in itertools.pairwise(rising) if 0.1 <= b - a <= 0.5]
    if not regular:
        return []
    end = next((time for time in short if time > regular[-1]), np.inf)
    kept = [time for time in merged if regular[0] <= time < end]
    return [a for a, b in zip(kept, [*kept[1:], np.inf], strict=True) if b - a > 0.5]


@given(
    st.integers(3, 12),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=4),
    st.booleans(),
)
def test_photodiode_events_follow_the_steps(n_flips, glitches, flashes):
    flips = 10.0 + np.arange(n_flips)
    up, down = flips[::2].tolist(), flips[1::2].tolist()
    if flashes:
        start = flips[-1] + 1.25
        up += (start + np.arange(0, 0.5, 0.25)).tolist()
        down += (start + 0.125 + np.arange(0, 0.5, 0.25)).tolist()
    for place, width in glitches:
        at = 10.0 + place / 2 + 0.0625
        up.append(at)
        down.append(at + width / 64)
    up, down = np.sort(up), np.sort(down)
    found = photodiode_events(up, down)
    np.testing.assert_array_equal(found, events_by_steps(up.tolist(), down.tolist()))


def lines(n_seconds, *, spike=False, delay=0.035, lost=0):
    pulses = 5.0 + np.arange(60 * n_seconds) / 60
    flips = pulses[::60] + 0.002 + delay
    rising, falling = flips[1::2], flips[::2]
    before, after = flips[0] - 1.0, flips[-1] + 1.0
    rising = np.concatenate([[before], rising, after + np.array([0.0, 0.17, 0.34])])
    falling = np.concatenate([falling[lost:], after + np.array([0.08, 0.25, 0.42])])
    stim_rising, stim_falling = pulses, pulses + 0.002
    if spike:
        stim_rising = np.append(0.1, stim_rising)
        stim_falling = np.append(0.102, stim_falling)
    return SyncLines(np.empty(0), stim_rising, stim_falling, np.sort(rising), np.sort(falling))


@pytest.mark.parametrize("spike", [False, True])
def test_monitor_delay_is_the_mean_over_the_flips(spike):
    assert lines(20, spike=spike).monitor_delay() == pytest.approx(0.035, abs=1e-12)


def test_too_few_flips_are_an_error():
    with pytest.raises(FormatError, match="fewer than the 20 that 1200 stimulus frames have"):
        lines(20, lost=4).monitor_delay()
