"""``oscaxr convert``, as a user runs it: the console script in a process of its own."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from command_line import without_ignored
from oscaxr.atomic import leftovers
from oscaxr.store.current import provenance_of
from small_sessions import small_spec

SCRIPT = Path(sys.executable).parent / ("oscaxr.exe" if os.name == "nt" else "oscaxr")
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="oscaxr is not installed here")

NAMES = [f"sub-900001_ses-{number}" for number in (900000001, 900000002, 900000003)]


def command(*args: object) -> list[str]:
    return [str(SCRIPT), "convert", *map(str, args)]


def convert(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "80"},
    )


def convert_here(*args: object) -> Any:
    """Run the command in this process: quicker, where only what it says and writes matters."""
    app = importlib.import_module("oscaxr.cli.main").app
    runner = importlib.import_module("typer.testing").CliRunner()
    return runner.invoke(app, ["convert", *map(str, args), "--workers", "1"])


def summary_here(*args: object) -> tuple[int, dict[str, str], dict]:
    """Exit status, status by session, and all of the JSON summary."""
    done = convert_here(*args, "--json")
    found = json.loads(done.stdout)
    return done.exit_code, {one["session"]: one["status"] for one in found["sessions"]}, found


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def data(mouse_folder):
    return mouse_folder


@pytest.fixture(scope="module")
def paths(data):
    return sorted(data.rglob("*.nwb"))


@pytest.fixture(scope="module")
def converted(data, tmp_path_factory):
    """The sessions converted once, with what was printed. Not to be written to."""
    folder = tmp_path_factory.mktemp("out") / "new" / "exports"
    return folder, convert(data, folder, "--workers", 1)


def test_sessions_are_converted_and_identical(converted, paths):
    folder, done = converted
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 written"
    assert "\x1b" not in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.zarr" for name in NAMES]
    for name, path in zip(NAMES, paths, strict=True):
        assert name in done.stdout
        with ox.open_session(folder / f"{name}.zarr") as export, ox.open_session(path) as source:
            xr.testing.assert_identical(export.load(), source.load())


def test_what_is_there_is_verified_and_skipped(converted, data):
    folder, _ = converted
    before = stamps(folder)
    done = convert_here(data, folder)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 already there, verified"
    assert stamps(folder) == before


@pytest.mark.slow
def test_exports_that_would_be_others_are_errors(converted, data, paths):
    folder, _ = converted
    before = stamps(folder)
    cases = {
        "other options": [data, "--dtype", "float32"],
        "what it holds: depth, mouse": [paths[0], "--table", data / "table.csv"],
        "what it holds: flow_segment, square": [*paths[:2], "--include", "squares"],
    }
    for says, (*sources, option, value) in cases.items():
        done = convert_here(*sources, folder, option, value)
        assert done.exit_code == 1, says
        assert f"{folder / NAMES[0]}.zarr exists already" in done.stderr
        assert says in done.stderr
        assert "--overwrite replaces it" in done.stderr
    assert stamps(folder) == before


@pytest.mark.slow
def test_parts_that_are_missing_are_found(paths, tmp_path):
    target = tmp_path / f"{NAMES[0]}.zarr"
    assert summary_here(paths[0], tmp_path)[0] == 0
    part = sorted((target / "pupil_diameter" / "c").rglob("*"))[-1]
    content = part.read_bytes()

    part.unlink()
    code, _, found = summary_here(paths[0], tmp_path)
    assert code == 1
    for word in (str(target), "pupil_diameter is missing", "--overwrite replaces it"):
        assert word in found["sessions"][0]["reason"]

    # Damage within shows when all is read.
    part.write_bytes(content[:9] + bytes([content[9] ^ 1]) + content[10:])
    code, _, found = summary_here(paths[0], tmp_path, "--verify")
    assert code == 1
    assert "pupil_diameter is damaged" in found["sessions"][0]["reason"]
    args = [paths[0], tmp_path, "--verify"]
    assert summary_here(*args, "--overwrite")[:2] == (0, {NAMES[0]: "replaced"})
    assert part.read_bytes() == content
    assert summary_here(*args)[:2] == (0, {NAMES[0]: "verified"})


@pytest.mark.slow
def test_a_netcdf_file_that_is_cut_short_is_found(paths, tmp_path):
    args = [paths[0], tmp_path, "--format", "nc"]
    target = tmp_path / f"{NAMES[0]}.nc"
    assert summary_here(*args)[0] == 0
    content = target.read_bytes()
    target.write_bytes(content[:-1000])
    code, _, found = summary_here(*args)
    assert code == 1
    assert "truncated" in found["sessions"][0]["reason"]
    # What cannot be read cannot be told to be an export: it is for the user to remove.
    assert summary_here(*args, "--overwrite")[0] == 1
    target.unlink()
    assert summary_here(*args)[:2] == (0, {NAMES[0]: "written"})
    assert summary_here(*args, "--verify")[:2] == (0, {NAMES[0]: "verified"})


@pytest.mark.slow
def test_a_truncated_source_fails_and_the_others_are_written(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "copy")
    bad = sorted(copy.rglob("*.nwb"))[1]
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 3])
    out = tmp_path / "out"
    done = convert_here(copy, out, "--format", "zarr.zip")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "2 written, 1 failed"
    assert f"Error: {NAMES[1]}: " in done.stderr
    assert bad.name in done.stderr
    there = [f"{name}.zarr.zip" for name in (NAMES[0], NAMES[2])]
    assert sorted(path.name for path in out.iterdir()) == there

    # Repaired: only what is missing is written.
    bad.write_bytes(content)
    code, status, found = summary_here(copy, out, "--format", "zarr.zip")
    assert (code, list(status.values())) == (0, ["verified", "written", "verified"])
    assert (found["written"], found["verified"], found["failed"]) == (1, 2, 0)
    target = found["sessions"][1]["target"]
    assert found["sessions"][1]["bytes"] == Path(target).stat().st_size
    with ox.open_session(target) as export, ox.open_session(bad) as source:
        xr.testing.assert_identical(export.load(), source.load())


@pytest.mark.slow
def test_a_changed_source_is_an_error_unless_overwritten(sample_paths, tmp_path):
    original = sample_paths["contiguous"]
    source, out = tmp_path / original.name, tmp_path / "out"
    shutil.copy(original, source)
    assert summary_here(source, out)[:2] == (0, {NAMES[0]: "written"})
    # Of the same size: another value in the traces.
    h5py = importlib.import_module("h5py")
    size = source.stat().st_size
    with h5py.File(source, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/data"][5, 2] = 77
    assert source.stat().st_size == size
    code, status, found = summary_here(source, out)
    assert (code, status) == (1, {NAMES[0]: "failed"})
    assert f"source has changed since: {source.name}" in found["sessions"][0]["reason"]
    assert summary_here(source, out, "--overwrite")[:2] == (0, {NAMES[0]: "replaced"})
    before = stamps(out)
    assert summary_here(source, out, "--overwrite")[:2] == (0, {NAMES[0]: "verified"})
    assert stamps(out) == before
    with ox.open_session(out / f"{NAMES[0]}.zarr") as export:
        assert float(export.dff.isel(time=5, roi=2)) == 77


def test_something_else_under_the_name_is_left_alone(paths, tmp_path):
    (tmp_path / f"{NAMES[0]}.nc").write_text("mine")
    code, _, found = summary_here(paths[0], tmp_path, "--format", "nc")
    assert code == 1
    assert "cannot be read as a complete export" in found["sessions"][0]["reason"]
    assert (tmp_path / f"{NAMES[0]}.nc").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_killed_run_leaves_nothing_half_and_is_resumed(data, paths, tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen(command(data, out, "--workers", 2), stdout=subprocess.DEVNULL) as run:
        while not leftovers(out):
            assert run.poll() is None
            time.sleep(0.005)
        children = descendants(run.pid)
        run.send_signal(signal.SIGKILL)
    assert len(children) >= 3
    until = time.monotonic() + 20
    while any(is_running(pid) for pid in children):
        assert time.monotonic() < until, "workers outlive the command"
        time.sleep(0.01)
    shown = [path for path in out.iterdir() if not path.name.startswith(".")]
    for path in shown:
        with ox.open_session(path) as export:
            export.load()
    code, status, found = summary_here(data, out)
    assert (code, sorted(status)) == (0, NAMES)
    assert (found["verified"], found["written"]) == (len(shown), 3 - len(shown))
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.zarr" for name in NAMES]
    for name, path in zip(NAMES, paths, strict=True):
        with ox.open_session(out / f"{name}.zarr") as export, ox.open_session(path) as source:
            xr.testing.assert_identical(export.load(), source.load())


def descendants(pid: int | str) -> list[str]:
    """Processes that a process has started, and those that they have."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [*children, *(far for child in children for far in descendants(child))]


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a group of processes")
def test_interrupted(data, tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen(
        command(data, out, "--workers", 2),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        while not leftovers(out):
            assert run.poll() is None
            time.sleep(0.005)
        os.killpg(run.pid, signal.SIGINT)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in without_ignored(told)
    assert not leftovers(out)


@pytest.mark.slow
def test_tables_facts_and_options(data, paths, tmp_path):
    table = data / "table.csv"
    code, status, _ = summary_here(table, tmp_path / "a", "--dtype", "float32")
    assert (code, list(status)) == (0, NAMES)
    # Files with the facts of the table are the same sessions.
    options = ["--table", table, "--dtype", "float32"]
    code, status, _ = summary_here(*paths, tmp_path / "a", *options)
    assert (code, set(status.values())) == (0, {"verified"})
    target = tmp_path / "a" / f"{NAMES[1]}.zarr"
    with (
        ox.open_session(target) as export,
        ox.open_session(mouse=1, session=2, datadir=data, table=table) as source,
    ):
        assert int(export.session) == 2
        assert export.dff.dtype == np.float32
        xr.testing.assert_identical(export.dff.load(), source.dff.load().astype("float32"))
    assert provenance_of(target)["parameters"]["dtype"] == "float32"

    # From one format to another, told from the first; and again.
    args = [target, tmp_path / "b", "--format", "nc"]
    assert summary_here(*args)[:2] == (0, {NAMES[1]: "written"})
    assert summary_here(*args)[:2] == (0, {NAMES[1]: "verified"})
    with ox.open_session(target) as one, ox.open_session(tmp_path / "b" / f"{NAMES[1]}.nc") as same:
        xr.testing.assert_identical(one.load(), same.load())
    # Onto itself: refused.
    code, _, found = summary_here(target, tmp_path / "a", "--overwrite")
    assert code == 1
    assert "still read from" in found["sessions"][0]["reason"]


def test_wrong_command_lines(data, paths, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    out = tmp_path / "out"
    for args, code, says in [
        ([data], 2, "Missing argument"),
        ([tmp_path / "absent", out], 2, "does not exist"),
        ([data, out / "one.zarr"], 2, "is the folder"),
        ([data, out, "--format", "csv"], 2, "--format"),
        ([tmp_path / "empty", out], 1, "There is no session in"),
        ([tmp_path / "notes.txt", out], 1, "nothing to convert"),
    ]:
        done = convert_here(*args)
        assert done.exit_code == code, done.stderr
        assert says in " ".join(done.stderr.replace("│", " ").split()), done.stderr
    assert not out.exists()


@pytest.mark.slow
def test_sessions_in_the_original_layout_are_converted(original_folders, tmp_path):
    datadir = original_folders["soma"].parents[2]
    done = convert_here(datadir, tmp_path / "all")
    assert done.exit_code == 0, done.output
    names = ["sub-900001_ses-900000001.zarr", "sub-900002_ses-900000004.zarr"]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == names
    again = convert_here(original_folders["dend"], tmp_path / "all")
    assert again.exit_code == 0, again.output
    with (
        ox.open_session(tmp_path / "all" / names[1]) as export,
        ox.open_session(original_folders["dend"]) as source,
        pytest.warns(ox.errors.InvalidRoiWarning),
    ):
        xr.testing.assert_identical(export.load(), source.load())


@pytest.mark.slow
def test_nwb_files_come_before_the_original_layout(original_folders, tmp_path):
    folder = original_folders["soma"]
    both = tmp_path / "both"
    shutil.copytree(folder, both / "prod" / folder.parent.name / folder.name)
    spec = small_spec(mouse_id=900001, session_id=900000001)
    ox.sample.write_nwb(spec, both)
    done = convert_here(both, tmp_path / "out")
    assert done.exit_code == 0, done.output
    with ox.open_session(tmp_path / "out" / "sub-900001_ses-900000001.zarr") as export:
        assert export.attrs["source_format"] == "nwb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not in the session table:oscaxr.errors.OscaxrWarning")
@pytest.mark.parametrize("form", ["nwb", "original"])
def test_the_table_in_the_folder_is_heeded(tmp_path, monkeypatch, form):
    monkeypatch.delenv("OSCAXR_TABLE", raising=False)
    data = tmp_path / "data"
    ox.sample.write_mouse(data, scale=0.01, n_rois=(2, 2, 2), n_tracked=1, format=form)
    assert convert_here(data, tmp_path / "out").exit_code == 0
    with ox.open_session(tmp_path / "out" / f"{NAMES[1]}.zarr") as export:
        assert (export.mouse, export.session, export.plane) == (1, 2, "soma")
    # A table that is only at hand need not have all sessions; one that is given has to.
    table = data / "mouse_df.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:2]) + "\n")
    assert convert_here(data, tmp_path / "some").exit_code == 0
    with ox.open_session(tmp_path / "some" / f"{NAMES[1]}.zarr") as export:
        assert "session" not in export.coords
    assert convert_here(data, tmp_path / "none", "--table", table).exit_code == 1
    monkeypatch.setenv("OSCAXR_TABLE", str(table))
    assert convert_here(data, tmp_path / "env").exit_code == 0
    with ox.open_session(tmp_path / "env" / f"{NAMES[0]}.zarr") as export:
        assert export.session == 1
