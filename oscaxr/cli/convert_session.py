"""One session for ``oscaxr convert``: written, or verified where it is there already."""

import json
import os
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.errors import OscaxrError, OscaxrWarning, TargetExistsError
from oscaxr.sessions.asked import SessionSource
from oscaxr.store.encoding import with_dtypes
from oscaxr.store.layout import PREFIX, layout_of
from oscaxr.store.open import check_complete, open_exported, provenance_of
from oscaxr.store.provenance import Source, Sources, earlier_exports, provenance_attrs, source_paths
from oscaxr.store.save import save

_COMPARED: Final = ("sources", "exported_from", "parameters")


@dataclass(frozen=True)
class Job:
    """One session to be converted; picklable."""

    found: SessionSource
    target: Path
    dtype: str | None
    overwrite: bool
    debug: bool
    verify: bool = False


@dataclass(frozen=True)
class Result:
    """What came of one session."""

    session: str
    target: str
    status: str
    bytes: int = 0
    reason: str = ""
    notes: list[str] = field(default_factory=list)


def convert_one(job: Job) -> Result:
    """Convert one session, or verify that it is converted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OscaxrWarning)
        try:
            status, reason = _convert(job), ""
        except Exception as error:
            expected = isinstance(error, OscaxrError | OSError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            if job.debug:
                reason += "\n" + traceback.format_exc()
            status = "failed"
    notes = dict.fromkeys(str(one.message) for one in caught)
    return result_of(job, status, reason=reason, notes=list(notes))


def _convert(job: Job) -> str:
    with job.found.open() as ds:
        there = os.path.lexists(job.target)
        if there:
            difference = _difference(job, ds)
            if not difference:
                return "verified"
            if not job.overwrite:
                raise TargetExistsError(
                    f"{job.target} exists already, and {difference}. --overwrite replaces it."
                )
        save(ds, job.target, dtype=job.dtype, overwrite=job.overwrite)
    return "replaced" if there else "written"


def _difference(job: Job, ds: xr.Dataset) -> str:
    """Say in what an export is not what would be written now; empty where it is the same."""
    try:
        recorded = provenance_of(job.target)
        with open_exported(job.target) as exported:
            if not isinstance(exported, xr.Dataset):
                return f"is no session, but a {type(exported).__name__}"
            difference = _structure_difference(ds, exported, job.dtype)
        check_complete(job.target, deep=job.verify)
    except OscaxrError as error:
        return f"cannot be read as a complete export ({error})"
    paths = source_paths(ds)
    # Names and sizes first: they cost nothing, while a digest reads the whole file.
    return (
        _sources_difference(ds, paths, job, recorded, digest=False)
        or difference
        or _sources_difference(ds, paths, job, recorded, digest=None)
    )


def _structure_difference(ds: xr.Dataset, exported: xr.Dataset, dtype: str | None) -> str:
    wanted, there = with_dtypes(ds, layout_of(ds), dtype), layout_of(exported)
    if set(wanted.order) != set(there.order):
        names = sorted(set(wanted.order) ^ set(there.order))
        return f"differs in what it holds: {', '.join(names)}"
    if wanted != there or dict(ds.sizes) != dict(exported.sizes):
        return "differs in dims, sizes or dtypes of its variables"
    facts = [
        str(name)
        for name, coord in ds.coords.items()
        if not coord.dims and not coord.variable.identical(exported[name].variable)
    ]
    attrs = [
        str(name)
        for name in {**ds.attrs, **exported.attrs}
        if str(ds.attrs.get(name)) != str(exported.attrs.get(name))
    ]
    changed = [*facts, *attrs]
    return f"has other facts of the session: {', '.join(changed)}" if changed else ""


def _sources_difference(
    ds: xr.Dataset, paths: list[Source], job: Job, recorded: dict[str, Any], *, digest: bool | None
) -> str:
    sources = Sources(paths, digest)
    try:
        facts = sources.facts(paths)
    finally:
        sources.close()
    asked = {"variables": None, "dtype": job.dtype, "chunks": None, "compression": True}
    attrs = provenance_attrs(
        ds, facts, asked | {"roi": None, "segments": None}, before=earlier_exports(ds, paths)
    )
    wanted = {key: json.loads(attrs.get(PREFIX + key, "null")) for key in _COMPARED}
    if wanted["parameters"] != recorded.get("parameters"):
        return f"was written with other options: {recorded.get('parameters')}"
    changed = []
    for key in ("sources", "exported_from"):
        now, then = _by_name(wanted[key]), _by_name(recorded.get(key))
        if [one["name"] for one in now] != [one["name"] for one in then]:
            names = ", ".join(one["name"] for one in then) or "nothing that is known"
            return f"was made from {names}"
        changed += [one["name"] for one, other in zip(now, then, strict=True)
                    if _is_changed(one, other)]  # fmt: skip
    # What has no digest (folders, very large files) tells by its time.
    read_now = _by_name(recorded.get("exported_from") or recorded.get("sources"))
    undigested = {one["name"] for one in read_now if not one["sha256"]}
    made = _newest(job.target)
    local = [path for path in paths if isinstance(path, Path) and path.name in undigested]
    changed += [path.name for path in local if _newest(path) > made]
    return f"its source has changed since: {', '.join(changed)}" if changed else ""


def _by_name(sources: Any) -> list[dict[str, Any]]:
    return sorted(sources or [], key=lambda one: str(one["name"]))


def _is_changed(now: dict[str, Any], then: dict[str, Any]) -> bool:
    digests = now["sha256"], then["sha256"]
    return now["bytes"] != then["bytes"] or (all(digests) and digests[0] != digests[1])


def _files(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _newest(path: Path) -> int:
    return max(one.stat().st_mtime_ns for one in _files(path))


def result_of(job: Job, status: str, *, reason: str = "", notes: Sequence[str] = ()) -> Result:
    """Return what came of a session, with the size of its export."""
    size = 0
    if status != "failed":
        size = sum(path.stat().st_size for path in _files(job.target) if path.is_file())
    return Result(job.found.name, str(job.target), status, size, reason, list(notes))
