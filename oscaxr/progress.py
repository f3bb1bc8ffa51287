"""How far a long piece of work has come: the one progress bar, shown on terminals only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[int, int], None]
"""Called with how much is done and how much there is in all."""


@contextmanager
def progress_bar(
    what: str, *, show: bool | Report | None = True, in_bytes: bool = False
) -> Iterator[Callable[..., None]]:
    """Show how far work has come while the block runs, or report it to the caller's function."""
    if callable(show):
        yield show
        return
    if not show or not sys.stderr.isatty():
        yield lambda done, total, what=None: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    with Progress(*_columns(in_bytes), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, what: str | None = None) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield report


def _columns(in_bytes: bool) -> list[Any]:
    """Return the columns of the bar: counts and the time so far, or bytes and the time to go."""
    from rich import progress as rich

    left = [rich.TextColumn("{task.description}"), rich.BarColumn()]
    if in_bytes:
        speed = rich.TransferSpeedColumn()
        return [*left, rich.DownloadColumn(), speed, rich.TimeRemainingColumn()]
    return [*left, rich.MofNCompleteColumn(), rich.TimeElapsedColumn()]
