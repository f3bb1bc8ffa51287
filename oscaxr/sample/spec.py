"""What a synthetic session is to be: one frozen, checked description.

Everything random in a session is drawn from streams named here, so that any part of it (one block
of traces, the masks, the squares) can be made alone and is always the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import numpy as np

from oscaxr.errors import OscaxrError
from oscaxr.model import names as n
from oscaxr.model.synthetic import MOUSE_IDS, SESSION_IDS

BlockName = Literal["gabors", "left", "right"]
Plane = Literal["soma", "dend"]
Layout = Literal["gzip", "chunked", "contiguous"]
Progress = Callable[[int, int], None]

GENOTYPES: Final[dict[str, str]] = {
    "L23-Cux2": "Cux2-CreERT2;Camk2a-tTA;Ai93(TITL-GCaMP6f)",
    "L5-Rbp4": "Rbp4-Cre_KL100;Camk2a-tTA;Ai93(TITL-GCaMP6f)",
}
# Gabors come first or last; the two directions of flow follow each other, in either order.
BLOCK_ORDERS: Final[tuple[tuple[BlockName, BlockName, BlockName], ...]] = (
    ("gabors", "left", "right"),
    ("gabors", "right", "left"),
    ("left", "right", "gabors"),
    ("right", "left", "gabors"),
)
SQUARE_NUMBERS: Final = {128: n.N_SQUARES, 256: 26}

# Independent random streams, of a mouse and of a session.
MOUSE_ROIS: Final = 0
TIMELINE: Final = 1
PATCHES: Final = 2
SQUARES: Final = 3
BEHAVIOR: Final = 4
SESSION_ROIS: Final = 5
TRACE_INPUT: Final = 6
TRACE_NOISE: Final = 7
IMAGES: Final = 8
MOVIE: Final = 9

_SMALLEST_FIELD: Final = 48  # pixels, with room for a mask
_CHOICES: Final[dict[str, Sequence[Any]]] = {
    "block_order": [None, *BLOCK_ORDERS],
    "gabor_kappa": [int(kappa) for kappa in n.GABOR_KAPPAS],
    "square_size": list(SQUARE_NUMBERS),
}
# Smallest and largest value. A shorter session cannot hold an unexpected run between two expected.
_RANGES: Final = {
    "seed": (0, inf),
    # No recorded session has such an id: a sample cannot be taken for one, nor lie in its place.
    "mouse_id": (MOUSE_IDS[0], MOUSE_IDS[-1]),
    "session_id": (SESSION_IDS[0], SESSION_IDS[-1]),
    "mouse_number": (1, inf),
    "session_number": (1, inf),
    "depth": (0, inf),
    # Real sessions have up to some hundreds; of more than these, the masks alone fill a disk.
    "n_rois": (1, 100_000),
    "n_bad_rois": (0, 100_000),
    "scale": (0.004, 10),
    "twop_rate": (5, 100),
    "dropped": (0, 0.2),
    "late_frames": (0, 0.2),
}


class SampleError(OscaxrError, ValueError):
    """A synthetic session, or a file of it, was described in a way that cannot be made."""


def refuse(what: str, problems: Iterable[str]) -> None:
    """Raise a SampleError that lists all problems, if there are any."""
    listed = "".join(f"\n- {problem}" for problem in problems)
    if listed:
        raise SampleError(f"{what}:{listed}")


def not_among(form: object, more: Mapping[str, Sequence[Any]] | None = None) -> list[str]:
    """List the options that have a value which is not among those of their type, or of a table."""
    kinds = get_type_hints(type(form))
    typed = {name: get_args(kind) for name, kind in kinds.items() if get_origin(kind) is Literal}
    return [
        f"{name} is {getattr(form, name)!r}; give one of {list(values)}"
        for name, values in {**typed, **(more or {})}.items()
        if isinstance(getattr(form, name), np.ndarray) or getattr(form, name) not in values
    ]


def hdf5_storage(
    layout: Layout,
    shape: tuple[int, ...],
    chunks: tuple[int, ...] | None = None,
    shuffle: bool = False,
) -> dict[str, Any]:
    """Return how HDF5 is to store one of the large arrays."""
    if layout == "contiguous":
        return {}
    # Chunks may not be larger than the array; without any, HDF5 is left to choose.
    fitted = True if chunks is None else tuple(map(min, chunks, shape))
    if layout == "chunked":
        return {"chunks": fitted}
    return {"chunks": fitted, "compression": "gzip", "shuffle": shuffle}


def tell_steps(steps: Iterable[tuple[int, int]], progress: Progress | None) -> None:
    """Take all steps, and tell how many are done after each."""
    for done, total in steps:
        if progress is not None:
            progress(done, total)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _unfit_numbers(spec: "SampleSpec") -> list[str]:
    """Say which numbers are none, or out of their range."""
    kinds = get_type_hints(SampleSpec)
    limits = {**_RANGES, "n_tracked": (0, spec.n_rois if _is_whole(spec.n_rois) else inf)}
    problems = []
    for name, (low, high) in limits.items():
        value = getattr(spec, name)
        is_fraction = kinds[name] is float and isinstance(value, float | np.floating)
        if not _is_whole(value) and not is_fraction:
            kind = "number" if kinds[name] is float else "whole number"
            problems.append(f"{name} is {value!r}; give a {kind}")
        elif not low <= value <= high:
            limit = "or more" if high == inf else f"to {high}"
            problems.append(f"{name} is {value}; give {low} {limit}")
    return problems


def _unfit_dates(spec: "SampleSpec") -> list[str]:
    """Say which dates are none, or say not where."""
    dates: dict[str, Any] = {"start": spec.start, "birth": spec.birth}
    return [
        f"{name} is {date!r}; give datetime(..., tzinfo=UTC), with a time zone"
        for name, date in dates.items()
        if not isinstance(date, datetime) or date.tzinfo is None
    ]


def _unfit_field(shape: Any) -> list[str]:
    """Say what is wrong with the shape of a field, if anything."""
    is_pair = isinstance(shape, tuple | list) and len(shape) == 2
    if is_pair and all(_is_whole(size) and size >= _SMALLEST_FIELD for size in shape):
        return []
    return [
        f"field_shape is {shape!r}; give height and width, {_SMALLEST_FIELD} pixels or more each"
    ]


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """Description of one synthetic session.

    Two specs that are equal give equal sessions. Sessions of one mouse (same `seed` and
    `mouse_id`) share their tracked ROIs.

    Parameters
    ----------
    seed : int, optional
        Seed of all random numbers, zero or more.
    mouse_id, session_id : int, optional
        The 6-digit and 9-digit ids, which begin with a 9: no recorded session has such.
    mouse_number, session_number : int, optional
        Numbers in the session table. Responses to unexpected Gabors grow with the session number.
    n_rois : int, optional
        Number of ROIs.
    n_tracked : int, optional
        How many of them are tracked; 0 makes a session without tracking.
    n_bad_rois : int, optional
        Number of ROIs beside these whose traces are unfit. Files of the original layout have them
        among the others; NWB files were published without.
    scale : float, optional
        Length of the session, 1 being a real one: 1,360 Gabor sequences, twice 1,020 segments of
        visual flow and gray screens of 1,800 stimulus frames (251,999 usable frames in all).
    block_order : tuple of {"gabors", "left", "right"}, optional
        Order of the stimuli. Drawn from the seed and the session id if not given.
    twop_rate : float, optional
        Two-photon frames a second; 30.08 on one rig, 30.15 on the other.
    gabor_kappa, square_size : int, optional
        16 and 128; pilot sessions also had 4 and 256 (then with 26 squares).
    field_shape : tuple of int, optional
        Height and width of the microscope's field, pixels.
    dropped : float, optional
        Fraction of running frames that are missing (NaN): by default 7 frames of a session of real
        length, none of a short one. Above 0.0003 the session is past the tolerance, and some of the
        gaps are longer than five frames.
    late_frames : float, optional
        Fraction of stimulus frames that stayed on the screen for two refreshes; none by default, as
        in the recordings.
    plane : {"soma", "dend"}, optional
        Imaging plane.
    line : {"L23-Cux2", "L5-Rbp4"}, optional
        Mouse line.
    depth : int, optional
        Imaging depth, micrometres.
    sex : {"M", "F"}, optional
        Sex of the mouse.
    birth : datetime, optional
        Date of birth, with a time zone.
    start : datetime, optional
        Start of the session, with its time zone (UTC in file names and tables).

    Raises
    ------
    SampleError
        If the description cannot be made into a session; all problems are listed.

    Examples
    --------
    >>> SampleSpec(scale=0.12).n_segments
    1063
    >>> SampleSpec().n_stim_frames
    251999
    """

    seed: int = 0
    mouse_id: int = MOUSE_IDS[0]
    session_id: int = SESSION_IDS[0]
    mouse_number: int = 1
    session_number: int = 1
    n_rois: int = 20
    n_tracked: int = 9
    n_bad_rois: int = 0
    scale: float = 1.0
    block_order: tuple[BlockName, BlockName, BlockName] | None = None
    twop_rate: float = 30.08
    gabor_kappa: int = 16
    square_size: int = 128
    field_shape: tuple[int, int] = (512, 512)
    dropped: float = 0.00003
    late_frames: float = 0.0
    plane: Plane = "soma"
    line: Literal["L23-Cux2", "L5-Rbp4"] = "L23-Cux2"
    depth: int = 175
    sex: Literal["M", "F"] = "M"
    birth: datetime = datetime(2000, 10, 2, tzinfo=UTC)
    start: datetime = datetime(2001, 1, 5, 17, 29, 17, tzinfo=UTC)

    def __post_init__(self) -> None:
        problems = [*not_among(self, _CHOICES), *_unfit_numbers(self), *_unfit_dates(self)]
        problems += _unfit_field(self.field_shape)
        refuse(f"Cannot make the sample session {self.session_id}", problems)

    @property
    def n_sequences(self) -> int:
        """Number of Gabor sequences, five segments each."""
        return round(1360 * self.scale)

    @property
    def n_flow(self) -> int:
        """Number of visual-flow segments in each of the two directions."""
        return round(1020 * self.scale)

    @property
    def n_gray_frames(self) -> int:
        """Stimulus frames of each gray screen (the last one has one frame fewer)."""
        return round(1800 * self.scale)

    @property
    def n_segments(self) -> int:
        """Number of rows of the segment table."""
        return 4 + n.SEGMENTS_PER_GABOR_SEQUENCE * self.n_sequences + 2 * self.n_flow

    @property
    def n_stim_frames(self) -> int:
        """Number of usable stimulus frames."""
        return 4 * self.n_gray_frames + 90 * self.n_sequences + 120 * self.n_flow - 1

    @property
    def n_squares(self) -> int:
        """Number of squares on the screen during visual flow."""
        return SQUARE_NUMBERS[self.square_size]

    @property
    def run_type(self) -> Literal["prod", "pilot"]:
        """Production, or pilot if the stimulus parameters are not those of production."""
        is_prod = (self.gabor_kappa, self.square_size) == (16, 128)
        return "prod" if is_prod else "pilot"

    @property
    def genotype(self) -> str:
        """Genotype of the mouse line."""
        return GENOTYPES[self.line]

    @property
    def site_start(self) -> datetime:
        """Start of the session by the clocks of Los Angeles, where sessions were recorded."""
        from zoneinfo import ZoneInfo

        return self.start.astimezone(ZoneInfo("America/Los_Angeles"))

    def random(self, stream: int, part: int = 0) -> np.random.Generator:
        """Return the generator of one stream of random numbers of the session.

        Parameters
        ----------
        stream : int
            One of the stream numbers of ``oscaxr.sample.spec``.
        part : int, optional
            Number of the block within the stream.

        Returns
        -------
        numpy.random.Generator
            Always in the same state for the same spec, stream and part.
        """
        # What a mouse's sessions share must not depend on the session.
        session = 0 if stream == MOUSE_ROIS else self.session_id
        entropy = np.random.SeedSequence(
            (self.seed, self.mouse_id, session), spawn_key=(stream, part)
        )
        return np.random.default_rng(entropy)
