"""What keeps a Dataset from coming back as it is: found before anything is written."""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.store.layout import PREFIX, RESERVED_ATTRS, plain_attr

_NAME_BYTES: Final = 255
_TAKEN: Final = frozenset({".", "..", "zarr.json"})


def problems_of_names(ds: xr.Dataset, file_format: str) -> list[str]:
    """Return what is wrong with names and indexes."""
    every = [*ds.variables, *(dim for dim in ds.dims if dim not in ds.variables), *ds.attrs]
    problems = [f"the name {key!r} is not a string" for key in every if not isinstance(key, str)]
    problems += [
        f"the name {key!r} would be taken for a path"
        for key in dict.fromkeys([*ds.variables, *ds.dims])
        if isinstance(key, str) and ("/" in key or not key.strip())
    ]
    problems += [
        f"the name {key!r} {reason}"
        for key in dict.fromkeys([*ds.variables, *ds.dims])
        if isinstance(key, str) and (reason := _unfit_name(key, file_format))
    ]
    problems += [
        f"the name of the coordinate {key!r} has spaces"
        for key in ds.coords
        if isinstance(key, str) and " " in key
    ]
    for index, coords in ds.xindexes.group_by_index():
        if not isinstance(index, xr.indexes.PandasIndex) or isinstance(
            index, xr.indexes.PandasMultiIndex
        ):
            listed = ", ".join(map(str, coords))
            problems.append(
                f"the index of {listed} is a {type(index).__name__}: use .reset_index first"
            )
    return problems


def _unfit_name(name: str, file_format: str) -> str:
    """Say why a file cannot have a name; empty where it can."""
    if reason := unfit_text(name, file_format):
        return reason
    if "\0" in name:
        return "has a NUL character, which no name of a file has"
    if len(name.encode()) > _NAME_BYTES:
        return f"is longer than {_NAME_BYTES} bytes"
    if file_format == "zarr" and name in _TAKEN:
        return "means something else to zarr"
    return unfit_for_netcdf(name) if file_format == "netcdf" else ""


def unfit_for_netcdf(name: str) -> str:
    """Say why netCDF cannot have a name, also of an attribute; empty where it can."""
    first = name[:1]
    if not (first == "_" or first > "\x7f" or (first.isascii() and first.isalnum())):
        return "does not begin with a letter, a digit or an underscore, as netCDF wants"
    if name != name.rstrip(" ") or any(char < " " or char in "/\x7f" for char in name):
        return "has a slash, a control character or a space at its end, as netCDF refuses"
    return ""


def unfit_text(text: str, file_format: str) -> str:
    """Say why a file cannot give a text back as it is; empty where it can."""
    if file_format == "netcdf" and "\0" in text:
        return "has a NUL character, at which netCDF ends a text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is no character"
    return ""


def problems_of_attrs(ds: xr.Dataset, file_format: str) -> list[str]:
    """Return what is wrong with attributes."""
    problems = []
    holders: dict[str, Mapping[Any, Any]] = {"the Dataset": ds.attrs}
    holders |= {str(key): variable.attrs for key, variable in ds.variables.items()}
    for owner, attrs in holders.items():
        for key, value in attrs.items():
            if str(key).startswith(PREFIX):
                problems.append(
                    f"{owner} has the attribute {key!r}, which an export adds itself: open exports "
                    "with oscaxr, not with plain xarray, before saving them again"
                )
            elif key in RESERVED_ATTRS:
                problems.append(f"{owner} has the attribute {key!r}, which tells readers to decode")
            elif plain_attr(value) is None:
                problems.append(
                    f"{owner} has the attribute {key!r} of type {type(value).__name__}: only text, "
                    "numbers and lists of them can be attributes"
                )
            elif file_format == "netcdf" and (reason := unfit_for_netcdf(str(key))):
                problems.append(f"{owner} has the attribute {key!r}, which {reason}")
            texts = (key, value, *(value if isinstance(value, list | tuple) else ()))
            problems += [
                f"{owner} has the attribute {key!r}, which {reason}"
                for text in texts
                if isinstance(text, str) and (reason := unfit_text(text, file_format))
            ]
    return problems


def problems_of_chunks(ds: xr.Dataset, chunks: Mapping[Hashable, Any] | None) -> list[str]:
    """Return what is wrong with the chunks that are asked for."""
    problems = []
    for key, value in (chunks or {}).items():
        lengths = value if isinstance(value, Mapping) else {key: value}
        if isinstance(value, Mapping) and key not in ds.variables:
            problems.append(f"chunks: there is no variable {key!r}")
        for dim, length in lengths.items():
            if dim not in ds.dims:
                problems.append(
                    f"chunks: there is no dim {dim!r}; there are {', '.join(map(str, ds.dims))}"
                )
            if not isinstance(length, int | np.integer) or (length < 1 and length != -1):
                problems.append(f"chunks: {dim!r} has length {length!r}; it is 1 or more, or -1")
    return problems
