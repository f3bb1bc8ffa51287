"""The file or folder of an export: its groups, their attributes and variables, as stored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

from oscaxr.errors import (
    DamagedExportError,
    ExportError,
    ForeignExportError,
    FormatError,
    OscaxrError,
    UnsafeLinkError,
)
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.store import netcdf_read
from oscaxr.store.layout import FORMAT, LAYOUT, PREFIX, Layout
from oscaxr.store.store_files import StoreFiles
from oscaxr.store.zarr_metadata import ArrayMetadata, array_metadata, read_nodes
from oscaxr.store.zarr_read import Storage, variable_of


class ExportFile(Protocol):
    """What an export is read from."""

    def attrs(self, group: str) -> dict[str, Any] | None:
        """Return the attributes of a group (empty: the root); None where there is none."""

    def groups(self) -> list[str]:
        """Return the paths of all groups, the root (empty) first."""

    def variables(self, group: str, dims: Mapping[str, Sequence[str]]) -> dict[str, xr.Variable]:
        """Return those of the variables, given with their dims, that are there; lazy."""

    def problems(self, group: str, names: Sequence[str]) -> list[str]:
        """Say which data of variables are missing or cut short; reads no values."""

    def close(self) -> None:
        """Release what is open; reading opens it again."""


@contextmanager
def opened_export(path: Path, *, keep: bool = False) -> Iterator[ExportFile]:
    """Open the file or folder of an export; whatever fails meanwhile is damage to it."""
    file: ExportFile | None = None
    kept = False
    try:
        file = _Netcdf(path) if path.name.lower().endswith(".nc") else _Zarr(path)
        yield file
        kept = keep
    except OscaxrError:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedExportError(
            f"cannot open {path} as an export: {type(error).__name__} {error}. Export it again, "
            "or copy it again if it was copied."
        ) from error
    finally:
        if file is not None and not kept:
            file.close()


class _Netcdf:
    """A netCDF file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(3) == b"CDF":
                raise ForeignExportError(
                    f"{path} was not written by oscaxr: it is netCDF of version 3. Open it with "
                    "plain xarray: xr.open_dataset."
                )
        try:
            self._file = Hdf5File(path)
        except UnsafeLinkError:
            raise
        except FormatError as error:
            reason = str(error).replace("as an NWB session", "as an export")
            raise DamagedExportError(f"{reason} Or export it again.") from error

    def attrs(self, group: str) -> dict[str, Any] | None:
        return netcdf_read.read_attrs(self._file, group)

    def groups(self) -> list[str]:
        return netcdf_read.group_names(self._file)

    def variables(self, group: str, dims: Mapping[str, Sequence[str]]) -> dict[str, xr.Variable]:
        return netcdf_read.read_variables(self._file, group, dims)

    def problems(self, group: str, names: Sequence[str]) -> list[str]:
        return netcdf_read.problems_of(self._file, group, names)

    def close(self) -> None:
        self._file.close()


class _Zarr:
    """A zarr store, in a folder or in one zip file; nothing of it stays open."""

    def __init__(self, path: Path) -> None:
        self._files = StoreFiles(path)
        self._nodes = read_nodes(self._files)

    def attrs(self, group: str) -> dict[str, Any] | None:
        node = self._nodes.get(group)
        return None if node is None else dict(node.get("attributes") or {})

    def groups(self) -> list[str]:
        return sorted(path for path, node in self._nodes.items() if node["node_type"] == "group")

    def variables(self, group: str, dims: Mapping[str, Sequence[str]]) -> dict[str, xr.Variable]:
        return {
            name: variable_of(metadata, dims[name], self._files)
            for name, metadata in self._arrays(group, dims)
        }

    def problems(self, group: str, names: Sequence[str]) -> list[str]:
        problems = []
        for _, metadata in self._arrays(group, names):
            try:
                if metadata.checked:
                    Storage(metadata, self._files).check()
            except DamagedExportError as error:
                problems.append(str(error))
        return problems

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _arrays(self, group: str, names: Iterable[str]) -> Iterator[tuple[str, ArrayMetadata]]:
        for name in names:
            path = f"{group}/{name}" if group else name
            if path in self._nodes:
                yield name, array_metadata(path, self._nodes[path], self._files.path)


def layout_from(path: Path, attrs: Mapping[str, Any] | None) -> Layout:
    """Return what a group of an export was before it was written."""
    if attrs is None or LAYOUT not in attrs:
        raise ForeignExportError(
            f"{path} was not written by oscaxr (it has no attribute {LAYOUT!r}). Open it with "
            "plain xarray: xr.open_dataset or xr.open_zarr."
        )
    layout = Layout.from_json(attrs[LAYOUT])
    if layout.format > FORMAT:
        raise ExportError(
            f"{path} was written by a later version of oscaxr ({attrs.get(PREFIX + 'version')}): "
            "its layout cannot be read. Install that version."
        )
    return layout
