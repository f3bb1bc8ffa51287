"""What an export is: whose, made from what, whole or not, and what would be written now or not."""

import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.atomic import files_of, newest
from oscaxr.errors import DamagedExportError, OscaxrError, listed
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.identity import Identity, known_sex, site_date, stamp_of
from oscaxr.formats.published import session_start
from oscaxr.model import names as n
from oscaxr.store.encoding import with_dtypes
from oscaxr.store.layout import JSON_FACTS, PREFIX, PROVENANCE, PathLike, layout_of, provenance_from
from oscaxr.store.open import (
    check_session,
    existing,
    layout_from,
    layouts_of,
    open_exported,
    opened_export,
    read_group,
    read_own,
)
from oscaxr.store.provenance import Origin
from oscaxr.store.writing import blocks
from oscaxr.store.zarr_files import DIGEST

_LISTED: Final = 10


# -- what an export tells of itself ---------------------------------------------------------------
def provenance_of(path: PathLike | Place) -> dict[str, Any]:
    """Return what an export says about where it came from; reads none of its data."""
    place = existing(path)
    with opened_export(place) as file:
        root = file.group("")
        layout_from(place, root)
        return provenance_from(root.attrs)


def session_identity(path: Place) -> Identity:
    """Return what an export says of its session; of anything but a session, it is an error."""
    with read_group(path, check=check_session) as ds:
        facts = {str(name): coord.values[()] for name, coord in ds.coords.items() if not coord.dims}
        day = str(ds.attrs.get("date", "")).replace("-", "")
        tracked = ds.variables.get("tracking_id")
        noted = ds.encoding.get(PROVENANCE, {})
        stated = facts.get("session_id", noted.get("session_id"))
        session_id = None if stated is None else int(stated)
        mouse_id = int(facts["mouse_id"]) if "mouse_id" in facts else None
        start = session_start(str(ds.attrs.get("session_start_time", "")), session_id, mouse_id)
        return Identity(
            session_id=session_id,
            mouse_id=mouse_id,
            start=stamp_of(start),
            date=int(day) if day.isdecimal() else site_date(start),
            sex=known_sex(str(ds.attrs.get("sex", ""))),
            line=str(facts.get("line", "")),
            n_rois=ds.sizes.get(n.ROI, -1),
            n_tracked=-1 if tracked is None else int((tracked.values >= 0).sum()),
            is_numbered={"mouse", "session"} <= set(facts),
        )


def check_complete(path: Place, *, deep: bool = False) -> None:
    """Check that all data of an export are there and, on request, that they can be read."""
    problems: list[str] = []
    layouts = layouts_of(path)
    with opened_export(existing(path)) as file:
        for group, layout in layouts.items():
            found = file.group(group)
            stored = [found.variables[name] for name in layout.order if name in found.variables]
            missing = _failures(partial(one.reader.check_all, checksums=deep) for one in stored)
            problems += missing
            if not missing:
                ds = read_own(found, path, group, (), layout)
                checked = set((found.digest or {}).get("values", ()))
                read = [v for name, v in ds.variables.items() if deep or name in checked]
                problems += _failures(partial(_read, variable) for variable in read)
    if problems:
        raise DamagedExportError(f"{path} is not whole:{listed(problems, _LISTED)}")


def _failures(checks: Iterable[Callable[[], object]]) -> list[str]:
    """Say what fails of some checks."""
    problems = []
    for check in checks:
        try:
            check()
        except OscaxrError as error:
            problems.append(str(error))
    return problems


def _read(variable: xr.Variable) -> None:
    """Read a variable block by block, and keep nothing."""
    stored_in = variable.encoding.get("preferred_chunks", variable.sizes)
    for _ in blocks(variable, tuple(stored_in.values())):
        pass


# -- whether it is what would be written now ------------------------------------------------------
def difference(ds: xr.Dataset, target: Place, dtype: str | None, *, deep: bool) -> str:
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
    target: Place,
    dtype: str | None,
    recorded: dict[str, Any],
    *,
    digest: bool | None,
) -> str:
    asked = {"variables": None, "dtype": dtype, "chunks": None, "compression": True}
    with Origin({"": ds}, digest) as origin:
        attrs = origin.attrs("", ds, asked | {"roi": None, "segments": None})
        paths = origin.paths[""]
    wanted = {key: json.loads(attrs.get(PREFIX + key, "null")) for key in JSON_FACTS}
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
    made = _written(target)
    local = [path for path in paths if isinstance(path, Path) and path.name in undigested]
    changed += [path.name for path in local if newest(path) > made]
    return f"its source has changed since: {', '.join(changed)}" if changed else ""


def n_bytes(place: Place) -> int | None:
    """Return the size of what is at a place; None where nothing is."""
    if isinstance(place, RemoteFile):
        from oscaxr.files.object_folder import ObjectFolder

        return sum(ObjectFolder(place).sizes().values()) or None
    if not os.path.lexists(place):
        return None
    return sum(path.stat().st_size for path in files_of(place) if path.is_file())


def _written(target: Place) -> int:
    """Return when an export was written, in nanoseconds."""
    if isinstance(target, RemoteFile):
        from oscaxr.files.object_folder import ObjectFolder

        return ObjectFolder(target).modified_ns(DIGEST)
    return newest(target)


def _by_name(sources: Any) -> list[dict[str, Any]]:
    return sorted(sources or [], key=lambda one: str(one["name"]))


def _is_changed(now: dict[str, Any], then: dict[str, Any]) -> bool:
    digests = now["sha256"], then["sha256"]
    return now["bytes"] != then["bytes"] or (all(digests) and digests[0] != digests[1])
