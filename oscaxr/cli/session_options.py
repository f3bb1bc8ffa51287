"""Which session a command is about, how it is opened, and which of its segments are meant."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial, wraps
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pandas as pd
import typer
import xarray as xr

from oscaxr.cli.console import DebugOption, reported_errors, working
from oscaxr.cli.place_options import (
    HOW,
    WHICH,
    DatadirOption,
    StorageOption,
    TableOption,
    storage_options,
)
from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.files.remote import is_url
from oscaxr.formats.registry import is_session
from oscaxr.options import Fluorescence, Segmentation
from oscaxr.sessions.open import open_session
from oscaxr.sessions.settings import TABLE, TABLE_NAME, known_table

SESSION_WORDS: Final = (
    "SESSION is the path of an NWB file (or its https:// or s3:// address), of an export, of a "
    "session's folder in the original layout, or of an index; or a session id, with --datadir. Or "
    "leave it out and give --mouse and --session."
)

# Options of typer, listed under a heading of their own in --help.
_which = partial(typer.Option, rich_help_panel=WHICH)
_how = partial(typer.Option, rich_help_panel=HOW)


RunType = Literal["prod", "pilot"]
"""Production or pilot: the numbers of pilot mice begin from 1, too."""
# As a Literal it could not be repeated: typer has no lists of these.
Part = StrEnum("Part", "squares templates movie all")
"""Heavy parts of a session that are there only when asked for."""


# -- options that commands share ------------------------------------------------------------------
def declared(
    command: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> Callable[..., Any]:
    """Declare the arguments and options of a command, as typer reads them."""
    setattr(command, "__signature__", inspect.Signature(parameters))  # noqa: B010 (not declared)
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --debug, and make one message of what goes wrong in it."""
    own = inspect.signature(command).parameters
    kind = inspect.Parameter.KEYWORD_ONLY
    debugging = inspect.Parameter("debug", kind, default=False, annotation=DebugOption)

    @wraps(command)
    def run(*, debug: bool, **given: Any) -> None:
        with reported_errors(debug):
            command(**given, **({"debug": debug} if "debug" in own else {}))

    return declared(run, list({**own, "debug": debugging}.values()))


