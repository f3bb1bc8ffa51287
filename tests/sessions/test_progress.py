"""Progress bars: on terminals only, and the same one for all work."""

import io
from contextlib import redirect_stderr

import pytest

import oscaxr as ox
from oscaxr.sessions.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_is_told_how_far_it_is():
    with redirect_stderr(Terminal()) as terminal, progress_bar("sessions") as report:
        report(2, 3)
    assert "sessions" in terminal.getvalue()
    assert "2/3" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "show"), [(Terminal(), False), (io.StringIO(), True)])
def test_nobody_else_is(stream, show):
    with redirect_stderr(stream), progress_bar("sessions", show=show) as report:
        report(2, 3)
    assert not stream.getvalue()


def test_mapping_over_sessions_shows_it(sample_path):
    with redirect_stderr(Terminal()) as terminal:
        count = ox.map_sessions(lambda ds: ds.sizes["roi"], [sample_path], scheduler="synchronous")
    assert "1/1" in terminal.getvalue()
    assert count.sizes == {"session_id": 1}
