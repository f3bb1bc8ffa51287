"""Every widget, changed once in a real browser: link and numbers are those of the choice."""

import re
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from explored_page import data, wait_for_data

pytest.importorskip("panel")

import panel as pn

from oscaxr.explore.view import View, read_query
from oscaxr.explore.widgets import Controls
from oscaxr.model.schema import SESSION

pytestmark = [pytest.mark.browser]


def button(name, number=0):
    return lambda page: page.get_by_role("button", name=name, exact=True).nth(number).click()


def picked(label, choice):
    return lambda page: page.get_by_label(label, exact=True).first.select_option(label=choice)


def typed(label, text):
    def type_into(page):
        field = page.get_by_label(label, exact=True).first
        field.fill(text)
        field.press("Enter")

    return type_into


def slid(page):
    """One step with the keyboard: the first of the slider's handles."""
    page.locator(".noUi-handle-lower").first.press("ArrowRight")


FLOW = "&compare=one&first.stimulus=visflow"

# By label: what is done, what the link says then, and what is looked at before.
CHANGES = {
    "Gabors: D, U": (button("Gabors: D, U"), "^(?!.*(first|second)[.])", "&second.gabor_frame=A"),
    "Flow: first of runs": (button("Flow: first of runs"), "first.stimulus=visflow"),
    "compare": (button("one"), "compare=one"),
    "split by": (picked("split by", "kappa"), "by=gabor_kappa", "&compare=split"),
    "stimulus": (button("visual flow"), "first.stimulus=visflow"),
    "gabor_frame": (button("A"), r"first.gabor_frame=(A,D|D,A)"),
    "gabor_kappa": (button("16", 1), "second.gabor_kappa=16"),
    "gabor_mean_orientation": (button("90"), "first.gabor_mean_orientation=90"),
    "main_flow_direction": (button("nasal"), r"first.main_flow_direction=left.\(nasal\)", FLOW),
    "square_size": (button("128"), "first.square_size=128", FLOW),
    "unexpected": (button("unexpected", 1), "second.unexpected=1"),
    "first of each run only": (button("first of each run only", 1), "second.run_start=true"),
    "block": (button("3"), "first.block=3", FLOW),
    "start time (s)": (slid, r"first.start_time=1(\.0)?:\d+"),
    "before (s)": (typed("before (s)", "0.5"), "pre=0.5"),
    "after (s)": (typed("after (s)", "0.7"), "post=0.7"),
    "baseline (s)": (typed("baseline (s)", "0.4"), "baseline=0.4"),
    "beyond the ends": (picked("beyond the ends", "fill with NaN"), "edge=nan"),
    "scale": (button("scale"), "scale=true"),
    "statistic, error": (picked("statistic, error", "median, MAD"), "stat=median&error=mad"),
    "ROIs sorted by": (picked("ROIs sorted by", "the other one"), "sort=other"),
    "from (s)": (typed("from (s)", "0.1"), "sort_from=0.1"),
    "to (s)": (typed("to (s)", "0.5"), "sort_to=0.5"),
    "chosen ROIs": (typed("chosen ROIs", "2, 4"), "rois=2,4"),
    "colour ROIs by": (picked("colour ROIs by", "area (px)"), "number=area"),
    "masks of other days, registered": (
        button("masks of other days, registered"), "others=true",
    ),
}  # fmt: skip


def test_every_widget_is_changed_by_a_test(memory_session):
    controls = Controls(memory_session, View(), lambda view: None, lambda problem: None)
    labels = {one.label for one in controls.column.select(pn.widgets.WidgetBase)}
    columns = {SESSION[name].long_name: name for name in controls.first.choices}
    assert {columns.get(label, label) for label in labels} == set(CHANGES)


def expected(ds, view):
    found = []
    for criteria in view.groups(lambda criteria: ds.osca.select(**criteria)).values():
        windows = ds.osca.sequences(
            "dff", ds.osca.select(**criteria),
            pre=view.pre, post=view.post, edge=view.edge, scale=view.scale,
        )  # fmt: skip
        means = ox.stats(windows, "sequence", view.stat, None)
        means = ox.baseline(means, view.baseline) if view.baseline else means
        over_rois = ox.stats(means[view.stat], "roi", view.stat, view.error)[view.stat].values
        found += [over_rois] if np.isfinite(over_rois).any() else []
    return found


