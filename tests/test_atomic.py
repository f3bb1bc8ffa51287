"""An export is there as a whole, or not at all: killed, out of space, interrupted."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import atomic
from oscaxr.atomic import atomic_target, clean, exchange, leftovers
from oscaxr.errors import ExportError, TargetExistsError, UnsafeTargetError
from oscaxr.store.open import open_exported
from oscaxr.store.save import save

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]
# One of them in the default run, where a process is started for each.
SLOWER = [".zarr", *(pytest.param(one, marks=pytest.mark.slow) for one in (".zarr.zip", ".nc"))]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
named = pytest.mark.skipif(not atomic._running_system(), reason="a system that has no name")


@pytest.fixture
def old():
    return xr.Dataset({"a": ("x", np.arange(5))}, attrs={"which": "old"})


@pytest.fixture
def new():
    return xr.Dataset({"a": ("x", np.arange(7))}, attrs={"which": "new"})


def which(path):
    with open_exported(path) as ds:
        return ds.load().attrs["which"]


@pytest.mark.parametrize("suffix", SLOWER)
class TestTarget:
    def test_appears_and_is_replaced_only_when_told(self, tmp_path, suffix, old, new):
        path = tmp_path / "deep" / "er" / f"s{suffix}"
        assert save(old, path) == path
        with pytest.raises(TargetExistsError, match="overwrite=True"):
            save(new, path)
        assert which(path) == "old"
        save(new, path, overwrite=True)
        assert which(path) == "new"
        assert [one.name for one in path.parent.iterdir()] == [path.name]

    def test_a_failure_leaves_what_was_there(self, tmp_path, suffix, old, new):
        path = save(old, tmp_path / f"s{suffix}")

        def interrupt(done, total):
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            save(new, path, overwrite=True, progress=interrupt)
        assert which(path) == "old"
        with pytest.raises(KeyboardInterrupt):
            save(new, tmp_path / f"other{suffix}", progress=interrupt)
        assert [one.name for one in tmp_path.iterdir()] == [path.name]

    def test_one_that_appears_meanwhile_is_not_replaced(self, tmp_path, suffix, old, new):
        path = tmp_path / f"s{suffix}"

        def meanwhile(done, total):
            if not path.exists():
                save(old, path)

        with pytest.raises(TargetExistsError):
            save(new, path, progress=meanwhile)
        assert which(path) == "old"

    def test_its_own_source_is_refused(self, tmp_path, suffix, few_session):
        path = save(few_session, tmp_path / f"s{suffix}")
        for chunks in (None, {}):
            with open_exported(path, chunks=chunks) as ds:
                derived = [ds, ds.isel(roi=slice(3)), ds["dff"], ds[["dff"]] * 2 if chunks else ds]
                derived.append(ds.osca.sequences("dff", [1, 2, 3], pre=0, post=0.1))
                for obj in derived:
                    with pytest.raises(UnsafeTargetError, match="still read from"):
                        save(obj, path, overwrite=True)
        link = tmp_path / f"link{suffix}"
        link.symlink_to(path)
        with open_exported(link) as ds, pytest.raises(UnsafeTargetError):
            save(ds, path, overwrite=True)
        with open_exported(path) as ds:
            loaded = ds.load()
        save(loaded, path, overwrite=True)
        with open_exported(path) as ds:
            xr.testing.assert_identical(ds, few_session)

    def test_plain_sources_are_refused_too(self, tmp_path, suffix, memory_session):
        path = save(memory_session[["dff"]], tmp_path / f"s{suffix}")
        for chunks in (None, {}):
            if suffix == ".nc":
                plain = xr.open_dataset(path, chunks=chunks)
            elif suffix == ".zarr":
                plain = xr.open_zarr(path, chunks=chunks)
            else:
                continue
            # (In place: drop_encoding() of older xarray reads the values.)
            array = plain["dff"]
            for one in (array, *array.coords.values()):
                one.encoding = {}
            with plain, pytest.raises(UnsafeTargetError):
                save(array, path, overwrite=True)


CHILD = """
    import os, sys, time
    import numpy as np
    import xarray as xr
    from oscaxr.store.save import save

    path, at, limit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    if limit:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    values = np.random.default_rng(0).normal(size=(int(sys.argv[5]), 40))
    ds = xr.Dataset(
        {name: (("time", "roi"), values) for name in "abcd"}, attrs={"which": "new"}
    )
    if sys.argv[4] == "True":
        import netCDF4, zarr
        print("ready", flush=True)

    def progress(done, total):
        if done >= at * total:
            print("here", flush=True)
            time.sleep(60)

    save(ds, path, overwrite=True, progress=progress if at < 2 else None)
