"""The frame of a served page: a bar above, the widgets beside, the figures in the middle."""

from typing import Any, Final

import panel as pn

from oscaxr.explore.looks import DARK, Look
from oscaxr.explore.widgets import WIDTH

_BAR_HEIGHT: Final = 36
_BAR: Final = {"background": "#1f3a5f", "--bar-text": "#ffffff"}
_TITLE: Final = ":host { font-size: 17px; color: var(--bar-text) !important; }"


def framed(look: Look, above: Any, beside: Any, middle: Any) -> Any:
    """Lay the parts of a page out, over all of the window."""
    title = pn.pane.HTML("oscaxr explore", margin=(7, 12), stylesheets=[_TITLE])
    bar = pn.Row(
        title, above, height=_BAR_HEIGHT, margin=0, sizing_mode="stretch_width", styles=_BAR
    )
    left = pn.Column(
        beside, width=WIDTH + 38, scroll="y-auto", margin=0, sizing_mode="stretch_height",
        styles={"border-right": f"1px solid {look.grid}"},
    )  # fmt: skip
    below = pn.Row(left, middle, margin=0, sizing_mode="stretch_both")
    page = {
        "background": look.background, "color": look.text, "font-family": "sans-serif",
        "color-scheme": "dark" if look is DARK else "light",
    }  # fmt: skip
    return pn.Column(bar, below, margin=0, sizing_mode="stretch_both", styles=page)
