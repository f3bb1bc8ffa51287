"""Pages in Jupyter."""

from typing import Any, Final

import panel as pn

from oscaxr.explore.opened import Shelf
from oscaxr.explore.session_choice import SessionChoice
from oscaxr.explore.view import View

_HEIGHT: Final = 760


def shown(shelf: Shelf) -> Any:
    """Return what shows itself at the end of a cell: widgets, and the tabs beside them."""
    pn.extension(inline=True)
    choice = SessionChoice(shelf, lambda act: act(), at_once=True)
    choice.open(View(session=next(iter(shelf.sources))))
    several = [choice.select] if len(shelf.sources) > 1 else []
    beside = pn.Column(*several, choice.beside, height=_HEIGHT, scroll=True, margin=0)
    return pn.Column(choice.above, pn.Row(beside, choice.middle, height=_HEIGHT))
