"""How each variable is stored: dtype, chunks, attributes. Decided here, for both file formats."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import ExportContentError
from oscaxr.store.chunking import choose_chunks, choose_shards
from oscaxr.store.layout import TEXT_DIM, Layout, dtype_from, plain_attr
from oscaxr.store.problems import (
    problems_of_attrs,
    problems_of_chunks,
    problems_of_names,
    unfit_text,
)

Array = np.ndarray[Any, Any]
Format = Literal["zarr", "netcdf"]
Chunks = Mapping[Hashable, Any]

UNCOMPRESSED_BYTES: Final = 2**12
"""Variables up to this size are not worth compressing."""

_KINDS: Final[dict[Format, str]] = {"zarr": "biufc", "netcdf": "biuf"}
_TIME_UNITS: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_NAMES: Final[dict[Format, str]] = {"zarr": "zarr", "netcdf": "netCDF"}


@dataclass(frozen=True)
class Stored:
    """One variable, and how it is to be stored."""

    name: str
    variable: xr.Variable
    dtype: np.dtype[Any] | None
    attrs: dict[str, Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    chosen: bool = False

    @property
    def nbytes(self) -> int:
        """Size of the values, uncompressed."""
        return int(self.variable.size) * (self.dtype.itemsize if self.dtype is not None else 8)

    @property
    def compressed(self) -> bool:
        """Whether compressing it is worth while."""
        return self.dtype is not None and self.nbytes > UNCOMPRESSED_BYTES


def prepare(
    ds: xr.Dataset, layout: Layout, file_format: Format, chunks: Chunks | None = None
) -> list[Stored]:
    """Decide how the variables of a Dataset are stored."""
    problems = problems_of_names(ds, file_format) + problems_of_attrs(ds, file_format)
    if wrong := problems_of_chunks(ds, chunks):
        # What else is wrong is found without them.
        problems, chunks = problems + wrong, None
    stored = []
    coords = _auxiliary(ds)
    for key, variable in ds.variables.items():
        name = str(key)
        try:
            variable, dtype, extra = _encoded(name, variable, layout.dtypes[name], file_format)
        except ExportContentError as error:
            problems.append(str(error))
            continue
        attrs = {str(k): plain_attr(v) for k, v in variable.attrs.items()} | extra
        beside = [c for c, dims in coords.items() if c != name and dims <= set(variable.dims)]
        if key in ds.data_vars and beside:
            attrs["coordinates"] = " ".join(beside)
        lengths = _lengths(name, chunks)
        itemsize = dtype.itemsize if dtype is not None else 16
        shape = choose_chunks(variable, itemsize, lengths)
        shards = choose_shards(variable.shape, shape, itemsize) if file_format == "zarr" else None
        chosen = bool(set(lengths) & set(variable.dims))
        stored.append(Stored(name, variable, dtype, attrs, shape, shards, chosen))
    if problems:
        raise ExportContentError(
            "cannot save this so that it comes back as it is:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )
    return stored


def as_stored(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in the dtype that they have in the file."""
    if values.dtype.kind in "mM":
        values = values.astype(values.dtype.newbyteorder("=")).view(np.int64)
    return values.astype(dtype, copy=False)


def group_attrs(ds: xr.Dataset, stored: list[Stored]) -> dict[str, Any]:
    """Return the attributes of a Dataset as they are stored."""
    attrs = {str(key): plain_attr(value) for key, value in ds.attrs.items()}
    named = {c for one in stored for c in str(one.attrs.get("coordinates", "")).split()}
    alone = [name for name in _auxiliary(ds) if name not in named]
    return attrs | ({"coordinates": " ".join(alone)} if alone else {})


def with_dtypes(
    ds: xr.Dataset, layout: Layout, dtype: Any | Mapping[Hashable, Any] | None
) -> Layout:
    """Note the dtypes that data variables are to be stored in."""
    if dtype is None:
        return layout
    if isinstance(dtype, Mapping):
        wanted = {str(key): np.dtype(value) for key, value in dtype.items()}
        unknown = [key for key in wanted if key not in ds.data_vars]
    else:
        unknown = []
        wanted = {
            str(key): np.dtype(dtype) for key, v in ds.data_vars.items() if v.dtype.kind == "f"
        }
    wrong = [
        f"{key} from {ds[key].dtype} to {value}"
        for key, value in wanted.items()
        if key not in unknown and (value.kind != "f" or ds[key].dtype.kind not in "fiu")
    ]
    if unknown or wrong:
        raise ExportContentError(
            f"dtype={dtype!r}: "
            + "; ".join(
                ([f"no data variable {', '.join(unknown)}"] if unknown else [])
                + ([f"cannot change {', '.join(wrong)}"] if wrong else [])
            )
            + ". Only numeric data variables change, and to a floating-point dtype."
        )
    return replace(layout, dtypes=layout.dtypes | {key: value.str for key, value in wanted.items()})


