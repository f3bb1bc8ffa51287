"""What is taken along of each panel opens again, and is what the panel shows."""

import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("panel")

from oscaxr.explore.downloads import figure_file, numbers_file
from oscaxr.explore.opened import shelf_of
from oscaxr.explore.panel_table import numbers_of, panels_of
from oscaxr.explore.view import View


@pytest.mark.parametrize(
    "panels", [["heat_maps", "trials"], pytest.param(None, marks=pytest.mark.slow)]
)
def test_every_panel_can_be_taken_along(explored_folder, panels):
    shelf = shelf_of(explored_folder)
    opened = shelf.take("900000001")
    view = View(rois=(1, 3))
    for panel in panels or panels_of(view, opened.ds):
        found = numbers_of(panel, shelf, opened, view)
        with xr.open_dataset(numbers_file(found, "nc"), engine="h5netcdf") as again:
            xr.testing.assert_allclose(again[list(found)], found[list(found)])
        table = pd.read_csv(numbers_file(found, "csv"))
        assert len(table) == max(found[name].size for name in found if name != "order")
        picture = figure_file(panel, opened.ds, view, found, "png").getvalue()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5000
    assert b"<svg" in figure_file(panel, opened.ds, view, found, "svg").getvalue()
    shelf.give_back(opened)
    shelf.close()
