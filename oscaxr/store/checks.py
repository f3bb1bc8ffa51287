"""Nothing that a file says is believed before it is checked: what a hostile export could do to us.

Metadata are read as JSON and held against a white-list before any library sees them; chunks are
found, measured and, where they could unfold to far more, unfolded within bounds before.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import FileIO
from itertools import groupby, product
from typing import IO, Any, Final

import numpy as np

from oscaxr.arrays.lazy import Array
from oscaxr.errors import DamagedExportError

MAX_DOCUMENT_BYTES: Final = 16 * 2**20
"""Size of a JSON document, of all names in a zip file, or of an attribute: a session has 0.1 MB."""

BLIND_BYTES: Final = 64 * 2**20
"""What may be unfolded without proof that it is not more than it should be."""

MAX_RATIO: Final = 10_000
"""Times that data beyond `BLIND_BYTES` can be larger than what is stored of them."""

MAX_CHUNK_BYTES: Final = 2**31 - 1
# Deflated data up to this size are unfolded before they are believed, those in a netCDF file.
_EXACT_BYTES: Final = 2**20
_MAX_SIZE: Final = 2**53
_MAX_DIMS: Final = 32
_MAX_CHUNKS: Final = 2**20
# All that format 3 says of an array: what else there is may change the meaning of the rest.
_FIELDS: Final = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs"}
    | {"fill_value", "attributes", "dimension_names", "storage_transformers"}
)
_NUMBERS: Final = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
_FIXED_WIDTH: Final = {"fixed_length_utf32": ("U", 4), "null_terminated_bytes": ("S", 1)}
_RATIOS: Final = {"gzip": 1100, "zlib": 1100, "zstd": 50_000, "bzip2": 10**6}
SUM_BYTES: Final = 4
_CHECKSUM: Final = "crc32c"
# What the index of a shard says of a chunk that is not there.
_ABSENT: Final = 2**64 - 1

Place = tuple[int, ...]


@dataclass(frozen=True)
class Opened:
    """A file of a store, open."""

    file: FileIO | IO[bytes]
    size: int

    def read(self, start: int, length: int) -> bytes:
        """Read a piece of it."""
        self.file.seek(start)
        return self.file.read(length)


Opener = Callable[[str], AbstractContextManager[Opened | None]]


def damaged(path: object, what: str) -> DamagedExportError:
    """Return the error of an export that is not what it should be."""
    return DamagedExportError(
        f"{path}: {what}. Export it again, or copy it again if it was copied."
    )


def check_claim(path: str, what: str, claimed: int, stored: int) -> None:
    """Refuse what claims to be very much larger than what there is of it."""
    if claimed > BLIND_BYTES and claimed > MAX_RATIO * stored:
        raise damaged(path, f"{what} claims {claimed} bytes, but only {stored} are stored")


def read_json(path: str, key: str, opened: Opened) -> dict[str, Any]:
    """Read a JSON document of a store."""
    raw = opened.read(0, min(opened.size, MAX_DOCUMENT_BYTES + 1))
    try:
        if len(raw) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"it has more than {MAX_DOCUMENT_BYTES} bytes")
        found = json.loads(raw)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"cannot open it as an export: {key} is refused ({error})") from error
    return found


# -- zarr: metadata -------------------------------------------------------------------------------
@dataclass(frozen=True)
class ArrayPlan:
    """What a store says of one array, checked."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    per_shard: tuple[int, ...] | None
    codec: str
    checksum: bool
    node: Mapping[str, Any]

    @property
    def text(self) -> bool:
        """Whether it holds text of any length."""
        return self.dtype.kind == "O"

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // w) for size, w in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk in memory; of text, of its pointers."""
        return math.prod(self.chunk_shape) * self.dtype.itemsize


def array_plan(path: str, node: Mapping[str, Any], store: str) -> ArrayPlan:
    """Check what a store says of an array against what exports have; nothing is decoded yet."""
    try:
        return _plan(path, node)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise damaged(
            store, f"the metadata of {path} are refused ({type(error).__name__}: {error})"
        ) from error


