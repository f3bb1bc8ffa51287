"""What an NWB file says about itself: the ids in its name, the ids and few facts inside."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypedDict

import h5py
import numpy as np

from oscaxr.arrays.xarray_internals import HDF5_LOCK
from oscaxr.errors import (
    FormatError,
    RemoteError,
    SessionMismatchError,
    SessionNotFoundError,
)
from oscaxr.files.opening import open_file
from oscaxr.files.remote import RemoteFile

_NAME: Final = re.compile(
    r"sub-(?P<mouse>\d+)_ses-(?:(?P<id>\d{9,})|(?P<time>\d{8}T\d{6}))"
    r"(?:_obj-(?P<obj>[A-Za-z0-9]+))?(?:_(?P<parts>[a-z]+(?:\+[a-z]+)*))?\.nwb"
)
_PLANE_SEGMENTATION: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation"
_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ParsedName:
    """What the name of an NWB file says."""

    mouse_id: int
    session_id: int | None
    start_time: str | None
    obj: str = ""
    parts: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The file name that says this."""
        session = self.start_time if self.session_id is None else self.session_id
        obj = f"_obj-{self.obj}" if self.obj else ""
        parts = f"_{'+'.join(self.parts)}" if self.parts else ""
        return f"sub-{self.mouse_id}_ses-{session}{obj}{parts}.nwb"


@dataclass(frozen=True)
class OwnedFile:
    """A file, and whose it is as far as known (None where not)."""

    path: Path
    mouse_id: int | None
    session_id: int | None
    start_time: str | None


class Identity(TypedDict):
    """The ids and few facts that a session file states about itself."""

    session_id: int | None
    subject_id: int | None
    session_start_time: str
    genotype: str
    sex: str
    n_rois: int
    n_tracked: int


UNKNOWN: Final = Identity(
    session_id=None,
    subject_id=None,
    session_start_time="",
    genotype="",
    sex="",
    n_rois=-1,
    n_tracked=-1,
)
"""What an unreadable file states."""


def parse_name(path: str | Path) -> ParsedName | None:
    """Read the ids and parts from the name of an NWB file."""
    match = _NAME.fullmatch(Path(path).name)
    if match is None:
        return None
    return ParsedName(
        mouse_id=int(match["mouse"]),
        session_id=int(match["id"]) if match["id"] else None,
        start_time=match["time"],
        obj=match["obj"] or "",
        parts=tuple(match["parts"].split("+")) if match["parts"] else (),
    )


def read_identity(path: str | Path | RemoteFile) -> Identity:
    """Read the ids and a few facts of a session file."""
    # Where the file system has no file locks, the file is opened without one.
    if not isinstance(path, RemoteFile) and not Path(path).is_file():
        broken = " (a link to a file that is not there)" if Path(path).is_symlink() else ""
        raise SessionNotFoundError(f"There is no file {path}{broken}.")
    try:
        where = path if isinstance(path, RemoteFile) else str(path)
        with HDF5_LOCK, open_file(where) as file:
            rois = file.get(_PLANE_SEGMENTATION)
            return Identity(
                session_id=_number(_text(file, "general/session_id")),
                subject_id=_number(_text(file, "general/subject/subject_id")),
                session_start_time=_text(file, "session_start_time"),
                genotype=_text(file, "general/subject/genotype"),
                sex=_text(file, "general/subject/sex"),
                n_rois=_n_rois(rois),
                n_tracked=_n_tracked(rois),
            )
    except RemoteError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} cannot be read as an NWB file: {_reason(path, error)}"
        ) from error


def check_identity(
    path: str | Path,
    *,
    session_id: int | None,
    mouse_id: int | None,
    start_time: str | None = None,
) -> Identity:
    """Check a file's own ids against the expected ones."""
    # An id that the file does not state is not a difference: files of early releases are named by
    # their start time and need not carry the session id.
    identity = read_identity(path)
    stated: list[tuple[str, object, object]] = [
        ("session id", identity["session_id"], session_id),
        ("mouse id", identity["subject_id"], mouse_id),
    ]
    if identity["session_id"] is None:
        stated.append(("start", utc_stamp(identity["session_start_time"]), start_time or None))
    differences = [
        f"{what} {own} in the file, {expected} expected"
        for what, own, expected in stated
        if own is not None and expected is not None and own != expected
    ]
    if differences:
        raise SessionMismatchError(
            f"{path} belongs to another session: {'; '.join(differences)}. Check the session "
            "table, or whether the file was renamed."
        )
    return identity


def find_owners(paths: Iterable[Path]) -> tuple[list[OwnedFile], list[str]]:
    """Say whose files these are."""
    found: list[OwnedFile] = []
    problems: list[str] = []
    for path in paths:
        name = parse_name(path)
        if name is not None and name.session_id is not None:
            found.append(OwnedFile(path, name.mouse_id, name.session_id, None))
            continue
        item = OwnedFile(path, None, None, None)
        if name is not None:
            item = replace(item, mouse_id=name.mouse_id, start_time=name.start_time)
        try:
            identity = read_identity(path)
        except (FormatError, SessionNotFoundError) as error:
            problems.append(str(error))
        else:
            item = replace(
                item,
                session_id=identity["session_id"],
                mouse_id=identity["subject_id"] if item.mouse_id is None else item.mouse_id,
                start_time=item.start_time or utc_stamp(identity["session_start_time"]),
            )
        found.append(item)
    return _matched_by_start(found, problems), problems


def _matched_by_start(found: list[OwnedFile], problems: list[str]) -> list[OwnedFile]:
    """Give files that state no session id that of a file of the same mouse and start."""
    mice = {i.mouse_id for i in found if i.session_id is None and i.start_time is not None}
    ids: dict[tuple[int | None, str], int] = {}
    for item in found:
        if item.session_id is None or item.mouse_id not in mice:
            continue
        start_time = item.start_time
        if start_time is None:
            try:
                start_time = utc_stamp(read_identity(item.path)["session_start_time"])
            except (FormatError, SessionNotFoundError) as error:
                problems.append(str(error))
        if start_time is not None:
            ids[(item.mouse_id, start_time)] = item.session_id
    return [
        item
        if item.session_id is not None or item.start_time is None
        else replace(item, session_id=ids.get((item.mouse_id, item.start_time)))
        for item in found
    ]


def utc_stamp(time: str) -> str | None:
    """Turn an ISO time into the time stamp used in file names."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y%m%dT%H%M%S")


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
