"""The microscope's field: masks, contours, projection."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import pieces, unit_edges
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.plot import field

Figure = pytest.importorskip("matplotlib.figure").Figure
to_rgb = pytest.importorskip("matplotlib.colors").to_rgb

DIMS = ("roi", "height", "width")


@pytest.fixture(scope="module")
def ds(memory_session):
    valid = np.ones(memory_session.sizes["roi"], bool)
    valid[[2, 5]] = False
    return memory_session.assign_coords(valid=("roi", valid))


# -- masks --------------------------------------------------------------------------------------
def test_masks_are_coloured_by_what_they_are(ds, ax):
    drawn = plot.roi_masks(ds, ax)
    image = np.asarray(drawn.image.get_array())
    values, valid = ds.roi_mask.values, ds.valid.values
    for y, x in np.ndindex(image.shape[:2]):
        own = values[:, y, x]
        color = (1, 1, 1)
        if own.any():
            color = to_rgb(field.VALID_COLOR)
        if own.sum() > 1:
            color = to_rgb(field.OVERLAP_COLOR)
        if (own & ~valid).any():
            color = to_rgb(field.INVALID_COLOR)
        assert tuple(image[y, x, :3]) == color
        assert image[y, x, 3] == own.any()
    centroids = np.stack([ds.centroid_x, ds.centroid_y], axis=1)[~valid]
    np.testing.assert_allclose(drawn.invalid.get_xydata(), centroids)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[0] == "5 valid ROIs"
    assert words[-1] == "2 invalid ROIs"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column (px)", "row (px)")
    assert ax.get_ylim() == (63.5, -0.5)


def test_masks_without_marks_need_no_traces(ds, ax):
    drawn = plot.roi_masks(ds.drop_vars("valid"), ax, mark_invalid=False)
    assert drawn.invalid is None
    assert ax.get_legend().get_texts()[0].get_text() == "7 ROIs"
    with pytest.raises(MissingVariableError, match="'valid'"):
        plot.roi_masks(ds.drop_vars("valid"), ax)


def test_what_cannot_be_seen_is_not_in_the_legend(ax):
    flags = np.ones((2, 4, 4), bool)
    ds = xr.Dataset({"roi_mask": (DIMS, flags)}, coords={"valid": ("roi", [True, False])})
    plot.roi_masks(ds, ax)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["1 valid ROI", "1 invalid ROI"]


def test_an_empty_mask_has_no_pixels_but_counts(ds, ax):
    emptied = ds.assign(roi_mask=ds.roi_mask.where(ds.roi != 2, False))
    drawn = plot.roi_masks(emptied, ax)
    assert np.isnan(drawn.invalid.get_xydata()).any(axis=1).tolist() == [True, False]
    assert (
        len(plot.roi_contours(emptied, Figure().subplots()).contours.get_paths()[2].vertices) == 0
    )
    with pytest.raises(CriterionError, match="no pixels"):
        plot.roi_contours(emptied, ax, highlight=2)


# -- contours -----------------------------------------------------------------------------------
def test_contours_and_the_highlighted_one(ds, ax):
    drawn = plot.roi_contours(ds, ax, highlight=4)
    paths = drawn.contours.get_paths()
    assert [pieces(path) for path in paths] == [unit_edges(mask) for mask in ds.roi_mask.values]
    (own,) = drawn.highlighted.get_paths()
    assert pieces(own) == unit_edges(ds.roi_mask.values[4])
    assert drawn.image is None
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ROI 4", "6 other ROIs"]
    assert ax.get_xlim() == (-0.5, 63.5)


def test_labels_not_positions_are_highlighted(ds, ax):
    swapped = ds.isel(roi=[6, 4, 0])
    (own,) = plot.roi_contours(swapped, ax, highlight=4).highlighted.get_paths()
    assert pieces(own) == unit_edges(ds.roi_mask.values[4])
    tracked = ox.tracked(ds)
    (own,) = plot.roi_contours(tracked, Figure().subplots(), highlight=3).highlighted.get_paths()
    assert pieces(own) == unit_edges(tracked.roi_mask.sel(tracking_id=3).values)


def test_zoom_shows_the_highlighted_roi(ds, ax):
    plot.roi_contours(ds, ax, highlight=4, zoom=True)
    mask = ds.roi_mask.values[4]
    y, x = np.nonzero(mask)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < x.min() <= x.max() < right
    assert top < y.min() <= y.max() < bottom
    assert right - left == pytest.approx(bottom - top)


def test_zoom_is_about_the_roi_and_stays_in_the_field(ax):
    flags = np.zeros((2, 80, 90), bool)
    flags[0, 40:44, 30:36] = flags[1, :3, 86:] = True
    ds = xr.Dataset({"roi_mask": (DIMS, flags)}, coords={"roi": [0, 1]})
    plot.roi_contours(ds, ax, highlight=0, zoom=True)
    assert (ax.get_xlim(), ax.get_ylim()) == ((17.5, 47.5), (56.5, 26.5))
    plot.roi_contours(ds, ax, highlight=1, zoom=True)
    assert ax.get_xlim()[1] == 89.5
    assert ax.get_ylim()[1] == -0.5
    plot.roi_contours(ds.isel(height=slice(0, 10)), ax, highlight=1, zoom=True)
    assert ax.get_ylim()[1] < -0.5


def test_one_roi_has_no_others(ds, ax):
    plot.roi_contours(ds.isel(roi=[3]), ax, highlight=3, zoom=True)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ROI 3"]


def test_several_are_highlighted(ds, ax):
    drawn = plot.roi_contours(ds, ax, highlight=[4, 2], projection=True, zoom=True)
    assert [pieces(path) for path in drawn.highlighted.get_paths()] == [
        unit_edges(ds.roi_mask.values[k]) for k in (4, 2)
    ]
    assert len({tuple(color) for color in drawn.highlighted.get_edgecolors()}) == 2
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["ROI 4", "ROI 2", "5 other ROIs"]
    y, x = np.nonzero(ds.roi_mask.values[[4, 2]].any(axis=0))
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < x.min() <= x.max() < right
    assert top < y.min() <= y.max() < bottom
    # On the image, they and the others have a dark edge.
    assert drawn.highlighted.get_path_effects()
    assert drawn.contours.get_path_effects()
    many = plot.roi_contours(ds, Figure().subplots(), highlight=range(6)).highlighted
    assert len({tuple(color) for color in many.get_edgecolors()}) == 1
    assert many.axes.get_legend().get_texts()[0].get_text() == "6 highlighted ROIs"
    with pytest.raises(CriterionError, match="named twice"):
        plot.roi_contours(ds, ax, highlight=[1, 1])


@pytest.mark.parametrize("wrong", [99, "4", [4, 50], -1])
def test_no_such_roi(ds, ax, wrong):
    with pytest.raises(CriterionError, match="there are 7: 0, 1"):
        plot.roi_contours(ds, ax, highlight=wrong)


def test_zoom_needs_one_roi(ds, ax):
    with pytest.raises(CriterionError, match="give highlight"):
        plot.roi_contours(ds, ax, zoom=True)


# -- projection ---------------------------------------------------------------------------------
def test_projection_lies_under_contours(ds, ax):
    drawn = plot.max_projection(ds, ax)
    np.testing.assert_array_equal(drawn.image.get_array(), ds.max_projection)
    assert drawn.image.get_clim() == tuple(np.percentile(ds.max_projection, [0.1, 99.9]))
    assert drawn.image.get_zorder() < drawn.contours.get_zorder()
    assert len(drawn.contours.get_paths()) == 7
    alone = plot.max_projection(ds.drop_vars("roi_mask"), Figure().subplots(), contours=False)
    assert alone.contours is None
    over = plot.roi_contours(ds, Figure().subplots(), projection=True)
    np.testing.assert_array_equal(over.image.get_array(), ds.max_projection)
    with pytest.raises(MissingVariableError, match="'max_projection'"):
        plot.max_projection(ds.drop_vars("max_projection"), ax, contours=False)


@pytest.mark.parametrize("n_rois", [1, pytest.param(1700, marks=pytest.mark.slow)])
def test_few_and_many_rois_are_drawn(n_rois, memory_session, ax):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # Many of the same masks take as long to draw as others, and are made at once.
    numbers = np.arange(n_rois)
    ds = memory_session.isel(roi=numbers % memory_session.sizes["roi"]).assign_coords(roi=numbers)
    plot.roi_contours(ds, ax, highlight=n_rois - 1, projection=True)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    legend, figure = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert legend.x0 >= ax.get_window_extent().x1
    assert figure.x0 <= legend.x0 < legend.x1 <= figure.x1
