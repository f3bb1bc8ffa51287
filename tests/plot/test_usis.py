"""Indices of groups: the published ones of the real recordings, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from drawn import render
from made_groups import GROUPS, results
from oscaxr import analyses, plot
from oscaxr.errors import CriterionError, MissingVariableError, TrackingError
from published_figures import sessions_of_one_mouse, tracked_usis

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def real():
    return analyses.pool(tracked_usis())


@pytest.fixture(scope="module")
def some(real):
    """Some of the ROIs: samples of all take seconds."""
    return real.isel(roi=(real.tracking_id < 25).values)


def middles(containers):
    return np.array([one.lines[0].get_ydata() for one in containers])


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# -- over sessions --------------------------------------------------------------------------------
def test_every_tracked_roi_is_a_line(real, ax):
    drawn = plot.tracked_usis(real, ax)
    assert [len(lines.get_segments()) for lines in drawn.rois] == [
        np.unique(real.isel(roi=(real.group == group).values).mouse_id.values * 10_000
                  + real.isel(roi=(real.group == group).values).tracking_id.values).size
        for group in GROUPS
    ]  # fmt: skip
    assert sum(len(lines.get_segments()) for lines in drawn.rois) == 1160
    for group, lines in zip(GROUPS, drawn.rois, strict=True):
        own = real.isel(roi=(real.group == group).values)
        drawn_values = np.array(lines.get_segments())[:, :, 1]
        for k in (1, 2, 3):
            recorded = own["index"].values[own.session.values == k]
            np.testing.assert_array_equal(np.sort(drawn_values[:, k - 1]), np.sort(recorded))
    means = real.to_dataframe().groupby(["group", "session"])["index"].mean().unstack()
    np.testing.assert_allclose(middles(drawn.points), means)
    assert legend(ax) == ["1160 tracked ROIs", "mean, SEM"]
    render(ax)


def test_lines_follow_one_roi(ax):
    parts = sessions_of_one_mouse([1, 2, 3], [4, 5, 6])
    swapped = parts[1].isel(tracking_id=[2, 0, 1])
    drawn = plot.tracked_usis(analyses.pool([parts[0], swapped]), ax)
    values = np.array(drawn.rois[0].get_segments())[:, :, 1]
    np.testing.assert_array_equal(values, [[1, 4], [2, 5], [3, 6]])


def test_an_roi_without_a_session_is_interrupted(ax):
    three = sessions_of_one_mouse([1, 2], [3, 4], [5, 6])
    three[1] = three[1].isel(tracking_id=[0])
    drawn = plot.tracked_usis(analyses.pool(three), ax)
    values = np.array(drawn.rois[0].get_segments(), dtype=object)
    assert len(values) == 2
    np.testing.assert_array_equal(middles(drawn.points), [[1.5, 3, 5.5]])


def test_rois_that_are_not_tracked(real):
    loose = analyses.pool(sessions_of_one_mouse([1, 2], [3, 4], dim="roi"))
    with pytest.raises(TrackingError, match="tracked=True"):
        plot.tracked_usis(loose)
    twice = sessions_of_one_mouse([1, 2], [3, 4])
    twice[1] = twice[1].assign_coords(session=1)
    with pytest.raises(TrackingError, match="a mouse has a session more than once"):
        plot.tracked_usis(analyses.pool(twice))
    with pytest.raises(MissingVariableError, match="pool"):
        plot.tracked_usis(xr.Dataset({"index": ("roi", [1.0])}))


# -- statistics -----------------------------------------------------------------------------------
@pytest.mark.parametrize("statistic", ["mean", "variance"])
def test_statistics_of_the_real_indices(real, ax, statistic):
    is_mean = statistic == "mean"
    found = analyses.usi_statistics(
        real, statistic, absolute=is_mean, permutations=500, comparisons=12, seed=1
    )
    drawn = plot.usi_statistics(found, ax)
    np.testing.assert_array_equal(middles(drawn.points[0]), found.value)
    assert len(drawn.brackets) == (found.difference_p < 0.05).sum() > 3
    assert drawn.nulls == drawn.marks == []
    assert ax.get_ylabel() == ("mean of |USI|" if is_mean else "variance of USI")
    assert legend(ax)[-1] == ("mean, SEM" if is_mean else "variance, bootstrap SD")
    # Each bracket is as wide as what it is between, and none lies on another.
    ends = {
        tuple(line.get_xydata()[1:3].ravel()) for line in ax.lines if len(line.get_xdata()) == 4
    }
    assert len(ends) == len(drawn.brackets)
    render(ax)


# -- correlations ---------------------------------------------------------------------------------
def test_correlations_of_some_real_indices(some, ax):
    found = analyses.usi_correlations(some, permutations=400, comparisons=8, tail="low", seed=1)
    drawn = plot.usi_correlations(found, ax)
    np.testing.assert_array_equal(middles(drawn.points[0]), found.correlation)
    assert all(one.lines[0].get_linestyle() == "None" for one in drawn.points[0])
    assert len(drawn.marks) == (found.p < 0.05).sum() > 0
    assert "chance, 95 %, low tail, corrected for 8 comparisons" in legend(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()][:3] == ["1-2", "1-3", "2-3"]
    with pytest.raises(MissingVariableError, match="'normalised'"):
        plot.usi_correlations(found, normalised=True)


def test_normalised_correlations(some, ax):
    found = analyses.usi_correlations(some, permute="sessions", permutations=50, seed=1)
    drawn = plot.usi_correlations(found, ax, normalised=True)
    np.testing.assert_array_equal(middles(drawn.points[0]), found.normalised)
    low = found.normalised_null_interval.sel(bound="low").values.ravel()
    np.testing.assert_allclose([bar.get_y() for bar in drawn.nulls[0]], low)
    assert ax.get_ylabel().endswith("normalised")


# -- percentages ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def percent():
    def make(random, n_rois, group, session):
        index = random.normal(0.2 * session * (group - 1), 0.4, n_rois)
        return {"index": ("roi", index), "percentile": ("roi", 50 + 50 * np.tanh(3 * index))}

    return analyses.percent_significant(analyses.pool(results(make, (40, 30))), comparisons=4)


@pytest.mark.parametrize("kinds", [("low", "high"), ("positive",), "high"])
def test_percentages_and_what_chance_gives(percent, ax, kinds):
    drawn = plot.percent_significant(percent, ax, kinds=kinds)
    wanted = [kinds] if isinstance(kinds, str) else kinds
    for kind, points, bars in zip(wanted, drawn.points, drawn.nulls, strict=True):
        own = percent.sel(kind=kind)
        np.testing.assert_array_equal(middles(points), own.percent)
        tops = [bar.get_y() + bar.get_height() for bar in bars]
        np.testing.assert_allclose(tops, own.null_interval.sel(bound="high").values.ravel())
    assert len(drawn.marks) == (percent.sel(kind=list(wanted)).p < 0.05).sum() > 0
    assert sum(label.startswith("chance") for label in legend(ax)) == 1
    render(ax)


def test_kinds_stand_beside_each_other(percent, ax):
    drawn = plot.percent_significant(percent, ax)
    low, high = (sorted((bar.get_x(), bar.get_width()) for bar in bars) for bars in drawn.nulls)
    for (left, width), (right, _) in zip(low, high, strict=True):
        assert left + width < right
    alone = plot.percent_significant(percent.sel(kind="low"), Figure().subplots(), kinds="low")
    assert len(alone.points) == 1


@pytest.mark.parametrize("kinds", [(), ("middle",)])
def test_kinds_that_are_not_there(percent, kinds):
    with pytest.raises(CriterionError, match="positive"):
        plot.percent_significant(percent, kinds=kinds)
