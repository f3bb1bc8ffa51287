"""Downloads with the dandi client, from a real server on this machine that can be made to fail."""

import hashlib
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

import oscaxr as ox
from archive_server import ArchiveServer
from oscaxr.download import VERSION, Asset, Plan, fetch, plan
from oscaxr.errors import (
    CriterionError,
    DownloadError,
    MissingLibraryError,
    OptionError,
    SessionNotFoundError,
    UnsafePathError,
)
from scripted_server import ETAG, ScriptedServer
from small_sessions import small_spec

dandi = pytest.importorskip("dandi")

MOUSE = 900001
SESSIONS = (900000001, 900000002)
QUICK = {"retries": 2, "retry_wait": 0.01, "timeout": 1.0}
SCRIPT = Path(sys.executable).parent / ("oscaxr.exe" if os.name == "nt" else "oscaxr")


def name(session, parts="behavior+ophys", mouse=MOUSE):
    return f"sub-{mouse}/sub-{mouse}_ses-{session}_{parts}.nwb"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Files by asset path: two sessions, of the first one all three kinds; another mouse's."""
    folder = tmp_path_factory.mktemp("archive")
    spec = small_spec()
    files = {
        name(SESSIONS[0]): ox.sample.write_nwb(spec, folder / "a"),
        name(SESSIONS[0], "behavior+image+ophys"): ox.sample.write_nwb(
            spec, folder / "b", parts="behavior+image+ophys"
        ),
        name(SESSIONS[1]): ox.sample.write_nwb(
            small_spec(session_id=SESSIONS[1], session_number=2), folder / "c"
        ),
    }
    raw = folder / "raw.nwb"
    raw.write_bytes(os.urandom(6_000_000))  # no download looks into a file
    files[name(SESSIONS[0], "obj-raw_behavior+image+ophys")] = raw
    early = folder / "early.nwb"
    early.write_bytes(b"early" * 1000)
    files[name("20181113T183120", mouse=900003)] = early
    return files


@pytest.fixture(scope="module")
def whole(stored):
    server = ArchiveServer(page_size=2)
    for path, file in stored.items():
        server.add(path, file)
    yield server
    server.close()


@pytest.fixture
def server(whole, monkeypatch):
    whole.reset()
    # The client waits for a minute before it gives up on a server.
    monkeypatch.setattr("dandi.dandiapi.REQUEST_RETRIES", 2)
    return whole


@pytest.fixture(scope="module")
def table():
    specs = [
        small_spec(session_id=session, session_number=number)
        for number, session in enumerate([*SESSIONS, 900000008], start=1)
    ]
    return ox.sample.mouse.sample_session_table(specs)


def plan_of(server, **criteria):
    return plan(api_url=server.api, **criteria)


def paths(planned):
    return [asset.path for asset in planned.assets]


def digest_free(planned):
    return replace(planned, assets=tuple(replace(a, digests={}) for a in planned.assets))


# -- which files --------------------------------------------------------------------------------
def test_version_is_pinned(server):
    planned = plan_of(server, sessions=SESSIONS[0])
    assert (planned.dandiset, planned.version) == ("000037", VERSION)
    assert plan_of(server, sessions=SESSIONS[0], version="draft").version == "draft"
    with pytest.raises(SessionNotFoundError, match=r"no version '0\.1'.*draft, 0\.240209\.1623"):
        plan_of(server, version="0.1")


def test_plain_files_by_default(server, stored):
    planned = plan_of(server, mice=MOUSE)
    assert paths(planned) == [name(SESSIONS[0]), name(SESSIONS[1])]
    assert [asset.size for asset in planned.assets] == [
        stored[path].stat().st_size for path in paths(planned)
    ]
    assert planned.size == sum(asset.size for asset in planned.assets)
    assert set(planned.assets[0].digests) == {"sha2-256", "dandi-etag"}
    json.dumps(planned.to_dict())


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"stimulus_templates": True}, "behavior+image+ophys"),
        ({"movies": True}, "obj-raw_behavior+image+ophys"),
        ({"movies": True, "stimulus_templates": True}, "obj-raw_behavior+image+ophys"),
    ],
)
def test_files_with_more(options, parts, server):
    assert paths(plan_of(server, sessions=SESSIONS[0], **options)) == [name(SESSIONS[0], parts)]


