"""``oscaxr plot``: a picture of a session, into a file."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from oscaxr.cli.console import (
    DebugOption,
    OverwriteOption,
    check_target,
    reported_errors,
    tell,
    working,
)
from oscaxr.cli.pictures import PICTURES, Request, check_format, check_options, draw, save
from oscaxr.cli.session_options import (
    CRITERIA_WORDS,
    SESSION_WORDS,
    Asked,
    CriteriaArgument,
    split_words,
    takes,
    takes_session,
)

_about = partial(typer.Option, rich_help_panel="About the picture")
_KINDS: Final = "\b\n" + "\n".join(f"  {kind:<20} {one.words}" for kind, one in PICTURES.items())
FigureOption = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="Where to: .png, .pdf, .svg and what else matplotlib writes.",
    ),
]


def _picture_options(
    pre: Annotated[
        float | None, _about(help="Seconds before the start of each segment (default 1).")
    ] = None,
    post: Annotated[
        float | None, _about(help="Seconds after the start of each segment (default 1).")
    ] = None,
    variable: Annotated[
        str | None,
        _about("-v", "--variable", metavar="NAME", help="What responds (default dff)."),
    ] = None,
    scale: Annotated[
        bool,
        _about("--scale", help="Subtract the median of the whole trace and divide by its spread."),
    ] = False,
    baseline: Annotated[
        float | None,
        _about(
            metavar="SECONDS",
            help="Subtract from each sequence the mean of its first so many seconds.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        _about(metavar="NAME", help="One line for each value of this column of the segments."),
    ] = None,
    gabor_frames: Annotated[
        bool, _about("--gabor-frames", help="Shade and name the Gabor frames.")
    ] = False,
    highlight: Annotated[int | None, _about(metavar="ROI", help="ROI to highlight.")] = None,
    zoom: Annotated[
        bool, _about("--zoom", help="Show the surroundings of the highlighted ROI only.")
    ] = False,
    projection: Annotated[
        bool, _about("--projection", help="Draw over the maximum projection.")
    ] = False,
    width: Annotated[
        float | None, _about(min=1, max=100, metavar="INCHES", help="Width of the figure.")
    ] = None,
    height: Annotated[
        float | None, _about(min=1, max=100, metavar="INCHES", help="Height of the figure.")
    ] = None,
    dpi: Annotated[int, _about(min=10, max=1200, help="Pixels an inch.")] = 150,
) -> dict[str, Any]:
    """Return those options of the picture that were given, and its size and resolution."""
    given = locals()
    return {name: one for name, one in given.items() if one is not None and one is not False}


@takes_session(_KINDS, SESSION_WORDS, CRITERIA_WORDS)
@takes(_picture_options)
def plot(
    options: dict[str, Any],
    asked: Asked,
    out: FigureOption,
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Which picture; see above.")
    ] = None,
    words: CriteriaArgument = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw a picture of a session and save it.

    KIND is one of those below. For tracked, give several sessions of a mouse, or
    --mouse alone for all of them.
    """
    with reported_errors(debug), ExitStack() as opened:
        check_format(out)
        check_target(out, overwrite=overwrite)
        others, criteria = split_words([*asked.words, *filter(None, [kind]), *(words or [])])
        kind, sessions = _kind_of(others)
        usual = PICTURES[kind].size
        size = options.pop("width", usual[0]), options.pop("height", usual[1])
        dpi = options.pop("dpi")
        check_options(kind, criteria, options)
        if kind == "tracked":
            found = asked.open_mouse(sessions)
        else:
            found = [asked.open(sessions, include=PICTURES[kind].include)]
        for ds in found:
            opened.enter_context(ds)
        with working("drawing"):
            save(draw(kind, Request(found, criteria, options), size, dpi), out, overwrite=overwrite)
        tell(f"Wrote {out}")


def _kind_of(words: list[str]) -> tuple[str, list[str]]:
    """Tell the kind of picture from the sessions."""
    kinds = [word for word in words if word in PICTURES]
    if len(kinds) != 1:
        found = f" (found: {' '.join(words)})" if words else ""
        raise typer.BadParameter(
            f"say which picture, KIND is one of: {', '.join(PICTURES)}{found}"
            if not kinds
            else f"{' and '.join(kinds)} are two pictures; draw one at a time"
        )
    return kinds[0], [word for word in words if word != kinds[0]]
