"""Which session a command is about: its path or id, or the numbers of mouse and session."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import pandas as pd
import typer
import xarray as xr

from oscaxr.cli.console import messages, say, working
from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.files.remote import is_url
from oscaxr.formats.registry import is_session
from oscaxr.sessions.asked import typed_table
from oscaxr.sessions.open import open_session
from oscaxr.sessions.words import TABLE_NAME, table_in

SESSION_WORDS: Final = (
    "SESSION is the path of an NWB file (or its https:// address), of an export, or of a session's "
    "folder in the original layout; or a session id, with --datadir. Or leave it out and give "
    "--mouse and --session."
)
# What the library calls things, in its messages, and what they are called here.
OPTION_WORDS: Final = {
    "datadir": "--datadir",
    "table": "--table",
    "mouse": "--mouse",
    "session": "--session",
    "run_type": "--run-type",
    "segmentation": "--segmentation",
    "fluorescence": "--fluorescence",
}

_PANEL: Final = "Which session"

DatadirOption = Annotated[
    Path | None,
    typer.Option(
        "--datadir",
        metavar="DIR",
        envvar="OSCAXR_DATADIR",
        exists=True,
        file_okay=False,
        help="Folder below which the files of sessions lie, at any depth.",
        rich_help_panel=_PANEL,
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--table",
        metavar="CSV",
        envvar="OSCAXR_TABLE",
        exists=True,
        dir_okay=False,
        help="Session table; by default mouse_df.csv in the data folder, if it is there.",
        rich_help_panel=_PANEL,
    ),
]


class RunType(StrEnum):
    """Production or pilot: the numbers of pilot mice begin from 1, too."""

    PRODUCTION = "prod"
    PILOT = "pilot"


class Segmentation(StrEnum):
    """Which ROIs of a session in the original layout."""

    EXTRACT = "extr"
    ALLEN = "allen"


class Fluorescence(StrEnum):
    """Which traces of a session in the original layout."""

    DFF = "dff"
    RAW = "raw"


@dataclass(frozen=True)
class Asked:
    """What says which session is asked for, where its files are, and its table."""

    words: tuple[str, ...]
    mouse: int | None
    session: int | None
    run_type: RunType | None
    datadir: Path | None
    table: Path | None
    table_given: bool
    segmentation: Segmentation | None = None
    fluorescence: Fluorescence | None = None

    def open(self, words: Sequence[str], *, include: Collection[str] = ()) -> xr.Dataset:
        """Open the session."""
        if len(words) > 1:
            raise typer.BadParameter(
                f"one session is needed, but there are {len(words)} words that are not NAME=VALUE "
                f"(written without spaces): {' '.join(words)}"
            )
        numbered = self.mouse is not None or self.session is not None
        if bool(words) == numbered:
            raise typer.BadParameter(
                "give the session once: its path or id, or --mouse and --session"
                if words
                else "say which session: its path, its id, or --mouse and --session"
            )
        if words and not words[0].isdecimal():
            if not is_url(words[0]):
                check_path(Path(words[0]))
            return self._open_path(words[0], include)
        datadir = self.require_datadir()
        table = self.numbered_table(datadir)
        if numbered and table is None:
            raise typer.BadParameter(
                "--mouse and --session are numbers of the session table: give --table CSV "
                f"(or set OSCAXR_TABLE, or have a {TABLE_NAME} in {datadir})"
            )
        with working("opening"):
            return open_session(
                int(words[0]) if words else None,
                mouse=self.mouse,
                session=self.session,
                run_type=None if self.run_type is None else self.run_type.value,
                datadir=datadir,
                table=table,
                include=include,
                **self._original(),
            )

    def open_mouse(self, words: Sequence[str]) -> list[xr.Dataset]:
        """Open several sessions: those named, or all of one mouse."""
        if words and (self.mouse is not None or self.session is not None):
            raise typer.BadParameter("give the sessions once: their paths or ids, or --mouse")
        if words or self.session is not None:
            ids: Sequence[str] = words
        elif self.mouse is None:
            raise typer.BadParameter(
                "say which sessions: their paths or ids, or --mouse for all of a mouse"
            )
        else:
            table = self.numbered_table(self.require_datadir())
            if table is None:
                raise typer.BadParameter("--mouse is a number of the session table: give --table")
            rows = table[table["mouse_n"] == self.mouse]
            if self.run_type is not None and "runtype" in rows:
                rows = rows[rows["runtype"] == self.run_type.value]
            if rows.empty:
                raise SessionNotFoundError(
                    f"the session table has no mouse {self.mouse}; it has the mice "
                    f"{', '.join(map(str, sorted(set(table['mouse_n']))))}"
                )
            ids = [str(number) for number in rows["sessid"]]
        by_id = replace(self, mouse=None, session=None)
        return [by_id.open([one]) for one in ids] if ids else [self.open([])]

    def require_datadir(self) -> Path:
        """Return the folder of the files, or say that it is needed."""
        if self.datadir is None:
            raise typer.BadParameter(
                "say where the files are: --datadir DIR (or set OSCAXR_DATADIR), or give the path "
                "of one"
            )
        return self.datadir

    def numbered_table(self, datadir: Path) -> pd.DataFrame | None:
        """Return the session table: the one given, or the one in the data folder."""
        path = self.table or table_in(datadir)
        return None if path is None else typed_table(path)

    def _original(self) -> dict[str, Any]:
        """Return what only sessions in the original layout have a choice of."""
        asked = {"segmentation": self.segmentation, "fluorescence": self.fluorescence}
        return {name: None if one is None else one.value for name, one in asked.items()}

    def _open_path(self, path: str, include: Collection[str]) -> xr.Dataset:
        with working("opening"):
            try:
                return open_session(
                    path,
                    run_type=None if self.run_type is None else self.run_type.value,
                    table=self.table,
                    include=include,
                    **self._original(),
                )
            except SessionNotFoundError:
                if self.table is None or self.table_given:
                    raise
            opened = open_session(path, include=include, **self._original())
        say(
            messages(),
            f"Note: the session table {self.table} (OSCAXR_TABLE) does not have this session: its "
            "facts are those that the file knows.",
            style="yellow",
        )
        return opened


def check_path(path: Path) -> None:
    """Say what to do about a path that is no session's."""
    if not path.exists():
        raise SessionNotFoundError(
            f"there is no file {path}. Give the path of an NWB file or export, or a session id "
            "with --datadir; `oscaxr sessions FOLDER` lists the sessions in a folder."
        )
    if path.is_dir() and not is_session(path):
        raise SessionNotFoundError(
            f"{path} is a folder, not a session: `oscaxr sessions {path}` lists the sessions in "
            f"it; open one by its path, or by its id with --datadir {path}"
        )


