"""Arrays computed when they are read: scaled ones, and what is behind them."""

import copy
import pickle

import numpy as np
import pytest
import xarray as xr

from oscaxr.arrays.computed import ScaledReader, computed, scaled, unscaled
from oscaxr.arrays.lazy import ArrayReader, Once, OrthogonalArray
from oscaxr.arrays.xarray_internals import is_in_memory

TRACES = np.random.default_rng(5).normal(size=(30, 4)).astype(np.float32)
CENTER, SPREAD = np.arange(4.0), np.arange(1.0, 5.0)
SCALED = (TRACES - CENTER) / SPREAD


class Chunked(ArrayReader):
    """An array stored in chunks, that notes what is read of it."""

    chunk_shape = (10, 2)

    def __init__(self, array):
        super().__init__(array)
        self.reads = 0

    def read(self, indices):
        self.reads += 1
        return super().read(indices)


def twice():
    return {"center": CENTER, "spread": SPREAD}


def lazily():
    """Traces, center and spread, none of which is in memory."""
    once = Once(twice)
    factors = [xr.Variable("roi", computed(once, (4,), float, part)) for part in twice()]
    reader = Chunked(TRACES)
    return xr.Variable(("time", "roi"), OrthogonalArray(reader)), *factors, reader, once


def variable(data, dims=("time", "roi")):
    return xr.Variable(dims, data)


def test_nothing_is_read_before_it_is_used():
    source, center, spread, reader, once = lazily()
    found = variable(scaled(source, center, spread))
    part = found.transpose("roi", "time")[[2, 0], 3:7]
    assert (found.dtype, found.shape, reader.reads, once.done) == (np.float64, (30, 4), 0, False)
    np.testing.assert_array_equal(part.values, SCALED[3:7, [2, 0]].T)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.values, SCALED)
    np.testing.assert_array_equal(copy.deepcopy(found).values, SCALED)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_in_memory_is_scaled_at_once(which):
    known = [variable(TRACES), variable(CENTER, "roi"), variable(SPREAD, "roi")]
    assert isinstance(scaled(*known), np.ndarray)
    known[which] = lazily()[which]
    found = variable(scaled(*known))
    assert not is_in_memory(found)
    np.testing.assert_array_equal(found.values, SCALED)


@pytest.mark.parametrize("of", ["single", "each"])
def test_dask_stays_dask_and_computes_nothing(of):
    import dask

    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    source, center, spread, _, once = lazily()
    factors = (center, spread) if of == "each" else (center[1], spread[1])
    with dask.config.set(scheduler=refuse):
        found = variable(scaled(source.chunk({"time": 10}), *factors))
    assert found.chunks is not None
    assert not once.done
    wanted = SCALED if of == "each" else (TRACES - CENTER[1]) / SPREAD[1]
    np.testing.assert_array_equal(found.values, wanted)


def test_single_values():
    one = ScaledReader(variable(np.arange(4.0), "time"), variable(1.0, ()), variable(2.0, ()))
    assert one.read((slice(1, 3, 1),)).tolist() == [0.0, 0.5]


def test_it_can_be_written_to_without_touching_the_source():
    source, center, spread, *_ = lazily()
    found = variable(scaled(source, center, spread))
    found[0] = 7.0
    assert (found.values[0] == 7.0).all()
    np.testing.assert_array_equal(source.values, TRACES)


@pytest.mark.parametrize(
    "key", [np.s_[:], np.s_[2:9, [3, 1]], np.s_[::-1], np.s_[:, 2], np.s_[[5, 1], :]]
)
def test_what_is_behind(key):
    source, center, spread, reader, _ = lazily()
    found = variable(scaled(source, center, spread)).transpose("roi", "time")
    part = found[key[::-1]] if isinstance(key, tuple) else found[:, key]
    behind = unscaled(part)
    assert behind is not None
    assert reader.reads == 0
    again = (behind[0] - behind[1]) / behind[2]
    np.testing.assert_array_equal(again.transpose(*part.dims).values, part.values)
    assert behind[0].dims == part.dims


def test_nothing_is_behind_others():
    source, center, spread, *_ = lazily()
    assert unscaled(source) is None
    assert unscaled(variable(TRACES)) is None
    matrix = xr.Variable(("a", "b"), [[0, 1], [2, 3]])
    assert unscaled(variable(scaled(source, center, spread)).isel(time=matrix)) is None


def test_what_is_stored_together_is_known():
    source, center, spread, *_ = lazily()
    array = OrthogonalArray(ScaledReader(source.transpose("roi", "time"), center, spread))
    assert array.chunk_shape == (2, 10)
    assert array[xr.core.indexing.OuterIndexer((0, slice(None)))].chunk_shape == (10,)
    assert OrthogonalArray(ArrayReader(TRACES)).chunk_shape is None


@pytest.mark.parametrize("is_quick", [False, True])
def test_what_is_slow_is_computed_once_and_what_is_quick_not_kept(is_quick):
    calls = []

    def compute():
        calls.append(1)
        return np.arange(6.0)

    once = Once(compute)
    data = computed(once, (6,), float, is_quick=is_quick)
    first, second = data.get_duck_array(), data.get_duck_array()
    first[:] = -1
    np.testing.assert_array_equal(second, np.arange(6.0))
    assert len(calls) == (2 if is_quick else 1)
    # Of a part, others will want the rest.
    for place in (2, 3):
        assert variable(data, ("i",))[place].values == place
    assert len(calls) == (3 if is_quick else 1)
