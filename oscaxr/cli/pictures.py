"""The pictures that ``oscaxr plot`` draws: what each kind takes, and how it is drawn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr import plot
from oscaxr.cli.console import new_file
from oscaxr.cli.extract import chosen_segments, take_windows
from oscaxr.errors import CriterionError, MissingVariableError, OscaxrError, option
from oscaxr.model import names as n
from oscaxr.plot.axes import require_matplotlib
from oscaxr.plot.overview import HEIGHT_RATIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WINDOW: Final = ("pre", "post", "variable", "scale", "baseline")
_MOST_GROUPS: Final = 12
_FIELD: Final = (7.0, 5.0)
# The library refuses more; axes for thousands would take minutes before it could.
_MOST_IMAGES: Final = 60
# Gabor frames, directions of flow, and the gray screen.
_STIMULUS_KINDS: Final = len(n.GABOR_FRAMES) + len(n.FLOW_DIRECTIONS) + 1


@dataclass(frozen=True)
class Request:
    """What is to be drawn."""

    sessions: Sequence[xr.Dataset]
    criteria: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session(self) -> xr.Dataset:
        """The session."""
        return self.sessions[0]

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of some options that were given."""
        return {name: self.options[name] for name in names if name in self.options}

    def segments(self) -> xr.Dataset:
        """Select the segments; an error if there are none."""
        return chosen_segments(self.session, dict(self.criteria))[0]

    def windows(self) -> xr.DataArray:
        """Take windows around the segments."""
        return take_windows(
            self.session,
            self.options.get("variable", n.DFF),
            self.segments(),
            {"pre": 1.0, "post": 1.0, **self.given("pre", "post", "scale")},
            self.options.get("baseline"),
        )


@dataclass(frozen=True)
class Picture:
    """One kind of picture."""

    words: str
    draw: Callable[[Request, "Figure"], None]
    options: tuple[str, ...] = ()
    takes_criteria: bool = False
    size: tuple[float, float] = (6.0, 4.0)
    include: tuple[str, ...] = ()
    usual: Mapping[str, Any] = field(default_factory=dict)


def _overview(request: Request, figure: "Figure") -> None:
    rows = figure.subplots(len(HEIGHT_RATIOS), 1, sharex=True, height_ratios=HEIGHT_RATIOS)
    plot.session_overview(request.session, list(rows))


def _responses(request: Request, figure: "Figure") -> None:
    windows = request.windows()
    column = request.options.get("by")
    groups = windows if column is None else _groups(windows, column)
    shaded = request.session if request.options.get("gabor_frames") else None
    plot.responses(groups, figure.subplots(), gabor_frames=shaded)


def _groups(windows: xr.DataArray, column: str) -> dict[str, xr.DataArray]:
    if column not in windows.coords or windows[column].dims != (n.SEQUENCE,):
        there = sorted(str(c) for c in windows.coords if windows[c].dims == (n.SEQUENCE,))
        raise MissingVariableError(
            f"{option('by', column)}: the segments have no such column; they have "
            f"{', '.join(there)}"
        )
    values = windows[column].values
    missing = pd.isna(values) | (values == "")
    if missing.any():
        raise CriterionError(
            f"{option('by', column)}: {missing.sum()} of the {len(values)} segments have no value "
            "of it; leave them out by criteria, e.g. stimulus=gabors"
        )
    labels = np.unique(values).tolist()
    if len(labels) > _MOST_GROUPS:
        raise CriterionError(
            f"{option('by', column)}: there are {len(labels)} different values of it; a picture "
            f"has at most {_MOST_GROUPS} groups"
        )
    groups = {}
    for label in labels:
        chosen = values == label
        name = f"{label:g}" if isinstance(label, int | float) else str(label)
        groups[f"{name}, {chosen.sum()} sequences"] = windows.isel({n.SEQUENCE: chosen})
    return groups


def _expected_unexpected(request: Request, figure: "Figure") -> None:
    odd = sorted(set(request.criteria) - {"stimulus"})
    if odd:
        raise CriterionError(
            f"expected-unexpected chooses its own segments; of criteria it takes stimulus=gabors "
            f"or stimulus=visflow, not {', '.join(odd)}"
        )
    options = request.given("pre", "post", "scale", "baseline")
    if "variable" in request.options:
        options["name"] = request.options["variable"]
    plot.expected_unexpected(request.session, figure.subplots(), **request.criteria, **options)


def _heatmap(request: Request, figure: "Figure") -> None:
    plot.heatmap(request.windows(), figure.subplots())


def _tracked(request: Request, figure: "Figure") -> None:
    options = request.given("scale")
    if "variable" in request.options:
        options["name"] = request.options["variable"]
    if len(request.sessions) < 2:
        raise CriterionError(
            "the picture tracked compares sessions of a mouse: give two or more, or --mouse for all"
        )
    same = plot.tracked_responses(request.sessions, request.criteria, **options)
    plot.tracked_over_sessions(same, figure.subplots())


def _behavior(request: Request, figure: "Figure") -> None:
    rows = list(figure.subplots(2, 1, sharex=True))
    options = request.given("pre", "post", "gabor_frames")
    plot.behavior_responses(request.session, request.segments(), rows, **options)


