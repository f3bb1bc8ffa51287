"""Takes values out of a stimulus log, which may hold anything, and collects what is wrong."""

import math
import reprlib
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import FormatError, listed
from oscaxr.files.remote import Place
from oscaxr.formats.original.stored_arrays import StoredArray, stack

_NUMBERS: Final = (int, float, np.number, np.bool_)
_MOST_NUMBERS: Final = 2**24
_MOST_DIMS: Final = 8


class LogValues:
    """Takes values out of a log, and collects what is wrong with it."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self.problems: list[str] = []

    def finish(self) -> None:
        """Raise all problems at once."""
        if self.problems:
            found = listed(self.problems)
            raise FormatError(f"{self.path} is not a stimulus log of this dataset:{found}")

    def checked(self, take: Callable[[], Array], what: str) -> Array:
        """Return what a function gives; note a problem where it fails."""
        try:
            return take()
        except (FormatError, TypeError, ValueError, KeyError, IndexError) as error:
            self.problems.append(f"{what}: {error}")
            return np.empty(0)

    def column(self, found: Any, what: str, kinds: str) -> Array:
        """Return one number a frame; note a problem where it is something else."""
        numbers = self.checked(lambda: as_array(found), what)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in kinds):
            self.problems.append(f"{what}: it is not one number a frame")
            return np.empty(0)
        return numbers

    def value(self, content: Any, keys: Sequence[str], what: str, kind: type) -> Any:
        """Return an entry under one of its names; note a problem where it is not as it should."""
        found = either(content, *keys)
        if not isinstance(found, kind):
            holds = "nothing" if found is None else f"a {type(found).__name__}"
            self.problems.append(
                f"{what}: {' or '.join(map(repr, keys))} should be a {kind.__name__}, but there is "
                f"{holds}"
            )
            return None
        return found

    def number(self, content: Any, key: str, default: float) -> float:
        """Return a number, or a default where there is none."""
        found = content[key] if isinstance(content, dict) and key in content else default
        is_number = isinstance(found, int | float | np.integer | np.floating)
        if isinstance(found, bool) or not is_number or not math.isfinite(found):
            # Not repr: what a hostile log holds may be endless when written out.
            self.problems.append(f"{key!r} should be a number, but is {reprlib.repr(found)}")
            return default
        return float(found)


def as_array(value: Any) -> Array:
    """Return a value of a log as an array of numbers."""
    if isinstance(value, StoredArray):
        array = value.array()
    elif isinstance(value, list | tuple):
        array = _from_lists(value)
    elif isinstance(value, _NUMBERS):
        array = np.asarray(value)
    else:
        raise FormatError(f"an array was expected, not {reprlib.repr(value)}")
    if array.dtype.kind not in "biuf":
        raise FormatError(f"an array of numbers was expected, not of {array.dtype}")
    return array


def _from_lists(value: list[Any] | tuple[Any, ...]) -> Array:
    """Return numbers in lists, or lists of lists, as an array."""
    # Not by NumPy alone: lists of the same lists again and again are endless, and of a long text
    # and many numbers it makes many long texts.
    flat, shape = value, [len(value)]
    while flat and set(map(type, flat)) <= {list, tuple}:
        widths = set(map(len, flat))
        shape += widths
        if len(widths) > 1:
            raise FormatError(f"rows of equal length were expected, not of {sorted(widths)[:5]}")
        if math.prod(shape) > _MOST_NUMBERS or len(shape) > _MOST_DIMS:
            raise FormatError(f"lists of shape {tuple(shape)} are more than a session has")
        flat = list(chain.from_iterable(flat))
    odd = [kind.__name__ for kind in set(map(type, flat)) if not issubclass(kind, _NUMBERS)]
    if odd:
        raise FormatError(f"an array of numbers was expected, not of {', '.join(sorted(odd))}")
    return np.array(flat).reshape(shape)


def as_arrays(value: Any) -> Array:
    """Return many arrays of one shape as one array."""
    return stack(value) if isinstance(value, list) else as_array(value)


def either(content: Any, *keys: str) -> Any:
    """Return the entry of a dict under the first of its names that is there, else None."""
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in keys if key in content), None)
