"""One page: widgets, tabs of figures, and what happens when something is chosen."""

from collections.abc import Callable
from functools import cached_property
from html import escape
from typing import Any, Final

import panel as pn

from oscaxr.errors import FormatError, OscaxrError, collected_warnings
from oscaxr.explore import numbers, panel_numbers
from oscaxr.explore.background import Background
from oscaxr.explore.code import panel_code, panels_of
from oscaxr.explore.days import Days
from oscaxr.explore.event_responses import Responses, named
from oscaxr.explore.field_tab import FieldTab
from oscaxr.explore.looks import look_of
from oscaxr.explore.opened import Opened, Shelf, facts, session_title
from oscaxr.explore.session_timeline import Timeline
from oscaxr.explore.takeaway import Takeaway, small_button
from oscaxr.explore.view import View
from oscaxr.explore.widgets import Controls
from oscaxr.model import names as n

TABS: Final = {
    "session": "Session",
    "responses": "Responses",
    "field": "Field",
    "days": "Days",
    "code": "Code",
}
CSS: Final = """
#header { height: 30px; min-height: 30px; padding: 4px 8px; }
#header .title { font-size: 17px; line-height: 22px; }
#content { height: calc(100vh - 38px); }
#sidebar { height: calc(100vh - 46px); padding: 4px 4px 4px 6px; }
#main { padding: 2px 8px; overflow: hidden; }
"""
# In the header of a served page, its colour; in notebooks, that of the rest.
_STATUS: Final = """
:host { font-size: 13px; white-space: nowrap; color: var(--header-color, inherit) !important; }
"""
_LIVELY: Final = 40
"""Milliseconds between two drawings while the time axis is moved."""


_BOTH: Final[dict[str, Any]] = {"sizing_mode": "stretch_both", "margin": 0}


