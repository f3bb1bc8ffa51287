"""The served page, in a real browser: it loads, reacts, and asks nothing of the outside."""

import gc
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import oscaxr as ox
from explored_page import click_roi, data, wait_for_data

pytestmark = [pytest.mark.browser]

FIGURE = ".bk-Figure"
STATM = Path("/proc/self/statm")
NO_WORDS = """
start => Bokeh.documents.every(one => [...one._all_models.values()].every(
    model => model.type !== "Label" || !model.text.startsWith(start)))
"""


TIME_RANGE = """
() => Bokeh.documents.flatMap(one => [...one._all_models.values()])
    .filter(model => model.name === "time_range").map(one => [one.start, one.end])[0]
"""


def is_inside(url, served):
    own = served.address.removeprefix("http://")
    return url.startswith((f"http://{own}", f"ws://{own}", "data:", "blob:"))


@pytest.mark.slow
def test_every_tab_shows_its_figures(served, page):
    page.goto(f"{served.address}?rois=1,2")
    page.wait_for_selector(FIGURE, timeout=30_000)
    for tab in ("Responses", "Field", "Days", "Code", "Session"):
        page.get_by_text(tab, exact=True).click()
        page.wait_for_selector(".oscaxr-code" if tab == "Code" else FIGURE, timeout=20_000)
        if tab != "Session":
            page.wait_for_url(re.compile(f"tab={tab.lower()}"), timeout=10_000)
        if tab == "Days":
            assert list(wait_for_data(page, "days_usi", "x")["x"]) == [1, 2, 3]
            page.wait_for_function(NO_WORDS, arg="comparing", timeout=5_000)
    assert page.wrong == []
    assert [url for url in page.asked if not is_inside(url, served)] == []


def expected_means(folder, **second):
    with ox.open_session(900000001, datadir=folder) as ds:
        groups = [
            ds.osca.select(stimulus="gabors", gabor_frame="D"),
            ds.osca.select(stimulus="gabors", gabor_frame="U", **second),
        ]
        windows = [ds.osca.sequences("dff", one, pre=1, post=1) for one in groups]
        return [ox.stats(one, ("sequence", "roi"))["mean"].values for one in windows]


@pytest.mark.slow
def test_the_time_axis_is_zoomed_into_and_a_link_restores_it(served, page, explored_folder):
    page.goto(served.address)
    whole = wait_for_data(page, "trace run_velocity", "x")
    before = page.evaluate(TIME_RANGE)
    # The figure of running is the second.
    box = page.locator(FIGURE).nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -1500)
    page.wait_for_url(re.compile("zoom="), timeout=10_000)
    page.wait_for_timeout(800)
    start, end = page.evaluate(TIME_RANGE)
    assert before[0] < start < end < before[1]
    # Where fewer frames are seen, they are not decimated any more.
    shown = data(page, "trace run_velocity")
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        minutes = ds.stim_time.values / 60
        inside = ds.run_velocity.values[(minutes >= start) & (minutes <= end)]
    own = [y for x, y in zip(shown["x"], shown["y"], strict=True) if start <= x <= end]
    assert np.nanmax(own) == pytest.approx(np.nanmax(inside))
    assert np.nanmin(own) == pytest.approx(np.nanmin(inside))
    assert max(np.diff(shown["x"])) < max(np.diff(whole["x"]))
    page.goto(page.url)
    wait_for_data(page, "trace run_velocity", "x")
    np.testing.assert_allclose(page.evaluate(TIME_RANGE), [start, end], atol=0.1 / 60)
    assert page.wrong == []


@pytest.mark.slow
def test_the_numbers_are_the_library_s_and_criteria_change_them(served, page, explored_folder):
    page.goto(f"{served.address}?tab=responses")
    shown = wait_for_data(page, "mean_responses")
    np.testing.assert_allclose(shown["ys"], expected_means(explored_folder))
    # The second selection's, of the two that there are.
    page.get_by_role("button", name="16", exact=True).nth(1).click()
    page.wait_for_url(re.compile("second.gabor_kappa=16"))
    page.wait_for_timeout(600)
    shown = data(page, "mean_responses")
    np.testing.assert_allclose(shown["ys"], expected_means(explored_folder, gabor_kappa=16))
    assert page.wrong == []


@pytest.mark.slow
def test_a_click_on_an_roi_chooses_it(served, page, explored_folder):
    page.goto(f"{served.address}?tab=field")
    wait_for_data(page, "field", "roi")
    page.wait_for_timeout(500)
    click_roi(page, 4)
    shown = wait_for_data(page, "roi_mean")
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        windows = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
        np.testing.assert_allclose(shown["ys"][1], windows.sel(roi=4).mean("sequence").values)
        trace = wait_for_data(page, "roi_traces")
        assert np.nanmax(trace["ys"][0]) == pytest.approx(float(ds.dff.sel(roi=4).max()))
    page.wait_for_url(re.compile("rois=4"), timeout=10_000)
    # One more with Shift.
    page.keyboard.down("Shift")
    click_roi(page, 1)
    page.keyboard.up("Shift")
    page.wait_for_url(re.compile("rois=(4,1|1,4)(&|$)"), timeout=10_000)


