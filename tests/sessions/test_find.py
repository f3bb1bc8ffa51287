"""Files of a session: names, folders, ids inside, and what is said when something is wrong."""

import os
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from example_sessions import SHARED
from oscaxr.errors import (
    AmbiguousSessionError,
    FormatError,
    OscaxrWarning,
    SessionMismatchError,
    SessionNotFoundError,
)
from oscaxr.formats.identity import Identity, parse_name, site_date, stamp_of, utc_start
from oscaxr.formats.nwb.header import read_identity
from oscaxr.sessions.find import find_sessions, say_problems, sessions_below
from oscaxr.sessions.owners import find_places
from small_sessions import small_spec

SESSIONS = SHARED / "sessions"

MOUSE, SESSION, STAMP = 408021, 758519303, "20180926T172917"
START = "2018-09-26T17:29:17+00:00"


def make_file(
    path,
    session_id=str(SESSION),
    mouse_id=str(MOUSE),
    start=START,
    tracking=(0.0, np.nan, 1.0),
    genotype="Cux2-CreERT2",
):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in {
            "general/session_id": session_id,
            "general/subject/subject_id": mouse_id,
            "general/subject/genotype": genotype,
            "general/subject/sex": "M",
            "session_start_time": start,
        }.items():
            if value is not None:
                file[key] = value
        rois = file.create_group("processing/ophys/ImageSegmentation/PlaneSegmentation")
        if tracking is not None:
            rois["id"] = np.arange(len(tracking))
            rois["tracking_id"] = np.array(tracking)
    return path


def scan(folder):
    """Find the sessions of a folder, and warn of what could not be used."""
    found = sessions_below(folder)
    say_problems(folder, found.problems)
    return found.sessions


def id_name(session_id=SESSION, mouse_id=MOUSE, parts="behavior+ophys", obj=""):
    return f"sub-{mouse_id}/sub-{mouse_id}_ses-{session_id}{obj}_{parts}.nwb"


def stamp_name(stamp=STAMP, mouse_id=MOUSE, parts="behavior+ophys", obj=""):
    return id_name(stamp, mouse_id, parts, obj)


# -- names ----------------------------------------------------------------------------------------

parsed_names = st.builds(
    Identity,
    is_named=st.just(True),
    mouse_id=st.integers(1, 999_999),
    session_id=st.integers(100_000_000, 9_999_999_999),
    obj=st.sampled_from(["", "raw"]),
    parts=st.lists(st.sampled_from(["behavior", "image", "ophys"]), unique=True).map(tuple),
) | st.builds(
    Identity,
    is_named=st.just(True),
    mouse_id=st.integers(1, 999_999),
    start=st.datetimes().map(lambda time: f"{time.year:04d}" + time.strftime("%m%dT%H%M%S")),
    obj=st.sampled_from(["", "raw"]),
    parts=st.lists(st.sampled_from(["behavior", "image", "ophys"]), unique=True).map(tuple),
)


def file_name(name):
    session = name.start if name.session_id is None else name.session_id
    obj = f"_obj-{name.obj}" if name.obj else ""
    parts = f"_{'+'.join(name.parts)}" if name.parts else ""
    return f"sub-{name.mouse_id}_ses-{session}{obj}{parts}.nwb"


@given(parsed_names)
def test_name_round_trip(name):
    assert parse_name(file_name(name)) == name
    assert parse_name(Path("any/folder") / file_name(name)) == name


@given(st.text(max_size=40))
def test_any_other_name_is_none_or_says_the_same(text):
    name = parse_name(text)
    assert name is None or parse_name(file_name(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "notes.nwb",
        "sub-408021_ses-758519303_behavior+ophys.nwb.part",
        "sub-408021_ses-12_behavior+ophys.nwb",
        "sub-408021_ses-20180926_behavior+ophys.nwb",
        "xsub-408021_ses-758519303_behavior+ophys.nwb",
        "sub-mouse_ses-758519303_behavior+ophys.nwb",
    ],
)
def test_names_of_neither_style(name):
    assert parse_name(name) is None


def test_both_styles():
    name = parse_name("sub-408021_ses-758519303_obj-raw_behavior+image+ophys.nwb")
    parts = ("behavior", "image", "ophys")
    assert name == Identity(758519303, 408021, obj="raw", parts=parts, is_named=True)
    name = parse_name("sub-408021_ses-20180926T172917_behavior+ophys.nwb")
    assert name == Identity(None, 408021, STAMP, parts=("behavior", "ophys"), is_named=True)


