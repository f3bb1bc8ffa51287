"""Samples in object stores: whole or not at all, and never over what is no sample, as here."""

import pytest

import oscaxr as ox
from object_store import SECRET
from oscaxr.errors import CriterionError, ExportError, OptionError, SessionNotFoundError
from oscaxr.files.folders import object_folder
from oscaxr.files.remote import place_of
from oscaxr.sample import SampleExistsError, SampleSpec, write_mouse, write_nwb, write_original
from oscaxr.sample.place import why_not_ours

fsspec = pytest.importorskip("fsspec")

ROOT = "memory://samples"
TINY = SampleSpec(scale=0.004, n_rois=2, n_tracked=1, field_shape=(48, 48))
MOUSE = {"scale": 0.004, "n_rois": (2, 2, 2), "n_tracked": 1}


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/samples"):
        store.rm("/samples", recursive=True)


@pytest.fixture
def put(memory, monkeypatch):
    """The names of the objects that are put, in order; a name in `put.lost` does not arrive."""

    class Names(list):
        lost = ""

    names, put_file = Names(), type(memory).put_file

    def noted(self, here, there, **kwargs):
        if names.lost and names.lost in there:
            raise OSError("the connection is lost")
        names.append(there.rpartition("/")[2])
        return put_file(self, here, there, **kwargs)

    monkeypatch.setattr(type(memory), "put_file", noted)
    return names


def found(memory):
    return memory.find("/samples")


def test_a_mouse_is_written_and_found_there(memory, put, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    table = write_mouse(ROOT, **MOUSE)
    assert not [*(tmp_path / "temporary").iterdir()]
    assert len(found(memory)) == len(put) == 4
    # Its table is the last: no reader looks for sessions that are not there.
    assert put[-1] == "mouse_df.csv"
    with ox.open_session(mouse=1, session=2, datadir=ROOT) as ds:
        assert int(ds.session_id) == table["session_id"].iloc[1]
        assert ds.sizes["roi"] == 2
    with pytest.raises(SampleExistsError) as caught:
        write_mouse(ROOT, **MOUSE)
    assert str(caught.value).count("\n  - memory://samples/") == 4


def test_what_is_no_sample_is_never_replaced(memory):
    address = write_nwb(TINY, ROOT)
    assert address == f"{ROOT}/sub-900001/sub-900001_ses-900000001_behavior+ophys.nwb"
    assert write_nwb(TINY, ROOT, overwrite=True) == address
    for content, says in ((b"mine", "no file that can be recognised"), (b"", "no file that can")):
        memory.pipe(address.removeprefix("memory:/"), content)
        with pytest.raises(SampleExistsError, match=says):
            write_nwb(TINY, ROOT, overwrite=True)
        assert memory.cat(found(memory)[0]) == content
    memory.pipe("/samples/mouse_df.csv", b"sessid\n1\n")
    with pytest.raises(SampleExistsError) as caught:
        write_mouse(ROOT, **MOUSE, overwrite=True)
    assert str(caught.value).count("\n  - ") == 2
    assert len(found(memory)) == 2


def test_of_a_folder_what_readers_need_is_the_last(memory, put):
    address = write_original(TINY, ROOT)
    assert address == ox.sample.original_path(TINY, ROOT)
    assert put[0].endswith("_sync.h5")
    assert put[-1].endswith("_stim.pkl")
    assert len(put) == len(set(put)) == len(found(memory))


@pytest.mark.parametrize("lost", ["_sync.h5", "_dff.h5", "_stim.pkl"])
def test_a_folder_that_did_not_arrive_is_known_and_can_be_written_again(
    memory, put, lost, tmp_path
):
    if lost == "_dff.h5":
        write_original(TINY, ROOT)
    put.lost = lost
    with pytest.raises(ExportError, match="is not complete, and is refused by readers"):
        write_original(TINY, ROOT, overwrite=True)
    assert not [one for one in found(memory) if one.endswith("_stim.pkl")]
    if lost == "_stim.pkl":
        folder = object_folder(place_of(ox.sample.original_path(TINY, ROOT)))
        copy = tmp_path / folder.remote.name
        folder.get(copy, folder.sizes())
        with pytest.raises(SessionNotFoundError, match=r"lacks 1 file(?s:.*)_stim\.pkl"):
            ox.open_session(copy)
    put.lost = ""
    assert not why_not_ours(place_of(write_original(TINY, ROOT, overwrite=True)))


def test_a_folder_that_holds_anything_else_is_not_replaced(memory):
    address = write_original(TINY, ROOT).removeprefix("memory:/")
    memory.pipe(f"{address}/notes.txt", b"mine")
    with pytest.raises(SampleExistsError, match=r"changed: notes\.txt"):
        write_original(TINY, ROOT, overwrite=True)


@pytest.mark.parametrize(
    ("folder", "options", "kind", "words"),
    [
        ("https://host/data", {}, CriterionError, "nothing can be written there"),
        ("here", {"anon": True}, OptionError, "storage_options= is for files on a server"),
    ],
)
def test_what_cannot_be_written_to(folder, options, kind, words):
    with pytest.raises(kind, match=words):
        write_nwb(TINY, folder, storage_options=options)


@pytest.mark.slow
def test_samples_in_s3(object_store):
    options = {"storage_options": object_store.options}
    url = object_store.url("samples")
    for overwrite in (False, True):
        write_mouse(url, **MOUSE, overwrite=overwrite, **options)
        write_original(TINY, url, overwrite=overwrite, **options)
    with pytest.raises(SampleExistsError, match="Already there") as caught:
        write_mouse(url, **MOUSE, **options)
    assert SECRET not in str(caught.value)
    with ox.open_session(mouse=1, session=3, datadir=url, **options) as ds:
        assert ds.sizes["roi"] == 2
    contents = [object_store.fs.cat(key) for key in object_store.keys("samples")]
    assert not any(SECRET.encode() in one for one in contents)
