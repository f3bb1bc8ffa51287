"""The two clocks of a session, and whether frame numbers still hold on them."""

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import SessionMismatchError, WindowError
from oscaxr.model import names as n

Clock = Literal["twop", "stim"]

IntArray = npt.NDArray[np.int64]

CLOCK_DIMS: Final[dict[Clock, str]] = {"twop": n.TIME, "stim": n.STIM_TIME}
DIM_CLOCKS: Final[dict[str, Clock]] = {n.TIME: "twop", n.STIM_TIME: "stim"}


def check_clock(clock: Any, keyword: str = "clock") -> None:
    """Refuse a word that is no clock."""
    if clock not in CLOCK_DIMS:
        raise WindowError(f"{keyword}={clock!r}: it is {' or '.join(map(repr, CLOCK_DIMS))}")


def is_whole(ds: xr.Dataset, clock: Clock) -> bool:
    """Say whether a session has all frames of a clock, in their order."""
    dim = CLOCK_DIMS[clock]
    recorded = ds.attrs.get(f"n_frames_{clock}", ds.sizes[dim])
    in_order = dim not in ds.indexes or ds.indexes[dim].is_monotonic_increasing
    return bool(ds.sizes[dim] == recorded and in_order)


def recording_frames(ds: xr.Dataset, clock: Clock) -> int:
    """Return the length of the recording; refuse a session that was cut or re-ordered along it."""
    dim = CLOCK_DIMS[clock]
    if not is_whole(ds, clock):
        recorded = ds.attrs.get(f"n_frames_{clock}")
        raise WindowError(
            f"this session was cut or re-ordered along {dim!r}: it has {ds.sizes[dim]} of "
            f"{recorded} frames, so frame numbers no longer point to the right ones. Use the whole "
            "session and cut afterwards, or extract by times= instead of frames or segments."
        )
    return int(ds.sizes[dim])


def check_same_session(ds: xr.Dataset, asked: Any) -> None:
    """Refuse labelled segments, frames or times of another session."""
    if not isinstance(asked, xr.Dataset | xr.DataArray):
        return
    if "session_id" in ds.coords and "session_id" in asked.coords:
        mine = ds["session_id"].values
        theirs = np.unique(asked["session_id"].values)
        if (theirs != mine).any():
            raise SessionMismatchError(
                f"these segments, frames or times are of session {', '.join(map(str, theirs))}, "
                f"but the session is {mine}: select them from the session that they are used on"
            )


def first_stimulus_frames(alignment: IntArray, n_frames: int) -> IntArray:
    """Return the stimulus frame of each two-photon frame."""
    frames = np.arange(n_frames)
    last = np.searchsorted(alignment, frames, side="right") - 1
    reached = alignment[np.maximum(last, 0)]
    first = np.searchsorted(alignment, reached, side="left")
    inside = (frames >= alignment[0]) & (frames <= alignment[-1])
    return np.where(inside, first, -1).astype(np.int64)
