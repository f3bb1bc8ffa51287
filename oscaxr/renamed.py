"""Names that have changed: what is now in their place, said by the error that an old one raises."""

from collections.abc import Collection
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NoReturn

from oscaxr.errors import RenamedError

NAMES: Final = {
    "sessions": 'oscaxr.session_table("mouse_df.csv")',
    "session_row": "oscaxr.sessions.table.session_row",
    "pilot_omissions": "oscaxr.sessions.table.pilot_omissions",
    "read_match_examples": "oscaxr.formats.original.matches.read_match_examples",
    "scale_parameters": "oscaxr.measure.scale_parameters (or the method: ds.osca.scale_parameters)",
    "onset_pairs": "oscaxr.select.tables.onset_pairs (or the method: ds.osca.onset_pairs)",
    "patches_around": "oscaxr.select.tables.patches_around (or the method: ds.osca.patches_around)",
    "convert_frames": "oscaxr.select.frames.convert_frames (or the method: ds.osca.convert_frames)",
    "unexpected_index": "oscaxr.analyses.unexpected_index",
    "unexpected_index_of": "oscaxr.analyses.unexpected_index_of",
    "tracked_unexpected_index": "oscaxr.analyses.tracked_unexpected_index",
}
"""What to write for a name that ``oscaxr`` had."""

KEYWORDS: Final = {
    "sessions": 'table="mouse_df.csv"',
    "runtype": 'run_type="prod"',
    # Of the published tool: which session,
    "mouse_df": 'table="mouse_df.csv"',
    "mouse_n": "mouse=1",
    "sess_n": "session=1",
    "sessid": "session_id=758519303",
    "fluor": 'fluorescence="raw"',
    "dend": 'segmentation="extr"',
    "full_table": 'include="squares"',
    # which segments,
    "stimtype": 'stimulus="gabors"',
    "gabk": "gabor_kappa=16",
    "gabfr": 'gabor_frame="U"',
    "gab_ori": "gabor_mean_orientation=90",
    "unexp": "unexpected=1",
    "visflow_dir": 'main_flow_direction="right"',
    "visflow_size": "square_size=128",
    "remconsec": "run_start=True",
    "by": "the index of oscaxr.segment_table(ds), or its columns start_frame_twop and block",
    # and which frames of them.
    "ch_fl": 'edge="drop" of sequences(..., pre=1, post=1)',
    "fr_type": 'clock="twop" of sequences(...)',
    "integ": "sequences(...).osca.integrate()",
    "baseline": "sequences(...).osca.baseline(0.5)",
    "smooth": "sequences(...).osca.smooth(5)",
}
"""What to write for a keyword that there was, or that the published tool has."""

OPTIONS: Final = {"--sessions": "--table mouse_df.csv", "--runtype": "--run-type prod"}
"""What to write for an option of the command line."""


def refuse_keywords(function: str, unknown: Collection[str]) -> None:
    """Refuse keywords that a function does not have, the old ones with their new names."""
    old = [f"{name}= is now {KEYWORDS[name]}" for name in sorted(unknown) if name in KEYWORDS]
    if old:
        raise RenamedError(f"{function}: {'; '.join(old)}")
    for name in unknown:
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


class OnceAFunction(ModuleType):
    """A module that has the name which a function had before."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Say what the function is called now."""
        name = self.__name__.rpartition(".")[2]
        raise RenamedError(f"{self.__name__}(...) is now {NAMES[name]}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to other processes by name, as modules are."""
        return import_module, (self.__name__,)
