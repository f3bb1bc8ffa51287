"""What an NWB file says of itself: ids, and when the session started."""

import shutil

import h5py
import pytest

import oscaxr as ox
from oscaxr.formats.nwb.header import read_identity

SESSION, MOUSE = 778374308, 418779
STORED = "2018-11-14T03:01:41.330000-08:00"  # as published
STAMP, DAY = "20181114T030141", 20181113


@pytest.fixture
def renamed(sample_path, tmp_path):
    """Return a function that copies the sample session, and gives it other texts."""

    def write(**texts):
        path = shutil.copy(sample_path, tmp_path / "session.nwb")
        with h5py.File(path, "r+") as file:
            for name, text in texts.items():
                place = {
                    "session_id": "general/session_id",
                    "mouse_id": "general/subject/subject_id",
                }.get(name, name)
                del file[place]
                if text is not None:
                    file[place] = text
        return path

    return write


def test_start_of_a_published_session_is_told_in_utc(renamed, tmp_path):
    path = renamed(session_id=str(SESSION), mouse_id=str(MOUSE), session_start_time=STORED)
    identity = read_identity(path)
    assert (identity.start, identity.date) == (STAMP, DAY)
    found = ox.find_sessions(tmp_path)
    assert found[["dandi_session_time", "date"]].values.tolist() == [[STAMP, DAY]]
    with ox.open_session(path) as ds:
        assert ds.attrs["dandi_session_time"] == "2018-11-14T03:01:41+00:00"
        assert ds.attrs["date"] == "2018-11-13"
        assert ds.attrs["session_start_time"] == "2018-11-14T03:01:41.330000+00:00"
        assert STORED in ds.attrs["session_start_time_comment"]
        assert "digits are UTC" in ds.attrs["session_start_time_comment"]
        saved = ox.save(ds, tmp_path / "exports" / "s.zarr")
    found = ox.find_sessions(saved.parent)
    assert found[["dandi_session_time", "date"]].values.tolist() == [[STAMP, DAY]]


def test_other_sessions_start_where_their_offset_says(renamed):
    path = renamed(session_id="600000001", mouse_id="300001", session_start_time=STORED)
    identity = read_identity(path)
    assert (identity.start, identity.date) == ("20181114T110141", 20181114)
    with ox.open_session(path) as ds:
        assert ds.attrs["dandi_session_time"] == "2018-11-14T11:01:41+00:00"
        assert ds.attrs["date"] == "2018-11-14"
        assert ds.attrs["session_start_time"] == STORED
        assert "session_start_time_comment" not in ds.attrs


@pytest.mark.parametrize("start", ["tomorrow", "0001-01-01T00:00:00+00:00"])
def test_what_is_no_start(renamed, start):
    path = renamed(session_start_time=start)
    assert read_identity(path).date == -1
    with ox.open_session(path) as ds:
        assert ds.attrs["session_start_time"] == start
        assert not {"date", "dandi_session_time"} & set(ds.attrs)


@pytest.mark.parametrize("ending", ["", "_with_stim", "_with_stim_and_stack"])
def test_drafts_have_the_session_id_as_identifier(renamed, ending):
    path = renamed(session_id=None, identifier=f"900000001{ending}")
    assert read_identity(path).session_id == 900000001
    with ox.open_session(path) as ds:
        assert int(ds.session_id) == 900000001
        assert "session_name" not in ds.attrs


@pytest.mark.parametrize(
    ("session_id", "identifier", "number"),
    [
        ("900000002", "900000001", 900000002),
        ("my session", "900000001", None),
        (None, "900000001_with_more", None),
        (None, "f2c0de", None),
    ],
)
def test_other_identifiers_are_no_ids(renamed, session_id, identifier, number):
    path = renamed(session_id=session_id, identifier=identifier)
    assert read_identity(path).session_id == number
    with ox.open_session(path) as ds:
        assert ("session_id" in ds.coords) is (number is not None)
