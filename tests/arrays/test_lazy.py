"""Lazily indexed arrays against numpy on the loaded array."""

import copy
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import ArrayReader, Once, OrthogonalArray, read_runs, runs_of

SHAPE = (23, 7, 5)
VALUES = np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)


class CountingReader(ArrayReader):
    """Checks that what it is asked for keeps the contract, and counts."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        super().__init__(array)
        self.reads = 0

    def read(self, indices: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        self.reads += 1
        assert len(indices) == len(self.shape)
        for index, size in zip(indices, self.shape, strict=True):
            if isinstance(index, slice):
                assert index.step >= 1
                assert 0 <= index.start < index.stop <= size
            else:
                assert index.ndim == 1
                assert index.size
                assert index.min() >= 0
                assert index.max() < size
        return super().read(indices)


def lazy(values: np.ndarray[Any, Any] = VALUES) -> tuple[xr.Variable, CountingReader]:
    reader = CountingReader(values)
    return xr.Variable(("a", "b", "c")[: values.ndim], OrthogonalArray(reader)), reader


eager = xr.Variable(("a", "b", "c"), VALUES)

KEYS = [
    {"a": slice(3, 17)},
    {"a": slice(None, None, -1)},
    {"a": slice(20, 2, -3), "c": slice(None, None, 2)},
    {"a": slice(-5, None), "b": slice(None, -2)},
    {"a": -1},
    {"a": 4, "b": -7, "c": 0},
    {"b": [5, 0, 0, -1, 3]},
    {"a": [2, 2, 20, 1], "c": [4, 0]},
    {"a": np.array([9, -23, 22]), "b": 3},
    {"a": np.arange(23) % 4 == 1},
    {"b": np.zeros(7, bool)},
    {"a": slice(5, 5)},
    {"c": []},
    {"a": xr.Variable(("m", "n"), [[3, 4, 5], [0, 1, 2]])},
    {"b": xr.Variable(("m", "n"), [[-1, 2], [6, 6]])},
    {"a": xr.Variable(("m", "n"), [[3, 4], [0, -1]]), "b": slice(1, 6, 2), "c": -2},
    {"a": xr.Variable("p", [0, 5, 22]), "b": xr.Variable("p", [6, 0, 1])},
    {"a": xr.Variable("p", [0, 5, 22]), "c": xr.Variable("p", [4, 0, -1])},
    {"a": xr.Variable(("p", "q"), [[0, 5]]), "b": xr.Variable("q", [6, 0])},
    {"a": xr.Variable("m", [0, 5]), "b": xr.Variable("n", [6, 0, 2])},
    {"a": xr.Variable(("m", "n"), np.zeros((0, 4), int))},
    {"a": xr.Variable("p", [1]), "b": xr.Variable("p", [1]), "c": xr.Variable("p", [1])},
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_equals_numpy(key: dict[str, Any]) -> None:
    variable, reader = lazy()
    selected = variable.isel(key)
    expected = eager.isel(key)
    assert reader.reads == 0
    assert selected.dims == expected.dims
    assert selected.shape == expected.shape
    assert selected.dtype == expected.dtype
    np.testing.assert_array_equal(selected.values, expected.values)
    assert reader.reads == (1 if expected.size else 0)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_after_transpose(key: dict[str, Any]) -> None:
    variable, _ = lazy()
    for order in (("c", "a", "b"), ("b", "a", "c")):
        selected = variable.transpose(*order).isel(key)
        expected = eager.transpose(*order).isel(key)
        assert selected.dims == expected.dims
        np.testing.assert_array_equal(selected.values, expected.values)


@pytest.mark.parametrize(
    "key",
    [{"a": 23}, {"a": -24}, {"b": [0, 7]}, {"b": [-8]}, {"a": xr.Variable(("m", "n"), [[0, 23]])}],
    ids=str,
)
def test_out_of_range(key: dict[str, Any]) -> None:
    variable, _ = lazy()
    with pytest.raises(IndexError):
        variable.isel(key).values  # noqa: B018


def test_out_of_range_after_other_indexing() -> None:
    variable, _ = lazy()
    for first in ({"a": slice(0, 4)}, {"a": [3, 1]}, {"a": slice(None, None, 7)}):
        with pytest.raises(IndexError):
            variable.isel(first).isel(a=[4]).values  # noqa: B018


def test_chain_reads_once_and_only_what_is_asked() -> None:
    variable, reader = lazy()
    asked: list[Any] = []
    read = reader.read
    reader.read = lambda indices: asked.append(indices) or read(indices)  # type: ignore[method-assign]
    chain = (
        variable.isel(a=slice(2, 20))
        .isel(b=[6, 1, 1])
        .transpose("b", "c", "a")
        .isel(a=xr.Variable(("s", "t"), [[0, 1], [17, 4]]))
        .isel(c=-1)
        .isel(s=1)
    )
    np.testing.assert_array_equal(chain.values, VALUES[2:20][:, [6, 1, 1], -1][[17, 4]].T)
    assert len(asked) == 1
    rows, columns, layers = asked[0]
    np.testing.assert_array_equal(rows, [19, 6])
    np.testing.assert_array_equal(columns, [6, 1, 1])
    assert layers == slice(4, 5, 1)


def _numpy_dim(size: int) -> st.SearchStrategy[Any]:
    positions = st.integers(-size, size - 1) if size else st.nothing()
    bound = st.none() | st.integers(-size - 2, size + 2)
    slices = st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, 3, -1, -2]))
    arrays = st.lists(positions, max_size=6) if size else st.just([])
    masks = st.lists(st.booleans(), min_size=size, max_size=size).map(
        lambda flags: np.array(flags, bool)
    )
    choices = [slices, arrays.map(lambda values: np.array(values, int)), masks]
    return st.one_of(*choices, *([positions] if size else []))


@st.composite
def _step(draw: st.DrawFn, sizes: dict[str, int], counter: int) -> tuple[str, Any]:
    """Draw one indexing step for a variable of these sizes."""
    dims = list(sizes)
    kind = draw(st.sampled_from(["basic", "matrix", "pointwise", "transpose"]))
    if kind == "transpose" or not dims:
        return "transpose", tuple(draw(st.permutations(dims)))
    if kind == "basic":
        chosen = draw(st.lists(st.sampled_from(dims), unique=True, min_size=1))
        return "isel", {dim: draw(_numpy_dim(sizes[dim])) for dim in chosen}
    filled = [dim for dim in dims if sizes[dim]]
    if not filled:
        return "transpose", tuple(dims)
    if kind == "matrix":
        dim = draw(st.sampled_from(filled))
        shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        values = draw(
            st.lists(
                st.integers(-sizes[dim], sizes[dim] - 1),
                min_size=shape[0] * shape[1],
                max_size=shape[0] * shape[1],
            )
        )
        new = (f"m{counter}", f"n{counter}")
        return "isel", {dim: xr.Variable(new, np.array(values).reshape(shape))}
    chosen = draw(st.lists(st.sampled_from(filled), unique=True, min_size=1, max_size=2))
    length = draw(st.integers(0, 4))
    return "isel", {
        dim: xr.Variable(
            f"p{counter}",
            np.array(
                draw(
                    st.lists(
                        st.integers(-sizes[dim], sizes[dim] - 1), min_size=length, max_size=length
                    )
                ),
                dtype=int,
            ),
        )
        for dim in chosen
    }


@given(data=st.data())
def test_random_chains_equal_numpy(data: st.DataObject) -> None:
    variable, _ = lazy()
    expected = eager
    for counter in range(data.draw(st.integers(1, 4), label="steps")):
        kind, key = data.draw(_step(dict(expected.sizes), counter), label="step")
        if kind == "transpose":
            variable, expected = variable.transpose(*key), expected.transpose(*key)
        else:
            variable, expected = variable.isel(key), expected.isel(key)
        assert variable.dims == expected.dims
        assert variable.shape == expected.shape
    np.testing.assert_array_equal(variable.values, expected.values)


def test_values_are_a_copy() -> None:
    variable, _ = lazy()
    before = VALUES.copy()
    loaded = variable.isel(a=slice(0, 3)).values
    loaded[:] = -1
    np.testing.assert_array_equal(before, VALUES)


def test_pickle_and_copies() -> None:
    variable, reader = lazy()
    selected = variable.isel(a=[3, 1], c=0)
    again = pickle.loads(pickle.dumps(selected))
    np.testing.assert_array_equal(again.values, VALUES[[3, 1], :, 0])
    array = OrthogonalArray(reader)
    assert copy.deepcopy(array) is array
    assert reader.reads == 0
    assert "CountingReader" in repr(array)
    assert str(SHAPE) in repr(array)


def test_zero_dimensional_and_empty_sources() -> None:
    point = xr.Variable((), OrthogonalArray(ArrayReader(np.array(3.5))))
    assert point.values == 3.5
    word = xr.Variable((), OrthogonalArray(ArrayReader(np.array("", "<U8"))))
    assert word.values.dtype == "<U8"
    nothing, reader = lazy(np.empty((0, 4)))
    assert nothing.values.shape == (0, 4)
    assert nothing.isel(b=[0, 1]).values.shape == (0, 2)
    assert reader.reads == 0


class Counter:
    """A function that counts its calls; picklable."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray[Any, Any]]:
        self.calls += 1
        return {"x": np.arange(6.0).reshape(2, 3), "y": np.array([True, False])}


