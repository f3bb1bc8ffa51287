"""Arrays read at places that are known, here and from a server, without the HDF5 library."""

import os
import pickle
import zlib

import numpy as np
import pytest

from archive_server import ArchiveServer
from oscaxr.errors import FormatError
from oscaxr.files.chunks import Chunked, Contiguous
from oscaxr.files.direct import DirectFile, StorageReader, read_together
from oscaxr.files.hdf5 import stamp_of
from oscaxr.files.remote import RemoteFile

pytest.importorskip("fsspec")
pytest.importorskip("requests")

VALUES = np.random.default_rng(0).normal(size=(50, 7))
CHUNKS = (20, 3)
INDICES = [
    (slice(0, 50, 1), slice(0, 7, 1)),
    (slice(3, 44, 5), np.array([6, 0, 2])),
    (np.array([49, 0, 30, 30, 31]), slice(2, 5, 1)),
    (np.array([12]), np.array([1])),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A file that holds the values in one piece and then in deflated chunks, and both places."""
    path = tmp_path_factory.mktemp("direct") / "values.bin"
    grid = tuple(-(-size // width) for size, width in zip(VALUES.shape, CHUNKS, strict=True))
    padded = np.zeros(np.multiply(grid, CHUNKS))
    padded[:50, :7] = VALUES
    data, offsets, sizes = b"head" + VALUES.tobytes(), np.empty(grid, int), np.empty(grid, int)
    for place in np.ndindex(grid):
        part = tuple(slice(at * w, (at + 1) * w) for at, w in zip(place, CHUNKS, strict=True))
        raw = zlib.compress(padded[part].tobytes())
        offsets[place], sizes[place] = len(data), len(raw)
        data += raw
    path.write_bytes(data)
    one_piece = Contiguous(VALUES.shape, VALUES.dtype, None, 4)
    chunked = Chunked(VALUES.shape, VALUES.dtype, None, CHUNKS, True, offsets, sizes)
    return path, {"one piece": one_piece, "chunks": chunked}


@pytest.fixture(scope="module")
def server(stored):
    server = ArchiveServer()
    server.address = server.add("values.bin", stored[0], {})
    yield server
    server.close()


@pytest.fixture(params=["here", "server"])
def file(request, stored, server):
    server.reset()
    options = {"block_size": 64, "retries": 0}
    here = request.param == "here"
    file = DirectFile(stored[0] if here else RemoteFile(server.address, options))
    yield file
    file.close()


@pytest.mark.parametrize("form", ["one piece", "chunks"])
@pytest.mark.parametrize("rows", [(), (40,), (10, 40)], ids=str)
def test_any_index_reads_what_is_stored(form, rows, file, stored):
    expected = VALUES.copy()
    replaced = {}
    for start in rows:
        replaced[start] = -expected[start : start + 10]
        expected[start : start + 10] *= -1
    reader = StorageReader(file, "values", stored[1][form], replaced)
    for rois, columns in INDICES:
        found = reader.read((rois, columns))
        np.testing.assert_array_equal(found, expected[rois][:, columns])
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again.read(INDICES[1]), expected[INDICES[1][0]][:, [6, 0, 2]])
    again.file.close()


def test_together_is_fetched_at_once(stored, server):
    server.reset()
    file = DirectFile(RemoteFile(server.address, {"block_size": 64}))
    readers = [StorageReader(file, "values", one, {}) for one in stored[1].values()]
    for values in read_together(readers):
        np.testing.assert_array_equal(values, VALUES)
    file.close()
    # The first bytes, and all of the rest.
    assert len(server.asked) == 2


def test_replaced_files_are_not_read(stored, server, tmp_path):
    copy = tmp_path / "copy.bin"
    copy.write_bytes(stored[0].read_bytes())
    reader = StorageReader(DirectFile(copy, stamp_of(str(copy))), "values", stored[1]["chunks"], {})
    reader.read(INDICES[0])
    os.utime(copy, (1, 1))
    with pytest.raises(FormatError, match="was written to"):
        StorageReader(reader.file, "v", reader.storage, {}).read(INDICES[0])
    file = DirectFile(RemoteFile(server.address, {"block_size": 64}))
    file.remote = file.found()
    again = pickle.dumps(file)
    file.close()
    server.etag = '"two"'
    with pytest.raises(FormatError, match="replaced on the server"):
        StorageReader(pickle.loads(again), "values", stored[1]["chunks"], {}).read(INDICES[0])


def test_what_unfolds_to_more_is_refused(stored, tmp_path):
    path = tmp_path / "bomb.bin"
    path.write_bytes(zlib.compress(bytes(10_000_000)))
    storage = Chunked(
        (20, 3),
        VALUES.dtype,
        None,
        CHUNKS,
        True,
        np.array([[0]]),
        np.array([[path.stat().st_size]]),
    )
    with pytest.raises(FormatError, match="damaged or cut short"):
        StorageReader(DirectFile(path), "values", storage, {}).read(
            (slice(0, 20, 1), slice(0, 3, 1))
        )
