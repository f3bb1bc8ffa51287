"""Where exported data come from: source files with sizes and digests, session, versions."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.xarray_internals import data_of, is_in_memory
from oscaxr.errors import OscaxrError, UnsafeTargetError
from oscaxr.files.remote import RemoteSource
from oscaxr.model.schema import DATASET_ATTRS
from oscaxr.store.export_file import is_exported, provenances_of, why_not_ours
from oscaxr.store.layout import PREFIX, PROVENANCE

DIGEST_BYTES: Final = 8 * 2**30
"""Source files up to this size are digested unless it is asked for or against."""

# Where xarray's lazy arrays, and ours, keep what they read from.
_INNER: Final = ("array", "reader", "source", "file", "datastore", "_array", "store", "variable")
Source = Path | RemoteSource

_MAX_DEPTH: Final = 16
_MAX_GRAPH_ENTRIES: Final = 1000


def source_paths(ds: xr.Dataset) -> list[Source]:
    """Find the files that a Dataset is read from, as far as it shows."""
    found: dict[Source, None] = {}
    for encoding in (ds.encoding, *(v.encoding for v in ds.variables.values())):
        # Where a session is a folder, its files say more than the folder does.
        files = encoding.get("source_files") or (encoding.get("source"),)
        found |= {path: None for name in files for path in _as_paths(name)}
        found |= dict.fromkeys(_as_remote(encoding.get("remote_sources")))
    for variable in ds.variables.values():
        if not is_in_memory(variable):
            found |= dict.fromkeys(_paths_behind(variable))
    return [path for path in found if isinstance(path, RemoteSource) or path.exists()]


def live_paths(ds: xr.Dataset) -> list[Path]:
    """Find the files that a Dataset has still to read from."""
    lazy = [v for v in ds.variables.values() if not is_in_memory(v)]
    found = {
        path: None
        for variable in lazy
        for path in _paths_behind(variable)
        if isinstance(path, Path)
    }
    for encoding in (ds.encoding, *(v.encoding for v in lazy)) if lazy else ():
        found |= dict.fromkeys(_as_paths(encoding.get("source")))
    return list(found)


def _as_paths(value: Any) -> Iterator[Path]:
    if isinstance(value, str | os.PathLike) and "://" not in str(value):
        yield Path(os.path.realpath(value))


def _as_remote(value: Any) -> Iterator[RemoteSource]:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, RemoteSource):
            yield one


def _paths_behind(variable: xr.Variable) -> Iterator[Source]:
    data: Any = data_of(variable)
    graph = getattr(data, "__dask_graph__", None)
    pending: list[tuple[Any, int]] = [(data, 0)]
    if callable(graph):
        layers = getattr(graph(), "layers", None) or {"": graph()}
        for layer in layers.values():
            # What was opened is an entry of its own; layers of many entries only refer to it.
            if isinstance(layer, Mapping) and len(layer) <= _MAX_GRAPH_ENTRIES:
                pending += [(entry, 0) for entry in layer.values()]
    while pending:
        value, depth = pending.pop()
        for attribute in ("path", "_filename", "root"):
            yield from _as_paths(getattr(value, attribute, None))
        yield from _as_remote(getattr(value, "remote", None))
        if isinstance(value, xr.Variable):
            yield from _as_paths(value.encoding.get("source"))
            value = data_of(value)
        if depth < _MAX_DEPTH:
            inner = [getattr(value, name, None) for name in _INNER]
            if type(value).__name__ == "DataNode":
                inner.append(value.value)
            pending += [
                (one, depth + 1)
                for one in inner
                if one is not None and not isinstance(one, np.ndarray | str | type)
            ]


def earlier_exports(ds: xr.Dataset, paths: Iterable[Source]) -> dict[str, Mapping[str, Any]]:
    """Return what those of the source files that are exports say about where they came from."""
    known, source = ds.encoding.get(PROVENANCE), ds.encoding.get("source", "")
    files = (path for path in paths if isinstance(path, Path))
    found = {path.name: recorded for path in files if (recorded := _recorded(path))}
    return found | ({Path(str(source)).name: known} if isinstance(known, Mapping) else {})


def _recorded(path: Path) -> dict[str, Any]:
    """Read the provenance in an export: of all its groups together; empty where it is none."""
    if not is_exported(path):
        return {}
    try:
        by_group = provenances_of(path)
    except OscaxrError:
        return {}
    sources = [one for found in by_group for one in found.get("sources", [])]
    return {"sources": _unique(sources)} if any(by_group) else {}


def _unique(sources: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(one, sort_keys=True): one for one in sources}.values())


class Sources:
    """Source files of an export, digested in the background while it is written."""

    def __init__(self, paths: Iterable[Source], digest: bool | None = None) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._files: dict[Path, Future[str] | None] = {}
        for path in paths:
            if isinstance(path, RemoteSource):
                continue
            wanted = path.is_file() and (
                path.stat().st_size <= DIGEST_BYTES if digest is None else digest
            )
            self._files[path] = self._pool.submit(_digest_of, path) if wanted else None

    def facts(self, paths: Iterable[Source]) -> list[dict[str, Any]]:
        """Return name, size and digest of some of the files, waiting for the digests."""
        facts: list[dict[str, Any]] = []
        for path in paths:
            if isinstance(path, RemoteSource):
                known = {"name": path.name, "bytes": path.size, "sha256": ""}
                facts.append(known | {"url": path.url, "etag": path.etag})
                continue
            future = self._files.get(path)
            facts.append(
                {
                    "name": path.name,
                    "bytes": path.stat().st_size if path.is_file() else -1,
                    "sha256": "" if future is None else future.result(),
                }
            )
        return facts

    def close(self) -> None:
        """Drop the digests that have not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _digest_of(path: Path) -> str:
    status = path.stat()
    return _digest(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: str, size: int, modified: int) -> str:
    """Digest a file; once for as long as its size and time of change stay the same."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Origin:
    """The files that what is saved comes from."""

    def __init__(self, groups: Mapping[str, xr.Dataset], digest: bool | None) -> None:
        self.paths = {group: source_paths(ds) for group, ds in groups.items()}
        self.before = {
            group: earlier_exports(ds, self.paths[group]) for group, ds in groups.items()
        }
        self.live = {path for ds in groups.values() for path in live_paths(ds)}
        every = {one for found in self.paths.values() for one in found}
        self.local = [path for path in every if isinstance(path, Path)]
        self.sources = Sources(every, digest)

    def check_target(self, target: Path) -> None:
        """Refuse to replace what the data come from, and what is no export of ours."""
        if any(source.exists() and source.samefile(target) for source in self.live):
            raise UnsafeTargetError(
                f"{target} is what the data are still read from: saving them there would destroy "
                "them. Save to another path, or .load() them first."
            )
        inside = [path for path in self.local if target in path.parents]
        if inside:
            raise UnsafeTargetError(
                f"{target} holds {inside[0]}, which the data come from: saving there would delete "
                "it. Save to another path."
            )
        if reason := why_not_ours(target):
            raise UnsafeTargetError(
                f"{target} is there, and {reason}: overwrite=True replaces only what oscaxr.save "
                "wrote. Save to another path, or remove it yourself."
            )


def provenance_attrs(
    ds: xr.Dataset,
    sources: list[dict[str, Any]],
    parameters: Mapping[str, Any],
    *,
    before: Mapping[str, Mapping[str, Any]] | None = None,
    timestamp: bool = False,
) -> dict[str, Any]:
    """Return the attributes that say where exported data come from."""
    facts: dict[str, Any] = {
        "version": version("oscaxr"),
        "dandiset": str(ds.attrs.get("dandiset", DATASET_ATTRS["dandiset"])),
        "citation": str(ds.attrs.get("references", DATASET_ATTRS["references"])),
        "sources": json.dumps(sources, ensure_ascii=False),
        "parameters": json.dumps(dict(parameters), ensure_ascii=False, default=_plain),
    }
    if before:
        exports = [one for one in sources if one["name"] in before]
        others = [one for one in sources if one["name"] not in before]
        original = [one for found in before.values() for one in found.get("sources", [])]
        facts["exported_from"] = json.dumps(exports, ensure_ascii=False)
        facts["sources"] = json.dumps(_unique([*original, *others]), ensure_ascii=False)
    if "dandiset_version" in ds.attrs:
        facts["dandiset_version"] = str(ds.attrs["dandiset_version"])
    session = ds.coords.get("session_id")
    if session is not None and session.ndim == 0:
        facts["session_id"] = int(session)
    if timestamp:
        facts["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    return {PREFIX + key: value for key, value in facts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
