"""What an object is, and so how it is summarized."""

import xarray as xr

from oscaxr.model import names as n
from oscaxr.summary.content import Section, Summary, cleaned
from oscaxr.summary.known import Labelled, facts_known, sizes_text, title_lines
from oscaxr.summary.selection import selection_summary, sequences_summary
from oscaxr.summary.session import session_summary


def describe(data: Labelled) -> Summary:
    """Summarize a session, a selection of segments, sequences, or anything else."""
    if n.SEQUENCE in data.dims or n.REL_TIME in data.dims:
        return sequences_summary(data)
    if isinstance(data, xr.Dataset) and {n.TIME, n.STIM_TIME} & set(data.dims):
        return session_summary(data)
    if isinstance(data, xr.Dataset) and n.SEGMENT in data.dims and n.SEGMENT in data.coords:
        return selection_summary(data)
    facts = facts_known(data)
    known = title_lines(facts)[:1] if "session_id" in facts else []
    name = "" if isinstance(data, xr.Dataset) or data.name is None else f" {cleaned(data.name, 40)}"
    sizes = Section("Dims", note=sizes_text(data) or "none")
    return Summary(f"{type(data).__name__}{name}", known, [sizes])
