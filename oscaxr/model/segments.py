"""The two clocks of a session, and definitions on the stimulus table: frames, blocks, runs.

Pure numpy on the columns of the table, one element a segment. Source of the rules: the dataset
paper (Gillon, Lecoq et al. 2023) and the published analysis of this dataset.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import FormatError, WindowError, option
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION

Columns = Mapping[str, np.ndarray[Any, Any]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

Clock = Literal["twop", "stim"]

CLOCK_DIMS: Final[dict[Clock, str]] = {"twop": n.TIME, "stim": n.STIM_TIME}
DIM_CLOCKS: Final[dict[str, Clock]] = {n.TIME: "twop", n.STIM_TIME: "stim"}
# Longer windows than this, s, in whole thousands, are meant in milliseconds.
_LONG_WINDOW: Final = 100.0


def check_clock(clock: Any, keyword: str = "clock") -> None:
    """Refuse a word that is no clock."""
    if not isinstance(clock, str) or clock not in CLOCK_DIMS:
        raise WindowError(f"{keyword}={clock!r}: it is {' or '.join(map(repr, CLOCK_DIMS))}")


def is_finite(value: Any) -> bool:
    """Say whether something is a number that any computation can take."""
    is_number = isinstance(value, int | float | np.integer | np.floating)
    return is_number and bool(abs(value) < 1e12)


def check_seconds(
    given: Mapping[str, Any], lasting: float, what: str = "a recording", times: float = 1
) -> None:
    """Refuse windows that are no seconds, or can only be meant in milliseconds."""
    for name, value in given.items():
        if not is_finite(value):
            raise WindowError(f"{option(name, value)}: give finite seconds")
        size = abs(value)
        if size > times * lasting or (size > _LONG_WINDOW and size % 1000 == 0):
            raise WindowError(
                f"{option(name, value)} is a window of {size:g} s in {what} of {lasting:.4g} s: "
                f"{' and '.join(given)} are seconds. For milliseconds, give "
                f"{option(name, value / 1000)}"
            )


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


def first_stimulus_frames(alignment: IntArray, n_frames: int) -> IntArray:
    """Return the stimulus frame of each two-photon frame."""
    frames = np.arange(n_frames)
    last = np.searchsorted(alignment, frames, side="right") - 1
    reached = alignment[np.maximum(last, 0)]
    first = np.searchsorted(alignment, reached, side="left")
    inside = (frames >= alignment[0]) & (frames <= alignment[-1])
    return np.where(inside, first, -1).astype(np.int64)


def nearest_frames(clock: FloatArray, times: FloatArray) -> IntArray:
    """Return the frame of a clock whose timestamp is nearest to each time."""
    after = np.clip(np.searchsorted(clock, times), 1, len(clock) - 1)
    before = after - 1
    is_before = (times - clock[before]) <= (clock[after] - times)
    return np.where(is_before, before, after).astype(np.int64)


def frames_from_times(
    start_time: FloatArray, stop_time: FloatArray, clock: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return start and stop frames of segments on a clock, from their times."""
    # For files whose stimulus table has no frame columns.
    start = nearest_frames(clock, start_time)
    stop = np.append(start[1:], nearest_frames(clock, stop_time[-1:]))
    return start, stop


def frame_rate(columns: Columns, clock: str) -> float:
    """Return the frame rate of a clock over the stimulus table."""
    n_frames = columns[f"stop_frame_{clock}"][-1] - columns[f"start_frame_{clock}"][0]
    return float(n_frames / (columns["stop_time"][-1] - columns["start_time"][0]))


def block_numbers(stimulus_type: np.ndarray[Any, Any]) -> IntArray:
    """Return the block of each segment: a maximal run of one stimulus type."""
    # The two directions of visual flow are two blocks because a gray screen separates them.
    if stimulus_type.size == 0:
        return np.zeros(0, np.int64)
    return np.cumsum(np.append(False, stimulus_type[1:] != stimulus_type[:-1]), dtype=np.int64)


def first_of_consecutive(segments: IntArray, block: IntArray | None = None) -> BoolArray:
    """Flag the first of each run of consecutive segment numbers."""
    # The published tool's `remconsec`.
    first = np.ones(len(segments), bool)
    first[1:] = np.diff(segments) != 1
    if block is not None:
        first[1:] |= np.diff(block) != 0
    return first


