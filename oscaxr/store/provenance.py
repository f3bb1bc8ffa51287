"""Where exported data come from: source files with sizes and digests, session, versions."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.errors import OscaxrError, UnsafeTargetError, few
from oscaxr.files.remote import Place, RemoteFile, RemoteSource
from oscaxr.files.sources import Source, source_paths
from oscaxr.model import synthetic
from oscaxr.model.schema import DATASET_ATTRS
from oscaxr.store.layout import (
    LAYOUT,
    PREFIX,
    PROVENANCE,
    StoredGroup,
    as_plain,
    format_named,
    metadata_digest,
    provenance_from,
)
from oscaxr.store.open import existing, layout_from, opened_export
from oscaxr.store.zarr_files import DIGEST, DOCUMENT

DIGEST_BYTES: Final = 8 * 2**30
"""Source files up to this size are digested unless it is asked for or against."""

# What a store has of a group or an array: its document, and chunks.
_PART: Final = re.compile(r"(?P<node>.*?)/?(?P<part>zarr\.json|c(/\d+)*)")


class Origin:
    """The files that data come from, digested in the background until it is left."""

    def __init__(self, groups: Mapping[str, xr.Dataset], digest: bool | None) -> None:
        self.groups = groups
        self.paths = {group: source_paths(ds) for group, ds in groups.items()}
        self._pool = ThreadPoolExecutor(1)
        self._digests: dict[Path, Future[str]] = {}
        for path in {path for found in self.paths.values() for path in found}:
            if isinstance(path, Path) and path.is_file():
                status = path.stat()
                if status.st_size <= DIGEST_BYTES if digest is None else digest:
                    known = str(path), status.st_size, status.st_mtime_ns
                    self._digests[path] = self._pool.submit(_digest, *known)

    def __enter__(self) -> "Origin":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def attrs(
        self,
        group: str,
        ds: xr.Dataset,
        parameters: Mapping[str, Any],
        *,
        timestamp: bool = False,
    ) -> dict[str, Any]:
        """Return the attributes that say where exported data come from, waiting for digests."""
        sources = [self._facts(path) for path in self.paths[group]]
        is_sample = self._is_synthetic(group)
        about = {**DATASET_ATTRS, **ds.attrs, **(synthetic.ATTRS if is_sample else {})}
        facts: dict[str, Any] = {
            "version": version("oscaxr"),
            "dandiset": str(about["dandiset"]),
            "citation": str(about["references"]),
            "sources": json.dumps(sources, ensure_ascii=False),
            "parameters": json.dumps(dict(parameters), ensure_ascii=False, default=as_plain),
        }
        if before := self._earlier(group):
            exports = [one for one in sources if one["name"] in before]
            others = [one for one in sources if one["name"] not in before]
            original = [one for found in before.values() for one in found.get("sources", [])]
            facts["exported_from"] = json.dumps(exports, ensure_ascii=False)
            facts["sources"] = json.dumps(_unique([*original, *others]), ensure_ascii=False)
        if is_sample:
            facts["synthetic"] = 1
        if "dandiset_version" in ds.attrs:
            facts["dandiset_version"] = str(ds.attrs["dandiset_version"])
        session = ds.coords.get("session_id")
        if session is not None and session.ndim == 0:
            facts["session_id"] = int(session)
        if timestamp:
            facts["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        return {PREFIX + key: value for key, value in facts.items()}

    def _is_synthetic(self, group: str) -> bool:
        """Say whether anything in a group, or below it, is of a sample session."""
        return any(
            synthetic.is_synthetic(ds)
            for name, ds in self.groups.items()
            if group in ("", name) or name.startswith(f"{group}/")
        )

    def _facts(self, path: Source) -> dict[str, Any]:
        """Return name, size and digest of a file."""
        if isinstance(path, RemoteSource):
            known = {"name": path.name, "bytes": path.size, "sha256": ""}
            return known | {"url": path.url, "etag": path.etag}
        size = path.stat().st_size if path.is_file() else -1
        digest = self._digests[path].result() if path in self._digests else ""
        return {"name": path.name, "bytes": size, "sha256": digest}

    def _earlier(self, group: str) -> dict[str, Mapping[str, Any]]:
        """Return what those of the files that are exports say about where they came from."""
        encoding = self.groups[group].encoding
        known, source = encoding.get(PROVENANCE), encoding.get("source", "")
        files = [path for path in self.paths[group] if isinstance(path, Path)]
        found = {path.name: noted for path in files if (noted := _noted(path))}
        return found | ({Path(str(source)).name: known} if isinstance(known, Mapping) else {})

    def check_target(self, target: Place) -> None:
        """Refuse to replace what the data come from, and what is no export of ours."""
        live = {path for ds in self.groups.values() for path in source_paths(ds, live=True)}
        if any(_is_same(source, target) for source in live):
            raise UnsafeTargetError(
                f"{target} is what the data are still read from: saving them there would destroy "
                "them. Save to another path, or .load() them first."
            )
        known = {path for found in self.paths.values() for path in found}
        if inside := [path for path in known if _is_inside(path, target)]:
            one = inside[0].url if isinstance(inside[0], RemoteSource) else inside[0]
            raise UnsafeTargetError(
                f"{target} holds {one}, which the data come from: saving there would delete it. "
                "Save to another path."
            )
        if reason := _why_not_ours(target):
            raise UnsafeTargetError(
                f"{target} is there, and {reason}: overwrite=True replaces only what oscaxr.save "
                "wrote. Save to another path, or remove it yourself."
            )


def _is_same(source: Source, target: Place) -> bool:
    if isinstance(source, RemoteSource) or isinstance(target, RemoteFile):
        return isinstance(source, RemoteSource) and _address(source.url) == _address(target)
    return source.samefile(target)


def _is_inside(source: Source, target: Place) -> bool:
    if isinstance(source, RemoteSource) or isinstance(target, RemoteFile):
        own = source.url if isinstance(source, RemoteSource) else ""
        return own.startswith(f"{_address(target)}/") and not _is_same(source, target)
    return target in source.parents


def _address(place: object) -> str:
    return str(place).rstrip("/")


@lru_cache(maxsize=256)
def _digest(path: str, size: int, modified: int) -> str:
    """Digest a file; once for as long as its size and time of change stay the same."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(path: Path) -> dict[str, Any]:
    """Read the provenance in an export: of all its groups together; empty where it is none."""
    if format_named(path) is None:
        return {}
    try:
        with opened_export(existing(path)) as file:
            by_group = [provenance_from(file.group(group).attrs) for group in file.groups()]
    except OscaxrError:
        return {}
    sources = [one for found in by_group for one in found.get("sources", [])]
    return {"sources": _unique(sources)} if any(by_group) else {}


