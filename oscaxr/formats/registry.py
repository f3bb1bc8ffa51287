"""The one triage: which format a session has at a place, and how each is asked and opened."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import xarray as xr

from oscaxr.errors import (
    CriterionError,
    FormatError,
    MissingVariableError,
    OptionError,
    SessionNotFoundError,
)
from oscaxr.files.folders import is_folder, walk
from oscaxr.files.remote import (
    EXTRAS,
    Place,
    RemoteFile,
    is_url,
    public_url,
    remote_file,
    scheme_of,
)
from oscaxr.formats import published
from oscaxr.formats.identity import Identity
from oscaxr.formats.index.format import SessionIndex
from oscaxr.formats.original.files import folder_id, id_in_name, is_session_folder, read_tree
from oscaxr.model import names as n
from oscaxr.options import DEFAULTS, OpenOptions, check_honoured, dropped_names, parts_of
from oscaxr.paths import local_path
from oscaxr.store.foreign import is_nwb, why_not_nwb
from oscaxr.store.layout import SUFFIXES, format_named
from oscaxr.store.layout import Format as StoreFormat

if TYPE_CHECKING:
    from oscaxr.files.hdf5 import Hdf5File
    from oscaxr.files.hdf5_arrays import DatasetReader

Places = Sequence[Place]
Facts = Mapping[str, Any]


SomeFormat = TypeVar("SomeFormat", bound="Format")


class Format(Protocol):
    """What is asked of every format. The rooms are imported when one is asked, not before."""

    name: str
    """What messages call a session in this format."""
    looks_like: str
    """How its files or folders are named, for messages."""
    options: frozenset[str]
    """The options of opening that it honours."""
    held: Mapping[str, object]
    """What it holds without a choice, so that to ask for it is no mistake."""
    heavy_parts: str
    """Where it has what ``include=`` asks for, for messages."""

    def recognises(self, place: Place) -> bool:
        """Say whether a session in this format lies at a place, as far as a glance tells."""

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        """Return which of the names in one folder are, by name, sessions or files of them."""

    def named(self, place: Place) -> Identity | None:
        """Return what the name alone says; None where it says nothing."""

    def identity(self, place: Place) -> Identity:
        """Return what the place itself says."""

    def open(self, places: Places, options: OpenOptions, facts: Facts | None) -> xr.Dataset:
        """Open the session of these places, lazily."""


class _Nwb:
    name = "an NWB file"
    looks_like = "NWB files (.nwb)"
    options = frozenset({"include", "drop_variables", "chunks", "storage_options"})
    held: Mapping[str, object] = {"fluorescence": "dff"}
    heavy_parts = (
        "templates come with files named *behavior+image+ophys.nwb, movies with *obj-raw*.nwb; a "
        "session opened by its id with datadir= is looked for in all of its files, and several "
        "files can be given as a list"
    )

    def recognises(self, place: Place) -> bool:
        return isinstance(place, RemoteFile) or place.is_file()

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        return [folder / name for name in files if self.is_named(name)]

    def is_named(self, name: str) -> bool:
        """Say whether a name is one of an NWB file."""
        return name.lower().endswith(".nwb")

    def named(self, place: Place) -> Identity | None:
        return published.named(place)

    def identity(self, place: Place) -> Identity:
        from oscaxr.formats.nwb.header import read_identity

        return read_identity(place)

    def open(self, places: Places, options: OpenOptions, facts: Facts | None) -> xr.Dataset:
        from oscaxr.formats.nwb.dataset import open_nwb

        return open_nwb(places, options, facts)

    def stored_series(self, file: "Hdf5File") -> "Mapping[str, DatasetReader]":
        """Return what reads clocks, running and pupil as a file stores them, by variable."""
        from oscaxr.formats.nwb.recordings import stored_series

        return stored_series(file)


class _Original:
    name = "a session in the original layout"
    looks_like = "session folders in the original layout (ophys_session_<id>)"
    options = frozenset(
        {"include", "drop_variables", "chunks", "fluorescence", "segmentation", "keep_decoded"}
        | {"storage_options"}
    )
    held: Mapping[str, object] = {}
    heavy_parts = (
        "the original layout has neither stimulus templates nor movies, and reduced stimulus logs "
        "no squares"
    )

    def recognises(self, place: Place) -> bool:
        if isinstance(place, RemoteFile) and (NWB.is_named(place.name) or published.file_of(place)):
            # It is a file: a store need not be asked.
            return False
        return is_session_folder(place)

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        return [folder / name for name in folders if folder_id(folder / name) is not None]

    def named(self, place: Place) -> Identity | None:
        number = folder_id(place)
        return None if number is None else Identity(number)

    def identity(self, place: Place) -> Identity:
        tree = read_tree(place)
        return Identity(tree.session_id, tree.mouse_id, date=int(tree.date.replace("-", "")))

    def open(self, places: Places, options: OpenOptions, facts: Facts | None) -> xr.Dataset:
        from oscaxr.formats.original.dataset import open_original

        return open_original(places[0], options, facts)


class _NwbInZarr:
    """What is found and recognised, so that it is named as what it is; it is not read."""

    name = "NWB in Zarr"
    looks_like = ""
    options = frozenset(DEFAULTS)
    held: Mapping[str, object] = {}
    heavy_parts = ""

    def recognises(self, place: Place) -> bool:
        if isinstance(place, RemoteFile):
            return place.name.lower().endswith(".nwb.zarr")
        return is_nwb(place)

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        named = [folder / name for name in folders if name.lower().endswith((".nwb", ".zarr"))]
        return [path for path in named if self.recognises(path)]

    def named(self, place: Place) -> Identity | None:
        # A session that is there in a form that is read is opened in that.
        return None

    def identity(self, place: Place) -> Identity:
        raise FormatError(why_not_nwb(place))

    def open(self, places: Places, options: OpenOptions, facts: Facts | None) -> xr.Dataset:
        raise FormatError(why_not_nwb(places[0]))


class _Export:
    """What :func:`oscaxr.save` wrote: the format that is written, too."""

    options = frozenset({"include", "drop_variables", "chunks", "storage_options"})
    # Its traces are those that were saved, of whichever kind.
    held: Mapping[str, object] = {}
    heavy_parts = (
        "an export has what was saved; open the session's own files with it, and save that"
    )

    def __init__(self, name: str, kind: StoreFormat) -> None:
        self.name = name
        self.kind = kind
        self.looks_like = f"exports of sessions ({', '.join(SUFFIXES[kind])})"

    def recognises(self, place: Place) -> bool:
        return self._is_named(place.name)

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        return [folder / name for name in (*folders, *files) if self._is_named(name)]

    def named(self, place: Place) -> Identity | None:
        return None

    def identity(self, place: Place) -> Identity:
        from oscaxr.store.current import session_identity

        return session_identity(place)

    def open(self, places: Places, options: OpenOptions, facts: Facts | None) -> xr.Dataset:
        from oscaxr.store.open import open_session_export

        dropped = dropped_names(options.get("drop_variables"))
        return open_session_export(places[0], dropped, facts)

    def open_tree(self, place: Path, options: OpenOptions) -> xr.DataTree | None:
        """Open an export of a tree; None where it is one of something else."""
        from oscaxr.store.open import layouts_of, open_exported

        if layouts_of(place)[""].kind != "DataTree":
            return None
        honoured = self.options - {"include", "storage_options"}
        check_honoured(options, honoured, "an export of a tree", place, self.held)
        given: dict[str, Any] = {k: value for k, value in options.items() if k in honoured}
        tree: xr.DataTree = open_exported(place, **given)
        return tree

    def n_bytes(self, place: Place) -> int | None:
        """Return the size of what is there; None where nothing is."""
        from oscaxr.store.current import n_bytes

        return n_bytes(place)

    def difference(self, ds: xr.Dataset, target: Place, dtype: str | None, *, deep: bool) -> str:
        """Say in what an export is not what would be written now; empty where it is the same."""
        from oscaxr.store.current import difference

        return difference(ds, target, dtype, deep=deep)

    def save(self, ds: xr.Dataset, target: Place, dtype: str | None, *, overwrite: bool) -> None:
        """Write a session, as :func:`oscaxr.save`."""
        from oscaxr.store.save import save

        save(ds, target, dtype=dtype, overwrite=overwrite)

    def _is_named(self, name: str) -> bool:
        return format_named(name) == self.kind


NWB: Final = _Nwb()
ORIGINAL: Final[Format] = _Original()
NWB_IN_ZARR: Final[Format] = _NwbInZarr()
ZARR: Final = _Export("an export in zarr", "zarr")
NETCDF: Final = _Export("an export in netCDF", "netcdf")
INDEX: Final = SessionIndex()

# In the order in which they are preferred where a session lies in a folder in several formats.
FORMATS: Final[Sequence[Format]] = (NWB, ORIGINAL, NWB_IN_ZARR, ZARR, NETCDF)
EXPORTS: Final = (ZARR, NETCDF)
LOOKS: Final = tuple(one.looks_like for one in FORMATS if one.looks_like)
"""How what is read looks, for messages about what is not."""
# By which variable each heavy part is known.
_PART_VARIABLES: Final = {"squares": "square_x", "templates": "template_", "movie": n.MOVIE}
# A name that is plainly an index's or an export's counts before what any file, or folder, could be;
# on a server, any address could be that of an NWB file.
_ASKED: Final[Sequence[Format]] = (INDEX, NWB_IN_ZARR, *EXPORTS, ORIGINAL, NWB)


def location(
    path: str | os.PathLike[Any], storage_options: Mapping[str, Any] | None = None
) -> Place:
    """Return a local path, or the file on a server that a URL stands for."""
    if isinstance(path, RemoteFile) and storage_options is None:
        return path
    options = {} if storage_options is None else storage_options
    if is_url(path):
        return remote_file(os.fspath(path), options)
    if isinstance(path, str) and scheme_of(path) not in ("", "file"):
        raise CriterionError(
            f"{public_url(path)}: addresses that are read begin with "
            f"{', '.join(f'{one}://' for one in EXTRAS)} or file://"
        )
    place = local_path(path)
    if options and not INDEX.recognises(place):
        raise OptionError(
            f"storage_options= is for files on a server (https://, s3://, ...), but {path} is "
            f"{format_of(place).name} on this machine"
        )
    return place


def format_of(place: Place) -> Format:
    """Return the format of the session at a place."""
    found = "there is no such file or folder"
    if isinstance(place, RemoteFile) or place.exists():
        for one in _ASKED:
            if one.recognises(place):
                return one
        found = "it is a folder" if os.path.isdir(place) else "it is no regular file"  # noqa: PTH112
    expected = "; ".join(LOOKS)
    raise SessionNotFoundError(
        f"cannot open {place} as a session: {found}. Check the path. Sessions are {expected}. "
        "oscaxr.open_session(session_id, datadir=...) looks for one; oscaxr.find_sessions(folder) "
        "lists those in a folder."
    )


def named_like(path: Place, formats: Sequence[SomeFormat]) -> SomeFormat | None:
    """Return the format that a name is one of, whatever lies there."""
    name = [path.name]
    return next((one for one in formats if one.find(path.parent, name, name)), None)


def is_published_name(name: str) -> bool:
    """Say whether a name alone, in whatever case, is one that a published session has."""
    return NWB.is_named(name) or id_in_name(name.lower()) is not None


def is_session(path: Path) -> bool:
    """Say whether a session is what lies at a path, so that it is no folder to search."""
    return path.exists() and any(one.recognises(path) for one in _ASKED)


def open_places(places: Places, options: OpenOptions, facts: Facts | None = None) -> xr.Dataset:
    """Open the session that lies at these places, in whatever format, lazily."""
    format_, *others = [format_of(place) for place in places]
    if others and {format_, *others} != {NWB}:
        listed = ", ".join(f"{place} is {format_of(place).name}" for place in places)
        raise CriterionError(
            f"Several places are one session only where all of them are its NWB files; {listed}. "
            "Open them one by one."
        )
    check_honoured(options, format_.options, format_.name, places[0], format_.held)
    ds = format_.open(places, options, facts)
    include = options.get("include", ())
    wanted, by_name = parts_of(include)
    held = [*map(str, ds.variables), *dropped_names(options.get("drop_variables"))]
    missing = [
        part for part in wanted if not any(name.startswith(_PART_VARIABLES[part]) for name in held)
    ]
    if by_name and missing:
        ds.close()
        raise MissingVariableError(
            f"include={include!r}: {', '.join(map(str, places))} holds no {', '.join(missing)}: "
            f"{format_.heavy_parts}."
        )
    return ds


def places_below(
    folder: Place, on_error: Callable[[OSError], object] | None = None
) -> dict[Format, list[Place]]:
    """Return what is named like a session below a folder, each real one once, by format."""
    found: dict[Format, dict[str, Place]] = {one: {} for one in FORMATS}
    if isinstance(folder, RemoteFile) and folder.is_http:
        raise SessionNotFoundError(
            f"{folder}: what lies below an address on the web cannot be listed. Give the addresses "
            "of the files, an index of them, or a folder in an object store (s3://bucket/...)."
        )
    if not is_folder(folder):
        is_file = isinstance(folder, Path) and folder.is_file()
        what = "is a file, not a folder" if is_file else "does not exist"
        raise SessionNotFoundError(
            f"The data folder {folder} {what}. Give the folder below which the sessions lie."
        )
    if ORIGINAL.recognises(folder):
        return {one: [folder] if one is ORIGINAL else [] for one in FORMATS}
    for root, folders, files in walk(folder, on_error):
        for one in FORMATS:
            for path in one.find(root, folders, files):
                real = os.path.realpath(path) if isinstance(path, Path) else path.url
                found[one].setdefault(real, path)
                if path.name in folders:
                    # What is a session itself is not searched.
                    folders.remove(path.name)
    return {one: sorted(paths.values(), key=steps_of) for one, paths in found.items()}


def steps_of(place: Place) -> tuple[str, ...]:
    """Return by what places are put in order."""
    return Path(place).parts