def _masks(request: Request, figure: "Figure") -> None:
    plot.roi_masks(request.session, figure.subplots())


def _contours(request: Request, figure: "Figure") -> None:
    options = request.given("highlight", "zoom", "projection")
    plot.roi_contours(request.session, figure.subplots(), **options)


def _projection(request: Request, figure: "Figure") -> None:
    plot.max_projection(request.session, figure.subplots())


def _stimulus(request: Request, figure: "Figure") -> None:
    segments = request.segments() if request.criteria else None
    count = _STIMULUS_KINDS if segments is None else segments.sizes[n.SEGMENT]
    count = min(count, _MOST_IMAGES)
    columns = min(count, math.ceil(math.sqrt(count)))
    axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False)
    plot.stimulus_frames(request.session, segments, list(axes.flat))


PICTURES: Final[dict[str, Picture]] = {
    "overview": Picture(
        "stimulus, running, pupil and mean dF/F over time", _overview, size=(9, 5)
    ),
    "responses": Picture(
        "mean response and its error; --by makes groups",
        _responses, (*_WINDOW, "by", "gabor_frames"), takes_criteria=True,
    ),
    "expected-unexpected": Picture(
        "responses to expected and to unexpected stimuli",
        _expected_unexpected, _WINDOW, takes_criteria=True,
    ),
    "heatmap": Picture(
        "mean response of every ROI, the strongest on top",
        _heatmap, _WINDOW, takes_criteria=True, size=(6, 5),
    ),
    "tracked": Picture(
        "responses of tracked ROIs over the sessions of a mouse",
        _tracked, ("variable", "scale"), takes_criteria=True, size=(5, 4),
        usual={"gabor_frame": "U"},
    ),
    "behavior": Picture(
        "running and pupil around segments",
        _behavior, ("pre", "post", "gabor_frames"), takes_criteria=True, size=(6, 5),
    ),
    "masks": Picture("ROI masks, invalid ones marked (reads all traces)", _masks, size=_FIELD),
    "contours": Picture(
        "ROI contours; --highlight marks one",
        _contours, ("highlight", "zoom", "projection"), size=_FIELD,
    ),
    "projection": Picture("maximum projection under the contours", _projection, size=_FIELD),
    "stimulus": Picture(
        "images shown; without criteria, one of each kind",
        _stimulus, takes_criteria=True, size=(8, 6), include=("templates",),
    ),
}  # fmt: skip


def check_options(kind: str, criteria: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what a kind of picture does not take."""
    picture = PICTURES[kind]
    odd = [option(name) for name in options if name not in picture.options]
    odd += [] if picture.takes_criteria else [f"{name}=..." for name in criteria]
    if odd:
        takes = [option(name) for name in picture.options]
        takes += ["criteria"] * picture.takes_criteria
        raise CriterionError(
            f"{', '.join(odd)} would have no effect on the picture {kind}, which takes "
            f"{', '.join(takes) or 'no such options'}"
        )


def draw(kind: str, request: Request, size: tuple[float, float], dpi: int) -> "Figure":
    """Draw a picture."""
    from matplotlib.figure import Figure

    request = replace(request, criteria=request.criteria or PICTURES[kind].usual)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    PICTURES[kind].draw(request, figure)
    figure.suptitle(title(request), x=0.01, ha="left", fontsize="small")
    return figure


def title(request: Request) -> str:
    """Return what stands above a picture: which sessions, which segments."""
    names = []
    for ds in request.sessions:
        known = [f"{name} {ds[name].item()}" for name in ("mouse", "session") if name in ds.coords]
        number = ds.coords.get("session_id")
        names.append(", ".join(known) if known or number is None else f"session {number.item()}")
    mouse = names[0].partition(", ")[0]
    if len(names) > 1 and all(name.startswith(f"{mouse}, session ") for name in names):
        numbers = ", ".join(name.rpartition(" ")[2] for name in names)
        names = [f"{mouse}, sessions {numbers}"]
    criteria = ", ".join(f"{name}={_value(value)}" for name, value in request.criteria.items())
    return "   ".join(filter(None, ["; ".join(names), criteria]))


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g}:{value[1]:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


class FigureFormatError(OscaxrError, ValueError):
    """A figure was to be saved in a format that matplotlib cannot write."""


def check_format(path: Path) -> None:
    """Make sure that a figure can be saved under this name, before any work is done."""
    require_matplotlib()
    from matplotlib.figure import Figure

    known = sorted(Figure().canvas.get_supported_filetypes())
    ending = _ending(path)
    if ending not in known:
        found = f"ends in .{ending}" if ending else "has no ending"
        raise FigureFormatError(
            f"{path} {found}; a figure can be saved as {', '.join('.' + e for e in known)}"
        )


def save(figure: "Figure", path: Path, *, overwrite: bool) -> None:
    """Save a figure, so that its file is complete or not there."""
    with new_file(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=_ending(path))


def _ending(path: Path) -> str:
    return path.suffix.lstrip(".").lower()
