"""Where things are in an NWB file, and what it says about itself: the ids and few facts inside."""

from pathlib import Path

import h5py
import numpy as np

from oscaxr.errors import SessionNotFoundError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import Source, open_source
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.identity import Identity, known_sex, line_of, site_date, utc_stamp

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
MAX_PROJECTION = "processing/ophys/PlaneImages/max_projection"
RUNNING = "processing/behavior/BehavioralTimeSeries/running_velocity"
PUPIL = "processing/behavior/PupilTracking"
TRIALS = "intervals/trials"
SQUARES = f"{TRIALS}/square_locations_x"
TEMPLATES = "stimulus/templates"
MOVIE = "acquisition/motion_corrected_stack"
IDS = {"session_id": "general/session_id", "mouse_id": "general/subject/subject_id"}
TEXTS = {
    "sex": "general/subject/sex",
    "genotype": "general/subject/genotype",
    "age": "general/subject/age",
    "session_start_time": "session_start_time",
    "identifier": "identifier",
}


def read_identity(path: str | Path | RemoteFile) -> Identity:
    """Read the ids and a few facts of an NWB file."""
    if not isinstance(path, RemoteFile) and not Path(path).is_file():
        broken = " (a link to a file that is not there)" if Path(path).is_symlink() else ""
        raise SessionNotFoundError(f"There is no file {path}{broken}.")
    file = Hdf5File(path)
    try:
        with open_source(file, "an NWB file that says whose it is") as source:
            texts = {name: source.text(path) for name, path in (IDS | TEXTS).items()}
            start = utc_stamp(texts["session_start_time"])
            return Identity(
                session_id=_number(texts["session_id"]),
                mouse_id=_number(texts["mouse_id"]),
                start=start,
                date=site_date(start),
                sex=known_sex(texts["sex"]),
                line=line_of(texts["genotype"]),
                n_rois=_n_rois(source),
                n_tracked=_n_tracked(source),
            )
    finally:
        file.close()


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _n_rois(source: Source) -> int:
    columns = [source.get(f"{PLANE}/{name}") for name in ("id", "image_mask")]
    return next(
        (one.shape[0] for one in columns if isinstance(one, h5py.Dataset) and one.shape), -1
    )


def _n_tracked(source: Source) -> int:
    tracked = source.values(f"{PLANE}/tracking_id", "tracking order", (None,), required=False)
    return -1 if tracked is None else int((np.isfinite(tracked) & (tracked >= 0)).sum())
