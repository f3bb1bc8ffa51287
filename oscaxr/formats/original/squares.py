"""Tracks of the visual-flow squares, read again from the stimulus log when they are used."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oscaxr.arrays.computed import Once, computed
from oscaxr.arrays.lazy import Array
from oscaxr.errors import FormatError
from oscaxr.formats.original.log_cache import Tracks
from oscaxr.formats.original.stimulus_log import StimulusLog
from oscaxr.formats.original.stimulus_table import GRAY_LETTER, UNEXPECTED_LETTER, Rows
from oscaxr.model import names as n

Parts = dict[str, tuple[tuple[str, ...], Any]]


def square_parts(tracks: Tracks, path: Path, rows: Rows, log: StimulusLog) -> Parts:
    """Return the tracks of the squares, lazy."""
    with_tracks = [i for i, shown in enumerate(log.stimuli) if shown.n_tracks]
    flow = np.flatnonzero(np.isin(rows.stimulus, with_tracks))
    if not flow.size:
        return {}
    lengths = np.unique(rows.stop[0, flow] - rows.start[0, flow])
    sizes = np.unique(rows.values["square_size"][flow])
    if len(lengths) > 1 or len(sizes) > 1:
        raise FormatError(
            f"{path}: visual-flow segments of {lengths.tolist()} frames with squares of "
            f"{sizes.tolist()} px have no common form: open the session without squares"
        )
    n_frames, n_squares = int(lengths[0]), n.N_SQUARES if sizes[0] == 128 else 26
    first = np.zeros(len(flow), np.int64)
    which = np.searchsorted(with_tracks, rows.stimulus[flow])
    for place, number in enumerate(with_tracks):
        shown = log.stimuli[number]
        # Positions run on through the blocks of a stimulus, one a frame on which it is drawn.
        drawn = np.cumsum(shown.frame_list >= 0) - 1
        of = which == place
        first[of] = drawn[rows.start[0, flow[of]] - log.offset]
        if first[of].max() + n_frames > shown.n_tracks:
            raise FormatError(
                f"{path} has square positions for {shown.n_tracks} frames of stimulus {number}, "
                f"which was drawn on {first[of].max() + n_frames}"
            )
    shape = (len(flow), n_squares, n_frames)
    once = Once(partial(_cut, tracks, which, first, shape))
    dims = (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME)
    return {
        "square_x": (dims, computed(once, shape, np.int16, "x")),
        "square_y": (dims, computed(once, shape, np.int16, "y")),
        n.FLOW_SEGMENT: ((n.FLOW_SEGMENT,), flow.astype(np.int64)),
    }


def _cut(tracks: Tracks, which: Array, first: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    found = np.empty((2, *shape), np.int16)
    for number, positions in enumerate(tracks()):
        of = np.flatnonzero(which == number)
        if positions.ndim != 3 or positions.shape[1:] != (shape[1], 2):
            raise FormatError(
                f"square positions have shape {positions.shape}, where (frame, {shape[1]}, 2) was "
                "expected"
            )
        frames = first[of, np.newaxis] + np.arange(shape[2])
        found[:, of] = positions[frames].transpose(3, 0, 2, 1)
    return {"x": found[0], "y": found[1]}


Columns = dict[str, Array]


def build_patches(rows: Rows, log: StimulusLog) -> Columns:
    """Return the parameters of the Gabor patches."""
    found: Columns = {}
    for number, shown in enumerate(log.stimuli):
        if shown.kind != n.GABORS:
            continue
        of = np.flatnonzero((rows.stimulus == number) & (rows.letter != GRAY_LETTER))
        letter, sweep = rows.letter[of], rows.sweep[of]
        for name, places in (
            ("gabor_x", shown.patch_x),
            ("gabor_y", shown.patch_y),
            ("gabor_size", shown.patch_size),
        ):
            if places is not None:
                _column(found, name, len(rows))[of] = places[letter]
        if shown.orientations is not None:
            if shown.orientations.shape != (sweep.max() + 1, n.N_PATCHES):
                raise FormatError(
                    f"orisbyimg has shape {shown.orientations.shape}, where {sweep.max() + 1} "
                    f"Gabor sweeps of {n.N_PATCHES} patches were shown"
                )
            turned = shown.orientations[sweep].astype(np.float64)
            turned[letter == UNEXPECTED_LETTER] += 90.0
            turned += 360.0 * (turned < 0) - 360.0 * (turned > 360)
            _column(found, "gabor_orientation", len(rows))[of] = turned
    return found


def _column(found: Columns, name: str, length: int) -> Array:
    return found.setdefault(name, np.full((length, n.N_PATCHES), np.nan))
