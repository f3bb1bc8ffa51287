"""An export as one of the places where a session lies: whose it is, and how it is opened."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from oscaxr.errors import MissingVariableError, NoSessionError
from oscaxr.formats.identity import Identity, known_sex, site_date, utc_stamp, with_table
from oscaxr.model import names as n
from oscaxr.model.facts import FACT_BY_NAME
from oscaxr.options import parts_of
from oscaxr.store.layout import PROVENANCE, Layout
from oscaxr.store.open import read_group

# By which variable each heavy part is known.
_PART_VARIABLES = {"squares": "square_x", "templates": "template_", "movie": n.MOVIE}


def session_identity(path: Path) -> Identity:
    """Return what an export says of its session; of anything but a session, it is an error."""
    with read_group(path, check=_check_session) as ds:
        facts = {str(name): coord.values[()] for name, coord in ds.coords.items() if not coord.dims}
        start = utc_stamp(str(ds.attrs.get("session_start_time", "")))
        day = str(ds.attrs.get("date", "")).replace("-", "")
        tracked = ds.variables.get("tracking_id")
        noted = ds.encoding.get(PROVENANCE, {})
        stated = facts.get("session_id", noted.get("session_id"))
        return Identity(
            session_id=None if stated is None else int(stated),
            mouse_id=int(facts["mouse_id"]) if "mouse_id" in facts else None,
            start=start,
            date=int(day) if day.isdecimal() else site_date(start),
            sex=known_sex(str(ds.attrs.get("sex", ""))),
            line=str(facts.get("line", "")),
            n_rois=ds.sizes.get(n.ROI, -1),
            n_tracked=-1 if tracked is None else int((tracked.values >= 0).sum()),
            is_numbered={"mouse", "session"} <= set(facts),
        )


def open_session_export(
    path: Path,
    *,
    include: str | Collection[str] = (),
    drop_variables: Collection[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open an export of a session, with the facts of the session table if there are any."""
    ds = read_group(path, drop_variables=drop_variables, check=_check_session)
    try:
        wanted, is_strict = parts_of(include)
        missing = [
            part
            for part in wanted
            if not any(str(name).startswith(_PART_VARIABLES[part]) for name in ds.variables)
        ]
        if missing and is_strict:
            raise MissingVariableError(
                f"include={include!r}: {path} holds no {', '.join(missing)}: an export has what "
                "was saved. Open the session's own files with it, and save that."
            )
        return ds if facts is None else _with_facts(ds, facts, drop_variables)
    except BaseException:
        ds.close()
        raise


def _check_session(path: Path, layout: Layout) -> None:
    """Refuse other exports than those of a session."""
    if layout.kind != "Dataset" or not any(n.SEGMENT in dims for dims in layout.dims.values()):
        raise NoSessionError(
            f"{path} holds a {layout.kind} that is no session: open it with oscaxr.open_exported"
        )


def _with_facts(ds: xr.Dataset, row: Mapping[str, Any], dropped: Collection[str]) -> xr.Dataset:
    """Add the facts of the session table to an export, as to a session's other files."""
    own = {name: ds[name].item() for name in ("session_id", "mouse_id") if name in ds.coords}
    coords, attrs = with_table(str(ds.encoding.get("source")), own, {}, row)
    with_facts = ds.assign_coords(
        {
            name: xr.Variable((), value, FACT_BY_NAME[name].attrs)
            for name, value in coords.items()
            if name not in dropped
        }
    ).assign_attrs(attrs)
    with_facts.encoding = ds.encoding
    with_facts.set_close(ds.close)
    return with_facts
