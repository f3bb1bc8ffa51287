"""Synthetic sessions with the structure of real ones: in memory, and as files.

Take one in memory with :func:`session`; or describe one with :class:`SampleSpec`, make its arrays
with :func:`make_session`, write it with :func:`write_nwb` or, in the format from before NWB, with
:func:`write_original`, or write all sessions of a mouse with :func:`write_mouse`. Everything is
seeded: equal descriptions give equal sessions.
"""

from oscaxr.sample.memory import session
from oscaxr.sample.mouse import mouse_specs, sample_session_table, session_path, write_mouse
from oscaxr.sample.nwb import sample_path, write_nwb
from oscaxr.sample.nwb_form import NwbForm
from oscaxr.sample.original import write_original
from oscaxr.sample.original_folder import OriginalForm, original_path
from oscaxr.sample.place import SampleExistsError
from oscaxr.sample.spec import SampleError, SampleSpec
from oscaxr.sample.synthesis import SampleSession, make_session

__all__ = [
    "session",
    "SampleSpec",
    "SampleSession",
    "make_session",
    "write_nwb",
    "NwbForm",
    "write_original",
    "OriginalForm",
    "write_mouse",
    "mouse_specs",
    "sample_session_table",
    "sample_path",
    "original_path",
    "session_path",
    "SampleError",
    "SampleExistsError",
]
