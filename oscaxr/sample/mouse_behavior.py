"""What the mouse did: arousal, running velocity and pupil."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model import signals
from oscaxr.sample.spec import BEHAVIOR, MOUSE_ROIS, SampleSpec
from oscaxr.sample.timeline import COUNTS_PER_SECOND, Timeline

_KNOT_RATE: Final = 5.0  # of the slow signals, Hz
_FRAMES_WITH_A_JUMP: Final = 25_000  # of the running velocity, at least
# Neither jumps nor gaps of fewer frames outlast the median filter.
_SHORTEST_LASTING: Final = 3
_LONGEST_USUAL_GAP: Final = 4
_BLINK_INTERVAL: Final = 15.0  # s
_PUPIL_DELAY: Final = 0.1  # s, of the eye camera
_RUNNER: Final = 0.12  # share of mice that run most of the time
_SMALLEST_PUPIL: Final = 0.1  # mm, diameter
_WIDE_PUPIL: Final = 0.75  # mm, towards which it widens


@dataclass(frozen=True, eq=False)
class Behavior:
    """Running, pupil and the slow signal behind both."""

    arousal: NDArray[np.float64]
    wheel: NDArray[np.float32]
    run_velocity: NDArray[np.float64]
    pupil_pixels: NDArray[np.float64]
    pupil_diameter: NDArray[np.float64]
    pupil_center_x: NDArray[np.float64]
    pupil_center_y: NDArray[np.float64]


def decay_filter(
    impulses: NDArray[np.float64], keep: NDArray[np.float64] | float, passes: int
) -> NDArray[np.float64]:
    """Let each impulse decay exponentially along the first axis."""
    # The truncated geometric series is a product of `1 + (keep z)**(2**k)`: a few vectorised passes
    # instead of a recursion over samples, and a sample depends on the last 2**passes impulses only.
    for power in range(passes):
        shift = 2**power
        impulses[shift:] += impulses[:-shift] * keep**shift
    return impulses


def _slow_signal(
    times: NDArray[np.float64], time_constant: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smoothed noise with unit standard deviation and the given time constant (s)."""
    knots = np.arange(times[0] - 1.0, times[-1] + 2.0, 1.0 / _KNOT_RATE)
    warm_up = int(8 * time_constant * _KNOT_RATE)
    keep = float(np.exp(-1.0 / (time_constant * _KNOT_RATE)))
    noise = rng.standard_normal(len(knots) + warm_up)
    passes = max(1, int(np.ceil(np.log2(warm_up))))
    signal = decay_filter(noise, keep, passes)[warm_up:] * np.sqrt(1.0 - keep**2)
    return np.asarray(np.interp(times, knots, signal), dtype=np.float64)


def _after_unexpected(times: NDArray[np.float64], timeline: Timeline) -> NDArray[np.float64]:
    """Response (0 to 1) that rises within a second of each unexpected event and fades in three."""
    table = timeline.segments
    events = (table["gabor_frame"] == "U") | (
        (table["stimulus_type"] == n.VISFLOW) & (table["unexpected"] == 1)
    )
    grid = np.arange(times[0], times[-1] + 1.0 / _KNOT_RATE, 1.0 / _KNOT_RATE)
    impulses = np.zeros(len(grid))
    impulses[np.searchsorted(grid, table["start_time"][events])] = 1.0
    fading = decay_filter(impulses.copy(), float(np.exp(-1.0 / (3.0 * _KNOT_RATE))), 7)
    rising = decay_filter(impulses, float(np.exp(-1.0 / (0.5 * _KNOT_RATE))), 7)
    return np.asarray(np.interp(times, grid, fading - rising), dtype=np.float64)


