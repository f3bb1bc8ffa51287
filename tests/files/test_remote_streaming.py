"""Sessions read over the network, from a real server on this machine that can be made to fail."""

import gc
import json
import pickle
import sys
import threading

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from archive_server import ArchiveServer
from oscaxr.errors import (
    CriterionError,
    DamagedExportError,
    FormatError,
    MissingLibraryError,
    RemoteError,
    SessionNotFoundError,
)
from oscaxr.files.sources import source_paths
from small_sessions import EACH_LAYOUT, small_spec

pytest.importorskip("fsspec")
pytest.importorskip("requests")

QUICK = {"retries": 2, "retry_wait": 0.01, "timeout": 1.0}
NAME = "sub-900001/sub-900001_ses-900000001_behavior+ophys.nwb"


@pytest.fixture(scope="module")
def server():
    server = ArchiveServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def urls(server, sample_paths):
    """URLs of the small sample session in each layout."""
    return {
        layout: server.add(f"{layout}/{path.name}", path, {})
        for layout, path in sample_paths.items()
    }


@pytest.fixture(autouse=True)
def in_order(server):
    """Each test finds a server that does as it should."""
    server.reset()


@pytest.fixture
def url(urls):
    return urls["gzip"]


@pytest.fixture
def open_url():
    opened = []

    def open_it(url, **options):
        options = {"storage_options": QUICK, **options}
        opened.append(ox.open_session(url, **options))
        return opened[-1]

    yield open_it
    for ds in opened:
        ds.close()


def reader_of(ds):
    """Return what the traces are read with, below xarray's wrappers."""
    data = ds.dff.variable._data
    while not hasattr(data, "reader"):
        data = data.array
    return data.reader


# -- the same as the local file -----------------------------------------------------------------
@pytest.mark.parametrize("layout", EACH_LAYOUT)
def test_identical_to_the_local_file(layout, server, urls, sample_paths, open_url):
    remote = open_url(urls[layout], storage_options={**QUICK, "block_size": 1000})
    with ox.open_session(sample_paths[layout]) as local:
        xr.testing.assert_identical(remote.load(), local.load())
        assert remote.encoding["source"] == urls[layout]


@pytest.mark.parametrize("layout", EACH_LAYOUT)
def test_sequences_and_table(layout, server, urls, sample_paths, open_url):
    remote = open_url(urls[layout])
    with ox.open_session(sample_paths[layout]) as local:
        windows = [
            ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.5, post=0.5)
            for ds in (remote, local)
        ]
        xr.testing.assert_identical(*(w.compute() for w in windows))
        assert remote.osca.segment_table().equals(local.osca.segment_table())


def test_engine(url, sample_path):
    with (
        xr.open_dataset(url, engine="oscaxr", storage_options=QUICK) as remote,
        ox.open_session(sample_path) as local,
    ):
        xr.testing.assert_identical(remote.load(), local.load())


@pytest.fixture(scope="module")
def opened(server, urls, sample_paths):
    """Each layout, opened locally and with blocks and caches of several sizes."""
    server.reset()
    sizes = ({"block_size": 1000, "cache_size": 20_000}, {"block_size": 20_000}, {})
    pairs = [
        (ox.open_session(urls[layout], storage_options=QUICK | size), ox.open_session(path))
        for number, (layout, path) in enumerate(sample_paths.items())
        for size in (sizes if layout == "gzip" else sizes[number % 3 : number % 3 + 1])
    ]
    yield pairs
    for remote, local in pairs:
        remote.close()
        local.close()


@pytest.mark.slow
@given(data=st.data())
def test_any_index_reads_what_the_local_file_has(data, server, opened):
    remote, local = data.draw(st.sampled_from(opened))
    n_time, n_roi = local.sizes["time"], local.sizes["roi"]
    rows = data.draw(
        st.one_of(
            st.lists(st.integers(0, n_time - 1), min_size=1, max_size=30),
            st.builds(slice, st.integers(0, n_time - 1), st.none(), st.integers(1, 700)),
        )
    )
    rois = data.draw(st.lists(st.integers(0, n_roi - 1), min_size=1, max_size=5))
    found = remote.dff.isel(time=rows, roi=rois).values
    np.testing.assert_array_equal(found, local.dff.values[rows][:, rois])


