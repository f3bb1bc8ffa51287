"""One page: widgets, tabs of figures, and what happens when something is chosen."""

from collections.abc import Callable
from functools import cached_property
from html import escape
from typing import Any, Final

import panel as pn

from oscaxr.errors import FormatError, OscaxrError, collected_warnings
from oscaxr.explore import panel_numbers
from oscaxr.explore.background import Background
from oscaxr.explore.days import Days, chosen_tracking_id
from oscaxr.explore.field_tab import FieldTab
from oscaxr.explore.looks import look_of
from oscaxr.explore.numbers import MEAN_DFF
from oscaxr.explore.opened import Opened, Shelf, facts
from oscaxr.explore.panel_table import numbers_of, panel_code, panels_of
from oscaxr.explore.responses_tab import BOTH, ResponsesTab, pane
from oscaxr.explore.session_timeline import Timeline
from oscaxr.explore.takeaway import Takeaway, small_button
from oscaxr.explore.view import View
from oscaxr.explore.widgets import PROBLEM, WIDTH, Controls

TABS: Final = {
    "session": "Session",
    "responses": "Responses",
    "field": "Field",
    "days": "Days",
    "code": "Code",
}
# In the bar above a served page, its colour; in notebooks, that of the rest.
_STATUS: Final = """
:host { font-size: 13px; white-space: nowrap; color: var(--bar-text, inherit) !important; }
"""
_TABS: Final = """
.bk-tab { padding: 3px 10px; font-size: 13px; }
.bk-tab.bk-active { color: inherit; background: none; }
.bk-tab:focus-visible { outline: 2px solid #E69F00; outline-offset: -2px; }
"""
_LIVELY: Final = 40
"""Milliseconds between two drawings."""
_PATIENCE: Final = 500
"""Milliseconds after which people expect an answer, if not yet the figures."""
# It keeps its place, since a page is laid out anew where a part of it comes or goes.
_HIDDEN: Final = ".bk-btn[disabled] { visibility: hidden; }"


