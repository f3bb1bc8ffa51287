"""Figures as files: the format known before any work, the file complete or not there."""

from pathlib import Path
from typing import TYPE_CHECKING

from oscaxr.cli.targets import new_file
from oscaxr.errors import OscaxrError
from oscaxr.plot.axes import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
