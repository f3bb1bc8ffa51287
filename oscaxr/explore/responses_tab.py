"""The tab of responses: which figures it has, and what they ask for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from oscaxr.explore import numbers
from oscaxr.explore.event_responses import Responses, named
from oscaxr.explore.panel_table import numbers_of
from oscaxr.explore.view import View

if TYPE_CHECKING:
    from oscaxr.explore.application import Page

BOTH: Final[dict[str, Any]] = {"sizing_mode": "stretch_both", "margin": 0}
"""Fills its place."""


# What the axis of a heat map takes of the width, and the bar of the last.
_AXIS: Final = 46
_BAR: Final = 54


def pane(figure: Any) -> Any:
    """Return a figure that fills its place."""
    return pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=2)


class ResponsesTab:
    """Mean responses and heat maps, and what else there is around the same events."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self.figures = made = Responses(page.look, page.ds)
        self._maps = pn.Row(**BOTH)
        behaviour = pn.Column(*(pane(lines.figure) for lines in made.behaviour.values()), **BOTH)
        self.rows = [
            pn.Row(pane(made.mean.figure), self._maps, **BOTH),
            pn.Row(pane(made.trials.figure), behaviour, **BOTH),
        ]

    def show(self) -> None:
        """Ask for what a view shows of responses."""
        page, view = self._page, self._page.view

        def work(report: Any) -> Any:
            means = numbers_of("heat_maps", page.shelf, page.opened, view, report)
            return means, numbers.mean_responses(means, view)

        def done(found: Any) -> None:
            means, mean = found
            if self.figures.show_means(means, mean, view):
                self._maps.objects = self._beside_each_other()
            # What is looked at first is sent, and drawn, before the rest is computed.
            page.soon(lambda: self._show_around(view, named(means)))

        page.ask("responses", view.numbers_key(), work, done, self.figures.say)

    def _beside_each_other(self) -> list[Any]:
        """Return the heat maps, all of one width within their axes and bar."""
        maps = self.figures.maps
        for one in maps:
            extra = _AXIS * one.has_axis + _BAR * (one is maps[-1])
            one.figure.styles = {"flex": f"1 1 {extra}px"}
        return [pane(one.figure) for one in maps]

    def _show_around(self, view: View, names: list[str]) -> None:
        """Ask for what else there is around the same events, unless others are looked at now."""
        page, key = self._page, view.numbers_key()
        if key != page.view.numbers_key():
            return

        def made(panel: str) -> Callable[[Any], Any]:
            return lambda report: numbers_of(panel, page.shelf, page.opened, view, report)

        trials = self.figures.trials
        if view.rois:
            groups = list(view.groups(page.opened.select))
            page.ask(
                "trials", key, made("trials"),
                lambda found: trials.show(found, groups), trials.say,
            )  # fmt: skip
        else:
            page.forget("trials")
            trials.say("choose an ROI: in the field, or by its number")
        page.ask(
            "behaviour", key.changed(rois=()), made("behaviour"),
            lambda found: self.figures.show_behaviour(found, names, view),
            self.figures.say_behaviour,
        )  # fmt: skip
