"""Masks of several sessions in the field of one of them."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import pieces, unit_edges
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError
from small_sessions import small_spec

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def mouse():
    return [
        ox.sample.session(small_spec(session_number=k, session_id=900000000 + k)) for k in (1, 2, 3)
    ]


SHIFT = np.array([[1, 0, 2.0], [0, 1, -1], [0, 0, 1]])


def matches(target, sources):
    """Matrices as they are read from a matching file."""
    return xr.Dataset(
        {"matrix": (("source_session", "matrix_row", "matrix_column"), list(sources.values()))},
        coords={
            "source_session": list(sources),
            "source_session_id": ("source_session", [900000000 + k for k in sources]),
            "session": target,
            "session_id": 900000000 + target,
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
        "session 900000001",
        "session 900000002 (target)",
        "session 900000003",
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