def test_redirects_are_followed_once_and_again_when_they_have_expired(server, sample_path):
    server.add(NAME, sample_path, {})
    server.reset()
    with ox.open_session(
        server.download_url(NAME), storage_options={**QUICK, "block_size": 5000}
    ) as ds:
        first = server.api_asked
        assert first == 1
        assert len(server.asked) > 2
        server.faults = ["expired"]
        ds.dff.isel(time=slice(100, 200)).to_numpy()
        assert server.api_asked == 2
        # Nothing of the signature is kept where it could be shown or saved.
        assert "secret" not in json.dumps([str(path) for path in source_paths(ds)])
        assert "secret" not in ds.encoding["source"]


# -- how much is fetched ------------------------------------------------------------------------
def test_parts_are_fetched_not_the_file(tmp_path):
    path = ox.sample.write_nwb(
        small_spec(n_rois=60, scale=0.03), tmp_path, layout="contiguous", dtype="float64"
    )
    server = ArchiveServer()
    try:
        url = server.add(NAME, path, {})
        with ox.open_session(url, storage_options={**QUICK, "block_size": 16_384}) as ds:
            traces = ds.dff.size * 8
            opening = server.sent
            assert opening < 0.25 * path.stat().st_size
            ds.osca.segment_table()
            assert server.sent == opening
            ds.dff.isel(time=slice(500, 600)).to_numpy()
            assert server.sent - opening < 100 * 60 * 8 + 3 * 16_384
            # Once more: all of it is in memory.
            before = server.sent
            ds.dff.isel(time=slice(500, 600)).to_numpy()
            assert server.sent == before
            # Several windows are a request each, and no more than needed.
            n_requests = len(server.asked)
            starts = np.arange(0, 5) * 700 + 1000
            rows = (starts[:, None] + np.arange(20)).ravel()
            ds.dff.isel(time=rows).to_numpy()
            assert len(server.asked) - n_requests <= 5
            assert server.sent < traces
    finally:
        server.close()


def test_what_is_kept_is_bounded(url, open_url):
    ds = open_url(url, storage_options={**QUICK, "block_size": 1000, "cache_size": 10_000})
    file = reader_of(ds).file
    ds.dff.load()
    with file.handle() as handle:
        cache = handle.ranges.cache
        assert 0 < len(cache._slots) * cache.blocksize <= 10_000


def test_what_was_fetched_is_kept_while_other_files_are_read(server, url, open_url, layout_path):
    ds = open_url(url)
    first = ds.dff.isel(time=slice(0, 100)).to_numpy()
    for _ in range(6):
        with ox.open_session(layout_path) as other:
            other.dff.isel(time=0).to_numpy()
    before = len(server.asked)
    np.testing.assert_array_equal(ds.dff.isel(time=slice(0, 100)).to_numpy(), first)
    assert len(server.asked) == before


# -- faults -------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["500", "503", "429", "drop", "cut", "short-length"])
def test_passing_faults_are_retried(fault, server, url, sample_path, open_url):
    server.faults = [fault, fault]
    ds = open_url(url)
    with ox.open_session(sample_path) as local:
        np.testing.assert_array_equal(ds.dff.values, local.dff.values)
    assert not server.faults


@pytest.mark.parametrize("fault", ["500", "drop", "cut"])
def test_lasting_faults_are_named(fault, server, url, open_url):
    server.always = fault
    with pytest.raises(RemoteError) as caught:
        open_url(url)
    assert url in str(caught.value)
    assert "3 tries" in str(caught.value)


def test_connection_lost_while_reading(server, url, open_url):
    ds = open_url(url, storage_options={**QUICK, "block_size": 1000})
    server.always = "drop"
    with pytest.raises(RemoteError, match="3 tries") as caught:
        ds.dff.load()
    assert url in str(caught.value)
    server.always = ""  # and back again
    assert np.isfinite(ds.dff.values).all()


def test_stalled_connection_is_given_up(server, url):
    server.always = "stall"
    # It would be no error if the rest were waited for, which comes after 1.5 s.
    with pytest.raises(RemoteError, match="tries"):
        ox.open_session(url, storage_options={"retries": 0, "timeout": 0.2})


def test_slow_connection_is_waited_for(server, url, open_url):
    server.always = "slow"
    assert open_url(url).sizes["roi"] == 7


def test_server_without_ranges(server, url, open_url, sample_path):
    server.always = "ignore-range"
    with pytest.raises(RemoteError, match=r"does not serve ranges.*oscaxr download") as caught:
        open_url(url)
    assert url in str(caught.value)
    assert len(server.asked) == 1
    assert "Traceback" not in str(caught.value)


def test_no_such_file(server, url, open_url):
    with pytest.raises(SessionNotFoundError, match="no file at"):
        open_url(url.replace("/blobs/", "/blobs/no"))
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:1"):
        open_url("http://127.0.0.1:1/a.nwb")


