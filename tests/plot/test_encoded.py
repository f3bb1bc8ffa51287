"""What ROIs follow: points, boxes and patches as in the results, for few and many ROIs."""

import numpy as np
import pytest

import oscaxr as ox
from drawn import render
from made_groups import GROUPS, results
from oscaxr import analyses, plot
from oscaxr.errors import CriterionError, WindowError
from oscaxr.plot.axes import SYNTHETIC

Figure = pytest.importorskip("matplotlib.figure").Figure

PREDICTORS = ["running", "pupil", "stimulus"]


def encoded(random, n_rois, group, session):
    alone = np.abs(random.normal(0, 0.1, (3, n_rois)))
    alone[:, 0] = np.nan
    predicted = random.normal(0.01, 0.02, n_rois)
    predicted[1] = np.nan
    return {
        "explained": ("roi", alone.sum(axis=0)),
        "alone": (("predictor", "roi"), alone),
        "unique": (("predictor", "roi"), alone / 2),
        "predictor": PREDICTORS,
        "preferred_orientation": ("roi", random.uniform(0, 180, n_rois)),
        "predicted": ("roi", predicted),
    }


def pooled_results(sizes):
    """Results of four groups of few ROIs, or of one of many."""
    pooled = analyses.pool(results(encoded, sizes))
    return pooled if sum(sizes) < 100 else pooled.isel(roi=(pooled.group == GROUPS[0]).values)


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=15, scale=0.1)


@pytest.fixture(scope="module")
def followed():
    """One frame, of whose patches ROI 4 follows one."""
    found = analyses.position_response(ox.sample.session(n_rois=5, scale=0.2), ["A", "U"])
    q = found.q.where(found.q.isnull(), 0.5)
    q[{"gabor_frame": 0, "patch": 7, "roi": 4}] = 0.001
    return found.assign(q=q)


# -- orientation ----------------------------------------------------------------------------------
def test_orientations_of_a_session(session, ax):
    found = analyses.orientation_tuning(session)
    drawn = plot.orientation_tuning(found, ax)
    is_tuned = found.predicted.values > 0
    for points, mask in zip(drawn.points[0], (is_tuned, ~is_tuned), strict=True):
        wanted = np.stack([found.preferred_orientation, found.predicted], axis=-1)[mask]
        np.testing.assert_array_equal(points.get_offsets(), wanted)
    assert drawn.words[0].get_text() == f"{is_tuned.sum()} of 15 ROIs predicted"
    assert ax.get_xlabel() == "preferred orientation (degrees)"
    assert ax.get_title("right") == SYNTHETIC
    render(ax)


@pytest.mark.parametrize("sizes", [(15,), (1_000, 700)])
def test_orientations_of_groups(sizes):
    pooled = pooled_results(sizes)
    drawn = plot.orientation_tuning(pooled, Figure(figsize=(10, 8)))
    assert len(drawn.panels) == 3 * len({*pooled.group.values})
    total = sum(len(points.get_offsets()) for pair in drawn.points for points in pair)
    assert total == np.isfinite(pooled.predicted).sum()
    assert drawn.words[0].get_text().endswith(f"\n{len(sizes)} NaN")
    # Fainter the more there are, but plain in the legend.
    assert (drawn.points[0][0].get_alpha() < 0.5) == (len(sizes) > 1)
    handles = drawn.panels[2].get_legend().legend_handles
    assert {handle.get_alpha() for handle in handles} == {1}


# -- variance -------------------------------------------------------------------------------------
def boxes_of(drawn, name):
    return np.array([line.get_ydata()[0] for line in drawn["medians"]])