class Page:
    """What one person looks at, of one session.

    Parameters
    ----------
    shelf : Shelf
        All sessions there are.
    opened : Opened
        The session that is looked at.
    view : View
        What is shown first.
    background : Background
        Does the work.
    later : callable
        Runs a function after so many milliseconds where the page may be changed.
    told : callable
        Called with each new view, for the link.
    whole : callable, optional
        Returns the HTML of a page that needs no server, of a view.
    """

    def __init__(
        self,
        shelf: Shelf,
        opened: Opened,
        view: View,
        background: Background,
        *,
        later: Callable[[Callable[[], None], int], Any] | None = None,
        told: Callable[[View], None] = lambda view: None,
        whole: Callable[[View], str] | None = None,
    ) -> None:
        self.shelf, self.opened, self.ds = shelf, opened, opened.ds
        self.view = view
        self._background = background
        self._later = later
        self._told = told
        self._shown: dict[str, Any] = {}
        self._redrawing = self._unsaid = False
        self.look = look_of(view.is_dark)
        self.status = pn.pane.HTML("", margin=(9, 5, 4, 5), stylesheets=[_STATUS])
        self.stop = small_button("Stop", disabled=True)
        self.stop.stylesheets = [*self.stop.stylesheets, _HIDDEN]
        self.stop.on_click(lambda _: self._stop())
        self._whole = whole
        self.problem = pn.pane.HTML(
            "", width=WIDTH - 16, visible=False, margin=(2, 5), stylesheets=[PROBLEM]
        )
        self.beside = pn.Column(self.problem, margin=0)
        self._above = pn.Row(height=32, margin=0, align="end")
        self.code = pn.Column(sizing_mode="stretch_both", scroll=True)
        # Filled when they are first turned to.
        self._places = {name: pn.Column(**BOTH) for name in TABS}
        self.tabs = pn.Tabs(
            *((words, self._places[name]) for name, words in TABS.items()),
            active=list(TABS).index(view.tab), dynamic=True, sizing_mode="stretch_both",
            stylesheets=[_TABS],
        )  # fmt: skip
        self.tabs.param.watch(self._turn, "active")
        self.said = pn.Row(self.status, self.stop, margin=0, height=34)
        self.main = pn.Column(
            self._above,
            self.tabs,
            **BOTH,
        )

    @property
    def is_drawn(self) -> bool:
        """Whether the first picture is drawn, and the widgets are there."""
        return bool(self._above.objects)

    def furnish(self) -> None:
        """Add the widgets: the first picture does not wait for them."""
        self.beside.append(self.controls.column)
        self._above.append(self.takeaway.row)
        self.takeaway.offer()

    def say(self, problem: str) -> None:
        """Say what of the view does not fit, or nothing."""
        words = "<br>".join(escape(line) for line in problem.splitlines())
        self.problem.object = f'<div class="oscaxr-problem" role="alert">{words}</div>'
        self.problem.visible = bool(problem)

    @cached_property
    def controls(self) -> Controls:
        """The widgets by which a person chooses."""
        return Controls(self.ds, self.view, self._chosen, self.say)

    @cached_property
    def takeaway(self) -> Takeaway:
        """The buttons by which things are taken along."""
        return Takeaway(self, self._whole)

    @cached_property
    def timeline(self) -> Timeline:
        """The time axis of the session."""
        return self.zoomed(Timeline(self.look, self.ds, self.view.zoom))

    @cached_property
    def responses_tab(self) -> ResponsesTab:
        """The responses to groups of segments."""
        return ResponsesTab(self)

    @cached_property
    def field_tab(self) -> FieldTab:
        """The microscope's field."""
        return FieldTab(self)

    @cached_property
    def days(self) -> Days:
        """Tracked ROIs over the sessions."""
        return Days(self.look)

    def _fill(self, tab: str) -> None:
        """Put the figures of a tab in their places."""
        if self._places[tab].objects:
            return
        if tab == "session":
            parts: list[Any] = [
                pn.pane.Bokeh(one, sizing_mode=one.sizing_mode, margin=0)
                for one in self.timeline.figures
            ]
        elif tab == "responses":
            parts = self.responses_tab.rows
        elif tab == "field":
            one = self.field_tab
            beside = [pane(one.roi_mean.figure), pane(one.timeline.figures[-1])]
            parts = [pn.Row(pane(one.field.figure), pn.Column(*beside, **BOTH), **BOTH)]
        elif tab == "days":
            above = [pane(self.days.responses.figure), pane(self.days.usi.figure)]
            parts = [pn.Row(*above, **BOTH), pane(self.days.one)]
        else:
            parts = [self.code]
        self._places[tab].objects = parts

    # -- what is chosen ---------------------------------------------------------------------------
    def change(self, view: View) -> None:
        """Show another view of the same session."""
        if view == self.view:
            return
        with pn.io.hold():
            if "controls" in vars(self):
                self.controls.show(view)
            self._chosen(view)

    def _chosen(self, view: View) -> None:
        """Show what the widgets say, and only then, beside the figures, what follows from it."""
        # The widgets know nothing of how the time axis is looked at.
        self.view = view.changed(zoom=self.view.zoom)
        # One message to the browser, not one for each figure.
        with pn.io.hold():
            self.refresh()
        self._say_view_after(_PATIENCE if self._background.busy else _LIVELY)

    def _say_view_after(self, wait: int) -> None:
        self._unsaid = True
        if self._later is None:
            self._say_view()
        else:
            self._later(self._say_view, wait)

    def _say_view(self) -> None:
        """Say how many segments the criteria leave, and what the link is."""
        if self._unsaid:
            self._unsaid = False
            with pn.io.hold():
                if "controls" in vars(self):
                    self.controls.count()
                self._told(self.view)

    def _turn(self, event: Any) -> None:
        self.change(self.view.changed(tab=list(TABS)[event.new]))

    def zoomed(self, timeline: Timeline) -> Timeline:
        """Have a time axis drawn anew when another part of it is looked at."""
        timeline.on_zoom(lambda: self._moved(timeline))
        return timeline

    def _moved(self, timeline: Timeline) -> None:
        """Draw a time axis anew, once for many small moves."""
        if not self._redrawing:
            self._redrawing = True

            def redraw() -> None:
                self._redrawing = False
                timeline.redraw()
                self.view = self.view.changed(zoom=timeline.zoom)
                self._say_view_after(_PATIENCE)

            self.soon(redraw)

    def soon(self, act: Callable[[], None]) -> None:
        """Run a function once the browser has drawn what it was sent, if there is a server."""
        if self._later is None:
            act()
        else:
            self._later(act, _LIVELY)

    def refresh(self) -> None:
        """Ask for what the open tab shows, unless it shows it already."""
        problems = self.view.problems(self.ds, self.opened.select)
        self.say("\n".join(problems))
        self._fill(self.view.tab)
        if self.is_drawn:
            self.takeaway.offer()
        if problems:
            return
        getattr(self, f"_show_{self.view.tab}")()

    def ask(self, panel: str, key: Any, work: Callable[..., Any], done: Callable[[Any], None],
             failed: Callable[[str], None] = lambda words: None, *,
             at_once: bool = False) -> None:  # fmt: skip
        """Have work done in the background, unless it was done for the same view.

        What needs no more than to be looked up is done `at_once`.
        """
        if self._shown.get(panel) == key:
            return
        self._shown[panel] = key

        def noted(report: Any) -> Any:
            with collected_warnings() as told:
                found = work(report)
            return found, [words for words, _ in told]

        def finished(found: Any) -> None:
            result, notes = found
            done(result)
            self._tell("; ".join(notes))
            if self._unsaid:
                self.soon(self._say_view)

        def problem(error: Exception) -> None:
            self.forget(panel)
            words = str(error) if isinstance(error, OscaxrError | OSError) else repr(error)
            if isinstance(error, FormatError):
                # The file is not what it was when it was opened.
                self.shelf.forget(self.opened)
                words += "\nLoad the page again to open the session as it is now."
            # First, as it moves all below it: figures that are emptied cannot be drawn meanwhile.
            self.say(words)
            failed(words)
            self._tell("")

        self._background.ask(panel, noted, finished, problem, self._progress, at_once=at_once)
        if self._later is not None and not at_once:
            self._later(lambda: self._lasts(panel), _PATIENCE)

    def forget(self, panel: str) -> None:
        """Have a panel shown anew, though its view is the same."""
        self._shown.pop(panel, None)

    def _lasts(self, panel: str) -> None:
        """Say that work is done, of which nobody says how far it is, and let it be stopped."""
        if self._background.is_busy_with(panel) and self.stop.disabled:
            self.status.object = "computing ..."
            self.stop.disabled = False

    def _progress(self, done: int, total: int) -> None:
        self.status.object = f"computing: {100 * done // max(1, total)} %"
        self.stop.disabled = False

    def _tell(self, words: str) -> None:
        """Say what is to be known of the numbers, when nothing is being computed."""
        if not self._background.busy:
            self.stop.disabled = True
            self.status.object = escape(words) or escape(f"{self.opened.title} · {facts(self.ds)}")

    def _stop(self) -> None:
        self._background.stop()
        self._shown.clear()
        self.stop.disabled = True
        self.status.object = "stopped; choose anything to go on"

    # -- the tabs ---------------------------------------------------------------------------------
    def _show_session(self) -> None:
        opened, view = self.opened, self.view
        self.ask_traces("timeline", self.timeline)
        self.ask(
            "population", opened.key,
            lambda report: numbers_of("population", self.shelf, opened, view, report),
            lambda found: self.timeline.show_population(found[MEAN_DFF]),
            self.timeline.say_population,
        )  # fmt: skip

    def ask_traces(self, panel: str, timeline: Timeline) -> None:
        """Ask for the traces of the chosen ROIs."""
        rois = self.view.rois
        extremes = panel_numbers.extremes(self.opened, rois)
        if extremes is not None and self._shown.get(panel) != rois:
            # All that is seen of a whole recording; the traces follow, for a closer look.
            timeline.show_extremes(extremes)

        def read(report: Any) -> Any:
            return panel_numbers.traces(self.opened, rois)

        self.ask(panel, rois, read, timeline.show_rois)

    def _show_responses(self) -> None:
        self.responses_tab.show()

    def _show_field(self) -> None:
        self.field_tab.show()

    def _show_days(self) -> None:
        view, opened = self.view, self.opened
        chosen = chosen_tracking_id(self.ds, view)
        if "days" not in self._shown:
            self.days.say("comparing the sessions of this mouse ...")

        def work(report: Any) -> Any:
            return numbers_of("days", self.shelf, opened, view, report)

        self.ask(
            "days", view.numbers_key(), work,
            lambda found: self.days.show(found, chosen, view), self.days.say,
        )  # fmt: skip

    def _show_code(self) -> None:
        self._tell("")
        self.code.objects = [
            part
            for panel, words in panels_of(self.view, self.ds).items()
            for part in (pn.pane.Markdown(f"#### {words}", margin=(0, 5)), self._block(panel))
        ]

    def code_of(self, panel: str) -> str:
        """Return the Python that makes the numbers of a panel."""
        keys = self.shelf.of_mouse(self.opened.key)
        others = [self.shelf.sources[key].code for key in keys]
        return panel_code(panel, self.view, self.opened, others)

    def _block(self, panel: str) -> Any:
        text = self.code_of(panel)
        copy = small_button("Copy")
        copy.js_on_click(args={"text": text}, code="navigator.clipboard.writeText(text)")
        block = pn.pane.HTML(
            f'<pre class="oscaxr-code" tabindex="0">{escape(text)}</pre>',
            sizing_mode="stretch_width", margin=(0, 5),
        )  # fmt: skip
        return pn.Column(copy, block, sizing_mode="stretch_width", name=panel)


__all__ = ["TABS", "Page"]
