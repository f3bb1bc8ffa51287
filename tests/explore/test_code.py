"""The Python of a panel: pasted elsewhere, it gives the numbers that the panel shows."""

import warnings

import pytest
import xarray as xr

from oscaxr.errors import OscaxrWarning
from oscaxr.explore.opened import shelf_of
from oscaxr.explore.panel_table import PANELS, numbers_of, panel_code, panels_of
from oscaxr.explore.view import PRESETS, View

FLOW = PRESETS["Flow: first of runs"]
VIEWS = {
    "usual": View(rois=(1, 3)),
    "flow": View(first=FLOW[0], second=FLOW[1], rois=(0,), baseline=0.5, sort="other", scale=True),
    "split": View(
        compare="split", by="gabor_kappa", number="difference", rois=(2,), sort="second",
        first={"stimulus": "gabors", "gabor_frame": ["D"], "start_time": (0.0, 1000.0)},
    ),
    "medians": View(stat="median", error="mad", edge="nan", pre=0.5, post=0.8, rois=(4, 2)),
    "empty": View(first={"stimulus": "gabors", "gabor_frame": ["U"], "unexpected": [0.0]}),
}  # fmt: skip


@pytest.fixture(scope="module")
def shelf(explored_folder):
    shelf = shelf_of(explored_folder)
    yield shelf
    shelf.close()


def run(code):
    names = {}
    with warnings.catch_warnings():
        # Windows that leave the short recording.
        warnings.simplefilter("ignore", OscaxrWarning)
        exec(code, names)
    return names["numbers"]


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one != "flow")) for one in VIEWS]
)
def test_the_code_gives_the_numbers(shelf, name):
    view = VIEWS[name]
    opened = shelf.take(next(iter(shelf.sources)))
    others = [shelf.sources[key].code for key in shelf.of_mouse(opened.key)]
    panels = panels_of(view, opened.ds)
    assert set(panels) >= set(PANELS) - {"roi_traces", "trials", "roi_responses"}
    for panel in panels:
        if panel == "population" and name != "usual":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OscaxrWarning)
            shown = numbers_of(panel, shelf, opened, view)
        made = run(panel_code(panel, view, opened, others))
        # What is beside them, as the names of groups along sequences, helps the page alone.
        xr.testing.assert_equal(
            made.reset_coords(drop=True), shown[list(made)].reset_coords(drop=True)
        )
    shelf.give_back(opened)


@pytest.mark.parametrize("number", ["difference", "usi", "snr", "area", "tracking"])
def test_every_number_of_an_roi(shelf, number):
    view = View(number=number)
    opened = shelf.take(next(iter(shelf.sources)))
    shown = numbers_of("field", shelf, opened, view)
    made = run(panel_code("field", view, opened, []))
    assert list(made) == [number]
    xr.testing.assert_equal(made.reset_coords(drop=True), shown.reset_coords(drop=True))
    shelf.give_back(opened)
