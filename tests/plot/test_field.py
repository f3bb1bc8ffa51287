"""Pictures of the microscope's field: outlines against a loop, masks, contours, projections."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oscaxr as ox
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError
from oscaxr.plot import field
from oscaxr.plot import outlines as lines
from small_sessions import small_spec

Figure = pytest.importorskip("matplotlib.figure").Figure
to_rgb = pytest.importorskip("matplotlib.colors").to_rgb

DIMS = ("roi", "height", "width")


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


@pytest.fixture(scope="module")
def ds(memory_session):
    valid = np.ones(memory_session.sizes["roi"], bool)
    valid[[2, 5]] = False
    return memory_session.assign_coords(valid=("roi", valid))


@pytest.fixture(scope="module")
def mouse():
    return [
        ox.sample.session(small_spec(session_number=k, session_id=758519300 + k)) for k in (1, 2, 3)
    ]


def unit_edges(mask):
    """Edges of a mask's pixels that have no pixel of it beyond, one by one."""
    height, width = mask.shape
    found = []
    for y, x in np.argwhere(mask):
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            row, column = y + down, x + across
            if 0 <= row < height and 0 <= column < width and mask[row, column]:
                continue
            middle_x, middle_y = x + across / 2, y + down / 2
            half_x, half_y = (0.5, 0) if down else (0, 0.5)
            found.append(
                (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
            )
    return sorted(found)


def pieces(path):
    """The straight pieces of closed lines, as edges of one pixel."""
    found = []
    for line in path.to_polygons(closed_only=False):
        np.testing.assert_array_equal(line[0], line[-1])
        for (x, y), (stop_x, stop_y) in itertools.pairwise(line.tolist()):
            assert abs(stop_x - x) + abs(stop_y - y) == 1
            found.append((*min((x, y), (stop_x, stop_y)), *max((x, y), (stop_x, stop_y))))
    return sorted(found)


masks = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 6)))


@given(masks)
def test_outlines_equal_a_loop_over_pixels(values):
    found = lines.outlines(lines.mask_pixels(xr.DataArray(values, dims=DIMS)))
    assert len(found) == len(values)
    for path, mask in zip(found, values, strict=True):
        assert pieces(path) == unit_edges(mask)


@given(masks)
def test_pixels_equal_numpy(values):
    array = xr.DataArray(values, dims=DIMS)
    pixels = lines.mask_pixels(array)
    np.testing.assert_array_equal(np.stack([pixels.roi, pixels.y, pixels.x]), np.nonzero(values))
    np.testing.assert_array_equal(pixels.counts(), values.sum(axis=0))
    kept = np.arange(len(values)) % 2 == 0
    np.testing.assert_array_equal(pixels.counts(kept), values[kept].sum(axis=0))


def test_pixels_of_parts_dask_and_any_order_are_the_same(ds, monkeypatch):
    whole = lines.mask_pixels(ds.roi_mask)
    others = [ds.roi_mask.transpose("width", "roi", "height"), ds.roi_mask.chunk(roi=2)]
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 1)
    for masks in (ds.roi_mask, *others, ds.roi_mask.astype("uint8")):
        found = lines.mask_pixels(masks)
        for part in ("roi", "y", "x"):
            np.testing.assert_array_equal(getattr(found, part), getattr(whole, part))


def test_what_are_not_masks(ds):
    with pytest.raises(SchemaError, match="flags"):
        lines.mask_pixels(ds.roi_mask.astype(float))
    with pytest.raises(MissingVariableError, match="dims"):
        lines.mask_pixels(ds.dff)
    with pytest.raises(SchemaError, match="no pixels"):
        lines.mask_pixels(ds.roi_mask.isel(height=[]))


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


@pytest.mark.parametrize("wrong", [99, "4", [4, 5], -1])
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


# -- several sessions ---------------------------------------------------------------------------
SHIFT = np.array([[1, 0, 2.0], [0, 1, -1], [0, 0, 1]])


def matches(target, sources):
    """Matrices as they are read from a matching file."""
    return xr.Dataset(
        {"matrix": (("source_session", "matrix_row", "matrix_column"), list(sources.values()))},
        coords={
            "source_session": list(sources),
            "source_session_id": ("source_session", [758519300 + k for k in sources]),
            "session": target,
            "session_id": 758519300 + target,
        },
    )


