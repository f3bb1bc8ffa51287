"""The three kinds of files that a session was published in: each is the session, together too."""

import shutil
from itertools import permutations

import h5py
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    MissingVariableError,
    RemoteError,
    SessionMismatchError,
    SessionNotFoundError,
)
from sample_forms import write_nwb_form
from small_sessions import small_spec

SESSION, STAMP = 900000001, "20010105T172917"
KINDS = {
    "behavior+ophys": "",
    "behavior+image+ophys": "_with_stim",
    "obj-raw": "_with_stim_and_stack",
}
SPEC = {"scale": 0.01, "n_rois": 3, "n_tracked": 2, "field_shape": (48, 48)}
TEMPLATES = ("templates", "movie")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The three files of a session. Not to be written to."""
    folder = tmp_path_factory.mktemp("files")
    made = ox.sample.make_session(small_spec(**SPEC))
    return {
        kind: write_nwb_form(made, folder, parts=kind, template_frames=5, dtype="float32")
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def drafts(files, tmp_path_factory):
    """The same as drafts: named by their start, with the id in their identifier only."""
    folder = tmp_path_factory.mktemp("drafts")
    for kind, ending in KINDS.items():
        path = folder / files[kind].name.replace(str(SESSION), STAMP)
        shutil.copy(files[kind], path)
        with h5py.File(path, "r+") as file:
            del file["general/session_id"], file["identifier"]
            file["identifier"] = f"{SESSION}{ending}"
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A file of another session of the mouse."""
    spec = small_spec(**SPEC, session_id=900000002, session_number=2)
    return ox.sample.write_nwb(spec, tmp_path_factory.mktemp("other"))


def test_each_kind_is_the_same_session(files):
    with ox.open_session(files["behavior+ophys"]) as expected:
        expected.load()
    for path in files.values():
        with ox.open_session(path) as ds:
            assert (int(ds.session_id), int(ds.mouse_id)) == (SESSION, 900001)
            assert ds.attrs["dandi_session_time"] == "2001-01-05T17:29:17+00:00"
            xr.testing.assert_equal(ds, expected)


def test_drafts_of_a_session_are_found_and_joined(files, drafts):
    found = ox.find_sessions(drafts)
    assert found[["session_id", "n_files"]].values.tolist() == [[SESSION, 3]]
    for path in drafts.iterdir():
        with ox.open_session(path) as ds:
            assert int(ds.session_id) == SESSION
    with (
        ox.open_session(SESSION, datadir=drafts, include=TEMPLATES) as ds,
        ox.open_session(files["obj-raw"], include=TEMPLATES) as expected,
    ):
        assert ds.attrs["source_files"].count(".nwb") == 3
        xr.testing.assert_equal(ds, expected)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one not in ((0, 1, 2), (2, 0, 1))))
        for one in permutations(range(3))
    ],
)
def test_files_in_a_list_are_joined_in_any_order(files, order):
    paths = [list(files.values())[place] for place in order]
    with (
        ox.open_session(paths, include=TEMPLATES) as ds,
        xr.open_dataset(paths[0], engine="oscaxr", files=paths[1:], include=TEMPLATES) as same,
    ):
        assert ds.encoding["source"] == str(paths[0].resolve())
        assert ds.attrs["source_files"] == ", ".join(path.name for path in paths)
        assert ds.movie.dims == ("time", "height", "width")
        assert "template_gabors" in ds
        xr.testing.assert_identical(ds, same)


def test_files_of_sessions_that_were_listed_are_joined(files, other):
    listed = [files["behavior+ophys"], other, files["obj-raw"]]
    with ox.open_sessions(listed) as tree:
        nodes = [node.path for node in tree.leaves]
        assert nodes == ["/mouse_900001/session_900000001", "/mouse_900001/session_900000002"]
        assert tree[nodes[0]].attrs["source_files"].count(".nwb") == 2
    with ox.open_sessions([listed[::2]], include="movie") as tree:
        assert [node.path for node in tree.leaves if "movie" in node] == nodes[:1]


def test_sessions_that_were_listed_are_mapped_once(files, other):
    def n_times(ds):
        return ds.sizes["time"]

    results = ox.map_sessions(n_times, [*files.values(), other], scheduler="synchronous")
    assert len(results) == 2


def test_copies_are_not_joined(files, tmp_path):
    path = files["behavior+ophys"]
    copy = shutil.copy(path, tmp_path / path.name)
    with pytest.raises(AmbiguousSessionError, match="twice"):
        ox.open_sessions([path, files["obj-raw"], copy])


def test_files_of_several_sessions_are_refused(files, other, tmp_path):
    path = files["behavior+ophys"]
    with pytest.raises(SessionMismatchError, match="900000002 in the file, but 900000001 was"):
        ox.open_session([path, other])
    unnamed = shutil.copy(other, tmp_path / "unnamed.nwb")
    with pytest.raises(SessionMismatchError, match=r"unnamed\.nwb: session_id is 900000002"):
        ox.open_session([path, unnamed])
    with pytest.raises(SessionMismatchError, match=r"unnamed\.nwb"):
        xr.open_dataset(path, engine="oscaxr", files=[unnamed])


def test_the_address_of_an_asset_tells_its_row_of_the_table(tmp_path):
    """Nothing is asked: there is no server at the address."""
    for library in ("fsspec", "requests"):
        pytest.importorskip(library)
    asset = "fc54561a-f079-4f5e-8592-ccc9940da393"
    url = f"http://127.0.0.1:9/api/assets/{asset}/download/"
    table = ox.session_table(
        pd.DataFrame({"session_id": [758519303], "mouse_id": [408021], "mouse": 1, "session": 1})
    )
    quick = {"retries": 0, "timeout": 0.1}
    with pytest.raises(SessionNotFoundError, match=r"no session with session id 758519303"):
        ox.open_session(url, table=table.assign(session_id=759189643), storage_options=quick)
    with pytest.raises(RemoteError, match="refused"):
        ox.open_session(url, table=table, storage_options=quick)


def test_what_cannot_be_joined_is_refused(files, tmp_path):
    path = files["behavior+ophys"]
    with ox.open_session(path) as ds:
        export = ox.save(ds, tmp_path / "s.nc")
    for places in ([path, export], [export, path], [export, export]):
        with pytest.raises(CriterionError, match="one session only where all of them are its NWB"):
            ox.open_session(places)
    for odd in ([], [5], [path, None], [[path]]):
        with pytest.raises(ox.OscaxrError):
            ox.open_session(odd)
    with pytest.raises(MissingVariableError, match="given as a list"):
        ox.open_session(path, include="movie")