@pytest.mark.slow
def test_the_copied_code_runs(served, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{served.address}?tab=code")
    page.wait_for_selector(".oscaxr-code", timeout=20_000)
    # That of the mean response.
    page.get_by_role("button", name="Copy").nth(4).click()
    copied = page.evaluate("navigator.clipboard.readText()")
    names = {}
    exec(copied, names)
    assert names["numbers"].sizes["group"] == 2


@pytest.mark.slow
def test_two_tabs_are_two_views(served, browser, page):
    page.goto(f"{served.address}?tab=responses")
    other = browser.new_page()
    other.goto(f"{served.address}?tab=responses&pre=0.5")
    first, second = wait_for_data(page, "mean_responses"), wait_for_data(other, "mean_responses")
    assert len(second["xs"][0]) < len(first["xs"][0])
    other.close()


@pytest.mark.slow
def test_an_odd_link_says_what_is_wrong_with_it(served, page):
    page.goto(f"{served.address}?tab=cellar&first.colour=red")
    page.get_by_role("alert").wait_for(timeout=20_000)
    said = page.get_by_role("alert").inner_text()
    assert "cellar" in said
    assert "colour" in said


@pytest.mark.slow
def test_a_session_that_is_not_here_is_named_and_the_others_are_usable(served, page):
    page.goto(f"{served.address}?session=12345")
    page.get_by_text("12345 cannot be shown").wait_for(timeout=20_000)
    assert "Traceback" not in page.content()
    # None is chosen, so that the first can be, too.
    choice = page.get_by_role("combobox").first
    choice.select_option(label="mouse 900001, session 1 (900000001)")
    page.wait_for_selector(FIGURE, timeout=20_000)


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "static/../../../../../../etc/passwd",
        "static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "components/../../../../etc/passwd",
        "components/os/path/%2fetc%2fpasswd",
        "static/extensions/panel/%2fetc%2fpasswd",
    ],
)
def test_no_file_of_the_machine_is_served(served, path):
    try:
        with urllib.request.urlopen(f"{served.address}{path}", timeout=10) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        text = error.read()
    assert b"root:" not in text


def test_another_site_may_not_talk_to_it(served):
    place = served.address.split("/")[2]
    connection = http.client.HTTPConnection(place, timeout=10)
    connection.request(
        "GET", "/ws",
        headers={
            "Origin": "http://example.org",
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "bokeh, x",
        },
    )  # fmt: skip
    assert connection.getresponse().status == 403
    connection.close()


def test_it_listens_to_this_computer_alone(served):
    addresses = [s.getsockname()[0] for s in served.server._http._sockets.values()]
    assert addresses == ["127.0.0.1"]


def assert_soon(is_so, seconds):
    """Wait for what happens by itself; a busy machine may take its time."""
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.25)
    assert is_so()


def pages_of(shelf):
    from oscaxr.explore.application import Page

    gc.collect()
    return sum(isinstance(one, Page) and one.shelf is shelf for one in gc.get_objects())


@pytest.mark.slow
def test_tabs_that_are_closed_let_their_sessions_go(served, browser, open_files, explored_folder):
    """Ten sessions in turn: neither files nor pages pile up."""
    keys = list(served.shelf.sources)
    for number in range(10):
        tab = browser.new_page()
        tab.goto(f"{served.address}?tab=responses&session={keys[number % 3]}")
        wait_for_data(tab, "mean_responses")
        tab.close()
    # The server lets go of the tabs some seconds after it hears that they are closed.
    assert_soon(lambda: not served.server.get_sessions("/"), seconds=90)
    assert_soon(lambda: pages_of(served.shelf) == 0, seconds=20)
    assert served.shelf.n_open <= 1
    assert len(open_files(explored_folder)) <= 1


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="this system does not say how much memory is used")
def test_sessions_that_are_opened_in_turn_take_no_more_memory(served, page):
    page.goto(f"{served.address}?tab=field&rois=1")
    wait_for_data(page, "roi_traces", "xs")
    keys, used = list(served.shelf.sources), []
    for number in range(1, 16):
        page.get_by_label("session", exact=True).select_option(index=number % 3)
        page.wait_for_url(re.compile(f"session={keys[number % 3]}"), timeout=20_000)
        wait_for_data(page, "field", "roi", number=-1)
        gc.collect()
        used.append(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    # The first ones also load what all of them need.
    assert max(used[-5:]) - max(used[3:8]) < 12
    assert served.shelf.n_open <= 2


def overwrite(path):
    path.write_bytes(b"something else" * 10_000)


def replace(path):
    other = next(path.parents[1].rglob("*900000002*.nwb"))
    shutil.copy(other, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@pytest.mark.slow
@pytest.mark.parametrize("change", [overwrite, replace])
def test_a_file_that_is_changed_is_said(explored_folder, tmp_path, serve, page, change):
    folder = tmp_path / "data"
    shutil.copytree(explored_folder, folder)
    path = next(folder.rglob("*900000001*.nwb"))
    served = serve(folder)
    page.goto(f"{served.address}?tab=responses")
    wait_for_data(page, "mean_responses")
    change(path)
    page.get_by_role("button", name="A", exact=True).nth(1).click()
    page.get_by_role("alert").get_by_text("Load the page again").wait_for(timeout=20_000)
    assert page.wrong == []
    shutil.copy(next(explored_folder.rglob("*900000001*.nwb")), path)
    page.reload()
    shown = wait_for_data(page, "mean_responses")
    assert len(shown["ys"]) == 2
