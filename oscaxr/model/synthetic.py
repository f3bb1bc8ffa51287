"""Made-up sessions: what tells them from recorded ones, in files, tables and Datasets."""

from typing import Final

import numpy as np
import xarray as xr

SESSION_IDS: Final = range(900_000_001, 1_000_000_000)
MOUSE_IDS: Final = range(900_001, 1_000_000)
"""Ids of sample sessions and of their mice. Those of recorded ones are smaller."""

MARK: Final = "oscaxr_sample"
"""Attribute, at the root of a session's HDF5 file, that says that the session is a sample."""

WORDS: Final = "synthetic: made by oscaxr.sample, not recorded"
"""What stands in the notes of the session table, and wherever else the words are free."""

SIGN: Final = "synthetic"
"""Attribute of a sample session's Dataset, and of what is extracted from it: 1."""

ATTRS: Final[dict[str, str | int]] = {
    "title": "SYNTHETIC session, with the structure of an OpenScope Credit Assignment session",
    SIGN: 1,
    "dandiset": "none: synthetic data",
    "institution": "none: synthetic data",
    "references": "none: synthetic data, made by the software oscaxr; nothing was recorded",
}
"""What a sample session's Dataset says of itself, where one of the dataset names its origin."""

_IDS: Final = {"session_id": SESSION_IDS, "mouse_id": MOUSE_IDS}


def is_synthetic(data: xr.Dataset | xr.DataArray) -> bool:
    """Say whether any of the data are of a sample session: computing may drop the attribute."""
    if data.attrs.get(SIGN):
        return True
    ids = {name: np.asarray(data.coords[name]) for name in _IDS if name in data.coords}
    return any(
        values.dtype.kind in "iuf"
        and bool(((values >= _IDS[name].start) & (values < _IDS[name].stop)).any())
        for name, values in ids.items()
    )
