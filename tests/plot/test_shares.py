"""How often values occur: lines and boxes say what the counts do."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import render
from oscaxr import plot
from oscaxr.analyses import group_means, pool, value_shares
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.plot.axes import SYNTHETIC

Figure = pytest.importorskip("matplotlib.figure").Figure

FACTS = {"line": "L5-Rbp4", "mouse_id": 1, "plane": "soma", "session_id": 1}


def shares(values, session, plane="soma"):
    array = xr.DataArray(values, dims="stim_time", name="run_velocity")
    identity = session + 10 * (plane == "soma")
    own = array.assign_coords({**FACTS, "plane": plane, "session": session, "session_id": identity})
    return value_shares(own, bins=20)


@pytest.fixture(scope="module")
def pooled():
    random = np.random.default_rng(0)
    wanted = [(1, "soma"), (2, "soma"), (1, "dend")]
    each = [shares(random.normal(5 * s, 4, 500), s, plane) for s, plane in wanted]
    return pool([one.expand_dims(trace=[0]) for one in each], dim="trace")


def test_a_line_for_each_session_in_a_panel_for_each_group(pooled):
    found = group_means(pooled, "share")
    figure = Figure(figsize=(8, 3), layout="constrained")
    drawn = plot.value_shares(found, figure, log=False)
    assert [ax.get_title(loc="left") for ax in drawn.panels] == ["L5-Rbp4 dend", "L5-Rbp4 soma"]
    for group, lines in enumerate(drawn.lines):
        for session, line in enumerate(lines):
            wanted = found["mean"].isel(group=group, session=session)
            if line is None:
                assert np.isnan(wanted).all()
            else:
                np.testing.assert_array_equal(line.get_xdata(), found["value"])
                np.testing.assert_array_equal(line.get_ydata(), wanted)
    assert drawn.lines[0][1] is None
    render(drawn.panels[0])


def test_what_never_occurs_has_no_line_on_a_logarithmic_axis(ax):
    found = shares([0.0, 1.0, 70.0], 1)
    (line,) = plot.value_shares(found, ax).lines[0]
    kept = np.isfinite(line.get_ydata())
    np.testing.assert_array_equal(kept, found["share"] > 0)
    assert ax.get_yscale() == "log"


def test_a_session_alone(ax):
    ds = ox.sample.session(n_rois=2, scale=0.02)
    plot.value_shares(value_shares(ds["run_velocity"]), ax)
    assert ax.get_xlabel() == "running velocity (cm/s)"
    assert ax.get_ylabel() == "share of the values (%)"
    assert ax.get_title("right") == SYNTHETIC
    render(ax)


def test_boxes_are_those_of_the_values(ax):
    values = np.clip(np.random.default_rng(0).normal(0.1, 0.2, 5000), -1, 1)
    array = xr.DataArray(values, dims="pair", name="correlation")
    one = value_shares(array.assign_coords({**FACTS, "session": 1}))
    both = [one.expand_dims(trace=[0]), one.expand_dims(trace=[0]).assign_coords(session_id=2)]
    drawn = plot.value_ranges(pool(both, dim="trace"), ax)
    assert len(drawn.boxes) == 1
    heights = sorted({float(y) for line in ax.lines for y in line.get_ydata()})
    plain = np.percentile(values, (5, 25, 50, 75, 95))
    np.testing.assert_allclose(heights, plain, atol=0.006)


def test_what_cannot_be_drawn(pooled, ax):
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.value_shares(group_means(pooled, "share").isel(session=[]), ax)
    with pytest.raises(CriterionError, match="axes"):
        plot.value_shares(group_means(pooled, "share"), ax)
    with pytest.raises(MissingVariableError, match="value_shares"):
        plot.value_shares(xr.Dataset(), ax)
    with pytest.raises(MissingVariableError, match="value_shares"):
        plot.value_ranges(xr.Dataset(), ax)
