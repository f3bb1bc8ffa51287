"""The stimulus log: what was shown frame by frame, and how the wheel turned."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.formats.original.pickles import StoredArray, load
from oscaxr.formats.original.shown import (
    SESSION_KEYS,
    STIMULUS_KEYS,
    ShownStimulus,
    kind_of,
    n_tracks_of,
    read_stimulus,
    tracks_of,
)
from oscaxr.formats.original.values import LogValues, as_array, as_arrays, either
from oscaxr.model import names as n

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class StimulusLog:
    """What is used of a stimulus log."""

    is_pilot: bool
    fps: float
    pre_blank: float
    n_dropped: int | None
    wheel: Array
    stimuli: tuple[ShownStimulus, ...]

    @property
    def offset(self) -> int:
        """Frame of the session at which frame 0 of the frame lists is."""
        return int(self.pre_blank * self.fps)


def read_log(path: Path) -> StimulusLog:
    """Read a stimulus log."""
    return parse_log(load_log(path), path)


def load_log(path: Path) -> dict[str, Any]:
    """Unpickle a stimulus log, safely."""
    content = load(path)
    if not isinstance(content, dict):
        raise FormatError(f"{path} is not a stimulus log: it holds a {type(content).__name__}")
    return content


def parse_log(content: dict[str, Any], path: Path) -> StimulusLog:
    """Take from an unpickled log what is used of it, but for the tracks of the squares."""
    values = LogValues(path)
    stimuli = values.value(content, ("stimuli",), "the stimuli", list) or []
    is_pilot = any(isinstance(one, dict) and STIMULUS_KEYS[1] in one for one in stimuli)
    log = StimulusLog(
        is_pilot=is_pilot,
        fps=float(values.number(content, "fps", default=60.0)),
        pre_blank=float(values.number(content, "pre_blank_sec", default=0.0)),
        n_dropped=_dropped(either(content, ("droppedframes",))),
        wheel=_wheel(values, content),
        stimuli=tuple(read_stimulus(values, one, i) for i, one in enumerate(stimuli)),
    )
    expected = 2 if is_pilot else 3
    if len(stimuli) != expected:
        kind = "pilot" if is_pilot else "production"
        values.problems.append(
            f"it has {len(stimuli)} stimuli, where a {kind} session has {expected}"
        )
    if log.fps <= 0:
        values.problems.append(f"'fps' is {log.fps:g}, which should be above 0")
    if log.pre_blank < 0:
        values.problems.append(f"'pre_blank_sec' is {log.pre_blank:g}, which should not be below 0")
    seeds = {reprlib.repr(seed) for one in stimuli if (seed := _seed(one)) is not None}
    if len(seeds) > 1:
        values.problems.append(f"its stimuli have different seeds: {', '.join(sorted(seeds))}")
    values.finish()
    return log


def parse_tracks(content: dict[str, Any], path: Path) -> list[Array]:
    """Take the positions of the squares in visual flow from an unpickled log."""
    values = LogValues(path)
    tracks = []
    for one in content["stimuli"]:
        params = either(one, STIMULUS_KEYS)
        found = tracks_of(params)
        if kind_of(params) == n.VISFLOW and n_tracks_of(params):
            tracks.append(values.checked(partial(as_arrays, found), "tracks of squares"))
    values.finish()
    return tracks


def _wheel(values: LogValues, content: Mapping[str, Any]) -> Array:
    """Return the turns of the wheel, from the first place that has them."""
    items = either(content, ("items",))
    for name in ("behavior", "foraging"):
        encoders = either(either(items, (name,)), ("encoders",))
        if isinstance(encoders, list) and len(encoders) == 1:
            turns = _turns(values, either(encoders[0], ("dx",)), f"items[{name!r}]")
            if turns.size:
                return turns
    turns = _turns(values, either(content, ("dx",)), "the log")
    if not turns.size:
        values.problems.append(
            "there are no turns of the running wheel: neither items['behavior'] nor "
            "items['foraging'] has one encoder with 'dx', and the log itself has no 'dx'"
        )
    return turns


def _turns(values: LogValues, found: Any, where: str) -> Array:
    if found is None or (isinstance(found, list) and not found):
        return np.empty(0)
    turns = values.checked(lambda: as_array(found), f"'dx' of {where}")
    if turns.ndim != 1 or turns.dtype.kind not in "fiu":
        values.problems.append(f"'dx' of {where} is not one number a frame")
        return np.empty(0)
    return turns if turns.dtype.kind == "f" else turns.astype(np.float64)


def _seed(one: Any) -> Any:
    return either(either(either(one, STIMULUS_KEYS), SESSION_KEYS), ("seed",))


def _dropped(found: Any) -> int | None:
    if not isinstance(found, list | tuple) or not found:
        return None
    frames = found[0]
    if isinstance(frames, StoredArray):
        return int(as_array(frames).size)
    return len(frames) if isinstance(frames, list | tuple) else None
