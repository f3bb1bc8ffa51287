"""Importing oscaxr must bring in nothing heavy that importing xarray does not."""

import json
import subprocess
import sys
from functools import cache

import pytest

import oscaxr

HEAVY = (
    "bokeh",
    "dandi",
    "dask",
    "deflate",
    "distributed",
    "fsspec",
    "h5netcdf",
    "h5py",
    "hdmf",
    "matplotlib",
    "netCDF4",
    "panel",
    "pynwb",
    "requests",
    "rich",
    "scipy",
    "sklearn",
    "typer",
    "zarr",
)


@cache
def modules_after(statement: str) -> frozenset[str]:
    """Names in ``sys.modules`` of a fresh interpreter after one statement."""
    # The last line only: a library is free to print when it is imported.
    script = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("library", HEAVY)
def test_not_imported(library):
    assert library not in modules_after("import oscaxr") - modules_after("import xarray")


@pytest.mark.parametrize("package", ["formats", "sessions", "store"])
def test_what_opens_sessions_is_imported_when_one_is_opened(package):
    assert f"oscaxr.{package}" not in modules_after("import oscaxr")


@pytest.mark.parametrize("first", ["", "oscaxr.open_session; "])
def test_modules_come_when_they_are_named(first):
    names = {"oscaxr.sessions.table", "oscaxr.sessions.find", "oscaxr.formats.original.matches"}
    assert names <= modules_after(f"import oscaxr; {first}{'; '.join(sorted(names))}")


def test_a_module_that_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match=r"'oscaxr\.sessions' has no attribute 'nothing'"):
        _ = oscaxr.sessions.nothing


def test_imports_are_seen():
    assert {"oscaxr", "xarray"} <= modules_after("import oscaxr")
    assert "scipy" in modules_after("import scipy")
    assert "oscaxr.sessions.open" in modules_after("import oscaxr; oscaxr.open_session")
