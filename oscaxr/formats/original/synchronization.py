"""The clocks of a session: lines of the sync file, alignment of stimulus and two-photon frames."""

import ast
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import open_source
from oscaxr.model.synthetic import MARK

FloatArray = npt.NDArray[np.float64]

TWOP_VSYNC: Final = "2p_vsync"
STIM_VSYNC: Final = "stim_vsync"
PHOTODIODE: Final = "stim_photodiode"
# Names that the stimulus line has had; for its rising edges they are tried in this order.
_RISING_LABELS: Final = ("frames", STIM_VSYNC, "vsync_stim")
_N_LINES: Final = 32

# The sync square on the screen flips every 60 frames, and flashes every 5 at start and stop.
_FLIP_FRAMES: Final = 60
_FLIP_S: Final = (1.9, 2.1)
_FLASH_S: Final = (0.1, 0.5)
_BOUNCE_S: Final = 0.5
_SPIKE_S: Final = 0.2


@dataclass(frozen=True, eq=False)
class SyncLines:
    """The lines that a session's clocks follow from."""

    twop_falling: FloatArray
    stim_rising: FloatArray
    stim_falling: FloatArray
    photodiode_rising: FloatArray
    photodiode_falling: FloatArray
    is_sample: bool = False

    def monitor_delay(self) -> float:
        """Return how long after its pulse a frame was on the screen, from the photodiode."""
        # A spike when the DAQ starts is no frame: the second rising edge then comes late.
        spike = len(self.stim_rising) > 1 and np.diff(self.stim_rising[:2])[0] > _SPIKE_S
        flips = self.stim_falling[1 if spike else 0 :][::_FLIP_FRAMES]
        if not flips.size:
            raise FormatError(f"the line {STIM_VSYNC} has no pulses: no stimulus was recorded")
        events = photodiode_events(self.photodiode_rising, self.photodiode_falling)
        if len(events) < len(flips):
            raise FormatError(
                f"the photodiode saw {len(events)} flips of the sync square, fewer than the "
                f"{len(flips)} that {len(self.stim_falling)} stimulus frames have: pulses are "
                "missing, and the monitor delay cannot be told"
            )
        return float(np.mean(events[: len(flips)] - flips))


def photodiode_events(rising: FloatArray, falling: FloatArray) -> FloatArray:
    """Return the flips of the sync square, out of all edges of the photodiode."""
    # The rule of the published reader: a falling edge is regular if the next comes after 1.9 to 2.1
    # s; a rising edge belongs to the flashes if the next comes after 0.1 to 0.5 s. Kept are the
    # edges from the first regular fall to the first flash after the last regular fall; of two edges
    # within 0.5 s, the later.
    merged = np.sort(np.concatenate([rising, falling]))
    # The last of each has no next one.
    to_next_fall = np.diff(falling, append=falling[-1:])
    to_next_rise = np.diff(rising, append=rising[-1:])
    regular = falling[(to_next_fall >= _FLIP_S[0]) & (to_next_fall <= _FLIP_S[1])]
    flashes = rising[(to_next_rise >= _FLASH_S[0]) & (to_next_rise <= _FLASH_S[1])]
    if not regular.size:
        return np.empty(0)
    after = flashes[flashes > regular[-1]]
    kept = merged[merged >= regular[0]]
    if after.size:
        kept = kept[kept < after[0]]
    is_last = np.append(np.diff(kept) > _BOUNCE_S, True)
    return np.asarray(kept[is_last], np.float64)


def read_sync(file: Hdf5File) -> SyncLines:
    """Decode the lines of a sync file."""
    with open_source(file, "a sync file") as source:
        data = source.must("data", "events: sample count, state of the lines", (None, None), "ui")
        if data.shape[1] < 2:
            source.problems.append("data has no two columns: the state of the lines is missing")
            source.finish()
        is_sample = MARK in source.handle.attrs
        events = source.read(data)
        counts, states = events[:, 0].astype(np.int64), events[:, -1].astype(np.uint32)
        labels, rate, rising_rate, counter_bits = _describe(source.text("meta"), file.path)
        rising_label = next((name for name in _RISING_LABELS if name in labels), STIM_VSYNC)
        source.problems += [
            f"it has no line {name}; its lines are {', '.join(filter(None, labels))}"
            for name in (TWOP_VSYNC, STIM_VSYNC, PHOTODIODE)
            if name not in labels
        ]
    if counter_bits != _N_LINES:
        # A narrow counter starts anew; each drop of the count is such a start.
        counts = counts + np.cumsum(np.append(False, np.diff(counts) < 0)) * 2**32

    def edges(label: str, step: int) -> FloatArray:
        bits = (states >> np.uint32(labels.index(label))) & np.uint32(1)
        at = counts[1:][np.diff(bits.astype(np.int8)) == step]
        # As the published reader has it: only the seconds of rising edges follow the sampling rate.
        return np.asarray(at / (rising_rate if step > 0 else rate))

    return SyncLines(
        twop_falling=edges(TWOP_VSYNC, -1)[1:],
        stim_rising=edges(rising_label, 1),
        stim_falling=edges(STIM_VSYNC, -1),
        photodiode_rising=edges(PHOTODIODE, 1),
        photodiode_falling=edges(PHOTODIODE, -1),
        is_sample=is_sample,
    )


