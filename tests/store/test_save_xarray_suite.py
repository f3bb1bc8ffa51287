"""xarray's own round-trip tests, run with `save` and `open_exported`.

``DatasetIOBase`` is what xarray holds its own file formats to: 36 tests (of xarray 2026.9), each
run here for zarr and for netCDF. Those that ask for what an export refuses stand in
:data:`REFUSED`, each with the reason and with a test that the refusal is clear.
"""

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest
import xarray as xr
from xarray.tests.test_backends import DatasetIOBase

import oscaxr as ox
from oscaxr.errors import ExportContentError

pytestmark = pytest.mark.slow

# Importing xarray's tests asks all others, too, to close files before they are collected.
xr.set_options(warn_for_unclosed_files=False)

REFUSED = {
    "test_roundtrip_None_variable": "a variable has no name, and names are text",
    "test_roundtrip_object_dtype": "arrays of objects: floats, bytes, and text with gaps",
    "test_roundtrip_cftime_datetime_data": "arrays of objects: times of other calendars",
    "test_roundtrip_coordinates_with_space": "xarray itself makes data of such a coordinate",
    "test_roundtrip_stringdtype_nulls": "gaps in text, of which xarray itself makes empty text",
}
"""Tests that ask for what an export refuses with a clear error."""

NOT_OFFERED = {
    "test_write_store": "it needs a store to which xarray writes by itself; `save` takes a path",
}

AT_LEAST = 60
"""How many of the 72 tests have to pass: 36, in two formats."""


@pytest.fixture(params=["s", "ms", "us", "ns"])
def time_unit(request):
    """Give the units that pandas has for times; a fixture of xarray's tests."""
    return request.param


@pytest.fixture(params=[False, True], ids=["numpy", "dask"])
def use_dask(request):
    """Say whether to open with dask; a fixture of xarray's tests."""
    return request.param


class RoundTrips(DatasetIOBase):
    """The tests, with the two functions that they are about."""

    suffix: str

    def save(self, dataset, path, *, encoding=None):
        """Save; what the tests ask of the encoding is asked of it as an export does."""
        dataset = dataset.copy()
        for name, wanted in (encoding or {}).items():
            dataset[name].encoding.update(wanted)
        return ox.save(dataset, f"{path}{self.suffix}")

    @contextlib.contextmanager
    def open(self, path, **options: Any):
        """Open; an export knows without being told which variables are times and coordinates."""
        decoding = {"decode_coords", "decode_timedelta"}
        options = {key: value for key, value in options.items() if key not in decoding}
        with ox.open_exported(f"{path}{self.suffix}", **options) as ds:
            yield ds

    def test_load_async(self):
        """Run the coroutine that this is in xarray's tests."""
        asyncio.run(super().test_load_async())

    def test_roundtrip_example_1_netcdf(self):
        """Run it, too: xarray leaves it out where there is no package called `netcdf`."""
        super().test_roundtrip_example_1_netcdf()


def _marked(name, mark):
    """Return one of the tests with a mark, which the other formats' tests do not get."""

    def test(self, *args, **kwargs):
        getattr(DatasetIOBase, name)(self, *args, **kwargs)

    test.__name__ = name
    return mark(test)


for _name, _reason in REFUSED.items():
    # (Where the test waits for a warning first, that it did not come.)
    _raises = (ExportContentError, pytest.fail.Exception)
    _mark = pytest.mark.xfail(reason=f"refused: {_reason}", raises=_raises, strict=True)
    setattr(RoundTrips, _name, _marked(_name, _mark))
for _name, _reason in NOT_OFFERED.items():
    setattr(RoundTrips, _name, _marked(_name, pytest.mark.skip(reason=f"not offered: {_reason}")))


class TestZarr(RoundTrips):
    """Folders of zarr."""

    suffix = ".zarr"


class TestNetcdf(RoundTrips):
    """Files of netCDF."""

    suffix = ".nc"


def test_most_of_them_pass():
    """Those that are left out are listed above; any other that does not pass fails by itself."""
    names = {name for name in dir(DatasetIOBase) if name.startswith("test_")}
    passing = 0
    for formatted in (TestZarr, TestNetcdf):
        marks = {name: getattr(getattr(formatted, name), "pytestmark", []) for name in names}
        left_out = {
            name for name in names if {mark.name for mark in marks[name]} & {"skip", "xfail"}
        }
        assert left_out == REFUSED.keys() | NOT_OFFERED.keys()
        passing += len(names - left_out)
    assert passing >= AT_LEAST


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (xr.Dataset({None: ("x", [0])}), "the name None is not a string"),
        (xr.Dataset({"a": ("x", np.array([0.0, np.nan], object))}), "a has objects"),
        (xr.Dataset({"a": ("x", np.array([b"ab"], object))}), "a has objects"),
        (xr.Dataset({"a": ("x", np.array(["ab", np.nan], object))}), "a has objects"),
        (
            xr.Dataset({"a": ("x", np.array(["ab", None], np.dtypes.StringDType(na_object=None)))}),
            "a has the text None, which is none: a gap",
        ),
        (
            xr.Dataset(
                {"a": ("x", xr.date_range("2000", periods=2, calendar="noleap", use_cftime=True))}
            ),
            "a has objects",
        ),
        (xr.Dataset(coords={"y z": 1}), "coordinate 'y z' has spaces"),
        (
            xr.Dataset({"a": ("x", [0])}).stack(z=("x",)).assign(b=("z", [1])),
            "the index of .* is a PandasMultiIndex",
        ),
        (xr.Dataset(attrs={"a": None}), "the Dataset has the attribute 'a' of type NoneType"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(tmp_path, ds, words, suffix):
    with pytest.raises(ExportContentError, match=words):
        ox.save(ds, tmp_path / f"s{suffix}")
    assert not list(tmp_path.iterdir())
