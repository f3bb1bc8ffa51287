"""Indexes of sessions as a format, for :mod:`oscaxr.formats.registry`."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import xarray as xr

from oscaxr.atomic import explained
from oscaxr.files.folders import new_file
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.identity import Identity
from oscaxr.options import OpenOptions

if TYPE_CHECKING:
    from oscaxr.formats.index.document import Described, Index
    from oscaxr.formats.index.refer import FindSeries

_SUFFIX: Final = ".json"


class SessionIndex:
    """What :func:`oscaxr.write_index` writes: where the values of sessions lie in their files."""

    name = "an index of sessions"
    # In a folder, the files themselves are found.
    looks_like = ""
    options = frozenset(
        {"include", "drop_variables", "chunks", "storage_options", "group", "sources"}
    )
    held: Mapping[str, object] = {"fluorescence": "dff"}
    heavy_parts = "an index has traces, clocks and the stimulus table; open the NWB file with it"

    def recognises(self, place: Place) -> bool:
        """Say whether a place is an index, by its name."""
        return self.is_named(place.name) and (isinstance(place, RemoteFile) or place.is_file())

    def is_named(self, name: str) -> bool:
        """Say whether a name is one of an index."""
        return name.lower().endswith(_SUFFIX)

    def find(self, folder: Place, folders: Collection[str], files: Collection[str]) -> list[Place]:
        """Find none in a folder."""
        return []

    def named(self, place: Place) -> Identity | None:
        """Say nothing by the name."""
        return None

    def identity(self, place: Place) -> Identity:
        """Return whose session an index of one is."""
        index = self.read(place)
        session = index.sessions[index.chosen(None)]
        return Identity(session.session_id, session.mouse_id)

    def open(
        self, places: Sequence[Place], options: OpenOptions, facts: Mapping[str, Any] | None
    ) -> xr.Dataset:
        """Open the session of an index that is meant."""
        from oscaxr.formats.index.indexed_session import open_indexed

        return open_indexed(places[0], options, facts)

    def read(self, place: Place) -> "Index":
        """Read which sessions an index has; no more of it."""
        from oscaxr.formats.index.document import Index

        index = Index(place)
        index.file.close()
        return index

    def described(self, ds: xr.Dataset, find_series: "FindSeries") -> "Described":
        """Return what an index says of an opened session."""
        from oscaxr.formats.index.refer import references_of

        return references_of(ds, find_series)

    def write(
        self, sessions: "Mapping[str, Described]", target: Place, version: str, *, overwrite: bool
    ) -> None:
        """Write an index of sessions, by group."""
        from oscaxr.formats.index.document import lines_of

        with (
            new_file(target, overwrite=overwrite) as path,
            explained(f"could not write {target}"),
            path.open("w", encoding="ascii", newline="\n") as file,
        ):
            file.writelines(lines_of(sessions, version))
