"""Where things are in an NWB file, and what it says about itself: the ids and few facts inside."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.errors import SessionNotFoundError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import Source, open_source
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.identity import (
    Identity,
    at_site,
    check_ids,
    known_sex,
    line_of,
    site_date,
    stamp_of,
    utc_start,
)
from oscaxr.formats.published import named, session_start

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
PIXEL_SPACING = f"{PLANE}/imaging_plane/grid_spacing"
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
_DRAFT_ID = re.compile(r"(\d{9})(_with_stim(_and_stack)?)?")


def read_identity(path: str | Path | RemoteFile) -> Identity:
    """Read the ids and a few facts of an NWB file."""
    if not isinstance(path, RemoteFile) and not Path(path).is_file():
        broken = " (a link to a file that is not there)" if Path(path).is_symlink() else ""
        raise SessionNotFoundError(f"There is no file {path}{broken}.")
    file = Hdf5File(path)
    try:
        with open_source(file, "an NWB file that says whose it is") as source:
            texts = {name: source.text(path) for name, path in (IDS | TEXTS).items()}
            session_id = session_id_of(texts["session_id"], texts["identifier"])
            mouse_id = _number(texts["mouse_id"])
            start = session_start(texts["session_start_time"], session_id, mouse_id)
            return Identity(
                session_id=session_id,
                mouse_id=mouse_id,
                start=stamp_of(start),
                date=site_date(start),
                sex=known_sex(texts["sex"]),
                line=line_of(texts["genotype"]),
                n_rois=_n_rois(source),
                n_tracked=_n_tracked(source),
            )
    finally:
        file.close()


def session_id_of(session_id: str, identifier: str) -> int | None:
    """Return the session id: drafts of 2021 and 2022 have it as their identifier only."""
    draft = None if session_id.strip() else _DRAFT_ID.fullmatch(identifier.strip())
    return _number(draft[1] if draft else session_id)


def check_same_session(
    where: str, ids: Mapping[str, Any], paths: Sequence[Path | RemoteFile]
) -> None:
    """Refuse a file whose name or address is another session's, and other files that are of one.

    These are opened only where their names do not say whose they are.
    """
    check_ids(where, ids, vars(named(where) or Identity()))
    for path in paths if len(paths) > 1 else ():
        own = named(path) or Identity()
        own = own if own.session_id is not None else read_identity(path)
        stated = {name: value for name in IDS if (value := getattr(own, name)) is not None}
        check_ids(str(path), stated, ids)


def start_attrs(stored: str, session_id: int | None, mouse_id: int | None) -> dict[str, str]:
    """Return what a session's Dataset says of its start, of which its file has this text."""
    start = session_start(stored, session_id, mouse_id)
    local = at_site(start)
    if start is None or local is None:
        return {}
    said = {
        "dandi_session_time": start.isoformat(timespec="seconds"),
        "date": local.date().isoformat(),
    }
    if start != utc_start(stored, utc_digits=False):
        said["session_start_time"] = start.isoformat()
        said["session_start_time_comment"] = (
            f"stored as {stored}; in the files of this dataset the digits are UTC, whatever the "
            "offset says"
        )
    return said


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
