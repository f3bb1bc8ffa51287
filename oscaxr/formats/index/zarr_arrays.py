"""One array of an index: metadata of zarr (format 2) and references, written and, checked, read.

There are three forms: all values in the index, deflated; data in one piece of a file, cut into
chunks of rows, some of which may be in the index; and the chunks of HDF5, plain or deflated.
"""

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array
from oscaxr.files.chunks import Chunked, Contiguous, Storage
from oscaxr.files.direct import DirectFile, StorageReader
from oscaxr.model import names as n
from oscaxr.model.facts import FACT_BY_NAME
from oscaxr.model.schema import KIND_CODES, SESSION

IntArray = np.ndarray[Any, np.dtype[np.int64]]
References = dict[str, Any]
"""What an index holds, by key: a document, values, or [address, offset, size]."""

DIMS: Final = "_ARRAY_DIMENSIONS"
"""Attribute in which xarray has the dims of an array of zarr (format 2)."""

LARGE: Final = (
    *(n.DFF, n.TIME, n.STIM_TIME, n.RUN_VELOCITY),
    *(n.PUPIL_DIAMETER, n.PUPIL_CENTER_X, n.PUPIL_CENTER_Y),
)
"""What lies in the files of a session, and is referred to; all else is in the index."""

SMALL: Final = (
    *(n.ROI, n.ROI_ID, n.TRACKING_ID),
    *(name for name, spec in SESSION.items() if spec.dims == (n.SEGMENT,)),
)
"""What is in the index, beside the facts."""

MAX_INLINE_BYTES: Final = 4 * 2**20
"""Of one array, so many bytes of values may be in the index."""

_CODEC: Final = {"id": "zlib", "level": 6}
_BASE64: Final = "base64:"
METADATA: Final = ".zarray"
ATTRS: Final = ".zattrs"
"""Keys of the documents that describe an array, and of the attributes of a group, too."""

_FIELDS: Final = frozenset(
    {"zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters"}
)
_DTYPES: Final = re.compile(r"[<>|](b1|[iu][1248]|f[248]|U[1-9]\d{0,3})")
_MAX_SIZE: Final = 2**48
_MAX_CHUNK_BYTES: Final = 2**31 - 1
# Deflated data are at most so many times as large as what is stored of them.
_MAX_RATIO: Final = 1100
# By kind of dtype: no number beyond this is a character, or a boolean.
_LARGEST: Final = {"U": 0x10FFFF, "b": 1}


# -- written --------------------------------------------------------------------------------------
def document(content: Mapping[str, Any]) -> str:
    """Return a JSON document in which nothing can be taken for a template."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("{{", "{\\u007b")


def array_documents(
    variable: xr.Variable, dtype: np.dtype[Any], chunks: Sequence[int], *, is_deflated: bool
) -> References:
    """Return the documents that describe an array, stored in some dtype and in such chunks."""
    metadata = {
        "zarr_format": 2,
        "shape": list(variable.shape),
        "chunks": list(chunks),
        "dtype": dtype.str,
        "compressor": _CODEC if is_deflated else None,
        "fill_value": None,
        "order": "C",
        "filters": None,
    }
    attrs = {DIMS: list(variable.dims), **variable.attrs}
    return {METADATA: document(metadata), ATTRS: document(attrs)}


def inline(raw: bytes) -> str:
    """Return bytes as they stand in an index."""
    return _BASE64 + base64.b64encode(raw).decode()


def deflated(raw: bytes) -> str:
    """Return bytes deflated, as they stand in an index."""
    return inline(zlib.compress(raw, 6))


def chunk_key(place: Sequence[int]) -> str:
    """Return the key of a chunk by its place in the grid."""
    return ".".join(map(str, place)) or "0"


# -- read -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Plan:
    """What an index says of an array, checked."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    deflated: bool

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-size // width) for size, width in zip(self.shape, self.chunks, strict=True))


