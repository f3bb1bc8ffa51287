"""What is saved comes back identical, in every format, and opens with plain xarray."""

import asyncio
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import hypothesis
import hypothesis.extra.numpy as hypothesis_numpy
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from how_many import examples
from oscaxr.errors import ExportContentError, ExportError, SessionNotFoundError
from oscaxr.store.current import provenance_of
from oscaxr.store.layout import attr_types_of, format_named, plain_attr, restore_attrs
from oscaxr.store.open import open_exported
from oscaxr.store.save import save
from small_sessions import LAYOUTS, USEFUL_VARIABLES, only, small_spec

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]
FORMATS = [".zarr", ".nc"]
# Where what is asked is no matter of the format.
ZARR_FIRST = [".zarr", pytest.param(".nc", marks=pytest.mark.slow)]


def comparable(obj):
    """Give text of varying length as objects: to xarray before 2026.2 it does not equal itself."""
    if not isinstance(obj, xr.Dataset):
        return obj
    texts = [k for k, v in obj.variables.items() if isinstance(v.dtype, np.dtypes.StringDType)]
    return obj.assign({name: obj[name].astype(object) for name in texts})


def assert_strictly_identical(found, expected):
    """Identical, and of equal dtypes, attribute types, order and indexes."""
    xr.testing.assert_identical(comparable(found), comparable(expected))
    assert type(found) is type(expected)
    if isinstance(expected, xr.DataTree):
        for ours, theirs in zip(found.subtree, expected.subtree, strict=True):
            assert_strictly_identical(
                ours.to_dataset(inherit=False), theirs.to_dataset(inherit=False)
            )
        return
    if isinstance(expected, xr.DataArray):
        assert found.name == expected.name
        found, expected = found.to_dataset(name="_"), expected.to_dataset(name="_")
    assert list(found.data_vars) == list(expected.data_vars)
    assert list(found.coords) == list(expected.coords)
    for name, variable in expected.variables.items():
        ours = found.variables[name]
        assert ours.dtype == variable.dtype, name
        assert ours.dims == variable.dims, name
        assert_same_types(ours.attrs, variable.attrs)
    assert_same_types(found.attrs, expected.attrs)
    assert list(found.xindexes) == list(expected.xindexes)
    for name, index in expected.xindexes.items():
        assert type(found.xindexes[name]) is type(index)
        assert found.indexes[name].dtype == expected.indexes[name].dtype, name


def assert_same_types(found, expected):
    for key, value in expected.items():
        assert type(found[key]) is type(value), key
        if isinstance(value, np.ndarray | np.generic):
            assert found[key].dtype == value.dtype, key


def saved(obj, folder, suffix, **options):
    """Save and reopen; nothing may warn on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # numpy itself sets this aside, which older netCDF4 says when it is imported.
        warnings.filterwarnings("ignore", "numpy.ndarray size changed")
        path = save(obj, folder / f"export{suffix}", overwrite=True, **options)
        return open_exported(path)


@pytest.fixture(scope="module")
def everything():
    return ox.sample.session(small_spec(scale=0.01, field_shape=(48, 48)), include="all")


@pytest.fixture(scope="module")
def whole(memory_session, tmp_path_factory):
    """A whole session in each form, written once. Not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    return {suffix: save(memory_session, folder / f"s{suffix}") for suffix in SUFFIXES}


@pytest.mark.parametrize("suffix", FORMATS)
class TestSession:
    def test_in_memory_with_all_parts(self, everything, tmp_path, suffix):
        found = saved(everything, tmp_path, suffix)
        assert_strictly_identical(found, everything)
        found.close()

    def test_facts_that_are_missing(self, tmp_path, suffix, few_session):
        ds = few_session.assign_coords(plane="", line=np.array("", "<U8")).drop_vars("depth")
        ds.attrs |= {"age_weeks": float("nan"), "notes": "", "sex": "µ \u2640"}
        found = saved(ds, tmp_path, suffix)
        assert_strictly_identical(found, ds)
        assert found["plane"].item() == ""

    def test_without_pupil_and_tracking(self, tmp_path, suffix, few_session):
        ds = few_session.drop_vars([name for name in few_session if "pupil" in name])
        ds["tracking_id"] = xr.full_like(ds.tracking_id, -1)
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)

    @pytest.mark.slow
    def test_dask(self, sample_path, tmp_path, suffix):
        with ox.open_session(sample_path, chunks={}) as session:
            ds = only(session, USEFUL_VARIABLES)
            found = saved(ds, tmp_path, suffix)
            assert_strictly_identical(found, ds)

    def test_empty_selections(self, tmp_path, suffix, few_session):
        ds = few_session.isel(roi=slice(0), segment=slice(0))
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)

    @pytest.mark.slow
    def test_again_from_the_export(self, tmp_path, suffix, few_session):
        found = saved(few_session, tmp_path, suffix)
        again = saved(found, tmp_path / "again", suffix)
        assert_strictly_identical(again, few_session)
        assert again.encoding["provenance"]["exported_from"][0]["name"] == f"export{suffix}"


