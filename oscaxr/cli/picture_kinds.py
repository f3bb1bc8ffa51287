"""What pictures ``oscaxr plot`` can draw, of which segments, and which options each takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import xarray as xr

from oscaxr import plot as pictures
from oscaxr.cli.epoch_options import Epochs, within
from oscaxr.cli.extract import chosen_segments, take_windows
from oscaxr.cli.session_options import split_words
from oscaxr.errors import CriterionError, MissingVariableError, option
from oscaxr.model import names as n
from oscaxr.plot.outlines import FIELD_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WINDOW: Final = ("pre", "post", "variable", "scale", "baseline")
_MOST_GROUPS: Final = 12


@dataclass(frozen=True)
class Request:
    """What is to be drawn."""

    sessions: Sequence[xr.Dataset]
    criteria: Mapping[str, Any]
    options: Mapping[str, Any]
    epochs: Sequence[Epochs] = ()
    """Only segments that lie within all of them."""

    @property
    def session(self) -> xr.Dataset:
        """The session."""
        return self.sessions[0]

    def named(self) -> dict[str, Any]:
        """Return the options with the words of the library's pictures."""
        return {"name" if word == "variable" else word: self.options[word] for word in self.options}

    def criteria_of(self, session: xr.Dataset) -> dict[str, Any]:
        """Return the criteria, epochs included: each session has its own."""
        return {**self.criteria, **within(session, self.epochs)}

    def segments(self) -> xr.Dataset:
        """Select the segments; an error if there are none."""
        return chosen_segments(self.session, self.criteria_of(self.session))[0]

    def windows(self) -> xr.DataArray:
        """Take windows around the segments."""
        options = {name: self.options[name] for name in _WINDOW if name in self.options}
        return take_windows(self.session, self.segments(), **options)


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
    pictures.session_overview(request.session, figure)


def _responses(request: Request, figure: "Figure") -> None:
    windows = request.windows()
    column = request.options.get("by")
    groups = windows if column is None else _groups(windows, column)
    shaded = request.session if request.options.get("gabor_frames") else None
    pictures.responses(groups, figure.subplots(), gabor_frames=shaded)


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
    groups = windows.groupby(column)
    if len(groups) > _MOST_GROUPS:
        raise CriterionError(
            f"{option('by', column)}: there are {len(groups)} different values of it; a picture "
            f"has at most {_MOST_GROUPS} groups"
        )
    words = "{:g}, {} sequences" if values.dtype.kind in "iuf" else "{}, {} sequences"
    return {words.format(label, part.sizes[n.SEQUENCE]): part for label, part in groups}


def _expected_unexpected(request: Request, figure: "Figure") -> None:
    odd = sorted(set(request.criteria) - {"stimulus"})
    if odd:
        raise CriterionError(
            f"expected-unexpected chooses its own segments; of criteria it takes stimulus=gabors "
            f"or stimulus=visflow, not {', '.join(odd)}"
        )
    options = {**request.criteria, **request.named()}
    pictures.expected_unexpected(request.session, figure.subplots(), **options)


def _heatmap(request: Request, figure: "Figure") -> None:
    words = request.options.get("sort_by")
    others = None
    if words is not None:
        others = replace(request, criteria=_sorting_criteria(words)).windows()
    pictures.heatmap(request.windows(), figure.subplots(), sort_by=others)


def _sorting_criteria(words: Sequence[str]) -> dict[str, Any]:
    """Read the criteria of the segments that ROIs are sorted by."""
    others, criteria = split_words(words)
    if others:
        raise CriterionError(
            f"{option('sort_by', ' '.join(others))}: it is a criterion, written NAME=VALUE"
        )
    return criteria


def _tracked(request: Request, figure: "Figure") -> None:
    if len(request.sessions) < 2:
        raise CriterionError(
            "the picture tracked compares sessions of a mouse: give two or more, or --mouse for all"
        )
    same = pictures.tracked_responses(request.sessions, request.criteria_of, **request.named())
    pictures.tracked_over_sessions(same, figure.subplots())


def _behavior(request: Request, figure: "Figure") -> None:
    pictures.behavior_responses(request.session, request.segments(), figure, **request.options)


def _field(draw: Callable[..., object]) -> Callable[[Request, "Figure"], None]:
    """Draw the microscope's field, with the options that this picture of it takes."""

    def drawn(request: Request, figure: "Figure") -> None:
        draw(request.session, figure.subplots(), **request.options)

    return drawn


def _stimulus(request: Request, figure: "Figure") -> None:
    segments = request.segments() if request.criteria or request.epochs else None
    pictures.stimulus_frames(request.session, segments, figure)


PICTURES: Final[dict[str, Picture]] = {
    "overview": Picture(
        "stimulus, running, pupil and mean dF/F over time", _overview, size=(9, 5)
    ),
    "responses": Picture(
        "mean response and its error; --by makes groups",
        _responses, (*_WINDOW, "by", "gabor_frames", "within"), takes_criteria=True,
    ),
    "expected-unexpected": Picture(
        "responses to expected and to unexpected stimuli",
        _expected_unexpected, _WINDOW, takes_criteria=True,
    ),
    "heatmap": Picture(
        "mean response of every ROI, the strongest on top",
        _heatmap, (*_WINDOW, "sort_by", "within"), takes_criteria=True, size=(6, 5),
    ),
    "tracked": Picture(
        "responses of tracked ROIs over the sessions of a mouse",
        _tracked, ("variable", "scale", "within"), takes_criteria=True, size=(5, 4),
        usual={"gabor_frame": "U"},
    ),
    "behavior": Picture(
        "running and pupil around segments",
        _behavior, ("pre", "post", "gabor_frames", "within"), takes_criteria=True, size=(6, 5),
    ),
    "masks": Picture(
        "ROI masks, invalid ones marked (reads all traces)",
        _field(pictures.roi_masks), size=FIELD_SIZE,
    ),
    "contours": Picture(
        "ROI contours; --highlight marks some",
        _field(pictures.roi_contours), ("highlight", "zoom", "projection"), size=FIELD_SIZE,
    ),
    "projection": Picture(
        "maximum projection under the contours", _field(pictures.max_projection), size=FIELD_SIZE,
    ),
    "stimulus": Picture(
        "images shown; without criteria, one of each kind",
        _stimulus, ("within",), takes_criteria=True, size=(8, 6), include=("templates",),
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
