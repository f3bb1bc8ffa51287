"""The figure of the demo: one session, its responses, and their change over sessions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import xarray as xr

from oscaxr import plot
from oscaxr.errors import OscaxrError
from oscaxr.plot.overview import HEIGHT_RATIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FigureFormatError(OscaxrError, ValueError):
    """A figure was to be saved in a format that matplotlib cannot write."""


class FigureSaveError(OscaxrError, OSError):
    """A figure could not be saved where it was to go."""


def check_format(path: Path) -> None:
    """Make sure that a figure can be saved under this name, before any work is done.

    Parameters
    ----------
    path : pathlib.Path
        Where the figure is to go.

    Raises
    ------
    FigureFormatError
        If the ending is not one that matplotlib writes.
    PlotLibraryError
        If matplotlib is not installed.
    """
    plot.axes.require_matplotlib()
    from matplotlib.figure import Figure

    known = sorted(Figure().canvas.get_supported_filetypes())
    ending = path.suffix.lstrip(".").lower()
    if ending not in known:
        found = f"ends in .{ending}" if ending else "has no ending"
        raise FigureFormatError(
            f"{path} {found}; a figure can be saved as {', '.join('.' + e for e in known)}"
        )


def draw(sessions: Sequence[xr.Dataset], unexpected: xr.DataArray) -> "Figure":
    """Draw the demo's figure.

    Parameters
    ----------
    sessions : sequence of xarray.Dataset
        The sessions of a mouse; the last one is shown in detail.
    unexpected : xarray.DataArray
        The sequences of the U segments of the last session.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    last = sessions[-1]
    number = int(last["session"])
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.04, wspace=0.02, hspace=0.04)
    figure = Figure(figsize=(11, 7.6), layout=layout, dpi=110)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.05, 1))[:, 0]

    rows = above.subplots(len(HEIGHT_RATIOS), 1, sharex=True, height_ratios=HEIGHT_RATIOS)
    plot.session_overview(last, list(rows))
    above.suptitle(
        f"A  mouse {int(last['mouse'])}, session {number}: {last.sizes['roi']} ROIs "
        f"(synthetic sample data)", x=0.01, ha="left", fontweight="bold", fontsize="medium",
    )  # fmt: skip

    compared, sorted_rois, tracked = below.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
    plot.expected_unexpected(last, compared)
    plot.heatmap(unexpected.osca.baseline(0.5), sorted_rois)
    plot.tracked_over_sessions(sessions, tracked)
    for ax, title in (
        (compared, f"B  Gabor responses, session {number}"),
        (sorted_rois, "C  U responses of each ROI"),
        (tracked, "D  U responses of tracked ROIs"),
    ):
        ax.set_title(title, loc="left", fontweight="bold", fontsize="medium", pad=20)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Save a figure, so that its file is complete or not there.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to save.
    path : pathlib.Path
        Where to; an existing file is replaced.

    Raises
    ------
    FigureSaveError
        If it cannot be written there.
    """
    partial = path.with_name(f".{path.stem}.{uuid4().hex}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FigureSaveError(
            f"cannot save the figure as {path}: {error}. Say where it may go with --figure."
        ) from error