def _unique(sources: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(one, sort_keys=True): one for one in sources}.values())


# -- what is replaced -----------------------------------------------------------------------------
def _why_not_ours(path: Place) -> str:
    """Say why a file or folder is not, or not only, what an export wrote; empty where it is."""
    try:
        with opened_export(path) as file:
            groups = {group: file.group(group) for group in file.groups()}
            others = sorted(_others(_files_below(path), groups))
            for group, found in groups.items():
                if LAYOUT not in found.attrs:
                    return f"has a part that is no export: {group}" if group else "is no export"
                layout = layout_from(path, found)
                others += sorted(found.variables.keys() - set(layout.order))
                if found.digest and found.digest["metadata"] != metadata_digest(found.description):
                    return "was changed since it was written"
            return f"has parts that are of no export: {few(others, 5)}" if others else ""
    except OscaxrError as error:
        return f"is no export that can be read ({error})"


def _files_below(path: Place) -> list[str]:
    """Name what is in the folder of a store, but folders."""
    if isinstance(path, RemoteFile):
        from oscaxr.files.object_folder import ObjectFolder

        return [*ObjectFolder(path).sizes()]
    found = [one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()]
    return [one.relative_to(path).as_posix() for one in found]


def _others(keys: Iterable[str], groups: Mapping[str, StoredGroup]) -> Iterator[str]:
    """Name the files in the folder of a store that are none of the store."""
    arrays = {
        f"{group}/{name}".lstrip("/") for group, found in groups.items() for name in found.variables
    }
    for key in keys:
        part = _PART.fullmatch(key)
        has_document = part is not None and part["part"] == DOCUMENT and part["node"] in groups
        if not (has_document or (part is not None and part["node"] in arrays) or key == DIGEST):
            yield key
