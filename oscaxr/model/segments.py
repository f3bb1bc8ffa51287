"""Definitions on the stimulus table: frames, rates, blocks, runs, sequences of Gabor frames.

Pure numpy on the columns of the table, one element a segment. Source of the rules: the dataset
paper (Gillon, Lecoq et al. 2023) and the published analysis of this dataset.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from oscaxr.errors import FormatError
from oscaxr.model import names as n

Columns = Mapping[str, np.ndarray[Any, Any]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def nearest_frames(clock: FloatArray, times: FloatArray) -> IntArray:
    """Return the frame of a clock whose timestamp is nearest to each time.

    Parameters
    ----------
    clock : ndarray, (frame,), s
        Increasing timestamps.
    times : ndarray, any shape, s
        Times to look up; times beyond the clock give its first or last frame.

    Returns
    -------
    ndarray of int64
        Frame numbers; the earlier frame where two are equally near.

    Examples
    --------
    >>> nearest_frames(np.array([0.0, 1.0, 2.0]), np.array([-5.0, 0.5, 1.6]))
    array([0, 0, 2])
    """
    after = np.clip(np.searchsorted(clock, times), 1, len(clock) - 1)
    before = after - 1
    is_before = (times - clock[before]) <= (clock[after] - times)
    return np.where(is_before, before, after).astype(np.int64)


def frames_from_times(
    start_time: FloatArray, stop_time: FloatArray, clock: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return start and stop frames of segments on a clock, from their times.

    Parameters
    ----------
    start_time, stop_time : ndarray, (segment,), s
        Times of the segments.
    clock : ndarray, (frame,), s
        Timestamps of the frames.

    Returns
    -------
    start, stop : ndarray of int64, (segment,)
        The frame nearest to the segment's start; the next segment's start frame (for the last
        segment, the frame nearest to its stop time).

    Notes
    -----
    For files whose stimulus table has no frame columns.

    Examples
    --------
    >>> clock = np.arange(10) / 10
    >>> frames_from_times(np.array([0.1, 0.5]), np.array([0.5, 0.8]), clock)
    (array([1, 5]), array([5, 8]))
    """
    start = nearest_frames(clock, start_time)
    stop = np.append(start[1:], nearest_frames(clock, stop_time[-1:]))
    return start, stop


def frame_rate(
    start_frame: IntArray, stop_frame: IntArray, start_time: FloatArray, stop_time: FloatArray
) -> float:
    """Return the frame rate of a clock over the stimulus table.

    Parameters
    ----------
    start_frame, stop_frame : ndarray, (segment,)
        Frames of the segments on the clock.
    start_time, stop_time : ndarray, (segment,), s
        Times of the segments.

    Returns
    -------
    float
        Frames from the first start to the last stop over the seconds between, Hz.

    Examples
    --------
    >>> frame_rate(np.array([0, 30]), np.array([30, 60]), np.array([0., 1.]), np.array([1., 2.]))
    30.0
    """
    return float((stop_frame[-1] - start_frame[0]) / (stop_time[-1] - start_time[0]))


def block_numbers(stimulus_type: np.ndarray[Any, Any]) -> IntArray:
    """Return the block of each segment: a maximal run of one stimulus type.

    Parameters
    ----------
    stimulus_type : ndarray of str, (segment,)
        Stimulus type of each segment, in the order of the table.

    Returns
    -------
    ndarray of int64, (segment,)
        From 0 through the session, gray screens included.

    Notes
    -----
    The two directions of visual flow are two blocks because a gray screen separates them.

    Examples
    --------
    >>> block_numbers(np.array(["grayscreen", "gabors", "gabors", "grayscreen"]))
    array([0, 1, 1, 2])
    """
    if stimulus_type.size == 0:
        return np.zeros(0, np.int64)
    return np.cumsum(np.append(False, stimulus_type[1:] != stimulus_type[:-1]), dtype=np.int64)


def first_of_consecutive(segments: IntArray, block: IntArray | None = None) -> BoolArray:
    """Flag the first of each run of consecutive segment numbers.

    Parameters
    ----------
    segments : ndarray of int, (segment,)
        Increasing segment numbers, e.g. those left by a selection.
    block : ndarray of int, optional
        Block of each; a run ends with its block.

    Returns
    -------
    ndarray of bool, (segment,)

    Notes
    -----
    The published tool's ``remconsec``.

    Examples
    --------
    >>> first_of_consecutive(np.array([3, 4, 5, 9, 10]))
    array([ True, False, False,  True, False])
    """
    first = np.ones(len(segments), bool)
    first[1:] = np.diff(segments) != 1
    if block is not None:
        first[1:] |= np.diff(block) != 0
    return first


