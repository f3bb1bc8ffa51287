"""How each variable is stored: dtype, chunks, attributes. Decided here, for both file formats."""

import itertools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.errors import ExportContentError, listed
from oscaxr.model import names as n
from oscaxr.store.layout import (
    PREFIX,
    Format,
    Layout,
    convert,
    dtype_from,
    plain_attr,
    values_digest,
)

Chunks = Mapping[Hashable, Any]
Region = tuple[slice, ...]
# The variable as it is stored, its dtype in the file (None for text in zarr), attributes to add.
_Encoded = tuple[xr.Variable, np.dtype[Any] | None, dict[str, Any]]

UNCOMPRESSED_BYTES: Final = 2**12
"""Variables up to this size are not worth compressing."""

RESERVED_ATTRS: Final = frozenset(
    {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "_Encoding"}
    | {"coordinates", "dtype", "DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"}
    | {"_ARRAY_DIMENSIONS"}
)
"""Attributes of a variable that readers take for instructions, and so cannot be plain facts."""

_KINDS: Final[dict[Format, str]] = {"zarr": "biufc", "netcdf": "biuf"}
_TIME_UNITS: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_NAMES: Final[dict[Format, str]] = {"zarr": "zarr", "netcdf": "netCDF"}
_NAME_BYTES: Final = 255
_TAKEN: Final = frozenset({".", "..", "zarr.json", "oscaxr.json"})

# Measured on a real-size session (126,741 frames, 628 ROIs, float64, zstd), opening it and reading
# 89 windows of 60 frames, and the same with one whole ROI, ms of processor time: 256 x 32: 102, 43;
# 256 x 64: 88, 58; 128 x 64: 78, 72; 128 x 128: 69, 102. (From contiguous NWB: 51, 101.)
CHUNK_LENGTHS: Final = {
    n.TIME: 128,
    n.STIM_TIME: 131_072,
    n.ROI: 64,
    n.SEQUENCE: 128,
    n.SEGMENT: 4096,
    n.FLOW_SEGMENT: 64,
}
"""Length of a chunk along each dim; whole along others, as long as a chunk is not too big."""

MAX_CHUNK_BYTES: Final = 4 * 2**20
MAX_FILES: Final = 64
"""Variables of up to this many chunks have one file a chunk; others are sharded (zarr only)."""

SHARD_BYTES: Final = 16 * 2**20
SMALL_BYTES: Final = 2**20
"""Variables up to this size are one chunk."""


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
    digest: str | None = None

    @property
    def nbytes(self) -> int:
        """Size of the values, uncompressed."""
        return int(self.variable.size) * (self.dtype.itemsize if self.dtype is not None else 8)

    @property
    def compressed(self) -> bool:
        """Whether compressing it is worth while."""
        return self.dtype is not None and self.nbytes > UNCOMPRESSED_BYTES


def prepare(
    ds: xr.Dataset,
    layout: Layout,
    file_format: Format,
    chunks: Chunks | None = None,
    *,
    sharded: bool = True,
) -> list[Stored]:
    """Decide how the variables of a Dataset are stored; all that is wrong is one error."""
    wrong = list(_problems_of_chunks(ds, chunks or {}))
    problems = [*_problems_of_names(ds, file_format), *_problems_of_attrs(ds, file_format), *wrong]
    stored = []
    coords = _auxiliary(ds)
    for key, variable in ds.variables.items():
        name, digest = str(key), None
        try:
            found, dtype, extra = _encoded(name, variable, layout.dtypes[name], file_format)
            letters = [_letters_dim(width, ds.sizes) for width in found.dims[variable.ndim :]]
            if letters:
                found.dims = (*variable.dims, *letters)
        except ExportContentError as error:
            problems.append(str(error))
            continue
        attrs = {str(k): plain_attr(v) for k, v in variable.attrs.items()} | extra
        beside = [c for c, dims in coords.items() if c != name and dims <= set(variable.dims)]
        if key in ds.data_vars and beside:
            attrs["coordinates"] = " ".join(beside)
        if variable.dtype.kind in "OUTS" and variable.size:
            digest = values_digest(convert(variable.values, layout.dtypes[name]))
        lengths = {} if wrong else _lengths(name, chunks or {})
        itemsize = dtype.itemsize if dtype is not None else 16
        shape = choose_chunks(found, itemsize, lengths)
        shards = choose_shards(found.shape, shape, itemsize) if sharded else None
        chosen = bool(set(lengths) & set(variable.dims))
        stored.append(Stored(name, found, dtype, attrs, shape, shards, chosen, digest))
    if problems:
        raise ExportContentError(
            f"cannot save this so that it comes back as it is:{listed(problems)}"
        )
    return stored


