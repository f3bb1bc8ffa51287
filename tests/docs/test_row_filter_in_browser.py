"""The field that searches the rows of the migration page, in a real browser."""

import os
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "_static" / "row_filter.js"
CHROMIUM = os.environ.get("OSCAXR_CHROMIUM") or shutil.which("chromium")
TABLE = """
<section id="{name}"><h2>{name}</h2><table><thead><tr><th>there</th></tr></thead>
<tbody>{rows}</tbody></table></section>
"""
PAGE = """
<article><section><h1>Names</h1><table id="before"><tbody><tr><td>other</td></tr></tbody></table>
<div class="oscaxr-row-filter" data-words="Search"></div>{tables}</section></article>
<script>{script}</script>
"""


def table(name, *rows):
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    return TABLE.format(name=name, rows=cells)


@pytest.fixture
def page(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium (set OSCAXR_CHROMIUM)")
    tables = table("first", "stim_pkl", "pup_data") + table("second", "get_pup_data run", "line")
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(tables=tables, script=SCRIPT.read_text()))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.address = path.as_uri()
        tab.goto(tab.address)
        yield tab
        browser.close()


def seen(page):
    return [row.inner_text() for row in page.query_selector_all("tbody tr") if row.is_visible()]


def test_rows_with_all_words_are_left(page):
    field = page.locator("input[type=search]")
    everything = seen(page)
    assert len(everything) == 5
    field.fill("PUP")
    assert seen(page) == ["other", "pup_data", "get_pup_data run"]
    assert page.locator("output").inner_text() == "2 of 4 rows"
    field.fill("pup run")
    assert seen(page) == ["other", "get_pup_data run"]
    # The heading of a table of which nothing is left goes with it.
    assert not page.locator("#first h2").is_visible()
    field.fill("")
    assert seen(page) == everything
    assert page.locator("#first h2").is_visible()
    page.goto(f"{page.address}?find=stim")
    assert seen(page) == ["other", "stim_pkl"]
