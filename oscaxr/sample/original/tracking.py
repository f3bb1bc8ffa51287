"""The n-way file: which ROIs of a session are matched to those of the mouse's other sessions."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.sample.rois import all_roi_ids, bad_rois, field_shift, tracked_rows
from oscaxr.sample.spec import SampleSpec

_DENDRITE_IDS: Final = 10_000  # to a session


def nway_name(spec: SampleSpec) -> str:
    """Return the name of a session's n-way file."""
    return f"mouse_{spec.mouse_id}__session_{spec.session_id}__nway_matched_rois.json"


def write_nway(path: Path, spec: SampleSpec, mates: tuple[SampleSpec, ...]) -> None:
    """Write the n-way file of a session."""
    number = spec.session_number
    is_bad = bad_rois(spec)
    tracked = np.flatnonzero(~is_bad)[tracked_rows(spec)]
    bad = np.flatnonzero(is_bad)
    ids = all_roi_ids(spec)
    # Dendrites get numbers of their own, but for the bad ones.
    offset = _DENDRITE_IDS * number if spec.plane == "dend" else 0
    matched = sorted((spec, *mates), key=lambda one: one.session_number)
    tables = {
        "rois": {
            f"sess_{number}_roi_id": (ids[tracked] + offset).tolist(),
            "dff-ordered_roi_index": tracked.tolist(),
        },
        "bad_rois": {
            f"sess_{number}_bad_roi_id": ids[bad].tolist(),
            "dff_local_bad_roi_idx": bad.tolist(),
        },
        "metadata": {
            "nway_info": ["Union over permutations of listed sessions."],
            "minimum_iou": [0.3],
            "sess_ns": [[one.session_number for one in matched]],
            "sess_ids": [[one.session_id for one in matched]],
            **{
                f"sess_{mate.session_number}_to_sess_{number}_transformation_matrix": [
                    _matrix(spec, mate)
                ]
                for mate in matched
                if mate is not spec
            },
        },
    }
    columns = {
        table: {name: _column(values) for name, values in content.items()}
        for table, content in tables.items()
    }
    path.write_text(json.dumps(columns), encoding="ascii")


def _column(values: list[Any]) -> dict[str, Any]:
    return {str(row): value for row, value in enumerate(values)}


def _matrix(spec: SampleSpec, mate: SampleSpec) -> list[list[float]]:
    """Return where in the mate's field (x, y, 1) a place in the session's field lies."""
    shift = np.subtract(field_shift(mate), field_shift(spec)).astype(np.float64)
    return [[1.0, 0.0, float(shift[1])], [0.0, 1.0, float(shift[0])], [0.0, 0.0, 1.0]]
