"""What a picture can be made of: kinds of object, dims, one quantity on an axis."""

from collections.abc import Iterable
from typing import Any, TypeVar

import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, OscaxrError
from oscaxr.model import names as n
from oscaxr.select.alignment import session_items

Kind = TypeVar("Kind")


class PlotInputError(OscaxrError, TypeError):
    """A picture was asked of an object that it cannot be made of."""


def require_kind(given: object, kind: type[Kind] | tuple[type[Kind], ...], wanted: str) -> Kind:
    """Return what was given if it is of the kind that a picture needs."""
    if not isinstance(given, kind):
        raise PlotInputError(f"this picture needs {wanted}; it was given: {type(given).__name__}")
    return given


def roi_dim(data: xr.DataArray | xr.Dataset) -> str:
    """Return the dim of the ROIs."""
    for dim in (n.ROI, n.TRACKING_ID):
        if dim in data.dims:
            return dim
    raise MissingVariableError(
        f"the data have the dims {[str(dim) for dim in data.dims]}, none of them of ROIs "
        f"({n.ROI!r} or {n.TRACKING_ID!r})"
    )


def sessions_in(given: Any) -> list[xr.Dataset]:
    """Return the sessions that were given together."""
    wanted = "several sessions: a list of them, or a tree (oscaxr.open_sessions)"
    if isinstance(given, xr.Dataset | xr.DataArray | str) or not isinstance(given, Iterable):
        raise PlotInputError(f"this picture needs {wanted}; it was given: {type(given).__name__}")
    return [require_kind(ds, xr.Dataset, wanted) for _, ds in session_items(given)]


def require_numbers(data: xr.DataArray) -> None:
    """Make sure that data are numbers."""
    if data.dtype.kind not in "fiub":
        raise PlotInputError(
            f"this picture needs numbers; {data.name!r} has the dtype {data.dtype}"
        )


def require_rel_time(data: xr.DataArray | xr.Dataset) -> None:
    """Make sure that data run over ``rel_time``."""
    if n.REL_TIME not in data.dims:
        raise MissingVariableError(
            f"the data have the dims {[str(dim) for dim in data.dims]}; this picture is over "
            f"{n.REL_TIME!r}. Take sequences first: ds.osca.sequences(...)"
        )


def require_variables(ds: xr.Dataset, names: Iterable[str], picture: str) -> None:
    """Make sure that a session has what a picture shows."""
    missing = [name for name in names if name not in ds.variables]
    if missing:
        session = f"session {int(ds['session_id'])}" if "session_id" in ds.coords else "here"
        where = session if session == "here" else f"in {session}"
        raise MissingVariableError(
            f"{picture} cannot be drawn: there is no {', '.join(map(repr, missing))} {where}"
        )


def require_one_quantity(labels: Iterable[tuple[str, str]]) -> None:
    """Make sure that what shares an axis is one quantity in one unit."""
    known = [(name, label) for name, label in labels if label]
    if len({label for _, label in known}) > 1:
        listed = ", ".join(f"{name!r} is {label}" for name, label in known)
        raise CriterionError(
            f"these do not share an axis: {listed}. Draw them on axes of their own."
        )
