"""Pages in Jupyter."""

from typing import Any

import panel as pn

from oscaxr.explore.application import CSS, Page
from oscaxr.explore.background import Background
from oscaxr.explore.opened import Shelf
from oscaxr.explore.view import View


def shown(shelf: Shelf) -> Any:
    """Return what shows itself at the end of a cell: widgets, and the tabs beside them."""
    pn.extension(raw_css=[CSS], inline=True)
    opened = shelf.take(next(iter(shelf.sources)))
    page = Page(
        shelf, opened, View(session=opened.key), Background(lambda act: act(), at_once=True)
    )
    page.refresh()
    page.main.height = 760
    return pn.Column(page.said, pn.Row(page.controls.column, page.main))
