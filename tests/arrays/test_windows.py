"""Windows of frames: which frames they are, and how they are read from any source."""

import copy
import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from oscaxr.arrays.computed import ScaledReader
from oscaxr.arrays.lazy import ArrayReader, OrthogonalArray
from oscaxr.arrays.windows import WindowReader, Windows, take_frames, window_reader
from oscaxr.arrays.xarray_internals import innermost


def naive_frames(windows):
    rows = []
    for sequence, reference in enumerate(windows.reference):
        row = []
        for position, offset in enumerate(windows.offsets):
            frame = reference + offset
            if not 0 <= frame < windows.n_frames:
                frame = -1
            if windows.length is not None and position >= windows.length[sequence]:
                frame = -1
            if frame >= 0 and windows.lookup is not None:
                frame = windows.lookup[frame]
            row.append(int(frame))
        rows.append(row)
    return rows


@st.composite
def random_windows(draw):
    n_frames = draw(st.integers(1, 30))
    n_sequences = draw(st.integers(0, 6))
    reference = draw(
        st.lists(st.integers(0, n_frames - 1), min_size=n_sequences, max_size=n_sequences)
    )
    first = draw(st.integers(-8, 4))
    n_offsets = draw(st.integers(0, 10))
    length = lookup = None
    if draw(st.booleans()):
        lengths = st.integers(0, n_offsets)
        length = np.array(
            draw(st.lists(lengths, min_size=n_sequences, max_size=n_sequences)), np.int64
        )
    if draw(st.booleans()):
        lookup = np.array(
            draw(st.lists(st.integers(-1, 29), min_size=n_frames, max_size=n_frames)), np.int64
        )
    return Windows(
        np.array(reference, np.int64), np.arange(first, first + n_offsets), n_frames, length, lookup
    )


@given(windows=random_windows())
def test_frames_equal_a_loop(windows):
    frames = windows.frames()
    assert frames.shape == (len(windows.reference), len(windows.offsets))
    assert frames.tolist() == naive_frames(windows)
    assert windows.has_gaps == bool((frames < 0).any())


@given(windows=random_windows(), data=st.data())
def test_frames_of_some_of_them(windows, data):
    some = [
        np.array(data.draw(st.lists(st.integers(0, length - 1)) if length else st.just([])), int)
        for length in (len(windows.reference), len(windows.offsets))
    ]
    np.testing.assert_array_equal(windows.frames(*some), windows.frames()[np.ix_(*some)])
    parts = (slice(1, None), slice(None, None, 2))
    np.testing.assert_array_equal(windows.frames(*parts), windows.frames()[parts])


TRACES = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def sources(tmp_path):
    lazy = OrthogonalArray(ArrayReader(TRACES))
    file = xr.Dataset({"x": (("time", "roi"), TRACES)})
    file.to_netcdf(tmp_path / "x.nc")
    file.to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=False)
    opened = xr.open_dataset(tmp_path / "x.nc")
    zarr = xr.open_zarr(tmp_path / "x.zarr", chunks=None, consolidated=False)
    return {
        "memory": xr.Variable(("time", "roi"), TRACES),
        "lazy": xr.Variable(("time", "roi"), lazy),
        "netcdf": opened["x"].variable,
        "zarr": zarr["x"].variable,
        "transposed": xr.Variable(("roi", "time"), TRACES.T).transpose("time", "roi"),
    }, opened


@pytest.fixture(scope="module")
def each_source(tmp_path_factory):
    found, file = sources(tmp_path_factory.mktemp("windows"))
    with file:
        yield found


@pytest.mark.parametrize("kind", ["memory", "lazy", "netcdf", "zarr", "transposed"])
@given(windows=random_windows(), scaled=st.booleans(), data=st.data())
def test_reading_equals_a_loop_from_every_source(each_source, kind, windows, scaled, data):
    factors = (np.arange(4.0), np.arange(1.0, 5.0)) if scaled else None
    reader = WindowReader(each_source[kind], windows)
    if factors:
        cut = xr.Variable(("sequence", "rel_time", "roi"), OrthogonalArray(reader))
        reader = ScaledReader(cut, *(xr.Variable(("roi",), factor) for factor in factors))
    values = TRACES if factors is None else (TRACES - factors[0]) / factors[1]
    wanted = np.full(reader.shape, np.nan)
    for s, row in enumerate(naive_frames(windows)):
        for k, frame in enumerate(row):
            if frame >= 0:
                wanted[s, k] = values[frame]
    some = tuple(
        np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5)), int)
        if size and data.draw(st.booleans())
        else slice(0, size, 1)
        for size in reader.shape
    )
    if 0 in reader.shape:
        return
    found = reader.read(some)
    assert found.dtype == (np.float64 if scaled else np.float32) == reader.dtype
    for axis, index in enumerate(some):
        wanted = wanted[(slice(None),) * axis + (index,)]
    np.testing.assert_array_equal(found, wanted.astype(found.dtype))


@pytest.mark.parametrize(
    ("stored", "with_gaps"),
    [("uint8", "float32"), ("int16", "float32"), ("int32", "float64"), ("float32", "float32")],
)
def test_whole_numbers_become_floats_only_where_there_are_gaps(stored, with_gaps):
    source = xr.Variable(("time",), np.arange(10).astype(stored))
    inside = WindowReader(source, Windows(np.array([3]), np.arange(2), 10))
    beyond = WindowReader(source, Windows(np.array([3]), np.arange(9), 10))
    assert inside.dtype == np.dtype(stored)
    assert beyond.dtype == np.dtype(with_gaps)
    both = (slice(0, 1, 1), slice(0, 9, 1))
    assert np.isnan(beyond.read(both)).sum() == 2
    assert beyond.read(both).dtype == beyond.dtype


def test_the_source_is_not_written_to():
    traces = np.arange(10.0)
    windows = Windows(np.array([0]), np.arange(-2, 3), 10)
    values = take_frames(xr.Variable(("time",), traces), np.array([[0, 1], [0, 1]]))
    values[:] = -1
    WindowReader(xr.Variable(("time",), traces), windows).read((slice(0, 1, 1), slice(0, 5, 1)))
    assert traces.tolist() == list(range(10))


def test_the_reader_behind_a_variable_is_found():
    source = xr.Variable(("time", "roi"), TRACES)
    reader = WindowReader(source, Windows(np.array([3]), np.arange(2), 30))
    lazy = xr.Variable(("sequence", "rel_time", "roi"), OrthogonalArray(reader))
    found = window_reader(lazy[:, 1:])
    assert found is not None
    assert found[0] is reader
    assert window_reader(source) is None
    assert innermost(source) is not None
    assert copy.deepcopy(reader) is reader
    assert "time" in repr(reader)
    again = pickle.loads(pickle.dumps(reader))
    everything = (slice(0, 1, 1), slice(0, 2, 1), slice(0, 4, 1))
    np.testing.assert_array_equal(again.read(everything), reader.read(everything))
