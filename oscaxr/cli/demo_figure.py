"""The figure of the demo: one session, its responses, and their change over sessions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from oscaxr import plot
from oscaxr.plot.overview import HEIGHT_RATIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(sessions: Sequence[xr.Dataset], unexpected: xr.DataArray) -> "Figure":
    """Draw the demo's figure."""
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
