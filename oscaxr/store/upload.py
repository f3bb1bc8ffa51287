"""An export in an object store: made here, then put there, its digest last.

Nothing in a store can be renamed, so that an export is complete when its digest is there: readers
refuse one that has none. What is replaced loses its digest first, then what the new one does not
have; the document of the root is put before the chunks, so that what an interruption leaves is
known for an export of ours, which the next one may replace.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from oscaxr.errors import ExportError, RemoteError, TargetExistsError
from oscaxr.files.remote import Place, RemoteFile, missing_library
from oscaxr.store.layout import format_named
from oscaxr.store.zarr_files import DIGEST, DOCUMENT


@contextmanager
def uploaded(
    target: RemoteFile, *, overwrite: bool = False, check: Callable[[Place], None] | None = None
) -> Iterator[Path]:
    """Give a temporary path, and store what is there under an address if all goes well."""
    _check_form(target)
    try:
        from oscaxr.files.object_folder import ObjectFolder

        folder = ObjectFolder(target)
    except ImportError as error:
        raise missing_library(target, error) from error

    def check_free() -> set[str]:
        there = set(folder.sizes())
        if there and not overwrite:
            raise TargetExistsError(
                f"{target} exists already. Give another address, or overwrite=True to replace it."
            )
        if there and check is not None:
            check(target)
        return there

    check_free()
    with TemporaryDirectory(prefix="oscaxr-") as temporary:
        path = Path(temporary) / target.name
        yield path
        old = check_free()
        sizes = {
            one.relative_to(path).as_posix(): one.stat().st_size
            for one in sorted(path.rglob("*"))
            if one.is_file()
        }
        try:
            folder.remove(old & {DIGEST})
            folder.remove(sorted(old - sizes.keys() - {DIGEST}))
            folder.put(path, [DOCUMENT])
            folder.put(path, [name for name in sizes if name not in (DOCUMENT, DIGEST)])
            found = folder.sizes()
            if found != {name: size for name, size in sizes.items() if name != DIGEST}:
                raise RemoteError(f"what is at {target} now is not what was put there")
            folder.put(path, [DIGEST])
        except RemoteError as error:
            failure = ExportError(
                f"{error} What is at {target} is not complete, and is refused by readers: save "
                "again, with overwrite=True."
            )
        else:
            return
        raise failure


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
