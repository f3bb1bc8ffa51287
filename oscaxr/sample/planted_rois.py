"""The ROIs of a session: ids, tracking, masks, what each responds to, and so its dF/F."""

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.sample.mouse_behavior import decay_filter
from oscaxr.sample.spec import (
    IMAGES,
    MOUSE_ROIS,
    SESSION_ROIS,
    TRACE_INPUT,
    TRACE_NOISE,
    SampleSpec,
)
from oscaxr.sample.timeline import Columns

MaskKind = Literal["bool", "uint8", "float64", "weights"]
MASK_DTYPES: Final[dict[MaskKind, str]] = {
    "bool": "bool",
    "uint8": "uint8",
    "float64": "float64",
    "weights": "float32",
}

# What a segment can be to an ROI, the rows of `Tuning.weights`.
KINDS: Final = ("A", "B", "C", "D", "U", "G", "flow", "flow_unexpected", "grayscreen")

# Pixels from a mask's centre to its farthest pixel, halo included, and from there to the border.
_LONGEST_REACH: Final = 28
_BORDER: Final = 3
_HALO: Final = 1.5
_HALO_WEIGHT: Final = 0.05


class _Spread(NamedTuple):
    """Distribution of a property over ROIs: log-logistic, as skewed as the recorded ones."""

    median: float
    shape: float
    lowest: float
    highest: float

    def at(self, quantile: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at these quantiles, 0 to 1."""
        odds = quantile / (1.0 - quantile)
        return np.clip(self.median * odds**self.shape, self.lowest, self.highest)


class _Plane(NamedTuple):
    """What the ROIs of an imaging plane are like."""

    area: _Spread  # pixels
    noise: _Spread  # dF/F
    event_size: _Spread  # standard deviations of the noise


_PLANES: Final = {
    "soma": _Plane(
        area=_Spread(190.0, 0.25, 25.0, 900.0),
        noise=_Spread(0.065, 0.12, 0.03, 0.16),
        event_size=_Spread(2.2, 0.85, 0.2, 60.0),
    ),
    "dend": _Plane(
        area=_Spread(29.0, 0.35, 9.0, 300.0),
        noise=_Spread(0.18, 0.2, 0.05, 0.6),
        event_size=_Spread(1.0, 0.5, 0.1, 15.0),
    ),
}
_EVENT_RATE: Final = 0.08  # Hz, of spontaneous transients
_RESTING_LEVEL: Final = 0.15  # median of a silent trace, standard deviations of the noise


@dataclass(frozen=True, eq=False)
class Tuning:
    """What each ROI responds to."""

    weights: NDArray[np.float64]
    preferred_orientation: NDArray[np.float64]
    event_size: NDArray[np.float64]
    decay_time: NDArray[np.float64]
    noise: NDArray[np.float64]
    arousal: NDArray[np.float64]
    planted: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Masks:
    """ROI masks as ellipses, drawn on demand."""

    center_y: NDArray[np.float64]
    center_x: NDArray[np.float64]
    long_axis: NDArray[np.float64]
    short_axis: NDArray[np.float64]
    angle: NDArray[np.float64]
    field_shape: tuple[int, int]

    def draw(self, start: int, stop: int | None, kind: MaskKind) -> NDArray[Any]:
        """Draw the masks of some ROIs."""
        properties = self.center_y, self.center_x, self.long_axis, self.short_axis, self.angle
        each = (one[start:stop, np.newaxis, np.newaxis] for one in properties)
        center_y, center_x, long_axis, short_axis, angle = each
        farthest = int(np.sqrt(_HALO) * long_axis.max(initial=0.0)) + 1
        reach = np.arange(-farthest, farthest + 1)
        pixel_y = np.round(center_y).astype(np.int64) + reach[:, np.newaxis]
        pixel_x = np.round(center_x).astype(np.int64) + reach
        offset_y, offset_x = pixel_y - center_y, pixel_x - center_x
        cos, sin = np.cos(angle), np.sin(angle)
        along = (offset_x * cos + offset_y * sin) / long_axis
        across = (offset_y * cos - offset_x * sin) / short_axis
        distance = along**2 + across**2
        weights = np.where(distance <= 1, 1.0 - 0.8 * distance, _HALO_WEIGHT)
        inside = distance <= (_HALO if kind == "weights" else 1.0)
        images = np.zeros((len(center_y), *self.field_shape), dtype=MASK_DTYPES[kind])
        row, y, x = np.nonzero(inside)
        images[row, pixel_y[row, y, 0], pixel_x[row, 0, x]] = (
            weights[inside] if kind == "weights" else 1
        )
        return images


def tracked_rows(spec: SampleSpec) -> NDArray[np.int64]:
    """Return the rows of the tracked ROIs, in tracking order."""
    return spec.random(SESSION_ROIS).permutation(spec.n_rois)[: spec.n_tracked]


def bad_rois(spec: SampleSpec) -> NDArray[np.bool_]:
    """Mark the unfit ROIs among all ROIs that were found in a session."""
    is_bad = np.zeros(spec.n_rois + spec.n_bad_rois, dtype=bool)
    is_bad[spec.random(SESSION_ROIS, 3).permutation(len(is_bad))[: spec.n_bad_rois]] = True
    return is_bad


def allen_rows(spec: SampleSpec) -> NDArray[np.int64]:
    """Return which ROIs the Allen Institute's segmentation found."""
    rows = np.arange(spec.n_rois + spec.n_bad_rois)
    return rows if spec.plane == "soma" else rows[(rows % 3 < 2)]


def all_roi_ids(spec: SampleSpec) -> NDArray[np.int64]:
    """Return the ids of all ROIs of a session, unfit ones included."""
    numbers = np.arange(spec.n_rois + spec.n_bad_rois, dtype=np.int64)
    return numbers + allen_id_base(spec) if spec.plane == "soma" else numbers


def allen_id_base(spec: SampleSpec) -> int:
    """Return the id of the first ROI in the Allen Institute's segmentation of a session."""
    return spec.session_id + 700_001


def field_shift(spec: SampleSpec) -> NDArray[np.int64]:
    """Return by how many pixels (y, x) the field of a session is off the mouse's."""
    return spec.random(SESSION_ROIS, 2).integers(-2, 3, 2)


def _properties(spec: SampleSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Uniform numbers (roi, property): the mouse's for tracked ROIs, else the session's."""
    numbers = spec.random(SESSION_ROIS, 1).random((spec.n_rois, 16))
    is_tracked = np.zeros(spec.n_rois, dtype=bool)
    rows = tracked_rows(spec)
    is_tracked[rows] = True
    # Drawn row by row: a session with more tracked ROIs has the same ones first.
    numbers[rows] = spec.random(MOUSE_ROIS).random((spec.n_tracked, 16))
    return numbers, is_tracked


def make_masks(spec: SampleSpec) -> Masks:
    """Place the ROIs of a session in its field."""
    numbers, _ = _properties(spec)
    height, width = spec.field_shape
    # In a small field, so are the largest masks.
    reach = min(_LONGEST_REACH, min(height, width) // 3 - 2)
    margin = reach + _BORDER
    shift_y, shift_x = field_shift(spec)
    elongation = 1.0 + 1.2 * numbers[:, 3]
    largest = np.pi * (reach - 1) ** 2 / _HALO / elongation
    area = np.minimum(_PLANES[spec.plane].area.at(numbers[:, 2]), largest)
    return Masks(
        center_y=margin + (height - 1 - 2 * margin) * numbers[:, 0] + shift_y,
        center_x=margin + (width - 1 - 2 * margin) * numbers[:, 1] + shift_x,
        long_axis=np.sqrt(area * elongation / np.pi),
        short_axis=np.sqrt(area / elongation / np.pi),
        angle=np.pi * numbers[:, 4],
        field_shape=spec.field_shape,
    )


def make_max_projection(spec: SampleSpec, masks: Masks) -> NDArray[np.uint8]:
    """Draw the maximum projection of a session."""
    rng = spec.random(IMAGES)
    image = rng.gamma(6.0, 7.0, spec.field_shape)
    brightness = rng.uniform(60.0, 200.0, spec.n_rois)
    for start in range(0, spec.n_rois, 64):
        stop = min(start + 64, spec.n_rois)
        weights = masks.draw(start, stop, "weights")
        image += (weights * brightness[start:stop, np.newaxis, np.newaxis]).max(axis=0)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def make_tuning(spec: SampleSpec) -> Tuning:
    """Decide what each ROI of a session responds to."""
    numbers, is_tracked = _properties(spec)
    (
        gabor_driven,
        frame,
        orientation,
        unexpected,
        suppressed,
        flow_driven,
        flow_unexpected,
        activity,
        decay_time,
        noise,
        arousal,
    ) = numbers[:, 5:].T
    growth = 0.2 + 0.4 * min(spec.session_number, 4)
    responds = unexpected < np.where(is_tracked, 0.6, 0.15)
    responds_to_flow = flow_unexpected < np.where(is_tracked, 0.4, 0.2)
    is_suppressed = ~responds & (suppressed < 0.06)

    weights = np.zeros((len(KINDS), spec.n_rois))
    drive = np.where(gabor_driven < 0.5, 0.04 + 0.16 * gabor_driven, 0.01)
    weights[:4] = 0.3 * drive
    weights[(4 * frame).astype(np.int64), np.arange(spec.n_rois)] = drive
    weights[3, is_suppressed] = 0.35
    # U replaces D: ROIs that do not tell them apart respond to it as to D.
    weights[4] = weights[3] + np.where(responds, (0.4 + 0.4 * unexpected) * growth, 0.0)
    weights[4, is_suppressed] = 0.0
    weights[6] = np.where(flow_driven < 0.4, 0.02 + 0.05 * flow_driven, 0.01)
    weights[7] = weights[6] + np.where(responds_to_flow, 0.35 + 0.5 * flow_unexpected, 0.0)
    plane = _PLANES[spec.plane]
    noise_std = plane.noise.at(noise)
    return Tuning(
        weights=weights,
        preferred_orientation=180.0 * orientation,
        event_size=noise_std * plane.event_size.at(activity),
        decay_time=0.3 + 0.4 * decay_time,
        noise=noise_std,
        arousal=0.3 * noise_std * (arousal - 0.3),
        planted={
            "unexpected_gabors": responds,
            "unexpected_flow": responds_to_flow,
            "suppressed": is_suppressed,
        },
    )


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

    def read(self, start: int, stop: int | None) -> NDArray[np.float64]:
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
        count = rng.poisson(_EVENT_RATE * rois * frames / self.spec.twop_rate)
        when, which = rng.integers(0, frames, count), rng.integers(0, rois, count)
        impulses = np.zeros((frames, rois))
        sizes = self.tuning.event_size[which] * (0.25 + rng.exponential(0.75, count))
        np.add.at(impulses, (when, which), sizes)

        low, high = np.searchsorted(self.onsets, [block * frames, (block + 1) * frames])
        rows = slice(int(low), int(high))
        turned = self.orientations[rows, np.newaxis] - self.tuning.preferred_orientation
        gain = np.nan_to_num(0.7 + 0.6 * np.cos(np.radians(turned)) ** 2, nan=1.0)
        driven = self.tuning.weights[self.kinds[rows]] * gain
        driven *= rng.standard_exponential(driven.shape)
        np.add.at(impulses, self.onsets[rows] - block * frames, driven)
        if block == 0:
            # One large transient: without any, in a short session, the trace of a quiet ROI would
            # be noise alone, which the published rules take for an unfit ROI.
            when = rng.integers(0, max(1, min(frames, self.shape[0]) // 2), rois)
            impulses[when, np.arange(rois)] += 10.0 * self.tuning.noise
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
        noise += _RESTING_LEVEL
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
    latency = max(1, round(_LATENCY * spec.twop_rate))
    return TraceModel(
        spec=spec,
        tuning=tuning,
        # Centred, so that it does not make the mean of a trace negative.
        arousal=arousal - arousal.mean(),
        onsets=segments["start_frame_twop"] + latency,
        kinds=pd.Index(KINDS).get_indexer(pd.Index(names)),
        orientations=segments["gabor_mean_orientation"],
    )
