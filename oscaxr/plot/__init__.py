"""Pictures of sessions and responses: axes in, artists out.

Every function draws into the axes it is given (or makes its own), labels them from the attributes
of the data, and returns what it drew. Matplotlib is needed (the extra ``plot``) and is imported
when the first picture is drawn. All colours can be told apart by colour-blind people.
"""

from oscaxr.plot.axes import PlotInputError, PlotLibraryError
from oscaxr.plot.field import (
    ProjectionArtists,
    RoiContourArtists,
    RoiMaskArtists,
    max_projection,
    roi_contours,
    roi_masks,
)
from oscaxr.plot.overview import (
    BehaviorArtists,
    OverviewArtists,
    behavior_responses,
    session_overview,
)
from oscaxr.plot.registered import RegisteredMaskArtists, registered_masks
from oscaxr.plot.responses import ResponseArtists, expected_unexpected, responses
from oscaxr.plot.roi_responses import (
    HeatmapArtists,
    TrackedArtists,
    heatmap,
    tracked_over_sessions,
    tracked_responses,
)
from oscaxr.plot.stimulus import (
    GaborFrameArtists,
    StimulusArtists,
    shade_gabor_frames,
    stimulus_frames,
)

__all__ = [
    # responses to segments
    "responses",
    "expected_unexpected",
    "heatmap",
    "behavior_responses",
    "shade_gabor_frames",
    # over sessions
    "tracked_over_sessions",
    "tracked_responses",
    # one session
    "session_overview",
    "stimulus_frames",
    # the microscope's field
    "roi_masks",
    "roi_contours",
    "max_projection",
    "registered_masks",
    # what they return
    "ResponseArtists",
    "HeatmapArtists",
    "BehaviorArtists",
    "GaborFrameArtists",
    "TrackedArtists",
    "OverviewArtists",
    "StimulusArtists",
    "RoiMaskArtists",
    "RoiContourArtists",
    "ProjectionArtists",
    "RegisteredMaskArtists",
    # errors
    "PlotInputError",
    "PlotLibraryError",
]
