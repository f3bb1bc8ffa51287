"""The accessor gives what the functions give, and keeps nothing."""

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import measure
from oscaxr.accessor import DataArrayAccessor, DatasetAccessor
from oscaxr.select import frames, tables

# Methods whose function has another name, or is not at the top.
FUNCTIONS = {
    "select": ox.select_segments,
    "convert_frames": frames.convert_frames,
    "onset_pairs": tables.onset_pairs,
    "patches_around": tables.patches_around,
    "scale_parameters": measure.scale_parameters,
}


def function_of(name):
    return FUNCTIONS[name] if name in FUNCTIONS else getattr(ox, name)


@pytest.fixture(scope="module")
def ds(memory_session):
    return memory_session


def same(one, other):
    if isinstance(one, xr.Dataset | xr.DataArray):
        xr.testing.assert_identical(one, other)
    elif isinstance(one, tuple):
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif hasattr(one, "as_dataframe"):
        same(one.as_dataframe(), other.as_dataframe())
    elif hasattr(one, "equals"):
        assert one.equals(other)
    else:
        np.testing.assert_equal(one, other)


def methods(accessor):
    return sorted(
        name for name in dir(accessor)
        if not name.startswith("_") and callable(getattr(accessor, name))
    )  # fmt: skip


CASES = {
    "session": {
        "select": {"gabor_frame": "U", "explain": True},
        "sequences": {"name": "dff", "segments": [3, 4], "pre": 0.2, "post": 0.3},
        "tracked": {},
        "responses": {"segments": [3, 4]},
        "segment_table": {},
        "to_pynapple": {},
        "blocks": {"stimulus": "visflow"},
        "epochs": {"bridge": 1.0},
        "running_bouts": {"above": 2.0},
        "onset_pairs": {"stimulus": "gabors"},
        "patches": {"segments": [3, 4]},
        "patches_around": {"frames": [500], "pre": 0, "post": 0.3},
        "stimulus_images": {"frames": [3]},
        "convert_frames": {"frames": [3], "to": "twop"},
        "segments_at": {"frames": [500]},
        "scale_factors": {"name": "run_velocity"},
        "scale_parameters": {},
        "interpolate": {},
        "active_rois": {},
        "plateau_traces": {},
        "snr": {},
        "invalid_rois": {},
        "roi_correlations": {},
        "validate": {},
    },
    "sequences of several": {
        "to_frame": {"columns": ["gabor_frame"]},
        "scale": {"ds": "the session"},
        "baseline": {"window": 0.1},
        "smooth": {"frames": 3},
        "integrate": {},
        "stats": {"dim": "sequence", "stat": "median", "error": "quartiles"},
    },
    "sequences": {
        "scale": {"ds": "the session"},
        "baseline": {"window": 0.1, "stat": "median"},
        "smooth": {"frames": 3},
        "integrate": {},
        "stats": {"dim": ("sequence", "roi"), "error": "std"},
        "to_hierarchical_frame": {},
        "to_frame": {},
    },
    "trace": {
        "tracked": {},
        "invalid_rois": {},
        "to_pynapple": {},
        "to_numpy": {},
        "active_rois": {},
        "plateau_traces": {},
        "snr": {},
        "roi_correlations": {},
        "smooth": {"frames": 5},
    },
    "running": {"interpolate": {}},
    "parameter": {"scale_parameters": {}},
}


@pytest.fixture(scope="module")
def objects(ds):
    options = {"pre": 0.2, "post": 0.3}
    return {
        "session": ds,
        "sequences of several": ox.sequences(ds, ["dff", "pupil_diameter"], [3, 4], **options),
        "sequences": ox.sequences(ds, "dff", [3, 4, 5], **options),
        "trace": ds.dff,
        "running": ds.run_velocity,
        "parameter": ds.gabor_x,
    }


def outcome(function, *args, **kwargs):
    """Return the result, or the error, so that these can be compared as well."""
    try:
        return function(*args, **kwargs)
    except ox.OscaxrError as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    ("accessor", "kinds"),
    [
        (DatasetAccessor, ["session", "sequences of several"]),
        (DataArrayAccessor, ["sequences", "trace", "running", "parameter"]),
    ],
)
def test_every_method_is_compared(accessor, kinds):
    compared = set().union(*(CASES[kind] for kind in kinds))
    assert set(methods(accessor)) <= compared


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in CASES for name in CASES[kind]])
def test_methods_equal_their_functions(ds, objects, kind, name):
    if not hasattr(objects[kind].osca, name):
        pytest.skip("a function only")
    arguments = dict(CASES[kind][name])
    if "ds" in arguments:
        arguments["ds"] = ds
    function = function_of(name)
    same(
        outcome(getattr(objects[kind].osca, name), **arguments),
        outcome(function, objects[kind], **arguments),
    )


