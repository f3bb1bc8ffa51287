"""What an NWB file says about itself: the ids and few facts inside."""

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from oscaxr.arrays.xarray_internals import HDF5_LOCK
from oscaxr.errors import (
    FormatError,
    RemoteError,
    SessionNotFoundError,
)
from oscaxr.files.hdf5 import open_file
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.identity import Identity, known_sex, line_of, site_date, utc_stamp

_PLANE_SEGMENTATION: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation"
_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


def read_identity(path: str | Path | RemoteFile) -> Identity:
    """Read the ids and a few facts of an NWB file."""
    if not isinstance(path, RemoteFile) and not Path(path).is_file():
        broken = " (a link to a file that is not there)" if Path(path).is_symlink() else ""
        raise SessionNotFoundError(f"There is no file {path}{broken}.")
    try:
        where = path if isinstance(path, RemoteFile) else str(path)
        with HDF5_LOCK, open_file(where) as file:
            rois = file.get(_PLANE_SEGMENTATION)
            start = utc_stamp(_text(file, "session_start_time"))
            return Identity(
                session_id=_number(_text(file, "general/session_id")),
                mouse_id=_number(_text(file, "general/subject/subject_id")),
                start=start,
                date=site_date(start),
                sex=known_sex(_text(file, "general/subject/sex")),
                line=line_of(_text(file, "general/subject/genotype")),
                n_rois=_n_rois(rois),
                n_tracked=_n_tracked(rois),
            )
    except RemoteError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} cannot be read as an NWB file: {_reason(path, error)}"
        ) from error


def _text(file: h5py.File, path: str) -> str:
    if path not in file:
        return ""
    value = np.asarray(file[path][()])
    if value.size != 1:
        return ""
    item = value.item()
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _n_rois(rois: Any) -> int:
    columns = [rois[name] for name in ("id", "image_mask") if rois is not None and name in rois]
    return int(columns[0].shape[0]) if columns else -1


def _n_tracked(rois: Any) -> int:
    if rois is None or "tracking_id" not in rois:
        return -1
    tracking_id = np.asarray(rois["tracking_id"][:], dtype=float)
    return int((np.isfinite(tracking_id) & (tracking_id >= 0)).sum())


def _reason(path: str | Path | RemoteFile, error: Exception) -> str:
    """Say in plain words why HDF5 would not read a file."""
    text = str(error)
    if isinstance(path, RemoteFile):
        return f"{text}. Check the URL."
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return "it may not be read (permission denied). Check the file's permissions."
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(len(_HDF5_SIGNATURE))
    if "truncated" in text or (start == _HDF5_SIGNATURE and "signature" in text):
        return f"it is truncated ({size} bytes are there; {text}). Download it again."
    if "signature" in text:
        return f"it is not an HDF5 file ({size} bytes). Check that the download is complete."
    return f"{text}. It may be damaged: download it again."
