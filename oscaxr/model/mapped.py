"""Giving back the memory of mapped files while they are gone through.

A page of a mapped file counts as memory of the process from its first use, though the system may
take it back at any time. Who goes through a whole recording once should not seem to hold it. (To
map a page again costs time: too much for what goes through a recording many times, ROI by ROI.)
"""

import mmap
from typing import Any

import numpy as np


def release(view: np.ndarray[Any, Any]) -> None:
    """Give back the pages of the mapped file that an array is a view of; else do nothing."""
    base: Any = view
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    # Pages that were written to would be lost.
    can = isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED")
    if can and not view.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)
