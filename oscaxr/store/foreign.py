"""Folders and files that other software wrote, and that have a name of their own."""

import json
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from oscaxr.errors import ForeignExportError
from oscaxr.store.layout import format_named

_NWB: Final = "NWBFile"
_NWB_SUFFIXES: Final = (".nwb", ".nwb.zarr")
_MAX_BYTES: Final = 2**26


def is_nwb(path: Path) -> bool:
    """Say whether a folder is an NWB file in Zarr: by what its root states, in either format."""
    if _type_of(path / "zarr.json", "attributes") == _NWB or _type_of(path / ".zattrs") == _NWB:
        return True
    # Exports are of format 3, and may have such a name.
    return path.name.lower().endswith(_NWB_SUFFIXES) and (path / ".zgroup").is_file()


def refuse_foreign(path: Path) -> None:
    """Refuse to open as an export what is known to be something else."""
    if is_nwb(path):
        raise ForeignExportError(why_not_nwb(path))
    kind = opener = ""
    if any((path / name).is_file() for name in (".zgroup", ".zmetadata")):
        kind, opener = "zarr of format 2", "xr.open_zarr"
    elif format_named(path) == "netcdf":
        with path.open("rb") as file:
            if file.read(3) == b"CDF":
                kind, opener = "netCDF of version 3", "xr.open_dataset"
    if kind:
        raise ForeignExportError(
            f"{path} was not written by oscaxr: it is {kind}. Open it with plain xarray: {opener}."
        )


def _type_of(document: Path, key: str = "") -> object:
    """Return the NWB type that a document of zarr states; None where it states none."""
    with suppress(OSError, ValueError, RecursionError):
        # (A link may lead anywhere: what lies there is not looked at.)
        status = document.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_BYTES:
            content = document.read_bytes()
            if _NWB.encode() in content:
                found = json.loads(content)
                attrs = found.get(key) if key and isinstance(found, dict) else found
                return attrs.get("neurodata_type") if isinstance(attrs, dict) else None
    return None


def why_not_nwb(path: object) -> str:
    """Say what to do about an NWB file in Zarr."""
    return (
        f"{path} is NWB in Zarr, as hdmf-zarr writes it, which oscaxr does not read. Get the NWB "
        "file in HDF5 (DANDI 000037 has that form), or write one: hdmf_zarr.NWBZarrIO opens this, "
        "and pynwb.NWBHDF5IO(...).export(src_io=...) writes it as HDF5."
    )
