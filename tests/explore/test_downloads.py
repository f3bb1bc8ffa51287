"""What is taken along of each panel opens again, and is what the panel shows."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox

pytest.importorskip("panel")
from oscaxr.explore.downloads import draw, figure_file, numbers_file
from oscaxr.explore.opened import shelf_of
from oscaxr.explore.panel_table import numbers_of, panels_of
from oscaxr.explore.view import View

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.mark.parametrize(
    "panels", [["heat_maps", "trials"], pytest.param(None, marks=pytest.mark.slow)]
)
def test_every_panel_can_be_taken_along(explored_folder, panels):
    shelf = shelf_of(explored_folder)
    opened = shelf.take("900000001")
    view = View(rois=(1, 3))
    for panel in panels or panels_of(view, opened.ds):
        found = numbers_of(panel, shelf, opened, view)
        with xr.open_dataset(numbers_file(found, "nc"), engine="h5netcdf") as again:
            xr.testing.assert_allclose(again[list(found)], found[list(found)])
        table = pd.read_csv(numbers_file(found, "csv"))
        assert len(table) == max(found[name].size for name in found if name != "order")
        picture = figure_file(panel, opened.ds, view, found, "png").getvalue()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5000
    assert b"<svg" in figure_file(panel, opened.ds, view, found, "svg").getvalue()
    shelf.give_back(opened)
    shelf.close()


def drawn(panel, ds, view):
    shelf = shelf_of(ds)
    opened = shelf.take("1")
    figure = Figure()
    draw(panel, opened.ds, view, numbers_of(panel, shelf, opened, view), figure)
    figure.draw_without_rendering()
    return figure.axes


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=5, n_tracked=2, scale=0.05)


def test_the_field_has_the_colours_of_its_numbers(session):
    for number, count in (("area", 5), ("tracking", 2)):
        field, *bar = drawn("field", session, View(number=number))
        (lines,) = (one for one in field.collections if len(one.get_paths()) == 5)
        assert len(np.unique(lines.get_edgecolors(), axis=0)) == count
        assert [ax.get_ylabel() for ax in bar] == (["area (px)"] if number == "area" else [])


def test_chosen_rois_have_axes_of_their_own(session):
    view = View(rois=(1, 3))
    axes = drawn("roi_responses", session, view)
    assert [ax.get_ylabel() for ax in axes] == [f"ROI {roi}: mean of dF/F" for roi in view.rois]
    u = session.osca.sequences("dff", session.osca.select(gabor_frame="U"), pre=1, post=1)
    for roi, ax in zip(view.rois, axes, strict=True):
        np.testing.assert_allclose(ax.lines[1].get_ydata(), u.sel(roi=roi).mean("sequence"))


def test_an_roi_is_shown_through_the_days(explored_folder):
    shelf = shelf_of(explored_folder)
    opened = shelf.take("900000001")
    ids = opened.ds["tracking_id"]
    roi = int(ids.roi[ids >= 0][-1])
    view = View(rois=(roi,))
    found = numbers_of("days", shelf, opened, view)
    figure = Figure()
    draw("days", opened.ds, view, found, figure)
    which = int(ids.sel(roi=roi))
    assert figure.axes[2].get_title("left") == f"tracked ROI {which} through the days"
    lines = [one.get_ydata() for one in figure.axes[2].lines]
    for line, trace in zip(lines, found.trace.sel(tracking_id=which), strict=False):
        np.testing.assert_array_equal(line, trace)
    with pytest.raises(ox.errors.CriterionError, match="no ROI is tracked"):
        draw("days", opened.ds, view, found.isel(tracking_id=[]), figure)
    shelf.give_back(opened)
    shelf.close()


def test_maps_that_have_one_bar_have_the_same_colours(session):
    for panel in ("heat_maps", "trials"):
        *maps, _ = drawn(panel, session, View(rois=(1,)))
        images = [ax.images[0] for ax in maps]
        assert len(images) == 2
        assert images[0].get_clim() == images[1].get_clim()
    counts = [session.osca.select(gabor_frame=frame).sizes["segment"] for frame in ("D", "U")]
    assert [len(one.get_array()) for one in images] == counts


def test_trials_of_no_segments_are_said_to_be_none(session):
    nothing = {"stimulus": "gabors", "gabor_frame": ["U"], "unexpected": [0.0]}
    with pytest.raises(ox.errors.CriterionError, match="no such segments"):
        drawn("trials", session, View(rois=(1,), compare="one", first=nothing))
