"""Opening one session by path, by id, by mouse and session number."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    FormatError,
    SessionMismatchError,
    SessionNotFoundError,
    TableError,
)
from oscaxr.model.facts import FACTS
from sample_forms import named_by_time


@pytest.fixture(scope="module")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small sessions of one mouse, one of another, and their table."""
    folder = tmp_path_factory.mktemp("mouse")
    table = ox.sample.write_mouse(folder, scale=0.01, n_rois=3, n_tracked=2)
    other = ox.sample.SampleSpec(
        mouse_id=900002,
        session_id=900000004,
        mouse_number=6,
        n_rois=3,
        n_tracked=0,
        scale=0.01,
        plane="dend",
        depth=20,
    )
    named_by_time(ox.sample.write_nwb(other, folder), other)
    table = pd.concat([table, ox.sample.sample_session_table([other])], ignore_index=True)
    table.to_csv(folder / "mouse_df.csv", index=False)
    return folder


@pytest.fixture
def table(mouse: Path) -> Path:
    return mouse / "mouse_df.csv"


@pytest.fixture
def copy(mouse: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may change."""
    return Path(shutil.copytree(mouse, tmp_path / "copy"))


def path_of(folder: Path, session_id: int) -> Path:
    return next(folder.rglob(f"*{session_id}*.nwb"))


# -- ways to say which session -------------------------------------------------------------------


def test_all_ways_are_the_same(mouse: Path, table: Path) -> None:
    path = path_of(mouse, 900000002)
    frame = ox.session_table(table)
    with ox.open_session(900000002, datadir=mouse, table=table) as expected:
        assert int(expected.session_id) == 900000002
        for ds in (
            ox.open_session("900000002", datadir=str(mouse), table=str(table)),
            ox.open_session(np.int64(900000002), datadir=mouse, table=frame),
            ox.open_session(mouse=1, session=2, datadir=mouse, table=table),
            ox.open_session(path, table=table),
            ox.open_session(str(path), table=pd.read_csv(table)),
        ):
            xr.testing.assert_identical(ds, expected)
            ds.close()


def test_facts_of_the_table(mouse: Path, table: Path) -> None:
    with (
        ox.open_session(mouse=6, session=1, datadir=mouse, table=table) as ds,
        ox.open_session(next(mouse.rglob("sub-900002_*.nwb"))) as bare,
    ):
        for name, value in (
            ("session_id", 900000004),
            ("mouse_id", 900002),
            ("mouse", 6),
            ("session", 1),
            ("plane", "dend"),
            ("depth", 20),
            ("run_type", "prod"),
        ):
            assert ds.coords[name].item() == value
            assert ds.coords[name].attrs["long_name"]
        assert ds.attrs["pass_fail"] == "P"
        # Without a table, what the file itself knows.
        assert {"session_id", "mouse_id", "line"} <= set(bare.coords)
        assert not {"mouse", "session", "plane", "depth"} & set(bare.coords)
        xr.testing.assert_equal(
            ds.drop_vars(["mouse", "session", "plane", "depth", "run_type"]), bare
        )


def test_table_of_found_sessions(mouse: Path) -> None:
    """Without the published table, the sessions found may be numbered."""
    found = ox.find_sessions(mouse)
    with ox.open_session(mouse=2, session=1, datadir=mouse, table=found) as ds:
        assert int(ds.session_id) == 900000004


def test_table_of_2021(mouse: Path, table: Path, tmp_path: Path) -> None:
    published = {fact.name: fact.column for fact in FACTS}
    published["dandi_session_time"] = "dandi_session_id"
    old = pd.read_csv(table, dtype=str).rename(columns=published)
    old = old.drop(columns=["nrois_all", "nrois_allen", "nrois_allen_all"])
    old.to_csv(tmp_path / "old.csv", index=False)
    with (
        ox.open_session(mouse=6, session=1, datadir=mouse, table=tmp_path / "old.csv") as ds,
        ox.open_session(mouse=6, session=1, datadir=mouse, table=table) as expected,
    ):
        xr.testing.assert_equal(ds, expected)


def test_real_tables(shared: Path, open_shared: Callable[..., xr.Dataset]) -> None:
    for name in ("mouse_df.csv", "mouse_df_2021.csv"):
        with open_shared(764704289, table=shared / "data" / name) as ds:
            assert (int(ds.mouse), int(ds.session), int(ds.mouse_id)) == (6, 1, 413663)


def test_run_type_tells_numbers_apart(mouse: Path, table: Path) -> None:
    frame = pd.read_csv(table)
    pilot = frame.iloc[[1]].assign(session_id=712483302, run_type="pilot")
    frame = pd.concat([frame, pilot], ignore_index=True)
    with pytest.raises(AmbiguousSessionError, match="900000002"):
        ox.open_session(mouse=1, session=2, datadir=mouse, table=frame)
    with ox.open_session(mouse=1, session=2, run_type="prod", datadir=mouse, table=frame) as ds:
        assert int(ds.session_id) == 900000002


def test_options_are_passed_on(mouse: Path) -> None:
    with ox.open_session(
        900000001, datadir=mouse, drop_variables=["roi_mask"], chunks={"time": -1}
    ) as ds:
        assert "roi_mask" not in ds
        assert ds.dff.chunks is not None


# -- what was asked makes no sense ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "say which session"),
        ({"session_id": 900000001, "mouse": 1}, "not both"),
        ({"session_id": 900000001}, "datadir="),
        ({"mouse": 1, "session": 1}, "datadir="),
        ({"mouse": 1, "session": 1, "datadir": "."}, "table="),
    ],
    ids=str,
)
def test_incomplete_questions(asked: dict[str, object], words: str) -> None:
    with pytest.raises(CriterionError, match=words):
        ox.open_session(**asked)


def test_unknown_session(mouse: Path, table: Path) -> None:
    with pytest.raises(SessionNotFoundError, match=r"no session with session id 900000009") as e:
        ox.open_session(900000009, datadir=mouse, table=table)
    assert "900000002" in str(e.value)
    with pytest.raises(SessionNotFoundError, match=r"mouse 1, session 9"):
        ox.open_session(mouse=1, session=9, datadir=mouse, table=table)
    with pytest.raises(SessionNotFoundError, match=r"mice in the table are 1, 6"):
        ox.open_session(mouse=3, session=1, datadir=mouse, table=table)


def test_no_file_and_what_was_searched(mouse: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(SessionNotFoundError) as caught:
        ox.open_session(900000009, datadir=mouse)
    message = str(caught.value)
    for words in (str(mouse), "sub-*_ses-900000009*.nwb", "4 NWB files", "900000001"):
        assert words in message
    with pytest.raises(SessionNotFoundError, match="0 NWB files"):
        ox.open_session(900000001, datadir=tmp_path, table=table)
    with pytest.raises(SessionNotFoundError, match="does not exist"):
        ox.open_session(900000001, datadir=tmp_path / "no")
    with pytest.raises(SessionNotFoundError, match="is a file"):
        ox.open_session(900000001, datadir=table)
    with pytest.raises(SessionNotFoundError, match="no such file"):
        ox.open_session(tmp_path / "no.nwb", table=table)


def test_table_that_is_none(mouse: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for bad in (tmp_path / "bad.csv", tmp_path / "missing.csv", pd.DataFrame({"session_id": [1]})):
        with pytest.raises(TableError):
            ox.open_session(900000001, datadir=mouse, table=bad)


# -- files and table that do not agree -----------------------------------------------------------


def edit(path: Path, place: str, value: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = value


@pytest.mark.parametrize(
    ("place", "value"),
    [("general/session_id", "111111111"), ("general/subject/subject_id", "999999")],
)
def test_ids_of_file_and_table_disagree(copy: Path, place: str, value: str) -> None:
    path = path_of(copy, 900000001)
    edit(path, place, value)
    with pytest.raises(SessionMismatchError) as caught:
        ox.open_session(900000001, datadir=copy, table=copy / "mouse_df.csv")
    message = str(caught.value)
    assert value in message
    assert ("900000001" if "session" in place else "900001") in message
    assert path.name in message


def test_file_in_the_name_of_another_mouse(copy: Path) -> None:
    path = path_of(copy, 900000001)
    path.rename(path.with_name(path.name.replace("900001", "408022")))
    with pytest.raises(SessionMismatchError, match=r"mouse 900001.*408022"):
        ox.open_session(900000001, datadir=copy, table=copy / "mouse_df.csv")


def test_path_of_a_session_not_in_the_table(mouse: Path, table: Path) -> None:
    frame = pd.read_csv(table).iloc[1:]
    with pytest.raises(SessionNotFoundError, match="900000001"):
        ox.open_session(path_of(mouse, 900000001), table=frame)


def test_path_of_a_file_without_session_id(copy: Path) -> None:
    path = path_of(copy, 900000001)
    edit(path, "general/session_id", "first")
    with pytest.raises(SessionNotFoundError, match="no session id"):
        ox.open_session(path, table=copy / "mouse_df.csv")
    with ox.open_session(path) as ds:
        assert "session_id" not in ds.coords


def test_two_candidates(copy: Path) -> None:
    path = path_of(copy, 900000001)
    (copy / "again").mkdir()
    shutil.copy(path, copy / "again" / path.name)
    with pytest.raises(AmbiguousSessionError) as caught:
        ox.open_session(900000001, datadir=copy)
    assert str(path) in str(caught.value)
    assert "again" in str(caught.value)
    # A narrower folder, or the path, says which.
    with ox.open_session(900000001, datadir=copy / "again") as ds:
        assert "again" in ds.encoding["source"]
    with ox.open_session(path) as ds:
        assert ds.encoding["source"] == str(path.resolve())


def test_unreadable_file(copy: Path) -> None:
    path = path_of(copy, 900000001)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"truncated"):
        ox.open_session(900000001, datadir=copy)
    with pytest.raises(FormatError, match=r"truncated"):
        ox.open_session(path, table=copy / "mouse_df.csv")


# -- both styles of names, several files ---------------------------------------------------------


@pytest.mark.parametrize("with_table", [True, False])
def test_files_named_by_start_time(mouse: Path, table: Path, with_table: bool) -> None:
    sessions = table if with_table else None
    with ox.open_session(900000004, datadir=mouse, table=sessions) as ds:
        assert "T" in Path(ds.encoding["source"]).name.split("_ses-")[1]


@pytest.mark.slow
def test_several_files_of_both_styles(tmp_path: Path) -> None:
    spec = ox.sample.SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(48, 48))
    ox.sample.write_nwb(spec, tmp_path)
    options = {"parts": "behavior+image+ophys", "template_frames": 2}
    named_by_time(ox.sample.write_nwb(spec, tmp_path, **options), spec)
    table = ox.sample.sample_session_table([spec])
    for sessions in (table, None):
        with ox.open_session(
            900000001, datadir=tmp_path, table=sessions, include="templates"
        ) as ds:
            assert "ses-900000001_behavior+ophys" in ds.encoding["source"]
            assert "template_gabors" in ds
            assert ds.attrs["source_files"].count(".nwb") == 2


@pytest.mark.parametrize("suffix", ["zarr", pytest.param("nc", marks=pytest.mark.slow)])
def test_exports_open_as_sessions(sample_path, tmp_path, suffix):
    target = tmp_path / f"session.{suffix}"
    with ox.open_session(sample_path) as ds:
        assert ox.save(ds, target) == target
        with ox.open_session(target) as again, ox.open_sessions([target]) as tree:
            xr.testing.assert_identical(again, ds)
            xr.testing.assert_identical(next(iter(tree.leaves)).to_dataset(), ds)
            segments = again.osca.select(gabor_frame="A")
            xr.testing.assert_identical(
                again.osca.sequences("dff", segments, pre=0.1, post=0.3).load(),
                ds.osca.sequences("dff", segments, pre=0.1, post=0.3).load(),
            )
        ox.save(ds.dff.isel(roi=0), tmp_path / f"trace.{suffix}")
    with pytest.raises(CriterionError, match="no session"):
        ox.open_session(tmp_path / f"trace.{suffix}")
