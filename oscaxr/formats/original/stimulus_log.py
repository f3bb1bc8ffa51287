"""The stimulus log: what each stimulus showed frame by frame, and how the wheel turned.

Production and pilot sessions have other names for the same things. All that is wrong with a log is
collected, and raised at once.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import FormatError
from oscaxr.files.direct import DirectFile
from oscaxr.files.remote import Place
from oscaxr.formats.original.log_values import LogValues, as_array, as_arrays, either
from oscaxr.formats.original.pickles import load
from oscaxr.formats.original.stored_arrays import StoredArray
from oscaxr.model import names as n

_KINDS: Final = {"g": n.GABORS, "b": n.VISFLOW}
_DIRECTIONS: Final = {"left": n.LEFT, "right": n.RIGHT}
# What production and pilot logs call the same things.
STIMULUS_KEYS: Final = ("stim_params", "stimParams")
SESSION_KEYS: Final = ("session_params", "subj_params")
TRACK_KEYS: Final = ("posbyframe", "posByFrame")
_ORIENTATION_KEYS: Final = ("orisbyimg", "orisByImg")
_PLACE_KEYS: Final = ("possize", "possizes")


_PLACES: Final = "ABCDU"
# Orientations scatter by some degrees, in radians; a session lasts about 4,200 s.
_LEAST_DEVIATION: Final = 1e-6
_MOST_SECONDS: Final = 1e6
_MOST_ROWS: Final = 10_000
_MOST_STIMULI: Final = 10


_nothing: Final = partial(np.empty, 0)


@dataclass(frozen=True, eq=False)
class ShownStimulus:
    """One stimulus of a session, small enough to be kept."""

    kind: str
    seconds: Array
    frame_list: Array
    n_tracks: int
    unexpected: Array = field(default_factory=_nothing)
    mean_orientation: Array = field(default_factory=_nothing)
    kappa: Array = field(default_factory=_nothing)
    size: Array = field(default_factory=_nothing)
    direction: Array = field(default_factory=_nothing)
    patch_x: Array | None = None
    patch_y: Array | None = None
    patch_size: Array | None = None
    orientations: Array | None = None


def read_stimulus(values: LogValues, one: Any, number: int) -> ShownStimulus:
    """Return what is used of one stimulus of a log."""
    what = f"stimulus {number}"
    params = values.value(one, STIMULUS_KEYS, what, dict) or {}
    session = values.value(params, SESSION_KEYS, what, dict) or {}
    kind = kind_of(params)
    if kind is None:
        values.problems.append(f"{what}: its name is neither 'gabors' nor 'bricks'")
    frames = values.column(either(one, "frame_list"), f"{what}, 'frame_list', frames", "iu")
    seconds = values.checked(
        lambda: as_array(either(one, "display_sequence")).reshape(-1, 2),
        f"{what}, display_sequence",
    )
    if not (np.abs(seconds) < _MOST_SECONDS).all():
        values.problems.append(f"{what}: 'display_sequence' has times that are not finite")
    n_tracks = values.checked(lambda: np.array(n_tracks_of(params)), f"{what}, tracks of squares")
    rows: dict[str, Array] = {}
    if kind == n.GABORS:
        rows = _gabor_rows(values, one, params, session, what)
    elif kind == n.VISFLOW:
        rows = _flow_rows(values, one, params, session, what)
    if not np.isin(rows.get("unexpected", 0), (0, 1)).all():
        values.problems.append(f"{what}: what is unexpected is not told by 0 and 1")
    return ShownStimulus(
        kind=kind or "",
        seconds=seconds,
        frame_list=frames.astype(np.int64),
        n_tracks=int(n_tracks.max(initial=0)) if kind == n.VISFLOW else 0,
        **rows,
    )


def _gabor_rows(
    values: LogValues, one: Any, params: Any, session: Any, what: str
) -> dict[str, Array]:
    rows: dict[str, Array] = {}
    pilot = either(session, "oriparsurps")
    if pilot is None:
        sweeps = values.value(one, ("sweep_params",), what, dict) or {}
        pairs = values.checked(lambda: _rows(sweeps["OriSurp"][0], 2), f"{what}, OriSurp")
        deviation = values.number(either(params, "gabor_params"), "ori_std", default=0.25)
        if deviation < _LEAST_DEVIATION:
            values.problems.append(f"{what}: 'ori_std' is {deviation:g}, which should be above 0")
        elif pairs.size:
            rows |= {"mean_orientation": pairs[:, 0], "unexpected": pairs[:, 1]}
            # Orientations scatter by 1 / sqrt(kappa).
            rows["kappa"] = np.full(len(pairs), (1 / deviation) ** 2)
    else:
        triples = values.checked(lambda: _rows(pilot, 3), f"{what}, oriparsurps")
        if triples.size:
            names = ("mean_orientation", "kappa", "unexpected")
            rows |= dict(zip(names, triples.T, strict=True))
    places = either(session, *_PLACE_KEYS) or either(params, *_PLACE_KEYS)
    if places is not None:
        rows |= _places(values, places, what)
    drawn = either(session, *_ORIENTATION_KEYS) or either(params, *_ORIENTATION_KEYS)
    if drawn is not None:
        rows["orientations"] = values.checked(lambda: as_arrays(drawn), f"{what}, orisbyimg")
    return rows


def _places(values: LogValues, places: Any, what: str) -> dict[str, Array]:
    def stacked(item: int) -> Array:
        return np.stack([as_array(pair[item]) for pair in places]).astype(np.float64)

    if not isinstance(places, list | tuple) or len(places) != len(_PLACES):
        places = []
    where = values.checked(lambda: stacked(0), f"{what}, possize, positions")
    size = values.checked(lambda: stacked(1), f"{what}, possize, sizes")
    of_patches = (len(_PLACES), n.N_PATCHES)
    if where.shape != (*of_patches, 2) or size.shape != of_patches:
        values.problems.append(
            f"{what}: 'possize' should be positions (patch, 2) and sizes (patch) of the "
            f"{n.N_PATCHES} patches in the five Gabor frames A, B, C, D, U, but has shapes "
            f"{where.shape} and {size.shape}"
        )
        return {}
    # Sizes are whole pixels in the published table.
    return {"patch_x": where[..., 0], "patch_y": where[..., 1], "patch_size": np.trunc(size)}


def _flow_rows(
    values: LogValues, one: Any, params: Any, session: Any, what: str
) -> dict[str, Array]:
    pilot = either(session, "flipdirecarray")
    if pilot is not None:
        return _pilot_flow_rows(values, pilot, what)
    sweeps = values.value(one, ("sweep_params",), what, dict) or {}
    flips = values.checked(lambda: as_array(sweeps["Flip"][0]).ravel(), f"{what}, Flip")
    direction = either(params, "direc")
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        found = reprlib.repr(direction)
        values.problems.append(f"{what}: 'direc' is {found}, neither 'left' nor 'right'")
        direction = "left"
    size = values.number(either(params, "elemParams"), "sizes", default=128.0)
    return {
        "unexpected": flips.astype(np.float64),
        "size": np.full(len(flips), size),
        "direction": np.full(len(flips), _DIRECTIONS[direction]),
    }


def _pilot_flow_rows(values: LogValues, rows: Any, what: str) -> dict[str, Array]:
    def numbers() -> Array:
        return np.stack([as_array(row[:2]) for row in rows]).astype(np.float64)

    def directions() -> Array:
        # (Not a key before it is known to be text: to hash what is nested may take for ever.)
        return np.array([_DIRECTIONS[row[3] if isinstance(row[3], str) else ""] for row in rows])

    if not isinstance(rows, list | tuple) or len(rows) > _MOST_ROWS:
        values.problems.append(f"{what}: 'flipdirecarray' is not a list of some rows")
        return {}
    found = values.checked(numbers, f"{what}, flipdirecarray").reshape(-1, 2)
    direction = values.checked(directions, f"{what}, flipdirecarray, direction")
    return {"unexpected": found[:, 0], "size": found[:, 1], "direction": direction}


def _rows(value: Any, width: int) -> Array:
    rows = as_array(value).astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise FormatError(f"rows of {width} numbers were expected, not shape {rows.shape}")
    return rows


def kind_of(params: Any) -> str | None:
    """Return the type of a stimulus, by the name it has in the log."""
    name = either(either(params, "elemParams"), "name")
    return _KINDS.get(name[:1]) if isinstance(name, str) else None


def tracks_of(params: Any) -> Any:
    """Return the positions of the squares of a stimulus, where the log has them."""
    return either(either(params, *SESSION_KEYS), *TRACK_KEYS) or either(params, *TRACK_KEYS)


def n_tracks_of(params: Any) -> int:
    """Return for how many frames a stimulus has positions of its squares."""
    found = tracks_of(params)
    if isinstance(found, StoredArray):
        return len(np.atleast_1d(as_array(found)))
    return len(found) if isinstance(found, list) else 0


@dataclass(frozen=True, eq=False)
class StimulusLog:
    """What is used of a stimulus log."""

    is_pilot: bool
    fps: float
    pre_blank: float
    wheel: Array
    stimuli: tuple[ShownStimulus, ...]
    n_dropped: int | None = None

    @property
    def offset(self) -> int:
        """Frame of the session at which frame 0 of the frame lists is."""
        return int(self.pre_blank * self.fps)


def load_log(file: DirectFile) -> dict[str, Any]:
    """Unpickle a stimulus log, safely."""
    content = load(file)
    if not isinstance(content, dict):
        raise FormatError(
            f"{file.place} is not a stimulus log: it holds a {type(content).__name__}"
        )
    return content


def parse_log(content: dict[str, Any], path: Place) -> StimulusLog:
    """Take from an unpickled log what is used of it, but for the tracks of the squares."""
    values = LogValues(path)
    stimuli = values.value(content, ("stimuli",), "the stimuli", list) or []
    n_stimuli, stimuli = len(stimuli), stimuli[:_MOST_STIMULI]
    is_pilot = any(isinstance(one, dict) and STIMULUS_KEYS[1] in one for one in stimuli)
    log = StimulusLog(
        is_pilot=is_pilot,
        fps=float(values.number(content, "fps", default=60.0)),
        pre_blank=float(values.number(content, "pre_blank_sec", default=0.0)),
        n_dropped=_dropped(values, either(content, "droppedframes")),
        wheel=_wheel(values, content),
        stimuli=tuple(read_stimulus(values, one, i) for i, one in enumerate(stimuli)),
    )
    kind, expected = ("pilot", 2) if is_pilot else ("production", 3)
    if n_stimuli != expected:
        values.problems.append(f"it has {n_stimuli} stimuli, where a {kind} session has {expected}")
    if log.fps <= 0:
        values.problems.append(f"'fps' is {log.fps:g}, which should be above 0")
    if not 0 <= log.pre_blank * max(log.fps, 1) <= _MOST_SECONDS:
        values.problems.append(
            f"'pre_blank_sec' is {log.pre_blank:g}, which should not be below 0, nor longer than a "
            "session"
        )
    seeds = {reprlib.repr(seed) for one in stimuli if (seed := _seed(one)) is not None}
    if len(seeds) > 1:
        values.problems.append(f"its stimuli have different seeds: {', '.join(sorted(seeds))}")
    values.finish()
    return log


def parse_tracks(content: dict[str, Any], path: Place) -> list[Array]:
    """Take the positions of the squares in visual flow from an unpickled log."""
    values = LogValues(path)
    tracks = []
    for one in values.value(content, ("stimuli",), "the stimuli", list) or []:
        params = either(one, *STIMULUS_KEYS)
        found = tracks_of(params)
        if kind_of(params) == n.VISFLOW and found:
            tracks.append(values.checked(partial(as_arrays, found), "tracks of squares"))
    values.finish()
    return tracks


def _wheel(values: LogValues, content: Mapping[str, Any]) -> Array:
    """Return the turns of the wheel, from the first place that has them."""
    items = either(content, "items")
    places = {f"items[{name!r}]": either(items, name) for name in ("behavior", "foraging")}
    encoders = {where: either(place, "encoders") for where, place in places.items()}
    for where, found in {**encoders, "the log": [content]}.items():
        if isinstance(found, list) and len(found) == 1:
            dx = either(found[0], "dx")
            if dx is None or (isinstance(dx, list) and not dx):
                continue
            turns = values.column(dx, f"'dx' of {where}", "fiu")
            if turns.size:
                return turns if turns.dtype.kind == "f" else turns.astype(np.float64)
    values.problems.append(
        "there are no turns of the running wheel: neither items['behavior'] nor "
        "items['foraging'] has one encoder with 'dx', and the log itself has no 'dx'"
    )
    return np.empty(0)


def _seed(one: Any) -> Any:
    return either(either(either(one, *STIMULUS_KEYS), *SESSION_KEYS), "seed")


def _dropped(values: LogValues, found: Any) -> int | None:
    if not isinstance(found, list | tuple) or not found:
        return None
    frames = found[0]
    if isinstance(frames, StoredArray):
        return int(values.checked(partial(as_array, frames), "'droppedframes'").size)
    return len(frames) if isinstance(frames, list | tuple) else None
