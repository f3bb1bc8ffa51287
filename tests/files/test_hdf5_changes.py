"""A file that changes while it is open: an error that says how, never the numbers of another."""

import errno
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OscaxrError
from oscaxr.files import chunks

PLACES = ("contiguous", "gzip", "zarr", "zarr.zip", "nc", "original")


@pytest.fixture(scope="module")
def exports(tmp_path_factory, few_session):
    folder = tmp_path_factory.mktemp("exports")
    return {kind: ox.save(few_session, folder / f"s.{kind}") for kind in ("zarr", "zarr.zip", "nc")}


@pytest.fixture(
    params=[
        pytest.param(one, marks=[pytest.mark.slow] * (one not in ("contiguous", "zarr")))
        for one in PLACES
    ]
)
def place(request, tmp_path, sample_paths, exports, original_folders):
    """A copy of a session, and the file of it that tells of changes."""
    kind = request.param
    source = original_folders["soma"] if kind == "original" else {**sample_paths, **exports}[kind]
    copy = tmp_path / source.name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    if kind == "original":
        (told,) = copy.rglob("*_dff.h5")
        return copy, told
    return copy, copy / "oscaxr.json" if kind == "zarr" else copy


def replaced(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


def rewritten(path: Path) -> None:
    content = path.read_bytes()
    os.utime(path, ns=(0, 0))
    with path.open("r+b") as file:
        file.write(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


CHANGES = {
    "replaced": (replaced, "replaced by another file since it was opened"),
    "rewritten": (rewritten, "was written to since it was opened"),
    "cut": (cut, "so it was changed since it was opened"),
    "grown": (grown, "so it was changed since it was opened"),
    "removed": (Path.unlink, "was removed.* since it was opened"),
}


@pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_not_read(place, change):
    path, told = place
    change, words = CHANGES[change]
    with ox.open_session(path) as read, ox.open_session(path) as unread:
        read.dff[:3].load()
        time.sleep(0.01)  # or the clock of the file system stands still
        change(told)
        for ds in (read, unread, read):
            with pytest.raises(OscaxrError, match=words):
                ds.dff[5:9].load()


def test_what_takes_its_place_is_read_when_it_is_opened(sample_paths, tmp_path):
    """Also where the library holds the file open as it was."""
    path = tmp_path / "s.nwb"
    shutil.copy(sample_paths["gzip"], path)
    with ox.open_session(path) as old:
        old.dff[:3].load()
        content = sample_paths["contiguous"].read_bytes()
        path.write_bytes(content)
        with ox.open_session(path) as new, ox.open_session(sample_paths["contiguous"]) as expected:
            xr.testing.assert_identical(new.dff.load(), expected.dff.load())
        with pytest.raises(OscaxrError, match="since it was opened"):
            old.dff[5:9].load()


def test_elsewhere_device_and_inode_mean_nothing(sample_path, tmp_path):
    path = tmp_path / "s.nwb"
    shutil.copy2(sample_path, path)
    with ox.open_session(path) as ds:
        sent = pickle.dumps(ds)
        replaced(path)
        with pytest.raises(OscaxrError, match="replaced by another file"):
            ds.dff[:3].load()
    with pickle.loads(sent) as elsewhere:
        elsewhere.dff[:3].load()


@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
def test_systems_that_read_at_no_place(sample_paths, layout, monkeypatch):
    with ox.open_session(sample_paths[layout]) as ds:
        expected = ds.dff.values
    monkeypatch.delattr(os, "preadv")
    monkeypatch.setattr(chunks, "_COPIED_AT_ONCE", 1000)
    with ox.open_session(sample_paths[layout]) as ds:
        np.testing.assert_array_equal(ds.dff.values, expected)


@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
def test_systems_that_refuse_to_read_much_at_once(sample_paths, layout, monkeypatch):
    with ox.open_session(sample_paths[layout]) as ds:
        expected = ds.dff.values

    def preadv(descriptor, buffers, offset):
        if sum(map(len, buffers)) > 1000:
            raise OSError(errno.EINVAL, "Invalid argument")
        return really(descriptor, buffers, offset)

    really = os.preadv
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(chunks, "_AT_ONCE", 1000)
    with ox.open_session(sample_paths[layout]) as ds:
        np.testing.assert_array_equal(ds.dff.values, expected)
