"""Zarr exports read from servers: the same as from a folder, with the same checks."""

import json
import pickle
import shutil

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from folder_server import FolderServer
from oscaxr.errors import (
    DamagedExportError,
    ExportError,
    SessionNotFoundError,
    UncheckedExportWarning,
)
from oscaxr.files.remote import RemoteSource
from oscaxr.files.sources import source_paths
from oscaxr.store.zarr_files import DIGEST

pytest.importorskip("fsspec")
pytest.importorskip("requests")

import fsspec

# Many chunks, so that they are in shards; and one file a chunk.
CHUNKS = {"dff": {"time": 80, "roi": 2}, "run_velocity": {"stim_time": 1000}}
SMALL = {"block_size": 1000}


@pytest.fixture(scope="module")
def exported(few_session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    ox.save(few_session, folder / "s.zarr", chunks=CHUNKS)
    ox.save(few_session.osca.sequences("dff", [3, 4, 5], pre=0.2, post=0.2), folder / "u.zarr")
    assert any("codecs" in one.read_text() for one in folder.rglob("dff/zarr.json"))
    return folder


@pytest.fixture
def memory(exported):
    """A copy in fsspec's memory, which a test may change."""
    store = fsspec.filesystem("memory")
    store.put(str(exported / "s.zarr"), "/x/s.zarr", recursive=True)
    yield store
    store.rm("/x", recursive=True)


@pytest.fixture(scope="module")
def server(exported):
    server = FolderServer(exported)
    yield server
    server.close()


@pytest.fixture(params=[pytest.param("http", marks=pytest.mark.slow), "memory"])
def place(request, exported):
    """An address of the exports, and the options that it takes."""
    if request.param == "http":
        return request.getfixturevalue("server").url, SMALL
    request.getfixturevalue("memory")
    fsspec.filesystem("memory").put(str(exported / "u.zarr"), "/x/u.zarr", recursive=True)
    return "memory://x", SMALL


def test_identical_to_what_was_saved(place, few_session, exported):
    url, options = place
    given = {"storage_options": options}
    for opened in (
        ox.open_session(f"{url}/s.zarr", **given),
        xr.open_dataset(f"{url}/s.zarr", engine="oscaxr", **given),
        ox.open_exported(f"{url}/s.zarr", **given, chunks={}),
    ):
        with opened as ds:
            some = {"time": slice(30, 90), "roi": [5, 1]}
            xr.testing.assert_identical(ds.dff.isel(some).load(), few_session.dff.isel(some))
            xr.testing.assert_identical(ds.load(), few_session)
    (source,) = source_paths(ds)
    identity = json.loads((exported / "s.zarr" / DIGEST).read_text())["identity"]
    assert source == RemoteSource(f"{url}/s.zarr", -1, identity)
    with (
        ox.open_exported(f"{url}/u.zarr", **given) as u,
        ox.open_exported(exported / "u.zarr") as local,
    ):
        xr.testing.assert_identical(u.load(), local.load())


def test_identical_to_what_was_saved_in_s3(object_store, few_session, tmp_path):
    few = few_session[["dff", "run_velocity", "tracking_id"]]
    url = object_store.put(ox.save(few, tmp_path / "s.zarr"), "read.zarr")
    with ox.open_exported(url, storage_options=object_store.options) as ds:
        xr.testing.assert_identical(ds.load(), few)


def test_other_processes_read_it(memory):
    ds = pickle.loads(pickle.dumps(ox.open_session("memory://x/s.zarr")))
    assert np.isfinite(ds.dff[:5].values).all()


def test_only_what_is_read_is_fetched(server, few_session):
    server.asked.clear()
    with ox.open_session(f"{server.url}/s.zarr?token=word", storage_options=SMALL) as ds:
        assert not [one for one in server.asked if "/dff/c/" in one]
        before = len(server.asked)
        ds.dff[:5, :2].load()
        of_one = len(server.asked) - before
        ds.dff[:5, :2].load()
        assert len(server.asked) == before + of_one
        ds.dff.load()
        assert len(server.asked) > before + of_one
    assert all(one.endswith("?token=word") for one in server.asked)


def test_provenance_names_the_address_and_the_identity(memory, tmp_path):
    with ox.open_session("memory://x/s.zarr") as ds:
        path = ox.save(ds, tmp_path / "again.zarr", variables=["run_velocity"])
    with ox.open_exported(path) as again:
        (read,) = again.encoding["provenance"]["exported_from"]
    assert (read["name"], read["url"]) == ("s.zarr", "memory://x/s.zarr")
    assert len(read["etag"]) == 64


# -- damage ---------------------------------------------------------------------------------------
def chunk_of(memory, name="dff"):
    return next(key for key in sorted(memory.find("/x/s.zarr")) if f"/{name}/c/" in key)


def test_without_its_digest_it_is_not_complete(memory):
    memory.rm(f"/x/s.zarr/{DIGEST}")
    with pytest.raises(DamagedExportError, match="no digest: it was copied in part"):
        ox.open_session("memory://x/s.zarr")


@pytest.mark.parametrize("name", ["dff", "run_velocity"])
def test_chunks_that_are_missing_or_changed(memory, name):
    key = chunk_of(memory, name)
    content = memory.cat(key)
    changed = bytearray(content)
    changed[len(changed) // 3] ^= 1
    for damage in (lambda: memory.rm(key), lambda: memory.pipe(key, bytes(changed))):
        damage()
        with (
            ox.open_session("memory://x/s.zarr") as ds,
            pytest.raises(DamagedExportError, match=f"of {name} "),
        ):
            ds[name].load()
    memory.pipe(key, content)
    with ox.open_session("memory://x/s.zarr") as ds:
        ds[name].load()


def test_another_export_in_its_place_is_noticed(memory, few_session, tmp_path):
    other = ox.save(few_session.assign(dff=few_session.dff + 1), tmp_path / "s.zarr", chunks=CHUNKS)
    with ox.open_session("memory://x/s.zarr") as ds:
        memory.put(f"{other}/", "/x/s.zarr/", recursive=True)
        with pytest.raises(DamagedExportError, match="not the one that was written"):
            ds.dff.load()


def test_metadata_are_checked_before_anything_is_decoded(memory):
    document = json.loads(memory.cat("/x/s.zarr/zarr.json"))
    node = document["consolidated_metadata"]["metadata"]["run_velocity"]
    node["codecs"] = [{"name": "pickle"}]
    memory.pipe("/x/s.zarr/zarr.json", json.dumps(document).encode())
    with pytest.raises(DamagedExportError, match=r"metadata of run_velocity are refused.*pickle"):
        ox.open_session("memory://x/s.zarr")
    del document["consolidated_metadata"]
    memory.pipe("/x/s.zarr/zarr.json", json.dumps(document).encode())
    with pytest.raises(DamagedExportError, match="not gathered"):
        ox.open_session("memory://x/s.zarr")


def test_what_plain_xarray_wrote_opens_with_a_note(memory_session, tmp_path):
    memory_session.to_zarr(tmp_path / "plain.zarr", zarr_format=3)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "plain.zarr"), "/plain.zarr", recursive=True)
    with (
        pytest.warns(UncheckedExportWarning, match="carries no checks"),
        ox.open_session("memory://plain.zarr", storage_options=SMALL) as ds,
    ):
        np.testing.assert_array_equal(ds.dff.values, memory_session.dff.values)
    store.rm("/plain.zarr", recursive=True)


def test_what_is_not_there_and_what_is_packed(server, exported):
    with pytest.raises(SessionNotFoundError, match="no export at"):
        ox.open_session(f"{server.url}/none.zarr")
    with pytest.raises(ExportError, match="packed store, which is not read over a network"):
        ox.open_session(f"{server.url}/s.zarr.zip")


def test_a_closed_export_reads_again_and_leaves_nothing(memory, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ds = ox.open_session("memory://x/s.zarr")
    first = ds.dff[:5].values
    assert [*tmp_path.iterdir()]
    ds.close()
    assert not [*tmp_path.iterdir()]
    np.testing.assert_array_equal(ds.dff[:5].values, first)
    ds.close()
    shutil.rmtree(tmp_path)
