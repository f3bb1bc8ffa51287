"""The least and the greatest value of each part of a trace: no peak is lost where it is drawn."""

from typing import Any, Final

import numpy as np

from oscaxr.explore.looks import Array

PARTS: Final = 1200
"""How many parts of a trace are drawn, each on one or two pixels."""


def decimated(x: Array, y: Array, low: float, high: float, parts: int = PARTS) -> tuple[Any, Any]:
    """Return a trace within a range, each of so many parts as its least and greatest value.

    Values that are missing are left out; a part without any is a gap.
    """
    first = max(0, int(np.searchsorted(x, low)) - 1)
    last = min(len(x), int(np.searchsorted(x, high, side="right")) + 1)
    x, y = x[first:last], y[first:last]
    if len(x) <= 2 * parts:
        return x, y
    # Parts begin at whole multiples of their length, so that they stay the same while panning.
    step = part_length(len(x), parts)
    starts = np.arange(-first % step or 0, len(x), step)
    starts = starts if starts[0] == 0 else np.concatenate([[0], starts])
    return middles(x, starts), extremes(y, starts)


def part_length(length: int, parts: int = PARTS) -> int:
    """Return how many values a part has."""
    return max(1, -(-length // parts))


def middles(x: Array, starts: Array) -> Array:
    """Return the middle of each part, for its least and for its greatest value."""
    ends = np.append(starts[1:], len(x)) - 1
    return np.repeat((x[starts] + x[ends]) / 2, 2)


def extremes(y: Array, starts: Array) -> Array:
    """Return the least and the greatest value of each part of a trace, in turn."""
    return np.stack([np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)], axis=1).ravel()


def extremes_of_all(traces: Array, length: int) -> Array:
    """Return them of parts of one length, but for the last, of many traces: (2 x part, trace)."""
    # Many times faster than `reduceat`, which goes through one trace after the other.
    count, n_traces = len(traces) // length, traces.shape[1]
    whole, rest = traces[: count * length], traces[count * length :]
    parts = whole.reshape(count, length, n_traces)
    both = []
    for function in (np.fmin, np.fmax):
        last = [function.reduce(rest, axis=0, keepdims=True)] if len(rest) else []
        both.append(np.concatenate([function.reduce(parts, axis=1), *last]))
    in_turn = np.stack(both, axis=1)
    return in_turn.reshape(2 * len(in_turn), n_traces)
