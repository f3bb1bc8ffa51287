"""The sessions that can be looked at: what there is, opened once, shared by all pages."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.errors import OscaxrError, SessionNotFoundError, collected_warnings, without_secrets
from oscaxr.explore.background import Kept
from oscaxr.explore.view import Criteria
from oscaxr.formats.original.matches import read_matches
from oscaxr.model import names as n
from oscaxr.select.criteria import select_segments
from oscaxr.sessions.find import find_sessions
from oscaxr.sessions.open import open_session
from oscaxr.sessions.table import session_table

TABLE_NAME: Final = "mouse_df.csv"
# Of what is one session, or an index, in a store: it is not listed.
_ENDINGS: Final = (".nwb", ".zarr", ".zip", ".nc", ".json")
# Sessions that no page looks at stay open, this many: people go back and forth.
_IDLE: Final = 1


@dataclass(frozen=True)
class Source:
    """One session that can be opened: what it is called, and the Python that opens it."""

    label: str
    code: str
    open: Callable[[], xr.Dataset]
    mouse: str = ""


@dataclass(eq=False)
class Opened:
    """A session that is open, with what was found out about it."""

    key: str
    source: Source
    ds: xr.Dataset
    kept: Kept = field(default_factory=Kept)
    users: int = 0

    @cached_property
    def _segments(self) -> xr.Dataset:
        """All segments, with their coordinates alone: the rest would be selected from too."""
        return self.ds.drop_vars(
            [name for name, one in self.ds.variables.items() if one.dims not in ((), (n.SEGMENT,))]
        )

    @property
    def title(self) -> str:
        """What the session is called, as where it is chosen unless that is the name of a file."""
        return self.source.label if self.source.mouse else session_title(self.ds)

    def select(self, criteria: Criteria) -> xr.Dataset:
        """Return the segments that fulfil criteria, with their coordinates alone."""

        def make() -> xr.Dataset:
            found: xr.Dataset = select_segments(self._segments, **criteria)
            return found

        return self.kept.of(("segments", json.dumps(dict(criteria), sort_keys=True)), make)


class Shelf:
    """All sessions of one exploration, each opened once and closed when no page needs it."""

    def __init__(self, sources: Mapping[str, Source], notes: Iterable[str] = ()) -> None:
        self.sources = _told_apart(sources)
        self.notes = list(notes)
        self.matches: Callable[[], xr.Dataset] | None = None
        self._opened: dict[str, Opened] = {}
        self._lock = threading.RLock()

    def take(self, key: str) -> Opened:
        """Return a session, opened if it is not; to be given back."""
        if key not in self.sources:
            raise SessionNotFoundError(
                f"there is no session {key!r} here, but {', '.join(self.sources)}"
            )
        with self._lock:
            if key not in self._opened:
                self._close_idle(_IDLE - 1)
                source = self.sources[key]
                self._opened[key] = Opened(key, source, source.open())
            opened = self._opened[key] = self._opened.pop(key)
            opened.users += 1
            return opened

    def give_back(self, opened: Opened) -> None:
        """Say that one page needs a session no more."""
        with self._lock:
            opened.users -= 1
            self._close_idle(_IDLE)

    def forget(self, opened: Opened) -> None:
        """Close a session whose file has changed, so that it is opened anew."""
        with self._lock:
            if self._opened.get(opened.key) is opened:
                del self._opened[opened.key]
            opened.kept.clear()
            opened.ds.close()

    def of_mouse(self, key: str) -> list[str]:
        """Return the keys of all sessions of a session's mouse, in their order."""
        mouse = self.sources[key].mouse
        return [one for one, source in self.sources.items() if source.mouse == mouse]

    def close(self) -> None:
        """Close all sessions."""
        with self._lock:
            for opened in list(self._opened.values()):
                self.forget(opened)

    @property
    def n_open(self) -> int:
        """Number of sessions that are open."""
        return len(self._opened)

    def _close_idle(self, most: int) -> None:
        idle = [one for one in self._opened.values() if one.users <= 0]
        for opened in idle[: max(0, len(idle) - most)]:
            self.forget(opened)


