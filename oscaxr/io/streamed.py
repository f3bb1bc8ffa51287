"""An HDF5 file on a server, opened through ranges of bytes."""

import atexit
from typing import Any
from weakref import WeakValueDictionary

import h5py

from oscaxr.errors import FormatError
from oscaxr.io.ranges import RangeFile
from oscaxr.io.remote import RemoteFile
from oscaxr.model.remote import RemoteSource

_open: "WeakValueDictionary[int, StreamedFile]" = WeakValueDictionary()


class StreamedFile(h5py.File):  # type: ignore[misc] # h5py has no types
    """An open HDF5 file on a server."""

    def __init__(self, remote: RemoteFile, **options: Any) -> None:
        self.ranges = RangeFile(remote)
        try:
            super().__init__(self.ranges, "r", **options)
        except BaseException:
            self.ranges.close()
            raise
        _open[id(self)] = self

    def same_as(self, expected: RemoteSource | None) -> RemoteSource:
        """Return what the server says that the file is, the same as before."""
        found = self.ranges.source
        if expected not in (None, found):
            raise FormatError(
                f"{found.url} was replaced on the server since it was opened. Open the session "
                "again to read it as it is now."
            )
        return found

    def close(self) -> None:
        """Close the file and its connections."""
        super().close()
        self.ranges.close()


def _close_all() -> None:
    for file in list(_open.values()):
        file.close()


# The HDF5 library closes what is open when the process ends, too late to call Python.
atexit.register(_close_all)
