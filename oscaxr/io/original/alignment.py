"""Which two-photon frame was taken when a stimulus frame was on the screen."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError

FloatArray = npt.NDArray[np.float64]
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
    message = ""
    if far:
        message = (
            f"{far} of {len(first)} stimulus frames are aligned more than one two-photon frame "
            f"away (at most {np.abs(difference).max()}) from where the second alignment of the "
            "time synchronization file has them"
        )
    return first, message


def stimulus_clock(rising: FloatArray, twop_times: FloatArray, alignment: IntArray) -> FloatArray:
    """Return the times of the stimulus frames on the session's clock."""
    clock: FloatArray = rising - rising[0] + twop_times[alignment[0]]
    return clock


def check_alignment(alignment: Any, n_frames: int) -> None:
    """Refuse an alignment that goes back, or beyond the recording."""
    back = np.flatnonzero(np.diff(alignment) < 0)
    if back.size or alignment[0] < 0 or alignment[-1] >= n_frames:
        where = f"goes back at stimulus frame {back[0] + 1}" if back.size else "leaves it"
        raise FormatError(
            f"the alignment of stimulus frames with the {n_frames} two-photon frames {where} "
            f"(from {alignment[0]} to {alignment[-1]})"
        )