def _plan(path: str, node: Mapping[str, Any]) -> ArrayPlan:
    if node.get("zarr_format") != 3 or node.get("node_type") != "array":
        raise ValueError("it is no array of zarr format 3")
    if node.get("storage_transformers"):
        raise ValueError("storage transformers")
    if others := sorted(node.keys() - _FIELDS):
        raise ValueError(f"{', '.join(others)[:60]}, which no array of an export has")
    dtype, shape = _dtype(node["data_type"]), _sizes(node["shape"], least=0)
    grid, keys = node["chunk_grid"], node["chunk_key_encoding"]
    if grid["name"] != "regular" or keys["name"] != "default":
        raise ValueError(f"chunk grid {grid['name']!r} with keys {keys['name']!r}")
    if keys.get("configuration", {}).get("separator", "/") != "/":
        raise ValueError("the names of its chunks")
    outer = _sizes(grid["configuration"]["chunk_shape"], least=1)
    inner, codecs, per_shard = outer, list(node["codecs"]), None
    if codecs[0]["name"] == "sharding_indexed":
        inner, per_shard, codecs = _sharding(codecs, outer)
    if len(shape) != len(outer) or len(inner) != len(outer):
        raise ValueError(f"shape {shape} in chunks of {outer}")
    codec, checksum = _codecs(codecs, text=dtype.kind == "O")
    plan = ArrayPlan(path, shape, dtype, inner, per_shard, codec, checksum, node)
    if plan.chunk_bytes > MAX_CHUNK_BYTES or math.prod(shape) > _MAX_SIZE:
        raise ValueError(f"shape {shape} in chunks of {inner} is too large")
    if max(math.prod(plan.grid), math.prod(per_shard or ())) > _MAX_CHUNKS:
        raise ValueError(f"shape {shape} in chunks of {inner}: too many chunks")
    return plan


def _dtype(name: Any) -> np.dtype[Any]:
    if name == "string":
        return np.dtype(object)
    if isinstance(name, str) and name in _NUMBERS:
        return np.dtype(name)
    if isinstance(name, dict) and name.get("name") in _FIXED_WIDTH:
        kind, width = _FIXED_WIDTH[name["name"]]
        (length,) = _sizes([name["configuration"]["length_bytes"]], least=width)
        return np.dtype(f"{kind}{length // width}")
    raise ValueError(f"data type {str(name)[:60]!r} is none of numbers, booleans and text")


def _sizes(values: Any, *, least: int) -> tuple[int, ...]:
    fits = isinstance(values, list) and len(values) <= _MAX_DIMS
    if not fits or not all(type(size) is int and least <= size <= _MAX_SIZE for size in values):
        raise ValueError(f"sizes {str(values)[:60]}")
    return tuple(values)


