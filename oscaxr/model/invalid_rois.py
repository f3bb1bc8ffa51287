"""Which ROIs a session's own files list as invalid, and results without them."""

from typing import Literal, TypeVar

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, InvalidRoiWarning, option, warn_once
from oscaxr.model import names as n

Data = TypeVar("Data", xr.DataArray, xr.Dataset)
Invalid = Literal["drop", "keep"]

LEFT_OUT = "invalid_rois_left_out"
KEPT = "invalid_rois_kept"
"""The attributes of results that say how many were left out, or were kept as asked."""


def check_invalid(invalid: object) -> None:
    """Refuse a word that is no policy for invalid ROIs."""
    if not isinstance(invalid, str) or invalid not in ("drop", "keep"):
        raise CriterionError(f"{option('invalid', invalid)}: it is 'drop' or 'keep'")


def without_invalid(data: Data, invalid: Invalid | None) -> Data:
    """Leave out the ROIs that the files list as invalid, or keep them, with a note of how many."""
    if invalid is None:
        invalid = "keep" if KEPT in data.attrs else "drop"
    check_invalid(invalid)
    listed = data.coords.get(n.LISTED_INVALID)
    # One ROI that was picked is what was asked for.
    if listed is None or listed.ndim != 1 or not listed.values.any():
        return data
    count, total = int(np.count_nonzero(listed.values)), listed.size
    if invalid == "keep":
        return data.assign_attrs({KEPT: count})
    session = f"session {data['session_id'].item()}" if "session_id" in _scalars(data) else "here"
    if count == total:
        raise CriterionError(
            f"{session}: all {total} ROIs are listed as invalid in its files, so none would be "
            f"left: {option('invalid', 'keep')} keeps them"
        )
    warn_once(
        f"{session}: {count} of {total} ROIs are listed as invalid in its files and left out, as "
        "published (invalid='keep' keeps them).",
        InvalidRoiWarning,
    )
    kept = data.isel({listed.dims[0]: ~listed.values})
    kept.attrs.pop(KEPT, None)
    return kept.assign_attrs({LEFT_OUT: count})


def _scalars(data: xr.DataArray | xr.Dataset) -> set[object]:
    return {name for name, coord in data.coords.items() if not coord.dims}