def test_positional_arguments_are_passed_on(ds):
    same(
        ds.osca.sequences("pupil_diameter", [3, 4], pre=0.1, post=0.3),
        ox.sequences(ds, "pupil_diameter", [3, 4], pre=0.1, post=0.3),
    )
    u = ds.osca.sequences("dff", [3, 4], pre=0.1, post=0.3)
    same(u.osca.scale(ds).osca.baseline(0.1), ox.baseline(ox.scale(u, ds), 0.1))
    assert ds.osca.n_tracked == ox.n_tracked(ds) == 4


@pytest.mark.parametrize("accessor", [DatasetAccessor, DataArrayAccessor])
def test_signatures_and_docs_are_passed_on(accessor):
    for name in methods(accessor):
        method = getattr(accessor, name)
        function = function_of(name)
        own = next(iter(inspect.signature(function).parameters))
        kept, whole = (
            # Python 3.13 takes the indentation away itself.
            [line for line in inspect.cleandoc(one.__doc__).splitlines() if line.strip()]
            for one in (method, function)
        )
        left_out = [line for line in whole if line not in kept]
        assert set(kept) <= set(whole)
        first = [line for line in left_out if line.strip(" -") not in ("", "Parameters")]
        assert first[0].strip().startswith(f"{own} : ")
        assert all(line.startswith(" " * 4) for line in first[1:])
        given, passed = (list(inspect.signature(f).parameters.values()) for f in (function, method))
        assert passed[0].name == "self"
        assert passed[1:] == given[1:]
        returned = inspect.signature(method).return_annotation
        assert returned == inspect.signature(function).return_annotation


def test_unknown_arguments_are_refused(ds):
    with pytest.raises(TypeError, match="window"):
        ds.osca.sequences("dff", [3], window=3)


def test_no_state_is_kept(ds):
    session = ds.copy()
    before = dict(vars(session.osca))
    session.osca.select(gabor_frame="U")
    session.osca.sequences("dff", [3, 4], post=0.3)
    session.osca.tracked()
    assert vars(session.osca).keys() == before.keys() == {"_object"}
    assert session.osca._object is session
    xr.testing.assert_identical(session, ds)
    changed = session.isel(roi=[0])
    assert changed.osca._object is changed
    pickle.loads(pickle.dumps(session))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "name", "says"),
    [
        ("sequences", "select", r"ds\.osca\.select\(\.\.\.\), or choose .*u\.isel\(sequence="),
        ("sequences", "validate", r"a DataArray has no \.osca\.validate: call it on the session"),
        ("session", "to_hierarchical_frame", r"take one variable, ds\['dff'\]"),
        ("session", "segment_tabel", "'segment_tabel'; it has .*segment_table"),
    ],
)
def test_what_is_done_by_something_else_is_said(ds, of, name, says):
    objects = {"session": ds, "sequences": ds.osca.sequences(segments=[3], post=0.3)}
    with pytest.raises(AttributeError, match=says):
        getattr(objects[of].osca, name)
    assert not hasattr(objects[of].osca, name)


def test_criteria_on_a_dataset_of_sequences_are_explained(ds):
    u = ds.osca.sequences(["dff", "pupil_diameter"], [3], post=0.3)
    with pytest.raises(ox.errors.CriterionError, match=r"u\.isel\(sequence="):
        u.osca.select(gabor_frame="U")


def test_nodes_of_a_tree_are_sessions_and_the_tree_says_so(ds):
    tree = xr.DataTree.from_dict({f"/mouse_1/session_{k}": ds for k in (1, 2)})
    node = tree["/mouse_1/session_2"]
    same(node.osca.select(gabor_frame="U"), ds.osca.select(gabor_frame="U"))
    assert node.osca.n_tracked == ds.osca.n_tracked
    assert "/mouse_1/session_2" in repr(node.osca)
    first, *lines = repr(tree.osca).splitlines()
    assert first == "oscaxr on 2 session(s):"
    assert [line.split()[0] for line in lines] == [leaf.path for leaf in tree.leaves]
    assert f"roi: {ds.sizes['roi']}" in lines[0]
    for empty in (tree, tree["/mouse_1"]):
        with pytest.raises(ox.errors.AccessorError, match="is no session, but has 2") as caught:
            empty.osca.select(gabor_frame="U")
        assert "tree['/mouse_1/session_1'].osca.select" in str(caught.value)
        assert "map_sessions" in str(caught.value)
        assert not hasattr(empty.osca, "select")


@pytest.mark.slow
def test_a_clash_of_names_warns():
    script = """
import warnings, xarray as xr
for register in (xr.register_dataset_accessor, xr.register_dataarray_accessor):
    register("osca")(str)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import oscaxr
print(sum(one.category.__name__ == "AccessorRegistrationWarning" for one in caught))
print(type(xr.Dataset().osca).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "DatasetAccessor"]
