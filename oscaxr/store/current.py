"""Whether an export is what would be written now: same sources, options, variables and facts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.errors import OscaxrError
from oscaxr.store.encoding import with_dtypes
from oscaxr.store.layout import PREFIX, layout_of
from oscaxr.store.open import check_complete, open_exported, provenance_of
from oscaxr.store.provenance import Source, Sources, earlier_exports, provenance_attrs, source_paths

_COMPARED: Final = ("sources", "exported_from", "parameters")


def difference(ds: xr.Dataset, target: Path, dtype: str | None, *, deep: bool) -> str:
    """Say in what an export is not what would be written now; empty where it is the same."""
    try:
        recorded = provenance_of(target)
        with open_exported(target) as exported:
            if not isinstance(exported, xr.Dataset):
                return f"is no session, but a {type(exported).__name__}"
            found = _of_structure(ds, exported, dtype)
        check_complete(target, deep=deep)
    except OscaxrError as error:
        return f"cannot be read as a complete export ({error})"
    # Names and sizes first: they cost nothing, while a digest reads the whole file.
    return (
        _of_sources(ds, target, dtype, recorded, digest=False)
        or found
        or _of_sources(ds, target, dtype, recorded, digest=None)
    )


def files_of(path: Path) -> Iterator[Path]:
    """Give a file or folder, and all that is in it."""
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _of_structure(ds: xr.Dataset, exported: xr.Dataset, dtype: str | None) -> str:
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


def _of_sources(
    ds: xr.Dataset,
    target: Path,
    dtype: str | None,
    recorded: dict[str, Any],
    *,
    digest: bool | None,
) -> str:
    paths = source_paths(ds)
    wanted = _provenance(ds, paths, dtype, digest)
    if wanted["parameters"] != recorded.get("parameters"):
        return f"was written with other options: {recorded.get('parameters')}"
    changed = []
    for key in ("sources", "exported_from"):
        now, then = _by_name(wanted[key]), _by_name(recorded.get(key))
        if [one["name"] for one in now] != [one["name"] for one in then]:
            names = ", ".join(one["name"] for one in then) or "nothing that is known"
            return f"was made from {names}"
        pairs = zip(now, then, strict=True)
        changed += [one["name"] for one, other in pairs if _is_changed(one, other)]
    # What has no digest (folders, very large files) tells by its time.
    read_now = _by_name(recorded.get("exported_from") or recorded.get("sources"))
    undigested = {one["name"] for one in read_now if not one["sha256"]}
    made = _newest(target)
    local = [path for path in paths if isinstance(path, Path) and path.name in undigested]
    changed += [path.name for path in local if _newest(path) > made]
    return f"its source has changed since: {', '.join(changed)}" if changed else ""


def _provenance(
    ds: xr.Dataset, paths: list[Source], dtype: str | None, digest: bool | None
) -> dict[str, Any]:
    """Return what an export that is written now would say of its origin."""
    sources = Sources(paths, digest)
    try:
        facts = sources.facts(paths)
    finally:
        sources.close()
    asked = {"variables": None, "dtype": dtype, "chunks": None, "compression": True}
    attrs = provenance_attrs(
        ds, facts, asked | {"roi": None, "segments": None}, before=earlier_exports(ds, paths)
    )
    return {key: json.loads(attrs.get(PREFIX + key, "null")) for key in _COMPARED}


def _by_name(sources: Any) -> list[dict[str, Any]]:
    return sorted(sources or [], key=lambda one: str(one["name"]))


def _is_changed(now: dict[str, Any], then: dict[str, Any]) -> bool:
    digests = now["sha256"], then["sha256"]
    return now["bytes"] != then["bytes"] or (all(digests) and digests[0] != digests[1])


def _newest(path: Path) -> int:
    return max(one.stat().st_mtime_ns for one in files_of(path))
