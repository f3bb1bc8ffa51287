"""When things happen: the pulses that the acquisition card saw, and the segment table.

Every time in a sample session derives from pulses, integer counts at 100 kHz, by the definitions of
the original files from which the published NWB files were made. Both file formats therefore tell
the same times.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_COLUMNS, SEGMENT_NUMBERS, SEGMENT_TEXT
from oscaxr.sample.spec import BLOCK_ORDERS, TIMELINE, BlockName, SampleSpec

COUNTS_PER_SECOND: Final = 100_000
STIM_RATE: Final = 59.951
CAMERA_RATE: Final = 30.0
FLIPS_PER_EVENT: Final = 60
FLASH_FLIPS: Final = 5

_FIRST_TWOP: Final = 9.52
# The microscope starts before the stimulus and stops after it.
_TWOP_LEAD: Final = 4.757
_TWOP_TAIL: Final = 5.285
_MONITOR_DELAY: Final = 0.035
# The stimulus computer raises its line when it has read the wheel, and drops it after the flip.
_RISE_BEFORE_FALL: Final = 0.009
_RISE_JITTER: Final = 6e-5
_GABOR_JITTER: Final = 1.5e-3  # patches are drawn when a segment starts
_LARGEST_JITTER: Final = 3e-3
_FLIP_JITTER: Final = 2e-5
_TWOP_JITTER: Final = 2e-6
_EVENT_JITTER: Final = 1e-4
_FIRST_BODY_FRAME: Final = 8.21
_FIRST_EYE_FRAME: Final = 8.34
_CAMERA_TAIL: Final = 3.5

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clocks:
    """Pulses of a session, counted at 100 kHz, and the times that follow from them."""

    twop_fall: Counts
    stim_rise: Counts
    stim_fall: Counts
    screen_events: Counts
    start_flash: Counts
    stop_flash: Counts
    eye_rise: Counts
    body_rise: Counts

    @property
    def twop_times(self) -> NDArray[np.float64]:
        """Times of the two-photon frames, s."""
        return self.twop_fall[1:] / COUNTS_PER_SECOND

    @property
    def monitor_delay(self) -> float:
        """Mean time from a flip to the light on the screen, s."""
        flips = self.stim_fall[::FLIPS_PER_EVENT] / COUNTS_PER_SECOND
        return float(np.mean(self.screen_events / COUNTS_PER_SECOND - flips))

    def frames_on_screen(self, falls: Counts) -> NDArray[np.int64]:
        """Return the two-photon frame during which the flip of a pulse was seen on the screen."""
        seen = falls / COUNTS_PER_SECOND + self.monitor_delay
        return np.searchsorted(self.twop_times, seen, side="left").astype(np.int64) - 1

    @property
    def stim_to_twop(self) -> NDArray[np.int64]:
        """Two-photon frame of each usable stimulus frame; frame k is that of pulse k + 1."""
        return self.frames_on_screen(self.stim_fall[1:])

    @property
    def stim_clock(self) -> NDArray[np.float64]:
        """Time of each pulse, s: the first is at the start of the two-photon frame it falls in."""
        rise = self.stim_rise / COUNTS_PER_SECOND
        (first,) = self.frames_on_screen(self.stim_fall[1:2])
        start = self.twop_times[first]
        return np.asarray(rise - rise[0] + start, dtype=np.float64)

    def camera_frames(self, rises: Counts) -> NDArray[np.int64]:
        """Return the camera frame under way when each two-photon frame began."""
        return np.searchsorted(rises, self.twop_fall[1:], side="right") - 1

    @property
    def pupil_frames(self) -> NDArray[np.int64]:
        """Eye-camera frame that tells the pupil of each two-photon frame: 0.1 s later."""
        rate = 1.0 / float(np.diff(self.twop_times).mean())
        return self.camera_frames(self.eye_rise) + round(0.1 * rate)


def make_clocks(spec: SampleSpec, gabor_starts: Counts, rng: np.random.Generator) -> Clocks:
    """Make the pulses of a session; Gabor segments start at some of the stimulus frames."""
    # One pulse more than there are usable frames: the last has no frame after it.
    ticks = spec.n_stim_frames
    refreshes = np.ones(ticks)
    late = rng.choice(ticks, size=int(spec.late_frames * ticks), replace=False)
    refreshes[late] = 2.0
    flips = np.concatenate([[0.0], np.cumsum(refreshes)]) * (ticks / refreshes.sum() / STIM_RATE)
    duration = _TWOP_LEAD + ticks / STIM_RATE + _TWOP_TAIL
    n_twop = round(duration * spec.twop_rate)
    twop = _FIRST_TWOP + np.arange(-1, n_twop) / spec.twop_rate

    first_frame = round(_TWOP_LEAD * spec.twop_rate)
    flips += _FIRST_TWOP + (first_frame + 0.5) / spec.twop_rate - _MONITOR_DELAY - flips[1]
    fall = flips + rng.normal(0.0, _FLIP_JITTER, ticks + 1)
    twop += rng.normal(0.0, _TWOP_JITTER, n_twop + 1)
    jitter = rng.normal(0.0, _RISE_JITTER, ticks + 1)
    jitter[gabor_starts] = rng.normal(0.0, _GABOR_JITTER, len(gabor_starts))
    rise = fall - _RISE_BEFORE_FALL + jitter.clip(-_LARGEST_JITTER, _LARGEST_JITTER)
    seen = fall[::FLIPS_PER_EVENT]
    events = seen + _MONITOR_DELAY + rng.normal(0.0, _EVENT_JITTER, len(seen))
    # The stop flash waits for the sync square's next regular flip.
    to_stop = len(seen) * FLIPS_PER_EVENT - len(fall) + 1
    stop = fall[-1] + (to_stop + FLASH_FLIPS * np.arange(6)) / STIM_RATE + _MONITOR_DELAY
    start = fall[0] + FLASH_FLIPS * np.arange(-5, 0) / STIM_RATE + _MONITOR_DELAY
    eye, body = (
        first + np.arange(int((twop[-1] + _CAMERA_TAIL - first) * CAMERA_RATE)) / CAMERA_RATE
        for first in (_FIRST_EYE_FRAME, _FIRST_BODY_FRAME)
    )
    pulses = (twop, rise, fall, events, start, stop, eye, body)
    return Clocks(*(np.round(times * COUNTS_PER_SECOND).astype(np.int64) for times in pulses))


NOMINAL_RATE: Final = 60.0  # of the stimulus computer, Hz
FRAMES_PER_GABOR: Final = 18

_LETTERS: Final = np.array(["A", "B", "C", "D", "G"])
_ORIENTATIONS: Final = np.array([0.0, 45.0, 90.0, 135.0])

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Segment table and clocks of a session."""

    segments: Columns
    clocks: Clocks

    @property
    def stim_times(self) -> NDArray[np.float64]:
        """Times of the usable stimulus frames, s."""
        return self.clocks.stim_clock[:-1]

    @property
    def twop_times(self) -> NDArray[np.float64]:
        """Times of the two-photon frames, s."""
        return self.clocks.twop_times