def _describe(text: str, path: str) -> tuple[list[str], float, float, Any]:
    """Parse what a sync file says of its lines, its rates and its counter."""
    # The file's description of itself is a Python literal; it is parsed as one, never evaluated.
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise FormatError(
            f"{path}: meta is not a Python literal ({type(error).__name__}: {error}); it is never "
            "run as code"
        ) from None
    found = found if isinstance(found, dict) else {}
    labels = found.get("line_labels")
    named = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    if not isinstance(labels, list) or not named or len(labels) > _N_LINES:
        raise FormatError(f"{path}: meta has no list 'line_labels' of up to {_N_LINES} lines")
    daq = found["ni_daq"] if isinstance(found.get("ni_daq"), dict) else {}
    rates = {name: daq[name] for name in ("counter_output_freq", "sample_freq") if name in daq}
    for name, rate in ({"counter_output_freq": None} | rates).items():
        if type(rate) not in (int, float) or not 0 < rate < np.inf:
            raise FormatError(f"{path}: meta has no {name!r} above 0, but {rate!r:.60}")
    rate = float(rates["counter_output_freq"])
    return labels, rate, float(rates.get("sample_freq", rate)), daq.get("counter_bits", _N_LINES)


@dataclass(frozen=True, eq=False)
class Synchronization:
    """What is used of a time synchronization file."""

    twop_times: FloatArray
    stimulus_alignment: FloatArray
    eye_frames: FloatArray


def read_synchronization(file: Hdf5File) -> Synchronization:
    """Read a time synchronization file."""
    what = "one number a frame"
    with open_source(file, "a time synchronization file") as source:
        found = (
            source.clock("twop_vsync_fall", what),
            source.values("stimulus_alignment", what, (None,)),
            source.values("eye_tracking_alignment", what, (None,), required=False),
        )
    return Synchronization(*(np.asarray(() if one is None else one, np.float64) for one in found))


IntArray = npt.NDArray[np.int64]

SHIFTED_SESSIONS: Final = frozenset({833704570})
"""Sessions whose alignment is shifted as a whole by the most frequent difference to the second."""
SECOND_ALIGNMENT_SESSIONS: Final = frozenset({721038464})
"""Sessions whose first alignment fails, by their notes: the second one is used."""


def align(twop_times: FloatArray, stim_times: FloatArray, delay: float) -> IntArray:
    """Return the two-photon frame of each stimulus frame."""
    if not twop_times.size:
        raise FormatError("the two-photon line has no pulses after the first")
    shown = stim_times + delay
    outside = ~((shown >= twop_times[:1]) & (shown <= twop_times[-1:]))
    if not shown.size or outside.any():
        first = int(np.argmax(outside)) if shown.size else 0
        raise FormatError(
            f"{np.count_nonzero(outside)} of {len(shown)} stimulus frames (the first: {first}) lie "
            f"outside the two-photon recording of {len(twop_times)} frames: pulses are missing "
            "from the sync file, or the two-photon recording was cut short"
        )
    frames: IntArray = np.searchsorted(twop_times, shown, side="left").astype(np.int64) - 1
    return np.maximum(frames, 0)


def correct(first: IntArray, second: FloatArray, session_id: int) -> tuple[IntArray, str]:
    """Check an alignment against the second one, and apply the exceptions of single sessions."""
    if len(second) - len(first) not in (0, 1):
        raise FormatError(
            f"stimulus_alignment has {len(second)} entries, where the sync file has "
            f"{len(first)} stimulus frames: pulses are missing from one of them"
        )
    second = second[: len(first)]
    known = np.isfinite(second)
    difference = second[known].astype(np.int64) - first[known]
    if session_id in SECOND_ALIGNMENT_SESSIONS:
        if not known.all():
            raise FormatError(f"stimulus_alignment has {np.count_nonzero(~known)} NaN(s)")
        return second.astype(np.int64), "the second alignment is used: the first one fails"
    if session_id in SHIFTED_SESSIONS and difference.size:
        # The smallest of equally frequent ones.
        values, counts = np.unique(difference, return_counts=True)
        first = first + values[np.argmax(counts)]
        difference = difference - values[np.argmax(counts)]
    far = int(np.count_nonzero(np.abs(difference) > 1))
    if not far:
        return first, ""
    return first, (
        f"{far} of {len(first)} stimulus frames are aligned more than one two-photon frame away "
        f"(at most {np.abs(difference).max()}) from where the second alignment of the time "
        "synchronization file has them"
    )


def check_alignment(alignment: Any, n_frames: int) -> None:
    """Refuse an alignment that goes back, or beyond the recording."""
    back = np.flatnonzero(np.diff(alignment) < 0)
    if back.size or alignment[0] < 0 or alignment[-1] >= n_frames:
        where = f"goes back at stimulus frame {back[0] + 1}" if back.size else "leaves it"
        raise FormatError(
            f"the alignment of stimulus frames with the {n_frames} two-photon frames {where} "
            f"(from {alignment[0]} to {alignment[-1]})"
        )
