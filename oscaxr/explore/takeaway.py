"""The row of buttons by which figures, numbers and the page itself are taken along."""

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from oscaxr.errors import OscaxrError
from oscaxr.explore.downloads import FIGURES, NUMBERS, figure_file, numbers_file
from oscaxr.explore.panel_table import PANELS_OF, numbers_of, panels_of
from oscaxr.explore.view import View
from oscaxr.explore.widgets import COMPACT

if TYPE_CHECKING:
    from oscaxr.explore.application import Page

_WORDS: Final = {"png": "PNG", "svg": "SVG", "csv": "CSV", "nc": "netCDF"}


def small_button(name: str, **options: Any) -> Any:
    """Make a button that takes little room."""
    return pn.widgets.Button(label=name, margin=(2, 3), stylesheets=[COMPACT], **options)


class Takeaway:
    """Buttons for the panel that is chosen among those of the open tab."""

    def __init__(self, page: "Page", whole: Callable[[View], str] | None) -> None:
        self._page = page
        self._whole = whole
        self.panel = pn.widgets.Select(width=230, margin=(2, 3), stylesheets=[COMPACT])
        self.buttons = {form: self._button(form) for form in (*FIGURES, *NUMBERS)}
        self.whole = pn.widgets.FileDownload(
            callback=self._static, filename="oscaxr.html", label="Page", width=64, margin=(2, 3),
            stylesheets=[COMPACT], visible=whole is not None,
        )  # fmt: skip
        self.row = pn.Row(self.panel, *self.buttons.values(), self.whole, margin=0)

    def _button(self, form: str) -> Any:
        return pn.widgets.FileDownload(
            callback=self._maker(form), filename=f"oscaxr.{form}", label=_WORDS[form], width=68,
            margin=(2, 3), stylesheets=[COMPACT],
        )  # fmt: skip

    def offer(self) -> None:
        """Offer the panels of the open tab that have something to show."""
        page = self._page
        there = panels_of(page.view, page.ds)
        names = {there[one]: one for one in PANELS_OF[page.view.tab] if one in there}
        if names != self.panel.options:
            chosen = self.panel.value
            self.panel.options = names
            self.panel.value = chosen if chosen in names.values() else next(iter(names.values()))

    def _maker(self, form: str) -> Callable[[], BytesIO]:
        def make() -> BytesIO:
            page, panel = self._page, str(self.panel.value)
            self.buttons[form].filename = f"{panel}.{form}"
            try:
                found = numbers_of(panel, page.shelf, page.opened, page.view)
                if form in NUMBERS:
                    return numbers_file(found, form)
                return figure_file(panel, page.ds, page.view, found, form)
            except (OscaxrError, OSError) as error:
                page.say(str(error))
                raise

        return make

    def _static(self) -> BytesIO:
        assert self._whole is not None
        return BytesIO(self._whole(self._page.view).encode())