def test_part_that_no_file_has(server):
    with pytest.raises(SessionNotFoundError, match=r"no file holds movie.*behavior\+ophys\.nwb"):
        plan_of(server, sessions=SESSIONS[1], movies=True)


def test_larger_file_where_there_is_no_other(tmp_path):
    server = ArchiveServer()
    try:
        file = tmp_path / "a"
        file.write_bytes(b"a" * 10)
        server.add(name(SESSIONS[0], "behavior+image+ophys"), file)
        (asset,) = plan_of(server).assets
        assert "also holds templates" in asset.note
    finally:
        server.close()


def test_by_table(server, table):
    planned = plan_of(server, table=table, mice=[1], sessions=[1, 2])
    assert paths(planned) == [name(SESSIONS[0]), name(SESSIONS[1])]
    assert [asset.label for asset in planned.assets] == ["mouse 1, session 1", "mouse 1, session 2"]
    assert planned.missing == ()
    planned = plan_of(server, table=table)
    assert planned.missing == ("mouse 1, session 3 (900000008)",)
    assert len(planned.assets) == 2
    with pytest.raises(SessionNotFoundError, match=r"None of the sessions.*900000008"):
        plan_of(server, table=table, sessions=[3])


def test_by_table_and_start_time(server, table):
    row = table.iloc[[0]].assign(
        session_id=900000005, mouse_id=900003, mouse=2, dandi_session_time="20181113T183120"
    )
    both = pd.concat([table, row])
    planned = plan_of(server, table=both, mice=[2])
    assert paths(planned) == [name("20181113T183120", mouse=900003)]
    assert planned.assets[0].session_id == 900000005


def test_what_is_not_there(server, table):
    with pytest.raises(CriterionError, match="mice=1 are numbers of the session table"):
        plan_of(server, mice=[1])
    with pytest.raises(SessionNotFoundError, match=r"sessions=999999999: not found.*900000001"):
        plan_of(server, sessions=[999999999])
    with pytest.raises(SessionNotFoundError, match=r"mice=7: not found. There are 1\."):
        plan_of(server, table=table, mice=[7])
    with pytest.raises(CriterionError, match="whole numbers"):
        plan_of(server, mice=[])


@pytest.mark.slow
def test_archive_out_of_order(server, caplog):
    server.api_fault = 500
    # The client keeps what a server says of itself: it is asked here for the first time.
    with pytest.raises(DownloadError, match="try again later"):
        plan_of(server)
    server.api_fault = 0
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1"):
        plan(api_url="http://127.0.0.1:1/api")
    assert not caplog.records
    word = uuid4().hex  # (a traceback quotes these lines)
    with pytest.raises(DownloadError, match="refused the connection") as caught:
        plan(api_url=f"http://user:{word}@127.0.0.1:1/api?token={word}")
    assert word not in "".join(traceback.format_exception(caught.value))


# -- fetching -----------------------------------------------------------------------------------
def test_files_come_as_they_are(server, stored, tmp_path):
    planned = plan_of(server, mice=MOUSE)
    seen = []
    results = fetch(planned, tmp_path, progress=lambda asset, done: seen.append((asset, done)))
    assert [result.status for result in results] == ["downloaded", "downloaded"]
    assert {result.checked for result in results} == {"sha2-256"}
    for result in results:
        assert result.path == tmp_path / result.asset.path
        assert result.path.read_bytes() == stored[result.asset.path].read_bytes()
    assert [done for asset, done in seen if asset == planned.assets[0]][-1] == planned.assets[
        0
    ].size
    assert not list(tmp_path.rglob("*.part"))
    with ox.open_session(SESSIONS[0], datadir=tmp_path) as ds:
        assert ds.sizes["roi"] == 7


