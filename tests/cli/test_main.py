"""The console script, as a user runs it: where it matters in a process of its own."""

import contextlib
import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import command_line
import oscaxr as ox
from command_line import SCRIPT
from oscaxr.errors import TargetExistsError

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="oscaxr is not installed here")


def run(*args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    # Neither finds nor leaves anything in the cache folder of whoever runs the tests.
    cache = str(cwd / "cache")
    return command_line.run(*args, cwd=cwd, HOME=cache, XDG_CACHE_HOME=cache, **env)


def run_here(*args: object, cwd: Path) -> Any:
    """Run it in this process: quicker, where only what it says and writes matters."""
    cache = str(cwd / "cache")
    with contextlib.chdir(cwd):
        return command_line.invoke(*args, HOME=cache, XDG_CACHE_HOME=cache)


def is_one_clear_message(done: Any, code: int = 1) -> bool:
    return (
        getattr(done, "exit_code", getattr(done, "returncode", None)) == code
        and done.stderr.startswith("Error: ")
        and "Traceback" not in done.stderr
        and "\x1b" not in done.stderr
    )


# -- help ---------------------------------------------------------------------------------------
def test_version(tmp_path):
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"oscaxr {ox.__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--help"], ["demo", "sample", "DANDI 000037"]),
        (["demo", "--help"], ["--out", "--figure", "oscaxr-demo.png"]),
        (["sample", "-h"], ["DIR", "--seed", "--scale", "--rois", "--format", "--overwrite"]),
    ],
)
def test_help(args, words, tmp_path):
    done = run_here(*args, cwd=tmp_path)
    assert done.exit_code == 0
    assert [word for word in words if word not in done.stdout] == []
    assert "\x1b" not in done.stdout


def test_usage_errors(tmp_path):
    for args in (["sample"], ["sample", "x", "--layout", "odd"]):
        done = run_here(*args, cwd=tmp_path)
        assert done.exit_code == 2, args
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# -- oscaxr sample ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled") / "my data [1]"
    args = ["--scale", 0.02, "--rois", 5, "--seed", 3, "--layout", "contiguous"]
    return folder, run_here("sample", folder, *args, cwd=folder.parent)