"""


def start(path, at=2.0, limit=0, *, ready=False, rows=15_000):
    code = [sys.executable, "-c", textwrap.dedent(CHILD)]
    code += [str(path), str(at), str(limit), str(ready), str(rows)]
    return subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@posix
@pytest.mark.parametrize("suffix", SLOWER)
@pytest.mark.parametrize("at", [0.0, 0.5])
@pytest.mark.slow
def test_killed_in_the_middle(tmp_path, suffix, at, old, new):
    path = save(old, tmp_path / f"s{suffix}")
    with start(path, at) as child:
        assert child.stdout.readline() == "here\n"
        # While it lives, others leave what it has alone.
        save(new, tmp_path / f"beside{suffix}")
        running = leftovers(tmp_path)
        assert running
        assert not any(one.abandoned for one in running)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert which(path) == "old"
    assert all(one.abandoned for one in leftovers(tmp_path))
    assert {one.target for one in leftovers(tmp_path)} == {path}
    # The next export in the folder clears away what is left, whatever its own name.
    save(new, tmp_path / f"beside{suffix}", overwrite=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"beside{suffix}", path.name]
    assert which(path) == "old"


@posix
@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES[::2])
def test_killed_before_there_was_anything(tmp_path, suffix, old):
    path = tmp_path / f"s{suffix}"
    with start(path, 0.3) as child:
        assert child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGKILL)
    assert not path.exists()
    save(old, path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@posix
@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES[::2])
def test_killed_at_any_time(tmp_path, suffix, old):
    """Whenever the blow falls, the target is the old one or the new one, and whole."""
    path = save(old, tmp_path / f"s{suffix}")
    seen = set()
    for delay in (1.0, 1.3):
        with start(path, rows=30_000) as child:
            time.sleep(delay)
            child.kill()
        seen.add(which(path))
    assert seen <= {"old", "new"}
    clean(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
@posix
@pytest.mark.parametrize("suffix", SLOWER)
@pytest.mark.parametrize("delay", [0.2, pytest.param(0.5, marks=pytest.mark.slow)])
def test_interrupted_at_any_time(tmp_path, suffix, delay, old):
    """Ctrl-C ends the process soon, without a half export, whatever was being done."""
    path = save(old, tmp_path / f"s{suffix}")
    with start(path, ready=True, rows=30_000) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt") or which(path) == "new", said
    assert "never awaited" not in said
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@posix
def test_all_is_forced_to_the_disk_before_it_is_renamed(tmp_path, old, new, monkeypatch):
    for suffix in SUFFIXES:
        path = save(old, tmp_path / suffix[1:] / f"s{suffix}")
        synced = []

        def fsync(descriptor, synced=synced, path=path):
            synced.append((os.fstat(descriptor).st_ino, which(path)))

        monkeypatch.setattr(os, "fsync", fsync)
        save(new, path, overwrite=True)
        # Every file and folder while the old target is still there, the parent after.
        before = {number for number, target in synced if target == "old"}
        every = [path, *path.rglob("*")]
        assert before == {one.stat().st_ino for one in every}, suffix
        assert synced[-1] == (path.parent.stat().st_ino, "new")
        monkeypatch.undo()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("suffix", [pytest.param(".zarr", marks=pytest.mark.slow), ".nc"])
def test_limit_of_file_size(tmp_path, suffix, old):
    path = save(old, tmp_path / f"s{suffix}")
    child = start(path, limit=300_000)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "ExportError" in said
    assert str(path) in said
    assert which(path) == "old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_cannot_be_made(tmp_path, suffix, old):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=rf"file/below/s{suffix}: its folder cannot be made"):
        save(old, tmp_path / "file" / "below" / f"s{suffix}")


@posix
def test_what_is_neither_file_nor_folder_is_not_replaced(tmp_path):
    """Root may replace a device, which all programs need."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with (
            pytest.raises(UnsafeTargetError, match="a device or a pipe"),
            atomic_target(tmp_path / name, overwrite=True),
        ):
            raise AssertionError("it begins to write")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe"]


