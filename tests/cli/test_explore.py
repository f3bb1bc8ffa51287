"""``oscaxr explore``: what it says when it cannot, and the page that needs no server."""

import importlib.util
import signal
import subprocess
import sys
import urllib.request

import pytest

from command_line import SCRIPT, environment, invoke


def test_without_panel_the_extra_is_named(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    # oscaxr.explore is the function: its module goes by its name alone.
    module = sys.modules["oscaxr.explore"]
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "panel" else real(name))
    done = invoke("explore", "--demo")
    assert done.exit_code == 1
    assert "oscaxr[explore]" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_thing_is_to_be_said(sample_path):
    pytest.importorskip("panel")
    for words in ([], [sample_path, "--demo"], [sample_path, "--mouse", 1]):
        done = invoke("explore", *words)
        assert done.exit_code == 2, done.stderr
        assert "say what to look at" in done.stderr.replace("\n", " ").replace("│", "")


def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path):
    pytest.importorskip("panel")
    done = invoke("explore", tmp_path / "no.nwb", "--no-browser")
    assert done.exit_code == 1
    assert "no.nwb" in done.stderr


@pytest.mark.slow
def test_a_page_without_a_server(sample_path, tmp_path):
    pytest.importorskip("panel")
    out = tmp_path / "page.html"
    words = ["explore", sample_path, "--static", out, "--view", "rois=1,2&shade=dark"]
    done = invoke(*words)
    assert (done.exit_code, done.stderr) == (0, "")
    text = out.read_text()
    assert "cdn." not in text.split("<body")[0].split("<script")[0]
    assert "ox.open_session(" in text
    assert invoke(*words).exit_code == 1, "it is there already"
    assert invoke(*words, "--overwrite").exit_code == 0


@pytest.mark.slow
def test_it_serves_until_it_is_stopped(sample_path, tmp_path):
    pytest.importorskip("panel")
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "explore", str(sample_path), "--no-browser"],
        stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path,
    )  # fmt: skip
    line = process.stdout.readline()
    with urllib.request.urlopen(line.split(" at ")[1].strip(), timeout=60) as answer:
        assert b"oscaxr explore" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert sorted(p.suffix for p in sample_path.parent.iterdir()) == [".nwb"]