def test_not_hdf5(server, tmp_path, open_url):
    page = tmp_path / "page.nwb"
    page.write_text("<html>Sign in</html>" * 200)
    with pytest.raises(FormatError, match="not an HDF5 file") as caught:
        open_url(server.add("page.nwb", page, {}))
    assert "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("tells", ["etag", "changed"])
def test_file_replaced_on_the_server(server, url, open_url, tells):
    if tells == "changed":
        server.etag, server.changed = "", "Sat, 28 Nov 2026 12:00:00 GMT"
    ds = open_url(url, storage_options={**QUICK, "block_size": 1000})
    copy = pickle.dumps(ds)
    setattr(server, tells, "Sat, 28 Nov 2026 12:00:01 GMT")
    with pytest.raises(FormatError, match="replaced on the server"):
        ds.dff.load()
    # Also by who opens the file anew.
    with pytest.raises(FormatError, match="replaced on the server"):
        pickle.loads(copy).dff.load()


def test_library_that_is_not_installed(url, monkeypatch):
    monkeypatch.setitem(sys.modules, "oscaxr.files.ranges", None)
    with pytest.raises(MissingLibraryError, match=r"oscaxr\[stream\]"):
        ox.open_session(url)


# -- options ------------------------------------------------------------------------------------
def test_headers(server, url, open_url):
    server.needs = {"Authorization": "token word"}
    with pytest.raises(RemoteError, match=r"403.*storage_options"):
        open_url(url)
    headers = {"Authorization": "token word"}
    ds = open_url(url, storage_options={**QUICK, "headers": headers})
    source = ds.dff.variable._data
    assert "word" not in repr(source) + repr(ds.encoding)
    assert ds.sizes["roi"] == 7


def test_options_are_checked(url, sample_path):
    with pytest.raises(CriterionError, match=r"'blocksize'.*\n.*block_size|block_size"):
        ox.open_session(url, storage_options={"blocksize": 3})
    with pytest.raises(CriterionError, match="on this machine"):
        ox.open_session(sample_path, storage_options={"retries": 3})


# -- copies, threads, many ----------------------------------------------------------------------
def test_pickles_and_opens_its_own(server, url, open_url):
    ds = open_url(url)
    copy = pickle.loads(pickle.dumps(ds))
    ds.close()
    assert np.isfinite(copy.dff.values).all()
    copy.close()


