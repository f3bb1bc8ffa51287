"""Exports written into object stores: complete when their digest is there, and not before."""

import json
from functools import partial

import pytest
import xarray as xr

import oscaxr as ox
from object_store import SECRET
from oscaxr.errors import (
    CriterionError,
    DamagedExportError,
    ExportError,
    MissingLibraryError,
    TargetExistsError,
    UnsafeTargetError,
)
from oscaxr.store.zarr_files import DIGEST, DOCUMENT

pytest.importorskip("fsspec")

import fsspec

URL = "memory://box/s.zarr"


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/box"):
        store.rm("/box", recursive=True)


@pytest.fixture
def few(few_session):
    """A session of few files."""
    return few_session[["run_velocity", "pupil_diameter"]]


def names(memory, below="/box/s.zarr"):
    return {one.removeprefix(f"{below}/") for one in memory.find(below)}


def opened(url=URL, **options):
    with ox.open_exported(url, **options) as ds:
        return ds.load()


def test_what_is_saved_comes_back_identical(memory, few, few_session, tmp_path):
    assert ox.save(few, URL) == URL
    xr.testing.assert_identical(opened(), few)
    path = ox.save(few, tmp_path / "s.zarr")
    here = {one.relative_to(path).as_posix(): one for one in path.rglob("*") if one.is_file()}
    assert names(memory) == here.keys()
    stored = {key: memory.cat(f"/box/s.zarr/{key}") for key in here}
    # (Older releases of zarr gather documents in no order.)
    chunks = [key for key in here if not key.endswith(".json")]
    assert [key for key in chunks if here[key].read_bytes() != stored[key]] == []
    u = few_session.osca.sequences("dff", [3, 4], pre=0.1, post=0.1)
    ox.save(u, "memory://box/u.zarr")
    xr.testing.assert_identical(opened("memory://box/u.zarr"), u.load())


@pytest.mark.slow
def test_saved_in_s3(object_store, few):
    url, options = object_store.url("written/s.zarr"), object_store.options
    for values in (few, few.isel(time=slice(300))):
        ox.save(values, url, storage_options=options, overwrite=True)
        xr.testing.assert_identical(opened(url, storage_options=options), values)
    with pytest.raises(TargetExistsError, match="overwrite=True"):
        ox.save(few, url, storage_options=options)
    with ox.open_exported(url, storage_options=options) as ds:
        with pytest.raises(UnsafeTargetError, match="still read from"):
            ox.save(ds, url, storage_options=options, overwrite=True)
        assert SECRET not in repr(ds) + str(ds.encoding)
    contents = [object_store.fs.cat(key) for key in object_store.keys("written")]
    assert not any(SECRET.encode() in one for one in contents)


def test_replacing_removes_what_the_new_one_lacks(memory, few):
    ox.save(few, URL)
    before = names(memory)
    with pytest.raises(TargetExistsError):
        ox.save(few[["run_velocity"]], URL)
    assert names(memory) == before
    ox.save(few[["run_velocity"]], URL, overwrite=True)
    assert not [one for one in names(memory) if one.startswith("pupil")]
    xr.testing.assert_identical(opened(), few[["run_velocity"]])


class Interrupted(OSError):
    """The connection is lost."""


@pytest.mark.parametrize(
    "n_calls",
    [pytest.param(one, marks=[pytest.mark.slow] * (one not in (0, 3))) for one in range(6)],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_an_interrupted_upload_is_incomplete_and_can_be_replaced(
    memory, few, monkeypatch, n_calls, is_new
):
    if not is_new:
        ox.save(few[["pupil_diameter"]].isel(time=[0, 2]), URL)
    store = type(memory)
    left = [n_calls]

    def failing(function, *args, **kwargs):
        if not left[0]:
            raise Interrupted("lost")
        left[0] -= 1
        return function(*args, **kwargs)

    with monkeypatch.context() as patch:
        for name in ("put_file", "rm_file"):
            patch.setattr(store, name, partial(failing, getattr(memory, name)))
        with pytest.raises(ExportError, match="is not complete, and is refused by readers"):
            ox.save(few, URL, overwrite=not is_new)
    if n_calls and is_new:
        with pytest.raises(DamagedExportError, match="no digest"):
            opened()
    ox.save(few, URL, overwrite=True)
    xr.testing.assert_identical(opened(), few)


def test_its_digest_is_the_last_and_its_document_the_first(memory, few, monkeypatch):
    order = []
    put_file = type(memory).put_file

    def noted(self, here, there, **kwargs):
        order.append(there.rpartition("s.zarr/")[2])
        return put_file(self, here, there, **kwargs)

    monkeypatch.setattr(type(memory), "put_file", noted)
    ox.save(few, URL)
    assert (order[0], order[-1]) == (DOCUMENT, DIGEST)
    assert len(order) == len(set(order)) == len(names(memory))


def test_only_exports_are_replaced(memory, few):
    memory.pipe("/box/s.zarr/thesis.txt", b"years of work")
    with pytest.raises(UnsafeTargetError, match="is no export"):
        ox.save(few, URL, overwrite=True)
    assert names(memory) == {"thesis.txt"}
    memory.rm("/box", recursive=True)
    ox.save(few, URL)
    memory.pipe("/box/s.zarr/thesis.txt", b"years of work")
    with pytest.raises(UnsafeTargetError, match=r"parts that are of no export: thesis\.txt"):
        ox.save(few, URL, overwrite=True)
    assert memory.cat("/box/s.zarr/thesis.txt") == b"years of work"
    opened()


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("memory://box/s.nc", ExportError, "netCDF is one HDF5 file.*Save to .zarr there"),
        ("memory://box/s.zarr.zip", ExportError, "a packed store is one file"),
        ("memory://box/s.txt", ExportError, "cannot tell the format"),
        ("https://host/s.zarr", CriterionError, "nothing can be written there"),
        ("ftp://host/s.zarr", ExportError, "cannot save to"),
    ],
)
def test_what_cannot_be_written(memory, few, url, kind, words):
    with pytest.raises(kind, match=words):
        ox.save(few, url)
    assert not memory.find("/box")


