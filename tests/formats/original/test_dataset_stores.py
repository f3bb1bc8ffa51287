"""Sessions in the original layout in object stores: the same as from a folder here."""

import pickle
import shutil
import tempfile
from pathlib import Path

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import FormatError, OscaxrError, SessionNotFoundError
from oscaxr.formats.original.files import read_tree

fsspec = pytest.importorskip("fsspec")

URL = "memory://original"
IDS = {"soma": 900000001, "dend": 900000004}
pytestmark = pytest.mark.filterwarnings("ignore::oscaxr.errors.OscaxrWarning")


@pytest.fixture
def memory():
    """A store in the memory of this process."""
    store = fsspec.filesystem("memory")
    yield store
    store.rm("/original", recursive=True)


@pytest.fixture
def stored(memory, original_folders):
    """The addresses of a somatic and a dendritic session."""
    memory.put(str(original_folders["soma"].parents[2]), "/original", recursive=True)
    return {plane: f"{URL}/{in_store(folder)}" for plane, folder in original_folders.items()}


def in_store(folder):
    """Where the folder of a session lies in its data folder."""
    return "/".join(folder.parts[-3:])


def assert_same(ds, folder, **options):
    """Compare a session with what is opened of a folder here; the file objects differ alone."""
    with ox.open_session(folder, **options) as here:
        xr.testing.assert_identical(ds.load(), here.load())
    assert list(ds.variables) == list(here.variables)


@pytest.mark.parametrize(
    ("plane", "options"),
    [
        ("soma", {"include": "squares"}),
        pytest.param("dend", {}, marks=pytest.mark.slow),
        ("dend", {"segmentation": "allen", "fluorescence": "raw"}),
    ],
)
def test_a_session_in_a_store_is_the_same(plane, options, stored, original_folders):
    with ox.open_session(stored[plane], storage_options={}, **options) as ds:
        # What a worker is sent opens the files anew.
        with pickle.loads(pickle.dumps(ds)) as sent:
            assert_same(sent, original_folders[plane], **options)
        names = {one.name for one in ds.encoding["remote_sources"]}
        assert names >= set(ds.attrs["source_files"].split(", "))
        assert_same(ds, original_folders[plane], **options)


def test_sessions_are_found_and_opened_by_their_ids(stored, original_folders):
    found = ox.find_sessions(URL)
    assert found["session_id"].tolist() == [*IDS.values()]
    assert found["path"].tolist() == [*stored.values()]
    with ox.open_session(IDS["dend"], datadir=URL) as ds:
        assert_same(ds, original_folders["dend"])
    with ox.open_sessions(URL) as tree:
        assert [int(leaf.session_id) for leaf in tree.leaves] == [*IDS.values()]
    counts = ox.map_sessions(ox.n_tracked, [*stored.values()], scheduler="synchronous")
    with ox.open_session(original_folders["soma"]) as here:
        assert counts.sel(session_id=IDS["soma"]) == ox.n_tracked(here)


def test_a_folder_of_another_name_is_one_by_its_log(memory, original_folders):
    memory.put(str(original_folders["soma"]), "/original/mine", recursive=True)
    for address in (f"{URL}/mine", f"{URL}/mine/"):
        with xr.open_dataset(address, engine="oscaxr") as ds:
            assert int(ds.session_id) == IDS["soma"]
    assert ox.find_sessions(URL).empty, "in folders, sessions go by their names"


def test_where_nothing_may_be_listed_a_file_is_read(memory, sample_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError("AccessDenied")

    memory.put(str(sample_path), "/original/a file")
    monkeypatch.setattr(type(memory), "ls", refuse)
    with ox.open_session(f"{URL}/a file") as ds:
        assert ds.attrs["source_format"] == "nwb"
    monkeypatch.undo()


@pytest.mark.slow
def test_an_export_says_what_it_was_made_of(stored, tmp_path):
    (done,) = ox.convert(stored["soma"], tmp_path, workers=1)
    assert done.status == "written"
    (again,) = ox.convert(stored["soma"], tmp_path, workers=1)
    assert again.status == "verified"
    with ox.open_session(done.target) as ds:
        sources = ds.encoding["provenance"]["sources"]
    assert {one["url"].rpartition("/")[0].startswith(stored["soma"]) for one in sources} == {True}
    assert all(one["etag"] and one["bytes"] > 0 for one in sources)


# -- what is wrong --------------------------------------------------------------------------------
def error_of(place):
    with pytest.raises(OscaxrError) as caught:
        ox.open_session(place)
    return caught.value


@pytest.mark.parametrize("part", ["sync", "stimulus", "allen_masks", "dff"])
def test_what_is_wrong_is_said_as_here(part, memory, original_folders, tmp_path):
    folder = tmp_path / original_folders["soma"].name
    shutil.copytree(original_folders["soma"], folder)
    path = read_tree(folder).files[part]
    if part == "sync":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:3000])
    memory.put(str(folder), f"/original/{folder.name}", recursive=True)
    here, there = error_of(folder), error_of(f"{URL}/{folder.name}")
    assert type(here) is type(there) is (SessionNotFoundError if part == "sync" else FormatError)
    if part == "dff":
        # Of the same file, the HDF5 library says the same.
        assert "truncated" in str(here)
        assert f"{URL}/{path.relative_to(tmp_path).as_posix()}" in str(there)
        assert "truncated" in str(there)
    else:
        assert str(there) == str(here).replace(str(tmp_path), URL)


def test_what_was_replaced_is_not_read(memory, stored, original_folders, tmp_path):
    folder = tmp_path / original_folders["soma"].name
    shutil.copytree(original_folders["soma"], folder)
    with ox.open_session(folder) as here, ox.open_session(stored["soma"]) as there:
        picture = read_tree(folder).files["max_projection"]
        picture.write_bytes(picture.read_bytes() + b" ")
        memory.put(str(picture), f"{stored['soma']}/{picture.relative_to(folder).as_posix()}")
        for ds in (here, there):
            with pytest.raises(FormatError, match=r"Open the\s+session again"):
                ds.max_projection.load()


def test_a_folder_on_the_web_cannot_be_looked_into():
    with pytest.raises(SessionNotFoundError, match="on the web cannot be listed"):
        ox.open_session("https://example.invalid/prod/ophys_session_900000001")


@pytest.mark.slow
def test_a_session_in_s3_is_the_same(object_store, original_folders, open_files):
    before = open_files(Path(tempfile.gettempdir()))
    object_store.put(original_folders["soma"].parents[2], "original")
    how = {"storage_options": object_store.options}
    for plane, folder in original_folders.items():
        address = object_store.url(f"original/{in_store(folder)}")
        with ox.open_session(address, include="squares", **how) as ds:
            with pickle.loads(pickle.dumps(ds)) as sent:
                assert_same(sent, folder, include="squares")
            assert_same(ds, folder, include="squares")
        with ox.open_session(IDS[plane], datadir=object_store.url("original"), **how) as ds:
            assert_same(ds, folder)
    assert open_files(Path(tempfile.gettempdir())) == before, "what was fetched is let go"
    counts = ox.map_sessions(ox.n_tracked, object_store.url("original"), workers=1, **how)
    assert counts.sizes["session_id"] == 2
