"""Pictures of sessions, responses and results of analyses: axes in, artists out.

Every function draws into the axes it is given (or makes its own), labels them from the attributes
of the data, and returns what it drew. Matplotlib is needed (the extra ``plot``) and is imported
when the first picture is drawn. All colours can be told apart by colour-blind people.
"""

from oscaxr.plot.axes import Artists, PlotInputError, PlotLibraryError
from oscaxr.plot.boxes import snr
from oscaxr.plot.distributions import responsive_rois, usi_distribution, usi_null
from oscaxr.plot.encoded import explained_variance, orientation_tuning, position_response
from oscaxr.plot.field import max_projection, roi_contours, roi_masks
from oscaxr.plot.group_traces import decoding, group_traces
from oscaxr.plot.groups import group_differences, relative_responses, stimulus_comparison
from oscaxr.plot.overview import behavior_responses, session_overview
from oscaxr.plot.paired_runs import block_pairs
from oscaxr.plot.registered import registered_masks
from oscaxr.plot.responses import expected_unexpected, responses
from oscaxr.plot.roi_responses import heatmap, tracked_over_sessions, tracked_responses
from oscaxr.plot.shares import value_ranges, value_shares
from oscaxr.plot.stimulus import shade_gabor_frames, stimulus_frames
from oscaxr.plot.usi_scatter import usi_pairs
from oscaxr.plot.usis import percent_significant, tracked_usis, usi_correlations, usi_statistics

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
    # groups of sessions
    "group_traces",
    "group_differences",
    "relative_responses",
    "stimulus_comparison",
    "percent_significant",
    "usi_statistics",
    "usi_correlations",
    "tracked_usis",
    "usi_pairs",
    # what analyses find
    "usi_distribution",
    "usi_null",
    "responsive_rois",
    "snr",
    "value_shares",
    "value_ranges",
    "block_pairs",
    "orientation_tuning",
    "position_response",
    "explained_variance",
    "decoding",
    # what they return
    "Artists",
    # errors
    "PlotInputError",
    "PlotLibraryError",
]
