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
from typing import Any, Final, TypeVar

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import OscaxrWarning, warn
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original.pickles import MOST_BYTES
from oscaxr.formats.original.stimulus_log import (
    ShownStimulus,
    StimulusLog,
    load_log,
    parse_log,
    parse_tracks,
)
from oscaxr.paths import local_path

Result = TypeVar("Result")
Tracks = Callable[[], list[Array]]
"""Gives the positions of the squares, stimulus by stimulus."""

# What decoding makes of a log; a change of either must not find what was kept before.
_VERSION: Final = 2
# What damaged archives raise.
_DAMAGED: Final = (
    *(OSError, ValueError, TypeError, LookupError, EOFError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


def decode(
    file: DirectFile, keep: bool | str | os.PathLike[Any] = False
) -> tuple[StimulusLog, Tracks]:
    """Return the stimulus log of a session, and how to get the tracks of the squares."""
    if keep is False:
        return parse_log(load_log(file), file.place), partial(_read_tracks, file)
    folder = _cache_folder() if keep is True else local_path(keep)
    digest = hashlib.sha256()
    for piece in file.pieces(MOST_BYTES):
        digest.update(piece.data)
    entry = folder / f"{digest.hexdigest()}-{_VERSION}.npz"
    kept = _read(entry, _log_of)
    if kept is not None:
        return kept, partial(_kept_tracks, entry, file)
    content = load_log(file)
    log = parse_log(content, file.place)
    try:
        _write(entry, log, parse_tracks(content, file.place))
    except OSError as error:
        warn(
            f"{file.place}: what was decoded of it cannot be kept in {folder} ({error}). The "
            "session is read without: give another folder as keep_decoded.",
            OscaxrWarning,
        )
        return log, partial(_read_tracks, file)
    return log, partial(_kept_tracks, entry, file)


def _kept_tracks(entry: Path, file: DirectFile) -> list[Array]:
    """Read what was kept; a cache folder may have been emptied since."""
    kept = _read(entry, _tracks_of)
    return _read_tracks(file) if kept is None else kept


def _read_tracks(file: DirectFile) -> list[Array]:
    return parse_tracks(load_log(file), file.place)


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("oscaxr") / "decoded-logs"


def _write(entry: Path, log: StimulusLog, tracks: list[Array]) -> None:
    """Write beside the place and rename: another process may do the same."""
    arrays = {name: value for name, value in vars(log).items() if name != "stimuli"}
    for number, shown in enumerate(log.stimuli):
        arrays |= {f"{number}_{name}": value for name, value in vars(shown).items()}
    arrays |= {f"tracks_{number}": positions for number, positions in enumerate(tracks)}
    known = {name: value for name, value in arrays.items() if value is not None}
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".writing-") as made:
        np.savez(Path(made, entry.name), n_stimuli=len(log.stimuli), n_tracks=len(tracks), **known)
        Path(made, entry.name).replace(entry)


def _read(entry: Path, take: Callable[[Any], Result]) -> Result | None:
    """Return a part of what was kept; None where it is not there, or damaged."""
    try:
        # Opened here: numpy leaves a file open that it finds damaged.
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return take(kept)
    except _DAMAGED:
        return None


def _tracks_of(kept: Any) -> list[Array]:
    return [kept[f"tracks_{number}"] for number in range(int(kept["n_tracks"]))]


def _log_of(kept: Any) -> StimulusLog:
    def values_of(kind: type, prefix: str = "") -> dict[str, Any]:
        names = {field.name: f"{prefix}{field.name}" for field in fields(kind)}
        # Single values as such.
        return {name: kept[key][()] for name, key in names.items() if key in kept}

    stimuli = [
        ShownStimulus(**values_of(ShownStimulus, f"{number}_"))
        for number in range(int(kept["n_stimuli"]))
    ]
    return StimulusLog(**values_of(StimulusLog) | {"stimuli": tuple(stimuli)})
