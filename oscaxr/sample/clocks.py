"""What the acquisition card of a synthetic session saw: pulses as integer counts at 100 kHz.

Every time in a sample session derives from these counts, by the definitions of the original files
from which the published NWB files were made. Both file formats therefore tell the same times.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.spec import SampleSpec

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
_RISE_JITTER: Final = 2e-4
_CLOCK_JITTER: Final = 2e-5
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
        start = self.twop_times[self.stim_to_twop[0]]
        return np.asarray(rise - rise[0] + start, dtype=np.float64)

    def camera_frames(self, rises: Counts) -> NDArray[np.int64]:
        """Return the camera frame under way when each two-photon frame began."""
        return np.searchsorted(rises, self.twop_fall[1:], side="right") - 1

    @property
    def pupil_frames(self) -> NDArray[np.int64]:
        """Eye-camera frame that tells the pupil of each two-photon frame: 0.1 s later."""
        rate = 1.0 / float(np.diff(self.twop_times).mean())
        return self.camera_frames(self.eye_rise) + round(0.1 * rate)


def _counts(times: NDArray[np.float64]) -> Counts:
    return np.round(times * COUNTS_PER_SECOND).astype(np.int64)


def make_clocks(spec: SampleSpec, rng: np.random.Generator) -> Clocks:
    """Make the pulses of a session."""
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
    fall = flips + rng.normal(0.0, _CLOCK_JITTER, ticks + 1)
    twop += rng.normal(0.0, _CLOCK_JITTER, n_twop + 1)
    rise = fall - _RISE_BEFORE_FALL + rng.normal(0.0, _RISE_JITTER, ticks + 1).clip(-4e-3, 4e-3)
    seen = fall[::FLIPS_PER_EVENT]
    events = seen + _MONITOR_DELAY + rng.normal(0.0, _EVENT_JITTER, len(seen))
    # The stop flash waits for the sync square's next regular flip.
    to_stop = len(seen) * FLIPS_PER_EVENT - len(fall) + 1
    stop = fall[-1] + (to_stop + FLASH_FLIPS * np.arange(6)) / STIM_RATE + _MONITOR_DELAY
    start = fall[0] + FLASH_FLIPS * np.arange(-5, 0) / STIM_RATE + _MONITOR_DELAY
    cameras = [
        first + np.arange(int((twop[-1] + _CAMERA_TAIL - first) * CAMERA_RATE)) / CAMERA_RATE
        for first in (_FIRST_EYE_FRAME, _FIRST_BODY_FRAME)
    ]
    return Clocks(
        twop_fall=_counts(twop),
        stim_rise=_counts(rise),
        stim_fall=_counts(fall),
        screen_events=_counts(events),
        start_flash=_counts(start),
        stop_flash=_counts(stop),
        eye_rise=_counts(cameras[0]),
        body_rise=_counts(cameras[1]),
    )