def test_computed_once_for_all_parts_and_selections() -> None:
    counter = Counter()
    once = Once(counter)
    x = xr.Variable(("a", "b"), computed(once, (2, 3), np.float64, "x"))
    y = xr.Variable(("a",), computed(once, (2,), np.bool_, "y"))
    row = x.isel(a=1, b=[2, 0])
    assert not once.done
    np.testing.assert_array_equal(row.values, [5.0, 3.0])
    np.testing.assert_array_equal(y.values, [True, False])
    np.testing.assert_array_equal(x.isel(b=slice(None, None, -1)).values[0], [2.0, 1.0, 0.0])
    assert once.done
    assert counter.calls == 1
    x.values[:] = -1.0
    np.testing.assert_array_equal(once()["x"][0], [0.0, 1.0, 2.0])


def test_computed_pointwise_and_pickled() -> None:
    once = Once(Counter())
    x = xr.Variable(("a", "b"), computed(once, (2, 3), np.float64, "x"))
    points = x.isel(a=xr.Variable("p", [0, 1]), b=xr.Variable("p", [2, 1]))
    again = pickle.loads(pickle.dumps(points))
    np.testing.assert_array_equal(points.values, [2.0, 4.0])
    np.testing.assert_array_equal(again.values, [2.0, 4.0])
    assert copy.deepcopy(once) is once
    array = computed(once, (2, 3), np.float64, "x")
    assert copy.deepcopy(array) is array


