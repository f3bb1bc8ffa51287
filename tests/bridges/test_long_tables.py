"""Long pandas tables: one row a value, with the labels that tell them apart."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.bridges import long_tables
from oscaxr.errors import ExportContentError, MissingVariableError


@pytest.fixture(scope="module")
def u(memory_session):
    chosen = memory_session.osca.select(gabor_frame=["D", "U"])
    return memory_session.osca.sequences(["dff", "pupil_diameter"], chosen, pre=0.1, post=0.3)


@pytest.mark.parametrize("columns", [None, ["tracking_id", "time", "mouse_id", "gabor_frame"], []])
def test_the_values_are_those_of_to_dataframe(u, columns):
    found = ox.to_frame(u, columns=columns)
    wanted = ["unexpected", "gabor_frame", "gabor_mean_orientation"] if columns is None else columns
    assert [*found.columns] == ["sequence", "roi", "rel_time", *wanted, "dff", "pupil_diameter"]
    order = ["sequence", "roi", "rel_time"]
    known = u.to_dataframe(dim_order=order).reset_index()[[*found.columns]]
    pd.testing.assert_frame_equal(found, known, check_categorical=False, check_dtype=False)
    assert found["dff"].dtype == u.dff.dtype


def test_it_takes_a_fraction_of_the_memory(u):
    whole = u.dff.to_dataframe().memory_usage(deep=True).sum()
    assert ox.to_frame(u.dff).memory_usage(deep=True).sum() < whole / 10


def test_other_dims_tracked_rois_and_single_values(u, memory_session):
    by_orientation = u.dff.groupby("gabor_mean_orientation").mean()
    found = ox.to_frame(by_orientation)
    assert {"roi", "rel_time", "gabor_mean_orientation", "dff"} == {*found.columns}
    one = by_orientation.isel(roi=2, rel_time=3, gabor_mean_orientation=1)
    row = found.query(f"roi == 2 and gabor_mean_orientation == {one.gabor_mean_orientation.item()}")
    assert row["dff"].iloc[3] == one.item()
    tracked = ox.to_frame(memory_session.osca.tracked().dff_median)
    assert [*tracked.columns] == ["tracking_id", "dff_median"]
    single = ox.to_frame(ox.stats(u.dff, ("sequence", "rel_time", "roi")))
    assert single.shape == (1, 2)
    fields = ox.to_frame(xr.DataArray(np.eye(2), dims=("height", "width")), columns=[])
    assert fields.query("height == width")["value"].tolist() == [1, 1]


def test_what_is_not_there_and_what_is_too_long(u, monkeypatch):
    with pytest.raises(MissingVariableError, match=r"columns=\['gabor'\]: .*gabor_frame"):
        ox.to_frame(u, columns=["gabor", "time"])
    monkeypatch.setattr(long_tables, "MAX_ROWS", 100)
    with pytest.raises(ExportContentError, match=r"is too long; .* average or integrate first"):
        ox.to_frame(u)


@pytest.mark.parametrize("columns", [5, [["time"]], [5]])
def test_columns_that_are_no_names(columns):
    with pytest.raises(MissingVariableError, match=r"columns=.*names of coordinates"):
        ox.to_frame(_small(), columns=columns)


def test_one_column():
    assert "b" in ox.to_frame(_small(), columns="b")


def test_what_makes_no_table():
    with pytest.raises(ExportContentError, match="no table of a ndarray"):
        ox.to_frame(np.zeros(3))
    for name in ("a", "b"):
        with pytest.raises(ExportContentError, match=f"named '{name}', as one of its coord"):
            ox.to_frame(_small().rename(name))


def _small():
    return xr.DataArray([1.0, 2.0], {"b": ("a", [3, 4])}, "a", name="x")
