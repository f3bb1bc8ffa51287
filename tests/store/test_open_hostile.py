"""Stores that somebody has tampered with: a clear error, soon, in little memory; nothing is run.

Each is opened in a process of its own (see :mod:`watched`), by `open_session` and `open_exported`,
and whatever opens is read to its last value.
"""

import os
import pickle
import shutil
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest

import hostile_zarr
import watched
from hostile_payload import Payload
from hostile_zarr import ATTACKS, DIGEST, ZIPS, Store, zeros_deflated
from oscaxr.store.save import save
from small_sessions import FEW_VARIABLES, only
from watched import MEGABYTES, OUTSIDE, SECONDS, assert_met, complaints, harm, watch

CHUNKS = {"dff": {"time": 64, "roi": 2}}
CASES = [
    f"{kind}-{name}"
    for name, one in ATTACKS.items()
    for kind in ("own", "plain")
    if kind == "own" or one.plain
]
# One of each kind; the others, which are variations of them, with the slow ones.
QUICK = [
    *("own-type_object", "own-codecs_pickle", "own-format_2_with_pickles", "own-chunk_of_pickle"),
    *("own-name_with_dots", "own-link_for_a_chunk", "own-chunks_doubled", "own-trillion_frames"),
    *("plain-trillion_frames", "own-missing_chunk", "own-changed_byte", "own-fifo_for_a_chunk"),
    *("own-zstd_bomb", "own-shard_index_overlapping", "own-document_nested", "own-digest_missing"),
    *("own-layout_dtype_object", "own-edited_values"),
]
SLOW = [case for case in CASES if case not in QUICK]


@pytest.fixture(scope="module")
def goods(tmp_path_factory, memory_session):
    """Good stores, of which the hostile ones are made."""
    warnings.simplefilter("ignore")  # what zarr says of text of fixed width
    folder = tmp_path_factory.mktemp("good")
    small = only(memory_session, FEW_VARIABLES)
    found = {"own": save(small, folder / "own.zarr", chunks=CHUNKS)}
    found["plain"] = folder / "plain.zarr"
    memory_session.to_zarr(found["plain"], zarr_format=3)
    return found


def make(case: str, goods: dict[str, Path], folder: Path) -> Path:
    """Make a hostile store, and the folder beside it that nothing may touch."""
    kind, _, name = case.partition("-")
    place = folder / case
    (place / OUTSIDE).mkdir(parents=True)
    (place / OUTSIDE / "canary").write_text("not to be read")
    path = place / f"{name}.zarr"
    hostile_zarr.make(goods[kind], path, place / OUTSIDE, ATTACKS[name], seal=kind == "own")
    return path


def outcomes(
    cases: list[str], goods: dict[str, Path], folder: Path, others: dict[tuple, Path]
) -> dict[Any, tuple]:
    """What came of cases, and of other stores: all of them in one process."""
    paths = {case: make(case, goods, folder) for case in cases} | others
    found = watch(paths.values(), warm=[*goods.values(), *others.values()][:3])
    ran = [str(path) for path in folder.glob(f"*/{OUTSIDE}/ran")]
    assert not ran
    shutil.rmtree(folder)
    return {case: (path, found[path]) for case, path in paths.items()}


@pytest.fixture(scope="module")
def quick(goods, tmp_path_factory):
    others = {
        (group, name): path
        for group, making in MADE.items()
        for name, path in making(goods, tmp_path_factory.mktemp(group)).items()
    }
    return outcomes(QUICK, goods, tmp_path_factory.mktemp("quick"), others)


@pytest.fixture(scope="module")
def slow(goods, tmp_path_factory):
    return outcomes(SLOW, goods, tmp_path_factory.mktemp("slow"), {})


@pytest.mark.parametrize("case", QUICK)
def test_tampered_zarr(quick, case):
    assert_met(*quick[case], words=ATTACKS[case.partition("-")[2]].words)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_tampered_zarr_of_much(slow, case):
    assert_met(*slow[case], words=ATTACKS[case.partition("-")[2]].words)


def make_packed(goods, folder):
    """Make hostile archives, and one that opens."""
    whole = Store(goods["own"], folder / "whole", folder)
    paths = {"good": folder / "good.zarr.zip"}
    whole.pack(paths["good"])
    for name, (change, _) in ZIPS.items():
        place = folder / name
        (place / OUTSIDE).mkdir(parents=True)
        paths[name] = place / f"{name}.zarr.zip"
        whole.pack(paths[name])
        change(paths[name], place / OUTSIDE)
    return paths


def make_strange(goods, folder):
    """Make what has the name of an export and is no file."""
    os.mkfifo(folder / "fifo")
    paths = {}
    for suffix in (".zarr", ".zarr.zip", ".nc"):
        for kind in ("fifo", "link to a fifo", "device", "zeros", "folder", "nothing"):
            path = paths[kind, suffix] = folder / f"{kind.replace(' ', '_')}{suffix}"
            if kind == "fifo":
                os.mkfifo(path)
            elif kind == "link to a fifo":
                path.symlink_to(folder / "fifo")
            elif kind == "device":
                path.symlink_to("/dev/zero")
            elif kind == "zeros":
                path.touch()
                os.truncate(path, 10**11)
            elif kind == "folder":
                (path / "inside").mkdir(parents=True)
            else:
                path.touch()
    return paths