def as_stored(values: Array, dtype: np.dtype[Any] | None) -> Array:
    """Return values in the dtype that they have in the file."""
    if dtype is None:
        return values.astype(object)
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
    floating = [key for key, variable in ds.data_vars.items() if variable.dtype.kind == "f"]
    try:
        given = dtype if isinstance(dtype, Mapping) else dict.fromkeys(floating, np.dtype(dtype))
        wanted = {str(key): np.dtype(value) for key, value in given.items()}
    except (TypeError, ValueError) as error:
        raise ExportContentError(f"dtype={dtype!r}: {error}. Give e.g. 'float32'.") from error
    problems = [f"no data variable {key}" for key in wanted if key not in ds.data_vars]
    problems += [
        f"cannot change {key} from {ds[key].dtype} to {value}"
        for key, value in wanted.items()
        if key in ds.data_vars and (value.kind != "f" or ds[key].dtype.kind not in "fiu")
    ]
    if problems:
        raise ExportContentError(
            f"dtype={dtype!r}: {'; '.join(problems)}. Only numeric data variables change, and to a "
            "floating-point dtype."
        )
    return replace(layout, dtypes=layout.dtypes | {key: value.str for key, value in wanted.items()})


def _auxiliary(ds: xr.Dataset) -> dict[str, set[Hashable]]:
    """Return the coordinates that are not named like their only dim, with their dims."""
    return {str(c): set(v.dims) for c, v in ds.coords.items() if v.dims != (c,)}


def _encoded(name: str, variable: xr.Variable, dtype_name: str, file_format: Format) -> _Encoded:
    """Return a variable as it is stored, or refuse one that would not come back."""
    dtype = dtype_from(dtype_name)
    if not isinstance(variable.dtype, np.dtype):
        raise ExportContentError(
            f"{name} has the pandas dtype {variable.dtype}: convert it with .astype first"
        )
    if dtype.kind in "mM":
        return variable, np.dtype(np.int64), _time_attrs(name, variable, dtype)
    if dtype.kind == "S":
        return (variable, dtype, {}) if file_format == "zarr" else _as_characters(variable, {})
    if dtype.kind == "O":
        found = pd.api.types.infer_dtype(np.ravel(variable.values), skipna=False)
        if found not in ("string", "empty"):
            raise ExportContentError(f"{name} has objects ({found}) that are not all strings")
    if dtype.kind in "OUT":
        for text in np.ravel(variable.values).tolist():
            if reason := unfit_text(text, file_format):
                raise ExportContentError(f"{name} has the text {text!r}, which {reason}")
        # (Strings of any length are slow in HDF5, cannot be compressed, and with netCDF-C 4.10.1 a
        # file with many of them crashes the process that opens it twice.)
        encoded = {"_Encoding": "utf-8"}
        return (variable, None, {}) if file_format == "zarr" else _as_characters(variable, encoded)
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
    since = f"{_TIME_UNITS[unit]} since 1970-01-01T00:00:00"
    return {"units": since, "calendar": "proleptic_gregorian"}


def _as_characters(variable: xr.Variable, attrs: dict[str, Any]) -> _Encoded:
    """Return text as netCDF keeps it: characters along one more dim, named by its length yet."""
    characters = as_characters(variable.values)
    dims = (*variable.dims, characters.shape[-1])
    return xr.Variable(dims, characters, variable.attrs), np.dtype("S1"), attrs


def _letters_dim(width: Hashable, taken: Mapping[Hashable, int]) -> str:
    """Return the dim of so many letters: a reader finds one a length, and no dim of the data."""
    names = (f"string{width}{'_' * k}" for k in itertools.count())
    return next(name for name in names if name not in taken)


def as_characters(values: Array, width: int = 0) -> Array:
    """Return text as characters, of the width that is given or is needed, along one more dim."""
    text = np.asarray(values)
    if text.dtype.kind != "S":
        text = np.strings.encode(text.astype(object).astype(np.str_), "utf-8")
    width = width or max(1, text.dtype.itemsize)
    return text.astype(f"S{width}")[..., np.newaxis].view("S1")


# -- chunks ----------------------------------------------------------------------------------------
def _lengths(name: str, chunks: Chunks) -> dict[Hashable, int]:
    """Return the lengths that are asked for one variable."""
    of_all = {dim: length for dim, length in chunks.items() if not isinstance(length, Mapping)}
    own = chunks.get(name)
    return of_all | dict(own) if isinstance(own, Mapping) else of_all


