"""The page that needs no server: it opens without a network, and shows the numbers."""

import numpy as np
import pytest

import oscaxr as ox
from explored_page import wait_for_data

pytestmark = [pytest.mark.browser]


@pytest.mark.slow
def test_it_needs_no_network(explored_folder, browser, tmp_path):
    pytest.importorskip("panel")
    from oscaxr.explore.opened import shelf_of
    from oscaxr.explore.static_page import static_page

    path = tmp_path / "page.html"
    shelf = shelf_of(explored_folder)
    path.write_text(
        static_page(shelf, "rois=1,3&first.stimulus=gabors&first.gabor_frame=A&shade=dark")
    )
    shelf.close()
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri())
    shown = wait_for_data(page, "mean_responses")
    assert wrong == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 24, 24)"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    with ox.open_session(900000001, datadir=explored_folder) as ds:
        windows = ds.osca.sequences("dff", ds.osca.select(gabor_frame="A"), pre=1, post=1)
        expected = ox.stats(windows, ("sequence", "roi"))["mean"].values
    np.testing.assert_allclose(shown["ys"][0], expected)
    assert "ox.open_session(900000001" in page.content()
    context.close()
