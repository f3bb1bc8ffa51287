"""One stimulus of the log: what its sweeps were, in production and pilot sessions."""

import reprlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.formats.original.pickles import StoredArray
from oscaxr.formats.original.values import LogValues, as_array, as_arrays, either
from oscaxr.model import names as n

Array = npt.NDArray[Any]

_KINDS: Final = {"g": n.GABORS, "b": n.VISFLOW}
_DIRECTIONS: Final = {"left": n.LEFT, "right": n.RIGHT}
# What production and pilot logs call the same things.
STIMULUS_KEYS: Final = ("stim_params", "stimParams")
SESSION_KEYS: Final = ("session_params", "subj_params")
TRACK_KEYS: Final = ("posbyframe", "posByFrame")
_ORIENTATION_KEYS: Final = ("orisbyimg", "orisByImg")
_PLACE_KEYS: Final = ("possize", "possizes")


@dataclass(frozen=True, eq=False)
class ShownStimulus:
    """One stimulus of a session, small enough to be kept."""

    kind: str
    seconds: Array
    frame_list: Array
    unexpected: Array
    mean_orientation: Array
    kappa: Array
    size: Array
    direction: Array
    patch_x: Array | None
    patch_y: Array | None
    patch_size: Array | None
    orientations: Array | None
    n_tracks: int


def read_stimulus(values: LogValues, one: Any, number: int) -> ShownStimulus:
    """Return what is used of one stimulus of a log."""
    what = f"stimulus {number}"
    params = values.value(one, STIMULUS_KEYS, what, dict) or {}
    session = values.value(params, SESSION_KEYS, what, dict) or {}
    kind = kind_of(params)
    if kind is None:
        values.problems.append(f"{what}: its name is neither 'gabors' nor 'bricks'")
    frames = values.checked(lambda: as_array(either(one, ("frame_list",))), f"{what}, frames")
    if frames.ndim != 1 or frames.dtype.kind not in "iu":
        values.problems.append(f"{what}: 'frame_list' is not one sweep number a frame")
        frames = np.empty(0, np.int64)
    seconds = values.checked(
        lambda: as_array(either(one, ("display_sequence",))).reshape(-1, 2),
        f"{what}, display_sequence",
    )
    if not np.isfinite(seconds).all():
        values.problems.append(f"{what}: 'display_sequence' has times that are not finite")
    gabor = _gabor_rows(values, one, params, session, what) if kind == n.GABORS else {}
    flow = _flow_rows(values, one, params, session, what) if kind == n.VISFLOW else {}
    unexpected = gabor.get("unexpected", flow.get("unexpected", np.empty(0)))
    if not np.isin(unexpected, (0, 1)).all():
        values.problems.append(f"{what}: what is unexpected is not told by 0 and 1")
    return ShownStimulus(
        kind=kind or "",
        seconds=seconds,
        frame_list=frames.astype(np.int64),
        unexpected=unexpected,
        mean_orientation=gabor.get("orientation", np.empty(0)),
        kappa=gabor.get("kappa", np.empty(0)),
        size=flow.get("size", np.empty(0)),
        direction=flow.get("direction", np.empty(0, "U1")),
        patch_x=gabor.get("x"),
        patch_y=gabor.get("y"),
        patch_size=gabor.get("patch_size"),
        orientations=gabor.get("orientations"),
        n_tracks=n_tracks_of(params) if kind == n.VISFLOW else 0,
    )


def _gabor_rows(
    values: LogValues, one: Any, params: Any, session: Any, what: str
) -> dict[str, Array]:
    rows: dict[str, Array] = {}
    pilot = either(session, ("oriparsurps",))
    if pilot is None:
        sweeps = values.value(one, ("sweep_params",), what, dict) or {}
        pairs = values.checked(lambda: _rows(sweeps["OriSurp"][0], 2), f"{what}, OriSurp")
        deviation = values.number(either(params, ("gabor_params",)), "ori_std", default=0.25)
        if deviation <= 0:
            values.problems.append(f"{what}: 'ori_std' is {deviation:g}, which should be above 0")
        elif pairs.size:
            rows |= {"orientation": pairs[:, 0], "unexpected": pairs[:, 1]}
            # Orientations scatter by 1 / sqrt(kappa).
            rows["kappa"] = np.full(len(pairs), (1 / deviation) ** 2)
    else:
        triples = values.checked(lambda: _rows(pilot, 3), f"{what}, oriparsurps")
        if triples.size:
            names = ("orientation", "kappa", "unexpected")
            rows |= dict(zip(names, triples.T, strict=True))
    places = either(session, _PLACE_KEYS) or either(params, _PLACE_KEYS)
    if places is not None:
        rows |= _places(values, places, what)
    drawn = either(session, _ORIENTATION_KEYS) or either(params, _ORIENTATION_KEYS)
    if drawn is not None:
        rows["orientations"] = values.checked(lambda: as_arrays(drawn), f"{what}, orisbyimg")
    return rows


def _places(values: LogValues, places: Any, what: str) -> dict[str, Array]:
    def positions() -> Array:
        return np.stack([as_array(pair[0]) for pair in places]).astype(np.float64)

    def sizes() -> Array:
        return np.stack([as_array(pair[1]) for pair in places]).astype(np.float64)

    where = values.checked(positions, f"{what}, possize, positions")
    size = values.checked(sizes, f"{what}, possize, sizes")
    if where.ndim != 3 or where.shape[::2] != (5, 2) or size.shape != where.shape[:2]:
        values.problems.append(
            f"{what}: 'possize' should be positions (patch, 2) and sizes (patch) of the five "
            f"Gabor frames A, B, C, D, U, but has shapes {where.shape} and {size.shape}"
        )
        return {}
    # Sizes are whole pixels in the published table.
    return {"x": where[..., 0], "y": where[..., 1], "patch_size": np.trunc(size)}


def _flow_rows(
    values: LogValues, one: Any, params: Any, session: Any, what: str
) -> dict[str, Array]:
    pilot = either(session, ("flipdirecarray",))
    if pilot is not None:
        return _pilot_flow_rows(values, pilot, what)
    sweeps = values.value(one, ("sweep_params",), what, dict) or {}
    flips = values.checked(lambda: as_array(sweeps["Flip"][0]).ravel(), f"{what}, Flip")
    direction = either(params, ("direc",))
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        found = reprlib.repr(direction)
        values.problems.append(f"{what}: 'direc' is {found}, neither 'left' nor 'right'")
        direction = "left"
    size = values.number(either(params, ("elemParams",)), "sizes", default=128.0)
    return {
        "unexpected": flips.astype(np.float64),
        "size": np.full(len(flips), size),
        "direction": np.full(len(flips), _DIRECTIONS[direction]),
    }


def _pilot_flow_rows(values: LogValues, rows: Any, what: str) -> dict[str, Array]:
    def numbers() -> Array:
        return np.array([[float(row[0]), float(row[1])] for row in rows])

    def directions() -> Array:
        return np.array([_DIRECTIONS[row[3]] for row in rows])

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
    name = either(either(params, ("elemParams",)), ("name",))
    return _KINDS.get(name[:1]) if isinstance(name, str) else None


def tracks_of(params: Any) -> Any:
    """Return the positions of the squares of a stimulus, where the log has them."""
    return either(either(params, SESSION_KEYS), TRACK_KEYS) or either(params, TRACK_KEYS)


def n_tracks_of(params: Any) -> int:
    """Return for how many frames a stimulus has positions of its squares."""
    found = tracks_of(params)
    if isinstance(found, StoredArray):
        return len(found.array())
    return len(found) if isinstance(found, list) else 0
