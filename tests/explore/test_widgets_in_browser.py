"""Every widget, changed once in a real browser: link and numbers are those of the choice."""

import re
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import oscaxr as ox
from explored_page import data, wait_for_data

pytest.importorskip("panel")

from oscaxr.explore.view import read_query

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


CHANGES = {
    "preset": (button("Flow: first of runs"), "first.stimulus=visflow"),
    "compare": (button("one"), "compare=one"),
    "split": (button("split"), "compare=split"),
    "stimulus": (button("visual flow"), "first.stimulus=visflow"),
    "frame": (button("A"), r"first.gabor_frame=(A,D|D,A)"),
    "kappa": (button("16", 1), "second.gabor_kappa=16"),
    "orientation": (button("90"), "first.gabor_mean_orientation=90"),
    "unexpected": (button("unexpected", 1), "second.unexpected=1"),
    "first of runs": (button("first of each run only", 1), "second.run_start=true"),
    "start time": (slid, r"first.start_time=1(\.0)?:\d+"),
    "before": (typed("before (s)", "0.5"), "pre=0.5"),
    "after": (typed("after (s)", "0.7"), "post=0.7"),
    "baseline": (typed("baseline (s)", "0.4"), "baseline=0.4"),
    "edge": (picked("beyond the ends", "fill with NaN"), "edge=nan"),
    "scale": (button("scale"), "scale=true"),
    "statistic": (picked("statistic, error", "median, MAD"), "stat=median&error=mad"),
    "sort": (picked("ROIs sorted by", "the other one"), "sort=other"),
    "sort from": (typed("from (s)", "0.1"), "sort_from=0.1"),
    "sort to": (typed("to (s)", "0.5"), "sort_to=0.5"),
    "rois": (typed("chosen ROIs", "2, 4"), "rois=2,4"),
    "number": (picked("colour ROIs by", "area (px)"), "number=area"),
    "others": (button("masks of other days, registered"), "others=true"),
}


def expected(ds, view):
    found = []
    for criteria in view.groups(ds).values():
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
    act, link = CHANGES[name]
    page.set_default_timeout(10_000)
    page.goto(f"{served.address}?tab=responses")
    wait_for_data(page, "mean_responses")
    page.get_by_label("colour ROIs by", exact=True).wait_for(timeout=20_000)
    page.wait_for_timeout(300)
    act(page)
    page.wait_for_url(lambda url: re.search(link, unquote(url)), timeout=10_000)
    view = read_query(urlsplit(page.url).query)
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        wanted = expected(ds, view)
    for _ in range(40):
        shown = data(page, "mean_responses")["ys"]
        if len(shown) == len(wanted) and all(
            len(one) == len(other) and np.allclose(one, other, equal_nan=True)
            for one, other in zip(shown, wanted, strict=True)
        ):
            break
        page.wait_for_timeout(100)
    assert len(shown) == len(wanted)
    for one, other in zip(shown, wanted, strict=True):
        np.testing.assert_allclose(one, other)
    assert page.wrong == []
