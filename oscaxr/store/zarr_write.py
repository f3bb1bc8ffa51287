"""Writing a zarr store (format 3), as a folder or packed into one file."""

import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.errors import ExportContentError
from oscaxr.store.blocks import Region
from oscaxr.store.encoding import Stored, as_stored

Array = np.ndarray[Any, Any]

# Blosc's codecs. Bit shuffling before zstd: for dF/F it is both smaller and quicker than bytes.
_BLOSC: Final = {"zstd": 3, "lz4": 5, "lz4hc": 5, "blosclz": 5, "zlib": 3}
COMPRESSIONS: Final = (*_BLOSC, "gzip")

# Filters of warnings belong to the process: two threads that set them would undo each other.
_QUIET: Final = threading.Lock()


class ZarrWriter:
    """A zarr store that is being written."""

    def __init__(self, path: Path, *, compression: bool | str = True, packed: bool = False) -> None:
        import zarr

        if isinstance(compression, str) and compression not in COMPRESSIONS:
            raise ExportContentError(
                f"compression={compression!r}: for zarr there are {', '.join(COMPRESSIONS)}, or "
                "True for the default and False for none"
            )
        self._path = path
        self._compression = "zstd" if compression is True else compression or ""
        self._packed = packed
        self._folder = path.with_name(path.name + ".d") if packed else path
        self._root = zarr.open_group(self._folder, mode="w", zarr_format=3)
        self._arrays: dict[tuple[str, str], Any] = {}

    def create(self, group: str, stored: list[Stored]) -> None:
        """Create a group and its arrays, empty."""
        place = self._root.require_group(group) if group else self._root
        for one in stored:
            self._arrays[group, one.name] = place.create_array(
                one.name,
                shape=one.variable.shape,
                dtype=str if one.dtype is None else one.dtype,
                chunks=one.chunks,
                shards=one.shards,
                compressors=self._compressors(one),
                fill_value=fill_value(one.dtype),
                # Every chunk is written, so that one that is missing is known to be.
                config={"write_empty_chunks": True},
                dimension_names=[str(dim) for dim in one.variable.dims],
                attributes=one.attrs,
            )

    def write(self, group: str, one: Stored, region: Region, values: Array) -> None:
        """Write a block of a variable."""
        if one.dtype is None:
            values = values.astype(object)
        array = self._arrays[group, one.name]
        array[region or ...] = values if one.dtype is None else as_stored(values, one.dtype)

    def finish(self, attrs: dict[str, dict[str, Any]]) -> None:
        """Write the attributes of the groups, and gather all metadata in one place."""
        import zarr

        for group, values in attrs.items():
            place = self._root[group] if group else self._root
            # In one go: every change of an attribute writes the metadata anew.
            place.update_attributes(values)
        with _QUIET, warnings.catch_warnings():
            # Metadata in one file are an extension of format 3; other readers ignore them.
            warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(self._root.store)
        if self._packed:
            pack(self._folder, self._path)

    def close(self) -> None:
        """Release what is open."""
        self._arrays.clear()
        self._root.store.close()

    def _compressors(self, one: Stored) -> list[Any]:
        from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec

        # Neither blosc nor plain bytes tell that a bit has changed.
        checksum = Crc32cCodec()
        if not self._compression or not one.compressed or one.dtype is None:
            return [checksum]
        if self._compression == "gzip":
            return [GzipCodec(level=4), checksum]
        level = _BLOSC[self._compression]
        options: dict[str, Any] = {
            "cname": self._compression,
            "shuffle": "bitshuffle" if one.dtype.itemsize > 1 else "noshuffle",
        }
        return [BloscCodec(clevel=level, typesize=one.dtype.itemsize, **options), checksum]


def fill_value(dtype: np.dtype[Any] | None) -> Any:
    """Return what readers of zarr put in place of a chunk that is missing: no plausible value."""
    if dtype is None:
        return "(missing)"
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(limits.min if dtype.kind == "i" else limits.max)
    return dtype.type(0)


def pack(folder: Path, path: Path) -> None:
    """Put a store into one zip file, each of its files as it is, and remove the folder."""
    import shutil

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                # Always the same date: equal stores make equal files.
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                info.file_size = file.stat().st_size
                with file.open("rb") as source, packed.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)
    shutil.rmtree(folder)