def completed(columns: Columns) -> dict[str, np.ndarray[Any, Any]]:
    """Add durations, numbers of frames, and what :func:`derive` computes, to a table."""
    frames = {
        f"num_frames_{clock}": columns[f"stop_frame_{clock}"] - columns[f"start_frame_{clock}"]
        for clock in ("stim", "twop")
        if f"stop_frame_{clock}" in columns
    }
    duration = columns["stop_time"] - columns["start_time"]
    return {**columns, "duration": duration, **frames, **derive(columns)}


def derive(columns: Columns) -> dict[str, np.ndarray[Any, Any]]:
    """Compute the columns that follow from the rest of the table."""
    block = block_numbers(columns["stimulus_type"])
    unexpected = np.nan_to_num(columns["unexpected"], nan=-1.0)
    like = np.ones(len(block), bool)
    like[1:] = (np.diff(block) != 0) | (np.diff(unexpected) != 0)
    is_gabor = columns["stimulus_type"] == n.GABORS
    sequence = np.cumsum(is_gabor & (columns["gabor_frame"] == "A"), dtype=np.int64) - 1
    return {
        n.BLOCK: block,
        "run_start": like,
        "sequence_index": np.where(is_gabor, sequence, -1),
    }


def problems_of_table(columns: Columns, n_frames: Mapping[str, int]) -> list[str]:
    """List what is wrong with a stimulus table."""
    problems = []
    for name, known in (
        ("stimulus_type", n.STIMULUS_TYPES),
        ("gabor_frame", ("", *n.GABOR_FRAMES)),
        ("main_flow_direction", ("", *n.FLOW_DIRECTIONS)),
    ):
        if name in columns:
            odd = sorted(set(columns[name][~np.isin(columns[name], known)].tolist()))
            if odd:
                words = name.replace("_", " ")
                problems.append(f"unknown {words}s: {_quoted(odd)} (known: {_quoted(known)})")
    if "start_time" in columns:
        problems += _unordered(columns["start_time"], "start_time")
    for clock, length in n_frames.items():
        start, stop = columns[f"start_frame_{clock}"], columns[f"stop_frame_{clock}"]
        problems += _unordered(start, f"start_frame_{clock}")
        beyond = np.flatnonzero((start < 0) | (stop > length) | (stop < start))
        if beyond.size:
            first = beyond[0]
            problems.append(
                f"{beyond.size} segment(s) lie beyond the recording of {length} {clock} frames "
                f"(first: segment {first}, frames {start[first]} to {stop[first]})"
            )
    return problems


def _unordered(values: np.ndarray[Any, Any], name: str) -> list[str]:
    back = np.flatnonzero(~(np.diff(values) >= 0))
    if not back.size:
        return []
    return [f"{name} decreases or is NaN at {back.size} place(s) (first: segment {back[0] + 1})"]


def _quoted(words: Any) -> str:
    return ", ".join(repr(str(word)) for word in words if str(word))


def typed(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Normalise a column of the stimulus table as it is declared."""
    kind = SESSION[name].kind
    if kind == "str":
        return as_text(values)
    return as_frames(values, name) if kind == "int" else as_number(values, name)


def as_text(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Normalise a column of labels to fixed-width text, empty where there is none."""
    # pandas takes no numbers of the other byte order.
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    # What is missing gets the code -1: the last of the words.
    codes, unique = pd.factorize(native)
    words = [
        word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in unique
    ]
    words = ["" if word.lower() in ("nan", "none", "<na>") else word for word in words]
    return np.array([*words, ""], dtype=np.str_)[codes]


def as_number(values: np.ndarray[Any, Any], name: str) -> FloatArray:
    """Normalise a column of numbers to float64, NaN where there is none."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64, copy=False)
    text = as_text(values)
    words = {"": "nan", "True": "1", "False": "0"}
    try:
        return np.array([words.get(word, word) for word in text.tolist()], dtype=np.float64)
    except ValueError as error:
        raise FormatError(f"column {name!r} should hold numbers, but: {error}") from error


def as_frames(values: np.ndarray[Any, Any], name: str) -> IntArray:
    """Normalise a column of frame numbers to int64."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64, copy=False)
    numbers = np.where(np.isnan(number := as_number(values, name)), -1.0, number)
    # Larger numbers than these are not whole in floating point, nor frames of any recording.
    if not np.array_equal(numbers, np.rint(numbers)) or np.any(np.abs(numbers) > 2**53):
        raise FormatError(
            f"column {name!r} should hold whole frame numbers, but has fractions or infinities"
        )
    return numbers.astype(np.int64)
