"""The least and the greatest value of each part of a trace: no peak is lost where it is drawn."""

from typing import Any, Final

import numpy as np

from oscaxr.explore.looks import Array

# Of each part of a trace that falls on one or two pixels, the least and the greatest value are
# drawn, so that no peak is lost.
_PARTS: Final = 1200


def decimated(x: Array, y: Array, low: float, high: float, parts: int = _PARTS) -> tuple[Any, Any]:
    """Return a trace within a range, each of so many parts as its least and greatest value.

    Values that are missing are left out; a part without any is a gap.
    """
    first = max(0, int(np.searchsorted(x, low)) - 1)
    last = min(len(x), int(np.searchsorted(x, high, side="right")) + 1)
    x, y = x[first:last], y[first:last]
    if len(x) <= 2 * parts:
        return x, y
    # Parts begin at whole multiples of their length, so that they stay the same while panning.
    step = -(-len(x) // parts)
    starts = np.arange(-first % step or 0, len(x), step)
    starts = starts if starts[0] == 0 else np.concatenate([[0], starts])
    lowest, highest = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    ends = np.append(starts[1:], len(x)) - 1
    places = (x[starts] + x[ends]) / 2
    return np.repeat(places, 2), np.stack([lowest, highest], axis=1).ravel()