@pytest.mark.parametrize(
    ("time", "stamp"),
    [
        (START, STAMP),
        ("2018-09-26T17:29:17Z", STAMP),
        ("2018-09-26T17:29:17.250000", STAMP),
        ("2018-09-26T23:29:17-07:00", "20180927T062917"),
        ("0900-09-26T23:29:17+00:00", "09000926T232917"),
        ("", ""),
        ("yesterday", ""),
        ("0001-01-01T00:00:00+14:00", ""),
    ],
)
def test_start_by_its_offset(time, stamp):
    assert stamp_of(utc_start(time, utc_digits=False)) == stamp


def test_start_by_its_digits():
    for offset in ("", "Z", "-07:00", "+14:00"):
        assert stamp_of(utc_start(f"2018-09-26T17:29:17.9{offset}", utc_digits=True)) == STAMP
    assert utc_start("tomorrow", utc_digits=True) is None


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2018-07-02T06:59:59Z", 20180701),
        ("2018-07-02T07:00:00Z", 20180702),  # 7 h behind in summer
        ("2018-12-02T07:59:59Z", 20181201),
        ("2018-12-02T08:00:00Z", 20181202),
        ("0001-01-01T00:00:00Z", -1),
    ],
)
def test_day_in_los_angeles(time, day):
    assert site_date(utc_start(time, utc_digits=False)) == day


# -- what a file states ---------------------------------------------------------------------------


def test_read_identity(tmp_path):
    path = make_file(tmp_path / "a.nwb")
    assert read_identity(path) == Identity(
        SESSION, MOUSE, STAMP, 20180926, "M", "L23-Cux2", n_rois=3, n_tracked=2
    )


def test_read_identity_of_a_file_that_states_nothing(tmp_path):
    with h5py.File(tmp_path / "a.nwb", "w"):
        pass
    assert read_identity(tmp_path / "a.nwb") == Identity()


@pytest.mark.parametrize("stored", [b"758519303", np.array([b"758519303"]), np.int64(758519303)])
def test_session_id_may_be_stored_in_many_ways(tmp_path, stored):
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file["general/session_id"] = stored
    assert read_identity(tmp_path / "a.nwb").session_id == SESSION


def test_session_id_that_is_no_number(tmp_path):
    path = make_file(tmp_path / "a.nwb", session_id="a session")
    assert read_identity(path).session_id is None


def test_read_identity_says_why_a_file_is_not_readable(tmp_path):
    text = tmp_path / "text.nwb"
    text.write_text("not found")
    with pytest.raises(FormatError, match=rf"{re.escape(str(text))}.* not an HDF5 file \(9 bytes"):
        read_identity(text)
    empty = tmp_path / "empty.nwb"
    empty.touch()
    with pytest.raises(FormatError, match="not an HDF5 file"):
        read_identity(empty)
    cut = make_file(tmp_path / "cut.nwb")
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.raises(FormatError, match=r"cut.nwb.* is truncated"):
        read_identity(cut)
    with pytest.raises(SessionNotFoundError, match="There is no file"):
        read_identity(tmp_path / "absent.nwb")
    with pytest.raises(SessionNotFoundError, match="There is no file"):
        read_identity(tmp_path)
    (tmp_path / "link.nwb").symlink_to(tmp_path / "gone")
    with pytest.raises(SessionNotFoundError, match="a link to a file that is not there"):
        read_identity(tmp_path / "link.nwb")


def test_a_group_in_place_of_a_value_is_a_format_error(tmp_path):
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.create_group("general/session_id")
    with pytest.raises(FormatError, match=r"a\.nwb"):
        read_identity(tmp_path / "a.nwb")


# -- scan -----------------------------------------------------------------------------------------


def test_scan_groups_both_styles_at_any_depth(tmp_path):
    movie = make_file(tmp_path / "deep/er" / id_name(obj="_obj-raw", parts="behavior+image+ophys"))
    base = make_file(tmp_path / id_name())
    images = make_file(tmp_path / id_name(parts="behavior+image+ophys"))
    stamped = make_file(tmp_path / stamp_name())
    other = make_file(tmp_path / id_name(700000001, 389778), "700000001", "389778")
    make_file(tmp_path / ".git/annex" / id_name())
    (tmp_path / "._sub-408021_ses-758519303_behavior+ophys.nwb").write_text("resource fork")
    (tmp_path / "notes.txt").write_text("")
    found = scan(tmp_path)
    assert [files.identity.session_id for files in found] == [700000001, SESSION]
    assert found[0].paths == (other,)
    files = found[1]
    assert files.paths == (images, base, movie, stamped)
    assert (files.identity.mouse_id, files.identity.start) == (MOUSE, STAMP)
    assert files.path == images


