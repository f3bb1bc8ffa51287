"""Files that commands write: refused before any work, and there only when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from oscaxr.errors import ExportError, OscaxrError, TargetExistsError
from oscaxr.export.atomic import AtomicTarget

OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the target if it is there already.")
]


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a target that is there already, before any work is done."""
    if path.exists() and not overwrite:
        raise TargetExistsError(
            f"{path} exists already. Give another path, or --overwrite to replace it."
        )


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside a file, which becomes the file if all goes well."""
    check_target(path, overwrite=overwrite)
    if path.is_dir():
        raise TargetExistsError(f"{path} is a folder. Give the path of a file.")
    try:
        with AtomicTarget(path, overwrite=overwrite) as temporary:
            yield temporary
    except OscaxrError:
        raise
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error


def bytes_at(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def in_words(size: int) -> str:
    """Return a size in words."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if size >= power:
            return f"{size / power:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"
