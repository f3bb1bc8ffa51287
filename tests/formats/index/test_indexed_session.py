"""Sessions opened by an index: the same as from their files, and only while these are the same."""

import os
import pickle
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from archive_server import ArchiveServer
from indexes import NOT_INDEXED, changed_index, indexed_part
from oscaxr.errors import (
    FormatError,
    MissingVariableError,
    OptionError,
    SessionMismatchError,
    UnsafeLinkError,
)
from oscaxr.files.sources import source_paths
from oscaxr.formats.index import refer
from oscaxr.formats.index.document import Index
from small_sessions import small_spec

pytest.importorskip("fsspec")
pytest.importorskip("requests")


@pytest.fixture(scope="module")
def server():
    server = ArchiveServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def files(sample_paths, tmp_path_factory):
    """Sessions as somata are stored, compressed, and as dendrites are."""
    dendrites = small_spec(plane="dend", n_rois=30)
    return {
        "contiguous": sample_paths["contiguous"],
        "gzip": sample_paths["gzip"],
        "chunked": sample_paths["chunked"],
        "dendritic": ox.sample.write_nwb(dendrites, tmp_path_factory.mktemp("dendritic")),
    }


@pytest.fixture
def moved(sample_path, tmp_path):
    """A session and its index, in a folder of their own."""
    path = tmp_path / "data" / sample_path.name
    path.parent.mkdir()
    shutil.copy2(sample_path, path)
    return path, ox.write_index(path, path.with_name("sessions.json"))


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        pytest.param(layout, place, marks=[pytest.mark.slow] * (layout in ("gzip", "chunked")))
        for layout in ("contiguous", "gzip", "chunked", "dendritic")
        for place in ("here", "server")
    ],
)
def test_identical_to_the_file(layout, place, files, server, tmp_path, monkeypatch):
    monkeypatch.setattr(refer, "CHUNK_BYTES", 20_000)
    path = files[layout]
    asked, sources = path, path.parents[1]
    if place == "server":
        asked = server.add(f"{layout}/{path.name}", path, {})
        sources = server.url
    index = ox.write_index([asked], tmp_path / "sessions.json")
    with ox.open_session(path) as ds, ox.open_session(index, sources=sources) as found:
        assert set(ds.variables) - set(found.variables) == NOT_INDEXED
        xr.testing.assert_identical(found.load(), indexed_part(ds).load())
        assert list(found.variables) == [name for name in ds.variables if name not in NOT_INDEXED]


def test_files_in_object_stores(sample_path, tmp_path):
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.pipe("/bucket/a/x.nwb", sample_path.read_bytes())
    index = ox.write_index(["memory://bucket/a/x.nwb"], tmp_path / "sessions.json")
    with pytest.raises(UnsafeLinkError, match="sources='memory://bucket/a'"):
        ox.open_session(index)
    with (
        ox.open_session(index, sources="memory://bucket") as found,
        ox.open_session(sample_path) as ds,
    ):
        np.testing.assert_array_equal(found.dff.values, ds.dff.values)
    store.pipe("/bucket/a/x.nwb", sample_path.read_bytes())
    with pytest.raises(FormatError, match="written to, or replaced"):
        ox.open_session(index, sources="memory://bucket")
    store.rm("/bucket", recursive=True)


def test_everything_works_as_with_the_file(moved):
    path, index = moved
    with ox.open_session(path) as ds, ox.open_session(index) as found:
        windows = [
            one.osca.sequences(
                "dff", one.osca.select(gabor_frame="U"), pre=0.5, post=0.5, scale=True
            )
            for one in (ds, found)
        ]
        xr.testing.assert_identical(
            *(w.compute().drop_vars(NOT_INDEXED, errors="ignore") for w in windows)
        )
        assert found.osca.segment_table().equals(ds.osca.segment_table())
        rows = np.array([30, 2, 2, 900])
        again = pickle.loads(pickle.dumps(found))
        np.testing.assert_array_equal(
            again.dff[rows, [3, 0]].values, ds.dff.values[rows][:, [3, 0]]
        )
        assert path in source_paths(found)
    with xr.open_dataset(index, engine="oscaxr", chunks={}) as lazy, ox.open_session(path) as ds:
        assert lazy.dff.chunks is not None
        np.testing.assert_array_equal(lazy.dff.values, ds.dff.values)


def test_opening_takes_few_requests(files, server, tmp_path):
    url = server.add("few.nwb", files["contiguous"], {})
    index = ox.write_index([url], tmp_path / "sessions.json")
    at_server = server.add("sessions.json", index, {})
    storage = {"block_size": 4096}
    server.reset()
    with ox.open_session(url, storage_options=storage):
        by_file = len(server.asked), server.sent
    for where, most in ((index, 3), (at_server, 8)):
        server.reset()
        options = {"sources": server.url, "storage_options": storage}
        with ox.open_session(where, **options) as ds:
            # The first bytes, and both clocks.
            assert len(server.asked) <= most < by_file[0]
            assert np.isfinite(ds.run_velocity).sum() > 0


