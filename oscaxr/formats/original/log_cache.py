"""The decoded stimulus log, optionally kept in the user's cache folder, by its content."""

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import OscaxrWarning, warn
from oscaxr.formats.original.stimulus_log import (
    ShownStimulus,
    StimulusLog,
    load_log,
    parse_log,
    parse_tracks,
    read_log,
)

Tracks = Callable[[], list[Array]]
"""Gives the positions of the squares, stimulus by stimulus."""

# What decoding makes of a log; a change of either must not find what was kept before.
_VERSION: Final = 2
_READ_BYTES: Final = 2**22
# What damaged archives raise.
_DAMAGED: Final = (
    *(OSError, ValueError, TypeError, LookupError, EOFError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


def decode(path: Path, keep: bool | str | os.PathLike[Any] = False) -> tuple[StimulusLog, Tracks]:
    """Return the stimulus log of a session, and how to get the tracks of the squares."""
    if keep is False:
        return read_log(path), partial(_read_tracks, path)
    folder = _folder(keep) / f"{_digest(path)}-{_VERSION}"
    kept = _read(folder)
    if kept is not None:
        return kept[0], partial(_kept_tracks, folder, path)
    content = load_log(path)
    log = parse_log(content, path)
    try:
        _write(folder, log, parse_tracks(content, path))
    except OSError as error:
        warn(
            f"{path}: what was decoded of it cannot be kept in {folder.parent} ({error}). The "
            "session is read without: give another folder as keep_decoded.",
            OscaxrWarning,
        )
        return log, partial(_read_tracks, path)
    return log, partial(_kept_tracks, folder, path)


def _kept_tracks(folder: Path, path: Path) -> list[Array]:
    """Map what was kept; a cache folder may have been emptied since."""
    kept = _read(folder)
    return _read_tracks(path) if kept is None else kept[1]


def _read_tracks(path: Path) -> list[Array]:
    return parse_tracks(load_log(path), path)


def _folder(keep: bool | str | os.PathLike[Any]) -> Path:
    if not isinstance(keep, bool):
        return Path(keep)
    from platformdirs import user_cache_path

    return user_cache_path("oscaxr") / "decoded-logs"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _write(folder: Path, log: StimulusLog, tracks: list[Array]) -> None:
    """Write beside the place and rename: another process may do the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as made:
        final = Path(made, "whole")
        final.mkdir()
        arrays = {name: value for name, value in vars(log).items() if name != "stimuli"}
        for number, shown in enumerate(log.stimuli):
            arrays |= {f"{number}_{name}": value for name, value in vars(shown).items()}
        arrays["n_stimuli"] = len(log.stimuli)
        known = {name: value for name, value in arrays.items() if value is not None}
        np.savez(final / "log.npz", **known)
        for number, positions in enumerate(tracks):
            np.save(final / f"tracks_{number}.npy", positions)
        try:
            final.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            if _read(folder) is None:
                # What is there is damaged.
                folder.rename(Path(made, "damaged"))
                final.rename(folder)


def _read(folder: Path) -> tuple[StimulusLog, list[Array]] | None:
    """Return what was kept, its tracks mapped; None where it is not there, or damaged."""
    try:
        log = _read_log(folder)
        lengths = [shown.n_tracks for shown in log.stimuli if shown.n_tracks]
        tracks = [
            np.load(folder / f"tracks_{number}.npy", mmap_mode="r")
            for number in range(len(lengths))
        ]
    except _DAMAGED:
        return None
    return (log, tracks) if [len(one) for one in tracks] == lengths else None


def _read_log(folder: Path) -> StimulusLog:
    # Opened here: numpy leaves a file open that it finds damaged.
    with (folder / "log.npz").open("rb") as file, np.load(file, allow_pickle=False) as kept:
        arrays = dict(kept)

    def values_of(kind: type, prefix: str = "") -> dict[str, Any]:
        found = {field.name: arrays.get(f"{prefix}{field.name}") for field in fields(kind)}
        return {
            name: value.item() if value is not None and not value.ndim else value
            for name, value in found.items()
        }

    stimuli = [
        ShownStimulus(**values_of(ShownStimulus, f"{number}_"))
        for number in range(int(arrays["n_stimuli"]))
    ]
    return StimulusLog(**values_of(StimulusLog) | {"stimuli": tuple(stimuli)})
