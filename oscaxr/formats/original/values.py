"""Values taken out of an unpickled stimulus log, with all that is wrong with them collected."""

import math
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.formats.original.pickles import Ignored, StoredArray, stack

Array = npt.NDArray[Any]


class LogValues:
    """Takes values out of a log, and collects what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def finish(self) -> None:
        """Raise all problems at once."""
        if self.problems:
            lines = "".join(f"\n  - {problem}" for problem in self.problems)
            raise FormatError(f"{self.path} is not a stimulus log of this dataset:{lines}")

    def checked(self, take: Callable[[], Array], what: str) -> Array:
        """Return what a function gives; note a problem where it fails."""
        try:
            return take()
        except (FormatError, TypeError, ValueError, KeyError, IndexError) as error:
            self.problems.append(f"{what}: {error}")
            return np.empty(0)

    def value(self, content: Any, keys: Sequence[str], what: str, kind: type) -> Any:
        """Return an entry under one of its names; note a problem where it is not as it should."""
        found = either(content, keys)
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
    """Return a value of a log as an array."""
    if isinstance(value, StoredArray):
        return value.array()
    if value is None or isinstance(value, dict | str | bytes | Ignored):
        raise FormatError(f"an array was expected, not {reprlib.repr(value)}")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise FormatError(f"an array of numbers was expected, not of {array.dtype}")
    return array


def as_arrays(value: Any) -> Array:
    """Return many arrays of one shape as one array."""
    return stack(value) if isinstance(value, list) else as_array(value)


def either(content: Any, keys: Sequence[str]) -> Any:
    """Return the entry of a dict under the first of its names that is there, else None."""
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in keys if key in content), None)