def _pane(figure: Any) -> Any:
    return pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=2)


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
        self._redrawing = False
        self.look = look_of(view.is_dark)
        self.controls = Controls(self.ds, view, self.change)
        self.status = pn.pane.HTML("", margin=(4, 5), stylesheets=[_STATUS])
        self.stop = small_button("Stop", visible=False)
        self.stop.on_click(lambda _: self._stop())
        self.takeaway = Takeaway(self, whole)
        self.code = pn.Column(sizing_mode="stretch_both", scroll=True)
        self._maps = pn.Row(sizing_mode="stretch_both", margin=0)
        # Filled when they are first turned to.
        self._places = {name: pn.Column(**_BOTH) for name in TABS}
        self.tabs = pn.Tabs(
            *((words, self._places[name]) for name, words in TABS.items()),
            active=list(TABS).index(view.tab), dynamic=True, sizing_mode="stretch_both",
        )  # fmt: skip
        self.tabs.param.watch(self._turn, "active")
        self.said = pn.Row(self.status, self.stop, margin=0, height=30)
        self.main = pn.Column(
            pn.Row(pn.Spacer(sizing_mode="stretch_width"), self.takeaway.row, height=32, margin=0),
            self.tabs,
            **_BOTH,
        )

    @cached_property
    def timeline(self) -> Timeline:
        """The time axis of the session."""
        return self.zoomed(Timeline(self.look, self.ds))

    @cached_property
    def responses(self) -> Responses:
        """The responses to groups of segments."""
        return Responses(self.look, self.ds)

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
            behaviour = [_pane(lines.figure) for lines in self.responses.behaviour.values()]
            below = pn.Row(
                _pane(self.responses.trials.figure), pn.Column(*behaviour, **_BOTH), **_BOTH
            )
            parts = [pn.Row(_pane(self.responses.mean.figure), self._maps, **_BOTH), below]
        elif tab == "field":
            one = self.field_tab
            beside = [_pane(one.roi_mean.figure), _pane(one.timeline.figures[-1])]
            parts = [pn.Row(_pane(one.field.figure), pn.Column(*beside, **_BOTH), **_BOTH)]
        elif tab == "days":
            above = [_pane(self.days.responses.figure), _pane(self.days.usi.figure)]
            parts = [pn.Row(*above, **_BOTH), _pane(self.days.one)]
        else:
            parts = [self.code]
        self._places[tab].objects = parts

    # -- what is chosen ---------------------------------------------------------------------------
    def change(self, view: View) -> None:
        """Show another view of the same session."""
        if view == self.view:
            return
        self.view = view
        # One message to the browser, not one for each widget.
        with pn.io.hold():
            self.refresh()
            self.controls.show(view)
            self._told(view)

    def _turn(self, event: Any) -> None:
        self.change(self.view.changed(tab=list(TABS)[event.new]))

    def zoomed(self, timeline: Timeline) -> Timeline:
        """Have a time axis drawn anew when another part of it is looked at."""
        timeline.on_zoom(lambda: self._moved(timeline))
        return timeline

    def _moved(self, timeline: Timeline) -> None:
        """Draw a time axis anew, once for many small moves."""
        if self._later is None:
            timeline.redraw()
        elif not self._redrawing:
            self._redrawing = True

            def redraw() -> None:
                self._redrawing = False
                timeline.redraw()

            self._later(redraw, _LIVELY)

    def refresh(self) -> None:
        """Ask for what the open tab shows, unless it shows it already."""
        problems = self.view.problems(self.ds)
        self.controls.say("\n".join(problems))
        self._fill(self.view.tab)
        self.takeaway.offer()
        if problems:
            return
        getattr(self, f"_show_{self.view.tab}")()

    def ask(self, panel: str, key: Any, work: Callable[..., Any], done: Callable[[Any], None],
             failed: Callable[[str], None] = lambda words: None) -> None:  # fmt: skip
        """Have work done in the background, unless it was done for the same view."""
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

        def problem(error: Exception) -> None:
            self.forget(panel)
            words = str(error) if isinstance(error, OscaxrError | OSError) else repr(error)
            if isinstance(error, FormatError):
                # The file is not what it was when it was opened.
                self.shelf.forget(self.opened)
                words += "\nLoad the page again to open the session as it is now."
            failed(words)
            self.controls.say(words)
            self._tell("")

        self._background.ask(panel, noted, finished, problem, self._progress)

    def forget(self, panel: str) -> None:
        """Have a panel shown anew, though its view is the same."""
        self._shown.pop(panel, None)

    def _progress(self, done: int, total: int) -> None:
        self.status.object = f"computing: {100 * done // max(1, total)} %"
        self.stop.visible = True

    def _tell(self, words: str) -> None:
        """Say what is to be known of the numbers, when nothing is being computed."""
        if not self._background.busy:
            self.stop.visible = False
            self.status.object = escape(words) or escape(
                f"{session_title(self.ds)} · {facts(self.ds)}"
            )

    def _stop(self) -> None:
        self._background.stop()
        self._shown.clear()
        self.stop.visible = False
        self.status.object = "stopped; choose anything to go on"

    # -- the tabs ---------------------------------------------------------------------------------
    def _show_session(self) -> None:
        opened, view = self.opened, self.view
        self.ask_traces("timeline", self.timeline)
        self.ask(
            "population", opened.key,
            lambda report: panel_numbers.numbers_of("population", self.shelf, opened, view, report),
            lambda found: self.timeline.show_population(found["mean_dff"]),
            self.timeline.say_population,
        )  # fmt: skip

    def ask_traces(self, panel: str, timeline: Timeline) -> None:
        """Ask for the traces of the chosen ROIs."""
        rois = self.view.rois

        def read(report: Any) -> Any:
            return {roi: panel_numbers.roi_trace(self.opened, roi).values for roi in rois}

        self.ask(panel, rois, read, timeline.show_rois)

    def _show_responses(self) -> None:
        view, opened = self.view, self.opened
        groups = view.groups(self.ds)

        def work(report: Any) -> Any:
            means = panel_numbers.numbers_of("heat_maps", self.shelf, opened, view, report)
            behaviour = panel_numbers.numbers_of("behaviour", self.shelf, opened, view, report)
            trials = None
            if view.rois:
                trials = panel_numbers.numbers_of("trials", self.shelf, opened, view, report)
            mean = numbers.mean_responses(means, view)
            return means, mean, behaviour, trials

        def done(found: Any) -> None:
            means, mean, behaviour, trials = found
            if self.responses.show_means(means, mean, view):
                self._maps.objects = [_pane(one.figure) for one in self.responses.maps]
            self.responses.show_behaviour(behaviour, named(means))
            if trials is None:
                self.responses.trials.say("choose an ROI: in the field, or by its number")
            else:
                self.responses.trials.show(trials, list(groups))

        key = view.numbers_key()
        self.ask("responses", key, work, done, self.responses.say)

    def _show_field(self) -> None:
        self.field_tab.show()

    def _show_days(self) -> None:
        view, opened = self.view, self.opened
        chosen = self._tracking_id()
        if "days" not in self._shown:
            self.days.say("comparing the sessions of this mouse ...")

        def work(report: Any) -> Any:
            return panel_numbers.numbers_of("days", self.shelf, opened, view, report)

        self.ask(
            "days", view.numbers_key(), work,
            lambda found: self.days.show(found, chosen, view), self.days.say,
        )  # fmt: skip

    def _tracking_id(self) -> int | None:
        """Return the tracking id of the first chosen ROI, if it is tracked."""
        for roi in self.view.rois:
            number = int(self.ds[n.TRACKING_ID].sel({n.ROI: roi}))
            if number != n.UNTRACKED:
                return number
        return None

    def _show_code(self) -> None:
        self.code.objects = [
            part
            for panel, words in panels_of(self.view, self.ds).items()
            for part in (pn.pane.Markdown(f"#### {words}", margin=(0, 5)), self._block(panel))
        ]

    def code_of(self, panel: str) -> str:
        """Return the Python that makes the numbers of a panel."""
        keys = self.shelf.of_mouse(self.opened.key)
        others = [self.shelf.sources[key].code for key in keys]
        return panel_code(panel, self.view, self.ds, self.opened.source.code, others)

    def _block(self, panel: str) -> Any:
        text = self.code_of(panel)
        copy = small_button("Copy")
        copy.js_on_click(args={"text": text}, code="navigator.clipboard.writeText(text)")
        block = pn.pane.HTML(
            f'<pre class="oscaxr-code" tabindex="0">{escape(text)}</pre>',
            sizing_mode="stretch_width", margin=(0, 5),
        )  # fmt: skip
        return pn.Column(copy, block, sizing_mode="stretch_width", name=panel)


__all__ = ["CSS", "TABS", "Page"]