def choose_chunks(
    variable: xr.Variable, itemsize: int, lengths: Mapping[Hashable, int]
) -> tuple[int, ...]:
    """Choose the shape of the chunks of a variable."""
    whole = {dim: max(1, size) for dim, size in variable.sizes.items()}
    found = dict(whole)
    if math.prod(whole.values()) * itemsize > SMALL_BYTES:
        found = {dim: min(size, CHUNK_LENGTHS.get(str(dim), size)) for dim, size in whole.items()}
    for dim in whole.keys() & lengths.keys():
        found[dim] = whole[dim] if lengths[dim] == -1 else min(whole[dim], int(lengths[dim]))
    free = [dim for dim in variable.dims if dim not in lengths]
    while free and math.prod(found.values()) * itemsize > MAX_CHUNK_BYTES:
        longest = max(free, key=lambda dim: (found[dim] > 1, dim in CHUNK_LENGTHS, found[dim]))
        if found[longest] == 1:
            break
        found[longest] = -(-found[longest] // 2)
    return tuple(found.values())


def choose_shards(
    shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int
) -> tuple[int, ...] | None:
    """Choose how many chunks share a file, so that there are few files."""
    counts = [-(-size // length) for size, length in zip(shape, chunks, strict=True)]
    chunk_bytes = math.prod(chunks) * itemsize
    if math.prod(counts) <= MAX_FILES or chunk_bytes > SHARD_BYTES // 2:
        return None
    together = [1] * len(counts)
    # From the last dim on: what is together in a shard is together in the array too.
    for axis in reversed(range(len(counts))):
        room = SHARD_BYTES // (chunk_bytes * math.prod(together))
        together[axis] = max(1, min(counts[axis], room))
    return tuple(length * count for length, count in zip(chunks, together, strict=True))


# -- what would not come back as it is ------------------------------------------------------------
def _problems_of_names(ds: xr.Dataset, file_format: Format) -> Iterator[str]:
    """Say what is wrong with names and indexes."""
    for key in dict.fromkeys([*ds.variables, *ds.dims]):
        if reason := _unfit_name(key, file_format):
            yield f"the name {key!r} {reason}"
        elif key in ds.coords and " " in str(key):
            yield f"the name of the coordinate {key!r} has spaces"
    for index, coords in ds.xindexes.group_by_index():
        kind = type(index)
        if not isinstance(index, xr.indexes.PandasIndex) or kind is xr.indexes.PandasMultiIndex:
            listed = ", ".join(map(str, coords))
            yield f"the index of {listed} is a {kind.__name__}: use .reset_index first"


def _unfit_name(name: Any, file_format: Format) -> str:
    """Say why a file cannot have a name; empty where it can."""
    if not isinstance(name, str):
        return "is not a string"
    if "/" in name or not name.strip():
        return "would be taken for a path"
    if reason := unfit_text(name, file_format):
        return reason
    if "\0" in name:
        return "has a NUL character, which no name of a file has"
    if len(name.encode()) > _NAME_BYTES:
        return f"is longer than {_NAME_BYTES} bytes"
    if file_format == "zarr":
        return "means something else to zarr" if name in _TAKEN else ""
    return unfit_for_netcdf(name)


def unfit_for_netcdf(name: str) -> str:
    """Say why netCDF cannot have a name, also of an attribute; empty where it can."""
    first = name[:1]
    if not (first == "_" or first > "\x7f" or (first.isascii() and first.isalnum())):
        return "does not begin with a letter, a digit or an underscore, as netCDF wants"
    if name != name.rstrip(" ") or any(char < " " or char in "/\x7f" for char in name):
        return "has a slash, a control character or a space at its end, as netCDF refuses"
    return ""


def unfit_text(text: Any, file_format: Format) -> str:
    """Say why a file cannot give a text back as it is; empty where it can."""
    if not isinstance(text, str):
        return "is none: a gap, for which files have no text"
    if file_format == "netcdf" and "\0" in text:
        return "has a NUL character, at which netCDF ends a text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is no character"
    return ""


def _problems_of_attrs(ds: xr.Dataset, file_format: Format) -> Iterator[str]:
    """Say what is wrong with attributes."""
    holders: dict[str, Mapping[Any, Any]] = {"the Dataset": ds.attrs}
    holders |= {str(key): variable.attrs for key, variable in ds.variables.items()}
    for owner, attrs in holders.items():
        for key, value in attrs.items():
            if reason := _unfit_attr(key, value, file_format):
                yield f"{owner} has the attribute {key!r}{reason}"


def _unfit_attr(key: Any, value: Any, file_format: Format) -> str:
    if not isinstance(key, str):
        return ", the name of which is not a string"
    if key.startswith(PREFIX):
        return (
            ", which an export adds itself: open exports with oscaxr, not with plain xarray, "
            "before saving them again"
        )
    if key in RESERVED_ATTRS:
        return ", which tells readers to decode"
    if plain_attr(value) is None:
        what = "only text, numbers and lists of them can be attributes"
        return f" of type {type(value).__name__}: {what}"
    texts = (key, value, *(value if isinstance(value, list | tuple) else ()))
    reasons = [unfit_text(text, file_format) for text in texts if isinstance(text, str)]
    reasons += [unfit_for_netcdf(key)] if file_format == "netcdf" else []
    return next((f", which {reason}" for reason in reasons if reason), "")


def _problems_of_chunks(ds: xr.Dataset, chunks: Chunks) -> Iterator[str]:
    """Say what is wrong with the chunks that are asked for."""
    for key, value in chunks.items():
        if isinstance(value, Mapping) and key not in ds.variables:
            yield f"chunks: there is no variable {key!r}"
        for dim, length in (value if isinstance(value, Mapping) else {key: value}).items():
            if dim not in ds.dims:
                there = ", ".join(map(str, ds.dims))
                yield f"chunks: there is no dim {dim!r}; there are {there}"
            if not isinstance(length, int | np.integer) or (length < 1 and length != -1):
                yield f"chunks: {dim!r} has length {length!r}; it is 1 or more, or -1"
