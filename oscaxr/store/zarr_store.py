"""A zarr store (format 3), in a folder or packed into one zip file: read and written with zarr.

Chunks are decoded by zarrs where it is installed, in runs that are as long as they can be; plain
zarr reads text and packed stores. What zarr does not see is proven first (see
:mod:`oscaxr.store.checks`): zarr takes a chunk that is missing for one of fill values.
"""

import json
import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, AxisIndex, Once, OrthogonalArray, read_increasing
from oscaxr.errors import DamagedExportError, ExportContentError, ExportError, OscaxrError
from oscaxr.store.checks import ArrayPlan, ChunkGuard, array_plan, damaged
from oscaxr.store.encoding import Stored, as_stored
from oscaxr.store.layout import metadata_digest
from oscaxr.store.parts import Region
from oscaxr.store.zarr_files import DIGEST, DOCUMENT, StoreFiles, pack

# Blosc's codecs. Bit shuffling before zstd: for dF/F it is both smaller and quicker than bytes.
_BLOSC: Final = {"zstd": 3, "lz4": 5, "lz4hc": 5, "blosclz": 5, "zlib": 3}
COMPRESSIONS: Final = (*_BLOSC, "gzip")

# Settings of zarr and filters of warnings belong to the process: one thread at a time.
_SETTINGS: Final = threading.Lock()
# The process that zarrs works for: its threads are not there in one that is forked from it.
_zarrs_process: list[int] = []


# -- reading --------------------------------------------------------------------------------------
class ZarrFile:
    """A store that is read (see :class:`oscaxr.store.open.ExportFile`)."""

    def __init__(self, path: Path) -> None:
        self.files = StoreFiles(path)
        self._nodes = self._read_nodes()
        self._digest = self.files.document(DIGEST)
        self._plans: dict[str, ArrayPlan] = {}

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

    def attrs(self, group: str) -> dict[str, Any] | None:
        """Return the attributes of a group."""
        node = self._nodes.get(group)
        return None if node is None else dict(node.get("attributes") or {})

    def groups(self) -> list[str]:
        """Return the paths of all groups, the root (empty) first."""
        return sorted(p for p, node in self._nodes.items() if node.get("node_type") == "group")

    def names(self, group: str) -> list[str]:
        """Return the names of the variables of a group."""
        return [
            path.rpartition("/")[2]
            for path, node in self._nodes.items()
            if path and path.rpartition("/")[0] == group and node.get("node_type") == "array"
        ]

    def description(self, group: str) -> dict[str, Any]:
        """Return all that is said of a group and its variables."""
        return {
            name: self._nodes[_joined(group, name)] for name in ["", *sorted(self.names(group))]
        }

    def digest(self, group: str) -> dict[str, Any] | None:
        """Return the digest that a group has."""
        return None if self._digest is None else dict(self._digest["groups"].get(group) or {})

    def identity(self) -> str | None:
        """Return the digest of all digests."""
        return None if self._digest is None else str(self._digest["identity"])

    def foreign(self, group: str) -> bool:
        """Say whether other software wrote the arrays: without the checksums of an export."""
        return not any(self._plan(group, name).checksum for name in self.names(group))

    def variable(
        self, group: str, name: str, dims: Sequence[str] | None, *, complete: bool
    ) -> xr.Variable | None:
        """Return a variable as it is stored; lazy."""
        if self._nodes.get(_joined(group, name), {}).get("node_type") != "array" or "/" in name:
            return None
        plan = self._plan(group, name)
        own = plan.node.get("dimension_names") or []
        dims = own if dims is None else dims
        fits = isinstance(own, list) and own == list(dims) and len(dims) == len(plan.shape)
        if not fits or not all(isinstance(dim, str) for dim in dims):
            raise damaged(
                self.files.path,
                f"{plan.path} has shape {plan.shape} and the dims {own}, not {dims}",
            )
        reader = ZarrReader(plan, self.files, complete=complete)
        data: Any = OrthogonalArray(reader)
        if not plan.shape:
            data = computed(Once(partial(reader.read, ())), (), plan.dtype)
        variable = xr.Variable(dims, data, dict(plan.node.get("attributes") or {}))
        if plan.shape:
            chunks = dict(zip(dims, plan.chunk_shape, strict=True))
            variable.encoding["preferred_chunks"] = chunks
        return variable

    def problems(self, group: str, names: Iterable[str], *, checksums: bool = False) -> list[str]:
        """Say which data of variables are missing, cut short or, on request, changed."""
        problems = []
        for name in sorted(set(self.names(group)) & set(names)):
            try:
                guard = ChunkGuard(self._plan(group, name), self.files, complete=True)
                guard.check_all(checksums=checksums)
            except DamagedExportError as error:
                problems.append(str(error))
        return problems

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _plan(self, group: str, name: str) -> ArrayPlan:
        path = _joined(group, name)
        if path not in self._plans:
            self._plans[path] = array_plan(path, self._nodes[path], self.files.path)
        return self._plans[path]


