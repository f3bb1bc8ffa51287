"""What a terminal, a pipe and another program see of ``oscaxr``: in processes of their own."""

import contextlib
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import time

import pytest

import oscaxr as ox
from command_line import SCRIPT, environment, invoke, refused, run, told_json, without_ignored

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="oscaxr is not installed here")


@pytest.fixture(scope="module")
def folder(sample_path, tmp_path_factory):
    """A folder to stand in, with a session."""
    folder = tmp_path_factory.mktemp("terminal")
    shutil.copy(sample_path, folder / "s.nwb")
    return folder


def in_a_terminal(*args: object, cwd, width: int = 80) -> tuple[int, str]:
    """Exit status of a command, and all that a terminal of this width is sent."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = environment(TERM="xterm-256color")
    env.pop("COLUMNS")
    env.pop("TERMINAL_WIDTH")
    process = subprocess.Popen(
        [SCRIPT, *map(str, args)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env
    )
    os.close(theirs)
    sent = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                part = os.read(ours, 65536)
                if part:
                    sent += part
                    continue
            break
        if process.poll() is not None:
            break
    os.close(ours)
    return process.wait(10), sent.decode()


@pytest.mark.slow
def test_a_terminal_shows_progress_and_colour(folder):
    code, sent = in_a_terminal("extract", "s.nwb", "gabor_frame=U", "-o", "t.csv", cwd=folder)
    assert code == 0
    assert "writing t.csv" in sent
    assert "\x1b[" in sent
    assert "Wrote t.csv" in sent


@pytest.mark.slow
def test_a_pipe_gets_plain_text_only(folder):
    done = run("extract", "s.nwb", "gabor_frame=U", "-o", "p.csv", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "writing" not in done.stdout
    assert told_json("segments", folder / "s.nwb", "gabor_frame=U")["selected"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--limit 0", pytest.param("--json", marks=pytest.mark.slow)])
def test_a_reader_that_goes_away_is_no_error(folder, words):
    command = f"'{SCRIPT}' segments s.nwb {words} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environment(),
        check=False, timeout=60,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_exit_codes(folder, monkeypatch):
    (folder / "half.nwb").write_bytes((folder / "s.nwb").read_bytes()[:9000])
    cases = {
        ("segments", "s.nwb", "gabor_frame=Z"): 1,
        ("plot", "s.nwb", "overview"): 2,
        ("validate", "half.nwb"): 3,
    }
    monkeypatch.chdir(folder)
    for words, code in cases.items():
        done = invoke(*words)
        assert done.exit_code == code, words
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout + done.stderr
    # And so they come from the process.
    done = run("info", "no.nwb", "--debug", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (1, True)


def test_pictures_without_matplotlib(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("oscaxr.plot.axes.find_spec", lambda name: None)
    said = refused("plot", "s.nwb", "overview", "-o", "f.png")
    assert said.startswith("Error: pictures need matplotlib")
    assert "pip install" in said
    assert not (folder / "f.png").exists()


@pytest.mark.slow
def test_an_interrupted_extraction_leaves_nothing(folder):
    spec = ox.sample.SampleSpec(scale=0.02, n_rois=150, n_tracked=2, field_shape=(128, 128))
    path = ox.sample.write_nwb(spec, folder / "long")
    words = ["extract", path, "stimulus=gabors", "--pre", "5", "--post", "5", "-o", "i.csv"]
    process = subprocess.Popen(
        [SCRIPT, *map(str, words)], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(".i.csv*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    # Again if it goes on: Python drops what falls into the clearing away of an object.
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in without_ignored(said)
    assert [path.name for path in folder.glob("*i.csv*")] == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param("oscaxr inf", "info", marks=pytest.mark.slow),
        pytest.param("oscaxr plot --highl", "--highlight", marks=pytest.mark.slow),
        ("oscaxr plot --run-type p", "prod"),
    ],
)
def test_shells_complete_commands_and_options(words, found, tmp_path):
    env = {"_OSCAXR_COMPLETE": "complete_bash", "COMP_WORDS": words}
    done = run(cwd=tmp_path, **env, COMP_CWORD=str(len(words.split()) - 1))
    assert found in done.stdout.split(), done.stderr


def test_no_help_breaks_a_word_in_80_columns():
    from oscaxr.cli.main import app

    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        text = invoke(name, "--help").stdout
        assert max(map(len, text.splitlines())) <= 80, name
        # Of a list of choices that is wider than its column, a word would be broken.
        assert re.search(r"<\w[^>\n]*│", text) is None, name


def test_help_reads_well_in_80_columns():
    done = invoke("--help")
    assert max(map(len, done.stdout.splitlines())) <= 80
    from oscaxr.cli.main import app

    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert {"demo", "sample", "info", "sessions", "segments", "extract"} <= set(names)
    assert {"validate", "convert", "plot", "cite"} <= set(names)
    for command, name in zip(app.registered_commands, names, strict=True):
        # One line each.
        assert f"│ {name:<9} {command.short_help} " in done.stdout, name
    for words in ("Examples", "Exit status", "130  interrupted", "OSCAXR_DATADIR"):
        assert words in done.stdout
