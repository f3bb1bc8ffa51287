"""Names that have changed: what is now in their place, said by the error that an old one raises."""

from collections.abc import Collection
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NoReturn

from oscaxr.errors import RenamedError

_USI: Final = (
    "visual flow is integrated from 0 to 1 s of each segment (it was 0.6 s), or as the papers do, "
    'with split="unexpected_onset"; and permutations, of which there were 1000, are to be asked for'
)
ANALYSES: Final = {
    "unexpected_index": (
        "oscaxr.analyses.discrimination_index (expected, unexpected, permutations=1000, seed=0)"
    ),
    "unexpected_index_of": (
        f"oscaxr.analyses.usi (ds, stimulus, permutations=1000, seed=0): {_USI}"
    ),
    "tracked_unexpected_index": (
        "oscaxr.analyses.usi (ds, stimulus, permutations=1000, seed=0, tracked=True) of each "
        f"session, and oscaxr.align_tracked of what that gives: {_USI}"
    ),
}
"""What to write for a name that ``oscaxr.analyses`` had."""

NAMES: Final = {
    "sessions": 'oscaxr.session_table("mouse_df.csv")',
    "session_row": "oscaxr.sessions.table.session_row",
    "pilot_omissions": "oscaxr.sessions.table.pilot_omissions",
    "read_match_examples": "oscaxr.formats.original.matches.read_match_examples",
    "scale_parameters": "oscaxr.measure.scale_parameters (or the method: ds.osca.scale_parameters)",
    "onset_pairs": "oscaxr.select.tables.onset_pairs (or the method: ds.osca.onset_pairs)",
    "patches_around": "oscaxr.select.tables.patches_around (or the method: ds.osca.patches_around)",
    "convert_frames": "oscaxr.select.frames.convert_frames (or the method: ds.osca.convert_frames)",
    **ANALYSES,
}
"""What to write for a name that ``oscaxr`` had."""

_OPENING: Final = {
    "sessions": 'table="mouse_df.csv"',
    "runtype": 'run_type="prod"',
    "mouse_df": 'table="mouse_df.csv"',
    "mouse_n": "mouse=1",
    "sess_n": "session=1",
    "sessid": "session_id=758519303",
    "sess_id": "session_id=758519303",
    "fluor": 'fluorescence="raw"',
    "dend": 'segmentation="extr"',
    "full_table": 'include="squares"',
}
_SELECTING: Final = {
    "stimtype": 'stimulus="gabors"',
    "stim": 'stimulus="gabors"',
    "gabk": "gabor_kappa=16",
    "gabfr": 'gabor_frame="U"',
    "gab_ori": "gabor_mean_orientation=90",
    "unexp": "unexpected=1",
    "visflow_dir": 'main_flow_direction="right"',
    "visflow_size": "square_size=128",
    "bri_dir": 'main_flow_direction="right"',
    "bri_size": "square_size=128",
    "remconsec": "run_start=True",
}
_EXTRACTING: Final = {
    "padding": "pad=(1, 1)",
    "ch_fl": 'edge="drop"',
    "fr_type": 'clock="twop"',
}
_CALLS: Final = (
    ("oscaxr.open_session({})", _OPENING),
    ("ds.osca.select({})", _SELECTING),
    ("ds.osca.sequences(..., {})", _EXTRACTING),
)
_ELSEWHERE: Final = {
    "by": "the index of oscaxr.segment_table(ds), or its columns start_frame_twop and block",
    "plane": 'oscaxr.default_sessions(..., plane="soma")',
    "line": 'oscaxr.default_sessions(..., line="L5")',
    "layer": 'oscaxr.default_sessions(..., line="L5")',
    "integ": "sequences(...).osca.integrate()",
    "baseline": "sequences(...).osca.baseline(0.5)",
    "smooth": "sequences(...).osca.smooth(5)",
    "rel_time": "window=(-0.5, 0)",
}

KEYWORDS: Final = {**_OPENING, **_SELECTING, **_EXTRACTING, **_ELSEWHERE}
"""What to write for a keyword that there was, or that the published tool has."""

_WORDS: Final = {
    "split": {
        "by_exp": "unexpected",
        "unexp_lock": "unexpected_onset",
        "exp_lock": "expected_onset",
        "stim_onset": "stimulus_onset",
        "stim_offset": "stimulus_offset",
    },
}
"""What the published tool's values of a keyword are here."""

OPTIONS: Final = {"--sessions": "--table mouse_df.csv", "--runtype": "--run-type prod"}
"""What to write for an option of the command line."""


def renamed_keyword(name: str, accepted: Collection[str]) -> str:
    """Say what an old keyword is now, and of which call where it is none of those accepted."""
    now = KEYWORDS[name]
    if now.partition("=")[0] not in accepted:
        now = next((call.format(now) for call, words in _CALLS if name in words), now)
    return f"{name}= is now {now}"


def refuse_word(name: str, value: Any) -> None:
    """Refuse a word of the published tool for a keyword, with the one that it is here."""
    if isinstance(value, str) and value in _WORDS[name]:
        raise RenamedError(f"{name}={value!r} is now {name}={_WORDS[name][value]!r}")


def refuse_keywords(function: str, unknown: Collection[str], accepted: Collection[str]) -> None:
    """Refuse keywords that a function does not have, the old ones with their new names."""
    old = [renamed_keyword(name, accepted) for name in sorted(unknown) if name in KEYWORDS]
    if old:
        raise RenamedError(f"{function}: {'; '.join(old)}")
    for name in unknown:
        near = get_close_matches(name, accepted, n=1)
        hint = f" (do you mean {near[0]}?)" if near else ""
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


class OnceAFunction(ModuleType):
    """A module that has the name which a function had before."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Say what the function is called now."""
        name = self.__name__.rpartition(".")[2]
        raise RenamedError(f"{self.__name__}(...) is now {NAMES[name]}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to other processes by name, as modules are."""
        return import_module, (self.__name__,)