def array_from(
    name: str, entries: Mapping[str, Any], files: Mapping[str, DirectFile]
) -> Array | StorageReader:
    """Return the values of an array, or what reads them from one of the files.

    What the index says is refused, with a ValueError, unless it is what an index may say.
    """
    plan = _plan(name, entries)
    found = {key: value for key, value in entries.items() if key not in (METADATA, ATTRS)}
    if len(found) != math.prod(plan.grid):
        raise ValueError(f"it has {len(found)} chunks where there are {math.prod(plan.grid)}")
    keys = [chunk_key(place) for place in product(*map(range, plan.grid))]
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"it has no chunk {missing[0]}")
    chunks = [found[key] for key in keys]
    if len(chunks) == 1 and isinstance(chunks[0], str):
        return _values(plan, chunks[0], deflated=plan.deflated)
    if name not in LARGE:
        raise ValueError("its values are not in the index itself, in one chunk")
    within = {at: value for at, value in enumerate(chunks) if isinstance(value, str)}
    outside = [value for value in chunks if not isinstance(value, str)]
    if not outside:
        raise ValueError("its values are in the index, but in several chunks")
    file, places = _places(outside, files)
    storage = _storage(plan, file, places, within)
    rows = plan.chunks[0]
    replaced = {
        at * rows: _values(plan, value, deflated=False)[: plan.shape[0] - at * rows]
        for at, value in within.items()
    }
    if sum(own.nbytes for own in replaced.values()) > MAX_INLINE_BYTES:
        raise ValueError(f"more than {MAX_INLINE_BYTES} bytes of its values are in the index")
    return StorageReader(file, name, storage, replaced)


def attrs_from(text: Any) -> dict[str, Any]:
    """Read attributes: text, numbers, and lists of them."""
    found = parsed(text)
    for key, value in found.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str | int | float) or isinstance(one, bool):
                raise ValueError(f"the attribute {key[:60]!r} is neither text nor numbers")
    return found


def parsed(text: Any) -> dict[str, Any]:
    """Read a JSON object."""
    found = json.loads(text) if isinstance(text, str | bytes) else None
    if not isinstance(found, dict):
        raise ValueError(f"{str(text)[:60]!r} is no JSON object")
    return found


def _plan(name: str, entries: Mapping[str, Any]) -> _Plan:
    """Check what is said of an array, and that it is what the variable of this name is."""
    said, attrs = (parsed(entries.get(key)) for key in (METADATA, ATTRS))
    dims, kinds = _declared(name)
    if attrs.get(DIMS) != list(dims):
        raise ValueError(f"it has the dims {str(attrs.get(DIMS))[:60]}, not {list(dims)}")
    if said.keys() != _FIELDS or said["zarr_format"] != 2 or said["order"] != "C":
        raise ValueError(f"its metadata are not those of zarr format 2, order C: {str(said)[:90]}")
    if said["filters"] is not None or said["fill_value"] is not None:
        raise ValueError("it has filters or a fill value")
    codec = said["compressor"]
    known = isinstance(codec, dict) and codec.get("id") == _CODEC["id"] and set(codec) <= {*_CODEC}
    if codec is not None and not known:
        raise ValueError(f"its compressor is {str(codec)[:60]}, not {_CODEC['id']}")
    if not isinstance(said["dtype"], str) or not _DTYPES.fullmatch(said["dtype"]):
        raise ValueError(f"dtype {str(said['dtype'])[:60]!r} is none of numbers, booleans and text")
    dtype = np.dtype(said["dtype"])
    if dtype.kind not in kinds:
        raise ValueError(f"it is of dtype {dtype}, which no session has it in")
    shape, chunks = (_sizes(said[key]) for key in ("shape", "chunks"))
    if not len(shape) == len(chunks) == len(dims):
        raise ValueError(f"it has shape {shape} in chunks of {chunks}, and the dims {list(dims)}")
    plan = _Plan(shape, chunks, dtype, codec is not None)
    if plan.chunk_bytes > _MAX_CHUNK_BYTES or plan.n_bytes > _MAX_SIZE:
        raise ValueError(f"shape {shape} in chunks of {chunks} is too large")
    return plan


def _declared(name: str) -> tuple[tuple[str, ...], str]:
    """Return the dims of a variable that an index may have, and its kinds of dtype."""
    spec = SESSION.get(name)
    if spec is not None and name in (*LARGE, *SMALL):
        return spec.dims, KIND_CODES[spec.kind]
    fact = FACT_BY_NAME.get(name)
    if fact is None or fact.role != "coord":
        raise ValueError("it is no variable that an index has")
    return (), "U" if fact.kind == "word" else "iu"


def _sizes(values: Any) -> tuple[int, ...]:
    fits = isinstance(values, list) and len(values) <= 2
    if not fits or not all(type(size) is int and 1 <= size <= _MAX_SIZE for size in values):
        raise ValueError(f"sizes {str(values)[:60]}")
    return tuple(values)