def unexpected_runs(
    count: int, expected: tuple[int, int], unexpected: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark which of the units of a block are unexpected, in alternating runs."""
    longest_pair = expected[1] + unexpected[1] + 1
    shrink = min(1.0, count / longest_pair)
    lowest, highest = (max(1, int(limit * shrink)) for limit in expected)
    fewest, most = (min(limit, max(1, count - highest - 1)) for limit in unexpected)
    lengths: list[int] = []
    left = count
    while left > 0:
        run = min(int(rng.integers(lowest, highest + 1)), left)
        rest = left - run
        if 0 < rest <= most:
            # Too little remains for a whole unexpected run and an expected one to end with.
            run = left if left <= highest and lengths else max(1, left - most - 1)
        lengths.append(run)
        left -= run
        if left > 0:
            lengths.append(int(rng.integers(fewest, most + 1)))
            left -= lengths[-1]
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def _block(rows: int, **values: Any) -> Columns:
    """Make rows of the table that are empty but for the values given."""
    columns: Columns = {name: np.full(rows, "", dtype="<U16") for name in SEGMENT_TEXT}
    columns |= {name: np.full(rows, np.nan) for name in SEGMENT_NUMBERS}
    columns["start_frame_stim_template"] = np.zeros(rows)
    columns["num_frames_stim"] = np.zeros(rows, dtype=np.int64)
    for name, value in values.items():
        columns[name][:] = value
    return columns


def _gray_block(spec: SampleSpec) -> Columns:
    return _block(
        1,
        stimulus_type=n.GRAYSCREEN,
        stimulus_template_name=n.GRAYSCREEN,
        num_frames_stim=spec.n_gray_frames,
    )


def _gabor_block(spec: SampleSpec, rng: np.random.Generator) -> Columns:
    sequences = spec.n_sequences
    # A sequence lasts 1.5 s: expected runs of 30 to 90 s, unexpected ones of 3 to 6 s.
    unexpected = unexpected_runs(sequences, (20, 60), (2, 4), rng)
    orientation = rng.choice(_ORIENTATIONS, sequences)
    letters = np.tile(_LETTERS, (sequences, 1))
    letters[unexpected, 3] = "U"
    orientations = np.repeat(orientation[:, np.newaxis], 5, axis=1)
    # G has no patches, but keeps what its sequence had last.
    orientations[unexpected, 3:] += 90.0
    return _block(
        5 * sequences,
        stimulus_type=n.GABORS,
        stimulus_template_name=n.GABORS,
        unexpected=np.repeat(unexpected, 5),
        gabor_frame=letters.ravel(),
        gabor_kappa=spec.gabor_kappa,
        gabor_mean_orientation=orientations.ravel(),
        gabor_number=np.where(letters == "G", np.nan, n.N_PATCHES).ravel(),
        start_frame_stim_template=np.arange(5 * sequences),
        num_frames_stim=FRAMES_PER_GABOR,
    )


def _flow_block(spec: SampleSpec, name: BlockName, rng: np.random.Generator) -> Columns:
    unexpected = unexpected_runs(spec.n_flow, (30, 90), (2, 4), rng)
    return _block(
        spec.n_flow,
        stimulus_type=n.VISFLOW,
        stimulus_template_name=f"visflow_{name}",
        unexpected=unexpected,
        main_flow_direction=n.FLOW_DIRECTION_WORDS[name],
        square_size=spec.square_size,
        square_number=spec.n_squares,
        square_proportion_flipped=0.25 * unexpected,
        start_frame_stim_template=n.N_FLOW_FRAMES * np.arange(spec.n_flow),
        num_frames_stim=n.N_FLOW_FRAMES,
    )


def make_timeline(spec: SampleSpec) -> Timeline:
    """Make the segment table and the clocks of a session."""
    # Gray screens come first, between the blocks and last, and each segment stops where the next
    # one starts. A segment's two-photon frame is the one during which its first stimulus frame was
    # seen on the screen; its time is that of the stimulus computer's pulse, so the two may differ
    # by up to one two-photon frame. The last segment has no pulse to stop it: it lasts as long as
    # its frames do at 60 Hz.
    rng = spec.random(TIMELINE)
    drawn = BLOCK_ORDERS[int(rng.integers(len(BLOCK_ORDERS)))]
    blocks = [_gray_block(spec)]
    for name in spec.block_order or drawn:
        stimulus = _gabor_block(spec, rng) if name == "gabors" else _flow_block(spec, name, rng)
        blocks += [stimulus, _gray_block(spec)]
    # The last pulse of the stimulus computer has no frame after it.
    blocks[-1]["num_frames_stim"][:] -= 1
    table = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    edges = np.concatenate([[0], np.cumsum(table.pop("num_frames_stim"))]).astype(np.int64)
    clocks = make_clocks(spec, edges[:-1][table["stimulus_type"] == n.GABORS], rng)
    clock, twop = clocks.stim_clock, clocks.stim_to_twop
    frames = np.diff(edges)
    # No frame follows the last one, which is taken to last one more.
    twop_edges = np.append(twop, twop[-1] + 1)[edges]
    times = {"start_time": clock[edges[:-1]], "stop_time": clock[edges[1:]]}
    times["stop_time"][-1] = times["start_time"][-1] + frames[-1] / NOMINAL_RATE
    numbers = {
        "start_frame_stim": edges[:-1],
        "stop_frame_stim": edges[1:],
        "num_frames_stim": frames,
        "start_frame_twop": twop_edges[:-1],
        "stop_frame_twop": twop_edges[1:],
        "num_frames_twop": np.diff(twop_edges),
    }
    ordered = {name: table[name] for _, name in SEGMENT_COLUMNS if name in table}
    return Timeline(times | ordered | numbers, clocks)
