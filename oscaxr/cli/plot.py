"""``oscaxr plot``: a picture of a session, into a file."""

from contextlib import ExitStack
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from oscaxr.cli import console
from oscaxr.cli.drawn import panels_of
from oscaxr.cli.epoch_options import WithinOption
from oscaxr.cli.extract import window_options
from oscaxr.cli.picture_kinds import PICTURES, Request, check_options
from oscaxr.cli.place_options import TargetOption, place_to_write
from oscaxr.cli.session_options import Asked, CriteriaArgument, given, takes, takes_segments
from oscaxr.errors import ExportError
from oscaxr.files.remote import Place
from oscaxr.model.synthetic import is_synthetic
from oscaxr.plot.axes import require_matplotlib, session_words
from oscaxr.sessions.tree import facts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    epochs = f"within {', '.join(request.epochs)}" if request.epochs else ""
    return "   ".join(filter(None, [several, criteria, epochs]))


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
    within: WithinOption = None,
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
    asked = given({name: None if one == [] else one for name, one in locals().items()})
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
    target_option: TargetOption = None,
    as_json: console.JsonOption = False,
) -> None:
    """Draw a picture of a session and save it.

    KIND is one of those below. For tracked, give several sessions of a mouse, or
    --mouse alone for all of them. --json tells what was drawn: titles, legends, the
    numbers of the lines.
    """
    with ExitStack() as opened:
        target = console.check_target(place_to_write(out, target_option), overwrite=overwrite)
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
            epochs = options.pop("within", ())
            request = Request(found, criteria or picture.usual, options, epochs)
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
        "within": request.epochs,
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