@pytest.mark.parametrize("suffix", ZARR_FIRST)
def test_from_nwb(sample_path, tmp_path, suffix):
    with ox.open_session(sample_path, include=("squares",)) as ds:
        found = saved(ds, tmp_path, suffix)
        assert_strictly_identical(found, ds)
        found.close()


@pytest.mark.parametrize("suffix", ZARR_FIRST)
class TestOthers:
    @pytest.mark.parametrize(
        "chunks", [None, pytest.param({"time": 100, "roi": 3}, marks=pytest.mark.slow)]
    )
    def test_sequences(self, sample_path, tmp_path, suffix, chunks):
        with ox.open_session(sample_path) as session:
            ds = only(session, [*USEFUL_VARIABLES, "dff_median", "dff_spread"])
            ds = ds if chunks is None else ds.chunk(chunks)
            segments = ds.osca.select(gabor_frame=["D", "U"])
            for options in ({}, {"scale": True, "pad": (1, 2), "edge": "nan"}):
                u = ds.osca.sequences("dff", segments, pre=0.5, post=0.5, **options)
                found = saved(u, tmp_path, suffix)
                assert_strictly_identical(found, u)
                assert found.chunks is None

    def test_sequences_of_several_variables(self, memory_session, tmp_path, suffix):
        segments = memory_session.osca.select(stimulus="visflow")
        both = memory_session.osca.sequences(["dff", "pupil_diameter"], segments, pre=0, post=0.4)
        assert_strictly_identical(saved(both, tmp_path, suffix), both)

    def test_no_sequences(self, memory_session, tmp_path, suffix):
        u = memory_session.osca.sequences("dff", [], pre=0.5, post=0.5)
        assert u.sizes["sequence"] == 0
        assert_strictly_identical(saved(u, tmp_path, suffix), u)

    def test_statistics(self, memory_session, tmp_path, suffix):
        u = memory_session.osca.sequences(
            "dff", memory_session.osca.select(gabor_frame="U"), pre=0.5, post=0.5
        )
        for stats in (ox.stats(u, dim=("sequence", "roi")), ox.stats(u, dim="sequence")):
            assert_strictly_identical(saved(stats, tmp_path, suffix), stats)
        grouped = u.groupby("gabor_frame").mean()
        assert_strictly_identical(saved(grouped, tmp_path, suffix), grouped)

    @pytest.mark.parametrize("name", [None, "dff", "x", "values"])
    def test_names_of_arrays(self, tmp_path, suffix, name):
        array = xr.DataArray(np.eye(3), dims=("values", "x"), name=name)
        assert_strictly_identical(saved(array, tmp_path, suffix), array)

    def test_tree(self, few_session, everything, tmp_path, suffix):
        tree = xr.DataTree.from_dict(
            {
                "/": xr.Dataset(coords={"note": "two"}, attrs={"n": 2}),
                "/mouse_6": xr.Dataset(attrs={"mouse": 6}),
                "/mouse_6/session_1": few_session,
                "/mouse_6/session_2": only(everything, [*USEFUL_VARIABLES, "square_x"]),
            },
            name="sessions",
        )
        found = saved(tree, tmp_path, suffix)
        assert_strictly_identical(found, tree)
        assert found["mouse_6/session_1"].encoding["provenance"]["session_id"] == 900000001
        found.close()


ODD = {
    "float16": np.arange(5, dtype=np.float16),
    "float32": np.array([np.nan, np.inf, -0.0, 1e-45, 3], np.float32),
    "float64": np.array([np.nan, -np.inf, -0.0, 5e-324, 3]),
    "big_endian": np.arange(5, dtype=">f8"),
    "int8": np.array([-128, 0, 1, 2, 127], np.int8),
    "uint8": np.array([0, 1, 2, 3, 255], np.uint8),
    "uint16": np.array([0, 1, 2, 3, 65535], np.uint16),
    "int64": np.array([-(2**63), -1, 0, 1, 2**63 - 1]),
    "uint64": np.array([0, 1, 2, 3, 2**64 - 1], np.uint64),
    "bool": np.array([True, False, True, True, False]),
    "text": np.array(["a", "", "right (temp)", "µm", " b "]),
    "wide_text": np.array(["a", "b", "c", "d", "e"], "<U40"),
    "objects": np.array(["a", "", "bb", "µ", "c"], object),
    "strings": np.array(["a", "", "bb", "µ", "c"], np.dtypes.StringDType()),
    "bytes": np.array([b"a", b"", b"bb", b"\xff\0x", b"c"]),
    "times": pd.date_range("2018-09-26", periods=5, freq="1h").values.astype("M8[ns]"),
    "spans": np.arange(5).astype("m8[s]"),
}


