"""Workers where none can be forked, as on Windows and macOS: each starts anew."""

import sys
from functools import partial
from types import SimpleNamespace

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError
from oscaxr.sessions import workers


@pytest.mark.slow
def test_sessions_are_mapped_by_spawned_workers(mouse_folder, monkeypatch):
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform="win32"))
    assert workers._context().get_start_method() == "spawn"
    table = ox.session_table(mouse_folder / "table.csv")
    mapped = partial(ox.map_sessions, ox.n_tracked, table, datadir=mouse_folder)
    found = mapped(scheduler="processes", workers=2)
    xr.testing.assert_identical(found, mapped(scheduler="synchronous"))


@pytest.mark.parametrize(("platform", "cores_used"), [("win32", 61), ("linux", 128)])
def test_windows_takes_61_processes_of_many_cores(monkeypatch, platform, cores_used):
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform=platform, maxsize=sys.maxsize))
    monkeypatch.setattr("dask.system.CPU_COUNT", 128)
    assert workers._processes_at_once(None) == cores_used
    assert workers._processes_at_once(3) == 3


def test_more_processes_than_windows_takes_are_refused(monkeypatch):
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(CriterionError, match="workers=62: on Windows 61"):
        workers.run_each(len, ["a", "b"], workers=62)