@posix
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["n" * 240, "n\udcff"], ids=["long", "no text"])
def test_a_name_that_the_system_or_a_library_refuses(tmp_path, suffix, name, old):
    """The name under which an export is put together is longer than its own."""
    path = tmp_path / f"{name}{suffix}"
    try:
        save(old, path)
    except ExportError:
        assert not list(tmp_path.iterdir())
    else:
        assert which(path) == "old"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_found_full_at_the_end(tmp_path, suffix, old, new, monkeypatch):
    path = save(old, tmp_path / f"s{suffix}")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ExportError, match=rf"complete .*s{suffix}: .*No space left"):
            save(new, path, overwrite=True)
    assert which(path) == "old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/mounts").exists(), reason="mounts as on Linux")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_disk_full(small_disk, suffix, old):
    path = save(old, small_disk / f"s{suffix}")
    child = start(path)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1, said
    assert "ExportError" in said
    assert which(path) == "old"
    assert [one.name for one in small_disk.iterdir()] == [path.name]
    # And there is room again.
    save(old, small_disk / f"other{suffix}")


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_read_errors_are_not_called_write_errors(tmp_path, suffix):
    class Broken:
        shape, dtype, ndim = (10_000, 30), np.dtype(float), 2

        def read(self, indices):
            raise ox.OscaxrError("the source is damaged")

    from oscaxr.arrays.lazy import OrthogonalArray

    ds = xr.Dataset({"dff": xr.Variable(("time", "roi"), OrthogonalArray(Broken()))})
    with pytest.raises(ox.OscaxrError, match="source is damaged") as caught:
        save(ds, tmp_path / f"s{suffix}")
    assert not isinstance(caught.value, ExportError)
    assert not list(tmp_path.iterdir())


