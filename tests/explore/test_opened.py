"""The sessions there are: each opened once, shared, and closed when nobody needs it."""

import shutil
import warnings

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import FormatError, SessionNotFoundError
from oscaxr.explore.opened import shelf_of


@pytest.fixture
def shelf(explored_folder):
    shelf = shelf_of(explored_folder)
    yield shelf
    shelf.close()


def test_a_folder_lists_its_sessions(shelf, explored_folder):
    assert list(shelf.sources) == ["900000001", "900000002", "900000003"]
    assert shelf.of_mouse("900000002") == list(shelf.sources)
    names = {"ox": ox}
    exec(f"ds = {shelf.sources['900000002'].code}", names)
    assert int(names["ds"].session_id) == 900000002
    names["ds"].close()


def test_sessions_are_shared_and_closed(shelf, explored_folder, open_files):
    first, again = shelf.take("900000001"), shelf.take("900000001")
    assert first is again
    shelf.give_back(first)
    assert first.ds.dff[0].load().size
    shelf.give_back(again)
    for key in [*shelf.sources] * 3:
        opened = shelf.take(key)
        opened.ds.run_velocity[:5].load()
        shelf.give_back(opened)
        assert shelf.n_open == 1
    assert len(open_files(explored_folder)) <= 1
    shelf.close()
    assert open_files(explored_folder) == []


def test_a_damaged_session_leaves_the_others_usable(explored_folder, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(explored_folder, folder)
    bad = next(folder.rglob("*900000002*.nwb"))
    bad.write_bytes(bad.read_bytes()[:5000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shelf = shelf_of(folder)
    opened = shelf.take("900000001")
    shelf.give_back(opened)
    if "900000002" in shelf.sources:
        with pytest.raises(FormatError):
            shelf.take("900000002")
    else:
        assert any("900000002" in note for note in shelf.notes)
    shelf.close()


def test_a_path_a_dataset_and_a_tree(explored_folder, memory_session):
    path = next(explored_folder.rglob("*.nwb"))
    assert [s.label for s in shelf_of(path).sources.values()] == [path.name]
    assert shelf_of(path).sources["1"].code == f'ox.open_session("{path}")'
    (source,) = shelf_of(memory_session).sources.values()
    assert "900000001" in source.label
    with pytest.raises(SessionNotFoundError):
        shelf_of(explored_folder).take("/etc/passwd")


@pytest.mark.parametrize("name", ["it's", 'a "b"', 'it\'s "b"', "back\\slash"])
def test_the_code_opens_a_path_with_quotes_in_it(explored_folder, tmp_path, name):
    path = tmp_path / f"{name}.nwb"
    path.symlink_to(next(explored_folder.rglob("*900000001*.nwb")))
    shelf = shelf_of(path)
    with eval(shelf.sources["1"].code, {"ox": ox}) as ds:
        assert int(ds.session_id) == 900000001


@pytest.fixture
def memory():
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.makedirs("/explored", exist_ok=True)
    yield store
    store.rm("/explored", recursive=True)


def test_a_folder_in_a_store_lists_its_sessions(explored_folder, memory):
    memory.put(str(explored_folder), "/explored/data", recursive=True)
    shelf = shelf_of("memory://explored/data", storage_options={})
    here = shelf_of(explored_folder)
    assert list(shelf.sources) == list(here.sources)
    assert [one.label for one in shelf.sources.values()] == [
        one.label for one in here.sources.values()
    ]
    opened, same = shelf.take("900000001"), here.take("900000001")
    xr.testing.assert_identical(opened.ds.run_velocity.load(), same.ds.run_velocity.load())
    assert int(opened.ds.mouse) == 1, "by the table in the folder"
    bad = next(path for path in memory.find("/explored/data") if "900000002" in path)
    memory.pipe(bad, memory.cat(bad)[:5000])
    with pytest.raises(FormatError, match="900000002"):
        shelf.take("900000002")
    names = {"ox": ox}
    exec(f"ds = {shelf.sources['900000003'].code}", names)
    assert int(names["ds"].session_id) == 900000003
    names["ds"].close()
    for one in (shelf, here):
        one.close()


def test_a_folder_in_a_store_may_have_its_table_here(explored_folder, memory):
    memory.put(str(explored_folder), "/explored/data", recursive=True)
    options = {"storage_options": {"skip_instance_cache": True}}
    table = explored_folder / "mouse_df.csv"
    shelf = shelf_of("memory://explored/data", table=str(table), **options)
    assert shelf.sources["900000002"].label == "mouse 900001, session 2 (900000002)"
    shelf.close()


def test_an_address_of_one_session_is_not_taken_for_a_folder(explored_folder, memory):
    path = next(explored_folder.rglob("*900000001*.nwb"))
    for name in (path.name, "no ending"):
        memory.put(str(path), f"/explored/{name}")
        shelf = shelf_of(f"memory://explored/{name}")
        assert list(shelf.sources) == ["1"]
        assert int(shelf.take("1").ds.session_id) == 900000001
        shelf.close()
    memory.rm(f"/explored/{path.name}")
    memory.rm("/explored/no ending")
    memory.pipe("/explored/other/notes.txt", b"x")
    with pytest.raises(SessionNotFoundError, match="no sessions below memory://explored"):
        shelf_of("memory://explored")


def test_a_matching_file_may_lie_in_a_store(memory, memory_session, original_folders):
    (path,) = original_folders["soma"].rglob("*matched_rois.json")
    memory.put(str(path), f"memory://explored/{path.name}")
    there = shelf_of(memory_session, matches=f"memory://explored/{path.name}")
    here = shelf_of(memory_session, matches=path)
    xr.testing.assert_identical(there.matches(), here.matches())


def test_sessions_are_called_the_same_everywhere(shelf, tmp_path, explored_folder):
    key = "900000002"
    opened = shelf.take(key)
    assert opened.title == shelf.sources[key].label == "mouse 900001, session 2 (900000002)"
    # A table knows better than the files that happen to be here.
    table = ox.session_table(explored_folder / "mouse_df.csv")
    later = shelf_of(explored_folder, table=table.assign(session=table.session + 4))
    assert later.sources[key].label == "mouse 900001, session 6 (900000002)"
    shelf.give_back(opened)


def test_open_datasets_of_a_mouse_belong_together(memory_session):
    other = memory_session.assign_coords(session_id=7)
    shelf = shelf_of([memory_session, other, memory_session.assign_coords(mouse_id=8)])
    assert shelf.of_mouse("1") == ["1", "2"]
    assert shelf.sources["2"].label == "mouse 900001, session 1 (7)"


def test_sessions_of_one_name_are_told_apart(memory_session):
    """A session in two forms, as whole and as what was made of it, or files of one name."""
    other = memory_session.assign_coords(session_id=7)
    shelf = shelf_of([memory_session, memory_session.isel(roi=[0]), other])
    labels = [source.label for source in shelf.sources.values()]
    assert [label.endswith(f"[{k}]") for k, label in enumerate(labels, 1)] == [True, True, False]
    assert len(set(labels)) == 3


def test_a_folder_without_sessions_is_said(tmp_path):
    with pytest.raises(SessionNotFoundError, match="no sessions below"):
        shelf_of(tmp_path)


def test_secrets_of_servers_stay_out_of_the_code():
    shelf = shelf_of(
        "https://user:secret@example.org/a.nwb?token=abc",
        storage_options={"headers": {"Authorization": "token 123"}},
    )
    (source,) = shelf.sources.values()
    assert "secret" not in source.code + source.label
    assert "123" not in source.code
    assert "abc" not in source.code + source.label
