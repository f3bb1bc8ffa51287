"""Sessions in object stores: from a server of S3's protocol on this machine, and from memory."""

import gc
import json
import pickle
import sys
import traceback

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from command_line import refused, told_json
from object_store import SECRET
from oscaxr.errors import (
    CriterionError,
    FormatError,
    MissingLibraryError,
    OptionError,
    PlaceError,
    RemoteError,
    SessionNotFoundError,
)
from oscaxr.files.sources import source_paths

pytest.importorskip("fsspec")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from oscaxr.files.object_ranges import ask
from oscaxr.files.remote import remote_file

NAME = "sub-900001_ses-900000001_behavior+ophys.nwb"


@pytest.fixture(scope="module")
def url(object_store, sample_path):
    return object_store.put(sample_path, f"data/{NAME}")


@pytest.fixture
def options(object_store):
    return {"storage_options": object_store.options}


@pytest.fixture
def memory(sample_path):
    """The address of the sample session in fsspec's memory."""
    store = fsspec.filesystem("memory")
    store.put(str(sample_path), f"/data/{NAME}")
    yield f"memory://data/{NAME}"
    store.rm("/data", recursive=True)


@pytest.fixture
def local(sample_path):
    with ox.open_session(sample_path) as ds:
        yield ds


# -- the same as the local file -------------------------------------------------------------------
def test_identical_to_the_local_file_in_s3(open_both, url, options, local):
    ds = open_both(url, storage_options={**options["storage_options"], "block_size": 10_000})
    windows = [
        one.osca.sequences("dff", one.osca.select(gabor_frame="U"), pre=0.5, post=0.5).isel(roi=[2])
        for one in (ds, local)
    ]
    xr.testing.assert_identical(*windows)
    xr.testing.assert_identical(ds.load(), local.load())
    assert ds.encoding["source"] == url


def test_identical_to_the_local_file_in_memory(open_both, memory, local):
    xr.testing.assert_identical(open_both(memory).load(), local.load())


@pytest.mark.parametrize("write", [lambda p: p.as_uri(), lambda p: f"FILE://localhost{p}", str])
def test_a_file_address_is_the_path(open_both, sample_path, local, write):
    ds = open_both(write(sample_path))
    xr.testing.assert_identical(ds.load(), local.load())
    assert ds.encoding["source"] == local.encoding["source"]


def test_a_file_address_stands_wherever_a_path_does(sample_path, tmp_path):
    folder = tmp_path / "a b"
    with ox.open_session(sample_path) as ds:
        saved = ox.save(ds, f"{folder.as_uri()}/s.zarr", variables=["dff"])
    assert saved == folder / "s.zarr"
    ox.open_exported(saved.as_uri()).close()
    assert len(ox.find_sessions(sample_path.parent.as_uri())) == 1
    with pytest.raises(PlaceError, match="is on host"):
        ox.find_sessions("file://host/data")
    with pytest.raises(OptionError, match="storage_options= is for files on a server"):
        ox.open_session(sample_path.as_uri(), storage_options={"key": "x"})


def test_many_sessions_and_other_processes(url, memory, options):
    with ox.open_sessions([url], **options) as tree:
        (node,) = tree.leaves
        assert node.dff.shape[1] == 7
        assert node["session_id"] == 900000001
    again = pickle.loads(pickle.dumps(ox.open_session(url, **options)))
    assert np.isfinite(again.dff[:5].values).all()
    assert ox.map_sessions(len, [url], scheduler="synchronous", progress=False, **options)


def test_only_what_is_read_is_fetched(url, options):
    small = {**options["storage_options"], "block_size": 4096}
    with ox.open_session(url, storage_options=small) as ds:
        (source,) = source_paths(ds)
        file = ds.dff.variable._data
        while not hasattr(file, "reader"):
            file = file.array
        with file.reader.file.handle() as handle:
            ranges = handle.ranges.ranges
        assert 0 < ranges.n_bytes < source.size / 2
        before = ranges.n_bytes
        ds.dff.isel(time=slice(0, 2)).load()
        assert before < ranges.n_bytes < source.size


# -- what goes wrong ------------------------------------------------------------------------------
def test_replaced_in_the_store(object_store, options, sample_path, memory, tmp_path):
    other = tmp_path / "other.nwb"
    other.write_bytes(sample_path.read_bytes()[:-1] + b"?")
    own = object_store.put(sample_path, f"changing/{NAME}")
    in_memory = fsspec.filesystem("memory")
    small = {"block_size": 4096}
    for address, given, put in [
        (
            own,
            {**options["storage_options"], **small},
            lambda: object_store.put(other, f"changing/{NAME}"),
        ),
        (memory, small, lambda: in_memory.put(str(other), f"/data/{NAME}")),
    ]:
        with ox.open_session(address, storage_options=given) as ds:
            put()
            with pytest.raises(FormatError, match="replaced in the store"):
                ds.dff.load()


