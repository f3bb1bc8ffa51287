"""Where the files of a session belong, and how a folder comes to its place all at once."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from oscaxr.sample.spec import SampleExistsError, SampleSpec


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


@contextmanager
def new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder to fill, which takes its place when it is complete, never before."""
    if path.exists() and not overwrite:
        raise SampleExistsError(
            f"{path} is already there; give overwrite=True to replace it, or another folder."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, and of another name than a session's folder: nobody takes it for one.
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    old = partial.with_suffix(".old")
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
