"""What shows itself at the end of a cell: the same as is served, of what is open already."""

import numpy as np
import pytest
import xarray as xr
from bokeh.models import ColumnDataSource

import oscaxr as ox
from oscaxr.model.schema import SESSION

pn = pytest.importorskip("panel")


def shown(page, name):
    """Return what a source of the figures holds that were sent to the notebook."""
    root = page.get_root()
    (found,) = (one for one in root.select({"type": ColumnDataSource}) if one.name == name)
    return found.data


def widget(page, label, kind, number=0):
    return [one for one in page.select(kind) if one.label == label][number]


def test_a_dataset_is_explored_and_a_choice_changes_the_numbers(memory_session):
    page = ox.explore(memory_session)
    assert isinstance(page, pn.viewable.Viewable)
    page.select(pn.Tabs)[0].active = 1
    # The second selection's.
    widget(page, SESSION["gabor_kappa"].long_name, pn.widgets.CheckButtonGroup, 1).value = [16.0]
    segments = memory_session.osca.select(gabor_frame="U", gabor_kappa=16)
    windows = memory_session.osca.sequences("dff", segments, pre=1, post=1)
    np.testing.assert_allclose(
        shown(page, "mean_responses")["ys"][1], ox.stats(windows, ("sequence", "roi"))["mean"]
    )


def test_the_sessions_of_a_tree_are_chosen_among(memory_session):
    other = memory_session.assign_coords(session=2, session_id=7).isel(roi=slice(3))
    tree = xr.DataTree.from_dict({"/mouse_1/session_1": memory_session, "/mouse_1/s2": other})
    page = ox.explore(tree)
    choice = widget(page, "session", pn.widgets.Select)
    assert [label.split(", ")[1] for label in choice.options] == [
        "session 1 (900000001)", "session 2 (7)",
    ]  # fmt: skip
    choice.value = "2"
    status = [one.object for one in page.select(pn.pane.HTML) if "Hz" in str(one.object)]
    assert ["3 ROIs" in words for words in status] == [True]
    # What was given is as it was, and stays open.
    assert memory_session.dff[0].load().size