def _values(plan: _Plan, text: str, *, deflated: bool) -> Array:
    """Return a chunk that is in the index."""
    size = plan.chunk_bytes
    if not text.startswith(_BASE64) or size > MAX_INLINE_BYTES:
        raise ValueError(f"values in the index are base64, of {MAX_INLINE_BYTES} bytes at most")
    raw = base64.b64decode(text.removeprefix(_BASE64), validate=True)
    if deflated:
        engine = zlib.decompressobj()
        try:
            raw = engine.decompress(raw, size + 1)
        except zlib.error as error:
            raise ValueError(f"its values in the index are damaged ({error})") from error
        if not engine.eof:
            raise ValueError(f"its values in the index do not unfold to {size} bytes")
    if len(raw) != size:
        raise ValueError(f"its values in the index have {len(raw)} bytes, not {size}")
    if plan.dtype.kind in _LARGEST:
        width = 4 if plan.dtype.kind == "U" else 1
        numbers = np.frombuffer(raw, f"{plan.dtype.byteorder}u{width}")
        if int(numbers.max()) > _LARGEST[plan.dtype.kind]:
            raise ValueError(f"its values in the index are not all of {plan.dtype}")
    values = np.frombuffer(raw, plan.dtype).reshape(plan.chunks)
    # A copy, as what was decoded is not to be written to.
    return np.array(values[tuple(slice(size) for size in plan.shape)])


def _places(
    references: Sequence[Any], files: Mapping[str, DirectFile]
) -> tuple[DirectFile, IntArray]:
    """Return the file that an array lies in, and offset and size of each chunk."""
    kinds = {tuple(map(type, one)) if isinstance(one, list) else () for one in references}
    if kinds != {(str, int, int)}:
        raise ValueError("what it refers to are not all [address, offset, size]")
    addresses = {one[0] for one in references}
    if len(addresses) > 1:
        raise ValueError(f"it lies in {len(addresses)} files")
    address = addresses.pop()
    if address not in files:
        raise ValueError(f"it lies in {address[:200]}, which is not a file that the index may name")
    file = files[address]
    within = range(_MAX_SIZE)
    if not all(offset in within and size in within for _, offset, size in references):
        raise ValueError("it has chunks at no place of a file")
    places = np.array([one[1:] for one in references], np.int64)
    if int(places.sum(axis=1).max()) > file.size or int(places[:, 1].min()) < 1:
        raise ValueError(f"a chunk of it lies beyond the {file.size} bytes of {address[:200]}")
    in_order = places[np.argsort(places[:, 0])]
    if (in_order[:-1].sum(axis=1) > in_order[1:, 0]).any():
        raise ValueError("its chunks overlap")
    return file, places


def _storage(
    plan: _Plan,
    file: DirectFile,
    places: IntArray,
    within: Mapping[int, str],
) -> Storage:
    """Return how an array is stored, as the references say."""
    offsets, sizes = places.T
    if not plan.deflated and not (sizes == plan.chunk_bytes).all():
        raise ValueError(f"a chunk of it has not the {plan.chunk_bytes} bytes that it should have")
    if not plan.deflated and plan.chunks[1:] == plan.shape[1:]:
        numbers = [at for at in range(math.prod(plan.grid)) if at not in within]
        starts = offsets - np.array(numbers, np.int64) * plan.chunk_bytes
        start = int(starts[0])
        if (starts == start).all() and 0 <= start <= file.size - plan.n_bytes:
            return Contiguous(plan.shape, plan.dtype, file.stamp, start)
    if within:
        raise ValueError("some of its chunks are in the index, but the others not in one piece")
    if plan.deflated:
        # What cannot be made smaller becomes only a little longer.
        longest = plan.chunk_bytes + plan.chunk_bytes // 8 + 1024
        if int(sizes.max()) > longest or int(sizes.min()) * _MAX_RATIO < plan.chunk_bytes:
            raise ValueError(f"a chunk of it cannot unfold to {plan.chunk_bytes} bytes")
    grid = plan.grid
    return Chunked(
        plan.shape,
        plan.dtype,
        file.stamp,
        plan.chunks,
        plan.deflated,
        offsets.reshape(grid),
        sizes.reshape(grid),
    )
