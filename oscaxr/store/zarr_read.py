"""Reading a zarr store (format 3), in a folder or packed into one zip file.

Chunks are decoded by zarrs where it is installed, in runs that are as long as they can be; plain
zarr reads text and packed stores. What zarr does not see is proven first (see
:mod:`oscaxr.store.checks`): zarr takes a chunk that is missing for one of fill values. Of a folder,
nothing is kept open; a store that was closed reads again.
"""

import base64
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array, AxisIndex, Once, Run, read_increasing, read_runs, runs_of
from oscaxr.errors import DamagedExportError, OscaxrError
from oscaxr.files.hdf5 import check_unchanged, stamp_of
from oscaxr.store.checks import (
    MAX_DOCUMENT_BYTES,
    SUM_BYTES,
    ArrayPlan,
    ChunkGuard,
    Opened,
    Place,
    array_plan,
    damaged,
    read_json,
)
from oscaxr.store.layout import LAYOUT, StoredGroup, StoredVariable, check_identity

DOCUMENT: Final = "zarr.json"
"""File that describes a group or an array."""

DIGEST: Final = "oscaxr.json"
"""File of the digest of a store."""

SETTINGS: Final = threading.Lock()
"""Settings of zarr and filters of warnings belong to the process: one thread at a time."""

_PLAIN_PIPELINE: Final = "zarr.core.codec_pipeline.BatchedCodecPipeline"
# The process that zarrs works for: its threads are not there in one that is forked from it.
_zarrs_process: list[int] = []

_UNREADABLE: Final = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile)
# The list of names of a zip file is described in its last bytes.
_ZIP_TAIL: Final = 2**16 + 100


class StoreFiles:
    """The files of a store; picklable."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.packed = path.is_file()
        self._archive = Once(partial(_open_zip, self.path), in_each_process=True)
        self.zarr_store = Once(partial(_zarr_store, self.path, self.packed), in_each_process=True)
        marks = [] if self.packed else [path / DIGEST, path / DOCUMENT]
        self._mark = str(next((mark for mark in marks if mark.exists()), path))
        self._stamp = stamp_of(self._mark)
        self._content = self._marked()

    @contextmanager
    def opened(self, key: str) -> Iterator[Opened | None]:
        """Open one of the files, if it is there and a file of the store."""
        try:
            found = self._open(key)
            with found.file if found else nullcontext():
                yield found
        except OscaxrError:
            raise
        except _UNREADABLE as error:
            raise damaged(self.path, f"{key} was changed, or is damaged ({error})") from error

    def _open(self, key: str) -> Opened | None:
        if self.packed:
            archive, members = self._archive()
            info = members.get(key)
            return None if info is None else Opened(archive.open(info), info.compress_size)
        path = f"{self.path}/{key}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode) or os.path.realpath(path) != path:
            raise damaged(self.path, f"{key} cannot be read: it is no file of the store")
        return Opened(FileIO(path), status.st_size)

    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON document."""
        with self.opened(key) as opened:
            return None if opened is None else read_json(self.path, key, opened)

    def keys(self) -> Iterator[str]:
        """List the files of the store that describe its groups and arrays, below the root."""
        if self.packed:
            _, members = self._archive()
            yield from (key for key in members if key.endswith(f"/{DOCUMENT}"))
            return
        for folder, _, names in os.walk(self.path):
            if DOCUMENT in names and folder != self.path:
                yield f"{os.path.relpath(folder, self.path)}/{DOCUMENT}".replace(os.sep, "/")

    def check_unchanged(self) -> None:
        """Refuse to read from another store that took the place of this one."""
        found = check_unchanged(self.path, self._stamp, self._mark, DamagedExportError)
        if self._stamp.place is None:
            # In another process than the one that opened it, size and time alone say little.
            if self._marked() != self._content:
                raise damaged(self.path, "it was replaced by another since it was opened")
            self._stamp = found

    def _marked(self) -> int:
        """Return a checksum of the digest of a folder."""
        if self.packed:
            return 0
        try:
            with self.opened(Path(self._mark).name) as opened:
                if opened is None or opened.size > MAX_DOCUMENT_BYTES:
                    return 0
                return zlib.crc32(opened.read(0, opened.size))
        except DamagedExportError:
            # It is refused when it is read.
            return 0

    def close(self) -> None:
        """Release the zip file."""
        if self.packed and self._archive.done:
            self._archive()[0].close()
            self._archive = Once(self._archive.function, in_each_process=True)
        if self.packed and self.zarr_store.done:
            self.zarr_store().close()


