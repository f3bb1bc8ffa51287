"""Data in one piece: what is read is what a plain array gives, however it is asked for."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from how_many import examples
from oscaxr.arrays.lazy import take_outer
from oscaxr.errors import FormatError
from oscaxr.files import chunks, contiguous
from oscaxr.files.chunks import find_storage, opened_unchanged
from oscaxr.files.contiguous import read_contiguous
from oscaxr.files.hdf5 import stamp_of

SHAPES = {"flat": (501,), "frames": (97, 5), "wide": (6, 900), "masks": (12, 7, 9)}
DTYPES = ("f8", ">f4", "i2", "?")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as handle:
        for name, shape in SHAPES.items():
            for dtype in DTYPES:
                handle[f"{name} {dtype}"] = (random.normal(size=shape) * 100).astype(dtype)
    return path


@st.composite
def index(draw, size):
    if draw(st.booleans()):
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        return slice(start, stop, draw(st.sampled_from([1, 1, 2, 7])))
    rows = st.integers(0, size - 1)
    runs = draw(st.lists(st.tuples(rows, st.integers(1, 30)), min_size=1, max_size=8))
    return np.concatenate([np.arange(start, min(start + n, size)) for start, n in runs])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHAPES)
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_outer_product_is_read(file, name, dtype, data, monkeypatch):
    # So small that all ways to read are taken on so little data.
    near, block, threaded = data.draw(st.tuples(*[st.sampled_from([1, 64, 2**13])] * 3))
    monkeypatch.setattr(contiguous, "_NEAR_BYTES", near)
    monkeypatch.setattr(contiguous, "_BLOCK_BYTES", block)
    monkeypatch.setattr(contiguous, "THREADED_BYTES", threaded)
    indices = tuple(data.draw(index(size)) for size in SHAPES[name])
    with h5py.File(file) as handle:
        dataset = handle[f"{name} {dtype}"]
        storage, values = find_storage(dataset, None), dataset[()]
    assert isinstance(storage, chunks.Contiguous)
    with opened_unchanged(str(file), stamp_of(str(file))) as opened:
        found = read_contiguous(opened, storage, indices)
    np.testing.assert_array_equal(found, take_outer(values, indices))
    assert found.dtype == values.dtype


def test_data_that_run_beyond_the_end(tmp_path: Path, file: Path) -> None:
    cut = tmp_path / "cut.h5"
    with h5py.File(file) as handle:
        storage = find_storage(handle["frames f8"], None)
    assert isinstance(storage, chunks.Contiguous)
    cut.write_bytes(file.read_bytes()[: storage.offset + 100])
    with (
        pytest.raises(FormatError, match=r"cut\.h5 is truncated: it ends at byte"),
        opened_unchanged(str(cut), stamp_of(str(cut))) as opened,
    ):
        read_contiguous(opened, storage, (slice(None), slice(None)))
