"""How an HDF5 file is opened, and, where that fails, why."""

import os
from pathlib import Path

import h5py

from oscaxr.errors import MissingLibraryError
from oscaxr.files.remote import RemoteFile

# Two rows of chunks of a wide session; HDF5's default (1 MiB) inflates chunks again and again.
CHUNK_CACHE_BYTES = 16 * 2**20


def open_file(path: str | RemoteFile, mode: str = "r") -> h5py.File:
    """Open an HDF5 file, without a file lock where the file system has none."""
    # HDF5 refuses to have one file open twice with different locking, so the default comes first:
    # it is what others use who read the file beside us.
    if isinstance(path, RemoteFile):
        # Here, not above: most files are local.
        try:
            from oscaxr.files.ranges import StreamedFile
        except ImportError as error:
            raise MissingLibraryError(
                f"reading {path} over the network needs the packages fsspec and requests "
                f"({error}): pip install 'oscaxr[stream]'"
            ) from error
        return StreamedFile(path, rdcc_nbytes=CHUNK_CACHE_BYTES)
    try:
        return h5py.File(path, mode, rdcc_nbytes=CHUNK_CACHE_BYTES)
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, mode, rdcc_nbytes=CHUNK_CACHE_BYTES, locking=False)


def why_unreadable(path: str, error: OSError, is_remote: bool = False) -> str:
    """Say why a file could not be opened, and what to do."""
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
