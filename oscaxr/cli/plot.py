"""``oscaxr plot``: a picture of a session, into a file."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final

import pandas as pd
import typer
import xarray as xr

from oscaxr import plot as pictures
from oscaxr.cli import console
from oscaxr.cli.drawn import panels_of
from oscaxr.cli.extract import chosen_segments, take_windows, window_options
from oscaxr.cli.session_options import (
    Asked,
    CriteriaArgument,
    given,
    split_words,
    takes,
    takes_segments,
)
from oscaxr.errors import CriterionError, ExportError, MissingVariableError, option
from oscaxr.files.remote import Place
from oscaxr.model import names as n
from oscaxr.model.synthetic import is_synthetic
from oscaxr.plot.axes import require_matplotlib, session_words
from oscaxr.plot.outlines import FIELD_SIZE
from oscaxr.sessions.tree import facts_of

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

    @property
    def session(self) -> xr.Dataset:
        """The session."""
        return self.sessions[0]

    def named(self) -> dict[str, Any]:
        """Return the options with the words of the library's pictures."""
        return {"name" if word == "variable" else word: self.options[word] for word in self.options}

    def segments(self) -> xr.Dataset:
        """Select the segments; an error if there are none."""
        return chosen_segments(self.session, dict(self.criteria))[0]

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
    same = pictures.tracked_responses(request.sessions, request.criteria, **request.named())
    pictures.tracked_over_sessions(same, figure.subplots())


def _behavior(request: Request, figure: "Figure") -> None:
    pictures.behavior_responses(request.session, request.segments(), figure, **request.options)


def _field(draw: Callable[..., object]) -> Callable[[Request, "Figure"], None]:
    """Draw the microscope's field, with the options that this picture of it takes."""

    def drawn(request: Request, figure: "Figure") -> None:
        draw(request.session, figure.subplots(), **request.options)

    return drawn


def _stimulus(request: Request, figure: "Figure") -> None:
    segments = request.segments() if request.criteria else None
    pictures.stimulus_frames(request.session, segments, figure)


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
        _heatmap, (*_WINDOW, "sort_by"), takes_criteria=True, size=(6, 5),
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

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    PICTURES[kind].draw(request, figure)
    if above := title(request):
        figure.suptitle(above, x=0.01, ha="left", fontsize="small")
    return figure


