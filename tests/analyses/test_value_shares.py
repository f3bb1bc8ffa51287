"""How often values occur, against counting one by one."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import oscaxr as ox
from how_many import examples
from oscaxr.analyses import group_means, pool, value_shares
from oscaxr.errors import CriterionError, MissingVariableError, WindowError

NUMBERS = st.floats(-30, 90) | st.sampled_from([np.nan, np.inf, -np.inf, -20.0, 80.0, 0.0])


@given(arrays(np.float64, st.integers(0, 40), elements=NUMBERS), st.integers(1, 12))
@settings(max_examples=examples(50))
def test_every_value_counts_once_in_its_bin(values, bins):
    found = value_shares(xr.DataArray(values, dims="t"), (-20, 80), bins=bins)
    edges = np.linspace(-20, 80, bins + 1)
    plain = [0] * bins
    for value in values:
        if not np.isnan(value):
            inside = min(max(value, -20.0), 80.0)
            # The last bin has both of its edges.
            plain[min(sum(inside >= edge for edge in edges) - 1, bins - 1)] += 1
    np.testing.assert_array_equal(found["count"], plain)
    known = int((~np.isnan(values)).sum())
    assert found.attrs["n_values"] == known == sum(plain)
    assert found.attrs["n_unknown"] == len(values) - known
    np.testing.assert_allclose(found["share"], 100 * np.array(plain) / (known or np.nan))
    np.testing.assert_allclose(found["value"], (edges[1:] + edges[:-1]) / 2)


def test_limits_are_the_papers_by_name(made_session):
    running = value_shares(made_session["run_velocity"])
    assert running.attrs["limits"] == [-20, 80]
    assert running["value"].attrs["units"] == "cm/s"
    assert int(running["session_id"]) == int(made_session["session_id"])
    found = value_shares(ox.roi_correlations(made_session))
    assert found.attrs["n_values"] == 6
    assert found["count"].attrs["long_name"] == "number of pairs of ROIs"


def test_shares_of_mice_are_averaged(made_session):
    found = value_shares(made_session["pupil_diameter"])
    other = found.assign(share=found["share"][::-1].variable)
    other = other.assign_coords(session_id=1, mouse_id=1)
    each = [one.expand_dims(trace=[0]) for one in (found, other)]
    mean = group_means(pool(each, dim="trace"), "share")["mean"].squeeze()
    np.testing.assert_allclose(mean, (found["share"].values + found["share"].values[::-1]) / 2)


def test_what_cannot_be_counted(made_session):
    with pytest.raises(CriterionError, match=r"'dff' has no limits by default.*limits=\(low, high"):
        value_shares(made_session["dff"])
    for limits in ((1, 1), (0, np.inf), 5, (0, 1, 2)):
        with pytest.raises(WindowError, match="two numbers, the second above the first"):
            value_shares(made_session["run_velocity"], limits)
    for bins in (0, 1.5, True):
        with pytest.raises(CriterionError, match="bins="):
            value_shares(made_session["run_velocity"], bins=bins)
    with pytest.raises(MissingVariableError, match="of numbers, not <U"):
        value_shares(made_session["stimulus_type"])
    with pytest.raises(MissingVariableError, match="of numbers"):
        value_shares(made_session)


@pytest.fixture(scope="module")
def made_session():
    return ox.sample.session(n_rois=4, scale=0.02)