def make_copies(goods, folder):
    """Make copies that open, and one that was edited and not sealed."""
    shutil.copytree(goods["own"], folder / "good.zarr")
    copies = {"good": folder / "good.zarr"}
    for name in ("edited", "sealed"):
        store = Store(goods["own"], folder / f"{name}.zarr", folder / OUTSIDE)
        store.edit("dff", lambda node: node["attributes"].update(comment="fine"))
        if name == "sealed":
            store.seal()
        copies[name] = store.root
    return copies


# What is opened beside the cases, in the same process; the first of them opens.
MADE = {"packed": make_packed, "strange": make_strange, "copies": make_copies}


@pytest.mark.parametrize("name", ZIPS)
def test_tampered_zip(quick, name):
    assert_met(*quick["packed", name], words=ZIPS[name][1])


@pytest.mark.parametrize("suffix", [".zarr", ".zarr.zip", ".nc"])
@pytest.mark.parametrize("kind", ["fifo", "link to a fifo", "device", "zeros", "folder", "nothing"])
def test_what_is_no_file(quick, kind, suffix):
    assert_met(*quick["strange", (kind, suffix)])


# -- that the watching sees what it is for --------------------------------------------------------
@pytest.fixture(scope="module")
def controls(tmp_path_factory, sample_path):
    folder = tmp_path_factory.mktemp("controls")
    outside = folder / OUTSIDE
    outside.mkdir()
    shutil.copy(sample_path, outside / "canary.nwb")
    (folder / "link.nwb").symlink_to(outside / "canary.nwb")
    contents = {
        "pickle": pickle.dumps(Payload(str(outside / "ran"))),
        "grow": b"grow",
        "read": f"read {folder / 'link.nwb'}".encode(),
        "list": f"list {outside}".encode(),
        "scan": f"scan {outside}".encode(),
        "write": f"write {folder / 'written'}".encode(),
        "good": pickle.dumps(1),
        # Last: what is left would be opened by another process.
        "die": b"die",
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / name
        paths[name].write_bytes(content)
    found = watch(paths.values(), how=["control"])
    return {name: found[path] for name, path in paths.items()} | {"ran": outside / "ran"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pickle", ["pickle.find_class", "os.system"]),
        ("die", ["the process died: it ended with -11"]),
        ("grow", [f"it took {MEGABYTES * 11 // 100 * 10} MB"[:9]]),
        ("list", ["os.listdir", "the system saw"]),
        ("scan", ["os.scandir", "the system saw"]),
        ("write", ["open to write"]),
        ("read", ["the system saw"]),
    ],
)
def test_what_is_done_is_seen(controls, name, words):
    (one,) = controls[name]
    said = "\n".join([*harm(one), one.said])
    for word in words:
        if word != "the system saw" or os.uname().sysname == "Linux":
            assert word in said
    assert controls["ran"].exists()


def test_a_watcher_that_sees_nothing_says_so(tmp_path):
    """In a process of its own, as a hook of audits stays for good."""
    if os.uname().sysname != "Linux":
        pytest.skip("only there does the system tell")
    blinded = f"""
import os, watched
watcher = watched._Watcher()
os.close(watcher._notices)
watcher.arm({str(tmp_path)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", blinded],
        env=os.environ | {"PYTHONPATH": str(Path(watched.__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert "CannotWatch: inotify_add_watch" in done.stderr
    assert "Bad file descriptor" in done.stderr


@pytest.mark.slow
def test_what_takes_too_long_is_stopped(tmp_path):
    path = tmp_path / "sleep"
    path.write_bytes(b"sleep")
    said = "\n".join(harm(watch([path], how=["control"])[path][0]))
    assert f"it took {SECONDS + 1} s" in said
    assert "stopped by TookTooLong" in said


def test_what_is_harmless_is_not_seen(controls):
    (one,) = controls["good"]
    assert not harm(one)
    assert not one.error


@pytest.mark.parametrize("group", ["copies", "packed"])
def test_what_opens_is_complained_of(quick, group):
    """Good stores open, in the same process and by the same words."""
    path, tries = quick[group, "good"]
    assert [one.error for one in tries] == ["", ""]
    assert not [event for one in tries for event in harm(one)]
    assert len(complaints(path, tries)) == 2


def test_a_sealed_copy_opens(quick):
    """The attacks write the digest as an export does: it is not the digest that stops them."""
    _, (one, other) = quick["copies", "edited"]
    assert "changed" in one.said
    assert other.error
    path, tries = quick["copies", "sealed"]
    assert (path / DIGEST).stat().st_size
    assert not [one.error for one in tries if one.error]


def test_the_bombs_are_bombs():
    bomb = zeros_deflated(40, 31)
    assert len(bomb) < 10**5
    unfolded = zlib.decompressobj(31).decompress(bomb, 39 * 2**20)
    assert len(unfolded) == 39 * 2**20