@pytest.mark.parametrize("suffix", ZARR_FIRST)
class TestDtypes:
    def test_of_variables(self, tmp_path, suffix):
        variables, coords = {}, {}
        for name, values in ODD.items():
            variables |= {name: ("x", values), f"{name}_of_one": ((), values[2])}
            coords[f"{name}_beside"] = ("x", values)
        ds = xr.Dataset(variables, coords)
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)
        empty = ds.isel(x=slice(0))
        assert_strictly_identical(saved(empty, tmp_path, suffix), empty)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ODD)
    def test_of_variables_alone(self, name, tmp_path, suffix):
        values = ODD[name]
        ds = xr.Dataset({"a": ("x", values), "s": ((), values[2])}, {"c": ("x", values)})
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)
        empty = ds.isel(x=slice(0))
        assert_strictly_identical(saved(empty, tmp_path, suffix), empty)

    @pytest.mark.parametrize("name", sorted(ODD.keys() - {"float16", "big_endian", "float32"}))
    def test_of_indexes(self, name, tmp_path, suffix):
        values = np.unique(ODD[name]) if name != "float64" else np.arange(5.0)
        ds = xr.Dataset(coords={"x": values})
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)

    def test_of_attrs(self, tmp_path, suffix):
        attrs = {
            "text": "µm",
            "empty": "",
            "int": -(2**40),
            "float": 0.1,
            "nan": float("nan"),
            "bool": True,
            "ints": [1, 2],
            "one": [1],
            "none": [],
            "floats": [0.5, float("inf")],
            "words": ["a", "µ"],
            "word": ["a"],
            "tuple": (1, 2),
            "array": np.array([1, 2], np.int16),
            "single": np.array([1.5], np.float32),
            "no array": np.array([], np.float32),
            "scalar": np.float32(0.1),
            "np_int": np.uint8(3),
        }
        ds = xr.Dataset({"a": ("x", [1.0], attrs)}, attrs=attrs)
        found = saved(ds, tmp_path, suffix)
        assert_strictly_identical(found, ds)
        assert found.attrs["none"] == []

    def test_of_coordinates_without_index(self, tmp_path, suffix):
        ds = xr.Dataset({"a": (("x", "y"), np.zeros((2, 3)))}, {"x": [1, 2], "z": ("y", [4, 5, 6])})
        ds = ds.drop_indexes("x").set_xindex("z")
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)

    def test_of_a_coordinate_named_like_another_dim(self, tmp_path, suffix):
        ds = xr.Dataset({"a": (("x", "y"), np.zeros((2, 3)))}, {"t": (("x", "y"), np.ones((2, 3)))})
        ds["b"] = ("t2", [1, 2])
        assert_strictly_identical(saved(ds, tmp_path, suffix), ds)