def test_sample_writes_sessions(sampled):
    folder, done = sampled
    assert (done.exit_code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    paths = sorted(folder.rglob("*.nwb"))
    assert len(paths) == 3
    for path in [*paths, folder / "mouse_df.csv"]:
        assert str(path) in done.stdout
    assert not list(folder.rglob("*.partial"))


def test_sample_names_a_next_step_that_runs(sampled):
    _, done = sampled
    code = done.stdout.split("in Python:\n")[1]
    names: dict[str, object] = {}
    exec("\n".join(line.strip() for line in code.splitlines()), names)
    assert names["u"].dims == ("roi", "sequence", "rel_time")
    assert names["ds"].sizes["roi"] == 5
    names["ds"].close()


@pytest.mark.slow
def test_sample_does_not_overwrite_unless_told(sampled):
    folder, _ = sampled
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nwb")}
    done = run_here("sample", folder, "--scale", 0.02, cwd=folder.parent)
    assert is_one_clear_message(done)
    assert "--overwrite" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nwb")} == before
    args = ["--scale", 0.01, "--rois", 4, "--overwrite"]
    done = run_here("sample", folder, *args, cwd=folder.parent)
    assert done.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nwb")} != before


def test_sample_writes_the_original_layout(tmp_path):
    args = ["--scale", 0.01, "--rois", 4, "--bad-rois", 1, "--format", "original"]
    done = run_here("sample", "data", *args, cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    folders = sorted(tmp_path.glob("data/prod/mouse_*/ophys_session_*"))
    assert len(folders) == 3
    for folder in folders:
        (line,) = (line for line in done.stdout.splitlines() if folder.name in line)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert f"({size / 1e6:.1f} MB)" in line
    again = run_here("sample", "data", *args, cwd=tmp_path)
    assert is_one_clear_message(again)
    assert "--overwrite" in again.stderr


def test_errors_are_one_message_and_debug_shows_more(tmp_path):
    done = run_here("sample", "new", "--scale", 0, cwd=tmp_path)
    assert is_one_clear_message(done)
    assert "0.004 to 10" in done.stderr
    done = run_here("sample", "new", "--scale", 0, "--debug", cwd=tmp_path)
    assert done.exit_code == 1
    assert isinstance(done.exception, ox.OscaxrError)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert is_one_clear_message(run_here("demo", "--out", "file", cwd=tmp_path))
    assert (tmp_path / "file").read_text() == "mine"


# -- oscaxr demo --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    """The demo run once, with the cache folder it made."""
    folder = tmp_path_factory.mktemp("demo")
    before = os.times()
    done = run("demo", cwd=folder)
    after = os.times()
    used = after.children_user + after.children_system
    return folder, done, used - before.children_user - before.children_system


@pytest.mark.slow
def test_demo(demonstrated):
    folder, done, seconds = demonstrated
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    figure = folder / "oscaxr-demo.png"
    assert f"Figure: {figure}\n" in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert 50_000 < figure.stat().st_size < 300_000
    for words in ("<xarray.Dataset>", "gabor_frame = 'U'", "tracked", "Try next", "oscaxr sample"):
        assert words in done.stdout
    assert seconds < 60  # of the processor: others may run beside


@pytest.mark.slow
def test_code_that_the_demo_shows_runs(demonstrated):
    _, done, _ = demonstrated
    lines = re.findall(r"^>>> (.*)$", done.stdout, flags=re.MULTILINE)
    assert len(lines) > 10
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    assert names["same"].sizes == {"session": 3, "tracking_id": 24}
    shown = re.search(r"^ +3 +44 .*?([\d.]+) \+- ([\d.]+) +([\d.]+) \+- [\d.]+ \(24\)$",
                      done.stdout, flags=re.MULTILINE)  # fmt: skip
    assert float(names["u_stats"]["mean"]) == pytest.approx(float(shown[1]), abs=6e-4)
    assert float(names["u_stats"]["sem"]) == pytest.approx(float(shown[2]), abs=6e-4)
    last = float(names["same_stats"]["mean"].sel(session=3))
    assert last == pytest.approx(float(shown[3]), abs=6e-4)
    for session in names["sessions"]:
        session.close()


@pytest.mark.slow
def test_demo_finds_its_sessions_again(demonstrated, monkeypatch):
    folder, done, _ = demonstrated
    assert "synthetic (written)" in done.stdout
    cached = Path(done.stdout.splitlines()[1].strip())
    assert folder in cached.parents
    demo_data = importlib.import_module("oscaxr.cli.demo")
    monkeypatch.setattr(demo_data, "cache_folder", lambda: cached)
    before = {path: path.stat().st_mtime_ns for path in cached.rglob("*")}
    assert demo_data.demo_sessions() == (cached, False)
    assert {path: path.stat().st_mtime_ns for path in cached.rglob("*")} == before


def test_demo_never_touches_what_it_did_not_write(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = run_here("demo", "--out", ".", cwd=tmp_path)
    assert is_one_clear_message(done)
    assert "--out" in done.stderr
    assert sorted({path.name for path in tmp_path.iterdir()} - {"cache"}) == ["notes.txt"]


def test_the_figure_replaces_no_other_unasked(tmp_path):
    (tmp_path / "oscaxr-demo.png").write_text("mine")
    done = run_here("demo", cwd=tmp_path)
    assert is_one_clear_message(done)
    assert "--overwrite" in done.stderr
    assert (tmp_path / "oscaxr-demo.png").read_text() == "mine"
    assert not (tmp_path / "cache" / "oscaxr").exists()


def test_figure_format_is_checked_before_any_work(tmp_path):
    done = run_here("demo", "--figure", "figure.docx", cwd=tmp_path)
    assert is_one_clear_message(done)
    assert ".png" in done.stderr
    assert not (tmp_path / "cache" / "oscaxr").exists()


def test_demo_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setattr("oscaxr.plot.axes.find_spec", lambda name: None)
    done = run_here("demo", cwd=tmp_path)
    assert is_one_clear_message(done)
    assert "pip install" in done.stderr


# -- the pieces that a process cannot show ------------------------------------------------------
@pytest.fixture
def demo_data(monkeypatch):
    module = importlib.import_module("oscaxr.cli.demo")
    monkeypatch.setattr(
        module, "DESCRIPTION", {"seed": 0, "scale": 0.004, "n_rois": [2, 2, 2], "n_tracked": 1}
    )
    return module


@pytest.mark.slow
def test_sessions_in_an_empty_folder_stay_in_that_folder(demo_data, tmp_path):
    inode = tmp_path.stat().st_ino
    assert demo_data.demo_sessions(tmp_path) == (tmp_path, True)
    assert tmp_path.stat().st_ino == inode
    assert demo_data.demo_sessions(tmp_path) == (tmp_path, False)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_demo_that_is_stopped_leaves_nothing(demo_data, tmp_path):
    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo_data.demo_sessions(tmp_path / "new", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_another_demo_that_was_quicker(demo_data, tmp_path, monkeypatch):
    finished = tmp_path / "finished"
    demo_data.demo_sessions(finished)
    chosen = tmp_path / "cache" / "demo"
    monkeypatch.setattr(demo_data, "cache_folder", lambda: chosen)

    def overtake(done: int, total: int) -> None:
        if not chosen.exists():
            shutil.copytree(finished, chosen)

    assert demo_data.demo_sessions(None, overtake) == (chosen, True)
    assert demo_data.is_intact(chosen)
    assert list(chosen.parent.iterdir()) == [chosen]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    ["changed", *(pytest.param(one, marks=pytest.mark.slow) for one in ("gone", "manifest"))],
)
def test_damaged_sessions_in_the_cache_are_written_again(demo_data, tmp_path, monkeypatch, damage):
    chosen = tmp_path / "cache" / "demo"
    monkeypatch.setattr(demo_data, "cache_folder", lambda: chosen)
    demo_data.demo_sessions()
    path = next(chosen.rglob("*.nwb"))
    if damage == "changed":
        with path.open("r+b") as file:
            file.seek(2000)
            file.write(b"????")
    else:
        (path if damage == "gone" else chosen / demo_data.MANIFEST).unlink()
    assert demo_data.demo_sessions() == (chosen, True)
    assert demo_data.demo_sessions() == (chosen, False)
    assert list(chosen.parent.iterdir()) == [chosen]
    (chosen / demo_data.MANIFEST).unlink()
    with pytest.raises(TargetExistsError, match="Nothing in it was touched"):
        demo_data.demo_sessions(chosen)


@pytest.mark.parametrize("name", ["notes.txt", "sub-1/sub-1_ses-900000001_behavior+ophys.nwb"])
def test_what_is_of_no_demo_stays_in_the_cache(demo_data, tmp_path, monkeypatch, name):
    chosen = tmp_path / "cache" / "demo"
    monkeypatch.setattr(demo_data, "cache_folder", lambda: chosen)
    (chosen / name).parent.mkdir(parents=True)
    (chosen / name).write_text("mine")
    with pytest.raises(TargetExistsError, match="Nothing in it was touched"):
        demo_data.demo_sessions()
    assert (chosen / name).read_text() == "mine"
    shutil.rmtree(chosen)
    chosen.write_text("mine")
    with pytest.raises(TargetExistsError, match="Nothing in it was touched"):
        demo_data.demo_sessions()
    assert chosen.read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1}', "\0", '{"files": 3}'])
def test_odd_manifests_are_not_intact(demo_data, tmp_path, content):
    (tmp_path / demo_data.MANIFEST).write_text(content)
    assert not demo_data.is_intact(tmp_path)


def test_unexpected_errors_are_told_without_traceback(capsys):
    import typer

    console = importlib.import_module("oscaxr.cli.console")
    with pytest.raises(typer.Exit), console.reported_errors():
        raise ZeroDivisionError("oops")
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in shown
    assert "--debug" in shown
    with pytest.raises(ZeroDivisionError), console.reported_errors(debug=True):
        raise ZeroDivisionError


def test_warnings_are_one_line(capsys):
    import warnings

    console = importlib.import_module("oscaxr.cli.console")
    with console.reported_errors():
        warnings.simplefilter("always")
        warnings.warn("two dropped", ox.OscaxrWarning, stacklevel=1)
    assert capsys.readouterr().err == "Note: two dropped\n"
