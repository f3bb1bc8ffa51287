"""What a zarr store (format 3) says of its groups and arrays, read as the JSON that it is."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from oscaxr.errors import DamagedExportError, ForeignExportError
from oscaxr.store.store_files import StoreFiles

DOCUMENT: Final = "zarr.json"
CHECKSUM: Final = "crc32c"
_COMPRESSORS: Final = frozenset({"blosc", "zstd", "gzip"})


@dataclass(frozen=True)
class ArrayMetadata:
    """What a store says of one array."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    per_shard: tuple[int, ...] | None
    compressor: Mapping[str, Any] | None
    checked: bool
    attrs: dict[str, Any]

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(
            -(-size // length) for size, length in zip(self.shape, self.chunk_shape, strict=True)
        )

    @property
    def nbytes(self) -> int:
        """Size of a chunk in memory; of text, of its pointers."""
        return math.prod(self.chunk_shape) * self.dtype.itemsize

    def file_of(self, place: tuple[int, ...]) -> str:
        """Return the path of the file that has a chunk."""
        if self.per_shard is not None:
            place = tuple(p // count for p, count in zip(place, self.per_shard, strict=True))
        return f"{self.path}/{'/'.join(['c', *map(str, place)])}"


def read_nodes(files: StoreFiles) -> dict[str, dict[str, Any]]:
    """Read what a store says of all its groups and arrays."""
    root = _document(files, DOCUMENT)
    gathered = root.get("consolidated_metadata")
    if isinstance(gathered, dict) and isinstance(gathered.get("metadata"), dict):
        return {"": root, **gathered["metadata"]}
    # Gathered metadata are an extension of the format, which other tools may have left out.
    keys = [key for key in files.sizes() if key.endswith(f"/{DOCUMENT}")]
    return {"": root, **{key[: -len(DOCUMENT) - 1]: _document(files, key) for key in sorted(keys)}}


def _document(files: StoreFiles, key: str) -> dict[str, Any]:
    raw = files.read(key)
    if raw is None and key == DOCUMENT and files.read(".zgroup") is not None:
        raise ForeignExportError(
            f"{files.path} was not written by oscaxr: it is zarr of format 2. Open it with plain "
            "xarray: xr.open_zarr."
        )
    try:
        if raw is None:
            raise ValueError(f"there is no {key}")
        found = json.loads(raw)
        if not isinstance(found, dict) or found.get("zarr_format") != 3:
            raise ValueError(f"{key} does not describe zarr format 3")
    except ValueError as error:
        raise DamagedExportError(
            f"cannot open {files.path} as an export: {error}. Export it again, or copy it again "
            "if it was copied."
        ) from error
    return found


def array_metadata(path: str, node: Mapping[str, Any], store: str) -> ArrayMetadata:
    """Interpret what a store says of an array."""
    try:
        text = node["data_type"] == "string"
        dtype = np.dtype(object) if text else np.dtype(node["data_type"])
        shape = tuple(map(int, node["shape"]))
        outer = tuple(map(int, node["chunk_grid"]["configuration"]["chunk_shape"]))
        codecs, chunk_shape, per_shard, plain = node["codecs"], outer, None, True
        if codecs[0]["name"] == "sharding_indexed":
            sharding = codecs[0]["configuration"]
            plain = len(codecs) == 1 and sharding.get("index_location", "end") == "end"
            plain &= [codec["name"] for codec in sharding["index_codecs"]] == ["bytes", CHECKSUM]
            chunk_shape, codecs = tuple(map(int, sharding["chunk_shape"])), sharding["codecs"]
            per_shard = tuple(s // c for s, c in zip(outer, chunk_shape, strict=True))
        first, *others = codecs
        names = [codec["name"] for codec in others]
        little = first.get("configuration", {}).get("endian", "little") == "little"
        encoding = node["chunk_key_encoding"]
        plain &= first["name"] == ("vlen-utf8" if text else "bytes") and little
        plain &= names[-1:] == [CHECKSUM] and (len(names) == 1 or names[0] in _COMPRESSORS)
        plain &= len(names) <= 2 and not node.get("storage_transformers")
        plain &= encoding["name"] == "default"
        plain &= encoding.get("configuration", {}).get("separator", "/") == "/"
        return ArrayMetadata(
            path,
            shape,
            dtype,
            chunk_shape,
            per_shard,
            others[0] if len(names) == 2 else None,
            bool(plain),
            dict(node.get("attributes") or {}),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedExportError(
            f"{store}: the metadata of {path} are not understood ({type(error).__name__}: {error})."
            " Export it again."
        ) from error
