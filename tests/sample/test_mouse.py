"""All sample sessions of one mouse, and the session table that goes with them."""

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import oscaxr as ox
from example_sessions import SHARED
from oscaxr.model.facts import PUBLISHED
from oscaxr.sample import SampleExistsError, mouse_specs, sample_session_table, write_mouse


def test_write_mouse(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    table = write_mouse(
        tmp_path,
        seed=2,
        scale=0.01,
        n_rois=(4, 3, 5),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (3000, 3000)
    assert steps == sorted(steps)
    stored = pd.read_csv(tmp_path / "mouse_df.csv")
    assert {"sessid", "mouse_n", "nrois_all"} <= set(stored)
    pd.testing.assert_frame_equal(table, stored.rename(columns=PUBLISHED), check_dtype=False)
    assert len(list(tmp_path.rglob("*.nwb"))) == 3
    for session_id, n_rois in zip(table["session_id"], table["n_rois"], strict=True):
        (path,) = tmp_path.rglob(f"*{session_id}*.nwb")
        with h5py.File(path) as file:
            ids = file["processing/ophys/ImageSegmentation/PlaneSegmentation/tracking_id"][:]
        assert len(ids) == n_rois
        assert sorted(ids[np.isfinite(ids)]) == list(range(2))
    with pytest.raises(SampleExistsError) as caught:
        write_mouse(tmp_path, scale=0.01)
    assert str(caught.value).count("\n  - ") == 4


def test_session_table_has_the_published_columns() -> None:
    table = sample_session_table(mouse_specs())
    assert table["session"].tolist() == [1, 2, 3]
    path = SHARED / "data" / "mouse_df.csv"
    if not path.exists():
        pytest.skip("no published session table")
    published = pd.read_csv(path).rename(columns=PUBLISHED)
    assert table.columns.tolist() == published.columns.tolist()
    same = ["mouse", "session", "sex", "depth", "plane", "line", "run_type"]
    pd.testing.assert_frame_equal(table[same], published.loc[:2, same], check_dtype=False)
    np.testing.assert_allclose(table["age_weeks"], published.loc[:2, "age_weeks"])
    for column in ("session_id", "mouse_id", "dandi_session_time", "date", "date_of_birth"):
        assert not set(table[column]) & set(published[column]), "of no recorded session"


@pytest.mark.parametrize("write", [ox.sample.write_nwb, ox.sample.write_original])
def test_day_of_an_evening_session_is_that_in_los_angeles(write, tmp_path: Path) -> None:
    start = datetime(2001, 1, 6, 1, 51, 48, tzinfo=UTC)
    spec = ox.sample.SampleSpec(scale=0.01, n_rois=2, n_tracked=1, start=start, dropped=0.0)
    table = sample_session_table([spec])
    assert table["date"].tolist() == [20010105]
    with ox.open_session(write(spec, tmp_path), table=table) as ds:
        assert ds.attrs["date"] == "2001-01-05"
        assert ds.attrs["dandi_session_time"] == "2001-01-06T01:51:48+00:00"


def test_a_mouse_of_dendrites_has_their_files(tmp_path: Path) -> None:
    table = write_mouse(tmp_path, scale=0.01, n_rois=2, n_tracked=1, plane="dend")
    assert set(table["plane"]) == {"dend"}
    paths = list(tmp_path.rglob("*.nwb"))
    assert len(paths) == 3
    for path in paths:
        with h5py.File(path) as file:
            masks = file["processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"]
            assert (masks.dtype, masks.compression) == ("float64", "gzip")
