"""The folder of a session: the form it can have, where its files are, how it comes to its place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from oscaxr.sample.spec import SampleSpec, not_among, refuse

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
        problems = not_among(self, allowed)
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
        refuse(f"Cannot write session {spec.session_id} in this form", problems)


def original_path(
    spec: SampleSpec, datadir: str | os.PathLike[str], *, mouse_folder: bool = True
) -> Path:
    """Return where a session's folder belongs below a data directory.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be.
    datadir : path-like
        Data directory.
    mouse_folder : bool, optional
        Whether the sessions of a mouse have a folder of their own.

    Returns
    -------
    pathlib.Path
        ``<prod or pilot>/mouse_<mouse>/ophys_session_<session>`` below the data directory.

    Examples
    --------
    >>> original_path(SampleSpec(), "data").as_posix()
    'data/prod/mouse_408021/ophys_session_758519303'
    """
    mouse = f"mouse_{spec.mouse_id}" if mouse_folder else "."
    return Path(datadir) / spec.run_type / mouse / f"ophys_session_{spec.session_id}"


@dataclass(frozen=True)
class Tree:
    """Paths of the files of a session."""

    folder: Path
    spec: SampleSpec

    @property
    def experiment_id(self) -> int:
        """Number of the recording, which no table tells."""
        return self.spec.session_id + 1_000_001

    @property
    def experiment(self) -> Path:
        """Folder of the two-photon recording."""
        return self.folder / f"ophys_experiment_{self.experiment_id}"

    @property
    def processed(self) -> Path:
        """Folder of what was made from the recording."""
        return self.experiment / "processed"

    @property
    def segmentation(self) -> Path:
        """Folder of the Allen Institute's segmentation."""
        return self.processed / f"ophys_cell_segmentation_run_{self.spec.session_id + 1_000_777}"

    def behavior_file(self, ending: str) -> Path:
        """Return the path of a file of the session, such as ``sync.h5``."""
        # The day where the session was, not in UTC.
        facts = self.spec.session_id, self.spec.mouse_id, f"{self.spec.start:%Y%m%d}"
        return self.folder / "_".join([*map(str, facts), ending])

    def experiment_file(self, ending: str) -> Path:
        """Return the path of a file of the recording, such as ``dff.h5``."""
        return self.experiment / f"{self.experiment_id}_{ending}"

    def make_folders(self) -> None:
        """Make the folders."""
        self.segmentation.mkdir(parents=True)
