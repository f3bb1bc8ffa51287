"""Indices of a session against those of the next: the published ones of the real recordings."""

import numpy as np
import pytest
import xarray as xr

from drawn import render
from made_groups import GROUPS
from oscaxr import analyses, plot
from oscaxr.errors import CriterionError, TrackingError, WindowError
from published_figures import sessions_of_one_mouse, table_of, tracked_usis

Figure = pytest.importorskip("matplotlib.figure").Figure


def correlations_of(pooled, **options):
    words = {"tail": "low", "permutations": 400, "seed": 1, **options}
    return analyses.usi_correlations(pooled, "session", consecutive=True, **words)


def test_every_roi_is_a_point_and_they_correlate_as_published():
    pooled = analyses.pool(tracked_usis())
    figure = Figure(layout="constrained")
    drawn = plot.usi_pairs(pooled, figure)
    assert len(drawn.panels) == len(GROUPS) * 2
    table = table_of("9c")
    for place, (points, words) in enumerate(zip(drawn.points, drawn.words, strict=True)):
        group, pair = GROUPS[place // 2], ("1v2", "2v3")[place % 2]
        (row,) = table[table["lines"] + " " + table["planes"] == group].to_dict("records")
        x, y = points.get_data()
        assert words.get_text() == f"{len(x)} ROIs"
        assert np.corrcoef(x, y)[0, 1] == pytest.approx(row[f"{pair}_corrs"], abs=1e-12)
    assert sum(len(one.get_xdata()) for one in drawn.points[::2]) == 1160
    render(drawn.panels[0])


def test_points_are_of_one_roi_each_and_unknown_ones_are_counted():
    parts = sessions_of_one_mouse([1, 2, np.nan], [4, 5, 6], [7, np.inf, 9])
    parts[1] = parts[1].isel(tracking_id=[2, 0, 1])
    figure = Figure()
    drawn = plot.usi_pairs(analyses.pool(parts), figure.subplots(1, 2))
    points = [np.transpose(one.get_data()).tolist() for one in drawn.points]
    assert points == [[[1, 4], [2, 5]], [[4, 7], [6, 9]]]
    assert [one.get_text() for one in drawn.words] == ["3 ROIs, 1 NaN or infinite"] * 2
    assert [ax.get_title("left") for ax in drawn.panels] == ["sessions 1-2", "sessions 2-3"]


def test_correlations_and_what_is_significant_are_written():
    values = np.random.default_rng(2).normal(size=30)
    noise = np.random.default_rng(3).normal(size=30)
    pooled = analyses.pool(sessions_of_one_mouse(values, -values + noise / 9, noise))
    found = correlations_of(pooled)
    drawn = plot.usi_pairs(pooled, Figure(), correlations=found)
    said = [one.get_text().splitlines()[1] for one in drawn.words]
    for words, r in zip(said, found["correlation"].values[0], strict=True):
        assert words.startswith(f"r = {r:.2f}")
    # None of so few permutations is below 0.001.
    assert [words.count("*") for words in said] == [2, 0]
    # Of a pair that was not correlated, nothing is said.
    alone = plot.usi_pairs(pooled, Figure(), correlations=found.sel(pair=["2-3"]))
    assert [len(one.get_text().splitlines()) for one in alone.words] == [1, 2]


def test_a_group_without_the_session_is_empty():
    two = sessions_of_one_mouse([1, 2], [3, 4])
    other = sessions_of_one_mouse([5, 6])[0].assign_coords(line="L23-Cux2", mouse_id=2)
    other = other.assign_coords(session_id=20)
    drawn = plot.usi_pairs(analyses.pool([*two, other]), Figure())
    assert [one is None for one in drawn.points] == [True, False]


def test_what_cannot_be_drawn():
    loose = analyses.pool(sessions_of_one_mouse([1, 2], [3, 4], dim="roi"))
    with pytest.raises(TrackingError, match="tracked=True"):
        plot.usi_pairs(loose)
    two = analyses.pool(sessions_of_one_mouse([1, 2], [3, 4]))
    with pytest.raises(CriterionError, match="2 axes were given, not 1"):
        plot.usi_pairs(two, Figure().subplots(1, 2))
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.usi_pairs(two.isel(roi=two.session.values == 1))
    with pytest.raises(TrackingError, match="same tracked ROIs"):
        plot.usi_pairs(two.isel(roi=[0, 1, 2]))
    with pytest.raises(plot.PlotInputError, match="usi_correlations"):
        plot.usi_pairs(two, correlations=xr.DataArray(1.0))
