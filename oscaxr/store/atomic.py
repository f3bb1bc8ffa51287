"""All or nothing: an export appears under its name when it is complete, and not before.

It is put together beside its target, under a name that says whose it is::

    .s.zarr.oscaxr-<host>-<process>-<start of the process>-<random>.partial

and then renamed. A single file replaces another in one step. So does a folder on Linux, where the
two are exchanged in one step and the old one is then deleted. Elsewhere the old folder is first
renamed to ``...old``, then the new one takes its place: a process that is killed between these two
steps leaves no target, and the next export in the folder puts the old one back.

Before it is renamed, all of it is forced to the disk, so that a target is whole after a power
failure too, and so is the folder afterwards.

What a killed process leaves is removed by the next export in the same folder, if the process is
gone. What a process on another computer left is removed after a week without change.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final

from oscaxr.errors import ExportError, OscaxrError, TargetExistsError

IDLE_SECONDS: Final = 7 * 24 * 3600
"""Age at which what another computer left is taken for abandoned."""

_SYNC_THREADS: Final = 8

_NAME: Final = re.compile(
    r"\.(?P<target>.+)\.oscaxr-(?P<host>\w+)-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}"
    r"\.(?P<kind>partial|old)(?P<parts>\.d)?"
)
_AT_FDCWD: Final = -100
_EXCHANGE: Final = 2


@dataclass(frozen=True)
class Leftover:
    """What an export that did not end has left in a folder."""

    path: Path
    target: Path
    kind: str
    host: str
    pid: int
    start: int

    @property
    def abandoned(self) -> bool:
        """Whether its process is gone."""
        if self.host == _host() and os.name == "posix":
            return not _is_alive(self.pid, self.start)
        with suppress(OSError):
            return time.time() - _newest(self.path) > IDLE_SECONDS
        return False


def leftovers(folder: Path) -> list[Leftover]:
    """Find what unfinished exports have left in a folder."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name:
                found.append(
                    Leftover(
                        Path(entry.path),
                        folder / name["target"],
                        name["kind"],
                        name["host"],
                        int(name["pid"]),
                        int(name["start"]),
                    )
                )
    return found


def clean(folder: Path) -> list[Path]:
    """Remove what abandoned exports have left in a folder, and put back what they put aside."""
    done = []
    for leftover in leftovers(folder):
        if leftover.abandoned:
            if leftover.kind == "old" and not os.path.lexists(leftover.target):
                with suppress(OSError):
                    leftover.path.rename(leftover.target)
            remove(leftover.path)
            done.append(leftover.path)
    return done


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def flush(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to the disk."""
    folders, files = ([path], []) if path.is_dir() else ([], [path])
    for one in path.rglob("*") if path.is_dir() else ():
        (folders if one.is_dir() else files).append(one)
    # Several at once: the disk sorts what it is asked for, and waits once for many.
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(_sync, files))
        list(pool.map(_sync, folders))


def _sync(path: Path) -> None:
    """Force a file or the names in a folder to the disk, as far as the system can."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot; that the disk is full or broken is another matter.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


class AtomicTarget:
    """Gives a temporary path, and makes it the target if all goes well."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.shown = path
        # Through links: it is what they point to that is replaced, not the link.
        self.path = Path(os.path.realpath(path))
        self.overwrite = overwrite
        self._stem = (
            f".{self.path.name}.oscaxr-{_host()}-{os.getpid()}-{_stat(os.getpid())[1]}-"
            f"{secrets.token_hex(4)}"
        )
        self.temporary = self.path.with_name(self._stem + ".partial")

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"cannot write {self.shown}: its folder cannot be made ({error})"
            ) from error
        clean(self.path.parent)
        if not self.overwrite and self.path.exists():
            raise self._exists()
        return self.temporary

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            remove(self.temporary)
            remove(self.temporary.with_name(self.temporary.name + ".d"))

    def _exists(self) -> TargetExistsError:
        return TargetExistsError(
            f"{self.shown} exists already. Give another path, or overwrite=True to replace it."
        )

    def _commit(self) -> None:
        try:
            flush(self.temporary)
            self._rename()
            _sync(self.path.parent)
        except OscaxrError:
            raise
        except OSError as error:
            raise ExportError(f"could not complete {self.shown}: {error}") from error

    def _rename(self) -> None:
        if not self.overwrite:
            self._move_in()
        elif self.temporary.is_dir() or self.path.is_dir():
            self._swap()
        else:
            self.temporary.replace(self.path)

    def _move_in(self) -> None:
        """Rename, unless something has appeared under the name meanwhile."""
        if self.temporary.is_dir():
            if self.path.exists():
                raise self._exists()
            try:
                self.temporary.rename(self.path)
            except OSError as error:
                if self.path.exists():
                    raise self._exists() from error
                raise
            return
        try:
            os.link(self.temporary, self.path)
        except FileExistsError as error:
            raise self._exists() from error
        except OSError:
            # No links on this file system.
            if self.path.exists():
                raise self._exists() from None
            self.temporary.rename(self.path)

    def _swap(self) -> None:
        if not self.path.exists():
            self.temporary.rename(self.path)
        elif not exchange(self.temporary, self.path):
            aside = self.path.with_name(self._stem + ".old")
            self.path.rename(aside)
            try:
                self.temporary.rename(self.path)
            except BaseException:
                aside.rename(self.path)
                raise
            remove(aside)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two files or folders in one step, where the system can."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)


@cache
def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII) or "unknown"


def _stat(pid: int) -> tuple[str, int]:
    """Return the state of a process and when it began; empty and 0 where that is not known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *numbers = text.rpartition(")")[2].split()
        return state, int(numbers[18])
    except (OSError, ValueError, IndexError):
        return "", 0


def _is_alive(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    state, began = _stat(pid)
    # Numbers are used again: a process that began at another time is another one.
    return state != "Z" and (start == began or not start or not began)


def _newest(path: Path) -> float:
    every = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(one.stat().st_mtime for one in every)
