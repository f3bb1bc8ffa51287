"""Parameters of the Gabor patches, segment by segment."""

from typing import Any

import numpy as np
import numpy.typing as npt

from oscaxr.errors import FormatError
from oscaxr.io.original.log import StimulusLog
from oscaxr.io.original.table import GRAY_LETTER, UNEXPECTED_LETTER, Rows
from oscaxr.model import names as n

Array = npt.NDArray[Any]
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
