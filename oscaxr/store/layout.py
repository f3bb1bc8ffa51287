"""What an export notes about itself, so that it comes back identical.

Files know fewer types than a Dataset: netCDF has neither booleans nor fixed-width strings, and its
attributes come back as numpy scalars. An export is written in the form that any reader of zarr or
netCDF understands, and carries one attribute, the *layout*, that says what each part was before.
Attributes that an export adds all begin with :data:`PREFIX`; they are taken off when it is opened.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

import numpy as np
import xarray as xr
from xarray.indexes import PandasIndex

from oscaxr.arrays.lazy import (
    Array,
    ArrayReader,
    AxisIndex,
    Once,
    OrthogonalArray,
    Reader,
    read_whole,
)
from oscaxr.errors import DamagedExportError, few

PREFIX: Final = "oscaxr_"
"""First letters of the attributes that an export adds."""

LAYOUT: Final = PREFIX + "layout"
"""Attribute that holds the layout, as JSON; one a group."""

FORMAT: Final = 2
"""Version of the layout; a reader refuses those that are newer than it knows. 1 had no digest."""

DIGESTED_BYTES: Final = 64 * 2**10
"""Size up to which the values of a variable are part of the digest."""

PROVENANCE: Final = "provenance"
"""Key under which the provenance of an opened export is found in ``.encoding``."""

Format = Literal["zarr", "netcdf"]
SUFFIXES: Final[Mapping[Format, tuple[str, ...]]] = {
    "zarr": (".zarr", ".zarr.zip"),
    "netcdf": (".nc",),
}
"""Suffixes of exports, which say their format."""

PathLike = str | os.PathLike[Any]
JSON_FACTS: Final = ("sources", "exported_from", "parameters")
"""What the provenance holds as JSON."""


_DTYPES: Final = re.compile(
    r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[mM]8\[\d{0,9}\w{1,2}\]|[US]\d{1,8})|object|StringDType"
)
_MAX_TEXT_BYTES: Final = 2**28

KEPT_ENCODING: Final = {
    **dict.fromkeys("OUT", ("_Encoding",)),
    **dict.fromkeys("mM", ("units", "calendar")),
}
"""What of a variable's ``.encoding`` an export notes, by kind of dtype."""

# Attributes by which other readers know what a variable was, by kind of dtype.
_ADDED_ATTRS: Final = {"b": ("dtype",), "M": ("units", "calendar"), "m": ("units", "dtype")}
_SEQUENCE_TYPES: Final = ("list", "tuple", "array")

Kind = Literal["Dataset", "DataArray", "DataTree"]


# -- what a file holds ----------------------------------------------------------------------------
class StoredReader(Reader, Protocol):
    """Reads a variable as it is stored, nothing of it unproven."""

    def check_all(self, *, checksums: bool = False) -> None:
        """Refuse data that are missing, cut short or, on request, changed; reads no values."""


class StoredVariable(NamedTuple):
    """One variable, as it is stored."""

    dims: tuple[str, ...]
    attrs: dict[str, Any]
    reader: StoredReader


class StoredGroup(NamedTuple):
    """What a file says of one group."""

    attrs: dict[str, Any]
    variables: Mapping[str, StoredVariable]
    description: dict[str, Any]
    digest: dict[str, Any] | None
    # Whether the variables show that other software wrote them.
    foreign: bool = False


def format_named(path: object) -> Format | None:
    """Return the format of exports that a name is one of; does not look into it."""
    name = str(path).lower().rstrip("/\\")
    return next((one for one, suffixes in SUFFIXES.items() if name.endswith(suffixes)), None)


