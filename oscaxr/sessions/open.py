"""Open one session: by path, by id, or by mouse and session number."""

import operator
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import xarray as xr
from xarray.backends import BackendEntrypoint

from oscaxr.errors import CriterionError, OscaxrError, OscaxrWarning, SessionNotFoundError, warn
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.registry import INDEX, format_of, location, open_places
from oscaxr.options import DEFAULTS, OpenOptions, PathLike, check_options
from oscaxr.sessions.owners import find_places
from oscaxr.sessions.settings import NO_TABLE, KnownTable, Table, data_folder, known_table
from oscaxr.sessions.table import session_row

if TYPE_CHECKING:
    import pandas as pd


def open_session(
    session_id: int | PathLike | Sequence[PathLike] | None = None,
    *,
    mouse: int | None = None,
    session: int | None = None,
    run_type: str | None = None,
    datadir: PathLike | None = None,
    table: Table | None = None,
    **options: Unpack[OpenOptions],
) -> xr.Dataset:
    """Open one session as a lazy Dataset.

    Parameters
    ----------
    session_id : int, path-like or list of path-like, optional
        The 9-digit session id, or the path of an NWB file, of a session's folder in the original
        layout (``ophys_session_<id>``), or of what :func:`oscaxr.save` wrote (``.zarr``,
        ``.zarr.zip``, ``.nc``: they hold the facts and the parts that were saved). Or the address
        of one of them (``https://``, ``s3://``, ``gs://``), of which only what is used is fetched.
        Several NWB files of one session, in a list, are joined: what the first ones lack is taken
        from the others. Or an index of sessions (``.json``, see :func:`oscaxr.write_index`), or its
        URL.
    mouse, session : int, optional
        Number of the mouse and of its session, as in the session table, instead of the id.
    run_type : {"prod", "pilot"}, optional
        Tells apart mice that have the same number in production and pilot.
    datadir : path-like, optional
        Folder below which the session's files are looked for, at any depth: NWB files first, then
        its folder in the original layout, then its export. Or an index of sessions. Or the address
        of such a folder in an object store (``s3://bucket/data``), or of an index; all of
        `storage_options` are then for it too. By default ``OSCAXR_DATADIR``.
    table : path-like or pandas.DataFrame, optional
        The session table, or its address. By default ``OSCAXR_TABLE``, or the ``mouse_df.csv`` in
        the data folder (see :func:`oscaxr.show_config`). Needed for `mouse` and `session`, unless
        the numbers that :func:`oscaxr.find_sessions` gives are meant; otherwise optional: without
        it the facts of the session are those that its file knows.
    **options
        How to open it; an option that the session's format cannot honour is an error.

        - ``include``: heavy parts to have too, ``"squares"``, ``"templates"``, ``"movie"``, or
          ``"all"`` of them; they are lazy then as well.
        - ``drop_variables``: names to leave out.
        - ``chunks``: as for :func:`xarray.open_dataset`: dask arrays of these chunks; ``{}`` takes
          the file's.
        - ``storage_options``: how to read from a server: ``headers`` (mapping) or ``auth`` (user,
          password) where it needs a login; ``timeout``, ``deadline`` (s), ``retries``,
          ``retry_wait`` (s); ``block_size`` (bytes fetched at least at a time), ``cache_size``
          (bytes kept in a temporary file for each open file).
        - ``fluorescence`` (original layout): whether ``dff`` holds dF/F (``"dff"``, the default)
          or raw fluorescence (``"raw"``), which its attributes then say.
        - ``segmentation`` (original layout): which ROIs. Dendritic planes have those that EXTRACT
          found (``"extr"``, the default there) and those of the Allen segmentation (``"allen"``);
          somatic planes have the latter only.
        - ``keep_decoded`` (original layout): whether to keep the decoded stimulus log in the
          user's cache folder (or the one given), by its content, so that the session opens faster
          next time.
        - ``group`` (index of sessions): which of several, e.g. ``"mouse_6/session_1"``.
        - ``sources`` (index of sessions): folders, or beginnings of addresses, below which the
          files lie that may be read. By default, the folder of the index.

    Returns
    -------
    xarray.Dataset
        The same as ``xr.open_dataset(path, engine="oscaxr")`` gives, with the facts of the session
        table. Use ``with`` or ``.close()`` to release the file.

    Raises
    ------
    SessionNotFoundError
        If the table has no such session, or the folder none of its files.
    AmbiguousSessionError
        If several sessions or files fit.
    SessionMismatchError
        If the file's ids disagree with the table.
    OptionError
        If an option is misspelt, or one that the session's format cannot honour.
    FormatError
        If the file is not laid out as specified; all problems are listed. Or if the files of an
        index are not what they were when it was written, or (``UnsafeLinkError``) lie elsewhere
        than in `sources`.
    RemoteError
        If a server cannot be reached, or does not serve ranges of files.

    Warns
    -----
    DroppedFramesWarning
        If more than 0.0003 of the running frames are missing.
    OscaxrWarning
        If a session table that was found, not given, lacks the session.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = tempfile.mkdtemp()
    >>> path = ox.sample.write_nwb(ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02), folder)
    >>> with ox.open_session(900000001, datadir=folder) as ds:
    ...     dict(ds.dff.sizes)["roi"]
    4
    """
    checked = check_options(options)
    numbered = mouse is not None or session is not None
    if session_id is None and not numbered:
        raise CriterionError("say which session: a session id, a path, or mouse= and session=")
    if session_id is not None and numbered:
        raise CriterionError("give a session id or path, or mouse= and session=, not both")
    storage = checked.get("storage_options")
    known = known_table(table, datadir, storage)
    if run_type is not None and known.rows is None:
        raise CriterionError(f"run_type={run_type!r} is told by the session table: give table= too")
    if session_id is not None:
        return id_or_path(session_id, datadir, known, checked, run_type).open()
    folder = data_folder(datadir, storage)
    if known.rows is None:
        raise CriterionError(
            "mouse= and session= are numbers of the session table: give table= (the path of "
            "mouse_df.csv, or oscaxr.find_sessions(datadir) to number the sessions found)"
        )
    row = plain(session_row(known.rows, mouse=mouse, session=session, run_type=run_type))
    return SessionSource((), row["session_id"], folder, facts=row, options=checked).open()


