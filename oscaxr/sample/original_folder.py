"""The folder of a session: the form it can have, where its files are, how it comes to its place."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oscaxr.files.remote import Place, as_given, place_of
from oscaxr.options import PathLike
from oscaxr.sample.spec import Layout, SampleSpec, not_among, refuse


@dataclass(frozen=True, kw_only=True)
class OriginalForm:
    """The form of a folder in the original layout, of those that recorded folders have.

    Parameters
    ----------
    pickle_protocol : {0, 2}, optional
        Protocol of Python 2 by which the stimulus log is pickled.
    layout : {"contiguous", "chunked", "gzip"}, optional
        How HDF5 stores the traces.
    dtype : {"float32", "float64"}, optional
        Of the traces.
    mates : collection of SampleSpec, optional
        The mouse's other sessions, named in the file of tracked ROIs with the matrices that lay
        their fields over this one.
    """

    pickle_protocol: Literal[0, 2] = 0
    layout: Layout = "contiguous"
    dtype: Literal["float32", "float64"] = "float32"
    mates: Collection[SampleSpec] = ()

    def check(self, spec: SampleSpec) -> None:
        """Raise a SampleError that lists what has no meaning for the session."""
        problems = not_among(self)
        problems += [
            f"mates has session {mate.session_id} of mouse {mate.mouse_id}; give sessions of mouse "
            f"{spec.mouse_id} with other numbers than {spec.session_number}"
            for mate in self.mates
            if mate.mouse_id != spec.mouse_id or mate.session_number == spec.session_number
        ]
        refuse(f"Cannot write session {spec.session_id} in this form", problems)


def original_path(spec: SampleSpec, datadir: PathLike) -> Path | str:
    """Return where a session's folder belongs below a data directory.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be.
    datadir : path-like
        Data directory, or its address.

    Returns
    -------
    pathlib.Path or str
        ``<prod or pilot>/mouse_<mouse>/ophys_session_<session>`` below the data directory; of an
        address, a str.

    Examples
    --------
    >>> original_path(SampleSpec(), "data").as_posix()
    'data/prod/mouse_900001/ophys_session_900000001'
    """
    return as_given(original_place(spec, place_of(datadir)))


def original_place(spec: SampleSpec, datadir: Place) -> Place:
    """Return where a session's folder belongs below a data directory, here or in a store."""
    return datadir / spec.run_type / f"mouse_{spec.mouse_id}" / f"ophys_session_{spec.session_id}"


class Tree:
    """Paths of the files of a session."""

    def __init__(self, folder: Path, spec: SampleSpec) -> None:
        self.folder = folder
        self.spec = spec
        # Number of the recording, which no table tells.
        self.experiment_id = spec.session_id + 1_000_001
        self.experiment = folder / f"ophys_experiment_{self.experiment_id}"
        # What was made from the recording, and the Allen Institute's segmentation.
        self.processed = self.experiment / "processed"
        run = f"ophys_cell_segmentation_run_{spec.session_id + 1_000_777}"
        self.segmentation = self.processed / run

    def behavior_file(self, ending: str) -> Path:
        """Return the path of a file of the session, such as ``sync.h5``."""
        spec = self.spec
        # The day where the session was, not in UTC.
        return self.folder / f"{spec.session_id}_{spec.mouse_id}_{spec.site_start:%Y%m%d}_{ending}"

    def experiment_file(self, ending: str) -> Path:
        """Return the path of a file of the recording, such as ``dff.h5``."""
        return self.experiment / f"{self.experiment_id}_{ending}"