NANS = np.array([0x7FF8000000000001, 0x7FF0000000000001, 0xFFF8DEAD0000BEEF], "u8").view("f8")
CORNERS = {
    "no text": xr.Dataset({"a": ("x", np.array(["", ""], "<U1")), "b": ((), np.array("", "<U7"))}),
    "no values": xr.Dataset(
        {
            "a": (("x", "y"), np.zeros((3, 0), "f4")),
            "b": (("y", "x"), np.zeros((0, 3), bool)),
            "t": (("x", "y"), np.zeros((3, 0), "M8[ns]")),
            "s": (("x", "y"), np.empty((3, 0), "U3")),
            "o": (("x", "y"), np.empty((3, 0), object)),
        },
        {"y": np.array([], "i8")},
    ),
    "nothing": xr.Dataset(),
    "attributes only": xr.Dataset(attrs={"a": 1}),
    "NaNs of other bits": xr.Dataset({"a": ("x", NANS), "b": ((), NANS[2])}),
    "times not known": xr.Dataset(
        {
            "a": ("x", np.array(["NaT", "1700-01-01"], "M8[s]")),
            "b": ("x", np.array(["NaT", 1], "m8[ms]")),
        }
    ),
    "units of times": xr.Dataset(
        {"a": ("x", [1.0], {"units": "days"})},
        {
            "time": (
                "time",
                [1.0, 2.0],
                {"units": "seconds since 2018-01-01", "calendar": "standard"},
            )
        },
    ),
    "names of others": xr.Dataset(
        {"string3": ("string5", ["abc", "d"]), "c": ("x", [1]), "days since": ("µ", [2.0])},
        attrs={"ключ": "é", "NaN": 1.0},
    ),
    "not in order": xr.Dataset({"a": (("x", "y"), np.arange(12.0).reshape(3, 4)[:, ::-2])}),
    "attributes of numpy": xr.Dataset(
        attrs={
            "f2": np.float16(1.5),
            "nan": np.float32("nan"),
            "i1": np.int8(-3),
            "bool": np.bool_(True),
            "bools": np.array([True, False]),
            "list": [True, False],
            "word": np.str_("x"),
            "words": np.array(["a", "bb"]),
            "zero": -0.0,
        }
    ),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", CORNERS)
def test_corners(name, suffix, tmp_path):
    ds = CORNERS[name]
    found = saved(ds, tmp_path, suffix)
    assert_strictly_identical(found, ds)
    assert set(found.encoding) == {"source", "provenance"}
    for key, variable in ds.variables.items():
        assert found[key].values.tobytes() == variable.values.tobytes() or variable.dtype == object
    found.close()


def test_what_was_noted_of_another_file_is_not_taken_over(tmp_path):
    ds = xr.Dataset({"a": ("x", [1.0, 2.5])})
    ds["a"].encoding = {"_FillValue": -1, "scale_factor": 2.0, "dtype": "i2", "chunks": (1,)}
    ds.encoding["unlimited_dims"] = {"x"}
    for suffix in FORMATS:
        found = saved(ds, tmp_path, suffix)
        assert_strictly_identical(found, ds)
        found.close()


@pytest.mark.parametrize("suffix", FORMATS)
def test_how_files_are_to_hold_times_and_text_is_kept(tmp_path, suffix):
    times = np.array(["2018-09-26", "NaT"], "M8[ns]")
    ds = xr.Dataset({"t": ("x", times), "s": ("x", ["a", "b"]), "n": ("x", [1.0, 2.0])})
    ds["t"].encoding = {"units": "days since 1950-01-01", "calendar": "standard", "dtype": "f8"}
    ds["s"].encoding = {"_Encoding": "ascii"}
    ds["n"].encoding = {"units": "none", "_FillValue": -1.0}
    found = saved(ds, tmp_path, suffix)
    assert_strictly_identical(found, ds)
    kept = {key: set(v.encoding) - {"source", "preferred_chunks"} for key, v in found.items()}
    assert kept == {"t": {"units", "calendar"}, "s": {"_Encoding"}, "n": set()}
    assert found["t"].encoding["units"] == "days since 1950-01-01"
    again = saved(found, tmp_path / "again", suffix)
    assert again["s"].encoding["_Encoding"] == "ascii"
    again.close()
    found.close()


def columns(draw):
    """Draw a variable of any dtype that both formats have, NaNs and empty text among it."""
    dims = draw(st.sampled_from([(), ("x",), ("x", "y"), ("y", "x")]))
    sizes = {"x": draw(st.shared(st.integers(0, 4), key="x")), "y": 3}
    shape = tuple(sizes[dim] for dim in dims)
    kinds = [
        *(name for name in ["f4", "f8", "i1", "i2", "i8", "u1", "u8", "?"]),
        "M8[ns]",
        "m8[s]",
        "U4",
    ]
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
    elements = text if dtype.kind == "U" else None
    return dims, draw(hypothesis_numpy.arrays(dtype, shape, elements=elements))


@pytest.mark.parametrize("suffix", FORMATS)
@hypothesis.settings(max_examples=examples(15), suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(data=st.data())
def test_any_dataset(suffix, tmp_path, data):
    names = data.draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5))
    variables = {name: columns(data.draw) for name in names}
    coords = {name: variables.pop(name) for name in names[3:]}
    attrs = data.draw(st.dictionaries(st.text("abcdef", min_size=1), attr_values, max_size=3))
    ds = xr.Dataset(variables, coords, attrs)
    if names:
        ds[names[0]].attrs.update(attrs)
    if "x" in ds.dims and data.draw(st.booleans()):
        ds = ds.assign_coords(x=np.arange(ds.sizes["x"]) * 2.5)
    found = saved(ds, tmp_path, suffix)
    assert_strictly_identical(found, ds)
    for key, variable in ds.variables.items():
        assert found[key].values.tobytes() == variable.values.tobytes()
    found.close()


plain = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
)
attr_values = st.one_of(
    plain,
    st.lists(st.integers(-5, 5), max_size=3),
    st.lists(st.floats(allow_nan=False), max_size=3),
    st.lists(st.text("ab", min_size=1), max_size=3),
)


@hypothesis.given(st.dictionaries(st.text("abcdef", min_size=1), attr_values))
def test_attributes_survive_being_made_plain(attrs):
    stored = {key: plain_attr(value) for key, value in attrs.items()}
    # As netCDF gives them back: numbers as numpy's, lists of one as the one.
    read = {
        key: (np.asarray(value)[()] if not isinstance(value, str | list) else value)
        for key, value in stored.items()
    }
    read = {key: v[0] if isinstance(v, list) and len(v) == 1 else v for key, v in read.items()}
    found = restore_attrs(read, attr_types_of(attrs))
    assert repr(found) == repr(attrs)


