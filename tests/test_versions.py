"""What show_versions tells: of all that is needed, and of what is not installed."""

import builtins
import io
import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

import oscaxr as ox


def told() -> dict[str, str]:
    out = io.StringIO()
    ox.show_versions(out)
    return dict(re.findall(r"^(.+?): (.*)$", out.getvalue(), re.MULTILINE))


def test_all_that_is_declared_is_told():
    declared = [Requirement(one) for one in metadata.requires("oscaxr")]
    wanted = {one.name for one in declared if not re.search("extra == .docs", str(one.marker))}
    assert {"xarray", "matplotlib"} <= wanted
    found = told()
    assert wanted - {"oscaxr"} <= found.keys()
    assert "sphinx" not in found
    assert found["oscaxr"] == ox.__version__
    assert found["xarray"] == metadata.version("xarray")


def test_libraries_in_c(monkeypatch):
    import h5py
    import netCDF4

    found = told()
    assert found["HDF5 (h5py)"] == h5py.version.hdf5_version
    assert found["netCDF"] == netCDF4.__netcdf4libversion__

    def without(name, *args):
        if name in ("h5py", "netCDF4"):
            raise ImportError(name)
        return imported(name, *args)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    assert {told()[key] for key in ("HDF5 (h5py)", "HDF5 (netCDF4)", "netCDF")} == {"None"}


def test_what_is_not_installed_is_none(monkeypatch):
    def version(name):
        if name == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return metadata.version(name)

    monkeypatch.setattr("oscaxr.versions.version", version)
    assert told()["matplotlib"] == "None"


def test_it_prints(capsys: pytest.CaptureFixture[str]):
    ox.show_versions()
    printed = capsys.readouterr().out
    assert printed.startswith(f"oscaxr: {ox.__version__}\npython: 3")