def title(request: Request) -> str:
    """Return what stands above a picture beside what it says itself: which segments."""
    criteria = ", ".join(f"{name}={_value(value)}" for name, value in request.criteria.items())
    # Of one session, each picture says which it is.
    several = session_words(request.sessions) if len(request.sessions) > 1 else ""
    return "   ".join(filter(None, [several, criteria]))


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g}:{value[1]:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def check_format(path: Place) -> None:
    """Make sure that a figure can be saved under this name, before any work is done."""
    require_matplotlib()
    from matplotlib.figure import Figure

    known = sorted(Figure().canvas.get_supported_filetypes())
    ending = _ending(path)
    if ending not in known:
        found = f"ends in .{ending}" if ending else "has no ending"
        raise ExportError(
            f"{path} {found}; a figure can be saved as {', '.join('.' + e for e in known)}"
        )


def save(figure: "Figure", path: Place, *, overwrite: bool) -> None:
    """Save a figure, so that its file is complete or not there."""
    with console.new_file(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=_ending(path))


def _ending(path: Place) -> str:
    return PurePosixPath(path.name).suffix.lstrip(".").lower()


# -- the command ----------------------------------------------------------------------------------
_about = partial(typer.Option, rich_help_panel="About the picture")
_KINDS: Final = "\b\n" + "\n".join(f"  {kind:<20} {one.words}" for kind, one in PICTURES.items())
FigureOption = Annotated[
    str,
    console.out_option(
        metavar="FILE|URL", help="Where to: .png, .pdf, .svg and what else matplotlib writes."
    ),
]


@takes(window_options)
def _picture_options(
    window: dict[str, Any],
    by: Annotated[
        str | None,
        _about(metavar="NAME", help="One line for each value of this column of the segments."),
    ] = None,
    gabor_frames: Annotated[
        bool, _about("--gabor-frames", help="Shade and name the Gabor frames.")
    ] = False,
    sort_by: Annotated[
        list[str] | None,
        _about(
            metavar="NAME=VALUE",
            help="Sort ROIs by their responses to other segments; may be repeated.",
        ),
    ] = None,
    highlight: Annotated[
        list[int] | None, _about(metavar="ROI", help="ROI to highlight; may be repeated.")
    ] = None,
    zoom: Annotated[
        bool, _about("--zoom", help="Show the surroundings of highlighted ROIs only.")
    ] = False,
    projection: Annotated[
        bool, _about("--projection", help="Draw over the maximum projection.")
    ] = False,
) -> dict[str, Any]:
    """Return those options of the picture that were given."""
    asked = given({**locals(), "sort_by": sort_by or None, "highlight": highlight or None})
    return {**asked.pop("window"), **asked}


@takes_segments(_KINDS)
@takes(_picture_options)
def plot(
    options: dict[str, Any],
    asked: Asked,
    out: FigureOption,
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Which picture; see above.")
    ] = None,
    words: CriteriaArgument = None,
    width: Annotated[
        float | None, _about(min=1, max=100, metavar="INCHES", help="Width of the figure.")
    ] = None,
    height: Annotated[
        float | None, _about(min=1, max=100, metavar="INCHES", help="Height of the figure.")
    ] = None,
    dpi: Annotated[int, _about(min=10, max=1200, help="Pixels an inch.")] = 150,
    overwrite: console.OverwriteOption = False,
    as_json: console.JsonOption = False,
) -> None:
    """Draw a picture of a session and save it.

    KIND is one of those below. For tracked, give several sessions of a mouse, or
    --mouse alone for all of them. --json tells what was drawn: titles, legends, the
    numbers of the lines.
    """
    with ExitStack() as opened:
        target = console.check_target(out, overwrite=overwrite)
        check_format(target)
        others, criteria = asked.split([kind] if kind else [], words)
        kind, sessions = _kind_of(others)
        picture = PICTURES[kind]
        usual_width, usual_height = picture.size
        size = width or usual_width, height or usual_height
        check_options(kind, criteria, options)
        if kind == "tracked":
            found = asked.open_mouse(sessions)
        else:
            found = [asked.open(sessions, include=picture.include)]
        for ds in found:
            opened.enter_context(ds)
        with console.working("drawing"):
            request = Request(found, criteria or picture.usual, options)
            figure = draw(kind, request, size, dpi)
            save(figure, target, overwrite=overwrite)
        if as_json:
            console.print_json(_told(kind, request, figure, target))
        else:
            console.tell(f"Wrote {out}")


def _told(kind: str, request: Request, figure: "Figure", out: Place) -> dict[str, Any]:
    """Return what was drawn, for programs."""
    return {
        "path": out,
        "bytes": console.bytes_at(out),
        "picture": kind,
        "sessions": [facts_of(ds) for ds in request.sessions],
        "criteria": request.criteria,
        "options": request.options,
        "panels": panels_of(figure),
        "synthetic": any(map(is_synthetic, request.sessions)),
    }


def _kind_of(words: list[str]) -> tuple[str, list[str]]:
    """Tell the kind of picture from the sessions."""
    kinds = [word for word in words if word in PICTURES]
    if len(kinds) > 1:
        raise typer.BadParameter(f"{' and '.join(kinds)} are two pictures; draw one at a time")
    if not kinds:
        found = f" (found: {' '.join(words)})" if words else ""
        raise typer.BadParameter(f"say which picture, KIND is one of: {', '.join(PICTURES)}{found}")
    return kinds[0], [word for word in words if word != kinds[0]]