def test_a_missing_package_is_named(few, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingLibraryError, match=r"oscaxr\[gcs\]"):
        ox.save(few, "gs://bucket/s.zarr")


def test_nothing_is_left_here(memory, few, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ox.save(few, URL)
    ox.save(few, URL, overwrite=True)
    assert not [*tmp_path.iterdir()]


# -- many -----------------------------------------------------------------------------------------
def test_convert_goes_on_where_it_stopped(memory, sample_path):
    folder = "memory://box/exports"
    convert = partial(ox.convert, sample_path, folder, workers=1, progress=False)
    (first,) = convert()
    (again,) = convert(verify=True)
    assert (first.status, again.status) == ("written", "verified")
    assert first.target == "memory://box/exports/sub-900001_ses-900000001.zarr"
    assert first.bytes == again.bytes == sum(map(memory.size, memory.find("/box")))
    with ox.open_session(first.target) as ds, ox.open_session(sample_path) as local:
        xr.testing.assert_identical(ds.load(), local.load())
    memory.rm(f"/{first.target.partition('//')[2]}/{DIGEST}")
    with pytest.raises(ox.OscaxrError, match="cannot be read as a complete export"):
        convert()
    (mended,) = convert(overwrite=True)
    assert mended.status == "replaced"
    with pytest.raises(CriterionError, match=r"into an object store .* only zarr"):
        convert(format="nc")


def test_sessions_at_addresses_are_converted(memory, sample_path, tmp_path):
    urls = [f"memory://box/{name}.nwb" for name in ("other", "none")]
    memory.put(str(sample_path), "/box/other.nwb")
    with pytest.warns(ox.errors.FailedSessionsWarning, match="there is no file at"):
        one, none = ox.convert(urls, tmp_path, workers=1, progress=False, errors="collect")
    assert (one.session, one.status) == ("sub-900001_ses-900000001", "written")
    assert (none.session, none.status) == ("none", "failed")
    with ox.open_session(one.target) as ds, ox.open_session(sample_path) as local:
        xr.testing.assert_equal(ds.load(), local.load())
    (again,) = ox.convert(urls[0], tmp_path, workers=1, progress=False)
    assert again.status == "verified"


@pytest.fixture(params=["processes", "cluster"])
def scheduler(request, tmp_path):
    if request.param == "processes":
        yield "processes"
        return
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path / "cluster"), silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_that_share_no_disk_save_to_the_store(
    scheduler, object_store, sample_path, tmp_path
):
    """Other processes, and a cluster's, read from the store, and write to it."""
    options = object_store.options
    url = object_store.put(sample_path, f"{tmp_path.name}/{sample_path.name}")
    (done,) = ox.map_sessions(
        partial(_saved_in, object_store.url(tmp_path.name), options),
        [url],
        scheduler=scheduler,
        workers=1 if scheduler == "processes" else None,
        progress=False,
        storage_options=options,
    ).leaves
    written = object_store.url(f"{tmp_path.name}/u.zarr")
    with ox.open_exported(written, storage_options=options) as u:
        assert u.sizes["sequence"] == int(done["result"])


def _saved_in(folder, options, ds):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.2, post=0.2)
    ox.save(u, f"{folder}/u.zarr", storage_options=options)
    return xr.DataArray(u.sizes["sequence"])


@pytest.mark.slow
def test_the_command_line_converts_into_a_store(object_store, sample_path):
    from command_line import told_json

    words = [f"--target-option={k}={json.dumps(v)}" for k, v in object_store.options.items()]
    done = told_json("convert", sample_path, object_store.url("line"), *words)
    assert (done["written"], done["failed"]) == (1, 0)
    assert object_store.keys(f"line/sub-900001_ses-900000001.zarr/{DIGEST}")
