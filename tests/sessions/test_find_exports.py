"""Folders of exports, alone and among other files of sessions."""

import shutil

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    AmbiguousSessionError,
    DamagedExportError,
    FailedSessionsWarning,
    SessionMismatchError,
    SessionNotFoundError,
)

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]
IDS = [900000001, 900000002, 900000003]


@pytest.fixture(scope="module")
def nwb(tmp_path_factory):
    """The NWB files of a mouse's three sessions, and their table. Not to be written to."""
    folder = tmp_path_factory.mktemp("nwb")
    ox.sample.write_mouse(folder, scale=0.01, n_rois=(4, 5, 6), n_tracked=3)
    return folder


@pytest.fixture(scope="module")
def exports(nwb, tmp_path_factory):
    """The same sessions as exports of three kinds, at several depths. Not to be written to."""
    folder = tmp_path_factory.mktemp("exports")
    for number, path, suffix in zip(IDS, sorted(nwb.rglob("*.nwb")), SUFFIXES, strict=True):
        with ox.open_session(path) as ds:
            ox.save(ds, folder / "deep" / str(number) / f"any name{suffix}")
            if suffix == ".zarr":
                u = ds.osca.sequences("dff", [3, 4], pre=0, post=0.2)
    # What is not a session is passed over.
    ox.save(u, folder / "sequences.zarr")
    ox.save(ox.stats(u, dim="sequence"), folder / "statistics.nc")
    xr.Dataset({"a": 1}).to_netcdf(folder / "other.nc")
    xr.Dataset({"a": 1}).to_zarr(folder / "other.zarr", zarr_format=2)
    (folder / ".hidden.zarr").mkdir()
    return folder


@pytest.mark.slow
def test_a_folder_of_exports_is_the_same_as_one_of_nwb_files(nwb, exports):
    table = nwb / "mouse_df.csv"
    with ox.open_sessions(nwb) as expected, ox.open_sessions(exports, table=table) as found:
        assert [node.path for node in found.leaves] == [
            f"/mouse_1/session_{number}" for number in (1, 2, 3)
        ]
        xr.testing.assert_identical(found.load(), expected.load())


def test_tables_of_both_are_the_same(nwb, exports):
    expected, found = ox.find_sessions(nwb), ox.find_sessions(exports)
    assert found["session_id"].tolist() == IDS
    assert all(str(exports) in path for path in found["path"])
    own = ["path", "bytes"]
    assert found.drop(columns=own).equals(expected.drop(columns=own))


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [IDS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in IDS[1:])]
)
def test_by_id_and_by_number(nwb, exports, number):
    table = nwb / "mouse_df.csv"
    with ox.open_session(number, datadir=exports) as found:
        assert int(found.session_id) == number
        assert "mouse" not in found.coords
    numbers = {"mouse": 1, "session": IDS.index(number) + 1}
    for options in (numbers, {"session_id": number}):
        with (
            ox.open_session(**options, datadir=exports, table=table) as found,
            ox.open_session(**options, datadir=nwb, table=table) as expected,
        ):
            xr.testing.assert_identical(found.load(), expected.load())
    with ox.open_session(
        **numbers, datadir=exports, table=ox.find_sessions(exports), drop_variables="mouse"
    ) as found:
        assert "mouse" not in found.coords
        assert int(found.session) == numbers["session"]


def test_an_export_of_another_session_than_the_table_says(exports, nwb):
    table = ox.session_table(nwb / "mouse_df.csv").assign(mouse_id=1)
    with pytest.raises(SessionMismatchError, match="mouse_id is 900001 in the file, but 1"):
        ox.open_session(exports / "deep" / str(IDS[0]) / "any name.zarr", table=table)


def test_one_export_as_the_folder(exports):
    path = exports / "deep" / str(IDS[0]) / "any name.zarr"
    with ox.open_sessions(path) as tree:
        assert [node.path for node in tree.leaves] == [f"/mouse_900001/session_{IDS[0]}"]