def test_what_is_there_is_verified_not_fetched(server, tmp_path):
    planned = plan_of(server, mice=MOUSE)
    fetch(planned, tmp_path)
    server.reset()
    assert [result.status for result in fetch(planned, tmp_path)] == ["verified", "verified"]
    assert server.asked == []


def test_other_file_is_not_replaced_unless_told(server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    target = tmp_path / planned.assets[0].path
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"it has 4 bytes.*overwrite=True"):
        fetch(planned, tmp_path, **QUICK)
    assert target.read_bytes() == b"mine"
    assert fetch(planned, tmp_path, overwrite=True)[0].status == "downloaded"
    assert target.read_bytes() == stored[planned.assets[0].path].read_bytes()


def test_etag_is_compared_where_there_is_no_sha(server, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    asset = planned.assets[0]
    etag = replace(asset, digests={"dandi-etag": asset.digests["dandi-etag"]})
    assert fetch(replace(planned, assets=(etag,)), tmp_path)[0].checked == "dandi-etag"
    wrong = replace(asset, digests={"dandi-etag": "0" * 32 + "-1"})
    with pytest.raises(DownloadError, match="dandi-etag is"):
        fetch(replace(planned, assets=(wrong,)), tmp_path / "new", **QUICK)
    assert fetch(digest_free(planned), tmp_path)[0].checked == "size"


def test_resumes(server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0], movies=True)
    asset = planned.assets[0]
    data = stored[asset.path].read_bytes()
    part = tmp_path / (asset.path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:2_000_000])
    assert asset.bytes_there(tmp_path) == 2_000_000
    (result,) = fetch(planned, tmp_path, **QUICK)
    assert result.status == "resumed"
    assert result.path.read_bytes() == data
    assert server.asked[-1][1:] == ("bytes=2000000-", 206)
    assert server.sent == len(data) - 2_000_000


