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
    """Refuse a word that is no clock.

    Parameters
    ----------
    clock : object
        What was given.
    keyword : str, optional
        Where it was given, for the message.

    Raises
    ------
    WindowError
        If it is not ``"twop"`` or ``"stim"``.
    """
    if clock not in CLOCK_DIMS:
        raise WindowError(f"{keyword}={clock!r}: it is {' or '.join(map(repr, CLOCK_DIMS))}")


def is_whole(ds: xr.Dataset, clock: Clock) -> bool:
    """Say whether a session has all frames of a clock, in their order.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    clock : {"twop", "stim"}
        Which clock.

    Returns
    -------
    bool

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> is_whole(ds, "twop"), is_whole(ds.isel(time=slice(100)), "twop")
    (True, False)
    """
    dim = CLOCK_DIMS[clock]
    recorded = ds.attrs.get(f"n_frames_{clock}", ds.sizes[dim])
    in_order = dim not in ds.indexes or ds.indexes[dim].is_monotonic_increasing
    return bool(ds.sizes[dim] == recorded and in_order)


def recording_frames(ds: xr.Dataset, clock: Clock) -> int:
    """Return the length of the recording; refuse a session that was cut or re-ordered along it.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    clock : {"twop", "stim"}
        Which clock.

    Returns
    -------
    int

    Raises
    ------
    WindowError
        If the session was cut or re-ordered along the clock: its frame numbers no longer hold.
    """
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
    """Refuse labelled segments, frames or times of another session.

    Parameters
    ----------
    ds : xarray.Dataset
        The session.
    asked : object
        What was given; only xarray objects say which session they are of.

    Raises
    ------
    SessionMismatchError
        If it is another one.
    """
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
    """Return the stimulus frame of each two-photon frame.

    Parameters
    ----------
    alignment : ndarray of int, (stimulus frame,)
        Two-photon frame of each stimulus frame, not decreasing.
    n_frames : int
        Number of two-photon frames.

    Returns
    -------
    ndarray of int64, (two-photon frame,)
        The first stimulus frame with that two-photon frame; -1 before and after the stimulus. A
        two-photon frame that the alignment jumps over has that of the frame before it.

    Examples
    --------
    >>> first_stimulus_frames(np.array([1, 1, 2, 4]), 6)
    array([-1,  0,  2,  2,  3, -1])
    """
    frames = np.arange(n_frames)
    last = np.searchsorted(alignment, frames, side="right") - 1
    reached = alignment[np.maximum(last, 0)]
    first = np.searchsorted(alignment, reached, side="left")
    inside = (frames >= alignment[0]) & (frames <= alignment[-1])
    return np.where(inside, first, -1).astype(np.int64)
