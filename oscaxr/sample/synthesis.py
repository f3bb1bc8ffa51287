"""One synthetic session, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.mouse_behavior import Behavior, make_behavior
from oscaxr.sample.planted_rois import (
    MaskKind,
    Masks,
    TraceModel,
    all_roi_ids,
    bad_rois,
    make_masks,
    make_max_projection,
    make_trace_model,
    make_tuning,
    tracked_rows,
)
from oscaxr.sample.screen import Patches, make_patches, make_squares, make_templates
from oscaxr.sample.spec import MOVIE, SampleSpec
from oscaxr.sample.timeline import Timeline, make_timeline

_MOVIE_BLOCK = 64


@dataclass(frozen=True, eq=False)
class SampleSession(Timeline, Behavior):
    """A synthetic session: small things as arrays, big ones made when they are asked for.

    Parameters
    ----------
    spec : SampleSpec
        What it was made from, with the facts about mouse and session.
    segments : dict of str to (segment,) array
        Scalar columns of the segment table, named as in the files. Text is empty and numbers are
        NaN where a column does not concern the stimulus.
    patches : Patches
        Gabor patches, arrays of (segment, patch).
    clocks : Clocks
        The recorded pulses, from which all times and frames follow.
    arousal : (time,) array
        The slow signal behind running, pupil and part of the traces.
    wheel : (stim_time + 1,) float32 array
        Degrees that the running wheel turned since the pulse before.
    run_velocity : (stim_time,) array
        cm/s, NaN where dropped; follows from the wheel.
    pupil_pixels : (camera_frame, 3) array
        Diameter and centre (x, y) of the pupil in each frame of the eye camera.
    pupil_diameter, pupil_center_x, pupil_center_y : (time,) array
        mm, NaN in blinks.
    roi_id : (roi,) int array
        ROI ids: nine digits and ascending in somata, numbers from 0 in dendrites.
    tracking_id : (roi,) array or None
        Position in the tracking order, NaN where an ROI is not tracked; None if no ROI is.
    max_projection : (height, width) uint8 array
        Maximum projection.
    planted : dict of str to (roi,) bool array
        Which ROIs were made to respond: ``"unexpected_gabors"``, ``"unexpected_flow"``,
        ``"suppressed"`` (silent in unexpected Gabor frames).
    mask_model : Masks
        See :meth:`masks`.
    trace_model : TraceModel
        See :meth:`traces`.

    Examples
    --------
    >>> session = make_session(SampleSpec(scale=0.01, n_rois=3, n_tracked=1))
    >>> session.traces(100, 104).shape
    (4, 3)
    >>> len(session.segments["start_time"])
    94
    """

    spec: SampleSpec
    patches: Patches
    roi_id: NDArray[np.int64]
    tracking_id: NDArray[np.float64] | None
    max_projection: NDArray[np.uint8]
    planted: Mapping[str, NDArray[np.bool_]]
    mask_model: Masks
    trace_model: TraceModel

    @property
    def n_twop_frames(self) -> int:
        """Number of two-photon frames."""
        return len(self.twop_times)

    def traces(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the dF/F of a range of two-photon frames.

        Parameters
        ----------
        start, stop : int, optional
            Range of frames; all of them by default (637 MB in a real-size session of 628 ROIs).

        Returns
        -------
        (time, roi) array
            dF/F; the same numbers however the recording is cut into ranges.
        """
        return self.trace_model.read(start, stop)

    def masks(
        self, start: int = 0, stop: int | None = None, kind: MaskKind = "bool"
    ) -> NDArray[Any]:
        """Return the masks of a range of ROIs.

        Parameters
        ----------
        start, stop : int, optional
            Range of ROI rows; all of them by default.
        kind : {"bool", "uint8", "float64", "weights"}, optional
            Form of the masks; weights have a halo below 0.1, which is no part of the mask.

        Returns
        -------
        (roi, height, width) array
            The masks.
        """
        return self.mask_model.draw(start, stop, kind)

    def squares(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Return the square tracks of the visual flow.

        Returns
        -------
        x, y : (flow_segment, square, flow_frame) int16 array
            Pixels from the centre of the screen; 26 MB each in a real-size session.
        """
        return make_squares(self.spec, self.segments)

    def templates(
        self, *, shape: tuple[int, int] = (30, 48), frames: int = 60
    ) -> dict[str, NDArray[np.uint8]]:
        """Return the first images of each stimulus template, small.

        Parameters
        ----------
        shape : tuple of int, optional
            Height and width of the images.
        frames : int, optional
            At most so many images of each template.

        Returns
        -------
        dict of str to (frame, height, width, 1) uint8 array
            Images by template name.
        """
        return make_templates(self.spec, self.segments, self.patches, shape, frames)

    def movie(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint16]:
        """Return a range of frames of the motion-corrected two-photon stack.

        Parameters
        ----------
        start, stop : int, optional
            Range of two-photon frames. A whole stack of a real-size session is 66 GB.

        Returns
        -------
        (time, height, width) uint16 array
            ROIs that brighten with their traces on a noisy ground.
        """
        first, last, _ = slice(start, stop).indices(self.n_twop_frames)
        shape = self.spec.field_shape
        movie = np.empty((max(last - first, 0), *shape), dtype=np.uint16)
        weights = self.masks(kind="bool").reshape(self.spec.n_rois, -1)
        roi, pixel = np.nonzero(weights)
        traces = self.traces(first, last)
        for block in range(first // _MOVIE_BLOCK, -(-last // _MOVIE_BLOCK) if last > first else 0):
            offset = block * _MOVIE_BLOCK
            low, high = max(first, offset), min(last, offset + _MOVIE_BLOCK)
            noise = self.spec.random(MOVIE, block).normal(0.0, 8.0, (_MOVIE_BLOCK, *shape))
            images = noise[low - offset : high - offset]
            images += 60.0 + 0.5 * self.max_projection
            flat = images.reshape(high - low, -1)
            np.add.at(flat.T, pixel, 80.0 * traces[low - first : high - first].T[roi])
            movie[low - first : high - first] = np.clip(images, 0, 65535)
        return movie


def make_session(spec: SampleSpec) -> SampleSession:
    """Make one synthetic session in memory.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be; equal specs give equal sessions.

    Returns
    -------
    SampleSession
        Plain arrays. Traces, masks, squares and images are made on request.

    Notes
    -----
    Counts, run lengths, stimulus parameters and clocks are those of the published recordings
    (Gillon, Lecoq et al. 2023, Sci Data); the responses are invented. At real length, and without
    other options, a session lies within the ranges of the recordings:

    - pupil: median 0.30 to 0.70 mm, 99th percentile at most 0.89 mm, 0.1 to 2.3 % missing;
    - running: median 0 to 1.5 cm/s in most mice, up to 35 cm/s in a few; at most 11 frames missing
      or outliers;
    - Gabor segments last 0.293 to 0.307 s, those of visual flow 0.998 to 1.001 s; two-photon frames
      are regular to 1e-5 s;
    - masks: 180 to 240 pixels on average in somata, about 35 in dendrites, 6 to 1,108 over all
      (smaller where the field is);
    - SNR (:func:`oscaxr.snr`): median ratio 2.7 to 3.9 in somata and 2.36 to 2.58 in dendrites,
      median signal 0.18 to 0.28 and 0.39 to 0.59.

    Examples
    --------
    >>> session = make_session(SampleSpec(scale=0.01, n_rois=4, n_tracked=2, seed=3))
    >>> session.tracking_id[np.isfinite(session.tracking_id)].size
    2
    """
    timeline = make_timeline(spec)
    behavior = make_behavior(spec, timeline)
    tuning = make_tuning(spec)
    masks = make_masks(spec)
    tracking_id = None
    if spec.n_tracked:
        tracking_id = np.full(spec.n_rois, np.nan)
        tracking_id[tracked_rows(spec)] = np.arange(spec.n_tracked)
    return SampleSession(
        **vars(timeline),
        **vars(behavior),
        spec=spec,
        patches=make_patches(spec, timeline.segments),
        roi_id=all_roi_ids(spec)[~bad_rois(spec)],
        tracking_id=tracking_id,
        max_projection=make_max_projection(spec, masks),
        planted=tuning.planted,
        mask_model=masks,
        trace_model=make_trace_model(spec, timeline.segments, behavior.arousal, tuning),
    )
