"""``oscaxr plot``: a picture of a session, into a file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from oscaxr.cli import pictures
from oscaxr.cli.console import (
    DebugOption,
    OverwriteOption,
    check_target,
    output,
    reported_errors,
    say,
    working,
)
from oscaxr.cli.extract import WINDOW_WORDS
from oscaxr.cli.pictures import PICTURES, Request, check_options, draw
from oscaxr.cli.session_options import (
    CRITERIA_WORDS,
    SESSION_WORDS,
    Asked,
    split_words,
    takes_session,
)

_ABOUT = "About the picture"
_OPTION_WORDS = WINDOW_WORDS | {name: f"--{name}" for name in ("zoom", "highlight")}
_KINDS = "\b\n" + "\n".join(f"  {kind:<20} {one.words}" for kind, one in PICTURES.items())


@takes_session(_KINDS, SESSION_WORDS, CRITERIA_WORDS)
def plot(
    asked: Asked,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Where to: .png, .pdf, .svg and what else "
            "matplotlib writes."
        ),
    ],
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Which picture; see above.")
    ] = None,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Criteria; see above.")
    ] = None,
    pre: Annotated[
        float | None,
        typer.Option(
            help="Seconds before the start of each segment (default 1).",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    post: Annotated[
        float | None,
        typer.Option(
            help="Seconds after the start of each segment (default 1).",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option(
            "-v", "--variable", metavar="NAME", help="What responds (default dff).",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    scale: Annotated[
        bool,
        typer.Option(
            "--scale", help="Subtract the median of the whole trace and divide by its spread.",
            rich_help_panel=_ABOUT,
        ),
    ] = False,
    baseline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Subtract from each sequence the mean of its first so many seconds.",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="One line for each value of this column of the segments.",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    gabor_frames: Annotated[
        bool,
        typer.Option("--gabor-frames", help="Shade and name the Gabor frames.",
                     rich_help_panel=_ABOUT),
    ] = False,
    highlight: Annotated[
        int | None,
        typer.Option(metavar="ROI", help="ROI to highlight.", rich_help_panel=_ABOUT),
    ] = None,
    zoom: Annotated[
        bool,
        typer.Option("--zoom", help="Show the surroundings of the highlighted ROI only.",
                     rich_help_panel=_ABOUT),
    ] = False,
    projection: Annotated[
        bool,
        typer.Option("--projection", help="Draw over the maximum projection.",
                     rich_help_panel=_ABOUT),
    ] = False,
    width: Annotated[
        float | None, typer.Option(min=1, max=100, metavar="INCHES", help="Width of the figure.")
    ] = None,
    height: Annotated[
        float | None, typer.Option(min=1, max=100, metavar="INCHES", help="Height of the figure.")
    ] = None,
    dpi: Annotated[int, typer.Option(min=10, max=1200, help="Pixels an inch.")] = 150,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:  # fmt: skip
    """Draw a picture of a session and save it.

    KIND is one of those below. For tracked, give several sessions of a mouse, or
    --mouse alone for all of them.
    """
    with reported_errors(debug, _OPTION_WORDS):
        pictures.check_format(out)
        check_target(out, overwrite=overwrite)
        others, criteria = split_words([*asked.words, *filter(None, [kind]), *(words or [])])
        kind, sessions = _kind_of(others)
        given: dict[str, Any] = {
            "pre": pre, "post": post, "variable": variable, "scale": scale or None,
            "baseline": baseline, "by": by, "gabor_frames": gabor_frames or None,
            "highlight": highlight, "zoom": zoom or None,
            "projection": projection or None,
        }  # fmt: skip
        options = {name: value for name, value in given.items() if value is not None}
        check_options(kind, criteria, options)
        usual = PICTURES[kind].size
        with ExitStack() as opened:
            if kind == "tracked":
                found = asked.open_mouse(sessions)
            else:
                found = [asked.open(sessions, include=PICTURES[kind].include)]
            for ds in found:
                opened.enter_context(ds)
            with working("drawing"):
                request = Request(found, criteria, options)
                figure = draw(kind, request, (width or usual[0], height or usual[1]), dpi)
                pictures.save(figure, out, overwrite=overwrite)
        say(output(), f"Wrote {out}")


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