@pytest.mark.slow
def test_both_in_one_folder(nwb, exports, tmp_path):
    first = sorted(nwb.rglob("*.nwb"))[0]
    shutil.copy(first, tmp_path)
    for number in IDS[1:]:
        shutil.copytree(exports / "deep" / str(number), tmp_path / str(number))
    table = nwb / "mouse_df.csv"
    with ox.open_sessions(nwb) as expected, ox.open_sessions(tmp_path, table=table) as found:
        xr.testing.assert_identical(found.load(), expected.load())

    # The same session twice: an error that names both, all at once.
    shutil.copytree(exports / "deep" / str(IDS[0]), tmp_path / str(IDS[0]))
    shutil.copy(tmp_path / str(IDS[2]) / "any name.nc", tmp_path / "again.nc")
    for search in (ox.find_sessions, ox.open_sessions):
        with pytest.raises(AmbiguousSessionError) as caught:
            search(tmp_path)
        for path in (first.name, f"{IDS[0]}/any name.zarr", f"{IDS[2]}/any name.nc", "again.nc"):
            assert path in str(caught.value)
        assert str(IDS[1]) not in str(caught.value)
    # One that is asked for by its id: its NWB file; of several exports, none.
    with ox.open_session(IDS[0], datadir=tmp_path) as ds:
        assert ds.encoding["source"].endswith(".nwb")
    with pytest.raises(AmbiguousSessionError, match=r"again\.nc"):
        ox.open_session(IDS[2], datadir=tmp_path)


@pytest.mark.slow
def test_published_numbers_are_not_mixed_with_counted_ones(nwb, exports, tmp_path):
    with ox.open_session(IDS[1], datadir=nwb, table=nwb / "mouse_df.csv") as ds:
        ox.save(ds.assign_coords(mouse=6, session=4), tmp_path / "s.nc")
    shutil.copytree(exports / "deep" / str(IDS[0]), tmp_path / "other")
    shutil.copy(sorted(nwb.rglob("*.nwb"))[2], tmp_path)
    with ox.open_sessions(tmp_path) as tree:
        assert {node.path for node in tree.leaves} == {
            "/mouse_6/session_4",
            f"/mouse_900001/session_{IDS[0]}",
            f"/mouse_900001/session_{IDS[2]}",
        }


@pytest.mark.slow
def test_exports_that_cannot_be_read(exports, tmp_path):
    shutil.copytree(exports / "deep", tmp_path / "deep")
    bad = [tmp_path / "cut.zarr.zip", tmp_path / "cut.nc", tmp_path / "empty.zarr"]
    good = exports / "deep" / str(IDS[1]) / "any name.zarr.zip"
    bad[0].write_bytes(good.read_bytes()[:5000])
    bad[1].write_bytes(b"nothing")
    bad[2].mkdir()
    with pytest.raises(DamagedExportError):
        ox.open_sessions(tmp_path)
    with pytest.warns(FailedSessionsWarning, match="3 session"):
        tree = ox.open_sessions(tmp_path, errors="collect")
    assert len(tree.leaves) == 3
    tree.close()
    with pytest.warns(ox.OscaxrWarning) as caught:
        table = ox.find_sessions(tmp_path)
    assert len(table) == 3
    for path in bad:
        assert str(path) in tree.attrs["failures"]
        assert str(path) in str(caught[0].message)
    with pytest.raises(SessionNotFoundError, match="nothing of session 1 below") as failure:
        ox.open_session(1, datadir=tmp_path)
    assert str(bad[0]) in str(failure.value)


def test_a_folder_without_sessions(exports, tmp_path):
    shutil.copytree(exports / "sequences.zarr", tmp_path / "sequences.zarr")
    for errors in ("raise", "collect"):
        with pytest.raises(SessionNotFoundError, match="no session below"):
            ox.open_sessions(tmp_path, errors=errors)
    with pytest.raises(SessionNotFoundError, match="or an export of it"):
        ox.open_session(IDS[0], datadir=tmp_path)


def test_links_are_followed_once(exports, tmp_path):
    (tmp_path / "link").symlink_to(exports)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert ox.find_sessions(tmp_path)["session_id"].tolist() == IDS


@pytest.mark.slow
def test_functions_are_mapped_over_a_folder_of_exports(exports):
    found = ox.map_sessions(_mean, exports, progress=False)
    with ox.open_sessions(exports) as tree:
        for node in tree.leaves:
            assert float(found[node.path]["mean"]) == pytest.approx(float(node["dff"].mean()))


def _mean(ds):
    return xr.Dataset({"mean": ds["dff"].mean()})
