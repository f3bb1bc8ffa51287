"""Where the files of a session in the original layout lie, and which of them are missing."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from oscaxr.errors import AmbiguousSessionError, SessionMismatchError, SessionNotFoundError, listed
from oscaxr.model.facts import RUN_TYPES

_FOLDER: Final = re.compile(r"ophys_session_(\d{9,})")
_NAME: Final = re.compile(r"(\d{9,})_(\d{6})_(\d{8})_(.+)")
_MOUSE: Final = re.compile(r"mouse_(\d{6})")


@dataclass(frozen=True)
class SessionTree:
    """The files of one session; a path that is None is that of a file which is not there."""

    folder: Path
    session_id: int
    mouse_id: int
    date: str
    run_type: str
    files: dict[str, Path] = field(hash=False)
    missing: dict[str, str] = field(hash=False)


def is_session_folder(path: Path) -> bool:
    """Say whether a path is the folder of a session in the original layout."""
    return path.is_dir() and (folder_id(path) is not None or any(path.glob("*_stim.pkl")))


def folder_id(path: Path) -> int | None:
    """Return the session id that the name of a folder states: its own, not that of a link to it."""
    return id_in_name(path.resolve().name)


def id_in_name(name: str) -> int | None:
    """Return the session id in the name of a folder."""
    match = _FOLDER.fullmatch(name)
    return int(match[1]) if match else None


def read_tree(folder: Path) -> SessionTree:
    """Find all files of a session."""
    if not folder.is_dir():
        raise SessionNotFoundError(f"cannot open {folder} as a session: there is no such folder")
    problems: list[str] = []
    session_id, mouse_id, day = _ids(folder, problems)
    experiment = _single(folder, "ophys_experiment_*/", problems)
    inside = experiment or folder / "ophys_experiment_<experiment>"
    images = inside / "processed"
    segmentation = _single(images, "ophys_cell_segmentation_run_*/", problems)
    pupil = _pupil(folder, (session_id, mouse_id, day), problems)
    if problems:
        raise AmbiguousSessionError(
            f"{folder}: which files are the session's cannot be told:{listed(problems)}\nRemove or "
            "rename those that do not belong to it."
        )
    stem = f"{session_id}_{mouse_id}_{day}"
    number = "<experiment>" if experiment is None else experiment.name.rpartition("_")[2]
    wanted = {
        "stimulus": folder / f"{stem}_stim.pkl",
        "sync": folder / f"{stem}_sync.h5",
        "video_0": folder / f"{stem}_video-0.h5",
        "video_1": folder / f"{stem}_video-1.h5",
        "pupil": pupil or folder / f"{stem}_pupil_data_df.h5",
        "time_synchronization": inside / f"{number}_time_synchronization.h5",
        "dff": inside / f"{number}_dff.h5",
        "dff_dendritic": inside / f"{number}_dff_dendritic.h5",
        "raw": inside / "neuropil_correction.h5",
        "raw_dendritic": inside / "neuropil_correction_dendritic.h5",
        "max_projection": images / "max_downsample_4Hz_0.png",
        "allen_masks": images / f"{number}_input_extract_traces.json",
        "dendritic_masks": images / f"{session_id}_dendritic_masks.h5",
        "matches": images / f"mouse_{mouse_id}__session_{session_id}__nway_matched_rois.json",
        "object_list": (segmentation or images / "ophys_cell_segmentation_run_<run>")
        / "objectlist.txt",
    }
    return SessionTree(
        folder=folder,
        session_id=session_id,
        mouse_id=mouse_id,
        date=f"{day[:4]}-{day[4:6]}-{day[6:]}",
        # What the nearest folder above says: one further up may be named so by chance.
        run_type=next((part for part in folder.resolve().parts[::-1] if part in RUN_TYPES), ""),
        files={part: path for part, path in wanted.items() if path.is_file()},
        missing={part: str(path) for part, path in wanted.items() if not path.is_file()},
    )


def _ids(folder: Path, problems: list[str]) -> tuple[int, int, str]:
    """Return session id, mouse id and day, upon which all names have to agree."""
    named = {
        path.name: match
        for path in sorted(folder.iterdir())
        if path.is_file() and (match := _NAME.fullmatch(path.name)) is not None
    }
    if not named:
        raise SessionNotFoundError(
            f"{folder} holds no session in the original layout: there is no file named "
            "<session id>_<mouse id>_<date>_stim.pkl in it, nor any other of that form. Give the "
            "session's own folder (ophys_session_<session id>), or its id with datadir=."
        )
    differ = []
    found = {}
    match = _FOLDER.fullmatch(folder.resolve().name)
    mouse = _MOUSE.fullmatch(folder.resolve().parent.name)
    for place, what in enumerate(("session id", "mouse id", "date"), start=1):
        values: dict[str, list[str]] = {}
        for name, fields in named.items():
            values.setdefault(fields[place], []).append(name)
        if what == "session id" and match:
            values.setdefault(match[1], []).append(f"the folder {folder.resolve().name}")
        if what == "mouse id" and mouse:
            values.setdefault(mouse[1], []).append(f"the folder {folder.resolve().parent.name}")
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


def _single(folder: Path, pattern: str, problems: list[str]) -> Path | None:
    """Return the one path of a pattern (of folders, if it ends in a slash), where there is one."""
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        problems.append(f"several {pattern} in {folder.name}: {names}")
    return found[0] if found else None


def _pupil(folder: Path, ids: tuple[int, int, str], problems: list[str]) -> Path | None:
    """Return the pupil table, whose name may have more than the other files'."""
    found = _single(folder, "*pupil_data_df.h5", problems)
    if found is not None and found.name.split("_")[:3] != [str(one) for one in ids]:
        problems.append(f"the pupil table {found.name} is not named for the session")
    return found
