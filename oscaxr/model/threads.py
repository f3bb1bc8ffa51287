"""How many threads reading and computing use within a process."""

import os
from typing import Final

VARIABLE: Final = "OSCAXR_THREADS"
"""Environment variable that sets the number; in worker processes it is their share of the cores."""
DEFAULT: Final = 2


def thread_count() -> int:
    """Return the number of threads to read and compute with."""
    # Results do not depend on it.
    said = os.environ.get(VARIABLE, "")
    return int(said) if said.isdecimal() and int(said) > 0 else DEFAULT
