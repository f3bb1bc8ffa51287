"""Reading a zarr store (format 3), in a folder, packed into one zip file, or on a server.

Chunks are decoded by zarrs where it is installed, in runs that are as long as they can be; plain
zarr reads text, packed stores and those on servers. What zarr does not see is proven first (see
:mod:`oscaxr.store.checks`): zarr takes a chunk that is missing for one of fill values.
"""

import base64
import math
import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array, AxisIndex, Once, Run, read_increasing, read_runs, runs_of
from oscaxr.errors import OscaxrError, SessionNotFoundError
from oscaxr.files.remote import RemoteFile, RemoteSource
from oscaxr.store.checks import (
    SUM_BYTES,
    ArrayPlan,
    ChunkGuard,
    Opened,
    Place,
    array_plan,
    by_file,
    damaged,
)
from oscaxr.store.layout import LAYOUT, StoredGroup, StoredVariable, check_identity
from oscaxr.store.zarr_files import DIGEST, DOCUMENT, StoreFiles
from oscaxr.store.zarr_remote import END, RemoteStoreFiles

SETTINGS: Final = threading.Lock()
"""Settings of zarr and filters of warnings belong to the process: one thread at a time."""

_PLAIN_PIPELINE: Final = "zarr.core.codec_pipeline.BatchedCodecPipeline"
# The process that zarrs works for: its threads are not there in one that is forked from it.
_zarrs_process: list[int] = []

SomeFiles = StoreFiles | RemoteStoreFiles


# -- what a store says ----------------------------------------------------------------------------
class ZarrFile:
    """A store that is read."""

    def __init__(self, path: Path | RemoteFile) -> None:
        self.files: SomeFiles
        if isinstance(path, RemoteFile):
            self.files = RemoteStoreFiles(path)
        else:
            self.files = StoreFiles(path)
        self._nodes = self._read_nodes()
        self._digest = self.files.document(DIGEST)
        if self._digest is not None:
            check_identity(path, self._digest["identity"], self._digest["groups"], self.groups())

    @property
    def remote(self) -> RemoteSource | None:
        """What identifies it on a server: its digest, which was written last."""
        if self.files.remote is None:
            return None
        return RemoteSource(self.files.path, -1, str((self._digest or {}).get("identity", "")))

    def _read_nodes(self) -> dict[str, dict[str, Any]]:
        root = self.files.document(DOCUMENT)
        if root is None and self.files.remote is not None:
            raise SessionNotFoundError(
                f"there is no export at {self.files.path}: no {DOCUMENT} is there. Check the "
                "address."
            )
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
        self, plan: ArrayPlan, files: SomeFiles, *, complete: bool, sums: str | None = None
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
        files: SomeFiles,
        *,
        complete: bool,
        sums: Array | None,
        collect: bool = False,
    ) -> None:
        super().__init__(plan, files.path, files.opened, complete=complete)
        self.files = files
        self.sums = sums
        self.collect = collect

    def check(self, axes: Iterable[Iterable[int]], *, checksums: bool = True) -> None:
        if isinstance(self.files, RemoteStoreFiles):
            axes = every = [[*axis] for axis in axes]
            self._fetch(self.files, every)
        super().check(axes, checksums=checksums)

    def _fetch(self, files: RemoteStoreFiles, axes: list[list[int]]) -> None:
        """Fetch chunks, several at a time: one by one, each would be waited for."""
        split = [by_file(axis, count) for axis, count in zip(axes, self._counts, strict=True)]
        parts = {self.key_of(part): [places for _, places in part] for part in product(*split)}
        if self.plan.per_shard is None:
            files.fetch({key: [(0, END)] for key in parts})
            return
        # Where they lie in a shard stands at its end.
        length = 16 * math.prod(self._counts) + SUM_BYTES
        files.fetch({key: [(-length, END)] for key in parts})
        spans = {}
        for key, places in parts.items():
            with files.opened(key) as opened:
                if opened is not None:
                    pairs = zip(places, self._counts, strict=True)
                    within = np.ix_(*([at % count for at in axis] for axis, count in pairs))
                    found = self._index(key, opened)[within].reshape(-1, 2).tolist()
                    spans[key] = [(at, at + n) for at, n in found if at < opened.size]
        files.fetch(spans)

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


def _open_array(plan: ArrayPlan, files: SomeFiles) -> Any:
    """Open an array whose metadata are checked."""
    import zarr
    from zarr.storage import StorePath

    process = os.getpid()
    fast = plan.dtype.kind in "biufc" and not files.is_plain and find_spec("zarrs") is not None
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
