"""Downloads into object stores: put together here, checked, then put; what is there is verified."""

import hashlib
import os
from collections import namedtuple
from dataclasses import replace

import pytest

from command_line import invoke
from object_store import SECRET
from oscaxr.cli.download import _tell_results
from oscaxr.download import Asset, Plan, fetch
from oscaxr.errors import CriterionError, DownloadError, OptionError, UnsafePathError
from scripted_server import ScriptedServer

fsspec = pytest.importorskip("fsspec")

ROOT = "memory://downloads/000037"
QUICK = {"retries": 1, "retry_wait": 0.01, "timeout": 1.0}


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/downloads"):
        store.rm("/downloads", recursive=True)


@pytest.fixture
def archive():
    """A server, and a plan of two files that have the same bytes."""
    content = os.urandom(300_000)
    server = ScriptedServer(content)
    digests = {"sha2-256": hashlib.sha256(content).hexdigest()}
    assets = [
        Asset(f"sub-1/{name}.nwb", len(content), name, f"{server.url}/{name}", digests)
        for name in "ab"
    ]
    server.act(lambda handler: handler.send())
    yield server, Plan("000037", "draft", tuple(assets))
    server.close()


def stored(memory):
    return {one.removeprefix("/downloads/000037/"): memory.cat(one) for one in memory.find("/")}


def test_files_are_put_whole_and_then_verified(memory, archive, tmp_path, monkeypatch):
    server, planned = archive
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    results = fetch(planned, ROOT, progress=lambda asset, done: seen.append(done), **QUICK)
    assert [one.status for one in results] == ["downloaded", "downloaded"]
    assert [one.path for one in results] == [f"{ROOT}/sub-1/a.nwb", f"{ROOT}/sub-1/b.nwb"]
    assert {one.checked for one in results} == {"sha2-256"}
    assert stored(memory) == dict.fromkeys(("sub-1/a.nwb", "sub-1/b.nwb"), server.content)
    assert seen[-1] == 300_000
    n_asked = len(server.told)
    memory.rm("/downloads/000037/sub-1/b.nwb")
    assert planned.assets[0].bytes_there(ROOT) == 300_000
    assert planned.assets[1].bytes_there(ROOT) == 0
    again = fetch(planned, ROOT, **QUICK)
    assert [one.status for one in again] == ["verified", "downloaded"]
    assert len(server.told) == n_asked + 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("there", [b"mine", b"x" * 300_000])
def test_another_file_is_not_replaced_unless_told(memory, archive, there):
    server, planned = archive
    memory.pipe("/downloads/000037/sub-1/a.nwb", there)
    with pytest.raises(DownloadError, match=r"sub-1/a\.nwb is there already.*overwrite=True"):
        fetch(planned, ROOT, **QUICK)
    assert stored(memory) == {"sub-1/a.nwb": there, "sub-1/b.nwb": server.content}
    results = fetch(planned, ROOT, overwrite=True, **QUICK)
    assert [one.status for one in results] == ["downloaded", "verified"]


def test_what_is_not_the_archives_file_is_not_put(memory, archive):
    server, planned = archive
    wrong = replace(planned.assets[0], digests={"sha2-256": "0" * 64})
    with pytest.raises(DownloadError, match="is not the file of the archive") as caught:
        fetch(replace(planned, assets=(wrong, planned.assets[1])), ROOT, **QUICK)
    assert [one.status for one in caught.value.results] == ["failed", "downloaded"]
    assert caught.value.results[0].path == f"{ROOT}/sub-1/a.nwb"
    server.act(lambda handler: handler.send(body=server.content[:1000]))
    memory.rm("/downloads", recursive=True)
    with pytest.raises(DownloadError):
        fetch(planned, ROOT, **QUICK)
    assert not stored(memory)


def test_no_file_outside_the_folder(memory, archive):
    server, planned = archive
    for path in ("../a.nwb", "/a.nwb", "sub-1/../../a.nwb"):
        outside = replace(planned, assets=(replace(planned.assets[0], path=path),))
        with pytest.raises(UnsafePathError, match="no plain path"):
            fetch(outside, ROOT, **QUICK)
    twice = replace(planned.assets[0], path="sub-1/B.nwb")
    with pytest.raises(UnsafePathError, match="written over the other"):
        fetch(replace(planned, assets=(planned.assets[1], twice)), ROOT, **QUICK)
    assert (stored(memory), server.told) == ({}, [])


def test_what_cannot_be_downloaded_into(archive, tmp_path, monkeypatch):
    _, planned = archive
    with pytest.raises(CriterionError, match="nothing can be written there"):
        fetch(planned, "https://host/data")
    with pytest.raises(OptionError, match="storage_options= is for files on a server"):
        fetch(planned, tmp_path, storage_options={"anon": True})
    usage = namedtuple("usage", "free")(299_999)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"The largest file has 0\.0 GB.*TMPDIR"):
        fetch(planned, ROOT)


@pytest.mark.parametrize("needs_options", [True, False])
def test_the_command_says_how_to_go_on(memory, archive, needs_options, capsys):
    _tell_results(fetch(archive[1], ROOT, **QUICK), needs_options=needs_options)
    how = ", storage_options={...}" if needs_options else ""
    assert f"ds = ox.open_session('{ROOT}/sub-1/a.nwb'{how})" in capsys.readouterr().out


def test_the_command_says_what_is_there(memory):
    words = ("download", "--sessions", "758519303,759189643", "-o", ROOT, "--dry-run")
    done = invoke(*words)
    assert done.exit_code == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "behavior+ophys" in line]
    name = next(word for word in rows[0].split() if word.endswith(".nwb"))
    memory.pipe(f"/downloads/000037/{name.partition('_')[0]}/{name}", b"x" * 1000)
    lines = invoke(*words).stdout.splitlines()
    assert [line.split()[-1] for line in lines if "behavior+ophys" in line].count("%") == 1
    assert f"into {ROOT}:" in lines[0]


@pytest.mark.slow
def test_into_s3(object_store, archive):
    _, planned = archive
    url, options = object_store.url("downloads"), {"storage_options": object_store.options}
    for status in ("downloaded", "verified"):
        results = fetch(planned, url, **options, **QUICK)
        assert [one.status for one in results] == [status, status]
        assert SECRET not in repr(results)
    object_store.fs.pipe("bucket/downloads/sub-1/a.nwb", b"mine")
    with pytest.raises(DownloadError, match="it has 4 bytes"):
        fetch(planned, url, **options, **QUICK)
