"""Pictures of sessions and responses: axes in, artists out.

Every function draws into the axes it is given (or makes its own), labels them from the attributes
of the data, and returns what it drew. Matplotlib is needed (the extra ``plot``) and is imported
when the first picture is drawn. All colours can be told apart by colour-blind people.
"""

from oscaxr.plot.axes import PlotLibraryError
from oscaxr.plot.heatmap import HeatmapArtists, heatmap
from oscaxr.plot.overview import OverviewArtists, session_overview
from oscaxr.plot.responses import ResponseArtists, expected_unexpected, responses
from oscaxr.plot.tracked import TrackedArtists, tracked_over_sessions, tracked_responses

__all__ = [
    "responses",
    "expected_unexpected",
    "heatmap",
    "tracked_over_sessions",
    "tracked_responses",
    "session_overview",
    "ResponseArtists",
    "HeatmapArtists",
    "TrackedArtists",
    "OverviewArtists",
    "PlotLibraryError",
]
