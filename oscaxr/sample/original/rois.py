"""All ROIs that were found in a session, unfit ones among them: traces and masks."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.rois import MaskKind, all_roi_ids, allen_id_base, allen_rows, bad_rois
from oscaxr.sample.spec import SESSION_ROIS
from oscaxr.sample.synthesis import SampleSession

# In this order, over and over. By the published rules an ROI is bad if its trace has a NaN or an
# infinity, if its median is nearer to its maximum than to its minimum, or if its mean is negative.
BAD_KINDS: Final = ("nan", "infinite", "dimming", "negative")


@dataclass(frozen=True, eq=False)
class FoundRois:
    """The ROIs of a session's files, in their order."""

    session: SampleSession
    is_extract: bool
    rows: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        spec = self.session.spec
        rows = np.arange(spec.n_rois + spec.n_bad_rois) if self.is_extract else allen_rows(spec)
        object.__setattr__(self, "rows", rows)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids, (roi,)."""
        if self.is_extract:
            return all_roi_ids(self.session.spec)
        return allen_id_base(self.session.spec) + self.rows

    @property
    def _source(self) -> NDArray[np.int64]:
        """Fit ROI of the session that each ROI is, or is made from."""
        is_bad = bad_rois(self.session.spec)
        source = np.empty(len(is_bad), dtype=np.int64)
        source[~is_bad] = np.arange(self.session.spec.n_rois)
        source[is_bad] = 7 * np.arange(is_bad.sum()) % self.session.spec.n_rois
        return source[self.rows]

    @property
    def _kind(self) -> NDArray[np.int64]:
        """Position of each ROI's kind in BAD_KINDS, -1 for fit ROIs."""
        is_bad = bad_rois(self.session.spec)
        kind = np.full(len(is_bad), -1)
        kind[is_bad] = np.arange(is_bad.sum()) % len(BAD_KINDS)
        return kind[self.rows]

    def dff(self, fit: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        """Return dF/F of all ROIs in a range of frames."""
        dff = fit.T[self._source]
        if not self.is_extract and self.session.spec.plane == "dend":
            dff *= 0.8  # another segmentation, other traces
        kind = self._kind
        total = self.session.n_twop_frames
        frames = np.arange(start, start + len(fit))
        is_gap = (frames >= total // 3) & (frames < total // 3 + max(1, total // 50))
        dff[np.ix_(kind == BAD_KINDS.index("nan"), is_gap)] = np.nan
        dff[np.ix_(kind == BAD_KINDS.index("infinite"), frames == total // 2)] = np.inf
        is_dimming = kind == BAD_KINDS.index("dimming")
        dff[is_dimming] = 2.0 - dff[is_dimming]
        dff[kind == BAD_KINDS.index("negative")] -= 0.5
        return dff

    def raw(self, dff: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return raw fluorescence."""
        rng = self.session.spec.random(SESSION_ROIS, 4)
        ground = rng.uniform(200.0, 900.0, len(bad_rois(self.session.spec)))[self.rows]
        return np.asarray(ground[:, np.newaxis] * (1.0 + dff))

    def masks(self, start: int, stop: int, kind: MaskKind) -> NDArray[Any]:
        """Return the masks of a range of ROIs; an unfit one is the mirror image of a fit one."""
        rows = slice(start, stop)
        is_bad = self._kind[rows] >= 0
        images = np.stack(
            [self.session.masks(row, row + 1, kind)[0] for row in self._source[rows].tolist()]
        )
        images[is_bad] = images[is_bad, :, ::-1]
        return images
