"""Progress bars: on terminals only, and the same one for all work."""

import io
import sys

import pytest

import oscaxr as ox
from oscaxr.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Standard error, as a terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_terminal_is_told_how_far_it_is(terminal):
    with progress_bar("sessions") as report:
        report(2, 3)
    assert "sessions" in terminal.getvalue()
    assert "2/3" in terminal.getvalue()


def test_nobody_else_is(terminal, capsys, monkeypatch):
    with progress_bar("sessions", show=False) as report:
        report(2, 3)
    assert not terminal.getvalue()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("sessions") as report:
        report(2, 3)
    assert not stream.getvalue()


def test_mapping_over_sessions_shows_it(terminal, sample_path):
    count = ox.map_sessions(lambda ds: ds.sizes["roi"], [sample_path], scheduler="synchronous")
    assert "1/1" in terminal.getvalue()
    assert count.sizes == {"session_id": 1}
