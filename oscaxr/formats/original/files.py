"""Where the files of a session in the original layout lie, and which of them are missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from oscaxr.errors import (
    AmbiguousSessionError,
    RemoteError,
    SessionMismatchError,
    SessionNotFoundError,
    listed,
)
from oscaxr.files.folders import is_folder, names_in
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.model.facts import RUN_TYPES

_FOLDER: Final = re.compile(r"ophys_session_(\d{9,})")
_NAME: Final = re.compile(r"(\d{9,})_(\d{6})_(\d{8})_(.+)")
_MOUSE: Final = re.compile(r"mouse_(\d{6})")


@dataclass(frozen=True)
class SessionTree:
    """The files of one session; a path that is None is that of a file which is not there."""

    folder: Place
    session_id: int
    mouse_id: int
    date: str
    run_type: str
    files: dict[str, Place] = field(hash=False)
    missing: dict[str, str] = field(hash=False)


def is_session_folder(place: Place) -> bool:
    """Say whether a place is the folder of a session in the original layout."""
    if isinstance(place, Path) and not place.is_dir():
        return False
    try:
        return folder_id(place) is not None or any(
            fnmatchcase(name, "*_stim.pkl") for name in names_in(place)[1]
        )
    except RemoteError:
        # Where nothing may be listed, files may be read.
        return False


def through_links(place: Place) -> Place:
    """Return where a place is once links to it were followed; a store has none."""
    return place.resolve() if isinstance(place, Path) else place


def folder_id(place: Place) -> int | None:
    """Return the session id that the name of a folder states: its own, not that of a link to it."""
    return id_in_name(through_links(place).name)


def id_in_name(name: str) -> int | None:
    """Return the session id in the name of a folder."""
    match = _FOLDER.fullmatch(name)
    return int(match[1]) if match else None


def read_tree(folder: Place) -> SessionTree:
    """Find all files of a session."""
    folders, names = names_in(folder)
    if not (folders or names or is_folder(folder)):
        why = "there is no such folder"
        if isinstance(folder, RemoteFile) and folder.is_http:
            why = "what lies below an address on the web cannot be listed"
        raise SessionNotFoundError(f"cannot open {folder} as a session: {why}")
    problems: list[str] = []
    session_id, mouse_id, day = _ids(folder, sorted(names), problems)
    experiment = _single(folder, folders, "ophys_experiment_*", problems)
    inside = folder / (experiment or "ophys_experiment_<experiment>")
    images = inside / "processed"
    runs, images_names = names_in(images)
    segmentation = _single(images, runs, "ophys_cell_segmentation_run_*", problems)
    boxes = images / (segmentation or "ophys_cell_segmentation_run_<run>")
    pupil = _pupil(folder, names, (session_id, mouse_id, day), problems)
    if problems:
        raise AmbiguousSessionError(
            f"{folder}: which files are the session's cannot be told:{listed(problems)}\nRemove or "
            "rename those that do not belong to it."
        )
    stem = f"{session_id}_{mouse_id}_{day}"
    number = "<experiment>" if experiment is None else experiment.rpartition("_")[2]
    wanted: dict[str, tuple[Place, str]] = {
        "stimulus": (folder, f"{stem}_stim.pkl"),
        "sync": (folder, f"{stem}_sync.h5"),
        "video_0": (folder, f"{stem}_video-0.h5"),
        "video_1": (folder, f"{stem}_video-1.h5"),
        "pupil": (folder, pupil or f"{stem}_pupil_data_df.h5"),
        "time_synchronization": (inside, f"{number}_time_synchronization.h5"),
        "dff": (inside, f"{number}_dff.h5"),
        "dff_dendritic": (inside, f"{number}_dff_dendritic.h5"),
        "raw": (inside, "neuropil_correction.h5"),
        "raw_dendritic": (inside, "neuropil_correction_dendritic.h5"),
        "max_projection": (images, "max_downsample_4Hz_0.png"),
        "allen_masks": (images, f"{number}_input_extract_traces.json"),
        "dendritic_masks": (images, f"{session_id}_dendritic_masks.h5"),
        "matches": (images, f"mouse_{mouse_id}__session_{session_id}__nway_matched_rois.json"),
        "object_list": (boxes, "objectlist.txt"),
    }
    there = {folder: names, inside: names_in(inside)[1], images: images_names}
    there[boxes] = names_in(boxes)[1]
    places = {part: where / name for part, (where, name) in wanted.items()}
    have = {part for part, (where, name) in wanted.items() if name in there[where]}
    above = Path(through_links(folder)).parts[::-1]
    return SessionTree(
        folder=folder,
        session_id=session_id,
        mouse_id=mouse_id,
        date=f"{day[:4]}-{day[4:6]}-{day[6:]}",
        # What the nearest folder above says: one further up may be named so by chance.
        run_type=next((part for part in above if part in RUN_TYPES), ""),
        files={part: place for part, place in places.items() if part in have},
        missing={part: str(place) for part, place in places.items() if part not in have},
    )


def _ids(folder: Place, names: Sequence[str], problems: list[str]) -> tuple[int, int, str]:
    """Return session id, mouse id and day, upon which all names have to agree."""
    named = {name: match for name in names if (match := _NAME.fullmatch(name)) is not None}
    if not named:
        raise SessionNotFoundError(
            f"{folder} holds no session in the original layout: there is no file named "
            "<session id>_<mouse id>_<date>_stim.pkl in it, nor any other of that form. Give the "
            "session's own folder (ophys_session_<session id>), or its id with datadir=."
        )
    differ = []
    found = {}
    own = through_links(folder)
    match = _FOLDER.fullmatch(own.name)
    mouse = _MOUSE.fullmatch(own.parent.name)
    for place, what in enumerate(("session id", "mouse id", "date"), start=1):
        values: dict[str, list[str]] = {}
        for name, fields in named.items():
            values.setdefault(fields[place], []).append(name)
        if what == "session id" and match:
            values.setdefault(match[1], []).append(f"the folder {own.name}")
        if what == "mouse id" and mouse:
            values.setdefault(mouse[1], []).append(f"the folder {own.parent.name}")
        found[what] = next(iter(values))
        if len(values) > 1:
            said = "; ".join(f"{value} in {', '.join(names)}" for value, names in values.items())
            differ.append(f"{what}: {said}")
    if differ:
        raise SessionMismatchError(
            f"{folder}: the names in it state different sessions:{listed(differ)}\nRemove or "
            "rename what does not belong to the session."
        )
    stimulus = [name for name, fields in named.items() if fields[4] == "stim.pkl"]
    if len(stimulus) > 1:
        problems.append(f"several stimulus logs: {', '.join(stimulus)}")
    return int(found["session id"]), int(found["mouse id"]), found["date"]


def _single(folder: Place, names: Sequence[str], pattern: str, problems: list[str]) -> str | None:
    """Return the one name of a pattern, where there is one."""
    found = sorted(name for name in names if fnmatchcase(name, pattern))
    if len(found) > 1:
        problems.append(f"several {pattern} in {folder.name}: {', '.join(found)}")
    return found[0] if found else None


def _pupil(
    folder: Place, names: Sequence[str], ids: tuple[int, int, str], problems: list[str]
) -> str | None:
    """Return the pupil table, whose name may have more than the other files'."""
    found = _single(folder, names, "*pupil_data_df.h5", problems)
    if found is not None and found.split("_")[:3] != [str(one) for one in ids]:
        problems.append(f"the pupil table {found} is not named for the session")
    return found