def _joined(group: str, name: str) -> str:
    return "/".join(filter(None, (group, name)))


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\\" not in part and "\0" not in part


class ZarrReader:
    """An array of a zarr store, as the source of a lazy array."""

    def __init__(self, plan: ArrayPlan, files: StoreFiles, *, complete: bool) -> None:
        self.plan = plan
        self.files = files
        self.path = files.path
        self.shape = plan.shape
        self.dtype = plan.dtype
        self.chunk_shape = plan.chunk_shape
        self._guard = ChunkGuard(plan, files, complete=complete)
        # Not a method: the reader would be part of a reference cycle, and outlive its session.
        self._array = Once(partial(_open_array, plan, files))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ZarrReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.path).name}:{self.plan.path}"

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return read_increasing(self._read_increasing, indices)

    def _read_increasing(self, indices: tuple[AxisIndex, ...]) -> Array:
        self.files.check_unchanged()
        widths = self.chunk_shape
        runs = [_runs(*axis) for axis in zip(indices, self.shape, widths, strict=True)]
        self._guard.check([_chunks_of(r, width) for r, width in zip(runs, widths, strict=True)])
        out = np.empty([sum(run.count for run in axis) for axis in runs], self.dtype)
        try:
            array = self._opened()
            for part in product(*runs):
                found = np.asarray(array[tuple(run.read for run in part)])
                for axis, run in enumerate(part):
                    if run.local is not None:
                        found = found.take(run.local, axis=axis)
                if found.shape == out.shape and found.dtype == out.dtype:
                    return found
                out[tuple(run.target for run in part)] = found
        except (OscaxrError, MemoryError):
            raise
        except Exception as error:
            raise damaged(
                self.path,
                f"a chunk of {self.plan.path} is damaged or cut short "
                f"({type(error).__name__}: {error})",
            ) from error
        return out

    def _opened(self) -> Any:
        array, process = self._array()
        if process != os.getpid():
            self._array = Once(partial(_open_array, self.plan, self.files))
            array, _ = self._array()
        return array


class _Run:
    """A run of consecutive rows to read, where its values go, and which of its rows they are."""

    def __init__(self, first: int, last: int, start: int, local: Array | None, count: int) -> None:
        self.read = slice(first, last)
        self.target = slice(start, start + count)
        self.local = local
        self.count = count


