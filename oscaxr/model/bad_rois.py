"""Which ROIs the published analyses leave out, by the rules of the original format."""

from typing import Final

import numpy as np
import numpy.typing as npt

FINE: Final = ""
HAS_NAN: Final = "NaN"
HAS_INFINITY: Final = "infinity"
HIGH_MEDIAN: Final = "median above mid-range"
NEGATIVE_MEAN: Final = "negative mean"
REASONS: Final = (FINE, HAS_NAN, HAS_INFINITY, HIGH_MEDIAN, NEGATIVE_MEAN)
REASON_DTYPE: Final = np.dtype(f"U{max(map(len, REASONS))}")

MAX_MEDIAN: Final = 0.5
"""A median further up the range of its trace than this is that of no transients."""


def reasons(
    median: npt.NDArray[np.float64], ranges: npt.NDArray[np.float64]
) -> npt.NDArray[np.str_]:
    """Say why each ROI is bad."""
    # The published reader's rules, over the whole recording: any NaN; any infinity; (median -
    # minimum) / (maximum - minimum) above 0.5; mean below 0. NWB files have no such ROIs.
    low, high, mean, n_nan = ranges
    with np.errstate(invalid="ignore", divide="ignore"):
        place = (median - low) / (high - low)
    return np.select(
        [n_nan > 0, np.isinf(low) | np.isinf(high), place > MAX_MEDIAN, mean < 0],
        REASONS[1:],
        FINE,
    ).astype(REASON_DTYPE)