# -- what an export was ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Layout:
    """What one group of an export was before it was written."""

    kind: Kind = "Dataset"
    name: str | None = None
    variable: str = ""
    order: list[str] = field(default_factory=list)
    coords: list[str] = field(default_factory=list)
    indexed: dict[str, str] = field(default_factory=dict)
    dims: dict[str, list[str]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    attr_types: dict[str, dict[str, str]] = field(default_factory=dict)
    encoding: dict[str, dict[str, str]] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        """Return the layout as text."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """Read a layout from text; what is not known of it is left out."""
        found = json.loads(text)
        layout = cls(**{key: value for key, value in found.items() if key in cls.__annotations__})
        if layout.kind not in get_args(Kind):
            raise ValueError(f"it is a {str(layout.kind)[:60]!r}")
        if layout.kind == "DataArray" and layout.variable not in layout.order:
            raise ValueError(f"it lacks the array {layout.variable!r}")
        return layout


def layout_of(ds: xr.Dataset, *, kind: Kind = "Dataset", name: str | None = None) -> Layout:
    """Describe a Dataset, so that it can be restored from what readers make of it."""
    attr_types = {"": attr_types_of(ds.attrs)}
    attr_types |= {str(key): attr_types_of(v.attrs) for key, v in ds.variables.items()}
    encoding = {str(key): _kept_encoding(v) for key, v in ds.variables.items()}
    return Layout(
        kind=kind,
        name=name,
        variable=str(next(iter(ds.data_vars))) if kind == "DataArray" else "",
        order=[str(key) for key in ds.variables],
        coords=[str(key) for key in ds.coords],
        indexed={
            str(key): str(index.to_pandas_index().dtype)
            for key, index in ds.xindexes.items()
            if isinstance(index, PandasIndex)
        },
        dims={str(key): [str(dim) for dim in v.dims] for key, v in ds.variables.items()},
        dtypes={str(key): dtype_name(v.dtype) for key, v in ds.variables.items()},
        attr_types={key: types for key, types in attr_types.items() if types},
        encoding={key: found for key, found in encoding.items() if found},
    )


def _kept_encoding(variable: xr.Variable) -> dict[str, str]:
    """Return how plain files are to hold the values, where that was said; noted, not obeyed."""
    kind, given = variable.dtype.kind, variable.encoding
    if kind in "OUT" and given.get("dtype") == "S1":
        given = {"_Encoding": "utf-8"} | given
    return {key: str(given[key]) for key in KEPT_ENCODING.get(kind, ()) if key in given}


def dtype_name(dtype: Any) -> str:
    """Return a name of a dtype that :func:`dtype_from` understands."""
    if isinstance(dtype, np.dtypes.StringDType):
        return "StringDType"
    if not isinstance(dtype, np.dtype) or dtype.kind == "O":
        return "object"
    return dtype.str


def dtype_from(name: str) -> np.dtype[Any]:
    """Return the dtype of a name that :func:`dtype_name` gave."""
    if name == "StringDType":
        return np.dtypes.StringDType()
    return np.dtype(name)


def restored_dtype(name: str, stored: np.dtype[Any], size: int, *, variable: str) -> np.dtype[Any]:
    """Return the dtype that a layout names, if values that are stored so can be of it."""
    if not _DTYPES.fullmatch(name):
        raise ValueError(f"dtype {name[:60]!r} of {variable}")
    dtype = dtype_from(name)
    if dtype.kind in "OUTS":
        same = stored.kind == "S" if dtype.kind == "S" else stored.kind in "OUT"
        fits = same and dtype.itemsize * size <= _MAX_TEXT_BYTES
    elif dtype.kind in "mM":
        fits = stored == np.int64
    elif dtype.kind == "b":
        fits = stored in (np.int8, np.bool_)
    else:
        # netCDF has no half floats.
        wider = dtype == np.float16 and stored == np.float32
        fits = stored.kind == dtype.kind and (stored.itemsize == dtype.itemsize or wider)
    if not fits:
        raise ValueError(f"{variable}: {size} values of {stored} cannot have been {dtype}")
    return dtype


def convert(values: Any, name: str) -> Array:
    """Return values as they were before they were written."""
    found, dtype = np.asarray(values), dtype_from(name)
    if dtype.kind == "b" and found.dtype.itemsize == 1 and found.flags.c_contiguous:
        return found.view(np.bool_)
    if dtype.kind in "mM" and found.dtype == np.int64:
        found = found.view(dtype.newbyteorder("="))
    return found if found.dtype == dtype else found.astype(dtype)


def stored_encoding(stored: StoredVariable, path: object) -> dict[str, Any]:
    """Return where a variable is, and what of it is stored together."""
    chunks = getattr(stored.reader, "chunk_shape", None)
    preferred = dict(zip(stored.dims, chunks, strict=True)) if chunks else None
    return {"source": str(path)} | ({"preferred_chunks": preferred} if preferred else {})


def restored(
    stored: StoredVariable, layout: Layout, name: str, source: str, digest: str | None
) -> xr.Variable:
    """Return a variable as it was before it was written."""
    reader: Reader = stored.reader
    dtype, size = layout.dtypes[name], math.prod(reader.shape)
    wanted = restored_dtype(dtype, reader.dtype, size, variable=name)
    added = {"coordinates", *_ADDED_ATTRS.get(wanted.kind, ())}
    attrs = {key: value for key, value in stored.attrs.items() if key not in added}
    noted = layout.encoding.get(name, {})
    kept = {key: str(noted[key]) for key in KEPT_ENCODING.get(wanted.kind, ()) if key in noted}
    if size and (digest is not None or reader.dtype != wanted):
        reader = RestoredReader(stored.reader, dtype, digest, f"{source}: {name}")
    return xr.Variable(
        stored.dims,
        OrthogonalArray(reader) if size else np.empty(reader.shape, wanted),
        restore_attrs(attrs, layout.attr_types.get(name, {})),
        stored_encoding(stored, source) | kept,
    )


class RestoredReader:
    """Reads values as they were before they were written; small ones are held to their digest."""

    def __init__(self, reader: StoredReader, dtype: str, digest: str | None, what: str) -> None:
        self.reader = reader
        self.name = dtype
        self.shape = reader.shape
        self.dtype = dtype_from(dtype)
        self.chunk_shape = getattr(reader, "chunk_shape", None)
        self._whole = digest and Once(partial(_verified, reader, dtype, digest, what))

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        if self._whole:
            return ArrayReader(self._whole()).read(indices)
        return convert(self.reader.read(indices), self.name)


def _verified(reader: Reader, dtype: str, digest: str, what: str) -> Array:
    """Read a small variable, and hold its values against their digest."""
    values = convert(read_whole(reader), dtype)
    if values_digest(values) != digest:
        raise DamagedExportError(
            f"{what} was changed since it was written: its values are not those of the digest. "
            "Export it again, or copy it again if it was copied."
        )
    return values


# -- attributes -----------------------------------------------------------------------------------
def attr_types_of(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Name the types of attributes, those that are plain strings left out."""
    return {str(key): name for key, value in attrs.items() if (name := _type_name(value)) != "str"}


def _type_name(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.dtype.str}" if value.size else f"array {value.dtype.str} 0"
    if isinstance(value, np.generic):
        return f"numpy {value.dtype.str}"
    if isinstance(value, list | tuple) and not value:
        return f"{type(value).__name__} 0"
    return type(value).__name__


def plain_attr(value: Any) -> Any:
    """Return the value of an attribute in a form that both file formats take."""
    if isinstance(value, np.ndarray | np.generic):
        known = value.dtype.kind in "fiubU" and value.ndim == isinstance(value, np.ndarray)
        return plain_attr(value.tolist()) if known else None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, str | float):
        return value
    if isinstance(value, list | tuple):
        if not value:
            return ""
        items = [item for item in map(plain_attr, value) if isinstance(item, str | int | float)]
        if len(items) == len(value) and len({type(item) for item in value}) == 1:
            return items
    return None


