"""What about the data: scaling, baseline, statistics, activity, quality.

Functions on labelled arrays, in memory or on dask; no file is known here.
"""

from oscaxr.measure.activity import active_rois, plateau_traces
from oscaxr.measure.quality import invalid_rois, roi_correlations, snr
from oscaxr.measure.scaling import scale, scale_parameters
from oscaxr.measure.statistics import stats
from oscaxr.measure.transform import baseline, integrate, smooth
from oscaxr.model.traces import interpolate, scale_factors

__all__ = [
    "scale",
    "scale_factors",
    "scale_parameters",
    "baseline",
    "smooth",
    "integrate",
    "interpolate",
    "stats",
    "active_rois",
    "plateau_traces",
    "snr",
    "roi_correlations",
    "invalid_rois",
]
