"""Indexes of one and of many sessions, as they are written, and as they are chosen from."""

import shutil

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from archive_server import ArchiveServer
from indexes import NOT_INDEXED, indexed_part
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    FormatError,
    SessionNotFoundError,
    TargetExistsError,
)
from oscaxr.formats.index import refer
from oscaxr.formats.registry import INDEX
from sample_forms import PUPIL, TRACES

GROUPS = [f"mouse_1/session_{number}" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def table(mouse_folder):
    return ox.session_table(mouse_folder / "table.csv")


@pytest.fixture(scope="module")
def mouse_index(mouse_folder, table, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "sessions.json"
    return ox.write_index(table, path, datadir=mouse_folder, progress=False)


@pytest.fixture
def changed(sample_paths, tmp_path):
    """Return a function that gives a copy of the small session, its HDF5 file changed."""
    h5py = pytest.importorskip("h5py")

    def change(edit, layout="contiguous"):
        path = tmp_path / sample_paths[layout].name
        shutil.copy(sample_paths[layout], path)
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return change


# -- which session --------------------------------------------------------------------------------
def test_all_sessions_of_an_index(mouse_index, mouse_folder, table):
    with (
        ox.open_sessions(mouse_index, sources=mouse_folder) as tree,
        ox.open_sessions(table, datadir=mouse_folder) as expected,
    ):
        assert [node.path.lstrip("/") for node in tree.leaves] == GROUPS
        for group in GROUPS:
            found, wanted = tree[group].to_dataset(), expected[group].to_dataset()
            xr.testing.assert_identical(found.load(), indexed_part(wanted).load())


def test_one_session_of_an_index(mouse_index, mouse_folder, table):
    second = table.iloc[1]
    ways = [
        ox.open_session(mouse_index, sources=mouse_folder, group=GROUPS[1]),
        ox.open_session(mouse_index, sources=mouse_folder, group=f"/{GROUPS[1]}"),
        ox.open_session(int(second.session_id), datadir=mouse_index, sources=mouse_folder),
        ox.open_session(mouse=1, session=2, table=table, datadir=mouse_index, sources=mouse_folder),
        xr.open_dataset(mouse_index, engine="oscaxr", sources=mouse_folder, group=GROUPS[1]),
        xr.open_dataset(
            mouse_index, engine="oscaxr", sources=mouse_folder, group=GROUPS[1], table=table
        ),
    ]
    for ds in ways:
        assert int(ds.session_id) == second.session_id
        xr.testing.assert_identical(ds.load(), ways[0])
        ds.close()
    with xr.open_datatree(mouse_index, engine="oscaxr", sources=mouse_folder) as tree:
        assert [node.path.lstrip("/") for node in tree.leaves] == GROUPS
    rows = table.query("session != 2")
    with ox.open_sessions(rows, datadir=mouse_index, sources=mouse_folder) as tree:
        assert [node.path.lstrip("/") for node in tree.leaves] == [GROUPS[0], GROUPS[2]]


def test_which_session_has_to_be_said(mouse_index, mouse_folder):
    with pytest.raises(AmbiguousSessionError, match=r"index of 3 sessions: mouse_1/session_1"):
        ox.open_session(mouse_index, sources=mouse_folder)
    with pytest.raises(SessionNotFoundError, match=r"has no group 'mouse_1/session_9'. It has"):
        ox.open_session(mouse_index, sources=mouse_folder, group="mouse_1/session_9")
    with pytest.raises(SessionNotFoundError, match="has no session 123456789"):
        ox.open_session(123456789, datadir=mouse_index, sources=mouse_folder)


def test_workers_open_sessions_of_an_index(mouse_index, mouse_folder):
    found = ox.map_sessions(
        lambda ds: ds.dff.isel(time=0),
        mouse_index,
        sources=mouse_folder,
        scheduler="synchronous",
        progress=False,
    )
    assert [node.path.lstrip("/") for node in found.leaves] == GROUPS


# -- plain xarray ---------------------------------------------------------------------------------
@pytest.mark.filterwarnings("error:Failed to open Zarr store")
def test_plain_xarray_opens_it(mouse_index, mouse_folder, table):
    pytest.importorskip("fsspec")
    storage = {"fo": str(mouse_index)}
    with ox.open_sessions(table, datadir=mouse_folder) as ours:
        for group in GROUPS:
            with xr.open_dataset(
                "reference://", engine="zarr", group=group, storage_options=storage
            ) as plain:
                _assert_same(plain.load(), ours[group].to_dataset())
    with xr.open_datatree("reference://", engine="zarr", storage_options=storage) as tree:
        assert [node.path.lstrip("/") for node in tree.leaves] == GROUPS


def test_plain_xarray_opens_it_from_a_server(sample_paths, tmp_path):
    pytest.importorskip("aiohttp")
    server = ArchiveServer()
    try:
        url = server.add("plain.nwb", sample_paths["contiguous"], {})
        index = ox.write_index([url], tmp_path / "sessions.json")
        storage = {
            "fo": str(index),
            "remote_protocol": "http",
            "remote_options": {"asynchronous": True},
        }
        (group,) = INDEX.read(index).sessions
        with (
            xr.open_dataset(
                "reference://", engine="zarr", group=group, storage_options=storage
            ) as plain,
            ox.open_session(sample_paths["contiguous"]) as ours,
        ):
            _assert_same(plain.load(), ours)
    finally:
        server.close()


def _assert_same(plain, ours):
    """A plain Dataset has what lies in the file and the table, not what is computed."""
    computed = {"valid", "dff_median", "dff_spread", "pupil_center_shift"}
    expected = ours.drop_vars((NOT_INDEXED | computed) & set(ours.variables)).load()
    xr.testing.assert_identical(plain, expected)


# -- how the values lie in the file ---------------------------------------------------------------
def references_of(index):
    found = INDEX.read(index)
    ((group, _),) = found.sessions.items()
    return found.references(group)


def inside(references, name):
    """Which chunks of an array are in the index itself."""
    own = [key for key in references if key.startswith(f"{name}/") and ".z" not in key]
    return [isinstance(references[key], str) for key in own]


def test_outliers_are_in_the_index(changed, tmp_path, monkeypatch):
    monkeypatch.setattr(refer, "CHUNK_BYTES", 16_000)
    monkeypatch.setattr(refer, "FINE_CHUNK_BYTES", 4_000)

    def jump(file):
        data = file["processing/behavior/BehavioralTimeSeries/running_velocity/data"]
        data[700] = 900.0

    path = changed(jump)
    index = ox.write_index(path, tmp_path / "sessions.json")
    chunks = inside(references_of(index), "run_velocity")
    assert len(chunks) > 4
    assert sum(chunks) == 1
    with ox.open_session(path) as ds, ox.open_session(index) as found:
        assert np.isnan(ds.run_velocity[700])
        xr.testing.assert_identical(found.run_velocity, ds.run_velocity)
        few = found.run_velocity.isel(stim_time=[701, 700, 5, 700]).values
        np.testing.assert_array_equal(few, ds.run_velocity.values[[701, 700, 5, 700]])
    storage = {"fo": str(index)}
    with xr.open_dataset(
        "reference://mouse_900001/session_900000001",
        engine="zarr",
        consolidated=False,
        storage_options=storage,
    ) as plain:
        assert np.isnan(plain.run_velocity[700])


def test_the_last_chunk_is_filled_up_in_the_index(changed, tmp_path, monkeypatch):
    monkeypatch.setattr(refer, "CHUNK_BYTES", 20_000)

    def at_the_end(file):
        # What is written last lies at the end of the file.
        values, attrs = file[f"{TRACES}/data"][:], dict(file[f"{TRACES}/data"].attrs)
        del file[f"{TRACES}/data"]
        data = file.create_dataset(f"{TRACES}/data", values.shape, values.dtype)
        data.attrs.update(attrs)
        file.flush()
        data[:] = values

    path = changed(at_the_end)
    index = ox.write_index(path, tmp_path / "sessions.json")
    assert inside(references_of(index), "dff")[-2:] == [False, True]
    with ox.open_session(path) as ds, ox.open_session(index) as found:
        xr.testing.assert_identical(found.dff.load(), indexed_part(ds.dff.to_dataset()).dff.load())
        np.testing.assert_array_equal(found.dff[-3:, [2, 0]], ds.dff[-3:, [2, 0]])


def test_series_in_another_unit_are_in_the_index(changed, tmp_path):
    def in_pixels(file):
        for series in file[PUPIL].values():
            series["data"].attrs["conversion"] = 0.0102

    path = changed(in_pixels)
    index = ox.write_index(path, tmp_path / "sessions.json")
    assert inside(references_of(index), "pupil_diameter") == [True]
    with ox.open_session(path) as ds, ox.open_session(index) as found:
        xr.testing.assert_identical(found.load(), indexed_part(ds).load())


# -- what cannot be indexed -----------------------------------------------------------------------
def test_other_filters_are_named(sample_paths, tmp_path):
    with pytest.raises(FormatError, match=r"- dff: .* the filters shuffle, deflate") as caught:
        ox.write_index(sample_paths["shuffle"], tmp_path / "sessions.json")
    assert str(sample_paths["shuffle"]) in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_chunks_without_their_filter_are_named(changed, tmp_path):
    def unfiltered(file):
        data = file[f"{TRACES}/data"]
        raw = np.zeros(data.chunks, data.dtype).tobytes()
        data.id.write_direct_chunk((0, 0), raw, filter_mask=1)

    with pytest.raises(FormatError, match=r"- dff: .* differ in their filters"):
        ox.write_index(changed(unfiltered, "gzip"), tmp_path / "sessions.json")


def test_other_units_of_traces_are_named(changed, tmp_path):
    def scaled(file):
        file[f"{TRACES}/data"].attrs["conversion"] = 0.01

    with pytest.raises(FormatError, match=r"- dff: .* in the same unit"):
        ox.write_index(changed(scaled), tmp_path / "sessions.json")


def test_other_formats_are_no_source(sample_path, tmp_path):
    with ox.open_session(sample_path) as ds:
        export = ox.save(ds, tmp_path / "s.zarr")
    with pytest.raises(FormatError, match="dff: it is not there as an HDF5 file"):
        ox.write_index(export, tmp_path / "sessions.json")


def test_targets(sample_path, tmp_path):
    with pytest.raises(CriterionError, match=r"ends in \.json"):
        ox.write_index(sample_path, tmp_path / "sessions.nwb")
    target = ox.write_index(sample_path, tmp_path / "sessions.json")
    with pytest.raises(TargetExistsError):
        ox.write_index(sample_path, target)
    ox.write_index(sample_path, target, overwrite=True, drop_variables="pupil_diameter")
    with ox.open_session(target, sources=sample_path.parent) as ds:
        assert "pupil_diameter" not in ds
    with pytest.raises(AmbiguousSessionError, match="asked for twice"):
        ox.write_index([sample_path, sample_path], target, overwrite=True)
    with pytest.raises(CriterionError, match="a user, a query or a fragment"):
        ox.write_index("https://host/x.nwb?signature=secret", target, overwrite=True)