def _told_apart(sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return sources of which no two are called the same: they are chosen by what they are called.

    Files of different folders may have one name, and one session may be there in several forms.
    """
    counts = Counter(one.label for one in sources.values())
    return {
        key: one if counts[one.label] == 1 else replace(one, label=f"{one.label} [{key}]")
        for key, one in sources.items()
    }


# -- what there is --------------------------------------------------------------------------------
def shelf_of(
    sessions: Any, *, datadir: Any = None, table: Any = None, matches: Any = None, **options: Any
) -> Shelf:
    """Make the shelf of what was asked for; `matches` is the path of a matching file."""
    shelf = _shelf_of(sessions, {"datadir": datadir, "table": table, **options})
    if matches is not None:
        # An address is reached as the sessions are.
        storage = options.get("storage_options") if "://" in str(matches) else None
        shelf.matches = partial(read_matches, str(matches), storage_options=storage)
    return shelf


def _shelf_of(sessions: Any, how: Mapping[str, Any]) -> Shelf:
    """Make the shelf of Datasets, a tree, paths, ids, or a folder of them."""
    if isinstance(sessions, xr.Dataset):
        return Shelf(_of_datasets([sessions]))
    if isinstance(sessions, xr.DataTree):
        return Shelf(_of_datasets([leaf.to_dataset() for leaf in sessions.leaves]))
    if isinstance(sessions, list | tuple) and all(isinstance(s, xr.Dataset) for s in sessions):
        return Shelf(_of_datasets(sessions))
    # Paths as text, so that they can be written down as Python.
    given = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in how.items()
        if value is not None
    }
    if isinstance(sessions, str | Path) and _may_be_folder(sessions):
        shelf = _of_folder(sessions, given)
        if shelf is not None:
            return shelf
    asked = sessions if isinstance(sessions, list | tuple) else [sessions]
    sources = [_of_asked(one, given) for one in asked]
    return Shelf({str(k): source for k, source in enumerate(sources, start=1)})


def _may_be_folder(place: str | Path) -> bool:
    """Say whether a place is a folder of sessions; of an address, whether it could be one."""
    if "://" in str(place):
        return not re.match(r"https?:", str(place)) and Path(place).suffix not in _ENDINGS
    if not Path(place).is_dir():
        return False
    try:
        open_session(place).close()
    except SessionNotFoundError:
        return True
    except OscaxrError:
        return False
    return False


def _of_asked(asked: Any, given: Mapping[str, Any]) -> Source:
    known = str(asked) if isinstance(asked, Path) else asked
    if isinstance(known, str) and Path(known).exists():
        known = str(Path(known).absolute())
    label = Path(without_secrets(known)).name if isinstance(known, str) else f"session {known}"
    return Source(label, opening_code(known, given), lambda: open_session(known, **given))


def opening_code(known: Any, given: Mapping[str, Any]) -> str:
    """Write the call that opens a session; secrets of servers are left out."""
    words = [] if known is None else [quoted(known)]
    words += [
        f"{name}={quoted(value)}" for name, value in given.items() if name != "storage_options"
    ]
    return without_secrets(f"ox.open_session({', '.join(words)})")


def quoted(value: Any) -> str:
    """Write a value as Python, text between double quotes unless it has quotes in it."""
    text = repr(value)
    plain = isinstance(value, str) and "'" not in value and '"' not in value
    return f'"{text[1:-1]}"' if plain else text


def _of_folder(folder: str | Path, given: Mapping[str, Any]) -> Shelf | None:
    """List the sessions of a folder, None where it is none; what cannot be used is noted."""
    is_here = "://" not in str(folder)
    folder = str(Path(folder).absolute()) if is_here else str(folder)
    try:
        with collected_warnings() as told:
            found = find_sessions(folder, storage_options=given.get("storage_options"))
    except SessionNotFoundError:
        return None
    how = {**given, "datadir": folder}
    # In a store, it is heeded where a session is opened.
    if "table" not in how and is_here and Path(folder, TABLE_NAME).is_file():
        how["table"] = str(Path(folder, TABLE_NAME))
    if "table" in how:
        # Files alone tell only which of the sessions that are here it is.
        table = how["table"]
        # Of a folder in a store, the table may lie here.
        is_there = isinstance(table, str) and "://" in table
        storage = given.get("storage_options") if is_there else None
        rows = session_table(table, storage_options=storage)
        known = rows.set_index("session_id")["session"].to_dict()
        found["session"] = [known.get(one) for one in found["session_id"]]
    sources = {}
    for row in found.to_dict("records"):
        number = int(row["session_id"])
        sources[str(number)] = _of_row(number, row, how)
    notes = [words for words, _ in told]
    if not sources:
        raise SessionNotFoundError("\n".join([f"there are no sessions below {folder}", *notes]))
    return Shelf(sources, notes)


def _of_row(number: int, row: Mapping[Any, Any], how: Mapping[str, Any]) -> Source:
    return Source(
        _titled(row["mouse_id"], row["session"], number),
        opening_code(number, how),
        lambda: open_session(number, **how),
        mouse=str(row["mouse_id"]),
    )


def _of_datasets(sessions: Iterable[xr.Dataset]) -> dict[str, Source]:
    return {str(k): _of_dataset(ds) for k, ds in enumerate(sessions, start=1)}


def _of_dataset(ds: xr.Dataset) -> Source:
    # Whoever gave it closes it: pages work on a copy that has no file of its own to close.
    source = ds.encoding.get("source")
    code = opening_code(source, {}) if source else "ds  # the Dataset that was given to ox.explore"
    mouse = str(ds["mouse_id"].item()) if "mouse_id" in ds.coords else ""
    return Source(session_title(ds), code, ds.copy, mouse=mouse)


def session_title(ds: xr.Dataset) -> str:
    """Return what a session is called, as far as it is known."""
    names = ("mouse_id", "session", "session_id")
    return _titled(*(ds[name].item() if name in ds.coords else None for name in names))


def _titled(mouse: object, session: object, number: object) -> str:
    """Return the words for a session: its mouse, which of the mouse's it is, and its id."""
    words = [f"mouse {mouse}"] * (mouse is not None)
    known = [str(one) for one in (session, number) if one is not None]
    words.append(" ".join(["session", *known[:1], *[f"({one})" for one in known[1:]]]))
    return ", ".join(words)


def facts(ds: xr.Dataset) -> str:
    """Return in one line what a session is."""
    words = [str(ds[name].item()) for name in ("line", "plane") if name in ds.coords]
    words += [f"{ds['depth'].item()} µm"] if "depth" in ds.coords else []
    words.append(f"{ds.sizes[n.ROI]:,} ROI" + "s" * (ds.sizes[n.ROI] != 1))
    minutes = (ds[n.TIME].values[-1] - ds[n.TIME].values[0]) / 60 if ds.sizes[n.TIME] else 0
    words.append(f"{minutes:.0f} min at {float(ds.attrs['twop_fps']):.1f} Hz")
    words += ["synthetic data"] if ds.attrs.get("synthetic") else []
    return " · ".join(words)