def derive(columns: Columns) -> dict[str, np.ndarray[Any, Any]]:
    """Compute the columns that follow from the rest of the table.

    Parameters
    ----------
    columns : mapping of str to ndarray, (segment,)
        At least ``stimulus_type``, ``unexpected`` and ``gabor_frame``.

    Returns
    -------
    dict of str to ndarray
        ``block``, ``run_start`` (first of consecutive segments alike in block and in being
        expected or not) and ``sequence_index`` (number of the Gabor sequence, -1 elsewhere).

    Examples
    --------
    >>> derived = derive({
    ...     "stimulus_type": np.array(["grayscreen", "gabors", "gabors"]),
    ...     "unexpected": np.array([np.nan, 0.0, 1.0]),
    ...     "gabor_frame": np.array(["", "A", "B"]),
    ... })
    >>> derived["block"], derived["sequence_index"]
    (array([0, 1, 1]), array([-1,  0,  0]))
    """
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
    """List what is wrong with a stimulus table.

    Parameters
    ----------
    columns : mapping of str to ndarray, (segment,)
        The normalised table.
    n_frames : mapping of str to int
        Length of the recording on each clock, keyed ``"stim"`` and ``"twop"``.

    Returns
    -------
    list of str
        One sentence a problem; empty when the table is sound.

    Examples
    --------
    >>> problems_of_table({"stimulus_type": np.array(["noise"])}, {})
    ["unknown stimulus types: 'noise' (known: 'gabors', 'visflow', 'grayscreen')"]
    """
    problems = []
    for name, known in (
        ("stimulus_type", n.STIMULUS_TYPES),
        ("gabor_frame", ("", *n.GABOR_FRAMES)),
        ("main_flow_direction", ("", *n.FLOW_DIRECTIONS)),
    ):
        if name in columns:
            odd = sorted(set(pd.unique(columns[name]).tolist()) - set(known))
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


def as_text(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Normalise a column of labels to fixed-width text, empty where there is none.

    Parameters
    ----------
    values : ndarray, (segment,)
        Text, bytes, or numbers that are all NaN.

    Returns
    -------
    ndarray of str, (segment,)

    Examples
    --------
    >>> as_text(np.array([b"A", b"nan", b""], dtype=object))
    array(['A', '', ''], dtype='<U1')
    """
    codes, unique = pd.factorize(values, use_na_sentinel=False)
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in unique]
    words = ["" if word.lower() in ("nan", "none", "<na>") else word for word in words]
    return np.array(words or [""], dtype=np.str_)[codes]


def as_number(values: np.ndarray[Any, Any], name: str) -> FloatArray:
    """Normalise a column of numbers to float64, NaN where there is none.

    Parameters
    ----------
    values : ndarray, (segment,)
        Numbers, flags, or their text (empty text is NaN).
    name : str
        Name of the column, for the message.

    Returns
    -------
    ndarray of float64, (segment,)

    Raises
    ------
    FormatError
        If a text is not a number.

    Examples
    --------
    >>> as_number(np.array(["16.0", ""]), "gabor_kappa")
    array([16., nan])
    """
    if values.dtype.kind in "fiub":
        return values.astype(np.float64, copy=False)
    text = as_text(values)
    words = {"": "nan", "True": "1", "False": "0"}
    try:
        return np.array([words.get(word, word) for word in text.tolist()], dtype=np.float64)
    except ValueError as error:
        raise FormatError(f"column {name!r} should hold numbers, but: {error}") from error


def as_frames(values: np.ndarray[Any, Any], name: str) -> IntArray:
    """Normalise a column of frame numbers to int64.

    Parameters
    ----------
    values : ndarray, (segment,)
        Frame numbers in any dtype; NaN becomes -1.
    name : str
        Name of the column, for the message.

    Returns
    -------
    ndarray of int64, (segment,)

    Raises
    ------
    FormatError
        If a value is not a whole number.

    Examples
    --------
    >>> as_frames(np.array([0.0, 18.0, np.nan]), "start_frame_stim_template")
    array([ 0, 18, -1])
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64, copy=False)
    numbers = np.where(np.isnan(number := as_number(values, name)), -1.0, number)
    # Larger numbers than these are not whole in floating point, nor frames of any recording.
    if not np.array_equal(numbers, np.rint(numbers)) or np.any(np.abs(numbers) > 2**53):
        raise FormatError(
            f"column {name!r} should hold whole frame numbers, but has fractions or infinities"
        )
    return numbers.astype(np.int64)