def _auxiliary(ds: xr.Dataset) -> dict[str, set[Hashable]]:
    """Return the coordinates that are not named like their only dim, with their dims."""
    return {str(c): set(v.dims) for c, v in ds.coords.items() if v.dims != (c,)}


def _encoded(
    name: str, variable: xr.Variable, dtype_name: str, file_format: Format
) -> tuple[xr.Variable, np.dtype[Any] | None, dict[str, Any]]:
    """Return a variable, its dtype in the file (None for strings) and attributes to add."""
    dtype = dtype_from(dtype_name)
    if not isinstance(variable.dtype, np.dtype):
        raise ExportContentError(
            f"{name} has the pandas dtype {variable.dtype}: convert it with .astype first"
        )
    if dtype.kind in "mM":
        return variable, np.dtype(np.int64), _time_attrs(name, variable, dtype)
    if dtype.kind in "UT":
        return _text(name, variable, file_format)
    if dtype.kind == "O":
        found = pd.api.types.infer_dtype(np.ravel(variable.values), skipna=False)
        if found not in ("string", "empty"):
            raise ExportContentError(f"{name} has objects ({found}) that are not all strings")
        return _text(name, variable, file_format)
    if dtype.kind not in _KINDS[file_format] or dtype.itemsize > 8 * (1 + (dtype.kind == "c")):
        raise ExportContentError(f"{name} has dtype {dtype}, which {_NAMES[file_format]} has not")
    if file_format == "netcdf" and dtype.kind == "b":
        return variable, np.dtype(np.int8), {"dtype": "bool"}
    if file_format == "netcdf" and dtype == np.float16:
        return variable, np.dtype(np.float32), {}
    return variable, dtype.newbyteorder("="), {}


def _time_attrs(name: str, variable: xr.Variable, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the attributes that let readers decode counts of time units."""
    unit, count = np.datetime_data(dtype)
    taken = {"units", "calendar"} & set(variable.attrs)
    if unit not in _TIME_UNITS or count != 1 or taken:
        raise ExportContentError(
            f"{name} has dtype {dtype} and the attributes {sorted(map(str, variable.attrs))}: the "
            f"unit of times is one of {', '.join(_TIME_UNITS)}, and not noted in attributes too"
        )
    if dtype.kind == "m":
        return {"units": _TIME_UNITS[unit], "dtype": f"timedelta64[{unit}]"}
    return {
        "units": f"{_TIME_UNITS[unit]} since 1970-01-01T00:00:00",
        "calendar": "proleptic_gregorian",
    }


def _text(
    name: str, variable: xr.Variable, file_format: Format
) -> tuple[xr.Variable, np.dtype[Any] | None, dict[str, Any]]:
    """Return text as it is stored: zarr keeps strings, netCDF characters along one more dim."""
    # (Strings of any length are slow in HDF5, cannot be compressed, and with netCDF-C 4.10.1 a file
    # with many of them crashes the process that opens it twice.)
    for text in np.ravel(variable.values).tolist():
        if reason := unfit_text(text, file_format):
            raise ExportContentError(f"{name} has the text {text!r}, which {reason}")
    if file_format == "zarr":
        return variable, None, {}
    text = np.strings.encode(np.asarray(variable.values).astype(object).astype(np.str_), "utf-8")
    width = max(1, text.dtype.itemsize)
    characters = text.astype(f"S{width}")[..., np.newaxis].view("S1")
    dims = (*variable.dims, f"{TEXT_DIM}{width}")
    return xr.Variable(dims, characters, variable.attrs), np.dtype("S1"), {"_Encoding": "utf-8"}


def _lengths(name: str, chunks: Chunks | None) -> dict[Hashable, int]:
    """Return the lengths that are asked for one variable."""
    found = {
        dim: int(length)
        for dim, length in (chunks or {}).items()
        if not isinstance(length, Mapping)
    }
    return found | dict(
        (chunks or {}).get(name, {}) if isinstance((chunks or {}).get(name), Mapping) else {}
    )
