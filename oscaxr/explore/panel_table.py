"""The panels: what each is called, its numbers, and the Python that makes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import xarray as xr

from oscaxr.explore import code
from oscaxr.explore import panel_numbers as made
from oscaxr.explore.numbers import Report, nothing_to_report
from oscaxr.explore.opened import Opened, Shelf
from oscaxr.explore.view import View
from oscaxr.model import names as n


@dataclass(frozen=True)
class Panel:
    """One panel, of one session: its title, numbers and Python, and the variable it needs."""

    title: str
    numbers: Callable[[Opened, View, Report], xr.Dataset]
    python: Callable[[View, Opened], list[str]]
    needs: str = n.DFF
    of_chosen_rois: bool = False


_OF_A_SESSION: Final = {
    "stimulus": Panel("Stimulus", made.stimulus, code.stimulus, "stimulus_type"),
    "running": Panel("Running velocity", made.running, code.running, n.RUN_VELOCITY),
    "pupil": Panel("Pupil diameter", made.pupil, code.pupil, n.PUPIL_DIAMETER),
    "population": Panel("Mean dF/F of all ROIs", made.population, code.population),
    "roi_traces": Panel(
        "Traces of the chosen ROIs", made.roi_traces, code.roi_traces, of_chosen_rois=True
    ),
    "mean_responses": Panel("Mean response", made.mean_responses, code.mean_responses),
    "heat_maps": Panel("Mean response of each ROI", made.heat_maps, code.heat_maps),
    "trials": Panel(
        "Single trials of the chosen ROIs", made.trials, code.trials, of_chosen_rois=True
    ),
    "behaviour": Panel("Running and pupil around the same events", made.behaviour, code.behaviour),
    "field": Panel("A number for each ROI", made.field, code.field),
    "roi_responses": Panel(
        "Mean responses of the chosen ROIs",
        made.roi_responses,
        code.roi_responses,
        of_chosen_rois=True,
    ),
}
# Of all sessions of a mouse.
_DAYS: Final = "days"
PANELS: Final = (*_OF_A_SESSION, _DAYS)
"""Every panel that has numbers."""
PANELS_OF: Final[dict[str, tuple[str, ...]]] = {
    "session": ("stimulus", "running", "pupil", "population", "roi_traces"),
    "responses": ("mean_responses", "heat_maps", "trials", "behaviour"),
    "field": ("field", "roi_responses", "roi_traces", "heat_maps"),
    "days": (_DAYS,),
    "code": PANELS,
}
"""The panels of each tab."""


def panels_of(view: View, ds: xr.Dataset) -> dict[str, str]:
    """Return the titles of the panels that have something to show in a view of a session."""
    found = {
        name: panel.title
        for name, panel in _OF_A_SESSION.items()
        if panel.needs in ds and (view.rois or not panel.of_chosen_rois)
    }
    return {**found, _DAYS: "Tracked ROIs over the sessions"}


def numbers_of(
    panel: str, shelf: Shelf, opened: Opened, view: View, report: Report = nothing_to_report
) -> xr.Dataset:
    """Return the numbers that a panel shows."""
    if panel == _DAYS:
        return made.days(shelf, opened, view, report)
    return _OF_A_SESSION[panel].numbers(opened, view, report)


def panel_code(panel: str, view: View, opened: Opened, others: Sequence[str]) -> str:
    """Write the Python of one panel; it ends with the Dataset ``numbers``.

    `others` are the expressions that open all sessions of the mouse.
    """
    if panel == _DAYS:
        lines = code.days(view, others)
    else:
        lines = [f"ds = {opened.source.code}", *_OF_A_SESSION[panel].python(view, opened)]
    imports = ["import oscaxr as ox", *["import xarray as xr"] * any("xr." in k for k in lines)]
    return "\n".join([*imports, "", *lines])
