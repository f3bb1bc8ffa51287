"""Pages of odd sessions, without a browser: what there is, is shown; what is not, is said."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from scripted_server import ScriptedServer

pytest.importorskip("panel")

from bokeh.models import Whisker

from oscaxr.errors import OscaxrWarning
from oscaxr.explore import panel_numbers
from oscaxr.explore.application import Page
from oscaxr.explore.background import Background
from oscaxr.explore.days import Days
from oscaxr.explore.event_responses import what_differs
from oscaxr.explore.extremes import PARTS
from oscaxr.explore.looks import look_of
from oscaxr.explore.opened import shelf_of
from oscaxr.explore.view import View


def page_of(what, tab, matches=None, **view):
    shelf = shelf_of(what, matches=matches)
    opened = shelf.take(next(iter(shelf.sources)))
    at_once = Background(lambda act: act(), at_once=True)
    page = Page(shelf, opened, View(session=opened.key, tab=tab, **view), at_once)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OscaxrWarning)
        page.refresh()
    return page


def problem(page):
    return page.problem.object if page.problem.visible else ""


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=5, n_tracked=2, scale=0.05)


FIRST = {"pupil": "session", "masks": "field", "tracking": "code", "all ROIs but one": "responses"}


@pytest.mark.parametrize(
    ("tab", "lacking"),
    [
        pytest.param(tab, lacking, marks=[pytest.mark.slow] * (FIRST.get(lacking) != tab))
        for tab in ("session", "responses", "field", "code")
        for lacking in ("nothing", *FIRST)
    ],
)
def test_what_a_session_lacks_is_said(session, tab, lacking):
    ds = session
    if lacking == "pupil":
        ds = ds.drop_vars([name for name in ds if str(name).startswith("pupil")])
    elif lacking == "masks":
        ds = ds.drop_vars(["roi_mask", "max_projection"])
    elif lacking == "tracking":
        ds = ds.assign_coords(tracking_id=("roi", np.full(5, -1)))
    elif lacking == "all ROIs but one":
        ds = ds.isel(roi=[2])
    page = page_of(ds, tab, rois=(2,))
    assert problem(page) == ""
    if lacking == "pupil" and tab == "session":
        assert "no pupil diameter" in page.timeline._words["pupil_diameter"].text
    if lacking == "pupil" and tab == "responses":
        assert (
            "no pupil diameter"
            in page.responses_tab.figures.behaviour["pupil_diameter"]._words.text
        )
    if tab == "field":
        # Without ROIs to colour, colours mean nothing.
        assert page.field_tab.field._bar.visible is (lacking != "masks")
    if lacking == "masks" and tab == "field":
        assert "no ROI masks" in page.field_tab.field._words.text
    if tab == "responses":
        running = page.responses_tab.figures.behaviour["run_velocity"]
        assert running.figure.title.text == "Running velocity: mean and SEM over sequences"
    if lacking == "all ROIs but one" and tab == "responses":
        assert "one ROI" in page.responses_tab.figures.mean.figure.title.text


@pytest.mark.parametrize(
    ("view", "unit"),
    [
        ({}, "cm/s"),
        ({"scale": True}, "scaled"),
        ({"baseline": 0.5}, "cm/s, less the baseline"),
        ({"scale": True, "baseline": 0.5}, "scaled, less the baseline"),
    ],
    ids=["as recorded", "scaled", "baseline", "both"],
)
def test_running_is_in_the_unit_it_is_shown_in(session, view, unit):
    running = page_of(session, "responses", **view).responses_tab.figures.behaviour["run_velocity"]
    assert running.figure.yaxis.axis_label == unit


def test_an_empty_selection_is_said(session):
    nothing = {"stimulus": "gabors", "gabor_frame": ["U"], "unexpected": [0.0]}
    page = page_of(session, "responses", first=nothing, rois=(1,))
    assert problem(page) == ""
    assert page.responses_tab.figures.mean._lines.data["group"] == ["second (n = 4)"]
    assert page.responses_tab.figures.maps[0]._words.text == "no such segments"
    page = page_of(session, "responses", compare="one", first=nothing, rois=(1,))
    assert "no such segments" in page.responses_tab.figures.mean._words.text
    assert "no such segments" in page.responses_tab.figures.trials._words.text


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"time": slice(0)}, {"pupil_diameter", "mean_dff", "chosen"}),
        ({"stim_time": slice(0)}, {"run_velocity"}),
        ({"roi": slice(0)}, {"mean_dff"}),
    ],
    ids=["frames", "stimulus frames", "ROIs"],
)
def test_a_recording_without_any_is_shown_with_a_gap(session, lacking, said):
    page = page_of(session.isel(lacking), "session", rois=() if "roi" in lacking else (2,))
    assert problem(page) == ""
    shown = {name: words.text for name, words in page.timeline._words.items()}
    shown["chosen"] = page.timeline._roi_words.text.removeprefix("choose ROIs")
    words = "this session has no ROIs" if "roi" in lacking else "this recording has no frames"
    assert {name for name, text in shown.items() if text == words} == said


@pytest.mark.parametrize(
    ("names", "differing"),
    [
        (["Gabor frame A", "Gabor frame B"], ["A", "B"]),
        (["block 1", "block 12"], ["1", "12"]),
        (["nasal flow", "temporal flow"], ["nasal flow", "temporal flow"]),
        (["kappa 4"], ["4"]),
    ],
)
def test_words_that_names_have_in_common_are_left_out(names, differing):
    assert what_differs(names) == differing


@pytest.mark.parametrize(
    ("compare", "by", "groups"),
    [
        pytest.param("one", "gabor_kappa", 1, marks=pytest.mark.slow),
        ("split", "gabor_mean_orientation", 4),
    ],
)
def test_one_selection_and_one_that_is_split(session, compare, by, groups):
    page = page_of(session, "responses", compare=compare, by=by, first={"gabor_frame": ["A"]})
    assert problem(page) == ""
    assert len(page.responses_tab.figures.maps) == groups
    figures = page.responses_tab.figures
    assert len(figures.mean._lines.data["group"]) == groups
    if groups > 2:
        # Narrow maps: what they have in common stands once.
        assert [one.figure.title.text for one in figures.maps] == ["0°", "45°", "90°", "135°"]
        assert [one.figure.yaxis[0].visible for one in figures.maps] == [True, *[False] * 3]


def test_errors_over_days_have_one_colour(session):
    """Also their heads, which are black by themselves, and so unseen in the dark."""
    figures = Days(look_of(is_dark=True))
    for one in (figures.responses, figures.usi):
        (error,) = one.figure.select(Whisker)
        assert {error.lower_head.line_color, error.upper_head.line_color} == {error.line_color}


def test_days_need_several_sessions(session):
    page = page_of(session, "days")
    assert "only one session" in problem(page)
    assert not page.days.usi.figure.legend[0].visible


@pytest.mark.slow
def test_days_of_a_folder(explored_folder):
    page = page_of(explored_folder, "days", rois=(1,))
    assert problem(page) == ""
    assert page.days.usi.figure.legend[0].visible
    assert list(page.days.usi._mean.data["x"]) == [1, 2, 3]
    page.shelf.close()


@pytest.mark.parametrize("number", [pytest.param("usi", marks=pytest.mark.slow), "tracking"])
def test_every_number_colours_the_field(session, number):
    page = page_of(session, "field", number=number)
    assert problem(page) == ""
    colors = page.field_tab.field._source.data["color"]
    assert len(colors) == 5
    assert len(set(colors)) > 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::oscaxr.errors.DroppedFramesWarning")
def test_a_published_matching_file_registers_the_other_days(shared):
    name = "mouse_408021__session_759189643__nway_matched_rois.json"
    shelf = shelf_of(shared / "sessions", matches=shared / "data" / "roi_tracking" / name)
    opened = shelf.take("759189643")
    view = View(session=opened.key, tab="field", others=True)
    page = Page(shelf, opened, view, Background(lambda act: act(), at_once=True))
    page.refresh()
    assert problem(page) == ""
    shown = page.field_tab.field._others.data["session"]
    for key in ("758519303", "759660390"):
        other = shelf.take(key)
        assert shown.count(f"session {key}") == other.ds.sizes["roi"]
        shelf.give_back(other)
    shelf.close()


def test_chosen_rois_have_the_colours_of_their_traces(session):
    page = page_of(session, "field", rois=(3, 1))
    chosen = page.field_tab.field._chosen.data
    assert list(chosen["roi"]) == [3, 1]
    assert chosen["color"] == page.field_tab.timeline._roi_source.data["color"]
    assert len(set(chosen["color"])) == 2


def test_one_trace_has_numbers_at_its_axis_and_several_have_names(session):
    page = page_of(session, "session", rois=(3, 1))
    timeline = page.timeline
    ticker = timeline._roi_axis.ticker
    assert list(timeline._roi_axis.major_label_overrides.values()) == ["ROI 3", "ROI 1"]
    page.change(page.view.changed(rois=(3,)))
    assert timeline._roi_axis.major_label_overrides == {}
    (trace,) = timeline._roi_source.data["ys"]
    # What is between its ends; the browser leaves out what lies beyond.
    inside = [tick for tick in ticker.ticks if np.nanmin(trace) <= tick <= np.nanmax(trace)]
    assert len(inside) >= 2
    # Another ticker would have all models of the page gone through.
    assert timeline._roi_axis.ticker is ticker


def test_traces_are_drawn_from_extremes_that_are_kept(session):
    """What a click shows before any trace is read is what the traces show."""
    page = page_of(session, "session", rois=(3, 1))
    source = page.timeline._roi_source
    whole = {name: list(source.data[name]) for name in ("xs", "ys")}
    assert page.ds.sizes["time"] > 2 * PARTS
    page.timeline.show_rois({})
    page.timeline.show_extremes(panel_numbers.extremes(page.opened, (3, 1)))
    drawn = source.data
    for name in ("xs", "ys"):
        for one, other in zip(drawn[name], whole[name], strict=True):
            np.testing.assert_array_equal(one, other)
    # Nothing is sent to the browser anew when the traces follow.
    page.timeline.show_rois(panel_numbers.traces(page.opened, (3, 1)))
    assert source.data is drawn
    low, high = page.timeline.range.start, page.timeline.range.end
    page.timeline.range.update(start=low, end=low + (high - low) / 20)
    page.timeline.redraw()
    seconds = np.concatenate(source.data["xs"]) * 60
    assert np.isin(seconds.round(6), session.time.values.round(6)).all()


def test_all_is_read_for_one_roi_where_frames_are_in_one_piece(explored_folder, session):
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        # As of a file at real size; one this small is read at once.
        ds["dff"].encoding["preferred_chunks"] = {"time": 100, "roi": ds.sizes["roi"]}
        assert panel_numbers.is_read_for_each_roi(ds)
        # Not of a file on a server: that would be fetched whole.
        ds.encoding["source"] = "https://host/session.nwb"
        assert not panel_numbers.is_read_for_each_roi(ds)
    assert not panel_numbers.is_read_for_each_roi(session)


@pytest.mark.slow
def test_a_session_of_1700_rois():
    ds = ox.sample.session(n_rois=1700, n_tracked=2, scale=0.02)
    for tab in ("session", "responses", "field"):
        page = page_of(ds, tab, rois=(1650,))
        assert problem(page) == ""
    assert len(page.field_tab.field._source.data["xs"]) == 1700
    assert page.field_tab.field._chosen.data["roi"] == [1650]


@pytest.mark.slow
def test_a_session_behind_an_address(explored_folder):
    server = ScriptedServer(next(explored_folder.rglob("*900000001*.nwb")).read_bytes())
    try:
        page = page_of(f"{server.url}/session.nwb", "responses")
        assert problem(page) == ""
        with ox.open_session(900000001, datadir=explored_folder) as ds:
            windows = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
            wanted = ox.stats(windows, ("sequence", "roi"))["mean"].values
        shown = page.responses_tab.figures.mean._lines.data["ys"][1]
        np.testing.assert_allclose(shown, wanted)
        page.shelf.close()
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["original", "zarr", "nc"])
def test_other_forms(form, session, original_folders, tmp_path):
    what = original_folders["soma"]
    if form != "original":
        what = tmp_path / f"session.{form}"
        ox.save(session, what)
    page = page_of(what, "responses")
    assert problem(page) == ""
    assert len(page.responses_tab.figures.mean._lines.data["group"]) == 2
    page.shelf.close()


def test_widgets_say_what_the_view_says(session):
    page = page_of(session, "responses")
    page.controls.second.choices["gabor_kappa"].value = [16.0]
    assert page.view.second["gabor_kappa"] == [16.0]
    page.controls.compare.value = "split"
    page.controls.by.value = "gabor_kappa"
    assert (page.view.compare, page.view.by) == ("split", "gabor_kappa")
    page.controls.rois.value = "1, 3"
    assert page.view.rois == (1, 3)
    page.controls.rois.value = "one"
    assert "numbers" in problem(page)
    page.controls.pre.value = 99.0
    page.controls.rois.value = "1"
    assert "window" in problem(page)
    page.controls.first.stimulus.value = "visflow"
    assert not page.controls.first.choices["gabor_frame"].visible
    assert "gabor_frame" not in page.view.first


def test_counts_are_those_of_explain(session):
    page = page_of(session, "responses", second={"stimulus": "gabors", "gabor_frame": ["U"]})
    _, explanation = ox.select_segments(session, stimulus="gabors", gabor_frame="U", explain=True)
    shown = page.controls.second.counts.object
    for step in explanation:
        assert f"<td>{step.left:,}</td>" in shown


@pytest.mark.slow
def test_masks_of_other_days_are_registered(explored_folder, monkeypatch):
    page = page_of(explored_folder, "field", others=True)
    assert "matching file" in problem(page)
    page.shelf.close()
    shift = np.array([[1, 0, 2.0], [0, 1, -1], [0, 0, 1]])
    matched = xr.Dataset(
        {"matrix": (("source_session", "matrix_row", "matrix_column"), [shift, np.eye(3)])},
        coords={
            "source_session": [2, 3],
            "source_session_id": ("source_session", [900000002, 900000003]),
            "session": 1, "session_id": 900000001,
        },
    )  # fmt: skip
    read = {"matches.json": matched}
    module = sys.modules[shelf_of.__module__]
    monkeypatch.setattr(module, "read_matches", lambda path, **options: read[path])
    page = page_of(explored_folder, "field", matches="matches.json", others=True)
    assert problem(page) == ""
    shown = page.field_tab.field._others.data["session"]
    assert [shown.count(f"session {number}") for number in (2, 3)] == [11, 10]
    page.shelf.close()


@pytest.mark.slow
def test_ticks_and_outlines_may_be_the_first_to_draw():
    """Both import matplotlib, each in a thread of its own."""
    code = """