@pytest.mark.parametrize("suffix", FORMATS)
@hypothesis.settings(max_examples=examples(12), suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(data=st.data())
def test_any_array_in_any_chunks(suffix, tmp_path, data):
    shape = data.draw(st.tuples(st.integers(0, 9), st.integers(1, 9)))
    chunks = {dim: data.draw(st.integers(1, 9)) for dim in ("time", "roi")}
    dask_chunks = {dim: data.draw(st.integers(1, 9)) for dim in ("time", "roi")}
    values = np.random.default_rng(0).normal(size=shape).round(1)
    ds = xr.Dataset({"dff": (("time", "roi"), values)})
    source = ds.chunk(dask_chunks) if data.draw(st.booleans()) else ds
    found = saved(source, tmp_path, suffix, chunks=chunks)
    rows = data.draw(st.lists(st.integers(0, max(0, shape[0] - 1)), max_size=5 * bool(shape[0])))
    columns = data.draw(st.lists(st.integers(0, shape[1] - 1), max_size=5))
    xr.testing.assert_identical(
        found.isel(time=rows, roi=columns).load(), ds.isel(time=rows, roi=columns)
    )
    assert_strictly_identical(found, ds)
    found.close()


def reopened(exports, suffix):
    """Open an export; nothing may warn on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_exported(exports[suffix])


@pytest.mark.parametrize("suffix", [*ZARR_FIRST, ".zarr.zip"])
class TestOpening:
    def test_is_lazy(self, whole, suffix):
        found = reopened(whole, suffix)
        assert not found["dff"]._in_memory
        assert not found["roi_mask"]._in_memory

    def test_with_dask(self, memory_session, whole, suffix):
        found = open_exported(whole[suffix], chunks={})
        assert found["dff"].chunks is not None
        xr.testing.assert_identical(found.compute(), memory_session)

    def test_drop_variables(self, memory_session, whole, suffix):
        found = open_exported(whole[suffix], drop_variables=["roi_mask", "depth"])
        xr.testing.assert_identical(found, memory_session.drop_vars(["roi_mask", "depth"]))

    def test_pickles(self, memory_session, whole, suffix):
        found = reopened(whole, suffix)
        xr.testing.assert_identical(pickle.loads(pickle.dumps(found)), memory_session)

    def test_reads_after_it_was_closed(self, memory_session, whole, suffix):
        found = reopened(whole, suffix)
        found.close()
        xr.testing.assert_identical(found["dff"], memory_session["dff"])

    def test_many_at_once(self, whole, suffix):
        path = whole[suffix]
        first, second = open_exported(path), open_exported(path)
        second.close()
        third = open_exported(path)
        xr.testing.assert_identical(first, third)

    def test_same_numbers_of_all_operations(self, memory_session, whole, suffix):
        found = reopened(whole, suffix)
        for ds in (found,):
            segments = ds.osca.select(gabor_frame="U")
            ours = ds.osca.sequences("dff", segments, pre=0.5, post=0.5, scale=True)
            theirs = memory_session.osca.sequences(
                "dff",
                memory_session.osca.select(gabor_frame="U"),
                pre=0.5,
                post=0.5,
                scale=True,
            )
            xr.testing.assert_identical(ours, theirs)
            xr.testing.assert_identical(ours.osca.stats("sequence"), theirs.osca.stats("sequence"))
            xr.testing.assert_identical(ds.osca.tracked(), memory_session.osca.tracked())
            pd.testing.assert_frame_equal(
                ds.osca.segment_table(), memory_session.osca.segment_table()
            )
            assert str(ds.osca.validate()) == str(memory_session.osca.validate())


PLAIN = """
import sys, warnings
warnings.simplefilter("error")
# As if it were not installed: xarray then only misses the plugin that it is told of.
sys.modules["oscaxr"] = None
warnings.filterwarnings("ignore", "Engine 'oscaxr' loading failed")
import xarray as xr
for path in sys.argv[1:]:
    if path.endswith(".nc"):
        ds = xr.open_dataset(path)
    else:
        import zarr
        ds = xr.open_zarr(zarr.storage.ZipStore(path, mode="r") if path.endswith("zip") else path)
    assert str(ds.stimulus_type.values[0]) in ("grayscreen", "gabors", "visflow"), ds.stimulus_type
    assert ds.valid.dtype == bool and ds.roi_mask.dtype == bool
    assert str(ds.plane.values) == "soma"
    assert "roi" in ds.indexes and "time" in ds.indexes
    print(float(ds.dff.sum()), len(ds.coords), len(ds.data_vars), ds.attrs["oscaxr_session_id"])
"""


def test_opens_with_plain_xarray_without_warnings(memory_session, whole):
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *map(str, whole.values())],
        check=True,
        capture_output=True,
        text=True,
    )
    counts = [len(memory_session.coords), len(memory_session.data_vars)]
    lines = done.stdout.splitlines()
    assert len(lines) == len(SUFFIXES)
    for line in lines:
        total, coords, data, session = line.split()
        assert float(total) == pytest.approx(float(memory_session.dff.sum()))
        assert [int(coords), int(data)] == counts
        assert session == "900000001"


class TestRefusals:
    def test_all_that_would_not_come_back(self, tmp_path):
        ds = xr.Dataset(
            {
                "a": ("x", [1.0], {"scale_factor": 2.0, "nothing": None}),
                "o": ("x", np.array([{}], object)),
                "a/b": ("x", [1]),
                "c": ("x", np.array([1 + 1j])),
            },
            attrs={"facts": {"a": 1}, "oscaxr_version": "0"},
        )
        with pytest.raises(ExportContentError) as caught:
            save(ds, tmp_path / "s.nc", chunks={"y": 3})
        for word in ("scale_factor", "nothing", "objects", "a/b", "complex128", "facts", "'y'"):
            assert word in str(caught.value)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("length", [0, -2, 2.5, "all"])
    def test_lengths_of_chunks(self, memory_session, tmp_path, suffix, length):
        for chunks in ({"time": length}, {"dff": {"time": length}}):
            with pytest.raises(ExportContentError, match=r"'time' has length .* 1 or more, or -1"):
                save(memory_session, tmp_path / f"s{suffix}", chunks=chunks)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("name", [".", "..", "a\0b", "\ud800", "a" * 300, "a/b", ""])
    def test_names_that_files_cannot_have(self, tmp_path, suffix, name):
        ds = xr.Dataset({name: ("x", [1])})
        with pytest.raises(ExportContentError, match="the name"):
            save(ds, tmp_path / f"s{suffix}")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_text_that_files_cannot_give_back(self, tmp_path, suffix):
        # Of surrogates, no objects: where pyarrow is installed, pandas and xarray refuse them.
        bad, dtype = ("\ud800", "U1") if suffix == ".zarr" else ("a\0", object)
        for ds in (
            xr.Dataset({"a": ("x", np.array([bad, "b"], dtype))}),
            xr.Dataset({"a": ("x", [1.0], {"note": bad})}),
            xr.Dataset(attrs={"notes": ["a", bad]}),
        ):
            with pytest.raises(ExportContentError, match=r"surrogate|NUL"):
                save(ds, tmp_path / f"s{suffix}")
        if suffix == ".nc":
            with pytest.raises(ExportContentError, match="attribute 'a/b'"):
                save(xr.Dataset(attrs={"a/b": 1}), tmp_path / "s.nc")
        assert not list(tmp_path.iterdir())

    def test_multi_index(self, memory_session, tmp_path):
        pairs = pd.MultiIndex.from_product([[1, 2], ["a"]], names=("a", "b"))
        stacked = xr.DataArray([1, 2], dims="x", name="v").assign_coords(
            xr.Coordinates.from_pandas_multiindex(pairs, "x")
        )
        with pytest.raises(ExportContentError, match="reset_index"):
            save(stacked, tmp_path / "s.zarr")

    def test_what_is_not_an_export(self, tmp_path, memory_session):
        with pytest.raises(SessionNotFoundError):
            open_exported(tmp_path / "s.nc")
        with pytest.raises(ExportError, match="ends in"):
            save(memory_session, tmp_path / "s.h5")
        xr.Dataset({"a": 1}).to_netcdf(tmp_path / "plain.nc")
        with pytest.raises(ExportError, match="not written by oscaxr"):
            open_exported(tmp_path / "plain.nc")
        (tmp_path / "bad.nc").write_bytes(b"nothing")
        (tmp_path / "bad.zarr").mkdir()
        for name in ("bad.nc", "bad.zarr"):
            with pytest.raises(ExportError, match="cannot open"):
                open_exported(tmp_path / name)
        assert format_named("a.nwb") is None
        assert format_named(tmp_path / "a.zarr.zip") == "zarr"

    def test_unknown_compression(self, memory_session, tmp_path):
        for suffix in FORMATS:
            with pytest.raises(ExportContentError, match="compression"):
                save(memory_session, tmp_path / f"s{suffix}", compression="rar")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
class TestStorage:
    @pytest.mark.parametrize(
        "compression",
        [
            *(False, "zstd"),
            *(pytest.param(one, marks=pytest.mark.slow) for one in (True, "lz4", "gzip", "zlib")),
        ],
    )
    def test_compression(self, few_session, tmp_path, suffix, compression):
        if suffix == ".nc" and compression in ("lz4", "gzip"):
            pytest.skip("not in netCDF")
        found = saved(few_session, tmp_path, suffix, compression=compression)
        assert_strictly_identical(found, few_session)

    def test_chunks(self, few_session, tmp_path, suffix):
        chunks = {"time": 100, "dff": {"time": -1, "roi": 2}}
        found = saved(few_session, tmp_path, suffix, chunks=chunks)
        preferred = found["dff"].encoding["preferred_chunks"]
        assert preferred == {"time": few_session.sizes["time"], "roi": 2}
        assert found["pupil_diameter"].encoding["preferred_chunks"] == {"time": 100}
        assert_strictly_identical(found, few_session)

    @pytest.mark.slow
    def test_float32(self, few_session, tmp_path, suffix):
        found = saved(few_session, tmp_path, suffix, dtype="float32")
        assert found["dff"].dtype == np.float32
        assert found["time"].dtype == np.float64
        xr.testing.assert_identical(found["dff"], few_session["dff"].astype(np.float32))
        found = saved(few_session, tmp_path, suffix, dtype={"dff": "float32"})
        assert found["run_velocity"].dtype == np.float64
        with pytest.raises(ExportContentError, match="no data variable nothing"):
            saved(few_session, tmp_path, suffix, dtype={"nothing": "float32"})


@pytest.mark.parametrize("suffix", ZARR_FIRST)
class TestOptions:
    def test_subsets(self, everything, tmp_path, suffix):
        rois = [5, 0, 3]
        segments = everything.osca.select(stimulus="visflow")
        found = saved(
            everything, tmp_path, suffix, variables=["dff", "square_x"], roi=rois, segments=segments
        )
        assert list(found.data_vars) == ["dff", "square_x"]
        np.testing.assert_array_equal(found.roi, rois)
        np.testing.assert_array_equal(found.segment, segments.segment)
        np.testing.assert_array_equal(found.flow_segment, segments.segment)
        xr.testing.assert_identical(found.dff, everything.dff.sel(roi=rois))
        assert found.encoding["provenance"]["parameters"]["roi"] == rois
        with pytest.raises(ox.OscaxrError, match="no roi 99"):
            saved(everything, tmp_path, suffix, roi=[1, 99])
        with pytest.raises(ox.OscaxrError, match="'nothing'"):
            saved(everything, tmp_path, suffix, variables="nothing")

    @pytest.mark.slow
    def test_odd_subsets(self, memory_session, few_session, tmp_path, suffix):
        path = tmp_path / f"s{suffix}"
        u = memory_session.osca.sequences("dff", [3, 4], pre=0, post=0.2)
        twice = u.isel(sequence=[0, 0, 1])
        for obj, options, says in [
            (memory_session, {"roi": [1, 1, 0]}, "same roi more than once: 1"),
            (memory_session, {"segments": [4, 2, 4]}, "same segment more than once: 4"),
            (memory_session, {"segments": [4, 10_000]}, "no segment 10000"),
            (memory_session, {"roi": [1.5]}, r"no roi 1\.5"),
            (memory_session, {"roi": ["a"]}, "no roi a"),
            (memory_session, {"roi": [[1, 2]]}, "one row"),
            (memory_session, {"roi": [True]}, "1 booleans"),
            (u, {"segments": [3, 3]}, "same sequence more than once: "),
            (twice, {"segments": [3]}, "there more than once: "),
            (twice, {"segments": slice(3, 3)}, "there more than once: "),
            (memory_session.isel(roi=slice(0)), {"roi": [1]}, "there is none"),
        ]:
            with pytest.raises(ox.errors.CriterionError, match=says):
                save(obj, path, **options)
        assert not path.exists()
        # No ROI at all is a value like others, as in selections.
        for roi in ([], slice(0, 0), np.zeros(7, bool)):
            found = saved(few_session, tmp_path, suffix, roi=roi)
            assert found.sizes["roi"] == (1 if isinstance(roi, slice) else 0)
            found.close()

    def test_provenance(self, sample_path, tmp_path, suffix):
        import hashlib

        with ox.open_session(sample_path) as session:
            ds = only(session, USEFUL_VARIABLES)
            found = saved(ds, tmp_path, suffix)
            twice = saved(ds, tmp_path / "twice", suffix)
            dated = saved(ds, tmp_path / "dated", suffix, timestamp=True, digest=False)
        facts = found.encoding["provenance"]
        assert facts == provenance_of(tmp_path / f"export{suffix}")
        assert facts["sources"] == [
            {
                "name": sample_path.name,
                "bytes": sample_path.stat().st_size,
                "sha256": hashlib.sha256(sample_path.read_bytes()).hexdigest(),
            }
        ]
        assert facts["session_id"] == 900000001
        assert facts["dandiset"] == ds.attrs["dandiset"]
        assert facts["citation"] == ds.attrs["references"]
        assert facts == twice.encoding["provenance"]
        assert dated.encoding["provenance"]["created"].endswith("+00:00")
        assert dated.encoding["provenance"]["sources"][0]["sha256"] == ""

    @pytest.mark.parametrize("chunks", [None, pytest.param({}, marks=pytest.mark.slow)])
    def test_provenance_of_what_comes_from_an_export(self, sample_path, tmp_path, suffix, chunks):
        with ox.open_session(sample_path) as session:
            path = save(only(session, USEFUL_VARIABLES), tmp_path / f"session{suffix}")
        original = provenance_of(path)["sources"]
        assert original[0]["name"] == sample_path.name
        with open_exported(path, chunks=chunks) as export:
            u = export.osca.sequences("dff", [3, 4], pre=0, post=0.2)
            found = saved(u, tmp_path, suffix).encoding["provenance"]
            assert found["sources"] == original
            assert [one["name"] for one in found["exported_from"]] == [path.name]
            # Beside data of the file itself: each is named once.
            with ox.open_session(sample_path) as ds:
                both = xr.Dataset({"a": u, "b": ds["pupil_diameter"].rename(time="t")})
                both = both.drop_vars(["time", "t"], errors="ignore")
                found = saved(both, tmp_path / "both", suffix).encoding["provenance"]
            assert found["sources"] == original
            assert [one["name"] for one in found["exported_from"]] == [path.name]

    def test_provenance_of_what_comes_from_a_tree(self, sample_path, tmp_path, suffix):
        with ox.open_session(sample_path) as session:
            tree = xr.DataTree.from_dict({"/mouse_1/session_1": only(session, USEFUL_VARIABLES)})
            path = save(tree, tmp_path / f"tree{suffix}")
        with open_exported(path) as found:
            node = found["mouse_1/session_1"].to_dataset()
            u = node.osca.sequences("dff", [3, 4], pre=0, post=0.2)
            told = saved(u, tmp_path, suffix).encoding["provenance"]
        assert [one["name"] for one in told["sources"]] == [sample_path.name]

    def test_progress(self, few_session, tmp_path, suffix):
        seen = []
        saved(
            few_session,
            tmp_path,
            suffix,
            progress=lambda done, total: seen.append((done, total)),
        )
        done, total = zip(*seen, strict=True)
        assert list(done) == sorted(done)
        assert (done[0], done[-1], len(set(total))) == (0, total[0], 1)


def test_packed_into_one_file(everything, tmp_path):
    found = saved(everything, tmp_path, ".zarr.zip")
    assert_strictly_identical(found, everything)
    found.close()


@pytest.mark.parametrize(
    "layout_path",
    [pytest.param(one, marks=[pytest.mark.slow] * (one != "gzip")) for one in sorted(LAYOUTS)],
    indirect=True,
)
def test_from_nwb_in_every_layout(layout_path, tmp_path):
    with ox.open_session(layout_path) as ds:
        assert_strictly_identical(saved(ds, tmp_path, ".nc"), ds)


@pytest.mark.slow
def test_from_example_sessions(open_shared, tmp_path):
    with open_shared(764704289, include="all") as ds:
        found = saved(ds, tmp_path, ".zarr")
        assert_strictly_identical(found, ds)
        found.close()


@pytest.mark.parametrize("suffix", ZARR_FIRST)
def test_lazy_facts_are_computed_once(sample_path, tmp_path, suffix, monkeypatch):
    from oscaxr.arrays import percentiles

    calls = []
    column_factors = percentiles.column_factors

    def counted(*args, **options):
        calls.append(1)
        return column_factors(*args, **options)

    monkeypatch.setattr(percentiles, "column_factors", counted)
    with ox.open_session(sample_path) as ds:
        save(ds, tmp_path / f"s{suffix}")
    assert len(calls) == 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_memory_is_bounded(tmp_path, suffix, monkeypatch):
    """No block read from a lazy source is much larger than the block size."""
    from oscaxr.arrays.lazy import ArrayReader, OrthogonalArray
    from oscaxr.store import encoding, writing

    monkeypatch.setattr(writing, "BLOCK_BYTES", 2**16)
    monkeypatch.setattr(encoding, "SHARD_BYTES", 2**16)
    monkeypatch.setattr(encoding, "SMALL_BYTES", 0)
    read = []

    class Watched(ArrayReader):
        def read(self, indices):
            values = super().read(indices)
            read.append(values.nbytes)
            return values

    values = np.random.default_rng(0).normal(size=(40_000, 7))
    lazy = xr.Variable(("time", "roi"), OrthogonalArray(Watched(values)))
    ds = xr.Dataset({"dff": lazy})
    found = saved(ds, tmp_path, suffix)
    np.testing.assert_array_equal(found["dff"].values, values)
    assert max(read) <= 2**16
    assert sum(read) == values.nbytes


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize(
    "variable",
    [("string1", ["a", "b"]), ("string3", ["abc", "b"]), (("string2", "string2_"), [["ab"]])],
)
def test_texts_along_a_dim_that_is_called_as_netcdf_calls_their_letters(variable, suffix, tmp_path):
    ds = xr.Dataset(
        {"words": variable, "others": ("i", ["abc", "a"]), "number": ("string2", [1.0])}
    )
    with open_exported(save(ds, tmp_path / f"s.{suffix}")) as back:
        xr.testing.assert_identical(back.load(), ds)


def test_nothing_is_written_once_an_export_has_failed(tmp_path, monkeypatch):
    from zarr.storage import LocalStore

    as_it_is = LocalStore.set

    async def some_fail_others_are_slow(store, key, value):
        if key.endswith("c/0"):
            raise OSError(f"no place for {key}")
        await asyncio.sleep(0.2)
        await as_it_is(store, key, value)

    ds = xr.Dataset({"x": ("i", np.arange(4000))})
    monkeypatch.setattr(LocalStore, "set", some_fail_others_are_slow)
    with pytest.raises(ExportError, match="no place for"):
        ox.save(ds, tmp_path / "s.zarr", chunks={"i": 1000})
    time.sleep(0.3)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["zarr", "zarr.zip", "nc"])
def test_nothing_is_left_when_handles_run_out(suffix, tmp_path):
    resource = pytest.importorskip("resource")
    ds = xr.Dataset({f"x{k}": ("i", np.arange(5000) + k) for k in range(40)})
    # What zarr and the netCDF library load and start once is there before handles are few.
    ox.save(ds, tmp_path / f"s.{suffix}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = 0
    for spare in range(12):
        held = len(list(Path("/dev/fd").iterdir())) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + spare, hard))
        try:
            ox.save(ds, tmp_path / f"s.{suffix}", overwrite=True)
        except ExportError:
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert {path.name for path in tmp_path.iterdir()} <= {f"s.{suffix}"}
    assert failed
