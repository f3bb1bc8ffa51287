"""The served page, in a real browser: it loads, reacts, and asks nothing of the outside."""

import pytest

pytestmark = [pytest.mark.browser]

FIGURE = ".bk-Figure"


def test_every_tab_shows_its_figures(served, page):
    page.goto(f"{served.address}?rois=1,2")
    page.wait_for_selector(FIGURE, timeout=20_000)
    for tab in ("Responses", "Field", "Days", "Code", "Session"):
        page.get_by_text(tab, exact=True).click()
        page.wait_for_selector(".oscaxr-code" if tab == "Code" else FIGURE, timeout=20_000)
        assert f"tab={tab.lower()}" in page.url or tab == "Session"
    assert page.wrong == []
    outside = [url for url in page.asked if not url.startswith(served.address)]
    assert [
        url for url in outside if not url.startswith(("data:", "blob:", "ws://127.0.0.1"))
    ] == []
