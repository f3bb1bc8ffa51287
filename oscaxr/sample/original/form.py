"""The form of a session folder: what `write_original` can be asked for, checked."""

from dataclasses import dataclass
from typing import Final, Literal

from oscaxr.sample.spec import SampleError, SampleSpec

Pickled = Literal["python2", "python3"]
Storage = Literal["contiguous", "chunked", "gzip"]

PARTS: Final = ("pupil", "tracking", "dff", "raw", "extract", "squares", "orientations")
_PROTOCOLS: Final[dict[Pickled, tuple[int, ...]]] = {
    "python2": (0, 2),
    "python3": (0, 1, 2, 3, 4, 5),
}


@dataclass(frozen=True, kw_only=True)
class OriginalForm:
    """The form of a folder; see :func:`oscaxr.sample.write_original` for what each option means."""

    mouse_folder: bool = True
    pickled_by: Pickled = "python2"
    pickle_protocol: int = 0
    layout: Storage = "contiguous"
    dtype: Literal["float32", "float64"] = "float32"
    mates: tuple[SampleSpec, ...] = ()
    leave_out: tuple[str, ...] = ()
    startup_spike: bool = False
    photodiode_glitches: int = 0
    alignment_shift: int = 0
    unknown_eye_frames: int = 0
    pupil_frames: int | None = None

    def check(self, spec: SampleSpec) -> None:
        """Raise a SampleError that lists what has no meaning for the session."""
        allowed = {
            "pickled_by": tuple(_PROTOCOLS),
            "layout": ("contiguous", "chunked", "gzip"),
            "dtype": ("float32", "float64"),
        }
        problems = [
            f"{name} is {getattr(self, name)!r}; give one of {list(values)}"
            for name, values in allowed.items()
            if getattr(self, name) not in values
        ]
        problems += [
            f"leave_out has {part!r}; give some of {list(PARTS)}"
            for part in self.leave_out
            if part not in PARTS
        ]
        problems += [
            f"{name} is {getattr(self, name)}; give 0 or more"
            for name in ("photodiode_glitches", "unknown_eye_frames", "pupil_frames")
            if (getattr(self, name) or 0) < 0
        ]
        protocols = _PROTOCOLS.get(self.pickled_by, (self.pickle_protocol,))
        if self.pickle_protocol not in protocols:
            problems.append(
                f"pickle_protocol is {self.pickle_protocol}; "
                f"give one that {self.pickled_by} has: {list(protocols)}"
            )
        problems += [
            f"{name} is {value}; names of this format have {digits} digits"
            for name, value, digits in (
                ("session_id", spec.session_id, 9),
                ("mouse_id", spec.mouse_id, 6),
            )
            if len(str(value)) != digits
        ]
        problems += [
            f"mates has session {mate.session_id} of mouse {mate.mouse_id}; give sessions of mouse "
            f"{spec.mouse_id} with other numbers than {spec.session_number}"
            for mate in self.mates
            if mate.mouse_id != spec.mouse_id or mate.session_number == spec.session_number
        ]
        if problems:
            listed = "\n".join(f"- {problem}" for problem in problems)
            raise SampleError(f"Cannot write session {spec.session_id} in this form:\n{listed}")
