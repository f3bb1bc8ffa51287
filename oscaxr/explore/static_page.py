"""One self-contained page of the present view: figures and their Python, without a server."""

from html import escape
from typing import Any, Final

from bokeh.embed import file_html
from bokeh.layouts import column, row
from bokeh.models import Div
from bokeh.resources import INLINE

from oscaxr.explore.application import Page
from oscaxr.explore.background import Background
from oscaxr.explore.looks import Look, look_of
from oscaxr.explore.opened import Shelf, facts
from oscaxr.explore.panel_table import panels_of
from oscaxr.explore.view import View, read_query

_WIDTH: Final = 1240


def static_page(shelf: Shelf, query: str = "") -> str:
    """Return the HTML of a page of the view that a link's query says, the Python of it below."""
    view = read_query(query)
    if not view.session:
        view = view.changed(session=next(iter(shelf.sources)))
    opened = shelf.take(view.session)
    try:
        view.checked(opened.ds, opened.select)
        page = Page(shelf, opened, view, Background(lambda act: act(), at_once=True))
        for tab in ("session", "responses", "field", "days"):
            if tab != "days" or len(shelf.of_mouse(opened.key)) > 1:
                page.view = view.changed(tab=tab)
                page.refresh()
        return page_html(page, view)
    finally:
        shelf.give_back(opened)


def page_html(page: Page, view: View) -> str:
    """Return the HTML of what a page shows."""
    look = look_of(view.is_dark)
    title = f"{page.opened.title} · {facts(page.ds)}"
    responses = page.responses_tab.figures
    maps_width = (_WIDTH - 500) // max(1, len(responses.maps))
    parts = [
        _words(f"<h2>{escape(title)}</h2>", look),
        *_sized(page.timeline.figures, _WIDTH),
        row(*_sized([responses.mean.figure], 500, 340),
            *_sized([one.figure for one in responses.maps], maps_width, 340)),
        row(*_sized([responses.trials.figure], 620, 340),
            column(*_sized([g.figure for g in responses.behaviour.values()], 600, 170))),
        row(*_sized([page.field_tab.field.figure], 620, 560),
            *_sized([page.field_tab.roi_mean.figure], 600, 360)),
        row(*_sized([page.days.responses.figure, page.days.usi.figure], 610, 340)),
        *_sized([page.days.one], _WIDTH, 300),
    ]  # fmt: skip
    for panel, words in panels_of(view, page.ds).items():
        text = escape(page.code_of(panel))
        parts.append(_words(f"<h3>{words}</h3><pre>{text}</pre>", look))
    html = file_html(
        column(*parts), INLINE, title=f"oscaxr: {page.opened.title}",
        # That a time axis is not drawn anew when it is zoomed into is as it should be.
        suppress_callback_warning=True,
    )  # fmt: skip
    style = f"<style>body {{ background: {look.background}; color: {look.text}; }}</style>"
    # The scripts in it know the word, too; the body comes after them.
    before, head, after = str(html).rpartition("</head>")
    return f"{before}{style}{head}{after}"


def _words(html: str, look: Look) -> Any:
    return Div(text=html, width=_WIDTH, styles={"color": look.text, "font-family": "sans-serif"})


def _sized(figures: list[Any], width: int, height: int | None = None) -> list[Any]:
    for one in figures:
        one.sizing_mode = "fixed"
        one.styles = {}
        one.width = width
        one.height = height or one.height
    return figures
