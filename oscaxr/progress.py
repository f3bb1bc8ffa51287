"""A progress bar for work that takes long, on terminals only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str, total: int, *, show: bool = True) -> Iterator[Callable[[], None]]:
    """Show how far a piece of work has come.

    Parameters
    ----------
    what : str
        What is counted.
    total : int
        How many there are.
    show : bool, optional
        Whether to show it at all; it is never shown where standard error is not a terminal.

    Yields
    ------
    callable
        To be called when one more is done.

    Examples
    --------
    >>> with progress_bar("sessions", 2, show=False) as advance:
    ...     advance()
    """
    if not show or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
