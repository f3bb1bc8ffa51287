"""The file or folder of an export, as it is: its groups, and what they say of themselves."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

from oscaxr.errors import ExportError, ForeignExportError, OscaxrError, SessionNotFoundError
from oscaxr.store.checks import damaged
from oscaxr.store.layout import FORMAT, LAYOUT, PREFIX, SUFFIXES, Layout, provenance_from
from oscaxr.store.netcdf_read import NetcdfFile
from oscaxr.store.zarr_files import DIGEST, DOCUMENT
from oscaxr.store.zarr_store import ZarrFile

PathLike = str | os.PathLike[Any]


class ExportFile(Protocol):
    """What an export is read from."""

    def attrs(self, group: str) -> dict[str, Any] | None:
        """Return the attributes of a group (empty: the root); None where there is none."""

    def groups(self) -> list[str]:
        """Return the paths of all groups, the root (empty) first."""

    def names(self, group: str) -> list[str]:
        """Return the names of the variables of a group."""

    def description(self, group: str) -> dict[str, Any]:
        """Return all that is said of a group and its variables."""

    def digest(self, group: str) -> dict[str, Any] | None:
        """Return the digest that a group has."""

    def identity(self) -> str | None:
        """Return the digest of all digests."""

    def foreign(self, group: str) -> bool:
        """Say whether the variables show that other software wrote them."""

    def variable(
        self, group: str, name: str, dims: Sequence[str] | None, *, complete: bool
    ) -> xr.Variable | None:
        """Return a variable as it is stored, with these dims or its own; lazy."""

    def problems(self, group: str, names: Iterable[str], *, checksums: bool = False) -> list[str]:
        """Say which data of variables are missing or cut short; reads no values."""

    def close(self) -> None:
        """Release what is open; reading opens it again."""


@contextmanager
def opened_export(path: Path, *, keep: bool = False) -> Iterator[ExportFile]:
    """Open the file or folder of an export; whatever fails meanwhile is damage to it."""
    file: ExportFile | None = None
    kept = False
    try:
        if not path.is_file() and not path.is_dir():
            raise damaged(str(path), "cannot open it as an export: it is no file and no folder")
        if any((path / name).is_file() for name in (".zgroup", ".zmetadata")):
            raise ForeignExportError(
                f"{path} was not written by oscaxr: it is zarr of format 2. Open it with plain "
                "xarray: xr.open_zarr."
            )
        file = NetcdfFile(path) if path.name.lower().endswith(".nc") else ZarrFile(path)
        yield file
        kept = keep
    except OscaxrError:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(
            str(path), f"cannot open it as an export: {type(error).__name__} {error}"
        ) from error
    finally:
        if file is not None and not kept:
            file.close()


def is_exported(path: PathLike) -> bool:
    """Say whether a path has the suffix of an export; does not look into it."""
    return os.fspath(path).lower().rstrip("/\\").endswith(SUFFIXES)


def existing(path: PathLike) -> Path:
    """Return where an export really is."""
    place = Path(os.path.realpath(path))
    if not place.exists():
        raise SessionNotFoundError(f"cannot open {place}: there is no such file or folder")
    return place


def provenance_of(path: PathLike) -> dict[str, Any]:
    """Return what an export says about where it came from; reads none of its data."""
    place = existing(path)
    with opened_export(place) as file:
        attrs = file.attrs("") or {}
        layout_from(place, attrs)
        return provenance_from(attrs)


def provenances_of(path: PathLike) -> list[dict[str, Any]]:
    """Return what each group of an export says about where it came from."""
    with opened_export(existing(path)) as file:
        return [provenance_from(file.attrs(group) or {}) for group in file.groups()]


def identity_of(path: PathLike) -> str | None:
    """Return the digest that an export is known by; None where it has none."""
    with opened_export(existing(path)) as file:
        return file.identity()


def layouts_of(path: PathLike, *, plain: Layout | None = None) -> dict[str, Layout]:
    """Return what the groups of an export were, or `plain` for what notes nothing of the kind."""
    place = existing(path)
    with opened_export(place) as file:
        attrs = file.attrs("")
        if plain is not None and LAYOUT not in (attrs or {}):
            return {"": plain}
        layout = layout_from(place, attrs)
        layouts = {"": layout}
        if layout.kind == "DataTree":
            layouts |= {group: layout_from(place, file.attrs(group)) for group in file.groups()}
    return layouts


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


def why_not_ours(path: Path) -> str:
    """Say why a file or folder is not, or not only, what an export wrote; empty where it is."""
    try:
        with opened_export(path) as file:
            if LAYOUT not in (file.attrs("") or {}):
                return "is no export"
            if not path.is_dir():
                return ""
            known = {name.partition("/")[0] for name in [*file.names(""), *file.groups()]}
            others = sorted({one.name for one in path.iterdir()} - known - {DOCUMENT, DIGEST})
            return f"has parts that are of no export: {', '.join(others[:5])}" if others else ""
    except OscaxrError as error:
        return f"is no export that can be read ({error})"
