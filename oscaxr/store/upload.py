"""An export in an object store: made here, then put there, its digest last.

Readers refuse an export that has no digest. The document of the root is put before the chunks, so
that what an interruption leaves is known for an export of ours, which the next one may replace.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from oscaxr.errors import ExportError
from oscaxr.files.folders import object_folder
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.store.layout import format_named
from oscaxr.store.zarr_files import DIGEST, DOCUMENT


def uploaded(
    target: RemoteFile, *, overwrite: bool = False, check: Callable[[Place], None] | None = None
) -> AbstractContextManager[Path]:
    """Give a temporary path, and store what is there under an address if all goes well."""
    _check_form(target)
    folder = object_folder(target)
    return folder.new_folder(first=DOCUMENT, last=DIGEST, overwrite=overwrite, check=check)


def _check_form(target: RemoteFile) -> None:
    """Refuse what is one file."""
    packed = target.name.lower().endswith(".zip")
    if format_named(target) == "zarr" and not packed:
        return
    why = (
        "a packed store is one file"
        if packed
        else "netCDF is one HDF5 file, of which parts are written again and again, and an object "
        "can only be written as a whole"
    )
    raise ExportError(
        f"cannot save to {target}: {why}. Save to .zarr there; or save it here, and upload the "
        "file."
    )