class TestPieces:
    def leave(self, folder, target, kind="partial", system=None):
        """Leave in a folder what an export leaves that was killed."""
        left = folder / f".{target}.oscaxr-0123abcd.{kind}"
        left.mkdir()
        if system is not None:
            left.with_name(f".{target}.oscaxr-0123abcd.lock").write_text(system)
        return left

    def test_names_say_whose_they_are(self, tmp_path):
        with atomic_target(tmp_path / "a-b.oscaxr-c.zarr") as temporary:
            temporary.mkdir()
            (found,) = leftovers(tmp_path)
            assert found.target.name == "a-b.oscaxr-c.zarr"
            assert not found.abandoned
            assert clean(tmp_path) == []

    @named
    def test_whose_lock_is_released_is_removed_with_its_lock(self, tmp_path):
        left = self.leave(tmp_path, "s.zarr", system=atomic._running_system())
        assert clean(tmp_path) == [left]
        assert list(tmp_path.iterdir()) == []

    @named
    @pytest.mark.parametrize("written", [True, False])
    def test_a_lock_alone_is_removed_too(self, tmp_path, written):
        """Killed between the lock and the first byte, of the export or of the lock itself."""
        left = self.leave(tmp_path, "s.zarr", system=atomic._running_system() * written)
        left.rmdir()
        assert clean(tmp_path) == [left.with_suffix(".lock")]
        assert list(tmp_path.iterdir()) == []

    @named
    def test_a_lock_alone_that_is_held_stays(self, tmp_path):
        with atomic_target(tmp_path / "s.zarr") as temporary:
            (found,) = leftovers(tmp_path)
            assert found.path.suffix == ".lock"
            assert clean(tmp_path) == []
            temporary.mkdir()

    @named
    def test_a_lock_counts_in_whatever_process_it_is_held(self, tmp_path):
        """Numbers of processes say nothing: a lock does, also in a container of its own."""
        code = """
            import sys, time
            from pathlib import Path
            from oscaxr.atomic import atomic_target
            with atomic_target(Path(sys.argv[1])) as temporary:
                temporary.touch()
                print("here", flush=True)
                time.sleep(60)
        """
        isolated = ["unshare", "--pid", "--fork", "--kill-child"]
        if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
            isolated = []
        command = [*isolated, sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "s.nc")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "here\n"
            assert clean(tmp_path) == []
            child.kill()
        deadline = time.time() + 10
        while not clean(tmp_path) and time.time() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("system", [None, "", "another computer"])
    def test_what_no_lock_tells_of_is_left_alone_for_a_week(self, tmp_path, system):
        left = self.leave(tmp_path, "s.nc", system=system)
        assert clean(tmp_path) == []
        long_ago = time.time() - atomic.IDLE_SECONDS - 60
        os.utime(left, (long_ago, long_ago))
        assert clean(tmp_path) == [left]
        assert list(tmp_path.iterdir()) == []

    def test_what_an_earlier_version_left_goes_by_its_age(self, tmp_path):
        left = tmp_path / ".s.nc.oscaxr-host-123-456-0123abcd.partial"
        left.touch()
        assert clean(tmp_path) == []
        os.utime(left, (0, 0))
        assert clean(tmp_path) == [left]

    @named
    def test_what_was_put_aside_is_put_back(self, tmp_path):
        for _ in range(2):
            aside = self.leave(tmp_path, "s.zarr", "old", atomic._running_system())
            (aside / "zarr.json").touch()
            clean(tmp_path)
            assert [one.name for one in tmp_path.iterdir()] == ["s.zarr"]

    def test_without_exchange(self, tmp_path, monkeypatch, old, new):
        monkeypatch.setattr(atomic, "exchange", lambda one, other: False)
        path = save(old, tmp_path / "s.zarr")
        save(new, path, overwrite=True)
        assert which(path) == "new"
        assert [one.name for one in tmp_path.iterdir()] == ["s.zarr"]

    def test_exchange(self, tmp_path):
        one, other = tmp_path / "one", tmp_path / "other"
        one.mkdir()
        other.write_text("file")
        if exchange(one, other):
            assert one.is_file()
            assert other.is_dir()
        assert not exchange(one, tmp_path / "nothing")

    def test_other_files_are_never_touched(self, tmp_path):
        names = ["s.nc", ".s.nc", ".s.nc.oscaxr-1.part", "s.oscaxr-0123abcd.partial"]
        for name in names:
            (tmp_path / name).touch()
        clean(tmp_path)
        assert sorted(one.name for one in tmp_path.iterdir()) == sorted(names)


@pytest.mark.slow
def test_two_threads_in_one_folder(tmp_path, memory_session):
    from concurrent.futures import ThreadPoolExecutor

    paths = [tmp_path / f"s{i}{suffix}" for i in range(2) for suffix in SUFFIXES]
    few = memory_session[["dff", "pupil_diameter"]]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: save(few, path), paths))
    for path in paths:
        with open_exported(path) as ds:
            xr.testing.assert_identical(ds, few)
