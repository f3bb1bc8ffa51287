"""Blocks of a remote file, as the HDF5 library reads them."""

import gc
import io
import threading

import h5py
import numpy as np
import pytest

from oscaxr.files.range_cache import RangeCache


class Ranges(io.RawIOBase):
    """A file that is read by way of a cache."""

    def __init__(self, cache):
        super().__init__()
        self.cache, self.place = cache, 0

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, place, whence=io.SEEK_SET):
        self.place = place + (0, self.place, self.cache.size)[whence]
        return self.place

    def tell(self):
        return self.place

    def readinto(self, out):
        found = self.cache.read(self.place, self.place + len(out))
        out[: len(found)] = found
        self.place += len(found)
        return len(found)


@pytest.fixture
def data(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["x"] = np.arange(10_000)
    return (tmp_path / "file.h5").read_bytes()


@pytest.fixture
def thresholds():
    """Garbage is searched for when a test has it so."""
    usual = gc.get_threshold()
    gc.set_threshold(10**6)
    yield
    gc.set_threshold(*usual)


def test_a_thread_that_finds_objects_of_hdf5_is_not_waited_for(data, thresholds):
    kept = []

    def help_out():
        # As what sees to a connection: it makes objects, and whoever does may find garbage.
        kept.clear()
        gc.set_threshold(10)
        return [[] for _ in range(5000)]

    def fetch(start, stop):
        for _ in range(50):
            kept.append([h5py.h5p.create(h5py.h5p.FILE_ACCESS)])
            kept[-1].append(kept[-1])
        helper = threading.Thread(target=help_out, daemon=True)
        helper.start()
        helper.join()
        return data[start:stop]

    cache, found = RangeCache(512, fetch, len(data), 2**20), []

    def read():
        with h5py.File(Ranges(cache), "r") as file:
            found.append(file["x"][...])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive()
    np.testing.assert_array_equal(found[0], np.arange(10_000))
    cache.close()


def test_garbage_is_searched_for_again_when_the_last_is_done():
    seen, both = [], threading.Barrier(2, timeout=10)

    def fetch(start, stop):
        both.wait()
        seen.append(gc.isenabled())
        both.wait()
        if start:
            raise OSError("no answer")
        return bytes(stop - start)

    cache = RangeCache(8, fetch, 16, 2**20)
    other = threading.Thread(target=lambda: cache.read(0, 8))
    other.start()
    with pytest.raises(OSError, match="no answer"):
        cache.read(8, 16)
    other.join()
    cache.close()
    assert seen == [False, False]
    assert gc.isenabled()
    cache = RangeCache(8, lambda start, stop: bytes(stop - start), 16, 2**20)
    gc.disable()
    try:
        cache.read(0, 8)
        assert not gc.isenabled()
    finally:
        gc.enable()
        cache.close()
