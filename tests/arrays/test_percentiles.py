"""Streamed percentiles against numpy's."""

import threading
import warnings
import weakref

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from example_sessions import SHARED
from how_many import examples
from oscaxr.arrays import columns
from oscaxr.arrays import percentiles as streamed
from oscaxr.arrays.columns import turned

tables = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 40), st.integers(1, 6)),
    elements=st.one_of(
        st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]), st.floats(-1e6, 1e6, width=32)
    ),
)
wanted = st.lists(st.floats(0, 100), min_size=1, max_size=5)


def numpy_percentiles(table, percentiles):
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanpercentile(table.astype(np.float64), percentiles, axis=0)


@settings(max_examples=examples(300), deadline=None)
@given(tables, wanted, st.sampled_from([1, 100, 1000, 2**20]), st.integers(1, 3))
def test_percentiles_equal_numpy(table, percentiles, budget, threads):
    original = table.copy()
    found = streamed.column_factors(
        lambda which: turned(table[:, which]),
        *table.shape,
        percentiles,
        budget_bytes=budget,
        threads=threads,
    )
    np.testing.assert_array_equal(found.percentiles, numpy_percentiles(table, percentiles))
    np.testing.assert_array_equal(found.valid, np.isfinite(table).all(axis=0))
    np.testing.assert_array_equal(table, original)


@settings(max_examples=examples(100), deadline=None)
@given(tables, wanted)
def test_percentiles_by_sorting_equal_numpy(table, percentiles):
    table = np.where(np.isinf(table), 3.0, table)
    found = streamed.sorted_percentiles(table, percentiles, axis=0)
    expected = numpy_percentiles(table, percentiles)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8", np.int16])
def test_many_columns_in_blocks(dtype):
    rng = np.random.default_rng(1)
    table = (rng.normal(size=(2500, 150)) * 100).astype(dtype)
    reads = []

    def read(columns):
        reads.append((columns.start, columns.stop))
        return turned(table[:, columns])

    found = streamed.column_factors(read, *table.shape, budget_bytes=2500 * 8 * 60, align=16)
    np.testing.assert_array_equal(found.percentiles, numpy_percentiles(table, [5, 50, 95]))
    assert len(reads) > 2
    assert all(start % 16 == 0 for start, _ in reads)
    assert [stop for _, stop in reads[:-1]] == [start for start, _ in reads[1:]]


def test_memory_stays_within_the_budget():
    """What is read at a time, and what the threads turn over, together stay within it."""
    n_time, n_columns, budget = 1000, 400, 1000 * 8 * 100
    held, lock, most = [0], threading.Lock(), [0]
    read_width = [0]

    def kernel(rows, _):
        with lock:
            held[0] += rows.nbytes
            most[0] = max(most[0], held[0])
        with lock:
            held[0] -= rows.nbytes

    def read(columns):
        read_width[0] = max(read_width[0], columns.stop - columns.start)
        return np.zeros((columns.stop - columns.start, n_time))

    columns.map_columns(read, n_time, n_columns, kernel, budget_bytes=budget, threads=2)
    assert most[0] + read_width[0] * n_time * 8 <= budget


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (1, 1), (2, 1)])
def test_empty_and_tiny_tables(shape):
    table = np.ones(shape)
    found = streamed.column_factors(lambda which: turned(table[:, which]), *shape)
    assert found.percentiles.shape == (3, shape[1])
    assert np.isnan(found.percentiles).all() if shape[0] == 0 else (found.percentiles == 1).all()
    np.testing.assert_array_equal(streamed.nan_percentiles(table), found.percentiles)


def test_kernel_errors_reach_the_caller():
    def kernel(rows, _):
        raise RuntimeError("kernel failed")

    with pytest.raises(RuntimeError, match="kernel failed"):
        columns.map_columns(lambda which: np.zeros((2, 3))[which], 3, 2, kernel)


@pytest.mark.parametrize("dims", [("time", "roi"), ("roi", "time")])
@pytest.mark.parametrize("chunked", [False, True])
def test_reader_of_either_order(dims, chunked):
    values = np.arange(12.0).reshape(4, 3)
    traces = xr.DataArray(values, dims=("time", "roi")).transpose(*dims)
    if chunked:
        traces = traces.chunk({"time": 2})
    read = columns.column_reader(traces, "time")
    np.testing.assert_array_equal(read(slice(1, 3)), values[:, 1:3].T)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("session", "tolerance"),
    [("758519303", 1e-5), ("759189643", 1e-5), ("759660390", 1e-10), ("764704289", 1e-5)],
)
def test_published_roi_factors(session, tolerance):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{session}*.nwb")
    golden = np.load(SHARED / "golden" / f"{session}.npz")["roi_facts"]
    with h5py.File(path) as file:
        data = file["processing/ophys/DfOverF/RoiResponseSeries/data"]
        found = streamed.column_factors(
            lambda which: turned(data[:, which]), *data.shape, budget_bytes=10**6
        )
    low, middle, high = found.percentiles
    np.testing.assert_allclose(middle, golden[0], rtol=tolerance)
    np.testing.assert_allclose(high - low, golden[1], rtol=tolerance)
    assert found.valid.all()


def test_a_block_is_let_go_before_the_next_is_read():
    blocks = []

    def read(which: slice) -> np.ndarray:
        assert [block for block in blocks if block() is not None] == []
        block = np.zeros((which.stop - which.start, 100))
        blocks.append(weakref.ref(block))
        return block

    budget = 20 * 100 * 8
    sums = columns.map_columns(
        read, 100, 64, lambda rows, _: rows.sum(), budget_bytes=budget, align=64
    )
    assert len(blocks) > 2
    assert set(sums) == {0.0}