def test_scan_matches_by_start_where_a_file_states_no_id(tmp_path):
    base = make_file(tmp_path / id_name())
    make_file(tmp_path / id_name(759189643), "759189643", start="2018-09-27T18:26:32+00:00")
    stamped = make_file(tmp_path / stamp_name(), session_id=None)
    lone = make_file(tmp_path / stamp_name("20200101T000000"), session_id=None)
    assert {f.identity.session_id: f.paths for f in scan(tmp_path)} == {
        SESSION: (base, stamped),
        759189643: (tmp_path / id_name(759189643),),
        None: (lone,),
    }


def test_scan_reads_files_with_other_names(tmp_path):
    path = make_file(tmp_path / "my session.nwb")
    (files,) = scan(tmp_path)
    assert (files.identity.session_id, files.identity.mouse_id, files.paths) == (
        SESSION,
        MOUSE,
        (path,),
    )


def test_scan_names_unreadable_files(tmp_path):
    good = make_file(tmp_path / id_name())
    bad = tmp_path / stamp_name("20200101T000000")
    bad.write_text("no")
    with pytest.warns(OscaxrWarning, match=re.escape(str(bad))):
        found = scan(tmp_path)
    assert [files.paths for files in found] == [(good,), (bad,)]
    assert found[1].identity.session_id is None
    assert found[1].identity.mouse_id == MOUSE


def test_scan_says_when_a_session_has_files_of_two_mice(tmp_path):
    make_file(tmp_path / id_name())
    make_file(tmp_path / id_name(mouse_id=999999))
    with pytest.warns(OscaxrWarning, match=r"758519303 has files of several mice \[408021, 999999"):
        assert len(find_sessions(tmp_path)) == 1


