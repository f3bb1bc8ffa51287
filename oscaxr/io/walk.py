"""Going through the folders below a data folder, the same way whatever is looked for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_folders(
    datadir: Path, on_error: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder and all folders below it.

    Parameters
    ----------
    datadir : Path
        Where to begin. Links to folders are followed, each real folder being entered once; hidden
        files and folders are passed over.
    on_error : callable, optional
        Called with the error of a folder that cannot be listed.

    Yields
    ------
    folder : Path
        A folder, those above first.
    folders, files : list of str
        Names in it, sorted. Names taken out of `folders` are not entered.

    Examples
    --------
    >>> import tempfile
    >>> made = Path(tempfile.mkdtemp())
    >>> (made / "b").mkdir(), (made / "a").mkdir(), (made / ".hidden").mkdir()
    (None, None, None)
    >>> [folder.name for folder, _, _ in walk_folders(made)][1:]
    ['a', 'b']
    """
    entered = set()
    for root, folders, files in os.walk(datadir, followlinks=True, onerror=on_error):
        real = os.path.realpath(root)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(root), folders, sorted(name for name in files if not name.startswith("."))
