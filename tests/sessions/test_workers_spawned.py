"""Workers where none can be forked, as on Windows and macOS: each starts anew."""

from functools import partial
from types import SimpleNamespace

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.sessions import workers


@pytest.mark.slow
def test_sessions_are_mapped_by_spawned_workers(mouse_folder, monkeypatch):
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform="win32"))
    assert workers._context().get_start_method() == "spawn"
    table = ox.session_table(mouse_folder / "table.csv")
    mapped = partial(ox.map_sessions, ox.n_tracked, table, datadir=mouse_folder)
    found = mapped(scheduler="processes", workers=2)
    xr.testing.assert_identical(found, mapped(scheduler="synchronous"))
