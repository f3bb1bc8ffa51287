"""Pairs of runs: lines from expected to unexpected, of a session and of groups."""

import numpy as np
import pytest

import oscaxr as ox
from drawn import render
from made_groups import results
from oscaxr import plot
from oscaxr.analyses import block_responses, pool
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.plot.axes import SYNTHETIC

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def found():
    return block_responses(ox.sample.session(n_rois=4, scale=0.1))


def runs(random, n_pairs, group, session):
    values = random.normal([[3], [3 + session]], 1, (2, n_pairs))
    attrs = {"long_name": "running velocity", "units": "cm/s"}
    return {"run_velocity": (("group", "pair"), values, attrs), "group": ["expected", "unexpected"]}


@pytest.mark.parametrize("name", ["run_velocity", "pupil_diameter"])
def test_runs_of_a_session(found, ax, name):
    drawn = plot.block_pairs(found, ax, name)
    lines = np.array(drawn.pairs[0].get_segments())
    np.testing.assert_array_equal(lines[:, :, 1], found[name].transpose("pair", "group"))
    for k, (points,) in enumerate(drawn.points):
        np.testing.assert_array_equal(points.lines[0].get_ydata(), found[name][k])
        np.testing.assert_array_equal(points.lines[0].get_xdata(), lines[:, k, 0])
        ends = np.array([bar[:, 1] for bar in points.lines[2][0].get_segments()])
        sem = found[f"{name}_sem"][k].values
        np.testing.assert_allclose(np.diff(ends)[:, 0], 2 * sem)
    assert ax.get_ylabel() == found[name].attrs["long_name"] + f" ({found[name].attrs['units']})"
    assert ax.get_title("right") == SYNTHETIC
    render(ax)


def test_pairs_of_groups(ax):
    pooled = pool(results(runs, (9, 7), dim="pair"), dim="pair")
    drawn = plot.block_pairs(pooled, ax)
    table = pooled.run_velocity.transpose("pair", ...).to_dataframe().reset_index()
    of_kind = table.groupby(["response_group", "group", "session"])["run_velocity"]
    for kind, points in zip(("expected", "unexpected"), drawn.points, strict=True):
        middle = np.array([one.lines[0].get_ydata() for one in points])
        np.testing.assert_allclose(middle, of_kind.mean()[kind].unstack())
        bars = np.array([np.diff(bar[:, 1])[0] for one in points
                         for bar in one.lines[2][0].get_segments()])  # fmt: skip
        np.testing.assert_allclose(bars.reshape(4, 3) / 2, of_kind.sem()[kind].unstack())
    assert [len(lines.get_segments()) for lines in drawn.pairs] == [16] * 12
    first = pooled.isel(pair=((pooled.group == pooled.group[0]) & (pooled.session == 1)).values)
    lines = np.array(drawn.pairs[0].get_segments())[:, :, 1]
    np.testing.assert_array_equal(lines, first.run_velocity.transpose("pair", ...))
    assert ax.get_ylabel() == "running velocity (cm/s)"
    render(ax)


def test_groups_that_are_not_by_session(ax):
    merged = pool(results(runs, dim="pair"), by=("line", "plane"), dim="pair")
    drawn = plot.block_pairs(merged, ax)
    assert [len(lines.get_segments()) for lines in drawn.pairs] == [45] * 4


def test_what_cannot_be_drawn(found):
    with pytest.raises(MissingVariableError, match="'dff'"):
        plot.block_pairs(found, name="dff")
    with pytest.raises(MissingVariableError, match="'run_velocity_sem'"):
        plot.block_pairs(found.drop_vars("run_velocity_sem"))
    with pytest.raises(CriterionError, match="'roi'"):
        plot.block_pairs(found.expand_dims(roi=3))
    with pytest.raises(WindowError, match="no pair"):
        plot.block_pairs(found.isel(pair=[]))
