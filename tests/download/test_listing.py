"""Plans by the list of the archive's files that is at hand: without the archive, and exact."""

import socket

import pytest

from archive_server import ArchiveServer
from oscaxr.download import VERSION, fetch, plan, refresh
from oscaxr.errors import CriterionError, DownloadError, SessionNotFoundError
from oscaxr.formats import published as module
from oscaxr.formats.published import file_of, published
from oscaxr.sessions.settings import DATADIR, TABLE, TABLE_NAME

SESSION, MOUSE = 758519303, 408021


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Let lists be kept in a folder of the test, and nothing be set."""
    for name in (DATADIR, TABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "kept_folder", lambda: tmp_path / "kept")
    module._lists.cache_clear()
    yield tmp_path / "kept"
    module._lists.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    """Let every attempt to reach a server be an error of the test."""

    def refuse(*args, **options):
        raise AssertionError("a server was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("options", "kind", "size"),
    [
        ({}, "behavior+ophys", 240014960),
        ({"stimulus_templates": True}, "behavior+image+ophys", 1679159200),
        ({"movies": True}, "obj-raw_behavior+image+ophys", 46092282812),
    ],
)
def test_a_session_is_planned_without_the_archive(options, kind, size, offline):
    planned = plan(sessions=SESSION, **options)
    (asset,) = planned.assets
    assert asset.path == f"sub-{MOUSE}/sub-{MOUSE}_ses-{SESSION}_{kind}.nwb"
    assert (planned.version, planned.size, asset.size) == (VERSION, size, size)
    assert asset.url == f"https://api.dandiarchive.org/api/assets/{asset.identifier}/download/"
    assert asset.digests == {"sha2-256": file_of(asset.path).sha256}


def test_all_sessions_are_planned_without_the_archive(offline):
    planned = plan()
    plain = [one for one in published().files if one.identity.parts == ("behavior", "ophys")]
    assert sorted(asset.path for asset in planned.assets) == sorted(one.path for one in plain)
    assert planned.size == sum(one.size for one in plain)
    with pytest.raises(SessionNotFoundError, match="758519304"):
        plan(sessions=758519304)


def test_numbers_are_those_of_the_table_at_hand(offline, tmp_path, monkeypatch):
    table = tmp_path / TABLE_NAME
    table.write_text(f"sessid,mouseid,mouse_n,sess_n\n{SESSION},{MOUSE},1,1\n")
    given = plan(mice=1, sessions=1, table=table)
    assert [asset.session_id for asset in given.assets] == [SESSION]
    # Named by the environment, or lying in the data folder; without numbers, its sessions are all.
    for name, place in ((TABLE, table), (DATADIR, tmp_path)):
        monkeypatch.setenv(name, str(place))
        assert plan(mice=1, sessions=1) == plan() == given
        # Ids do without.
        (other,) = plan(sessions=761730740).assets
        assert other.session_id == 761730740
        monkeypatch.delenv(name)
    with pytest.raises(CriterionError, match=f"or set {TABLE}"):
        plan(mice=1)


def test_the_command_plans_without_the_archive(offline, tmp_path):
    from typer.testing import CliRunner

    from oscaxr.cli.main import app

    args = ["download", "--mice", str(MOUSE), "-o", str(tmp_path / "data"), "--dry-run"]
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, args)
    assert done.exit_code == 0, done.stderr
    size = sum(
        one.size
        for one in published().files
        if one.identity.mouse_id == MOUSE and one.identity.parts == ("behavior", "ophys")
    )
    assert f"3 files, {size / 1e6:.1f} MB; {size / 1e6:.1f} MB to download" in done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("dandi")
    path = tmp_path_factory.mktemp("archive") / "file.nwb"
    path.write_bytes(b"content" * 1000)
    server = ArchiveServer()
    server.add(f"sub-{MOUSE}/sub-{MOUSE}_ses-{SESSION}_behavior+ophys.nwb", path)
    yield server
    server.close()


def test_a_list_that_was_asked_for_plans_without_the_archive(server, kept, tmp_path):
    asked = plan(sessions=SESSION, api_url=server.api)
    assert refresh(api_url=server.api).parent == kept
    server.reset()
    planned = plan(sessions=SESSION, api_url=server.api)
    assert server.api_asked == 0
    assert planned == asked
    assert planned.assets[0].digests == asked.assets[0].digests
    (blob,) = server.blobs
    for url in (planned.assets[0].url, f"https://s3.example.org/blobs/{blob.blob_id}"):
        assert file_of(url).identity.session_id == SESSION
    (done,) = fetch(planned, tmp_path / "data")
    assert (done.status, done.checked) == ("downloaded", "sha2-256")
    assert server.api_asked == 1, "the address of the file, and nothing else"
    server.reset()
    (done,) = fetch(planned, tmp_path / "data")
    assert (done.status, server.api_asked, server.asked) == ("verified", 0, [])
    # Another version was not asked for.
    plan(sessions=SESSION, version="draft", api_url=server.api)
    assert server.api_asked > 0


def test_the_command_asks_anew(server, kept, tmp_path):
    from typer.testing import CliRunner

    from oscaxr.cli.main import app

    args = ["download", "--sessions", str(SESSION), "--api-url", server.api]
    args += ["-o", str(tmp_path), "--dry-run"]
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, [*args, "--refresh"])
    assert done.exit_code == 0, done.stderr
    assert str(kept) in done.stderr
    server.reset()
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, args)
    assert (done.exit_code, server.api_asked) == (0, 0)


def test_a_list_that_cannot_be_kept(server, kept):
    kept.write_bytes(b"a file")
    with pytest.raises(DownloadError, match="cannot be kept"):
        refresh(api_url=server.api)