@pytest.mark.parametrize("sizes", [(15,), (1_000, 700)])
def test_boxes_are_percentiles_over_rois(sizes):
    pooled = pooled_results(sizes)
    drawn = plot.explained_variance(pooled, Figure(figsize=(10, 8)))
    for place, boxes in enumerate(drawn.boxes):
        mask = (pooled.group == GROUPS[place // 3]) & (pooled.session == place % 3 + 1)
        own = pooled.isel(roi=mask.values)
        for name in ("explained", "alone", "unique"):
            values = np.atleast_2d(own[name].transpose(..., "roi").values)
            low, first, middle, third, high = np.nanpercentile(values, (5, 25, 50, 75, 95), axis=1)
            parts = boxes[name]
            np.testing.assert_allclose([m.get_ydata()[0] for m in parts["medians"]], middle)
            edges = np.array([box.get_ydata()[[0, 2]] for box in parts["boxes"]])
            np.testing.assert_allclose(edges, np.stack([first, third], axis=1))
            ends = [cap.get_ydata()[0] for cap in parts["caps"]]
            np.testing.assert_allclose(np.reshape(ends, (-1, 2)), np.stack([low, high], axis=1))
        # Many points would hide the boxes.
        assert (drawn.points[place]["alone"] is None) == (len(sizes) > 1)
    count = sum(sizes)
    assert drawn.words[0].get_text() == f"{count} ROIs, {len(sizes)} NaN"
    assert [tick.get_text() for tick in drawn.panels[-3].get_xticklabels()] == ["all", *PREDICTORS]


def test_variance_of_a_session(session, ax):
    found = analyses.explained_variance(session, ["running", "stimulus"], piece=10)
    drawn = plot.explained_variance(found, ax)
    heights = drawn.points[0]["unique"].get_offsets()[:, 1].reshape(2, 15)
    np.testing.assert_array_equal(heights, found.unique)
    across = drawn.points[0]["unique"].get_offsets()[:, 0].reshape(2, 15)
    assert np.ptp(across, axis=1).max() < 0.36
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "boxes: quartiles; whiskers: 5 and 95 %" in labels
    render(ax)
    one = plot.explained_variance(found.isel(predictor=1), Figure().subplots())
    assert len(one.boxes[0]["alone"]["medians"]) == 1


# -- places ---------------------------------------------------------------------------------------
def test_patches_are_where_they_are_on_the_screen(followed):
    drawn = plot.position_response(followed, Figure(figsize=(8, 4), layout="constrained"))
    patches, empty = drawn.patches
    wanted = np.stack([followed.x[0], followed.y[0]], axis=-1)
    np.testing.assert_array_equal(patches.get_offsets(), wanted)
    np.testing.assert_array_equal(patches.get_widths(), followed["size"][0])
    shares = np.zeros(30)
    shares[7] = 20
    np.testing.assert_array_equal(patches.get_array(), shares)
    assert patches.get_clim() == (0, 20)
    assert empty is None
    assert "too few" in drawn.panels[1].texts[0].get_text()
    assert drawn.panels[1].get_title("right") == SYNTHETIC
    # As large as they are on the screen, inside of the axes, and round.
    render(drawn.panels[0])
    box = drawn.panels[0].dataLim
    reach = followed["size"][0].values / 2
    assert box.x0 <= (followed.x[0].values - reach).min()
    assert box.y1 >= (followed.y[0].values + reach).max()
    assert drawn.panels[0].get_aspect() == 1


def test_patches_of_one_roi(followed, ax):
    drawn = plot.position_response(followed.isel(gabor_frame=0), ax, roi=4)
    (patches,) = drawn.patches
    np.testing.assert_array_equal(patches.get_array(), followed.amplitude[0].sel(roi=4))
    widths = np.array(patches.get_linewidths())
    assert np.flatnonzero(widths == widths.max()).tolist() == [7]
    assert "amplitude" in drawn.colorbar.ax.get_xlabel()
    others = plot.position_response(followed.isel(gabor_frame=[0]), Figure().subplots(), roi=3)
    assert len(set(others.patches[0].get_linewidths())) == 1


def test_what_cannot_be_drawn(followed, ax):
    with pytest.raises(CriterionError, match=r"roi=9.*among the 5"):
        plot.position_response(followed, roi=9)
    with pytest.raises(CriterionError, match="1 axes were given, not 2"):
        plot.position_response(followed, ax)
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.position_response(followed.isel(gabor_frame=[1]))
    with pytest.raises(CriterionError, match="one session"):
        plot.position_response(followed.assign_attrs(pooled_by=["line"]))
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.orientation_tuning(analyses.pool(results(encoded)).isel(roi=[]))