def _asked(
    context: typer.Context,
    word: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="Which session; see above.")
    ] = None,
    mouse: Annotated[
        int | None,
        typer.Option("--mouse", help="Number of the mouse in the table.", rich_help_panel=_PANEL),
    ] = None,
    session: Annotated[
        int | None,
        typer.Option("--session", help="Number of its session.", rich_help_panel=_PANEL),
    ] = None,
    run_type: Annotated[
        RunType | None,
        typer.Option(
            "--run-type",
            help="Tells apart mice that have one number in production and pilot.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    datadir: DatadirOption = None,
    table: TableOption = None,
    segmentation: Annotated[
        Segmentation | None,
        typer.Option(
            "--segmentation", help="Which ROIs (original layout).", rich_help_panel=_PANEL
        ),
    ] = None,
    fluorescence: Annotated[
        Fluorescence | None,
        typer.Option(
            "--fluorescence", help="Which traces (original layout).", rich_help_panel=_PANEL
        ),
    ] = None,
) -> Asked:
    source = context.get_parameter_source("table")
    given = source is not None and source.name == "COMMANDLINE"
    words = () if word is None else (word,)
    return Asked(words, mouse, session, run_type, datadir, table, given, segmentation, fluorescence)


def takes_session(*help_words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the argument and the options that say which session."""
    context, word, *options = inspect.signature(_asked).parameters.values()

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command).parameters.values()
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in (context, word, *own, *options)
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            asked = {name: given.pop(name) for name in inspect.signature(_asked).parameters}
            command(_asked(**asked), **given)

        setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010 (not declared)
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__doc__ = "\n\n".join([inspect.cleandoc(command.__doc__ or ""), *help_words])
        return run

    return decorated


CRITERIA_WORDS: Final = (
    "Criteria are named like the columns of the segment table: NAME=VALUE, NAME=VALUE,VALUE or "
    "NAME=MIN:MAX (MAX excluded; one end may be left out), e.g. gabor_frame=D,U gabor_kappa=16 "
    "start_time=60:120. Also stimulus=gabors, and run_start=true for the first of consecutive "
    "segments. A wrong name or value is answered with those that there are."
)

_CRITERION: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)
_WHOLE: Final = re.compile(r"[-+]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}


def split_words(words: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Tell criteria from the other words of a command line, and read them."""
    others: list[str] = []
    criteria: dict[str, Any] = {}
    for word in words:
        match = _CRITERION.fullmatch(word)
        if match is None:
            others.append(word)
            continue
        name, text = match[1], match[2]
        if name in criteria:
            raise CriterionError(
                f"the criterion {name} is given twice; several values are written "
                f"{name}=VALUE,VALUE"
            )
        if name == "explain":
            raise CriterionError("unknown criterion 'explain': what each criterion left is shown")
        criteria[name] = read_value(name, text)
    return others, criteria


def read_value(name: str, text: str) -> Any:
    """Read the value of a criterion."""
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise CriterionError(
            f"{name}={text}: a value is missing; write {name}=VALUE or {name}=VALUE,VALUE"
        )
    ranges = [part for part in parts if _is_range(part)]
    if ranges and len(parts) > 1:
        raise CriterionError(
            f"{name}={text}: give one range MIN:MAX, or several values, not both together"
        )
    if ranges:
        low, _, high = ranges[0].partition(":")
        return (
            _scalar(low) if low else float("-inf"),
            _scalar(high) if high else float("inf"),
        )
    values = [_scalar(part) for part in parts]
    return values if len(values) > 1 else values[0]


def _is_range(text: str) -> bool:
    low, colon, high = text.partition(":")
    ends = [end for end in (low, high) if end]
    return bool(colon and ends) and all(_NUMBER.fullmatch(end) for end in ends)


def _scalar(text: str) -> int | float | bool | str:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return _FLAGS.get(text.lower(), text)
