"""Why a file could not be opened as HDF5, in plain words."""

import os
from pathlib import Path

import h5py


def why_unreadable(path: str, error: OSError, is_remote: bool = False) -> str:
    """Say why a file could not be opened, and what to do.

    Parameters
    ----------
    path : str
        The file, or its URL.
    error : OSError
        What HDF5 said.
    is_remote : bool, optional
        Whether it is on a server.

    Returns
    -------
    str
    """
    if is_remote:
        return (
            f"cannot open {path} as an NWB session: what the server sends is not an HDF5 file, or "
            f"is cut short. Check the URL (HDF5 said: {error})."
        )
    reason = str(error)
    file = Path(path)
    if file.is_dir():
        found = "it is a folder"
    elif not os.access(path, os.R_OK):
        found = "it may not be read (permission denied)"
    elif file.stat().st_size == 0:
        found = "it is empty"
    elif "truncated" in reason:
        found = "it is truncated"
    elif not h5py.is_hdf5(path):
        found = "it is not an HDF5 file"
    else:
        found = reason
    return (
        f"cannot open {path} as an NWB session: {found}. "
        "Check the path, or fetch the file again (HDF5 said: " + reason + ")."
    )