@pytest.mark.parametrize(
    "scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_dask(url, open_url, sample_path, scheduler):
    ds = open_url(url, chunks={"time": 256})
    with ox.open_session(sample_path) as local:
        expected = local.dff.mean("time").values
    found = ds.dff.mean("time").compute(scheduler=scheduler)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_garbage_is_collected_while_reading(url, open_url):
    """Garbage with HDF5 objects, collected in any thread, must not wait for the reader."""
    ds = open_url(url, storage_options={**QUICK, "block_size": 500, "cache_size": 1000})
    stop = threading.Event()

    def litter():
        import h5py

        while not stop.is_set():
            cycle = [h5py.h5p.create(h5py.h5p.DATASET_CREATE)]
            cycle.append(cycle)
            del cycle
            gc.collect(0)

    thread = threading.Thread(target=litter, daemon=True)
    thread.start()
    try:
        done = threading.Thread(target=ds.dff.isel(time=slice(0, 300)).load, daemon=True)
        done.start()
        done.join(20)
        assert not done.is_alive()
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_open_sessions(server, url, sample_path, tmp_path):
    other = ox.sample.write_nwb(small_spec(session_id=900000002, session_number=2), tmp_path)
    second = server.add(f"sub-900001/{other.name}", other, {})
    with ox.open_sessions([url, second], storage_options=QUICK, progress=False) as tree:
        assert [node.path for node in tree.leaves] == [
            "/mouse_900001/session_900000001",
            "/mouse_900001/session_900000002",
        ]
        rates = ox.map_sessions(ox.n_tracked, tree, scheduler="synchronous", progress=False)
    assert rates.values.tolist() == [4, 4]
    again = ox.map_sessions(
        ox.n_tracked,
        [url, second],
        storage_options=QUICK,
        scheduler="threads",
        progress=False,
    )
    assert again.equals(rates)
    with (
        pytest.raises(RemoteError),
        ox.open_sessions(
            [url, "http://127.0.0.1:1/a.nwb"], storage_options={"retries": 0}, progress=False
        ),
    ):
        pass


def test_facts_of_the_table(url, open_url, spec):
    table = ox.sample.mouse.sample_session_table([spec])
    ds = open_url(url, table=table)
    assert (int(ds.mouse), int(ds.session)) == (1, 1)


def addresses_without_names(server, url):
    """The addresses of a file of the archive that do not say what it is called."""
    blob = next(blob for blob in server.blobs if f"/{blob.blob_id}/" in url)
    return server.download_url(blob.path), url.rpartition("/")[0]


@pytest.mark.parametrize("which", ["download", pytest.param("blob", marks=pytest.mark.slow)])
def test_addresses_without_names_have_the_facts_of_the_table(which, server, url, tmp_path, spec):
    address = addresses_without_names(server, url)[which == "blob"]
    table = ox.sample.mouse.sample_session_table([spec])
    written = tmp_path / "mouse_df.csv"
    table.to_csv(written, index=False)
    options = {"storage_options": QUICK}
    with ox.open_session(address, **options) as ds:
        assert int(ds.session_id) == 900000001
        assert int(ds.get("mouse", -1)) == -1
        plain = ds.run_velocity.values
    for form in (table, written):
        with ox.open_session(address, table=form, **options) as ds:
            assert (int(ds.mouse), int(ds.session)) == (1, 1)
            np.testing.assert_array_equal(ds.run_velocity, plain)
            (source,) = ds.encoding["remote_sources"]
            assert source.url == address
    with ox.open_sessions([address], table=table, progress=False, **options) as tree:
        (node,) = tree.leaves
        assert (node.path, int(node["mouse"])) == ("/mouse_1/session_1", 1)
    counts = ox.map_sessions(
        ox.n_tracked, [address], table=table, scheduler="synchronous", progress=False, **options
    )
    assert counts.values.tolist() == [4]
    other = ox.sample.mouse.sample_session_table([small_spec(session_id=900000002)])
    with pytest.raises(SessionNotFoundError, match=f"{address}.*900000001"):
        ox.open_session(address, table=other, **options)


def test_closing_closes(server, url):
    ds = ox.open_session(url, storage_options=QUICK)
    file = reader_of(ds).file
    with file.handle() as handle:
        ranges = handle.ranges
    ds.close()
    assert ranges.closed
    assert not handle


def test_provenance(server, url, open_url, tmp_path):
    ds = open_url(url)
    target = ox.save(ds, tmp_path / "s.zarr", variables=["run_velocity"])
    with ox.open_session(target) as again:
        (source,) = again.encoding["provenance"]["sources"]
    file = next(blob.file for blob in server.blobs if blob.path.startswith("gzip/"))
    assert source["url"] == url
    assert source["name"] == file.name
    assert source["etag"] == '"one"'
    assert source["bytes"] == file.stat().st_size
    # What is loaded still knows where it came from.
    assert [path.url for path in source_paths(ds.load())] == [url]


# -- exports -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def export(server, sample_paths, tmp_path_factory):
    """A netCDF export, and its URL."""
    with ox.open_session(sample_paths["gzip"]) as ds:
        path = ox.save(ds, tmp_path_factory.mktemp("exports") / "s.nc")
    return path, server.add("exports/s.nc", path, {})


def test_export_in_netcdf_is_identical(server, export, open_url):
    path, url = export
    server.reset()
    ds = open_url(url)
    with ox.open_session(path) as local:
        xr.testing.assert_identical(ds.isel(roi=[0, 2]).load(), local.isel(roi=[0, 2]).load())
        unexpected = local.osca.select(gabor_frame="U")
        xr.testing.assert_identical(
            *(one.osca.sequences("dff", unexpected, pre=0.2, post=0.2) for one in (ds, local))
        )
    again = pickle.loads(pickle.dumps(ds))
    np.testing.assert_array_equal(again.run_velocity, ds.run_velocity)
    assert ds.encoding["source"] == url
    assert [source.url for source in source_paths(ds)] == [url]
    with xr.open_dataset(url, engine="oscaxr", storage_options=QUICK) as same:
        xr.testing.assert_identical(same.run_velocity, ds.run_velocity)


def test_export_that_is_replaced_on_the_server(server, export, open_url):
    _, url = export
    server.reset()
    ds = open_url(url, storage_options={**QUICK, "block_size": 1000})
    server.etag = '"two"'
    with pytest.raises(FormatError, match="replaced on the server"):
        ds.dff.load()


def test_export_cut_short_on_the_server(server, export, tmp_path, open_url):
    short = tmp_path / "short.nc"
    short.write_bytes(export[0].read_bytes()[:-5000])
    with pytest.raises(DamagedExportError, match=r"short\.nc"):
        open_url(server.add("exports/short.nc", short, {}))
