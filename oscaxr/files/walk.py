"""Going through the folders below a data folder, the same way whatever is looked for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_folders(
    datadir: Path, on_error: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder and all folders below it."""
    entered = set()
    for root, folders, files in os.walk(datadir, followlinks=True, onerror=on_error):
        real = os.path.realpath(root)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(root), folders, sorted(name for name in files if not name.startswith("."))