def test_a_row_of_the_table_is_added(moved):
    with pytest.raises(SessionMismatchError, match="mouse_id"):
        ox.open_session(
            moved[1], table=ox.session_table(_row(session_id=900000001, mouse_id=900002))
        )
    row = _row(session_id=900000001, mouse_id=900001, depth=175)
    with ox.open_session(moved[1], table=ox.session_table(row)) as ds:
        assert int(ds.depth) == 175


def _row(**facts):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame([{"mouse": 1, "session": 1, "plane": "soma", **facts}])


# -- which files ----------------------------------------------------------------------------------
def test_only_allowed_files_are_read(moved, tmp_path):
    path, index = moved
    elsewhere = shutil.copy(index, tmp_path / "sessions.json")
    ox.open_session(elsewhere).close()  # below its own folder
    (tmp_path / "other").mkdir()
    elsewhere = shutil.move(elsewhere, tmp_path / "other")
    with pytest.raises(UnsafeLinkError, match=r"does not lie below .*sources='file://"):
        ox.open_session(elsewhere)
    with pytest.raises(UnsafeLinkError, match="does not lie below"):
        # Not what only begins alike.
        ox.open_session(elsewhere, sources=[tmp_path / "dat", "https://example.org/"])
    for sources in (path.parent, str(path), [tmp_path / "dat", f"file://{path.parent}"]):
        ox.open_session(elsewhere, sources=sources).close()
    with pytest.raises(OptionError, match="sources"):
        ox.open_session(path, sources=path.parent)


def test_links_out_of_the_allowed_folder_are_not_followed(moved, tmp_path):
    path, index = moved
    path.rename(tmp_path / "secret.nwb")
    path.symlink_to(tmp_path / "secret.nwb")
    with pytest.raises(UnsafeLinkError, match="does not lie below"):
        ox.open_session(index)
    ox.open_session(index, sources=tmp_path).close()


def test_a_server_is_no_way_to_files_here(moved, server):
    address = server.add("stolen.json", moved[1], {})
    server.reset()
    with pytest.raises(UnsafeLinkError, match="file://"):
        ox.open_session(address)
    assert {path.rpartition("/")[2] for path, _, _ in server.asked} == {"sessions.json"}


# -- whether they are the same --------------------------------------------------------------------
def test_changed_files_are_refused_before_they_are_read(moved):
    path, index = moved
    with ox.open_session(index) as ds:
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        with pytest.raises(FormatError, match="was written to since"):
            ds.dff.load()
    with pytest.raises(FormatError, match=r"written to, or replaced.*\n.*Write the index again"):
        ox.open_session(index)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FormatError, match=r"bytes, and had"):
        ox.open_session(index)
    path.unlink()
    with pytest.raises(FormatError, match="cannot be reached"):
        ox.open_session(index)


def test_files_replaced_on_the_server_are_refused(files, server, tmp_path):
    url = server.add("replaced.nwb", files["gzip"], {})
    server.reset()
    index = ox.write_index([url], tmp_path / "sessions.json")
    server.etag = '"two"'
    with pytest.raises(FormatError, match="written to, or replaced"):
        ox.open_session(index, sources=server.url)
    server.reset()
    with ox.open_session(index, sources=server.url, storage_options={"block_size": 1000}) as ds:
        server.etag = '"two"'
        with pytest.raises(FormatError, match="replaced on the server"):
            ds.dff.load()
    server.reset()


# -- what it says of itself -----------------------------------------------------------------------
def test_another_session_than_it_says_is_refused(moved, tmp_path):
    wrong = changed_index(moved[1], moved[1].with_name("wrong.json"), session_id=900000002)
    with pytest.raises(SessionMismatchError, match="session_id is 900000001 in the file"):
        ox.open_session(wrong)
    # Nor one whose file has another one's name.
    other = moved[0].with_name("sub-900001_ses-900000009_behavior+ophys.nwb")
    moved[0].rename(other)

    def rename(references):
        for key, value in references.items():
            if isinstance(value, list):
                references[key] = [f"file://{other}", *value[1:]]

    (session,) = Index(moved[1]).sessions.values()
    (state,) = session.files.values()
    wrong = changed_index(moved[1], wrong, rename, files={f"file://{other}": asdict(state)})
    with pytest.raises(SessionMismatchError, match="900000009 was expected"):
        ox.open_session(wrong)


def test_parts_that_it_has_not_are_missed(moved):
    with pytest.raises(MissingVariableError, match="an index has traces, clocks"):
        ox.open_session(moved[1], include="squares")
    with ox.open_session(moved[1], include="all", drop_variables="pupil_diameter") as ds:
        assert "pupil_diameter" not in ds
        assert "pupil_center_shift" in ds