@pytest.mark.parametrize("there", [b"another version" * 1000, b"x" * 3_000_001])
def test_part_of_something_else_is_fetched_anew(there, server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0], movies=True)
    asset = planned.assets[0]
    part = tmp_path / (asset.path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(there)
    (result,) = fetch(planned, tmp_path, **QUICK)
    assert result.path.read_bytes() == stored[asset.path].read_bytes()


def test_part_that_is_whole_is_only_checked(server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    part = tmp_path / (planned.assets[0].path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(stored[planned.assets[0].path].read_bytes())
    assert fetch(planned, tmp_path)[0].status == "resumed"
    assert server.asked == []


def test_connections_that_are_cut_are_taken_up(server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0], movies=True)
    # More cuts than retries: each brings something.
    server.faults = ["cut"] * 5
    (result,) = fetch(planned, tmp_path, **QUICK)
    assert result.path.read_bytes() == stored[planned.assets[0].path].read_bytes()
    assert [status for _, _, status in server.asked] == [200] + [206] * 5


@pytest.fixture
def scripted():
    """A server that answers as a script says, and a plan of its one file."""
    content = os.urandom(300_000)
    server = ScriptedServer(content)
    digests = {"sha2-256": hashlib.sha256(content).hexdigest()}
    asset = Asset("sub-1/a.nwb", len(content), "1", f"{server.url}/a?token=s3cr3t", digests)
    yield server, Plan("000037", "draft", (asset,))
    server.close()


def test_states_of_a_file_are_not_joined(scripted, tmp_path):
    server, planned = scripted
    other = os.urandom(len(server.content))

    def answer(handler):
        start, stop = handler.span
        if handler.number == 0:
            handler.send(
                body=server.content[:100_000], headers={**ETAG, "Content-Length": "300000"}
            )
            handler.hang_up()
        elif handler.number == 1:
            # This server knows no conditions.
            handler.send(206, other[start:stop], {"ETag": '"two"'})
        else:
            handler.send(content=other, headers={"ETag": '"two"'})

    server.act(answer)
    # There is no digest that would tell.
    (result,) = fetch(digest_free(planned), tmp_path, **QUICK)
    assert result.path.read_bytes() == other
    assert [one.get("if-range") for one in server.told] == [None, '"one"', None]


def test_deadline_and_secrets(scripted, tmp_path):
    server, planned = scripted
    server.act(lambda handler: handler.drip(b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(999)))
    begin = time.perf_counter()
    with pytest.raises(DownloadError, match=r"took longer than deadline=0\.5 s") as caught:
        fetch(planned, tmp_path, **QUICK, deadline=0.5)
    assert time.perf_counter() - begin < 4
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_compressed_answers_are_refused(scripted, tmp_path):
    server, planned = scripted
    server.act(lambda handler: handler.send(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(DownloadError, match="compresses what it sends"):
        fetch(planned, tmp_path, **QUICK)
    assert len(server.told) == 1


@pytest.mark.parametrize("fault", ["500", "429", "drop"])
def test_passing_faults_are_waited_out(fault, server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    server.faults = [fault, fault]
    (result,) = fetch(planned, tmp_path, **QUICK)
    assert result.path.read_bytes() == stored[planned.assets[0].path].read_bytes()


@pytest.mark.parametrize("fault", ["500", "drop", "404", "403", "short-length", "longer"])
def test_lasting_faults_are_named_and_nothing_is_left_under_the_name(fault, server, tmp_path):
    planned = plan_of(server, mice=MOUSE)
    server.faults = [fault] * 3  # of the first file
    with pytest.raises(DownloadError) as caught:
        fetch(planned, tmp_path, **QUICK)
    message = str(caught.value)
    if fault in ("404", "403", "short-length", "longer"):
        assert len([s for path, _, s in server.asked if path == server.asked[0][0]]) == 1
    assert planned.assets[0].url in message
    assert "1 of 2 files" in message or fault in ("404", "403", "short-length", "longer")
    assert not (tmp_path / planned.assets[0].path).exists()
    # What went wrong is over: the same call goes on.
    server.reset()
    assert {result.status for result in fetch(planned, tmp_path)} <= {
        "downloaded",
        "resumed",
        "verified",
    }


def test_wrong_digest(server, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    server.always = "corrupt"
    with pytest.raises(DownloadError, match=r"is not the file of the archive.*sha2-256 is"):
        fetch(planned, tmp_path, **QUICK)
    assert list(tmp_path.rglob("*.nwb*")) == []


def test_server_that_ignores_ranges(server, stored, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0], movies=True)
    server.faults = ["cut", "ignore-range"]
    (result,) = fetch(planned, tmp_path, **QUICK)
    assert result.path.read_bytes() == stored[planned.assets[0].path].read_bytes()
    assert [status for _, _, status in server.asked] == [200, 200]


@pytest.mark.slow
def test_stalled_and_slow(server, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0], movies=True)
    server.always = "stall"
    with pytest.raises(DownloadError, match="tries in a row"):
        fetch(planned, tmp_path, retries=0, timeout=0.2)
    part = tmp_path / (planned.assets[0].path + ".part")
    assert part.exists()
    server.reset(always="slow")
    assert fetch(planned, tmp_path, **QUICK)[0].status in ("resumed", "downloaded")


def test_disk_too_small(server, tmp_path, monkeypatch):
    planned = plan_of(server, sessions=SESSIONS[0])
    huge = replace(planned, assets=(replace(planned.assets[0], size=10**18),))
    with pytest.raises(DownloadError, match=r"1000000000\.0 GB.*free"):
        fetch(huge, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    assert server.asked == []


# -- paths that lead elsewhere ------------------------------------------------------------------
UNSAFE = [
    "../sub-900001_ses-900000001_behavior+ophys.nwb",
    "sub-900001/../../sub-900001_ses-900000001_behavior+ophys.nwb",
    "/tmp/sub-900001_ses-900000001_behavior+ophys.nwb",
    "sub-900001//sub-900001_ses-900000001_behavior+ophys.nwb",
    "./sub-900001_ses-900000001_behavior+ophys.nwb",
    "..\\x/sub-900001_ses-900000001_behavior+ophys.nwb",
    "C:/sub-900001_ses-900000001_behavior+ophys.nwb",
    "a\0b/sub-900001_ses-900000001_behavior+ophys.nwb",
    "",
    # Devices on Windows, which also takes off spaces and full stops.
    *("CON", "aux.nwb", "sub-1/NUL", "com1.tar.nwb", "LPT\xb9.nwb", "conin$"),
    *("sub-1./a.nwb", "sub-1 /a.nwb", " sub-1/a.nwb"),
    # What has no encoding, breaks lines, or turns the writing about.
    *("\ud800.nwb", "\udcff.nwb", "a\u2028b.nwb", "\u202ebwn.a", "a\x9bb.nwb"),
    # Names that are too long, with the ending of what is not complete.
    *("a" * 251, "a" * 5000 + "/b.nwb", "\xe9" * 126),
]
PLAIN = [
    "~root/a.nwb",
    "-rf",
    "console.nwb",
    "nul\xe9.nwb",
    ".hidden",
    "a" * 250,
    "\xe9" * 125,
    "a b",
]


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused(path, tmp_path):
    planned = Plan("000037", "draft", (Asset(path, 3, "x", "http://127.0.0.1:1/", {}),))
    with pytest.raises(UnsafePathError, match="The archive names a file"):
        fetch(planned, tmp_path / "in", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_unsafe_paths_are_refused_when_planning(tmp_path):
    server = ArchiveServer()
    try:
        file = tmp_path / "a"
        file.write_bytes(b"evil")
        server.add(UNSAFE[0], file)
        with pytest.raises(UnsafePathError, match="The archive names a file"):
            plan_of(server)
    finally:
        server.close()


@pytest.mark.parametrize("path", PLAIN)
def test_other_paths_are_taken(path, tmp_path, scripted):
    server, planned = scripted
    asset = replace(planned.assets[0], path=path)
    (result,) = fetch(replace(planned, assets=(asset,)), tmp_path, **QUICK)
    assert result.path == tmp_path / path
    assert result.path.read_bytes() == server.content


def test_path_that_is_too_long_as_a_whole(tmp_path):
    planned = Plan(
        "000037", "draft", (Asset("a/" * 3000 + "b", 3, "x", "http://127.0.0.1:1/", {}),)
    )
    with pytest.raises(UnsafePathError, match=r"cannot be written below .* name too long"):
        fetch(planned, tmp_path / "in", **QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pair", [("a", "A"), ("a.nwb", "a.nwb.part"), ("\xe9", "e\u0301")])
def test_files_of_one_place_are_refused(pair, tmp_path):
    assets = tuple(Asset(path, 3, path, "http://127.0.0.1:1/", {}) for path in pair)
    with pytest.raises(UnsafePathError, match="one would be written over the other"):
        fetch(Plan("000037", "draft", assets), tmp_path / "in", **QUICK)
    assert list(tmp_path.iterdir()) == []


FOLDERS = ["a\0b", "a" * 300, "a/" * 3000, "\ud800", "~nosuchuser/x", "/dev/null/x", 5, None, b"x"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_no_folder(folder, tmp_path, monkeypatch, scripted):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DownloadError):
        fetch(scripted[1], folder, **QUICK)
    assert list(tmp_path.iterdir()) == []
    assert scripted[0].told == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("retries", -1), ("retries", 1.5), ("retry_wait", -1), ("retry_wait", None)),
        *(("timeout", 0), ("timeout", float("nan")), ("deadline", -3), ("deadline", "5")),
    ],
)
def test_numbers_that_cannot_be_used(name, value, tmp_path, scripted):
    with pytest.raises(OptionError, match=f"{name}=.*: give a "):
        fetch(scripted[1], tmp_path / "in", **{name: value})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_nothing_came(tmp_path, scripted):
    server, planned = scripted
    server.act(lambda handler: handler.send(404, b""))
    with pytest.raises(DownloadError, match="404"):
        fetch(planned, tmp_path, **QUICK)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("what", ["folder", "file", "part"])
def test_nothing_is_written_through_links(what, server, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    outside, folder = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    folder.mkdir()
    target = folder / planned.assets[0].path
    if what == "folder":
        target.parent.symlink_to(outside, target_is_directory=True)
    else:
        target.parent.mkdir()
        (outside / "x").write_bytes(b"mine")
        link = target if what == "file" else target.with_name(target.name + ".part")
        link.symlink_to(outside / "x")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        fetch(planned, folder, overwrite=True, **QUICK)
    assert [path.read_bytes() for path in outside.iterdir()] == (
        [] if what == "folder" else [b"mine"]
    )
    assert server.asked == []


def test_folder_itself_may_be_a_link(server, tmp_path):
    planned = plan_of(server, sessions=SESSIONS[0])
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert fetch(planned, tmp_path / "link")[0].status == "downloaded"


def test_target_path():
    asset = Asset("b/c.nwb", size=1, identifier="1", url="https://example.org/1")
    assert asset.target(Path("a")) == Path("a/b/c.nwb")


def test_client_that_is_not_installed(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "dandi.dandiapi", None)
    with pytest.raises(MissingLibraryError, match=r"oscaxr\[dandi\]"):
        plan_of(server)
    done = run(server, "--sessions", SESSIONS[0], "-o", "x")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: downloading needs the dandi client")


# -- the command --------------------------------------------------------------------------------
def run(server, *args):
    """Run the command in this process: each new one would import the client for a second."""
    from typer.testing import CliRunner

    from oscaxr.cli.main import app

    args = ["download", *map(str, args), "--api-url", server.api]
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, args)


def test_command(server, table, stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.to_csv("mouse_df.csv", index=False)
    args = ["--table", "mouse_df.csv", "--mice", 1, "--sessions", "1-3", "-o", "data"]
    done = run(server, *args, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert name(SESSIONS[0]).rpartition("/")[2] in done.stdout
    total = sum(stored[name(session)].stat().st_size for session in SESSIONS) / 1e6
    assert f"2 files, {total:.1f} MB; {total:.1f} MB to download" in done.stdout
    assert done.stderr == f"Note: not in version {VERSION}: mouse 1, session 3 (900000008)\n"
    planned = json.loads(run(server, *args, "--dry-run", "--json").stdout)
    assert planned["bytes"] == sum(asset["bytes"] for asset in planned["assets"]) > 0
    assert not (tmp_path / "data").exists()
    done = run(server, *args)
    assert (done.exit_code, "2 downloaded" in done.stdout) == (0, True), done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "to download" in (again := run(server, *args)).stdout
    assert "2 already there, verified" in again.stdout
    result = json.loads(run(server, *args, "--json").stdout)
    assert [one["status"] for one in result["files"]] == ["verified", "verified"]
    found = (tmp_path / "data" / name(SESSIONS[0])).read_bytes()
    assert found == stored[name(SESSIONS[0])].read_bytes()


def test_command_says_what_went_wrong(server, tmp_path):
    args = ["--sessions", SESSIONS[0], "-o", tmp_path / "data"]
    server.always = "404"
    done = run(server, *args)
    assert done.exit_code == 1
    assert "Error: sub-900001/" in done.stderr
    assert "404" in done.stderr
    assert "Run the same command again" in done.stderr
    failed = run(server, *args, "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["files"][0]["status"] == "failed"
    done = run(server, "--mice", 1, "-o", tmp_path / "data")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: --mice 1 are numbers of the session table")
    assert run(server, "--mice", "1-", "-o", tmp_path / "data").exit_code == 1
    target = tmp_path / "data" / name(SESSIONS[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"mine")
    server.reset()
    done = run(server, *args)
    assert done.exit_code == 1
    assert "Give --overwrite to replace it" in done.stderr
    assert run(server, *args, "--overwrite").exit_code == 0


@pytest.mark.slow
def test_console_script(server, tmp_path):
    done = subprocess.run(
        [SCRIPT, "download", "--sessions", "1", "-o", "data", "--api-url", server.api],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: --sessions 1 are numbers of the session table")
    assert "Traceback" not in done.stderr
