"""How many threads reading and computing use within a process."""

import os
from typing import Final

VARIABLE: Final = "OSCAXR_THREADS"
"""Environment variable that sets the number; in worker processes it is their share of the cores."""
DEFAULT: Final = 2


def thread_count() -> int:
    """Return the number of threads to read and compute with.

    Returns
    -------
    int
        What the environment variable ``OSCAXR_THREADS`` says, if it is a whole number above 0;
        otherwise 2: more than two readers of one file gain little.

    Notes
    -----
    Results do not depend on it.

    Examples
    --------
    >>> import os
    >>> os.environ["OSCAXR_THREADS"] = "1"
    >>> thread_count()
    1
    >>> del os.environ["OSCAXR_THREADS"]
    """
    said = os.environ.get(VARIABLE, "")
    return int(said) if said.isdecimal() and int(said) > 0 else DEFAULT