import sys, threading, time
import numpy as np
from oscaxr.explore.session_timeline import _round_values
problems = []
def outlines():
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        problems.append(error)
thread = threading.Thread(target=outlines)
thread.start()
while "matplotlib" not in sys.modules:
    time.sleep(0)
assert len(_round_values([np.arange(10.0)])) >= 2
thread.join()
assert problems == []
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_link_restores_how_the_time_axis_is_looked_at(session):
    page = page_of(session, "session")
    whole = page.timeline.range.bounds
    assert (page.timeline.range.start, page.timeline.range.end) == whole
    page.timeline.range.start, page.timeline.range.end = 1.0, 2.0
    assert page.view.zoom == (60.0, 120.0)
    # The widgets know nothing of it, and leave it.
    page._chosen(View(session=page.view.session, rois=(1,)))
    link = page.view.query()
    assert link.endswith("rois=1&zoom=60.0:120.0")
    again = page_of(session, "session", zoom=page.view.zoom)
    for timeline in (again.timeline, again.field_tab.timeline):
        assert (timeline.range.start, timeline.range.end) == (1.0, 2.0)
        assert (timeline.range.reset_start, timeline.range.reset_end) == whole
    again.timeline.range.update(start=whole[0], end=whole[1])
    assert again.view.zoom == ()


@pytest.mark.parametrize("zoom", [(1e9, 2e9), (-5.0, -1.0)])
def test_a_part_of_the_time_axis_that_the_session_lacks_shows_all_of_it(session, zoom):
    timeline = page_of(session, "session", zoom=zoom).timeline
    assert (timeline.range.start, timeline.range.end) == timeline.range.bounds


def test_the_bar_of_maps_says_what_the_colours_are(session):
    figures = page_of(session, "responses", scale=True).responses_tab.figures
    (bar,) = figures.maps[-1].figure.right
    assert bar.title == "dF/F, scaled"