def test_scan_enters_linked_folders_once(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    path = make_file(elsewhere / id_name())
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to(elsewhere)
    (data / "again").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(data)
    (files,) = scan(data)
    assert [p.resolve() for p in files.paths] == [path.resolve()]
    assert find_places(data, SESSION) == files.paths


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(SessionNotFoundError, match=r"absent does not exist"):
        scan(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"absent does not exist"):
        find_places(tmp_path / "absent", SESSION)
    (tmp_path / "file").touch()
    with pytest.raises(SessionNotFoundError, match="is a file, not a folder"):
        scan(tmp_path / "file")


# -- find -----------------------------------------------------------------------------------------


def test_find_by_name_opens_nothing(tmp_path):
    for name in (id_name(), id_name(759189643), stamp_name("20200101T000000", 999999)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_places(tmp_path, SESSION) == (tmp_path / id_name(),)
    found = find_places(tmp_path, 829283315, mouse_id=999999, start="20200101T000000")
    assert found == (tmp_path / stamp_name("20200101T000000", 999999),)


def test_find_agrees_with_scan(tmp_path):
    make_file(tmp_path / id_name())
    make_file(tmp_path / stamp_name(parts="behavior+image+ophys"))
    make_file(tmp_path / stamp_name("20181001T172833"), "759660390")
    make_file(tmp_path / stamp_name("20181001T180256", 411400), "759666166", "411400")
    for files in scan(tmp_path):
        assert find_places(tmp_path, files.identity.session_id) == files.paths
        assert (
            find_places(
                tmp_path,
                files.identity.session_id,
                mouse_id=files.identity.mouse_id,
                start=files.identity.start,
            )
            == files.paths
        )


def test_an_empty_start_time_is_none(tmp_path):
    base = make_file(tmp_path / id_name())
    stamped = make_file(tmp_path / stamp_name(), session_id=None)
    assert find_places(tmp_path, SESSION, start="") == (base, stamped)


def test_find_by_reading_when_names_do_not_help(tmp_path):
    renamed = make_file(tmp_path / "renamed.nwb")
    assert find_places(tmp_path, SESSION) == (renamed,)
    stamped = make_file(tmp_path / stamp_name("20181001T172833"), "759660390")
    assert find_places(tmp_path, 759660390, start="20000101T000000") == (stamped,)


def test_not_found_says_what_was_searched_and_what_is_near(tmp_path):
    make_file(tmp_path / id_name())
    make_file(tmp_path / id_name(759189643))
    make_file(tmp_path / stamp_name("20200101T000000"), session_id=None)
    bad = tmp_path / "bad.nwb"
    bad.write_text("no")
    with pytest.raises(SessionNotFoundError) as caught:
        find_places(tmp_path, 758519304, mouse_id=MOUSE)
    message = str(caught.value)
    for part in (
        f"There is nothing of session 758519304 below {tmp_path}",
        f"sub-{MOUSE}_ses-758519304*.nwb",
        "4 NWB files were seen; names state 2 session ids",
        "Nearest ids: 758519303",
        f"Sessions of mouse {MOUSE}: 758519303, 759189643",
        "give a session table",
        str(bad),
    ):
        assert part in message
    with pytest.raises(SessionNotFoundError, match=r"ses-1\*.nwb and sub-\*_ses-20000101T000000"):
        find_places(tmp_path, 1, start="20000101T000000")


def test_copies_in_different_folders_are_refused(tmp_path):
    one = make_file(tmp_path / "one" / id_name())
    two = make_file(tmp_path / "two" / id_name())
    make_file(tmp_path / "two" / id_name(parts="behavior+image+ophys"))
    with pytest.raises(AmbiguousSessionError) as caught:
        find_places(tmp_path, SESSION)
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    assert "image" not in str(caught.value)
    assert len(find_places(tmp_path / "two", SESSION)) == 2


def test_other_parts_may_lie_elsewhere_and_links_are_no_copies(tmp_path):
    base = make_file(tmp_path / "a" / id_name())
    movie = make_file(tmp_path / "movies" / id_name(obj="_obj-raw"))
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / base.name).symlink_to(base)
    assert find_places(tmp_path, SESSION) == (base, movie)


def test_file_named_for_another_mouse(tmp_path):
    path = make_file(tmp_path / id_name())
    with pytest.raises(SessionMismatchError) as caught:
        find_places(tmp_path, SESSION, mouse_id=999999)
    for part in (str(SESSION), "999999", str(MOUSE), str(path)):
        assert part in str(caught.value)
    make_file(tmp_path / id_name(mouse_id=999999))
    with pytest.raises(AmbiguousSessionError, match=r"several mice \[408021, 999999\]"):
        find_places(tmp_path, SESSION)


@given(data=st.data())
def test_scan_is_in_order_and_complete(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("scan")
    ids = data.draw(st.lists(st.integers(10**8, 10**9 - 1), unique=True, max_size=5))
    paths = []
    for number in ids:
        mouse = data.draw(st.integers(1, 3))
        depth = data.draw(st.sampled_from(["", "a", "b/c"]))
        for obj in data.draw(st.sampled_from([("",), ("", "_obj-raw")])):
            path = folder / depth / id_name(number, mouse, obj=obj)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            paths.append(path)
    found = scan(folder)
    assert sorted(p for files in found for p in files.paths) == sorted(paths)
    keys = [(files.identity.mouse_id, files.identity.session_id) for files in found]
    assert keys == sorted(keys)
    for files in found:
        assert all(str(files.identity.session_id) in path.name for path in files.paths)


@pytest.mark.skipif(not SESSIONS.is_dir(), reason="needs ../shared")
def test_example_sessions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scan(SESSIONS)
    assert [files.identity.session_id for files in found] == [
        758519303,
        759189643,
        759660390,
        764704289,
    ]
    for files in found:
        identity = read_identity(files.path)
        assert identity.session_id == files.identity.session_id
        assert 0 < identity.n_tracked < identity.n_rois
        assert find_places(SESSIONS, files.identity.session_id) == files.paths


def test_names_in_capitals_say_as_much(tmp_path):
    path = ox.sample.write_nwb(small_spec(), tmp_path / "data")
    named = path.rename(path.with_suffix(".NWB"))
    (tmp_path / "data" / "sub-1_ses-999999999_behavior+ophys.NWB").write_bytes(b"never read")
    with ox.open_session(small_spec().session_id, datadir=tmp_path) as ds:
        assert ds.encoding["source"] == str(named)
