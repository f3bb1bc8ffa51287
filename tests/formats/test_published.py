"""The list of the archive's files that comes with the package, and what follows from it."""

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import pytest

import oscaxr as ox
from example_sessions import SHARED
from oscaxr.download import VERSION
from oscaxr.errors import OscaxrWarning, SessionMismatchError
from oscaxr.files.remote import remote_file
from oscaxr.formats import published as module
from oscaxr.formats.identity import parse_name, site_date, stamp_of
from oscaxr.formats.published import (
    PublishedFile,
    PublishedFiles,
    file_of,
    has_utc_digits,
    keep,
    list_of,
    named,
    published,
    session_start,
)
from oscaxr.sessions.table import session_table

FACTS = SHARED / "data"
needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="needs ../shared/data")
SESSION, MOUSE = 778374308, 418779
API = "https://api.dandiarchive.org/api"
ASSET = "fc54561a-f079-4f5e-8592-ccc9940da393"  # of 758519303, behavior+ophys
BLOB = "0123abcd-0000-4000-8000-000000000001"
NAME = "sub-408021_ses-758519303_behavior+ophys.nwb"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Let lists be kept in a folder of the test."""
    monkeypatch.setattr(module, "kept_folder", lambda: tmp_path / "kept")
    module._lists.cache_clear()
    yield tmp_path / "kept"
    module._lists.cache_clear()


# -- the list -------------------------------------------------------------------------------------
def test_the_list_has_the_three_files_of_each_session():
    listed = published()
    assert listed.version == VERSION
    sessions = Counter(one.identity.session_id for one in listed.files)
    assert (len(sessions), set(sessions.values())) == (50, {3})
    kinds = Counter((one.identity.obj, one.identity.parts) for one in listed.files)
    image = ("behavior", "image", "ophys")
    assert kinds == dict.fromkeys([("", ("behavior", "ophys")), ("", image), ("raw", image)], 50)
    for one in listed.files:
        assert one.size > 10**8
        assert re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert len(listed.by_id) == len(listed.by_name) == 150
    assert "CC-BY-4.0" in files("oscaxr.formats").joinpath("published.json").read_text("utf-8")


def test_the_list_is_in_the_wheel(tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel")
    builder = wheel.WheelBuilder(str(Path(__file__).resolve().parents[2]))
    (built,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(built) as archive:
        assert b"CC-BY-4.0" in archive.read("oscaxr/formats/published.json")


@pytest.mark.shared
@needs_facts
def test_the_list_is_the_archives():
    facts = json.loads((FACTS / "real" / "dandi_000037_assets_slim.json").read_text("utf-8"))
    ours = {(one.path, one.size, one.asset_id, one.sha256) for one in published().files}
    assert ours == {tuple(one[x] for x in ("path", "size", "asset_id", "sha256")) for one in facts}


# -- when sessions started ------------------------------------------------------------------------
@pytest.mark.shared
@needs_facts
def test_starts_and_days_are_those_of_the_session_table():
    table = session_table(FACTS / "mouse_df.csv").set_index("session_id")
    facts = json.loads((FACTS / "real" / "dandi_000037_assets_slim.json").read_text("utf-8"))
    assert {int(one["session_id"]) for one in facts} == set(table.index)
    for one in facts:
        row = table.loc[int(one["session_id"])]
        start = session_start(
            one["session_start_time"], int(one["session_id"]), int(one["subject"])
        )
        assert stamp_of(start) == row["dandi_session_time"]
        assert (site_date(start), int(one["subject"])) == (row["date"], row["mouse_id"])


@pytest.mark.parametrize(
    ("session_id", "mouse_id", "expected"),
    [
        (SESSION, MOUSE, True),
        (SESSION, None, True),
        (SESSION, 418780, False),
        (None, MOUSE, True),
        (None, None, False),
        (600000001, MOUSE, False),
        (900000001, 900001, True),  # a sample
        (900000001, MOUSE, False),
        (None, 900001, True),
    ],
)
def test_whose_digits_are_utc(session_id, mouse_id, expected):
    assert has_utc_digits(session_id, mouse_id) is expected


# -- whose a place is -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "place",
    [
        f"{API}/assets/{ASSET}/download/",
        f"{API}/dandisets/000037/versions/{VERSION}/assets/{ASSET}/download/?x=1",
        f"{API}/assets/{ASSET.upper()}/download",
        remote_file(f"{API}/assets/{ASSET}/download/", {}),
        Path("anywhere") / ASSET,
        f"https://dandiarchive.s3.amazonaws.com/blobs/012/3ab/{BLOB}",
        f"https://dandiarchive.s3.amazonaws.com/blobs/012/3ab/{BLOB}?X-Amz-Signature=secret",
        f"https://example.org/{NAME}",
        f"https://example.org/{NAME.replace('+', '%2B')}?x=1#y",
        Path("data") / NAME,
        Path("da?ta#1") / NAME,
    ],
)
def test_addresses_and_names_say_whose_a_file_is(place, kept):
    (own,) = (one for one in published().files if one.name == NAME)
    with_blob = PublishedFile(own.path, own.size, own.asset_id, BLOB)
    keep(PublishedFiles(VERSION, (with_blob,)))
    found = named(place)
    assert found == parse_name(NAME)
    assert (found.session_id, found.mouse_id) == (758519303, 408021)
    assert file_of(place).size == 240014960


@pytest.mark.parametrize(
    "place",
    [
        f"{API}/assets/{BLOB}/download/",
        f"https://example.org/?asset={ASSET}",
        f"https://example.org/f{ASSET}",
        Path(ASSET) / "other.nwb",
        "notes.nwb",
        "",
    ],
)
def test_other_places_say_nothing(place):
    assert named(place) is None
    assert file_of(place) is None


def test_a_file_at_the_address_of_another_session_is_refused(sample_path, tmp_path):
    path = tmp_path / ASSET
    path.write_bytes(sample_path.read_bytes())
    with pytest.raises(SessionMismatchError, match="900000001 in the file, but 758519303 was exp"):
        ox.open_session(path)


# -- lists that were asked for --------------------------------------------------------------------
def test_lists_are_kept_by_version_and_archive(kept):
    assert list_of("draft", API) is None
    listed = PublishedFiles("draft", (PublishedFile("a/b.nwb", 5, ASSET, etag="x-1"),))
    path = keep(listed)
    assert path.parent == kept
    assert list_of("draft", API) == listed
    assert list_of("draft", "http://127.0.0.1/api") is None
    elsewhere = PublishedFiles("draft", (), "http://user:word@127.0.0.1/api")
    assert "word" not in keep(elsewhere).name
    assert list_of("draft", API) == listed
    assert sorted(kept.iterdir()) == sorted({path, keep(elsewhere)})
    assert list_of(VERSION, API) == published()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"version": 1, "assets": []}',
        '{"version": "draft", "assets": [{"path": "a"}]}',
        '{"version": "draft", "assets": [{"path": "a", "size": "5", "asset_id": "x"}]}',
        '{"version": "draft", "assets": [{"path": 7, "size": 5, "asset_id": "x"}]}',
        '{"version": "draft", "assets": [{"path": "a", "size": 5, "asset_id": "x", "y": "z"}]}',
        '{"version": "draft", "assets": null}',
    ],
)
def test_damaged_lists_are_said_and_not_used(content, kept):
    kept.mkdir()
    (kept / "draft.json").write_text(content, "utf-8")
    with pytest.warns(OscaxrWarning, match=r"draft\.json.*cannot be used.*--refresh"):
        assert list_of("draft", API) is None
    assert named(ASSET).session_id == 758519303