def _open_zip(path: str) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """Open a zip file; return it with its members, checked."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (of a string, not of a Path)
            _check_directory(file)
        archive = zipfile.ZipFile(path)
        infos, size = archive.infolist(), os.stat(path).st_size  # noqa: PTH116
        if any(info.header_offset + info.compress_size > size for info in infos):
            raise ValueError("a part of it runs beyond its end")
    except _UNREADABLE as error:
        raise damaged(
            path, f"cannot open it as an export: it is no whole zip file ({error})"
        ) from error
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise DamagedExportError(
            f"cannot open {path} as an export: it was packed again, with compression. "
            "Pack it without (zip -0), or export it again."
        )
    if strange := [info.filename for info in infos if not _is_part(info)]:
        raise damaged(path, f"it has {strange[0]!r}, which is a link or no name within a store")
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise damaged(path, "it has several files of the same name")
    return archive, members


def _is_part(info: zipfile.ZipInfo) -> bool:
    """Say whether a member is a plain file that lies within the store."""
    name = info.filename.rstrip("/")
    within = not {"", ".", ".."} & set(name.split("/")) and "\\" not in name
    return within and not stat.S_ISLNK(info.external_attr >> 16)


def _check_directory(file: Any) -> None:
    """Refuse a list of names that is too long to be read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ZIP_TAIL))
    tail = file.read()
    for mark, at, length in ((b"PK\5\6", 12, 4), (b"PK\6\6", 40, 8)):
        place = tail.rfind(mark)
        listed = int.from_bytes(tail[place + at : place + at + length], "little")
        if place >= 0 and MAX_DOCUMENT_BYTES < listed != 2**32 - 1:
            raise ValueError(f"a list of names of {listed} bytes")


# -- what a store says ----------------------------------------------------------------------------
class ZarrFile:
    """A store that is read."""

    def __init__(self, path: Path) -> None:
        self.files = StoreFiles(path)
        self._nodes = self._read_nodes()
        self._digest = self.files.document(DIGEST)
        if self._digest is not None:
            check_identity(path, self._digest["identity"], self._digest["groups"], self.groups())

    def _read_nodes(self) -> dict[str, dict[str, Any]]:
        root = self.files.document(DOCUMENT)
        if root is None or root.get("zarr_format") != 3 or root.get("node_type") != "group":
            reason = f"its {DOCUMENT} does not describe a group" if root else f"no {DOCUMENT}"
            raise damaged(
                self.files.path, f"cannot open it as an export of zarr format 3: {reason}"
            )
        gathered = root.pop("consolidated_metadata", None)
        if isinstance(gathered, dict) and isinstance(gathered.get("metadata"), dict):
            nodes = gathered["metadata"]
        else:
            # Gathered metadata are an extension of the format, which other tools may leave out.
            keys = sorted(self.files.keys())
            nodes = {key[: -len(DOCUMENT) - 1]: self.files.document(key) for key in keys}
        for key, node in nodes.items():
            if not isinstance(node, dict) or not all(_is_name(part) for part in key.split("/")):
                raise damaged(self.files.path, f"it has a part {key!r}, which is none of a store")
            node.pop("consolidated_metadata", None)
        return {"": root, **nodes}

    def groups(self) -> list[str]:
        """Return the paths of all groups, the root (empty) first."""
        return sorted(p for p, node in self._nodes.items() if node.get("node_type") == "group")

    def group(self, group: str) -> StoredGroup:
        """Return what is said of a group."""
        attrs = dict(self._nodes[group].get("attributes") or {})
        names = {
            path.rpartition("/")[2]: path
            for path, node in self._nodes.items()
            if path and path.rpartition("/")[0] == group and node.get("node_type") == "array"
        }
        plans = {
            name: array_plan(path, self._nodes[path], self.files.path)
            for name, path in names.items()
        }
        # Other software leaves out the checksums, and the chunks of fill values.
        foreign = not any(plan.checksum for plan in plans.values())
        complete = LAYOUT in attrs and not foreign
        digest = self._digest
        sums = {} if digest is None else digest["groups"].get(group, {}).get("chunks", {})
        return StoredGroup(
            attrs,
            {name: self._variable(plan, complete, sums.get(name)) for name, plan in plans.items()},
            {name: self._nodes[names.get(name, group)] for name in ["", *sorted(names)]},
            None if digest is None else {**digest, **digest["groups"].get(group, {})},
            foreign,
        )

    def _variable(self, plan: ArrayPlan, complete: bool, sums: str | None) -> StoredVariable:
        dims = plan.node.get("dimension_names") or []
        is_named = isinstance(dims, list) and all(isinstance(dim, str) for dim in dims)
        if not is_named or len(dims) != len(plan.shape):
            raise damaged(
                self.files.path, f"{plan.path} has shape {plan.shape} and the dims {dims}"
            )
        reader = ZarrReader(plan, self.files, complete=complete, sums=sums)
        return StoredVariable(tuple(dims), dict(plan.node.get("attributes") or {}), reader)

    def close(self) -> None:
        """Release what is open; reading opens it again."""
        self.files.close()


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\\" not in part and "\0" not in part


