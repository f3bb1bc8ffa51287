"""The tab of the field: which figures it has, and what they ask for."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from oscaxr.errors import CriterionError
from oscaxr.explore import panel_numbers
from oscaxr.explore.event_responses import dff_label, named
from oscaxr.explore.field_view import Field, outlines, registered_outlines
from oscaxr.explore.looks import GroupLines
from oscaxr.explore.panel_table import numbers_of
from oscaxr.explore.session_timeline import Timeline
from oscaxr.model import names as n

if TYPE_CHECKING:
    from oscaxr.explore.application import Page


class FieldTab:
    """The field, and beside it the responses and traces of the chosen ROIs."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self.field = Field(page.look, page.ds)
        self.field.on_choice(lambda rois: page.change(page.view.changed(rois=rois)))
        self.roi_mean = GroupLines(page.look, "Responses of the chosen ROI", "roi_mean")
        self.timeline = page.zoomed(Timeline(page.look, page.ds, page.view.zoom))

    def show(self) -> None:
        """Ask for what the view shows of the field."""
        page, view = self._page, self._page.view
        if n.ROI_MASK not in page.ds:
            self.field.say("this session has no ROI masks")
        else:
            page.ask(
                "outlines", page.opened.key,
                lambda report: page.opened.kept.of("outlines", lambda: outlines(page.ds)),
                self._outlined, self.field.say,
            )  # fmt: skip
        self.field.mark(view.rois)
        page.ask(
            "roi_mean", view.numbers_key(),
            lambda report: panel_numbers.group_means(page.opened, view, report),
            self._show_roi, self.roi_mean.say,
            at_once=page.is_drawn and panel_numbers.are_means_kept(page.opened, view),
        )  # fmt: skip
        page.ask_traces("roi_timeline", self.timeline)
        self._color()
        page.ask("others", view.others, self._others, self.field.show_others)
        if panel_numbers.is_read_for_each_roi(page.ds):
            # Once for all ROIs that will be clicked on.
            page.ask(
                "extremes", page.opened.key,
                lambda report: panel_numbers.whole(page.opened, report), lambda found: None,
            )  # fmt: skip

    def _outlined(self, found: Any) -> None:
        self.field.show_outlines(found)
        self._page.forget("field")
        self._color()
        self.field.mark(self._page.view.rois)

    def _color(self) -> None:
        page, view = self._page, self._page.view
        page.ask(
            "field", view.numbers_key().changed(rois=(), number=view.number),
            lambda report: numbers_of("field", page.shelf, page.opened, view, report),
            lambda found: self.field.show_numbers(
                view.number, found[view.number].values, found[n.ROI].values
            ),
        )  # fmt: skip

    def _show_roi(self, means: Any) -> None:
        view = self._page.view
        if not view.rois:
            self.roi_mean.say("choose an ROI: click on it")
            return
        if view.rois[-1] not in means[n.ROI].values:
            self.roi_mean.say(f"ROI {view.rois[-1]} is listed as invalid")
            return
        middle = means.sel({n.ROI: view.rois[-1]})[view.stat]
        shown = middle.to_dataset(name="mean").assign(sem=middle * float("nan"))
        self.roi_mean.show(shown, named(means), label=dff_label(view))
        self.roi_mean.figure.title.text = f"ROI {view.rois[-1]}: {view.stat} over sequences"
        self.roi_mean.window.update(left=view.sort_from, right=view.sort_to, visible=True)

    def _others(self, report: Any) -> Any:
        """Return the outlines of the mouse's other sessions in this one's field."""
        page = self._page
        if not page.view.others:
            return {}
        if page.shelf.matches is None:
            raise CriterionError(
                "masks of other days are registered by the matching file of a session of the "
                "original layout: start with matches= (--matches)"
            )
        keys = [key for key in page.shelf.of_mouse(page.opened.key) if key != page.opened.key]
        with ExitStack() as stack:
            sessions = [page.ds]
            for key in keys:
                other = page.shelf.take(key)
                stack.callback(page.shelf.give_back, other)
                sessions.append(other.ds)
            return registered_outlines(sessions, page.shelf.matches())
