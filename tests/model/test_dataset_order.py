"""Sessions of all formats have their variables in one order, so that they print alike."""

import warnings

import pytest
import xarray as xr
from packaging.version import Version

import oscaxr as ox


def printed_coords(data):
    """Return the names of the coordinates that are printed."""
    text = repr(data).partition("Coordinates:")[2].partition("Data variables:")[0]
    return [line.split()[1 if line.startswith("  *") else 0] for line in text.splitlines()[1:]]


@pytest.fixture(scope="module")
def sessions(memory_session, few_session, sample_path, original_folders, tmp_path_factory):
    """Give one session from each kind of place."""
    tmp_path = tmp_path_factory.mktemp("exports")
    ox.save(few_session, tmp_path / "s.zarr")
    ox.save(few_session, tmp_path / "s.nc")
    memory_session.drop_vars("roi_mask").to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exports = (tmp_path / name for name in ("s.zarr", "s.nc", "plain.nc"))
        opened = [*map(ox.open_session, (sample_path, original_folders["soma"], *exports))]
    yield [memory_session, *opened]
    for ds in opened:
        ds.close()


def test_variables_and_dims_have_one_order(sessions):
    first, *others = sessions
    for ds in others:
        for part in ("variables", "sizes"):
            names, wanted = getattr(ds, part), getattr(first, part)
            assert [k for k in names if k in wanted] == [k for k in wanted if k in names]
    for ds in sessions:
        printed = printed_coords(ds)[:6]
        assert {"time", "stim_time", "segment", "gabor_frame"} <= set(printed), printed


@pytest.mark.skipif(Version(xr.__version__) < Version("2026.2"), reason="it prints by the alphabet")
def test_sequences_print_the_frame_that_was_shown(sessions):
    for ds in sessions:
        segments = ds.osca.select(gabor_frame="U")
        u = ds.osca.sequences("dff", segments, pre=0, post=0.2, invalid="keep")
        assert {"sequence", "gabor_frame"} <= set(printed_coords(u)[:6])


def test_a_reopened_export_keeps_an_order_of_its_own(memory_session, tmp_path):
    ds = memory_session[["dff", "run_velocity"]]
    assert list(ds.sizes)[:2] == ["time", "roi"]
    ox.save(ds, tmp_path / "s.zarr")
    with ox.open_exported(tmp_path / "s.zarr") as again:
        xr.testing.assert_identical(again, ds)
        assert list(again.variables) == list(ds.variables)
        assert list(again.sizes) == list(ds.sizes)
