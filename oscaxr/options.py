"""How a session may be opened: the options, declared once, for every opener and every format."""

import os
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, TypedDict, cast, get_args

from oscaxr.errors import OptionError, option
from oscaxr.renamed import KEYWORDS, refuse_keywords

PathLike = str | os.PathLike[Any]
Fluorescence = Literal["dff", "raw"]
Segmentation = Literal["allen", "extr"]

PARTS: Final = ("squares", "templates", "movie")
"""Heavy parts of a session, opened only on request."""


class FileOptions(TypedDict, total=False):
    """Options of opening a session's own files, or an export."""

    include: str | Collection[str] | None
    drop_variables: str | Iterable[str] | None
    chunks: Any
    storage_options: Mapping[str, Any] | None
    fluorescence: Fluorescence | None
    segmentation: Segmentation | None
    keep_decoded: bool | PathLike


class OpenOptions(FileOptions, total=False):
    """Options of :func:`oscaxr.open_session`, of its like, and of ``engine="oscaxr"``."""

    group: str | None
    sources: PathLike | Collection[PathLike] | None


DEFAULTS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(OpenOptions.__annotations__),
    "include": (),
    "keep_decoded": False,
}
# Not of how, but of which session is opened.
_WHICH: Final = ("session_id", "mouse", "session", "run_type", "datadir", "table")
_WORDS: Final = {"fluorescence": get_args(Fluorescence), "segmentation": get_args(Segmentation)}


def check_options(options: Mapping[str, Any]) -> OpenOptions:
    """Return the options as they were given, none misspelt and none of an unknown value."""
    if not set(options) <= set(DEFAULTS):
        old = [name for name in options if name in KEYWORDS]
        refuse_keywords("open_session", old, [*DEFAULTS, *_WHICH])
    problems = []
    for name, value in options.items():
        if name not in DEFAULTS:
            near = get_close_matches(name, DEFAULTS, n=1)
            hint = f" (do you mean {near[0]}?)" if near else ""
            problems.append(f"{name}={value!r}: there is no such option{hint}")
        elif name in _WORDS and value is not None and value not in _WORDS[name]:
            problems.append(f"{name}={value!r}: it is {' or '.join(map(repr, _WORDS[name]))}")
    include, dropped = (options.get(name) or () for name in ("include", "drop_variables"))
    problems += [
        f"{name}={value!r}: give a name, or several"
        for name, value in (("include", include), ("drop_variables", dropped))
        if not _are_names(value)
    ]
    is_named = _are_names(include)
    unknown = [word for word in _words(include) if word not in (*PARTS, "all")] if is_named else []
    if unknown:
        problems.append(
            f"include={options['include']!r}: unknown part(s) {', '.join(map(repr, unknown))}; "
            f"there are {', '.join(map(repr, PARTS))} and 'all'"
        )
    if problems:
        known = (
            f"\nOptions of opening: {', '.join(DEFAULTS)}." if set(options) - set(DEFAULTS) else ""
        )
        raise OptionError("\n".join(problems) + known)
    return cast("OpenOptions", dict(options))


def check_honoured(
    options: Mapping[str, Any],
    honoured: Collection[str],
    format_name: str,
    place: object,
    held: Mapping[str, object],
) -> None:
    """Refuse options that a format cannot honour: none is passed over in silence."""
    useless = [
        option(name, value)
        for name, value in options.items()
        if name not in honoured and value and value != held.get(name)
    ]
    if useless:
        raise OptionError(
            f"{' and '.join(useless)}: {place} is {format_name}, which has no such choice: traces "
            "and ROIs are those that it holds (NWB files: dF/F; of dendrites the ROIs by EXTRACT, "
            "of somata those by the Allen segmentation). Of the "
            f"options of opening, it honours {', '.join(o for o in DEFAULTS if o in honoured)}."
        )


def parts_of(include: str | Collection[str] | None) -> tuple[tuple[str, ...], bool]:
    """Return the parts that `include=` asks for, and whether by name (or by "all", if there)."""
    words = _words(include or ())
    return (PARTS, False) if "all" in words else (words, True)


def dropped_names(drop_variables: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names to leave out as a tuple."""
    return (drop_variables,) if isinstance(drop_variables, str) else tuple(drop_variables or ())


def _are_names(value: Any) -> bool:
    # What can be gone through only once is left to where it is used.
    several = value if isinstance(value, Collection) else ()
    return isinstance(value, Iterable) and all(isinstance(name, str) for name in several)


def _words(include: str | Collection[str]) -> tuple[str, ...]:
    return (include,) if isinstance(include, str) else tuple(include)
