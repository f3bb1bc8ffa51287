"""Progress bars: on terminals only, and the same one for all work."""

import io
from contextlib import redirect_stderr

import pytest

import oscaxr as ox
from oscaxr.progress import progress_bar


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


def test_bytes_are_told_as_bytes():
    with redirect_stderr(Terminal()) as terminal, progress_bar("saving", in_bytes=True) as report:
        report(2_000_000, 3_000_000)
        report(3_000_000, 3_000_000, "the last file")
    assert "3.0 MB" in terminal.getvalue()
    assert "the last file" in terminal.getvalue()


def test_the_callers_own_function_is_told_instead(tmp_path):
    told = []
    with redirect_stderr(Terminal()) as terminal:
        ox.save(
            ox.sample.session(n_rois=3, scale=0.01),
            tmp_path / "s.nc",
            progress=lambda done, total: told.append((done, total)),
        )
    assert not terminal.getvalue()
    assert told[0][0] == 0
    assert told[-1][0] <= told[-1][1]