def _runs(index: AxisIndex, size: int, width: int) -> list[_Run]:
    """Merge an index, in rising order, into runs: rows of the same or the next chunk together."""
    if isinstance(index, slice) and index.step in (None, 1):
        start, stop, _ = index.indices(size)
        return [_Run(start, stop, 0, None, max(0, stop - start))]
    rows = np.arange(*index.indices(size)) if isinstance(index, slice) else index
    cuts = (np.flatnonzero(np.diff(rows // width) > 1) + 1).tolist()
    runs = []
    for a, b in pairwise([0, *cuts, len(rows)]):
        first, last = int(rows[a]), int(rows[b - 1]) + 1
        local = None if last - first == b - a else rows[a:b] - first
        runs.append(_Run(first, last, a, local, b - a))
    return runs


def _chunks_of(runs: list[_Run], width: int) -> range | Array:
    """Return the chunks that runs touch."""
    touched = [range(run.read.start // width, -(-run.read.stop // width)) for run in runs]
    return touched[0] if len(touched) == 1 else np.concatenate([np.array(one) for one in touched])


def _open_array(plan: ArrayPlan, files: StoreFiles) -> tuple[Any, int]:
    """Open an array whose metadata are checked; return it with the process it is good for."""
    import zarr
    from zarr.storage import LocalStore, StorePath

    process = os.getpid()
    fast = plan.dtype.kind in "biufc" and not files.packed and find_spec("zarrs") is not None
    if fast and not _zarrs_process:
        _zarrs_process.append(process)
    fast = fast and _zarrs_process == [process]
    store = _packed_store(files) if files.packed else LocalStore(files.path, read_only=True)
    pipeline = "zarrs.ZarrsCodecPipeline" if fast else _PLAIN_PIPELINE
    settings = {"codec_pipeline.path": pipeline, "codec_pipeline.validate_checksums": True}
    with _SETTINGS, zarr.config.set(settings):
        if fast:
            import zarrs  # noqa: F401 (it makes itself known to zarr)
        # Attributes say nothing of the values, and zarrs takes no NaN among them.
        node = {**plan.node, "attributes": {}}
        return zarr.Array.from_dict(StorePath(store, plan.path), node), process


_PLAIN_PIPELINE: Final = "zarr.core.codec_pipeline.BatchedCodecPipeline"


def _packed_store(files: StoreFiles) -> Any:
    """Return a store of zarr that reads pieces of files at their places within a zip file."""
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from zarr.storage import ZipStore

    class PackedStore(ZipStore):
        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            with files.opened(key) as opened:
                if opened is None:
                    return None
                file, begin, size = opened
                start, stop = 0, size
                if isinstance(byte_range, RangeByteRequest):
                    start, stop = byte_range.start, min(size, byte_range.end)
                elif isinstance(byte_range, OffsetByteRequest):
                    start = byte_range.offset
                elif isinstance(byte_range, SuffixByteRequest):
                    start = max(0, size - byte_range.suffix)
                file.seek(begin + start)
                return prototype.buffer.from_bytes(file.read(max(0, stop - start)))

    return PackedStore(files.path, mode="r")


# -- writing --------------------------------------------------------------------------------------
class ZarrWriter:
    """A zarr store that is being written."""

    def __init__(self, path: Path, *, compression: bool | str = True, packed: bool = False) -> None:
        import zarr

        if isinstance(compression, str) and compression not in COMPRESSIONS:
            raise ExportContentError(
                f"compression={compression!r}: for zarr there are {', '.join(COMPRESSIONS)}, or "
                "True for the default and False for none"
            )
        self._path = path
        self._compression = "zstd" if compression is True else compression or ""
        self._packed = packed
        self.folder = path.with_name(path.name + ".d") if packed else path
        self._root = zarr.open_group(self.folder, mode="w", zarr_format=3)
        self._arrays: dict[tuple[str, str], Any] = {}

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its arrays, empty."""
        place = self._root.require_group(group) if group else self._root
        for one in stored:
            self._arrays[group, one.name] = place.create_array(
                one.name,
                shape=one.variable.shape,
                dtype=str if one.dtype is None else one.dtype,
                chunks=one.chunks,
                shards=one.shards,
                compressors=self._compressors(one),
                fill_value=fill_value(one.dtype),
                # Every chunk is written, so that one that is missing is known to be.
                config={"write_empty_chunks": True},
                dimension_names=[str(dim) for dim in one.variable.dims],
                attributes=one.attrs,
            )

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""
        if one.dtype is None:
            values = values.astype(object)
        array = self._arrays[group, one.name]
        array[region or ...] = values if one.dtype is None else as_stored(values, one.dtype)

    def finish(self, attrs: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Write the attributes of the groups, gather all metadata, and read the checksums back."""
        import zarr

        for group, values in attrs.items():
            place = self._root[group] if group else self._root
            # In one go: every change of an attribute writes the metadata anew.
            place.update_attributes(values)
        with _SETTINGS, warnings.catch_warnings():
            # Metadata in one file are an extension of format 3; other readers ignore them.
            warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(self._root.store)
        with closing(ZarrFile(self.folder)) as file:
            for group in attrs:
                if problems := file.problems(group, file.names(group), checksums=True):
                    raise ExportError(f"what was written reads back otherwise: {problems[0]}")
            return {group: metadata_digest(file.description(group)) for group in attrs}

    def seal(self, digest: Mapping[str, Any]) -> None:
        """Write the digest, the last of all; then pack the store if it is to be one file."""
        text = json.dumps(digest, indent=1, ensure_ascii=False)
        (self.folder / DIGEST).write_text(text, encoding="utf-8")
        if self._packed:
            pack(self.folder, self._path)

    def close(self) -> None:
        """Release what is open."""
        self._arrays.clear()
        self._root.store.close()

    def _compressors(self, one: Stored) -> list[Any]:
        from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec

        # Neither blosc nor plain bytes tell that a bit has changed.
        checksum = Crc32cCodec()
        if not self._compression or not one.compressed or one.dtype is None:
            return [checksum]
        if self._compression == "gzip":
            return [GzipCodec(level=4), checksum]
        level = _BLOSC[self._compression]
        options: dict[str, Any] = {
            "cname": self._compression,
            "shuffle": "bitshuffle" if one.dtype.itemsize > 1 else "noshuffle",
        }
        return [BloscCodec(clevel=level, typesize=one.dtype.itemsize, **options), checksum]


def fill_value(dtype: np.dtype[Any] | None) -> Any:
    """Return what readers of zarr put in place of a chunk that is missing: no plausible value."""
    if dtype is None:
        return "(missing)"
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(limits.min if dtype.kind == "i" else limits.max)
    return dtype.type(0)
