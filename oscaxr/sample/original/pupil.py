"""The pupil table: a pandas table in the layout that pandas and PyTables store it in."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KEY: Final = "pupil_data"
COLUMNS: Final = (b"nan_diam", b"nan_center_x", b"nan_center_y")
_GROUP: Final = {"CLASS": b"GROUP", "VERSION": b"1.0"}
_ARRAY: Final = {"CLASS": b"ARRAY", "VERSION": b"2.4", "FLAVOR": b"numpy"}
_TABLE: Final = {
    **_GROUP,
    "pandas_type": b"frame",
    "pandas_version": b"0.15.2",
    "encoding": b"UTF-8",
    "errors": b"strict",
    "axis0_variety": b"regular",
    "axis1_variety": b"regular",
    "block0_items_variety": b"regular",
}
_PICKLED_NONE: Final = b"N."


def write_pupil(path: Path, pixels: NDArray[np.float64]) -> None:
    """Write the pupil table, without PyTables."""
    import h5py

    def describe(item: Any, attrs: dict[str, Any]) -> None:
        for name, value in attrs.items():
            item.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value

    with h5py.File(path, "w-") as file:
        describe(file, {**_GROUP, "PYTABLES_FORMAT_VERSION": b"2.1"})
        group = file.create_group(KEY)
        describe(group, {**_TABLE, "ndim": np.int64(2), "nblocks": np.int64(1)})
        names = np.array(COLUMNS)
        arrays = {
            "axis0": (names, b"string"),
            "axis1": (np.arange(len(pixels), dtype=np.int64), b"integer"),
            "block0_items": (names, b"string"),
            "block0_values": (pixels, None),
        }
        for name, (values, kind) in arrays.items():
            group[name] = values
            describe(group[name], {**_ARRAY, "transposed": np.uint8(1)})
            if kind is not None:
                describe(group[name], {"kind": kind, "name": _PICKLED_NONE})