def takes(maker: Callable[..., Any], *help_words: str) -> Callable[[Any], Callable[..., Any]]:
    """Give a command the arguments and options of a function, and what that makes of them."""
    own = inspect.signature(maker).parameters
    # The context and the arguments come before those of the command, the options after them.
    leading = [one for one in own.values() if one.name in ("context", "word")]
    options = [one for one in own.values() if one not in leading]

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        _, *others = inspect.signature(command).parameters.values()
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in (*leading, *others, *options)
        ]

        @wraps(command, updated=())
        def run(*made: Any, **given: Any) -> Any:
            # What decorators further out have made is handed on.
            own_made = maker(**{name: given.pop(name) for name in own})
            return command(own_made, *made, **given)

        run.__doc__ = "\n\n".join([inspect.cleandoc(command.__doc__ or ""), *help_words])
        return declared(run, parameters)

    return decorated


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that were given."""
    return {name: one for name, one in options.items() if one is not None and one is not False}


def open_options(
    include: Annotated[
        list[Part] | None,
        _how(
            metavar="PART",
            help=f"Heavy parts to have too: {', '.join(Part)}; may be repeated.",
        ),
    ] = None,
    drop_variables: Annotated[
        list[str] | None, _how(metavar="NAME", help="What to leave out; may be repeated.")
    ] = None,
    fluorescence: Annotated[
        Fluorescence | None, _how(help="Which traces (original layout).")
    ] = None,
    segmentation: Annotated[Segmentation | None, _how(help="Which ROIs (original layout).")] = None,
    keep_decoded: Annotated[
        bool,
        _how(
            "--keep-decoded", help="Keep the decoded stimulus log in the cache (original layout)."
        ),
    ] = False,
    chunks: Annotated[
        list[str] | None,
        _how(metavar="DIM=N", help="Work with dask, in chunks of this size; may be repeated."),
    ] = None,
    header: Annotated[
        list[str] | None,
        _how(metavar="NAME:VALUE", help="What a server is told, e.g. to log in; may be repeated."),
    ] = None,
    storage_option: StorageOption = None,
) -> dict[str, Any]:
    """Return the options of opening that were given."""
    lengths = [one.partition("=") for one in chunks or ()]
    if not all(dim and length.removeprefix("-").isdecimal() for dim, _, length in lengths):
        raise typer.BadParameter("--chunks is written DIM=N, e.g. roi=32 (-1: all of them)")
    pairs = [one.partition(":") for one in header or ()]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        raise typer.BadParameter("--header is written NAME:VALUE, e.g. 'Authorization: token 123'")
    storage: dict[str, Any] = storage_options(storage_option or ())
    if pairs:
        storage["headers"] = {name.strip(): value.strip() for name, _, value in pairs}
    parts = tuple(part.value for part in include or ())
    options: dict[str, Any] = {
        "include": "all" if "all" in parts else parts or None,
        "drop_variables": tuple(drop_variables or ()) or None,
        "chunks": {dim: int(length) for dim, _, length in lengths} or None,
        "fluorescence": fluorescence,
        "segmentation": segmentation,
        "keep_decoded": keep_decoded,
        "storage_options": storage or None,
    }
    return given(options)


@dataclass(frozen=True)
class Asked:
    """What says which session is asked for, where its files are, its table, how to open it."""

    options: Mapping[str, Any]
    context: typer.Context
    word: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="Which session; see above.")
    ] = None
    mouse: Annotated[int | None, _which("--mouse", help="Number of the mouse in the table.")] = None
    session: Annotated[int | None, _which("--session", help="Number of its session.")] = None
    run_type: Annotated[
        RunType | None,
        _which(help="Tells apart mice that have one number in production and pilot."),
    ] = None
    datadir: DatadirOption = None
    table: TableOption = None
    group: Annotated[str | None, _which(help="Which one of an index of sessions.")] = None
    sources: Annotated[
        list[str] | None,
        _which(metavar="DIR|URL", help="Where the files of an index may lie; may be repeated."),
    ] = None

    def split(self, *others: Iterable[str] | None) -> tuple[list[str], dict[str, Any]]:
        """Tell criteria from the other words, those that stand after the session's included."""
        own = [] if self.word is None else [self.word]
        return split_words(chain(own, *(words or () for words in others)))

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
        parts = self.options.get("include", ())
        if parts != "all":
            parts = tuple(dict.fromkeys([*parts, *include]))
        of_index = given({"group": self.group, "sources": self.sources or None})
        options = {**self.options, **of_index, "include": parts}
        if not words or words[0].isdecimal():
            self.numbered_table(required=numbered)
        elif not is_url(words[0]):
            check_path(Path(words[0]))
        said: Any = {"mouse": self.mouse, "session": self.session, "run_type": self.run_type}
        with working("opening"):
            return open_session(
                words[0] if words else None,
                datadir=self.datadir,
                table=self.given_table,
                **said,
                **options,
            )

    @property
    def given_table(self) -> str | None:
        """The session table of the command line; that of the environment is found, not given."""
        source = self.context.get_parameter_source("table")
        return self.table if source is not None and source.name == "COMMANDLINE" else None

    def open_mouse(self, words: Sequence[str]) -> list[xr.Dataset]:
        """Open several sessions: those named, or all of one mouse."""
        if words and (self.mouse is not None or self.session is not None):
            raise typer.BadParameter("give the sessions once: their paths or ids, or --mouse")
        if self.session is not None:
            return [self.open([])]
        if not words and self.mouse is None:
            raise typer.BadParameter(
                "say which sessions: their paths or ids, or --mouse for all of a mouse"
            )
        by_id = replace(self, mouse=None)
        return [by_id.open([one]) for one in words or self._ids_of_mouse()]

    def numbered_table(self, *, required: bool) -> pd.DataFrame | None:
        """Return the session table: the one given, or the one in the data folder."""
        if self.datadir is None:
            raise typer.BadParameter(
                "say where the files are: --datadir DIR (or set OSCAXR_DATADIR), or give the path "
                "of one"
            )
        storage = self.options.get("storage_options")
        table = known_table(self.given_table, self.datadir, storage).rows
        if table is None and required:
            raise typer.BadParameter(
                "--mouse and --session are numbers of the session table: give --table CSV "
                f"(or set {TABLE}, or have a {TABLE_NAME} in {self.datadir})"
            )
        return table

    def _ids_of_mouse(self) -> list[str]:
        table = self.numbered_table(required=True)
        assert table is not None
        rows = table[table["mouse"] == self.mouse]
        if self.run_type is not None and "run_type" in rows:
            rows = rows[rows["run_type"] == self.run_type]
        if rows.empty:
            raise SessionNotFoundError(
                f"the session table has no mouse {self.mouse}; it has the mice "
                f"{', '.join(map(str, sorted(set(table['mouse']))))}"
            )
        return [str(number) for number in rows["session_id"]]


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


asked_session = takes(open_options)(Asked)


takes_session = takes(asked_session, SESSION_WORDS)
"""Give a command the argument and the options that say which session."""


def takes_segments(*help_words: str) -> Callable[[Any], Callable[..., Any]]:
    """Give a command those that say which session; it takes criteria of segments too."""
    return takes(asked_session, *help_words, SESSION_WORDS, CRITERIA_WORDS)


# -- criteria -------------------------------------------------------------------------------------
CRITERIA_WORDS: Final = (
    "Criteria are named like the columns of the segment table: NAME=VALUE, NAME=VALUE,VALUE or "
    "NAME=MIN:MAX (MAX excluded; one end may be left out), e.g. gabor_frame=D,U gabor_kappa=16 "
    "start_time=60:120. Also stimulus=gabors, and run_start=true for the first of consecutive "
    "segments. A wrong name or value is answered with those that there are."
)

CriteriaArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Criteria; see above.")
]

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
        first = _scalar(low) if low else float("-inf")
        last = _scalar(high) if high else float("inf")
        return first, last
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