# -- what was asked for ---------------------------------------------------------------------------
class SessionReader(BackendEntrypoint):
    """Opens the session that lies at given places; what all openers have in common."""

    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "files",
        "facts",
        "table",
        # xarray's opener takes these itself.
        *(name for name in DEFAULTS if name not in ("chunks", "drop_variables")),
    )

    def open_dataset(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: PathLike,
        *,
        drop_variables: str | Iterable[str] | None = None,
        files: Sequence[PathLike] = (),
        facts: Mapping[str, Any] | None = None,
        table: Table | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Open a session, lazily."""
        checked = check_options({"drop_variables": drop_variables, **options})
        storage = checked.get("storage_options")
        places = [location(path_of(path), storage) for path in (filename_or_obj, *files)]
        if facts is None:
            source = source_at(places[0], checked, table=known_table(table, storage=storage))
            facts = source.known_facts()
            source.say_if_not_listed(facts)
        return open_places(places, checked, facts or None)


@dataclass(frozen=True)
class SessionSource:
    """One session that was asked for: picklable, and looked for when it is opened, anywhere."""

    places: tuple[Place, ...] = ()
    """Where it lies; empty where that is looked for when it is opened."""
    session_id: int | None = None
    datadir: Place = Path()
    table: KnownTable = NO_TABLE
    """The session table, in which it has to be if that was given."""
    facts: Mapping[str, Any] | None = None
    """Its row of the session table, where that is known already."""
    options: OpenOptions | Mapping[str, Any] = field(default_factory=dict)
    run_type: str | None = None
    problem: str = ""
    """Why it cannot be opened, known before."""
    name: str = ""
    """What it is called where files are named after it."""

    def __str__(self) -> str:
        # Of a URL, only what is no secret: this is shown.
        return str(self.places[0]) if self.places else f"session {self.session_id}"

    def open(self) -> xr.Dataset:
        """Open the session."""
        if self.problem:
            raise OscaxrError(self.problem)
        facts = self.known_facts()
        places = self.places
        if not places and INDEX.recognises(self.datadir):
            self.say_if_not_listed(facts)
            return source_at(self.datadir, self.options, self.session_id, facts=facts).open()
        if not places:
            assert self.session_id is not None
            known = facts or {}
            places = find_places(
                self.datadir,
                self.session_id,
                mouse_id=int(known["mouse_id"]) if "mouse_id" in known else None,
                start=str(known.get("dandi_session_time", "")),
            )
        self.say_if_not_listed(facts)
        chosen: dict[str, Any] = {"files": places[1:], "facts": facts or {}, **self.options}
        # Sessions have their indexes already; to look for others takes longer than to make these.
        chosen["create_default_indexes"] = False
        return xr.open_dataset(places[0], engine=SessionReader, **chosen)

    def identity(self) -> object:
        """Return what tells it from others: its session id, or else its path."""
        if self.session_id is not None:
            return self.session_id
        place = self.places[0]
        try:
            number = _id_at(place)
        except OscaxrError:
            # It fails by itself, beside the others.
            number = None
        return number or (str(place) if isinstance(place, RemoteFile) else place.resolve())

    def known_facts(self) -> Mapping[str, Any] | None:
        """Return its row of the session table, by its own id; one that was given has to have it."""
        if self.table.rows is None:
            return self.facts
        number, told = self.session_id, ""
        if number is None:
            place = self.places[0]
            told = f"{place}: "
            # A file here has to state it; one on a server is not asked where its address tells.
            is_remote = isinstance(place, RemoteFile)
            number = _id_at(place) if is_remote else format_of(place).identity(place).session_id
        try:
            if number is None:
                raise SessionNotFoundError(
                    "it states no session id, so its row of the session table cannot be told. Open "
                    "it without table=, or by session id with datadir=."
                )
            return plain(session_row(self.table.rows, session_id=number, run_type=self.run_type))
        except SessionNotFoundError as error:
            if not self.table.found or self.run_type is not None:
                raise SessionNotFoundError(f"{told}{error}") from error
        return None

    def say_if_not_listed(self, facts: Mapping[str, Any] | None) -> None:
        """Warn where a session table that was found, not given, lacks the session."""
        if facts is None and self.table.found:
            warn(
                f"the session table {self.table.found} does not have {self}: the facts of this "
                "session are those that its files know.",
                OscaxrWarning,
            )


def _id_at(place: Place) -> int | None:
    """Return the session id of a place: by its name, opened only where that does not say."""
    format_ = format_of(place)
    name = format_.named(place)
    return (name and name.session_id) or format_.identity(place).session_id


def path_of(what: Any) -> PathLike:
    """Return a path or URL that was given to xarray, which takes open files as well."""
    if isinstance(what, str | os.PathLike):
        return what
    raise SessionNotFoundError(
        f"cannot open a {type(what).__name__} as a session: give the path or the URL, which oscaxr "
        "opens itself (lazily, and again in other processes)"
    )


def plain(row: "Mapping[Any, Any] | pd.Series[Any]") -> dict[str, Any]:
    """Return a row of the session table as a dict."""
    return {str(name): value for name, value in dict(row).items()}


def id_or_path(
    asked: Any,
    datadir: PathLike | None,
    table: KnownTable,
    options: Mapping[str, Any],
    run_type: str | None = None,
) -> SessionSource:
    """Return the session of an id or a path; its row is looked up when it is opened."""
    known: dict[str, Any] = {"table": table, "options": options, "run_type": run_type}
    if isinstance(asked, list | tuple):
        if not asked:
            raise CriterionError("session_id=[]: give the paths of a session's files")
        storage = options.get("storage_options")
        return SessionSource(tuple(location(path_of(x), storage) for x in asked), **known)
    is_path = not asked.isdecimal() if isinstance(asked, str) else isinstance(asked, os.PathLike)
    if not is_path:
        return SessionSource(
            (), _as_id(asked), data_folder(datadir, options.get("storage_options")), **known
        )
    return source_at(location(asked, options.get("storage_options")), **known)


def source_at(
    place: Place, options: Mapping[str, Any], session_id: int | None = None, **known: Any
) -> SessionSource:
    """Return the session at a place; of an index, the one that is meant."""
    if not INDEX.recognises(place):
        return SessionSource((place,), session_id, options=options, **known)
    index = INDEX.read(place)
    group = index.chosen(options.get("group"), session_id)
    return _source_in(place, group, index.sessions[group].session_id, options, **known)


def sources_in(place: Place, options: Mapping[str, Any], **known: Any) -> list[SessionSource]:
    """Return all sessions of an index."""
    sessions = INDEX.read(place).sessions
    return [
        _source_in(place, group, one.session_id, options, **known)
        for group, one in sessions.items()
    ]


def _source_in(
    place: Place, group: str, session_id: int | None, options: Mapping[str, Any], **known: Any
) -> SessionSource:
    chosen = {**options, "group": group}
    return SessionSource(
        (place,), session_id, options=chosen, name=group.replace("/", "_"), **known
    )


def _as_id(value: Any) -> int:
    try:
        return operator.index(int(value) if isinstance(value, str) else value)
    except TypeError as error:
        raise CriterionError(
            f"session_id={reprlib.repr(value)}: a session id is a whole number, or give the path "
            "of a file"
        ) from error
