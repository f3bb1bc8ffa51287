"""Which session a page shows: the widget to choose it by, and its exchange for another."""

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn

from oscaxr.errors import OscaxrError
from oscaxr.explore.application import Page
from oscaxr.explore.background import Background, Deliver
from oscaxr.explore.opened import Opened, Shelf
from oscaxr.explore.static_page import static_page
from oscaxr.explore.view import View
from oscaxr.explore.widgets import COMPACT


def alert(title: str, words: str, kind: str) -> Any:
    """Return a box that says something in the page; nothing in it is markup."""
    text = f"<b>{escape(title)}</b><br>{escape(words)}".replace("\n", "<br>")
    return pn.pane.Alert(text, alert_type=kind, sizing_mode="stretch_width")


class SessionChoice:
    """The parts of a page that depend on the session: beside, above and in its middle.

    Parameters
    ----------
    shelf : Shelf
        All sessions there are.
    deliver : callable
        Runs a function where the page may be changed, once it is drawn.
    at_once : bool, optional
        Do the work where it is asked for, as in notebooks.
    told : callable, optional
        Called with each new view, for the link.
    later : callable, optional
        Runs a function after so many milliseconds where the page may be changed.
    """

    def __init__(
        self,
        shelf: Shelf,
        deliver: Deliver,
        *,
        at_once: bool = False,
        told: Callable[[View], None] = lambda view: None,
        later: Callable[[Callable[[], None], int], Any] | None = None,
    ) -> None:
        self._shelf, self._deliver, self._at_once = shelf, deliver, at_once
        self._told, self._later = told, later
        self._opened: Opened | None = None
        self._background: Background | None = None
        self._view = View()
        labels = {source.label: key for key, source in shelf.sources.items()}
        self.select = pn.widgets.Select(
            label="session", options=labels, width=252, margin=(2, 5), stylesheets=[COMPACT]
        )
        notes = [alert("Not all files could be used", note, "warning") for note in shelf.notes]
        self.beside = pn.Column(pn.Column(margin=0), *notes, margin=0)
        self.above = pn.Row(margin=0)
        self.middle = pn.Column(sizing_mode="stretch_both", margin=0)
        self.select.param.watch(self._chosen, "value")

    def _chosen(self, event: Any) -> None:
        if event.new is not None and event.new != self._view.session:
            view = self._view.changed(session=event.new, rois=(), zoom=())
            self.open(view)
            self._tell(view)

    def _tell(self, view: View) -> None:
        # A page that was exchanged for another may still have had something to say.
        if view.session == self._view.session:
            self._view = view
            self._told(view)

    def open(self, view: View, problem: str = "") -> None:
        """Show a session; one that cannot be opened is named, the others stay usable."""
        self.close()
        self._view = view
        if view.session not in self.select.options.values():
            # As one that is chosen, so that each of those that are here can be, too.
            self.select.options = {**self.select.options, f"{view.session}: not here": view.session}
        self.select.value = view.session
        try:
            self._opened = self._shelf.take(view.session)
            page = self._page(self._opened, view)
        except Exception as error:
            # Nothing of the machine is to be seen in the page, as it would be in a traceback.
            source = self._shelf.sources.get(view.session)
            label = view.session if source is None else source.label
            known = isinstance(error, OscaxrError | OSError)
            words = str(error) if known else f"{type(error).__name__}: see where this was started"
            self.middle.objects = [alert(f"{label} cannot be shown", words, "danger")]
            self.beside[0] = pn.Column()
            self.above.objects = []
            if not known:
                raise
            return
        self.middle.objects = [page.main]
        self.above.objects = [page.said]
        self.beside[0] = page.beside
        page.refresh()
        if problem:
            page.say(problem)
        # Once the page is drawn, and behind what waits for that: the first picture comes first.
        self._deliver(lambda: self._deliver(page.furnish))

    def _page(self, opened: Opened, view: View) -> Page:
        self._background = Background(self._deliver, at_once=self._at_once)
        return Page(
            self._shelf,
            opened,
            view,
            self._background,
            later=self._later,
            told=self._tell,
            whole=lambda view: static_page(self._shelf, view.query()),
        )

    def close(self) -> None:
        """Let the session go."""
        if self._background is not None:
            self._background.stop()
        if self._opened is not None:
            self._shelf.give_back(self._opened)
        self._background = self._opened = None
