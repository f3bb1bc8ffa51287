"""Criteria as they stand on the command line: NAME=VALUE, read into what ``select`` takes."""

import re
from collections.abc import Iterable
from typing import Any, Final

from oscaxr.errors import CriterionError

CRITERIA_WORDS: Final = (
    "Criteria are named like the columns of the segment table: NAME=VALUE, NAME=VALUE,VALUE or "
    "NAME=MIN:MAX (MAX excluded; one end may be left out), e.g. gabor_frame=D,U gabor_kappa=16 "
    "start_time=60:120. Also stimulus=gabors, and run_start=true for the first of consecutive "
    "segments. A wrong name or value is answered with those that there are."
)

_CRITERION: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)
_WHOLE: Final = re.compile(r"[-+]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}


def split_words(words: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Tell criteria from the other words of a command line, and read them."""
    others: list[str] = []
    criteria: dict[str, Any] = {}
    for word in words:
        match = _CRITERION.fullmatch(word)
        if match is None:
            others.append(word)
            continue
        name, text = match[1], match[2]
        if name in criteria:
            raise CriterionError(
                f"the criterion {name} is given twice; several values are written "
                f"{name}=VALUE,VALUE"
            )
        if name == "explain":
            raise CriterionError("unknown criterion 'explain': what each criterion left is shown")
        criteria[name] = read_value(name, text)
    return others, criteria


def read_value(name: str, text: str) -> Any:
    """Read the value of a criterion."""
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise CriterionError(
            f"{name}={text}: a value is missing; write {name}=VALUE or {name}=VALUE,VALUE"
        )
    ranges = [part for part in parts if _is_range(part)]
    if ranges and len(parts) > 1:
        raise CriterionError(
            f"{name}={text}: give one range MIN:MAX, or several values, not both together"
        )
    if ranges:
        low, _, high = ranges[0].partition(":")
        return (
            _scalar(low) if low else float("-inf"),
            _scalar(high) if high else float("inf"),
        )
    values = [_scalar(part) for part in parts]
    return values if len(values) > 1 else values[0]


def _is_range(text: str) -> bool:
    low, colon, high = text.partition(":")
    ends = [end for end in (low, high) if end]
    return bool(colon and ends) and all(_NUMBER.fullmatch(end) for end in ends)


def _scalar(text: str) -> int | float | bool | str:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return _FLAGS.get(text.lower(), text)
