"""Windows on a time grid that all sessions share, whatever their frame rates."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, WindowError, option
from oscaxr.model.segments import CLOCK_DIMS, Clock, is_whole
from oscaxr.select.frames import clock_of
from oscaxr.select.references import ReferenceFrames
from oscaxr.select.window_edges import Edge, kept_at_edges

Array = np.ndarray[Any, Any]


def checked_rate(rate: Any, post: float | None, pad: Any) -> float:
    """Return the rate of a time grid; refuse it with what is counted in frames."""
    is_number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if not is_number or not 0 < rate < np.inf:
        raise WindowError(f"{option('rate', rate)}: give the number of time points a second")
    if post is None or np.any(pad):
        what = "segments have a length each, in frames" if post is None else "pad is in frames"
        raise WindowError(f"{option('rate', rate)} makes a grid of times, but {what}: give post")
    return float(rate)


def check_can_be_between(ds: xr.Dataset, names: Iterable[str]) -> None:
    """Refuse variables without values between frames: flags, and whole numbers."""
    kinds = {name: ds[name].dtype for name in names}
    wrong = [f"{name} ({dtype})" for name, dtype in kinds.items() if dtype.kind != "f"]
    if wrong:
        raise MissingVariableError(
            f"rate= interpolates, and {', '.join(wrong)} has no values between frames: leave rate "
            "out, or make it a float variable first, if its numbers are amounts"
        )


def outside_recording(ds: xr.Dataset, clocks: Iterable[Clock], times: Array) -> Array:
    """Say which times are before the first or after the last frame of any of the clocks."""
    outside = np.zeros(times.shape, bool)
    for clock in clocks:
        known = ds.variables[CLOCK_DIMS[clock]].values
        # As far as rounding goes, a time at the last frame is in the recording.
        near = 1e-6 / float(ds.attrs[f"{clock}_fps"])
        outside |= (times < known[0] - near) | (times > known[-1] + near)
    return outside


def check_gaps(ds: xr.Dataset, clock: Clock, times: Array) -> None:
    """Refuse times between frames that did not follow each other: nothing is known of them."""
    if is_whole(ds, clock):
        return
    known = ds.variables[CLOCK_DIMS[clock]].values
    if (np.diff(known) <= 0).any():
        raise WindowError(f"the frames of {CLOCK_DIMS[clock]} are not in the order of time")
    after = np.clip(np.searchsorted(known, times), 1, len(known) - 1)
    wide = (known[after] - known[after - 1]) * float(ds.attrs[f"{clock}_fps"]) > 1.5
    wrong: Array = np.any(wide & (times > known[0]) & (times < known[-1]), axis=1)
    if wrong.any():
        raise WindowError(
            f"{wrong.sum()} of {len(wrong)} windows lie across {CLOCK_DIMS[clock]} frames that "
            "were left out of this session. Extract from the whole session."
        )


def on_grid(
    ds: xr.Dataset,
    found: ReferenceFrames,
    rel_time: Array,
    names: Sequence[str],
    edge: Edge,
    clock: Clock,
) -> tuple[ReferenceFrames, Array]:
    """Return the sequences that the policy for edges leaves, and the times of their grid."""
    check_can_be_between(ds, names)
    times = ds.variables[CLOCK_DIMS[clock]].values[found.frames][:, None] + rel_time
    outside = outside_recording(ds, {clock, *(clock_of(ds, one) for one in names)}, times)
    kept = kept_at_edges(found, np.asarray(outside.any(axis=1)), edge, clock)
    times = np.asarray(np.where(outside, np.nan, times))
    return (found, times) if kept is None else (found.keep(kept), times[kept])
