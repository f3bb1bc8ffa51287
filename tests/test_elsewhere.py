"""Systems that are no POSIX: nothing that Windows lacks is used without something in its place."""

import ast
import subprocess
import sys
from pathlib import Path

import oscaxr as ox

PACKAGE = Path(__file__).resolve().parents[1] / "oscaxr"

MODULES = frozenset({"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog"})
MODULES |= {"termios", "tty"}
# Of the modules os and signal.
NAMES = frozenset(
    {"chown", "chroot", "copy_file_range", "fchown", "fork", "forkpty", "fstatvfs", "getegid"}
    | {"geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority"}
    | {"getsid", "getuid", "initgroups", "killpg", "lchown", "lockf", "memfd_create", "mkfifo"}
    | {"mknod", "nice", "openpty", "pathconf", "posix_fadvise", "posix_fallocate", "posix_spawn"}
    | {"pread", "preadv", "pwrite", "pwritev", "readv", "register_at_fork", "sched_getaffinity"}
    | {"sched_setaffinity", "sched_yield", "sendfile", "setpgid", "setpriority", "setsid", "splice"}
    | {"statvfs", "sync", "sysconf", "uname", "wait3", "wait4", "writev"}
    | {"SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill"}
    | {"pthread_sigmask", "setitimer", "sigwait"}
)
# The standard library itself goes by these.
FLAGS = frozenset({"O_CLOEXEC", "O_DIRECT", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC"})

# What is used, and where; each is taken away below, or in the tests that are named.
USED = {
    "atomic: fcntl",  # test_atomic_elsewhere: nobody can tell whether a lock is held
    "arrays/xarray_internals: register_at_fork",  # without fork, nothing is to be done after one
    "files/chunks: preadv",  # files/test_hdf5_changes: a place is sought, and then read
}

WITHOUT = """
import os, signal, sys
import dask.array, dask.threaded, h5py, pandas, platformdirs, scipy, xarray as xr, zarr, zarrs

for name in {names!r}:
    for module in (os, signal):
        if hasattr(module, name):
            delattr(module, name)
sys.modules.update(dict.fromkeys({modules!r}))
# As it is where there is no sched_getaffinity, which the one of Linux asks from Python 3.13 on.
os.process_cpu_count = os.cpu_count

import oscaxr as ox

path, folder = sys.argv[1:]
with ox.open_session(path) as ds:
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="A"), pre=0.1, post=0.3, scale=True)
    for overwrite in (False, True):
        ox.save(ds, folder + "/s.zarr", variables=["dff"], overwrite=overwrite)
    with ox.open_session(folder + "/s.zarr") as same:
        xr.testing.assert_identical(same.dff.variable.load(), ds.dff.variable.load())
    print(float(u.mean()))
print(int(ox.map_sessions(ox.n_tracked, [path], scheduler="threads")[0]))
"""


def used(path: Path) -> set[str]:
    """What a module uses that only POSIX has."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = {one.name for one in node.names} if node.module in ("os", "signal") else set()
            found |= ({node.module} & MODULES) | (names & (NAMES | FLAGS))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("os", "signal"):
            found |= {node.attr} & (NAMES | FLAGS)
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return {f"{name}: {one}" for one in found}


def test_nothing_more_is_used_that_only_posix_has():
    assert set().union(*map(used, PACKAGE.rglob("*.py"))) == USED


def test_sessions_are_read_and_saved_without_any_of_it(sample_path, tmp_path):
    script = WITHOUT.format(names=sorted(NAMES), modules=sorted(MODULES))
    words = [sys.executable, "-c", script, str(sample_path), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with ox.open_session(sample_path) as ds:
        u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="A"), pre=0.1, post=0.3, scale=True)
        assert done.stdout.split() == [str(float(u.mean())), str(ox.n_tracked(ds))]