def test_what_is_not_there(object_store, options):
    object_store.fs.pipe("bucket/empty.nwb", b"")
    for key, kind, words in [
        ("data/none.nwb", SessionNotFoundError, "there is no file at s3://bucket/data/none.nwb"),
        ("data", SessionNotFoundError, "folder in the store"),
        ("empty.nwb", FormatError, "is empty"),
    ]:
        with pytest.raises(kind, match=words):
            ox.open_session(object_store.url(key), **options)
    with pytest.raises(SessionNotFoundError, match=r"there is no file at memory://a/b\.nwb"):
        ox.open_session("memory://a/b.nwb")
    with pytest.raises(SessionNotFoundError, match="should be s3://bucket/path"):
        ox.open_session("s3://")


def test_no_message_shows_what_options_hold(url, options):
    nobody = {**options["storage_options"], "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    nobody["config_kwargs"] = {"retries": {"max_attempts": 0}}
    with pytest.raises(RemoteError, match="could not read") as caught:
        ox.open_session(url, storage_options=nobody)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(CriterionError, match="block_size: bytes"):
        ox.open_session(url, storage_options={"block_size": SECRET})
    remote = remote_file(url, {"client_kwargs": {"secret": SECRET}})
    assert SECRET not in repr(remote)

    def refuse():
        raise PermissionError(f"signed with {SECRET}")

    with pytest.raises(RemoteError, match=r"needs a login.*'anon': True") as caught:
        ask(remote, refuse)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(RemoteError, match=r"be written.*needs a login.*target_options=\{"):
        ask(remote, refuse, doing="write")


def test_secrets_are_not_in_exports(url, options, tmp_path):
    with ox.open_session(url, **options) as ds:
        path = ox.save(ds, tmp_path / "s.zarr", variables=["run_velocity"])
        assert SECRET not in repr(ds) + str(ds.encoding)
    (source,) = ox.open_exported(path).encoding["provenance"]["sources"]
    assert (source["name"], source["url"]) == (NAME, url)
    assert source["etag"].startswith('"')
    assert not any(SECRET.encode() in one.read_bytes() for one in path.rglob("*") if one.is_file())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingLibraryError, match=r"oscaxr\[gcs\]"):
        ox.open_session("gs://bucket/a.nwb")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.delitem(sys.modules, "oscaxr.files.ranges")
    monkeypatch.delitem(sys.modules, "oscaxr.files.object_ranges")
    with pytest.raises(MissingLibraryError, match=r"oscaxr\[s3\]"):
        ox.open_session("s3://bucket/a.nwb")


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_google_is_asked_by_its_own_file_system(monkeypatch, sample_path, local, scheme):
    """There is no server of its kind here: what is asked of the file system is what can be said."""
    given = []

    class Google(MemoryFileSystem):
        cachable, store, pseudo_dirs = False, {}, [""]

        def __init__(self, **options):
            given.append(options)
            super().__init__()

        @classmethod
        def _strip_protocol(cls, path):
            return MemoryFileSystem._strip_protocol(path.replace(f"{scheme}://", "memory://"))

    monkeypatch.setitem(_registry, scheme, Google)
    Google().pipe("/bucket/data/" + NAME, sample_path.read_bytes())
    url, options = f"{scheme}://bucket/data", {"token": "anon", "project": "lab"}
    with ox.open_session(f"{url}/{NAME}", storage_options=options | {"block_size": 9999}) as ds:
        xr.testing.assert_identical(ds.load(), local)
    assert given[-1] == {"use_listings_cache": False, **options}
    found = ox.find_sessions(url, storage_options=options)
    assert found["path"].tolist() == [f"{url}/{NAME}"]


def test_other_schemes_are_refused():
    for place in ("ftp://host/a.nwb", "simplecache::s3://bucket/a.nwb", "reference://a.nwb"):
        with pytest.raises((CriterionError, PlaceError)):
            ox.open_session(place)


def test_no_garbage_is_collected_while_a_store_is_asked():
    """Or the thread that asks might wait for a lock that the thread that waits for it has."""
    remote = remote_file("memory://a/b", {})
    assert ask(remote, lambda: (ask(remote, gc.isenabled), gc.isenabled())) == (False, False)
    assert gc.isenabled()


def test_the_command_line_takes_addresses_and_how_stores_are_reached(object_store, url, memory):
    words = [
        f"--storage-option={name}={one if isinstance(one, str) else json.dumps(one)}"
        for name, one in object_store.options.items()
    ]
    facts = [told_json("info", one, *more)["facts"] for one, more in [(url, words), (memory, [])]]
    assert facts[0]["session_id"] == facts[1]["session_id"] == 900000001
    assert "NAME=VALUE" in refused("info", url, "--storage-option", "anon", code=2)