@pytest.mark.filterwarnings("ignore::oscaxr.errors.OscaxrWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_widget_changes_the_link_and_the_numbers(served, page, explored_folder, name):
    act, link, *before = CHANGES[name]
    page.set_default_timeout(10_000)
    page.goto(f"{served.address}?tab=responses{''.join(before)}")
    wait_for_data(page, "mean_responses")
    page.get_by_label("colour ROIs by", exact=True).wait_for(timeout=20_000)
    page.wait_for_timeout(300)
    act(page)
    page.wait_for_url(lambda url: re.search(link, unquote(url)), timeout=10_000)
    view = read_query(urlsplit(page.url).query)
    assert_shows(page, explored_folder, view)
    assert page.wrong == []


def assert_shows(page, folder, view):
    """The page comes to show the mean responses of a view, as the library has them."""
    with ox.open_session(int(view.session or 900000001), datadir=folder) as ds:
        wanted = expected(ds, view)
    for _ in range(100):
        # The last, where a session was exchanged for another.
        shown = data(page, "mean_responses", -1)["ys"]
        if len(shown) == len(wanted) and all(
            len(one) == len(other) and np.allclose(one, other, equal_nan=True)
            for one, other in zip(shown, wanted, strict=True)
        ):
            break
        page.wait_for_timeout(100)
    assert len(shown) == len(wanted)
    for one, other in zip(shown, wanted, strict=True):
        np.testing.assert_allclose(one, other)


@pytest.mark.slow
def test_another_session_and_another_shade(served, page, explored_folder):
    page.goto(f"{served.address}?tab=responses&pre=0.5")
    wait_for_data(page, "mean_responses")
    page.get_by_label("session", exact=True).select_option(index=1)
    page.wait_for_url(re.compile("session=900000002"), timeout=10_000)
    wait_for_data(page, "mean_responses")
    assert_shows(page, explored_folder, read_query(urlsplit(page.url).query))
    page.get_by_role("button", name="Dark", exact=True).click()
    page.wait_for_url(re.compile("shade=dark"), timeout=10_000)
    wait_for_data(page, "mean_responses")
    view = read_query(urlsplit(page.url).query)
    assert (view.session, view.pre, view.tab) == ("900000002", 0.5, "responses")
    page.get_by_role("button", name="Light", exact=True).wait_for(timeout=10_000)
    assert page.wrong == []


@pytest.mark.slow
def test_two_tabs_change_at_the_same_time(served, browser, page, explored_folder):
    other = browser.new_page(viewport={"width": 1280, "height": 800})
    tabs = page, other
    for tab in tabs:
        tab.goto(f"{served.address}?tab=responses")
        wait_for_data(tab, "mean_responses")
        tab.get_by_label("colour ROIs by", exact=True).wait_for(timeout=20_000)
    for number in range(3):
        # Neither waits for the other.
        for tab, names in zip(tabs, (("A", "B", "C"), ("45", "90", "135")), strict=True):
            button(names[number])(tab)
    # The last choice is in the link: D, A, B, C in one, three orientations in the other.
    for tab, commas in zip(tabs, (3, 2), strict=True):
        tab.wait_for_url(lambda url, many=commas: url.count(",") == many, timeout=10_000)
        assert_shows(tab, explored_folder, read_query(urlsplit(tab.url).query))
    views = [read_query(urlsplit(tab.url).query) for tab in tabs]
    assert sorted(views[0].first["gabor_frame"]) == ["A", "B", "C", "D"]
    assert sorted(views[1].first["gabor_mean_orientation"]) == [45.0, 90.0, 135.0]
    other.close()


@pytest.mark.slow
def test_what_is_taken_along_holds_what_is_shown(served, page, explored_folder, tmp_path):
    page.goto(f"{served.address}?tab=responses")
    wait_for_data(page, "mean_responses")
    page.get_by_role("button", name="CSV").or_(page.get_by_text("CSV")).first.wait_for()
    files = {}
    for form, words in (("csv", "CSV"), ("nc", "netCDF"), ("png", "PNG"), ("svg", "SVG")):
        with page.expect_download(timeout=20_000) as taken:
            page.get_by_text(words, exact=True).first.click()
        files[form] = tmp_path / f"{form}.{form}"
        taken.value.save_as(files[form])
        assert taken.value.suggested_filename == f"mean_responses.{form}"
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        wanted = expected(ds, View())
    table = pd.read_csv(files["csv"])
    for one, (_, rows) in zip(wanted, table.groupby("group", sort=False), strict=True):
        np.testing.assert_allclose(rows["mean"], one)
    with xr.open_dataset(files["nc"]) as numbers:
        np.testing.assert_array_equal(numbers["mean"].values, wanted)
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in files["svg"].read_text()
    assert page.wrong == []
