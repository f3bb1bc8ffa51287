"""The folder of a session: the form it can have, where its files are, how it comes to its place."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final, Literal

from oscaxr.sample.spec import Layout, SampleSpec, not_among, out_of_range, refuse

Pickled = Literal["python2", "python3"]

PARTS: Final = ("pupil", "tracking", "dff", "raw", "extract", "squares", "orientations")
_PROTOCOLS: Final[dict[Pickled, tuple[int, ...]]] = {
    "python2": (0, 2),
    "python3": (0, 1, 2, 3, 4, 5),
}


@dataclass(frozen=True, kw_only=True)
class OriginalForm:
    """The form of a folder in the original layout, of those that recorded folders have.

    Parameters
    ----------
    mouse_folder : bool, optional
        Whether the sessions of a mouse have a folder of their own.
    pickled_by : {"python2", "python3"}, optional
        Which Python the stimulus log looks pickled by. The recorded ones are by Python 2.
    pickle_protocol : int, optional
        0 or 2 by Python 2, up to 5 by Python 3.
    layout : {"contiguous", "chunked", "gzip"}, optional
        How HDF5 stores the traces.
    dtype : {"float32", "float64"}, optional
        Of the traces.
    mates : collection of SampleSpec, optional
        The mouse's other sessions, named in the file of tracked ROIs with the matrices that lay
        their fields over this one.
    leave_out : collection of str, optional
        Of what not every session has: ``"pupil"`` and ``"tracking"`` (the files), ``"dff"``,
        ``"raw"`` (the trace files), ``"extract"`` (all of the second segmentation of dendrites),
        ``"squares"`` and ``"orientations"`` (in the stimulus log).
    startup_spike : bool, optional
        Whether the stimulus line has a spike a second before the first pulse. By the definitions
        of this format it counts as a pulse, so that all times and frames differ from those of the
        session without.
    photodiode_glitches : int, optional
        How many times the photodiode flickers before it sees the screen change.
    """

    mouse_folder: bool = True
    pickled_by: Pickled = "python2"
    pickle_protocol: int = 0
    layout: Layout = "contiguous"
    dtype: Literal["float32", "float64"] = "float32"
    mates: Collection[SampleSpec] = ()
    leave_out: Collection[str] = ()
    startup_spike: bool = False
    photodiode_glitches: int = 0

    def check(self, spec: SampleSpec) -> None:
        """Raise a SampleError that lists what has no meaning for the session."""
        problems = not_among(self) + out_of_range(self, {"photodiode_glitches": (0, inf)})
        problems += [
            f"leave_out has {part!r}; give some of {list(PARTS)}"
            for part in self.leave_out
            if part not in PARTS
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
