"""Why a ROI is unfit, as the words of the rules say it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oscaxr.arrays.columns import turned
from oscaxr.arrays.percentiles import column_factors
from oscaxr.model import signals

NAN = float("nan")


def reason_by_words(trace):
    if np.isnan(trace).any():
        return "NaN"
    if np.isinf(trace).any():
        return "infinity"
    low, high = trace.min(), trace.max()
    if high > low and (np.median(trace) - low) / (high - low) > 0.5:
        return "median above mid-range"
    return "negative mean" if trace.mean() < 0 else ""


@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(1, 12), st.integers(1, 5)),
        elements=st.one_of(
            st.integers(-8, 24).map(lambda k: k / 8), st.sampled_from([NAN, np.inf, -np.inf])
        ),
    )
)
def test_reasons_of_bad_rois(traces):
    found = column_factors(lambda c: turned(traces[:, c]), *traces.shape, with_ranges=True)
    reasons = signals.reasons(found.percentiles[1], found.ranges)
    expected = [reason_by_words(traces[:, roi]) for roi in range(traces.shape[1])]
    assert reasons.tolist() == expected
    plain = column_factors(lambda c: turned(traces[:, c]), *traces.shape)
    np.testing.assert_array_equal(plain.percentiles, found.percentiles)
    assert plain.ranges.shape == (4, 0)
