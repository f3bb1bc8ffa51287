"""One HDF5 file, opened safely and shared: links checked, handle managed, failures explained.

And whether a local file, of whatever format, still is the one that was opened.
"""

import errno
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

import h5py
from xarray.backends import CachingFileManager

from oscaxr.arrays.xarray_internals import HDF5_LOCK
from oscaxr.errors import FormatError, OscaxrError, UnsafeLinkError
from oscaxr.files.remote import RemoteFile, missing_library

if TYPE_CHECKING:
    from oscaxr.files.remote import RemoteSource

Names = tuple[str, ...]

# Links upon links are followed this far: none of a session's files needs more than one or two.
MAX_LINKS = 16

# Filters under which data are at most about a thousand times as large as what is stored of them.
_DEFLATING: Final = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# Each open file costs HDF5 some megabytes; opening one again takes milliseconds.
KEPT_OPEN = 4

# What systems say of a file system that has no locks, rather than of a lock that is taken.
NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

# Two rows of chunks of a wide session; HDF5's default (1 MiB) inflates chunks again and again.
CHUNK_CACHE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Stamp:
    """What tells a file, and its state, from others."""

    size: int
    modified_ns: int
    place: tuple[int, int] | None = None
    """Device and inode, which mean nothing in another process."""

    def __reduce__(self) -> tuple[type["Stamp"], tuple[int, int]]:
        return type(self), (self.size, self.modified_ns)

    def change_to(self, other: "Stamp") -> str:
        """Say what happened to a file that has another stamp now; empty where nothing did."""
        if self.place and other.place and self.place != other.place:
            return "was replaced by another file"
        if self.size != other.size:
            return f"had {self.size} bytes and has {other.size} now, so it was changed"
        return "" if self.modified_ns == other.modified_ns else "was written to"


def stamp_of(file: str | int) -> Stamp:
    """Return the stamp of a path or of an open file."""
    status = os.stat(file)  # noqa: PTH116 (of a descriptor, too)
    return Stamp(status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))


def check_unchanged(
    path: str, stamp: Stamp | None, file: str | int, failure: type[OscaxrError] = FormatError
) -> Stamp:
    """Return the stamp of an open file, or of its path; refuse one that is not what it was."""
    try:
        found = stamp_of(file)
        change = "" if stamp is None else stamp.change_to(found)
    except OSError as error:
        change = f"was removed, or cannot be reached ({error.strerror}),"
    if change:
        raise failure(
            f"{path} {change} since it was opened: what is read now would not belong to what was "
            "read before. Open the session again; fetch the file again if it was cut short."
        )
    return found


def open_file(path: str | RemoteFile, mode: str = "r") -> h5py.File:
    """Open an HDF5 file, without a file lock where the file system has none."""
    # HDF5 refuses to have one file open twice with different locking, so the default comes first:
    # it is what others use who read the file beside us.
    if isinstance(path, RemoteFile):
        # Here, not above: most files are local.
        try:
            from oscaxr.files.ranges import StreamedFile

            return StreamedFile(path, rdcc_nbytes=CHUNK_CACHE_BYTES)
        except ImportError as error:
            raise missing_library(path, error) from error
    try:
        return h5py.File(path, mode, rdcc_nbytes=CHUNK_CACHE_BYTES)
    except BlockingIOError as error:
        raise FormatError(
            f"cannot open {path}: another program is writing this file. What it has not finished "
            "cannot be read: wait until it is done, or close it there."
        ) from error
    except OSError as error:
        # Or it is open here already, by someone who asked for no lock.
        if error.errno not in NO_LOCKS and "locking flag" not in str(error):
            raise
        return h5py.File(path, mode, rdcc_nbytes=CHUNK_CACHE_BYTES, locking=False)