def test_computed_without_parts() -> None:
    values = xr.Variable("a", computed(Once(partial(np.arange, 4)), (4,), np.int64))
    np.testing.assert_array_equal(values[[3, 0]].values, [3, 0])
    assert values[2].values == 2


def test_once_raises_again_after_an_error() -> None:
    failing = Once(partial(int, "x"))
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            failing()
    assert not failing.done


def _increasing(size: int) -> st.SearchStrategy[Any]:
    rows = st.sets(st.integers(0, size - 1), min_size=1).map(lambda some: np.array(sorted(some)))
    slices = st.builds(slice, st.integers(0, size), st.integers(0, size), st.integers(1, 4))
    # As readers are asked: nothing that is empty.
    return rows | slices.filter(lambda one: len(range(*one.indices(size))))


@given(
    st.tuples(*map(_increasing, SHAPE)),
    st.tuples(*(st.integers(1, size) for size in SHAPE)),
)
# The second run, with what lies between its rows, is as large as all that is asked for.
@example((np.array([0, 12, 14, 15, 16]), slice(0, 7), slice(0, 5)), (2, 7, 5))
def test_runs_are_the_outer_product(indices, widths):
    found = read_runs(VALUES, runs_of(indices, SHAPE, widths), VALUES.dtype)
    expected = VALUES
    for axis, index in enumerate(indices):
        expected = expected[(slice(None),) * axis + (index,)]
    np.testing.assert_array_equal(found, expected)
