"""Which frames the windows have, and which windows leave the recording."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from oscaxr.arrays.windows import Windows
from oscaxr.errors import DroppedSequencesWarning, WindowError, few, option, warn
from oscaxr.model.segments import CLOCK_DIMS, Clock, check_seconds
from oscaxr.select.references import ReferenceFrames

Array = np.ndarray[Any, Any]
Edge = Literal["drop", "nan", "raise"]


def window_offsets(
    found: ReferenceFrames,
    fps: float,
    pre: float,
    post: float | None,
    pad: Sequence[int],
    recording_s: float,
) -> tuple[Array, Array | None]:
    """Return the frames from the reference frame, and how many each sequence has if they differ."""
    if np.shape(pad) != (2,) or not all(isinstance(k, int | np.integer) for k in pad):
        raise WindowError(f"pad={pad!r}: it is two numbers of frames, (before, after)")
    before, after = (int(count) for count in pad)
    if max(map(abs, pad)) > found.n_frames:
        raise WindowError(
            f"pad={tuple(pad)}: these are numbers of frames, of a recording of {found.n_frames}"
        )
    check_seconds({"pre": pre, "post": 0 if post is None else post}, recording_s)
    first = -int(np.round(pre * fps)) - before
    length = None
    if post is not None:
        stop = int(np.round(post * fps)) + after
    elif found.lengths is None:
        raise WindowError(f"give {option('post')} in seconds (only segments have their own length)")
    else:
        stop = int(found.lengths.max(initial=0)) + after
        length = found.lengths + after - first
        if found.lengths.size and (length == length[0]).all():
            length = None
    if stop <= first and (post is not None or found.frames.size):
        raise WindowError(
            f"{option('pre', pre)} s, {option('post', post)} s and pad={tuple(pad)} make an empty "
            f"window: frames {first} to {stop} (exclusive) at {fps:.2f} Hz. It is to end later."
        )
    return np.arange(first, stop), length


def within_recording(
    found: ReferenceFrames, offsets: Array, length: Array | None, edge: Edge, clock: Clock
) -> tuple[ReferenceFrames, Array | None]:
    """Leave out windows of frames that leave the recording, or as the policy says."""
    if not len(offsets):
        return found, length
    last = offsets[0] + length - 1 if length is not None else offsets[-1]
    # The published flank check asks for one frame more than the window has at the end.
    beyond = found.frames + last + 1 >= found.n_frames
    kept = kept_at_edges(found, (found.frames + offsets[0] < 0) | beyond, edge, clock)
    if kept is None:
        return found, length
    return found.keep(kept), None if length is None else length[kept]


def check_edge(edge: Any) -> None:
    """Refuse what is no policy for windows that leave the recording."""
    if edge not in ("drop", "nan", "raise"):
        raise WindowError(f"{option('edge', edge)}: it is 'drop', 'nan' or 'raise'")


def kept_at_edges(found: ReferenceFrames, outside: Array, edge: Edge, clock: Clock) -> Array | None:
    """Apply the policy for windows that leave the recording: flags, or None for all of them."""
    if edge == "nan" or not outside.any():
        return None
    message = (
        f"the windows of {outside.sum()} of {len(outside)} sequences come too close to an end of "
        f"the recording of {found.n_frames} {clock} frames "
        f"({found.what} {few(found.labels[outside])})"
    )
    if edge == "raise":
        raise WindowError(f"{message}. Shorten pre or post, or {option('edge', 'drop')} or 'nan'.")
    if outside.all():
        raise WindowError(
            f"{message}: none of the {len(outside)} windows is left. Shorten {option('pre')} or "
            f"{option('post')}; {option('edge', 'nan')} keeps them, filled with NaN"
        )
    warn(
        f"{message} and were dropped. {option('edge', 'nan')} keeps them, filled with NaN.",
        DroppedSequencesWarning,
    )
    return ~outside


def check_steps(times: Array, fps: float) -> None:
    """Refuse windows across gaps of a session that was cut: their labels would be wrong."""
    steps = np.diff(times, axis=1)
    wrong: Array = np.any(np.abs(steps * fps - 1) > 0.5, axis=1)
    if wrong.any():
        raise WindowError(
            f"{wrong.sum()} of {len(wrong)} windows do not follow each other at {fps:.2f} Hz: "
            "frames were left out of this session. Extract from the whole session."
        )


def true_times(ds: xr.Dataset, windows: Windows, clock: Clock) -> Array:
    """Return the time of every frame of every window, NaN where there is none."""
    frames = windows.frames()
    times = ds.variables[CLOCK_DIMS[clock]].values[np.maximum(frames, 0)]
    return np.where(frames < 0, np.nan, times)
