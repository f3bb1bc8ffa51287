"""NWB files in Zarr, which are not read: everything that meets one says what it is."""

import re

import pytest
import xarray as xr

import oscaxr as ox
from command_line import invoke
from oscaxr.errors import FormatError, OscaxrWarning

FORMS = {
    "version 2": (2, "sub-1_ses-900000001.nwb.zarr", True),
    "version 3": (3, "sub-1_ses-900000001.nwb.zarr", True),
    "named .nwb": (2, "sub-1_ses-900000001.nwb", True),
    "version 3, named .nwb": (3, "session.NWB", True),
    "named .zarr": (3, "session.zarr", True),
    "attributes lost": (2, "session.nwb.zarr", False),
}


@pytest.fixture(params=FORMS)
def store(request, tmp_path):
    """A folder that an NWB file in Zarr begins with."""
    zarr = pytest.importorskip("zarr")
    version, name, is_stated = FORMS[request.param]
    path = tmp_path / "data" / name
    root = zarr.open_group(path, mode="w", zarr_format=version)
    root.create_group("acquisition")
    if is_stated:
        root.attrs.update(namespace="core", neurodata_type="NWBFile", nwb_version="2.8.0")
    return path


def words(path):
    return rf"(?s){re.escape(str(path))} is NWB in Zarr.*in HDF5"


def test_opening(store):
    for open_it in (
        ox.open_session,
        ox.open_exported,
        lambda path: xr.open_dataset(path, engine="oscaxr"),
        lambda path: xr.open_datatree(path, engine="oscaxr"),
        lambda path: ox.open_session(path, include="squares", fluorescence="raw"),
        lambda path: ox.open_sessions([path], progress=False),
    ):
        with pytest.raises(ox.OscaxrError, match=words(store)):
            open_it(store)


def test_finding(store, tmp_path, sample_path):
    folder = store.parent
    with pytest.warns(OscaxrWarning, match=words(store)):
        assert len(ox.find_sessions(folder)) == 0
    with pytest.raises(ox.OscaxrError, match=words(store)):
        ox.open_session(759189643, datadir=folder)
    # The form that is read is opened, whatever lies beside it.
    (folder / sample_path.name).symlink_to(sample_path)
    with ox.open_session(900000001, datadir=folder) as ds:
        assert ds.sizes["roi"] == 7


def test_converting(store, tmp_path):
    for source in (store.parent, store):
        with pytest.raises(ox.OscaxrError, match="is NWB in Zarr"):
            ox.convert(source, tmp_path / "out", workers=1, progress=False)


@pytest.mark.parametrize(
    "store",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one not in ("version 2", "version 3")))
        for one in FORMS
    ],
    indirect=True,
)
def test_command_line(store):
    for command in ("info", "validate"):
        done = invoke(command, store)
        assert done.exit_code != 0
        assert "is NWB in Zarr" in " ".join((done.stdout + done.stderr).split())
    done = invoke("sessions", store.parent)
    assert "is NWB in Zarr" in " ".join((done.stdout + done.stderr).split())


def test_on_a_server():
    with pytest.raises(FormatError, match=r"http://127\.0\.0\.1:1/a\.nwb\.zarr/ is NWB in Zarr"):
        ox.open_session("http://127.0.0.1:1/a.nwb.zarr/")


def test_exports_of_such_a_name_are_exports(sample_path, tmp_path):
    with ox.open_session(sample_path) as ds:
        path = ox.save(ds, tmp_path / f"{sample_path.name}.zarr", variables=["run_velocity"])
    with ox.open_session(path) as ds:
        assert "run_velocity" in ds


def test_folder_that_is_only_named_so(sample_path, tmp_path):
    folder = tmp_path / "files.nwb"
    folder.mkdir()
    (folder / sample_path.name).symlink_to(sample_path)
    assert len(ox.find_sessions(tmp_path)) == 1
    with pytest.raises(ox.OscaxrError, match="it is a folder"):
        ox.open_session(folder)
