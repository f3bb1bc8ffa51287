"""Mean responses of ROIs to Gabor segments, beside the patches that were shown."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.splits import PUBLISHED
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.measure.quality import roi_dim
from oscaxr.measure.transform import Window
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences

Floats = npt.NDArray[np.float64]

RESPONSE: Window = (0.0, 0.45)
"""Where the mean response is taken, s from the start of the segment."""

HALF_TURN = 180
"""Orientations are the same after so many degrees."""


class GaborResponses(NamedTuple):
    """Mean responses to segments, (segment, roi), and what was shown."""

    values: Floats
    segments: xr.Dataset
    template: xr.DataArray
    """An array over ROIs, for labels."""

    @property
    def frames(self) -> npt.NDArray[Any]:
        """The Gabor frame of each segment."""
        return np.asarray(self.segments["gabor_frame"].values)

    def labelled(self, values: npt.NDArray[Any], *dims: str) -> xr.DataArray:
        """Label values (*dims, roi)."""
        roi = roi_dim(self.template)
        return xr.DataArray(values, self.template.coords, (*dims, roi))


def gabor_responses(
    ds: xr.Dataset,
    gabor_frames: Sequence[str],
    window: Window,
    tracked: bool,
    invalid: Invalid,
    criteria: dict[str, Any],
) -> GaborResponses:
    """Return the mean response of each ROI to each segment."""
    if "gabor_orientation" not in ds:
        raise MissingVariableError(
            "this session has no 'gabor_orientation', the orientations of its patches"
        )
    if "gabor_frame" in criteria:
        raise CriterionError(
            f"gabor_frame={criteria['gabor_frame']!r}: which Gabor frames to take, gabor_frames= "
            "says here"
        )
    if np.shape(window) != (2,):
        raise WindowError(f"window={window!r}: it is where responses begin and end, (s, s)")
    wanted = {**PUBLISHED[n.GABORS], "gabor_frame": [*gabor_frames], **criteria}
    segments = select_segments(ds, stimulus=n.GABORS, **wanted)
    if not segments.sizes[n.SEGMENT]:
        raise CriterionError(f"there are no Gabor segments with {wanted}")
    source = tracked_rois(ds) if tracked else ds
    windows = sequences(source, n.DFF, segments, pre=-window[0], post=window[1], invalid=invalid)
    found = reduced(windows, lambda block: block.mean(n.REL_TIME, dtype=np.float64, skipna=False))
    if not np.isfinite(segments["gabor_orientation"].values).all():
        raise CriterionError(f"some Gabor segments with {wanted} have patches without orientation")
    kept = segments.sel({n.SEGMENT: found[n.SEQUENCE].values})
    values = np.asarray(found.transpose(n.SEQUENCE, ...).values)
    along = [name for name, coord in found.coords.items() if n.SEQUENCE in coord.dims]
    return GaborResponses(values, kept, found.drop_vars(along).isel({n.SEQUENCE: 0}))