def _intervals(
    size: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Mark the samples that lie in any of the intervals."""
    steps = np.zeros(size + 1, dtype=np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, np.minimum(starts + lengths, size), -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)


def _drop_frames(velocity: NDArray[np.float64], spec: SampleSpec, rng: np.random.Generator) -> None:
    """Put outliers and gaps (NaN) into the running velocity, before it is filtered."""
    size = len(velocity)
    # Slots of 20 frames keep the jumps apart, from each other and from both ends.
    slots = rng.permutation(np.arange(1, size // 20 - 1))
    n_jumps = int(size >= _FRAMES_WITH_A_JUMP)
    jumps = slots[:n_jumps] * 20
    velocity[_intervals(size, jumps, np.full(n_jumps, _SHORTEST_LASTING))] += 120.0

    n_dropped = int(spec.dropped * size)
    # Frames are seldom lost in long runs, unless the recording is a bad one.
    longest = _LONGEST_USUAL_GAP if spec.dropped <= n.DROP_TOLERANCE else 3 * _LONGEST_USUAL_GAP
    lengths = rng.integers(_SHORTEST_LASTING, longest + 1, n_dropped)
    ends = np.cumsum(lengths)
    # The last gap takes what is too little for another one.
    ends = np.append(ends[ends <= n_dropped - _SHORTEST_LASTING], n_dropped)
    lengths = np.diff(ends, prepend=0) if n_dropped >= _SHORTEST_LASTING else lengths[:0]
    gaps = slots[n_jumps : n_jumps + len(lengths)] * 20 + _SHORTEST_LASTING
    velocity[_intervals(size, gaps, lengths[: len(gaps)])] = np.nan


def _running_effort(
    effort: NDArray[np.float64], spec: SampleSpec, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Make rest (0) and bouts of running (up to 1) from a signal of unit standard deviation."""
    # Mice differ more than the sessions of one; most are at rest most of the time.
    kind, share = spec.random(MOUSE_ROIS, 1).random(2)
    share = 0.9 + 0.08 * share if kind < _RUNNER else 0.03 + 0.37 * share**2
    threshold = -NormalDist().inv_cdf(share) + rng.normal(0.0, 0.15)
    return np.asarray(1.0 - np.exp(-0.8 * np.maximum(effort - threshold, 0.0)))


def _pupil_pixels(
    slow: NDArray[np.float64],
    running: NDArray[np.float64],
    knots: NDArray[np.float64],
    timeline: Timeline,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Make the pupil in the frames of the eye camera, from slow signals at their knots."""
    # The camera tells late what it sees: a frame holds what was the case 0.1 s before.
    times = timeline.clocks.eye_rise / COUNTS_PER_SECOND - _PUPIL_DELAY
    # Small pupils widen more when the mouse runs than those that are wide at rest.
    at_rest = rng.uniform(0.34, 0.62)
    diameter = at_rest + 0.7 * (_WIDE_PUPIL - at_rest) * np.interp(times, knots, running)
    diameter += 0.06 * np.interp(times, knots, slow) + 0.03 * _slow_signal(times, 2.0, rng)
    diameter += 0.06 * _after_unexpected(times, timeline)
    diameter += rng.normal(0.0, 0.008, len(times))
    diameter = diameter.clip(_SMALLEST_PUPIL)
    center_x = 3.28 + 0.06 * _slow_signal(times, 1.0, rng)
    center_y = 3.28 + 0.04 * _slow_signal(times, 1.0, rng)
    center_x += rng.normal(0.0, 0.006, len(times))
    center_y += rng.normal(0.0, 0.006, len(times))

    n_blinks = max(1, int((times[-1] - times[0]) / _BLINK_INTERVAL))
    starts = rng.integers(0, len(times), n_blinks)
    pixels = np.column_stack([diameter, center_x, center_y]) / n.MM_PER_PUPIL_PIXEL
    pixels[_intervals(len(times), starts, rng.integers(3, 9, n_blinks))] = np.nan
    return pixels


def make_behavior(spec: SampleSpec, timeline: Timeline) -> Behavior:
    """Make the running and pupil data of a session."""
    rng = spec.random(BEHAVIOR)
    stim_times, twop_times = timeline.stim_times, timeline.twop_times
    knots = np.arange(twop_times[0] - 1.0, twop_times[-1] + 2.0, 1.0 / _KNOT_RATE)
    slow = _slow_signal(knots, 20.0, rng)

    effort = (slow + _slow_signal(knots, 4.0, rng)) / np.sqrt(2.0)
    running = _running_effort(effort, spec, rng)
    velocity = rng.uniform(28.0, 50.0) * np.interp(stim_times, knots, running)
    # A mouse slows down when something unexpected happens.
    velocity *= 1.0 - 0.3 * _after_unexpected(stim_times, timeline)
    # The median filter halves what noise there is.
    velocity += rng.normal(0.0, 2.0, len(velocity))
    _drop_frames(velocity, spec, rng)
    clock = timeline.clocks.stim_rise / COUNTS_PER_SECOND
    # What the wheel's log holds when the mouse runs so.
    degrees = np.degrees(np.nan_to_num(velocity) * np.diff(clock) / signals.CM_PER_RADIAN)
    wheel = np.append(0.0, degrees).astype(np.float32)

    pixels = _pupil_pixels(slow, running, knots, timeline, rng)
    seen = np.ascontiguousarray(pixels[timeline.clocks.pupil_frames].T)
    diameter, center_x, center_y = seen * n.MM_PER_PUPIL_PIXEL
    return Behavior(
        arousal=np.interp(twop_times, knots, slow),
        wheel=wheel,
        run_velocity=signals.wheel_velocity(wheel, clock),
        pupil_pixels=pixels,
        pupil_diameter=diameter,
        pupil_center_x=center_x,
        pupil_center_y=center_y,
    )
