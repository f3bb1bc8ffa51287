"""A data folder in an object store: the same sessions, by the same calls, as from a folder here."""

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import AmbiguousSessionError, CriterionError, SessionNotFoundError
from oscaxr.sessions.settings import DATADIR, TABLE, TABLE_NAME

fsspec = pytest.importorskip("fsspec")

ID = 900000001
URL = "memory://lab/data"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three sessions of a mouse, in folders of their own, with their table."""
    folder = tmp_path_factory.mktemp("store") / "data"
    ox.sample.write_mouse(folder, scale=0.01, n_rois=2, n_tracked=1)
    return folder


@pytest.fixture
def memory(data, monkeypatch):
    for name in (DATADIR, TABLE):
        monkeypatch.delenv(name, raising=False)
    store = fsspec.filesystem("memory")
    store.put(str(data), "/lab/data", recursive=True)
    yield store
    store.rm("/lab", recursive=True)


def roi_count(ds):
    return ds.sizes["roi"]


def same_tree(one, other):
    assert [node.path for node in one.leaves] == [node.path for node in other.leaves]
    for node in one.leaves:
        xr.testing.assert_identical(node.to_dataset().load(), other[node.path].to_dataset().load())


def test_sessions_are_found_as_here(data, memory):
    found, here = ox.find_sessions(URL), ox.find_sessions(data)
    assert found.drop(columns=["path", "bytes", "published_bytes"]).equals(
        here.drop(columns=["path", "bytes", "published_bytes"])
    )
    assert all(found["path"].str.startswith(f"{URL}/"))
    assert set(found["bytes"]) == {-1}
    assert ox.session_table(f"{URL}/{TABLE_NAME}").equals(ox.session_table(data / TABLE_NAME))


def test_one_session_by_id_and_by_numbers(data, memory, monkeypatch):
    with ox.open_session(ID, datadir=data) as here, ox.open_session(ID, datadir=URL) as ds:
        assert int(ds.mouse) == 1, "by the table that lies beside the sessions"
        xr.testing.assert_identical(ds.load(), here.load())
        with ox.open_session(mouse=1, session=1, datadir=URL) as same:
            xr.testing.assert_identical(same.load(), here)
    monkeypatch.setenv(DATADIR, URL)
    monkeypatch.setenv(TABLE, f"{URL}/{TABLE_NAME}")
    with ox.open_session(ID) as ds:
        assert int(ds.session) == 1


def test_many_sessions(data, memory):
    with ox.open_sessions(URL) as tree, ox.open_sessions(data) as here:
        assert len(tree.leaves) == 3
        same_tree(tree, here)
    rows = ox.session_table(f"{URL}/{TABLE_NAME}").query("session <= 2")
    for asked in (rows, list(rows["session_id"])):
        counts = ox.map_sessions(roi_count, asked, datadir=URL, scheduler="synchronous")
        assert counts.values.tolist() == [2, 2]
    assert ox.map_sessions(roi_count, URL, scheduler="synchronous").sizes == {"session_id": 3}
    assert len(xr.open_datatree(URL, engine="oscaxr").leaves) == 3
    with ox.open_sessions(f"{URL}/{TABLE_NAME}", datadir=URL) as tree:
        assert len(tree.leaves) == 3


def test_exports_in_it(memory, tmp_path):
    done = ox.convert(URL, "memory://lab/exports", workers=1)
    assert [one.status for one in done] == ["written"] * 3
    assert {one.session for one in done} == {f"sub-900001_ses-{ID + k}" for k in range(3)}
    with ox.open_session(ID, datadir="memory://lab/exports") as ds:
        assert ds.encoding["provenance"]
    with ox.open_sessions("memory://lab/exports") as tree:
        assert len(tree.leaves) == 3
    table = f"{URL}/{TABLE_NAME}"
    again = ox.convert(table, tmp_path / "here", datadir=URL, workers=1)
    assert [one.status for one in again] == ["written"] * 3
    # Both forms of a session in one folder are as ambiguous there as here.
    with pytest.raises(AmbiguousSessionError, match="more than once"):
        ox.find_sessions("memory://lab")


def test_an_index_in_it(memory):
    index = ox.write_index(URL, f"{URL}/sessions.json")
    assert index == f"{URL}/sessions.json"
    for asked in (
        {"session_id": ID, "datadir": index},
        {"session_id": index, "group": "mouse_1/session_1"},
    ):
        with ox.open_session(**asked) as ds, ox.open_session(ID, datadir=URL) as same:
            xr.testing.assert_identical(ds.dff.variable.load(), same.dff.variable.load())
    with ox.open_sessions(index) as tree:
        assert len(tree.leaves) == 3
    with pytest.raises(ox.errors.TargetExistsError, match=r"sessions\.json exists already"):
        ox.write_index(URL, index)
    assert ox.write_index(URL, index, overwrite=True) == index


def test_what_is_not_read_there_is_named(memory, sample_path):
    memory.pipe("/lab/data/ophys_session_900000009/x.txt", b"x")
    with pytest.warns(ox.OscaxrWarning, match=r"ophys_session_900000009 holds no session"):
        assert len(ox.find_sessions(URL)) == 3
    with pytest.raises(SessionNotFoundError, match="nothing of session 900000008 below memory://"):
        ox.open_session(900000008, datadir=URL)
    with pytest.raises(SessionNotFoundError, match="memory://lab/none does not exist"):
        ox.find_sessions("memory://lab/none")
    with pytest.raises(SessionNotFoundError, match=r"no file at memory://lab/none\.csv"):
        ox.session_table("memory://lab/none.csv")
    memory.pipe("/lab/bad.csv", b"\0\1")
    with pytest.raises(ox.errors.TableError, match=r"memory://lab/bad\.csv cannot be read.*NUL"):
        ox.session_table("memory://lab/bad.csv")
    with pytest.raises(SessionNotFoundError, match="web cannot be listed"):
        ox.open_session(ID, datadir="https://host/data")


def test_in_s3(object_store, data):
    url, options = object_store.put(data, "lab/data"), object_store.options
    table = ox.session_table(f"{url}/{TABLE_NAME}", storage_options=options)
    assert len(ox.find_sessions(url, storage_options=options)) == len(table) == 3
    chosen = ox.default_sessions(f"{url}/{TABLE_NAME}", session=1, storage_options=options)
    assert chosen["session_id"].tolist() == [ID]
    with (
        ox.open_session(ID, datadir=url, storage_options=options) as ds,
        ox.open_session(ID, datadir=data) as here,
    ):
        xr.testing.assert_identical(ds.load(), here.load())
    index = ox.write_index(
        table[:1], f"{url}/i.json", datadir=url, storage_options=options, target_options=options
    )
    with ox.open_session(index, storage_options=options) as ds:
        assert int(ds.session_id) == ID
    with pytest.raises(CriterionError, match="nothing can be written there"):
        ox.write_index(data, "https://host/i.json")