def restore_attrs(attrs: Mapping[Any, Any], types: Mapping[str, str]) -> dict[Hashable, Any]:
    """Return attributes as they were before they were written, without what the export added."""
    return {
        key: _restored(value, types.get(str(key), "str"))
        for key, value in attrs.items()
        if not str(key).startswith(PREFIX)
    }


def _restored(value: Any, name: str) -> Any:
    kind, dtype, *empty = [*name.split(" "), ""]
    if kind in ("array", "numpy") and (
        not _DTYPES.fullmatch(dtype)
        or np.dtype(dtype).kind not in "fiubU"
        or np.dtype(dtype).itemsize * np.size(value) > _MAX_TEXT_BYTES
    ):
        raise ValueError(f"an attribute of type {name[:60]!r}")
    if isinstance(value, np.ndarray) and value.shape == (1,) and kind not in _SEQUENCE_TYPES:
        value = value[0]
    if kind in _SEQUENCE_TYPES:
        found = np.atleast_1d(np.asarray([] if "0" in (dtype, *empty) else value))
        if kind == "array":
            return found.astype(dtype)
        return found.tolist() if kind == "list" else tuple(found.tolist())
    if kind == "numpy":
        return np.dtype(dtype).type(value)
    if kind in ("int", "float", "bool"):
        return {"int": int, "float": float, "bool": bool}[kind](value)
    return str(value)


def provenance_from(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what an export says about where it came from."""
    added = [key for key in attrs if key.startswith(PREFIX) and key != LAYOUT]
    found = {key.removeprefix(PREFIX): attrs[key] for key in added}
    plain = restore_attrs(found, {"session_id": "int", "synthetic": "int"})
    return {
        str(key): json.loads(value) if key in JSON_FACTS else value for key, value in plain.items()
    }


# -- the digest -----------------------------------------------------------------------------------
def digest_document(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document that completes an export, from the digests of its groups."""
    return {"format": 1, "identity": metadata_digest(groups), "groups": groups}


def check_identity(
    path: object, identity: object, digests: Mapping[str, Any], groups: Iterable[str]
) -> None:
    """Refuse an export whose groups, or their digests, are not those that it was completed with."""
    odd = sorted(set(groups) ^ set(digests))
    if odd or identity != metadata_digest(digests):
        which = f" ({few(odd, 5)})" if odd else ""
        raise DamagedExportError(
            f"{path} was changed since it was written: a part of it was added, removed or "
            f"replaced{which}, or its digest was. Export it again, or copy it again if it was "
            "copied."
        )


def metadata_digest(description: Mapping[str, Any]) -> str:
    """Return the digest of all that is said of a group and its variables."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=False, default=as_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def values_digest(values: Array) -> str | None:
    """Return the digest of the values of a variable; None of one that is too large."""
    if values.dtype.kind in "OUT":
        raw = json.dumps(np.ravel(values).tolist(), ensure_ascii=False).encode()
    elif values.nbytes <= DIGESTED_BYTES:
        raw = np.ascontiguousarray(values).tobytes()
    else:
        return None
    return hashlib.sha256(raw).hexdigest() if len(raw) <= DIGESTED_BYTES else None


def as_plain(value: Any) -> Any:
    """Return what JSON does not know in a form that it does."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
