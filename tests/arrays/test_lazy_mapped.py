"""Pages of mapped files are given back, and what was read stays as it was."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from oscaxr.arrays.lazy import release


def resident_file_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory as Linux tells it")
    lines = status.read_text().splitlines()
    # Of files in memory (tmpfs) the system says that they are shared memory.
    found = [line.split()[1] for line in lines if line.startswith(("RssFile:", "RssShmem:"))]
    return sum(map(int, found)) * 1024


def test_pages_are_given_back(tmp_path):
    size = 64 * 2**20
    path = tmp_path / "data"
    path.write_bytes(os.urandom(2**20) * 64)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    array = np.ndarray((size // 8 // 64, 64), "u8", buffer=mapped)
    view = array[::2, 3:].T
    before = resident_file_bytes()
    total = int(array.sum())
    assert resident_file_bytes() - before > size // 2
    release(view)
    assert resident_file_bytes() - before < size // 8
    assert int(array.sum()) == total


def test_other_arrays_are_left_as_they_are(tmp_path):
    array = np.arange(5.0)
    release(array[1:])
    np.testing.assert_array_equal(array, np.arange(5.0))
    path = tmp_path / "data"
    path.write_bytes(bytes(2**16))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 2**16, access=mmap.ACCESS_COPY)
    written = np.ndarray(2**16, "u1", buffer=mapped)
    written[:] = 7
    release(written)
    assert (written == 7).all()