def _sharding(
    codecs: list[Any], outer: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], list[Any]]:
    """Return the chunks within a shard, how many there are, and their codecs."""
    given = codecs[0]["configuration"]
    inner = _sizes(given["chunk_shape"], least=1)
    index = given["index_codecs"]
    names = [codec["name"] for codec in index]
    order = index[0].get("configuration", {}).get("endian", "little")
    where = given.get("index_location", "end")
    if len(codecs) > 1 or [*names, order, where] != ["bytes", _CHECKSUM, "little", "end"]:
        raise ValueError(
            f"a shard's index of {names}, {order}-endian, at its {where}, where exports have a "
            "plain one, with a checksum, little-endian, at its end"
        )
    if len(inner) != len(outer) or any(o % i for o, i in zip(outer, inner, strict=True)):
        raise ValueError(f"shards of {outer} with chunks of {inner}")
    per_shard = tuple(o // i for o, i in zip(outer, inner, strict=True))
    return inner, per_shard, list(given["codecs"])


def _codecs(codecs: list[Any], *, text: bool) -> tuple[str, bool]:
    """Return the compressor of chunks, and whether they have checksums."""
    names = [codec["name"] for codec in codecs]
    compressors = ("gzip", "zstd") if text else ("blosc", "gzip", "zstd")
    checksum = names[-1:] == [_CHECKSUM]
    first, *between = names[: len(names) - checksum]
    if first != ("vlen-utf8" if text else "bytes"):
        raise ValueError(f"codecs {names}")
    if len(between) > 1 or any(name not in compressors for name in between):
        raise ValueError(f"codecs {names}: there are {', '.join(compressors)}")
    return "".join(between), checksum


# -- zarr: chunks ---------------------------------------------------------------------------------
class ChunkGuard:
    """Proves chunks of a zarr array, each once, before they are decoded."""

    def __init__(self, plan: ArrayPlan, store: str, opener: Opener, *, complete: bool) -> None:
        self.plan = plan
        self.store = store
        self.opener = opener
        self.complete = complete
        self._counts = plan.per_shard or (1,) * len(plan.shape)
        self._proven: dict[str, Array] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_proven": {}}

    def check(self, axes: Iterable[Iterable[int]], *, checksums: bool = True) -> None:
        """Prove the chunks at the outer product of places of the grid, in order, each once."""
        # Their checksums too: zarrs does not compare that of a chunk of which it decodes a part.
        # File by file: of what is claimed to be there, the first that is not ends it.
        for part in product(*map(by_file, axes, self._counts)):
            self._check_file(self.key_of(part), [places for _, places in part], checksums)

    def key_of(self, part: Sequence[tuple[int, Any]]) -> str:
        """Return the name of a file, by its number along each axis."""
        return "/".join([self.plan.path, "c", *(str(number) for number, _ in part)])

    def _check_file(self, key: str, places: Sequence[Sequence[int]], checksums: bool) -> None:
        within = [[at % c for at in axis] for axis, c in zip(places, self._counts, strict=True)]
        wanted = np.ix_(*within)
        if key in self._proven and self._proven[key][wanted].all():
            return
        chunks = list(product(*places))
        with self.opener(key) as opened:
            index = None if opened is None else self._index(key, opened)
            absent = [(_ABSENT, _ABSENT)] * len(chunks)
            found = absent if index is None else index[wanted].reshape(-1, 2).tolist()
            for place, (start, length) in zip(chunks, found, strict=True):
                if opened is not None and (start, length) != (_ABSENT, _ABSENT):
                    self.check_chunk(place, opened, start, length, checksums)
                elif self.complete:
                    missing = f"is missing (it should be in {key}; exports have every chunk)"
                    raise damaged(self.store, f"{_named(place)} of {self.plan.path} {missing}")
        if checksums and index is not None:
            self._proven.setdefault(key, np.zeros(self._counts, bool))[wanted] = True

    def _index(self, key: str, opened: Opened) -> Array:
        """Return where in a file its chunks begin, and how long they are."""
        size = opened.size
        if self.plan.per_shard is None:
            return np.array([0, size], np.uint64).reshape(*self._counts, 2)
        length = 16 * math.prod(self._counts)
        end = size - length - SUM_BYTES
        if end < 0:
            raise self.damaged(f"the index of {key}", f"it is cut short, to {size} bytes")
        index = np.frombuffer(opened.read(end, length), "<u8").reshape(-1, 2)
        there = index[index[:, 0] != _ABSENT]
        there = there[np.argsort(there[:, 0])]
        if there.size and (int(there.max()) > end or int(there[-1].sum()) > end):
            raise self.damaged(f"a chunk of {key}", f"it is cut short, to {size} bytes")
        if (there[:-1].sum(axis=1) > there[1:, 0]).any():
            raise self.damaged(f"the index of {key}", "its chunks overlap")
        return index.reshape(*self._counts, 2)

    def check_chunk(
        self, place: Place, opened: Opened, start: int, length: int, checksums: bool
    ) -> None:
        """Prove one chunk; its checksum too, on request."""
        plan = self.plan
        stored = length - SUM_BYTES * plan.checksum
        limit = MAX_DOCUMENT_BYTES if plan.text else plan.chunk_bytes
        if stored <= 0 or start + length > opened.size:
            raise self.damaged(place, f"it is cut short, to {length} bytes")
        # What cannot be made smaller becomes only a little longer.
        if stored > limit + limit // 8 + 2**12:
            raise self.damaged(place, f"it has {stored} bytes")
        check_claim(self.store, f"{_named(place)} of {plan.path}", plan.chunk_bytes, stored)
        checksums = checksums and plan.checksum
        whole = checksums or plan.text or stored * _RATIOS.get(plan.codec, 0) > BLIND_BYTES
        whole |= plan.codec == "gzip"  # which says at its end how long it is
        raw = opened.read(start, length if whole else min(length, 18))
        if problem := _unfit(plan, raw[:stored], stored):
            raise self.damaged(place, problem)
        if checksums:
            written = int.from_bytes(raw[-SUM_BYTES:], "little")
            if import_module("google_crc32c").value(raw[:-SUM_BYTES]) != written:
                raise self.damaged(place, f"{length} bytes have not the checksum they had")

    def damaged(self, what: Place | str, reason: str) -> DamagedExportError:
        """Return the error of a chunk, or of something else, that is not what it should be."""
        what = what if isinstance(what, str) else _named(what)
        return damaged(self.store, f"{what} of {self.plan.path} is damaged or cut short ({reason})")


def by_file(places: Iterable[int], n_in_file: int) -> list[tuple[int, list[int]]]:
    """Return places along an axis by the number of the file that has them."""
    return [(number, [*some]) for number, some in groupby(places, lambda at: at // n_in_file)]


def _named(place: Place) -> str:
    return f"the chunk ({', '.join(map(str, place))})"


def _unfit(plan: ArrayPlan, raw: bytes, stored: int) -> str:
    """Say why the stored bytes of a chunk cannot be its values; empty where they may be."""
    if plan.codec == "blosc":
        sizes = [int.from_bytes(raw[at : at + 4], "little") for at in (4, 12)]
        fits = sizes == [plan.chunk_bytes, stored]
        return "" if fits else f"it says that it unfolds to {sizes[0]} bytes"
    if plan.codec == "zstd" and not plan.text:
        if (claimed := _zstd_size(raw)) != plan.chunk_bytes:
            return f"it says that it unfolds to {claimed} bytes"
        if len(raw) < stored:
            return ""
    limit = MAX_DOCUMENT_BYTES if plan.text else plan.chunk_bytes
    unfolded = _unfolded(plan.codec, raw, limit) if plan.codec else raw
    if unfolded is None:
        return f"it does not unfold to {limit} bytes"
    if not plan.text:
        size = len(unfolded) if plan.codec else stored
        return "" if size == limit else f"it has {size} bytes, not {limit}"
    count = int.from_bytes(unfolded[:4], "little")
    fits = count == math.prod(plan.chunk_shape) and 4 * (count + 1) <= len(unfolded)
    return "" if fits else f"it says that it has {count} texts"


def _unfolded(codec: str, raw: bytes, limit: int) -> bytes | None:
    """Unfold bytes to no more than a limit; None where that is not possible."""
    if codec == "zstd":
        # A frame that does not say its size would be unfolded without end.
        if (_zstd_size(raw) or limit + 1) > limit:
            return None
        decode = import_module("numcodecs").Zstd().decode
        with suppress(RuntimeError, ValueError):
            return bytes(decode(raw))
        return None
    if codec == "bzip2":
        engine: Any = import_module("bz2").BZ2Decompressor()
    else:
        engine = zlib.decompressobj(zlib.MAX_WBITS + 16 * (codec == "gzip"))
    with suppress(zlib.error, OSError):
        found: bytes = engine.decompress(raw, limit + 1)
        return found if engine.eof and not engine.unused_data and len(found) <= limit else None
    return None


def unfit_hdf5_chunk(
    dataset: Any, filters: Sequence[str], one: Any, chunk_bytes: int, *, unfold: bool
) -> str:
    """Say what of a chunk of HDF5 is less, or would unfold to more, than it should be."""
    if chunk_bytes > max(BLIND_BYTES, MAX_RATIO * one.size):
        return f"claims {chunk_bytes} bytes, but {one.size} are stored"
    applied = [word for i, word in enumerate(filters) if not one.filter_mask >> i & 1]
    codec = next((word for word in applied if word in _RATIOS), "")
    # What cannot be made smaller becomes only a little longer.
    if (not codec and one.size < chunk_bytes) or one.size > chunk_bytes + chunk_bytes // 8 + 1024:
        return f"has {one.size} bytes, and should have {chunk_bytes}"
    # HDF5 reads on behind what a deflated chunk unfolds to, where that is too short.
    exact = unfold and codec == "zlib" and dataset.nbytes <= _EXACT_BYTES
    if not exact and one.size * _RATIOS.get(codec, 0) <= BLIND_BYTES:
        return ""
    raw = dataset.id.read_direct_chunk(one.chunk_offset)[1]
    # Four bytes more where there is a checksum, of what was stored or of what it unfolds to.
    raw = raw[:-4] if applied[-1] == "fletcher32" else raw
    unfolded = _unfolded(codec, raw, chunk_bytes + 4)
    if unfolded is None:
        return f"is damaged, or unfolds to more than {chunk_bytes} bytes"
    if exact and len(unfolded) < chunk_bytes:
        return f"unfolds to {len(unfolded)} bytes, not {chunk_bytes}"
    return ""


def _zstd_size(raw: bytes) -> int | None:
    """Return the size that a frame of zstd says it unfolds to; None where it does not say."""
    if len(raw) < 6 or raw[:4] != b"\x28\xb5\x2f\xfd":
        return None
    single = raw[4] >> 5 & 1
    width = (single, 2, 4, 8)[raw[4] >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[raw[4] & 3]
    size = int.from_bytes(raw[start : start + width], "little") + 256 * (width == 2)
    return size if width else None
