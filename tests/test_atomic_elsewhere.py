"""Exports on systems that lack what Linux has: no locks, no exchange, no hard links, no fsync."""

import os
import sys
import time
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from oscaxr import atomic
from oscaxr.atomic import atomic_target, clean, leftovers
from oscaxr.errors import TargetExistsError
from oscaxr.store.open import open_exported
from oscaxr.store.save import save


def changed(module, **others):
    """Copy a module, so that others than the one that is tested see it as it is."""
    copy = ModuleType(module.__name__)
    vars(copy).update(vars(module) | others)
    return copy


@pytest.fixture(params=["win32", "darwin"])
def elsewhere(request, monkeypatch):
    """Take away what a system does not have; give the flags that files are opened with."""
    opened = []

    def opening(path, flags):
        opened.append(flags)
        return os.open(path, flags)

    windows = request.param == "win32"
    name = "nt" if windows else "posix"
    monkeypatch.setattr(atomic, "os", changed(os, name=name, open=opening))
    monkeypatch.setattr(atomic, "sys", changed(sys, platform=request.param))
    monkeypatch.setattr(atomic, "_running_system", lambda: "")
    if windows:
        monkeypatch.setattr(atomic, "_LOCKS", None)
    return {"windows": windows, "flags": opened}


def write(target, word):
    target.mkdir()
    (target / "file").write_text(word, encoding="utf-8")


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_exports_appear_and_are_replaced(elsewhere, tmp_path, suffix):
    old, new = (xr.Dataset({"dff": ("time", np.arange(size))}) for size in (3, 4))
    path = save(old, tmp_path / f"s{suffix}")
    with pytest.raises(TargetExistsError):
        save(new, path)
    save(new, path, overwrite=True)
    with open_exported(path) as found:
        assert found.sizes["time"] == 4
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    # Windows forces to the disk only what is open to be written.
    asked = os.O_RDWR if elsewhere["windows"] else os.O_RDONLY
    assert set(elsewhere["flags"]) == {asked}


def test_what_is_being_written_is_left_alone(elsewhere, tmp_path):
    with atomic_target(tmp_path / "s") as temporary:
        write(temporary, "new")
        assert clean(tmp_path) == []
        assert temporary.is_dir()
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


def test_what_was_killed_goes_after_a_week(elsewhere, tmp_path):
    left = tmp_path / ".s.oscaxr-0123abcd.partial"
    write(left, "half")
    left.with_suffix(".lock").write_text("some system", encoding="ascii")
    assert clean(tmp_path) == []
    long_ago = time.time() - atomic.IDLE_SECONDS - 60
    for one in (left / "file", left):
        os.utime(one, (long_ago, long_ago))
    assert clean(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


def test_killed_between_the_two_steps(elsewhere, tmp_path, monkeypatch):
    """The old one has a name of its own then; after a week it is put back."""
    path = tmp_path / "s"
    write(path, "old")
    aside = tmp_path / ".s.oscaxr-0123abcd.old"
    path.rename(aside)
    assert [one.kind for one in leftovers(tmp_path)] == ["old"]
    monkeypatch.setattr(atomic, "IDLE_SECONDS", -60)
    with atomic_target(tmp_path / "t") as temporary:
        write(temporary, "other")
    assert (path / "file").read_text(encoding="utf-8") == "old"


def test_the_second_step_fails(elsewhere, tmp_path, monkeypatch):
    """As where a file of the folder is open on Windows: the old one is where it was."""
    path = tmp_path / "s"
    write(path, "old")
    renamed = type(path).rename

    def rename(self, target):
        if self.suffix == ".partial":
            raise PermissionError(13, "is open")
        return renamed(self, target)

    monkeypatch.setattr(type(path), "rename", rename)
    with pytest.raises(OSError, match="is open"), atomic_target(path, overwrite=True) as temporary:
        write(temporary, "new")
    assert (path / "file").read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


def test_file_systems_without_links(elsewhere, tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "link", link)
    with atomic_target(tmp_path / "s.nc") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert (tmp_path / "s.nc").read_text(encoding="utf-8") == "new"


def test_one_that_appears_meanwhile_stays_without_links(elsewhere, tmp_path, monkeypatch):
    def link(source, target):
        target.write_text("of another", encoding="utf-8")
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "link", link)
    path = tmp_path / "s.nc"
    with pytest.raises(TargetExistsError), atomic_target(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "of another"