@pytest.mark.parametrize("given", ["file", "mapping"])
def test_sessions_are_registered_to_the_target(mouse, ax, given):
    sources = {1: SHIFT, 3: np.eye(3)}
    drawn = plot.registered_masks(
        mouse, ax, matrices=matches(2, sources) if given == "file" else sources
    )
    assert list(drawn.contours) == ["session 1", "session 2 (target)", "session 3"]
    wanted = [ox.register_masks(mouse[0].roi_mask, SHIFT), mouse[1].roi_mask, mouse[2].roi_mask]
    for contours, masks in zip(drawn.contours.values(), wanted, strict=True):
        found = [pieces(path) for path in contours.get_paths()]
        assert found == [unit_edges(mask) for mask in masks.values]
    colors = {tuple(contours.get_edgecolor()[0]) for contours in drawn.contours.values()}
    assert len(colors) == 3
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[1] == "session 2 (target)\n7 ROIs"
    painted = np.any([masks.values.any(axis=0) for masks in wanted], axis=0)
    np.testing.assert_array_equal(np.asarray(drawn.image.get_array())[..., 3], painted)


def test_sessions_without_a_number_go_by_their_ids(mouse, ax):
    nameless = [ds.drop_vars("session") for ds in mouse]
    drawn = plot.registered_masks(nameless, ax, matrices=matches(2, {1: SHIFT, 3: np.eye(3)}))
    assert list(drawn.contours) == [
        "session 758519301",
        "session 758519302 (target)",
        "session 758519303",
    ]


def test_a_published_matching_file(shared, open_shared, ax):
    file = "mouse_408021__session_759189643__nway_matched_rois.json"
    matched = ox.read_matches(shared / "data" / "roi_tracking" / file)
    sessions = [open_shared(number) for number in (758519303, 759189643, 759660390)]
    drawn = plot.registered_masks(sessions, ax, matrices=matched)
    first = ox.register_masks(sessions[0].roi_mask, matched.matrix.values[0])
    found = [pieces(path) for path in next(iter(drawn.contours.values())).get_paths()]
    assert found == [unit_edges(mask) for mask in first.values]


def test_registered_masks_by_name(mouse, ax):
    first = mouse[0].roi_mask
    drawn = plot.registered_masks({"before": first, "after": first}, ax)
    assert list(drawn.contours) == ["before", "after"]
    with pytest.raises(SchemaError, match="one field"):
        plot.registered_masks({"a": first, "b": first.isel(width=slice(9))}, ax)


def test_the_tree_of_a_mouse(mouse, ax):
    tree = xr.DataTree.from_dict({f"/session_{k}": ds for k, ds in enumerate(mouse)})
    drawn = plot.registered_masks(tree, ax, matrices={2: SHIFT, 3: SHIFT})
    assert list(drawn.contours) == ["session 1 (target)", "session 2", "session 3"]


def test_sessions_that_cannot_be_registered(mouse, ax):
    first, second, third = mouse
    with pytest.raises(CriterionError, match="read_matches"):
        plot.registered_masks(mouse, ax)
    with pytest.raises(CriterionError, match=r"no matrix for sessions \[3\]"):
        plot.registered_masks(mouse, ax, matrices=matches(1, {2: SHIFT}))
    with pytest.raises(CriterionError, match="twice"):
        plot.registered_masks([first, first], ax, matrices={1: SHIFT})
    with pytest.raises(CriterionError, match="different mice"):
        plot.registered_masks([first, second.assign_coords(mouse_id=1)], ax, matrices={1: SHIFT})
    with pytest.raises(CriterionError, match="no sessions"):
        plot.registered_masks([], ax, matrices={})
    with pytest.raises(MissingVariableError, match="'roi_mask'"):
        plot.registered_masks([first, third.drop_vars("roi_mask")], ax, matrices={1: SHIFT})


@pytest.mark.parametrize("n_rois", [1, 1700])
def test_few_and_many_rois_are_drawn(n_rois, ax):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    ds = ox.sample.session(small_spec(n_rois=n_rois, n_tracked=0))
    plot.roi_contours(ds, ax, highlight=n_rois - 1, projection=True)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    legend, figure = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert legend.x0 >= ax.get_window_extent().x1
    assert figure.x0 <= legend.x0 < legend.x1 <= figure.x1
