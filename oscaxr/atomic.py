"""All or nothing: an export appears under its name when it is complete, and not before.

It is put together beside its target, under a name that begins with a dot::

    .s.zarr.oscaxr-<random>.partial      .s.zarr.oscaxr-<random>.lock

and then renamed. A single file replaces another in one step. So does a folder on Linux, where the
two are exchanged in one step and the old one is then deleted. Elsewhere the old folder is first
renamed to ``...old``, then the new one takes its place: a process that is killed between these two
steps leaves no target, and the next export in the folder puts the old one back.

Before it is renamed, all of it is forced to the disk, so that a target is whole after a power
failure too, and so is the folder afterwards.

What a killed process leaves is removed by the next export in the same folder. Numbers of processes
tell nothing: containers that share a folder have numbers of their own. A process holds a lock for
as long as it writes, and the system releases it however the process ends; the lock file says on
which running system it counts. Where no lock can tell, a week without change does.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from oscaxr.errors import ExportError, OscaxrError, TargetExistsError, UnsafeTargetError

try:
    import fcntl as _fcntl
except ImportError:  # on Windows: there, age tells
    _LOCKS: Any = None
else:
    _LOCKS = _fcntl

IDLE_SECONDS: Final = 7 * 24 * 3600
"""Time without change after which what no lock tells of is taken for abandoned."""

_SYNC_THREADS: Final = 8

_NAME: Final = re.compile(
    r"\.(?P<target>.+)\.oscaxr-(?P<key>[\w-]+)\.(?P<kind>partial|old|lock)(?P<parts>\.d)?"
)
_AT_FDCWD: Final = -100
_EXCHANGE: Final = 2


class Leftover(NamedTuple):
    """What an export that did not end has left in a folder."""

    path: Path
    target: Path
    kind: str
    lock: Path

    @property
    def abandoned(self) -> bool:
        """Whether nobody is writing it any more."""
        with suppress(OSError):
            if self.kind == "lock" and not self.path.stat().st_size:
                # Nothing was begun under it. Should it be just now, age will tell of that.
                return True
            if self.lock.exists():
                held = _is_held(self.lock)
                if held is not None:
                    return not held
            return time.time() - newest(self.path) / 1e9 > IDLE_SECONDS
        return False


def leftovers(folder: Path) -> list[Leftover]:
    """Find what unfinished exports have left in a folder; of a lock, only where nothing else is."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if name := _NAME.fullmatch(entry.name):
                lock = folder / f".{name['target']}.oscaxr-{name['key']}.lock"
                found.append(
                    Leftover(Path(entry.path), folder / name["target"], name["kind"], lock)
                )
    guarded = {one.lock for one in found if one.kind != "lock"}
    return [one for one in found if one.path not in guarded]


def clean(folder: Path) -> list[Path]:
    """Remove what abandoned exports have left in a folder, and put back what they put aside."""
    # Before any is removed: the parts of one share a lock.
    done = [leftover for leftover in leftovers(folder) if leftover.abandoned]
    for leftover in done:
        if leftover.kind == "old" and not os.path.lexists(leftover.target):
            with suppress(OSError):
                leftover.path.rename(leftover.target)
        remove(leftover.path)
    for leftover in done:
        remove(leftover.lock)
    return [leftover.path for leftover in done]


def _take_lock(path: Path) -> Any:
    """Make a lock file and hold it until it is closed; None where the system has no locks."""
    file = path.open("w+", encoding="ascii")
    try:
        if _LOCKS is not None:
            _LOCKS.flock(file, _LOCKS.LOCK_EX | _LOCKS.LOCK_NB)
            file.write(_running_system())
            file.flush()
    except OSError:
        # It stays empty, so that nobody trusts it.
        file.truncate(0)
    return file


def _is_held(path: Path) -> bool | None:
    """Say whether somebody holds a lock; None where it cannot be known."""
    with path.open("r+", encoding="ascii", errors="replace") as file:
        system = file.read(100)
        if _LOCKS is None or not system or system != _running_system():
            return None
        try:
            _LOCKS.flock(file, _LOCKS.LOCK_EX | _LOCKS.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False


def _running_system() -> str:
    """Return what is the same in all containers of a running system, and in no other."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, as far as possible."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        shutil.rmtree(path, ignore_errors=True)
        # That holds a handle for each level; where handles ran out, one at a time may do.
        for folder, _, names in os.walk(path, topdown=False):
            for name in names:
                with suppress(OSError):
                    Path(folder, name).unlink()
            with suppress(OSError):
                Path(folder).rmdir()


def flush(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to the disk."""
    folders: list[Path] = []
    files: list[Path] = []
    for one in files_of(path):
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


@contextmanager
def atomic_target(
    shown: Path, *, overwrite: bool = False, check: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Give a temporary path, and make it the target if all goes well."""
    # Through links: it is what they point to that is replaced, not the link.
    path = Path(os.path.realpath(shown))
    stem = f".{path.name}.oscaxr-{secrets.token_hex(8)}"
    temporary, lock = path.with_name(stem + ".partial"), path.with_name(stem + ".lock")

    def check_free() -> None:
        if path.exists() and not overwrite:
            raise TargetExistsError(
                f"{shown} exists already. Give another path, or overwrite=True to replace it."
            )
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnsafeTargetError(
                f"{shown} is no file or folder, but a device or a pipe ({path}): it is not "
                "replaced. Give another path."
            )
        if path.exists() and check is not None:
            check(path)

    with explained(f"cannot write {shown}: its folder cannot be made"):
        path.parent.mkdir(parents=True, exist_ok=True)
    clean(path.parent)
    check_free()
    with ExitStack() as held:
        held.callback(remove, lock)
        parts = (temporary.with_name(temporary.name + ".d"), temporary)
        # Once while the lock is held, and again when its handle is free for it.
        for part in parts:
            held.callback(remove, part)
        with explained(f"could not write {shown}"):
            held.enter_context(_take_lock(lock))
        for part in parts:
            held.callback(remove, part)
        yield temporary
        with explained(f"could not complete {shown}"):
            flush(temporary)
            check_free()
            if overwrite:
                _replace(temporary, path, path.with_name(stem + ".old"))
            else:
                _move_in(temporary, path, check_free)
            _sync(path.parent)


@contextmanager
def explained(failure: str, advice: str = "") -> Iterator[None]:
    """Say of what the system refuses what it was for."""
    try:
        yield
    except (OSError, RuntimeError, UnicodeError) as error:
        if isinstance(error, OscaxrError):
            raise
        raise ExportError(f"{failure}: {error}{advice}") from error


def _move_in(temporary: Path, path: Path, check_free: Callable[[], None]) -> None:
    """Rename, unless something has appeared under the name meanwhile."""
    try:
        if temporary.is_dir():
            temporary.rename(path)
        else:
            os.link(temporary, path)
    except OSError:
        check_free()
        # No links on this file system.
        temporary.rename(path)


def _replace(temporary: Path, path: Path, aside: Path) -> None:
    """Take the place of what is there: in one step, where the system can."""
    if not path.exists() or not (temporary.is_dir() or path.is_dir()):
        temporary.replace(path)
    elif not exchange(temporary, path):
        path.rename(aside)
        try:
            temporary.rename(path)
        except BaseException:
            aside.rename(path)
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


def files_of(path: Path) -> Iterator[Path]:
    """Give a file or folder, and all that is in it."""
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def newest(path: Path) -> int:
    """Return when a file, or what is in a folder, was last changed, in nanoseconds."""
    return max(one.stat().st_mtime_ns for one in files_of(path))
