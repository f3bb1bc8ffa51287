"""What a session holds goes when the session goes, without waiting for the garbage collector."""

import gc
import pickle
import shutil
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import oscaxr as ox
from oscaxr.files.hdf5 import KEPT_OPEN


@contextmanager
def no_collector():
    """Leave it to the counting of references alone to free objects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(
    scope="module",
    params=[
        *("nwb", "zarr"),
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("zarr.zip", "nc")),
    ],
)
def path(request, sample_path, tmp_path_factory):
    if request.param == "nwb":
        return sample_path
    target = tmp_path_factory.mktemp("exports") / f"session.{request.param}"
    with ox.open_session(sample_path) as ds:
        ox.save(ds, target)
    return target


def use(ds):
    """Do what analyses do: select, window, scale, reduce, and look at lazy coordinates."""
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), post=0.5, scale=True)
    ox.stats(u, dim="sequence").load()
    return [ds[name].values for name in ("valid", "centroid_y", "gabor_x", "run_velocity", "dff")]


def sources(ds):
    """Weak references to what the variables read from, below xarray's wrappers."""
    found = []
    for variable in ds.variables.values():
        data = variable._data
        while hasattr(data, "array"):
            data = data.array
        if hasattr(data, "once") or hasattr(data, "reader"):
            found.append(weakref.ref(data))
    return found


def test_a_session_that_was_used_goes_with_its_last_name(path):
    with no_collector():
        with ox.open_session(path) as ds:
            held = [weakref.ref(ds), *sources(ds)]
            assert len(held) > 3
            use(ds)
        del ds
        assert not [ref() for ref in held if ref() is not None]


def test_an_accessor_does_not_hold_a_temporary(sample_path):
    assert ox.open_session(sample_path).osca.select(gabor_frame="U").sizes["segment"]


def test_lazy_arrays_pickle_without_what_they_found(path):
    with ox.open_session(path) as ds:
        before = len(pickle.dumps(ds))
        use(ds.copy())
        assert len(pickle.dumps(ds)) <= before * 1.01
        again = pickle.loads(pickle.dumps(ds))
        np.testing.assert_array_equal(again.dff[:5], ds.dff[:5])
        again.close()


@pytest.mark.slow
def test_few_of_many_files_stay_open(sample_path, tmp_path, open_files):
    paths = [tmp_path / f"{k}.nwb" for k in range(KEPT_OPEN + 3)]
    for path in paths:
        shutil.copy(sample_path, path)
    sessions = [ox.open_session(path) for path in paths]
    for _ in range(2):
        masks = [ds.roi_mask[0].values for ds in sessions]
        assert 0 < len(open_files(tmp_path)) <= KEPT_OPEN
    assert all((mask == masks[0]).all() for mask in masks)
    for ds in sessions:
        ds.close()
    assert not open_files(tmp_path)


def in_memory(tree):
    return {
        (node.path, name)
        for node in tree.leaves for name, variable in node.variables.items() if variable._in_memory
    }  # fmt: skip


def test_a_tree_keeps_nothing_of_what_is_read_from_it(path):
    with ox.open_sessions([path]) as tree:
        before = in_memory(tree)
        for node in tree.leaves:
            use(node.to_dataset())
        assert in_memory(tree) == before
        ox.map_sessions(use_all_of_it, tree, scheduler="synchronous", progress=False)
        assert in_memory(tree) == before
        (node,) = tree.leaves
        node.load()
        assert in_memory(tree) > before


def use_all_of_it(ds):
    return float(ds.load().dff.mean())


def test_a_node_closes_by_itself(sample_path, tmp_path, open_files):
    path = tmp_path / "a.nwb"
    shutil.copy(sample_path, path)
    tree = ox.open_sessions([path])
    (node,) = tree.leaves
    assert open_files(tmp_path)
    node.close()
    assert not open_files(tmp_path)
    tree.close()