def check_written(path: str, dataset: h5py.Dataset, file_size: int) -> None:
    """Refuse data of which a part was never written, and claims of more than a file can hold."""
    # HDF5 would fill in zeros without a word, and numpy take the memory first.
    creation, shape = dataset.id.get_create_plist(), dataset.shape
    layout, wanted, written = creation.get_layout(), 1, 1
    size = 0 if shape is None else math.prod(shape)
    if not size:
        return
    is_external = creation.get_external_count() > 0
    if layout == h5py.h5d.CHUNKED:
        wanted = math.prod(-(-n // w) for n, w in zip(shape, creation.get_chunk(), strict=True))
        written = dataset.id.get_num_chunks()
    elif layout == h5py.h5d.CONTIGUOUS:
        written = int(is_external or dataset.id.get_offset() is not None)
    elif layout == h5py.h5d.VIRTUAL:
        wanted = size
        written = sum(one.vspace.get_select_npoints() for one in dataset.virtual_sources())
    if written < wanted:
        kind = {h5py.h5d.CHUNKED: "chunks", h5py.h5d.VIRTUAL: "values"}.get(layout, "pieces")
        raise FormatError(
            f"{path}: {wanted - written} of {wanted} {kind} of {dataset.name} were never written. "
            "Whoever wrote the file did not finish: fetch it again, or write it again."
        )
    filters = {creation.get_filter(i)[0] for i in range(creation.get_nfilters())}
    held = file_size * (1 if not filters else 1100 if filters <= _DEFLATING else 100_000)
    n_bytes = size * dataset.dtype.itemsize
    if layout != h5py.h5d.VIRTUAL and not is_external and n_bytes > held:
        raise FormatError(
            f"{path}: {dataset.name} claims {n_bytes} bytes, more than a file of "
            f"{file_size} bytes can hold. It is damaged: fetch it again."
        )


def remedy_for(error: BaseException) -> str:
    """Say what to do about data that HDF5 could not read."""
    if any(words in str(error) for words in ("required filter", "find plugin", "open directory")):
        return (
            "It needs a filter that is not there: pip install hdf5plugin, then import hdf5plugin."
        )
    return "The file is cut short or damaged: fetch it again."


def _why_unreadable(path: str, reason: str) -> str:
    """Say why a file could not be opened."""
    if not os.access(path, os.R_OK):
        return "it may not be read (permission denied)"
    size = Path(path).stat().st_size
    if "truncated" in reason:
        return f"it is truncated ({size} bytes are there)"
    with Path(path).open("rb") as file:
        start = file.read(200)
    if b"/annex/objects/" in start or start.startswith(b"version https://git-lfs"):
        return "it only stands for the file: get that with git annex get, or git lfs pull"
    if not h5py.is_hdf5(path):
        return f"it is not an HDF5 file ({size} bytes)" if size else "it is empty, not an HDF5 file"
    return "it is damaged"


class Hdf5File:
    """A read-only HDF5 file whose handle is shared by all that reads from it."""

    # The handle sits in xarray's file cache: it pickles by path, is closed by `close`, and all use
    # of it is guarded by xarray's HDF5 lock, so it excludes other engines too. Of many files, as in
    # a tree of sessions, only those used last stay open.

    _last_used: ClassVar["WeakKeyDictionary[Hdf5File, None]"] = WeakKeyDictionary()

    def __init__(self, path: str | Path | RemoteFile, *, at_once: bool = True) -> None:
        self.is_remote = isinstance(path, RemoteFile)
        self.remote: RemoteSource | None = None
        self.path = str(path) if self.is_remote else str(Path(path).resolve())
        where = path if self.is_remote else self.path
        self._manager = CachingFileManager(open_file, where, mode="r", lock=HDF5_LOCK)
        # Of a file on this machine; one on a server is known by its size and ETag.
        self.stamp: Stamp | None = None
        self._folder = Path(self.path).parent
        self._plain: set[str] = {"/"}
        # Of the open handle: what lies below is looked up from here, not from the root again.
        self._groups: dict[str, h5py.Group] = {}
        self._linked: dict[str, Hdf5File] = {}
        if at_once:
            with self.handle():
                pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hdf5File":
        return self

    @property
    def size(self) -> int:
        """Size in bytes, once it was opened."""
        known = self.remote or self.stamp
        return known.size if known else 0

    @contextmanager
    def handle(self) -> Iterator[h5py.File]:
        """Give the open file, holding the lock of the HDF5 library."""
        with HDF5_LOCK:
            file = self._acquire()
            try:
                yield file
            except OscaxrError:
                raise
            except (OSError, RuntimeError, KeyError) as error:
                raise FormatError(
                    f"{self.path} cannot be read as a session ({error}). {remedy_for(error)}"
                ) from error
            finally:
                self._forget_groups()
                self._close_longest_unused()

    def _acquire(self) -> h5py.File:
        is_new = self.stamp is None or self.stamp.place is None
        if self.stamp is not None:
            check_unchanged(self.path, self.stamp, self.path)
        try:
            if is_new and not self.is_remote:
                self._release_outdated(stamp_of(self.path))
            file = self._manager.acquire(needs_lock=False)
        except (FileNotFoundError, OscaxrError):
            raise
        except OSError as error:
            if self.is_remote:
                what = "what the server sends is not an HDF5 file, or is cut short. Check the URL"
            else:
                found = _why_unreadable(self.path, str(error))
                what = f"{found}. Check the path, or fetch the file again"
            raise FormatError(f"cannot open {self.path}: {what} (HDF5 said: {error}).") from error
        if self.is_remote:
            self.remote = file.same_as(self.remote)
        elif is_new:
            self.stamp = check_unchanged(self.path, self.stamp, file.id.get_vfd_handle())
        return file

    def close(self) -> None:
        """Release the handle, and those of linked files; reading again opens them again."""
        with HDF5_LOCK:
            self._release()

    def _forget_groups(self) -> None:
        for file in (self, *self._linked.values()):
            file._groups.clear()

    def _release(self) -> None:
        self._forget_groups()
        for other in self._linked.values():
            other._release()
        self._manager.close(needs_lock=False)

    def _close_longest_unused(self) -> None:
        if self.is_remote:
            return  # what was fetched would have to be fetched again
        self._last_used.pop(self, None)
        self._last_used[self] = None
        for file in list(self._last_used)[:-KEPT_OPEN]:
            del self._last_used[file]
            file._release()

    def _release_outdated(self, found: Stamp) -> None:
        """Close handles of a file that was written to since: HDF5 would go on with what it knew."""
        for other in list(self._last_used):
            if other.stamp and other.stamp.place == found.place and other.stamp != found:
                other._release()

    def holder(self, dataset: h5py.Dataset) -> "Hdf5File":
        """Return the file that holds a dataset: this one, or one that it links to."""
        name = dataset.file.filename
        return self if self.is_remote or name == self.path else self._linked[name]

    def get(self, file: h5py.File, path: str) -> Any:
        """Return a group or dataset, refusing links that lead out of the file's folder."""
        return self._find(file, _names(path), 0)

    def _find(self, file: h5py.File, names: Names, depth: int) -> Any:
        """Walk a path link by link; remember the places that are reached by hard links only."""
        if depth > MAX_LINKS:
            raise FormatError(
                f"{self.path}: {_join(names)} is reached by links upon links, which may lead in a "
                "circle. Mend the file, or fetch it again."
            )
        known = next(i for i in range(len(names), -1, -1) if _join(names[:i]) in self._plain)
        item = self._at(file, _join(names[:known]))
        for i in range(known, len(names)):
            key, rest = names[i].encode(), names[i + 1 :]
            if not isinstance(item, h5py.Group) or not item.id.links.exists(key):
                return None
            kind = item.id.links.get_info(key).type
            if kind == h5py.h5l.TYPE_SOFT:
                said = os.fsdecode(item.id.links.get_val(key))
                target = (() if said.startswith("/") else names[:i]) + _names(said)
                return self._follow(file, target, rest, depth, _join(names[: i + 1]))
            if kind == h5py.h5l.TYPE_EXTERNAL:
                name, target_name = map(os.fsdecode, item.id.links.get_val(key))
                what = f"the external link {_join(names[: i + 1])}"
                other = self._link(self._folder / name, what)
                found = other._follow(
                    other._acquire(), _names(target_name), rest, depth, f"{what} of {self.path}"
                )
                self._linked |= other._linked
                return found
            self._plain.add(_join(names[: i + 1]))
            item = self._at(item, _join(names[: i + 1]), names[i])
        if isinstance(item, h5py.Dataset):
            self._check_storage(file, item, depth)
        return item

    def _at(self, above: h5py.Group, path: str, name: str = "") -> Any:
        """Return what a path of hard links leads to, each group once."""
        found = self._groups.get(path)
        if not found:
            # As h5py does by a name, but that it asks for the file's mode anew each time.
            opened = h5py.h5o.open(above.id, (name or path).encode())
            if isinstance(opened, h5py.h5d.DatasetID):
                return h5py.Dataset(opened, readonly=True)
            if not isinstance(opened, h5py.h5g.GroupID):
                return above[name or path]
            found = self._groups[path] = h5py.Group(opened)
        return found

    def _follow(self, file: h5py.File, target: Names, rest: Names, depth: int, link: str) -> Any:
        """Return what lies below the target of a link; refuse a target that is not there."""
        found = self._find(file, target + rest, depth + 1)
        if found is None and (not rest or self._find(file, target, depth + 1) is None):
            raise FormatError(
                f"{self.path}: {link} leads to {_join(target)}, which is not there. Mend the file, "
                "or fetch it again."
            )
        return found

    def _check_storage(self, file: h5py.File, dataset: h5py.Dataset, depth: int) -> None:
        creation = dataset.id.get_create_plist()
        for i in range(creation.get_external_count()):
            # HDF5 looks for these from the working directory, not from the file.
            target = Path(os.fsdecode(creation.get_external(i)[0]))
            self._refuse_outside(target, f"the external storage of {dataset.name}")
        if creation.get_layout() != h5py.h5d.VIRTUAL:
            return
        for source in dataset.virtual_sources():
            what = f"the virtual dataset {dataset.name}"
            other, handle = self, file
            if source.file_name != ".":
                other = self._link(self._folder / source.file_name, what)
                handle = other._acquire()
            place = _names(source.dset_name)
            found = other._find(handle, place, depth + 1)
            if found is None:
                # HDF5 would fill in zeros without a word.
                raise FormatError(
                    f"{self.path}: {what} refers to {_join(place)} of {other.path}, which is not "
                    "there. Fetch that file too, or copy the data into the file (h5repack)."
                )
            check_written(other.path, found, other.size)

    def _link(self, target: Path, what: str) -> "Hdf5File":
        """Return another file that this one refers to."""
        self._refuse_outside(target, what)
        path = str(target.resolve())
        if not Path(path).is_file():
            raise FormatError(
                f"{self.path}: {what} points to {path}, but there is no such file. Fetch it too, "
                "or copy the data into the file (h5repack, h5copy)."
            )
        if path == self.path:
            return self
        return self._linked.setdefault(path, Hdf5File(path, at_once=False))

    def _refuse_outside(self, target: Path, what: str) -> None:
        if self.is_remote:
            raise UnsafeLinkError(
                f"{self.path}: {what} points to another file, {target.name}, which is not followed "
                "over the network. Download both files into one folder, and open them there."
            )
        if not target.resolve().is_relative_to(self._folder):
            raise UnsafeLinkError(
                f"{self.path}: {what} points to {target.resolve()}, outside the folder of the "
                "file. oscaxr does not follow it: a data file must not reach into other folders. "
                "Copy the data into the file (h5repack, h5copy) or beside it."
            )


def _names(path: str) -> Names:
    return tuple(name for name in path.split("/") if name not in ("", "."))


def _join(names: Sequence[str]) -> str:
    return "/" + "/".join(names)