# -- what an array holds --------------------------------------------------------------------------
class ZarrReader:
    """An array of a zarr store, as the source of a lazy array."""

    def __init__(
        self, plan: ArrayPlan, files: StoreFiles, *, complete: bool, sums: str | None = None
    ) -> None:
        self.plan = plan
        self.files = files
        self._sums = None if sums is None else _sums_from(sums, plan, files.path)
        self.path = files.path
        self.shape = plan.shape
        self.dtype = plan.dtype
        self.chunk_shape = plan.chunk_shape
        self._guard = _Guard(plan, files, complete=complete, sums=self._sums)
        # Not a method: the reader would be part of a reference cycle, and outlive its session.
        self._array = Once(partial(_open_array, plan, files), in_each_process=True)

    def __repr__(self) -> str:
        return f"{Path(self.path).name}:{self.plan.path}"

    def check_all(self, *, checksums: bool = False) -> None:
        """Refuse chunks that are missing or cut short; on request, those that were changed."""
        guard = _Guard(self.plan, self.files, complete=True, sums=self._sums)
        guard.check(map(range, self.plan.grid), checksums=checksums)

    def chunk_sums(self) -> str:
        """Return the checksums of all chunks, in order; refuse those that have not theirs."""
        sums = np.zeros(self.plan.grid, "<u4")
        guard = _Guard(self.plan, self.files, complete=True, sums=sums, collect=True)
        guard.check(map(range, self.plan.grid))
        return base64.b64encode(sums.tobytes()).decode()

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return read_increasing(self._read_increasing, indices)

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        self.files.check_unchanged()
        runs = runs_of(indices, self.shape, self.chunk_shape)
        self._guard.check(map(_chunks_of, runs, self.chunk_shape))
        try:
            return read_runs(self._array(), runs, self.dtype)
        except (OscaxrError, MemoryError):
            raise
        except Exception as error:
            raise damaged(
                self.path,
                f"a chunk of {self.plan.path} is damaged or cut short "
                f"({type(error).__name__}: {error})",
            ) from error


def _sums_from(text: str, plan: ArrayPlan, path: str) -> Array:
    """Read the checksums of all chunks of an array, as the digest of its store has them."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u4").reshape(plan.grid)
    except ValueError as error:
        raise damaged(
            path, f"the digest lists other chunks than {plan.path} has: {error}"
        ) from error


class _Guard(ChunkGuard):
    """Proves of a chunk, too, that it is the one that was written to its place."""

    # A copy that was not finished over an older one has chunks of both, and each its checksum.
    def __init__(
        self,
        plan: ArrayPlan,
        files: StoreFiles,
        *,
        complete: bool,
        sums: Array | None,
        collect: bool = False,
    ) -> None:
        super().__init__(plan, files.path, files.opened, complete=complete)
        self.sums = sums
        self.collect = collect

    def check_chunk(
        self, place: Place, opened: Opened, start: int, length: int, checksums: bool
    ) -> None:
        super().check_chunk(place, opened, start, length, checksums)
        if self.sums is None or not checksums:
            return
        found = int.from_bytes(opened.read(start + length - SUM_BYTES, SUM_BYTES), "little")
        if self.collect:
            self.sums[place] = found
        elif self.sums[place] != found:
            raise self.damaged(place, "it is whole, but not the one that was written")


def _chunks_of(runs: list[Run], width: int) -> Iterator[int]:
    """Return the chunks that runs touch."""
    touched = [range(read.start // width, -(-read.stop // width)) for read, _, _ in runs]
    return chain.from_iterable(touched)


def _zarr_store(path: str, packed: bool) -> Any:
    """Open a store for zarr."""
    import zarr
    from zarr.storage import LocalStore, ZipStore

    store = ZipStore(path, mode="r") if packed else LocalStore(path, read_only=True)
    if packed:
        zarr.open_group(store, mode="r", use_consolidated=False)  # a store does not open itself
    return store


def _open_array(plan: ArrayPlan, files: StoreFiles) -> Any:
    """Open an array whose metadata are checked."""
    import zarr
    from zarr.storage import StorePath

    process = os.getpid()
    fast = plan.dtype.kind in "biufc" and not files.packed and find_spec("zarrs") is not None
    if fast and not _zarrs_process:
        _zarrs_process.append(process)
    fast = fast and _zarrs_process == [process]
    pipeline = "zarrs.ZarrsCodecPipeline" if fast else _PLAIN_PIPELINE
    settings = {"codec_pipeline.path": pipeline, "codec_pipeline.validate_checksums": True}
    with SETTINGS, zarr.config.set(settings):
        if fast:
            import zarrs  # noqa: F401 (it makes itself known to zarr)
        # Attributes say nothing of the values, and zarrs takes no NaN among them.
        node = {**plan.node, "attributes": {}}
        return zarr.Array.from_dict(StorePath(files.zarr_store(), plan.path), node)
