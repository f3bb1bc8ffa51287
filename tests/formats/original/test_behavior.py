"""Running of the original layout, against plain loops that follow the words of its rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oscaxr.errors import FormatError
from oscaxr.formats.original import behavior
from oscaxr.model import signals

NAN = float("nan")


def merge_sorted(values):
    if len(values) < 2:
        return values
    half = len(values) // 2
    left, right = merge_sorted(values[:half]), merge_sorted(values[half:])
    merged = []
    while left and right:
        merged.append(left.pop(0) if left[0] <= right[0] else right.pop(0))
    return merged + left + right


def filtered_by_sorting(values):
    out = []
    for i in range(len(values)):
        window = list(values[max(0, i - 2) : i + 3])
        out.append(merge_sorted(window + [0.0] * (5 - len(window)))[2])
    return out


@given(
    hnp.arrays(
        float, st.integers(1, 40), elements=st.one_of(st.integers(-9, 9).map(float), st.just(NAN))
    )
)
def test_median_filter_sorts_each_window_by_merging(values):
    np.testing.assert_array_equal(signals.median_filter(values), filtered_by_sorting(values))


@given(hnp.arrays(float, st.integers(5, 60), elements=st.floats(-50, 50)))
def test_median_filter_without_nan_is_scipys(values):
    from scipy.signal import medfilt

    np.testing.assert_array_equal(signals.median_filter(values), medfilt(values, 5))


def test_velocity_is_the_turn_up_to_the_next_pulse():
    rng = np.random.default_rng(0)
    rising = np.cumsum(rng.uniform(0.015, 0.018, 200))
    turns = rng.uniform(0.5, 3, 200).astype(np.float32)
    turns[50] = 0.0  # not read anew
    expected = []
    for k in range(199):
        radians = turns[k + 1] * np.float32(np.pi / 180)
        speed = float(radians) / (rising[k + 1] - rising[k]) * 6.5 * 2.54 / 2 * (2 / 3)
        expected.append(NAN if abs(radians) <= 1e-8 else speed)
    assert np.isnan(expected[49])
    found = behavior.running_velocity(turns, rising)
    np.testing.assert_allclose(found, filtered_by_sorting(expected), rtol=1e-6)


def test_samples_and_pulses_must_be_as_many():
    rising = np.arange(100) / 60
    with pytest.raises(FormatError, match=r"99 samples .* 100 stimulus pulses"):
        behavior.running_velocity(np.ones(99), rising)
    # Pulses after a long gap are not of the session.
    late = np.append(rising, rising[-1] + 5 + np.arange(3) / 60)
    assert len(behavior.pulses_of_session(late)) == 100
    assert len(behavior.running_velocity(np.ones(100), late)) == 99
    first = np.append(-10.0, rising)
    assert len(behavior.pulses_of_session(first)) == 1
