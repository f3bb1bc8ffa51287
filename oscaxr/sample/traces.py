"""dF/F of a session, made block by block of frames: transients, planted responses, noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.sample.behavior import decay_filter
from oscaxr.sample.rois import KINDS, Tuning
from oscaxr.sample.spec import TRACE_INPUT, TRACE_NOISE, SampleSpec
from oscaxr.sample.timeline import Columns

BLOCK_FRAMES: Final = 2048
_TAIL_PASSES: Final = 7
# An impulse reaches 2**7 frames on, and two more for its rise.
_HISTORY: Final = 2**_TAIL_PASSES + 2
_LATENCY: Final = 0.07  # s, from the start of a segment to the response


@dataclass(frozen=True, eq=False)
class TraceModel:
    """Everything the traces are computed from; small, whatever the session's length."""

    spec: SampleSpec
    tuning: Tuning
    arousal: NDArray[np.float64]
    onsets: NDArray[np.int64]
    kinds: NDArray[np.int64]
    orientations: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of two-photon frames, number of ROIs."""
        return len(self.arousal), self.spec.n_rois

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Compute the traces of a range of frames."""
        first, last, _ = slice(start, stop).indices(self.shape[0])
        traces = np.empty((max(last - first, 0), self.shape[1]))
        for block in range(first // BLOCK_FRAMES, -(-last // BLOCK_FRAMES) if last > first else 0):
            offset = block * BLOCK_FRAMES
            low, high = max(first, offset), min(last, offset + BLOCK_FRAMES)
            traces[low - first : high - first] = self._block(block)[low - offset : high - offset]
        return traces

    def _impulses(self, block: int) -> NDArray[np.float64]:
        """Transients that begin in one block of frames, (frame, roi)."""
        frames, rois = BLOCK_FRAMES, self.spec.n_rois
        rng = self.spec.random(TRACE_INPUT, block)
        rates = self.tuning.event_rate
        count = rng.poisson(rates.sum() * frames / self.spec.twop_rate)
        when = rng.integers(0, frames, count)
        which = np.searchsorted(np.cumsum(rates / rates.sum()), rng.random(count))
        impulses = np.zeros((frames, rois))
        sizes = 0.2 + rng.exponential(0.6, count)
        np.add.at(impulses, (when, np.minimum(which, rois - 1)), sizes)

        low, high = np.searchsorted(self.onsets, [block * frames, (block + 1) * frames])
        rows = slice(int(low), int(high))
        turned = self.orientations[rows, np.newaxis] - self.tuning.preferred_orientation
        gain = np.nan_to_num(0.7 + 0.6 * np.cos(np.radians(turned)) ** 2, nan=1.0)
        driven = self.tuning.weights[self.kinds[rows]] * gain
        driven *= rng.standard_exponential(driven.shape)
        np.add.at(impulses, self.onsets[rows] - block * frames, driven)
        # One large transient in each minute or so: without any, in a short session, the trace of a
        # quiet ROI would be noise alone, which the published rules take for an unfit ROI.
        span = min(frames, max(1, self.shape[0] - block * frames))
        impulses[rng.integers(0, span, rois), np.arange(rois)] += 2.0
        return impulses

    def _block(self, block: int) -> NDArray[np.float64]:
        """Traces of one block of frames; the last one goes past the end of the recording."""
        frames, rois = BLOCK_FRAMES, self.spec.n_rois
        signal = np.zeros((_HISTORY + frames, rois))
        if block > 0:
            signal[:_HISTORY] = self._impulses(block - 1)[-_HISTORY:]
        signal[_HISTORY:] = self._impulses(block)
        # Rise over three frames, then decay.
        risen = 0.5 * signal
        risen[1:] += 0.3 * signal[:-1]
        risen[2:] += 0.2 * signal[:-2]
        keep = np.exp(-1.0 / (self.tuning.decay_time * self.spec.twop_rate))
        traces = decay_filter(risen, keep, _TAIL_PASSES)[_HISTORY:]
        noise = self.spec.random(TRACE_NOISE, block).standard_normal((frames, rois))
        noise *= self.tuning.noise
        traces += noise
        slow = np.zeros(frames)
        part = self.arousal[block * frames : (block + 1) * frames]
        slow[: len(part)] = part
        traces += slow[:, np.newaxis] * self.tuning.arousal
        return traces


def make_trace_model(
    spec: SampleSpec, segments: Columns, arousal: NDArray[np.float64], tuning: Tuning
) -> TraceModel:
    """Gather what the traces of a session are computed from."""
    is_flow = segments["stimulus_type"] == n.VISFLOW
    names = np.where(is_flow, "flow", segments["gabor_frame"]).astype("<U16")
    names[is_flow & (segments["unexpected"] == 1)] = "flow_unexpected"
    names[names == ""] = "grayscreen"
    order = np.argsort(KINDS)
    kinds = order[np.searchsorted(np.array(KINDS)[order], names)]
    latency = max(1, round(_LATENCY * spec.twop_rate))
    onsets = segments["start_frame_twop"] + latency
    return TraceModel(
        spec=spec,
        tuning=tuning,
        # Centred, so that it does not make the mean of a trace negative.
        arousal=arousal - arousal.mean(),
        onsets=onsets,
        kinds=kinds,
        orientations=segments["gabor_mean_orientation"],
    )
