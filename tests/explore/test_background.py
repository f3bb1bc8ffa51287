"""Work beside the page: the newest request wins, and nothing is kept without bound."""

import threading
import time

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("panel")

from oscaxr.explore.background import Background, Kept


def test_the_newest_request_wins():
    go_on, events = threading.Event(), []
    finished = threading.Event()
    background = Background(lambda act: act())

    def slow(report):
        go_on.wait(10)
        report(1, 2)
        events.append("went on")

    def done(found):
        events.append(found)
        finished.set()

    failed = events.append
    background.ask("panel", slow, lambda found: events.append("old"), failed, lambda *_: None)
    background.ask("panel", lambda report: "new", done, failed, lambda *_: None)
    assert finished.wait(10)
    go_on.set()
    other = threading.Event()
    background.ask("other", lambda report: 1, lambda _: other.set(), failed, lambda *_: None)
    assert other.wait(10)
    assert events == ["new"]
    assert not background.busy


def test_work_that_asks_nobody_is_stopped():
    """As an analysis of the library, which knows nothing of pages; the threads live on."""
    background = Background(lambda act: act())
    heard = []
    for panel in ("one", "two", "three"):
        begun, ended = threading.Event(), threading.Event()

        def work(report, begun=begun, ended=ended):
            begun.set()
            try:
                while True:
                    time.sleep(0.002)
            finally:
                ended.set()

        background.ask(panel, work, heard.append, heard.append, lambda *_: None)
        assert begun.wait(10)
        background.stop(panel)
        assert ended.wait(10)
    finished = threading.Event()
    background.ask("panel", lambda report: 1, lambda _: finished.set(), heard.append, print)
    assert finished.wait(10)
    assert heard == []


def test_an_import_is_not_stopped_within(tmp_path, monkeypatch):
    """What is half imported stays so, for all who ask for it afterwards."""
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nfor _ in range(100):\n    time.sleep(0.002)\nDONE = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    background = Background(lambda act: act())
    begun, imported, ended, heard = threading.Event(), [], threading.Event(), []

    def work(report):
        begun.set()
        try:
            import slow_to_import

            imported.append(slow_to_import.DONE)
            while True:
                time.sleep(0.002)
        finally:
            ended.set()

    background.ask("panel", work, heard.append, heard.append, lambda *_: None)
    assert begun.wait(10)
    time.sleep(0.05)
    background.stop("panel")
    assert ended.wait(10)
    assert imported == [True]
    assert heard == []


def test_an_error_is_handed_over():
    heard = []
    background = Background(lambda act: act(), at_once=True)
    background.ask("p", lambda report: 1 / 0, heard.append, heard.append, lambda *_: None)
    assert isinstance(heard[0], ZeroDivisionError)
    assert not background.busy


def test_those_not_asked_for_longest_go():
    kept = Kept(most_bytes=2000)
    made = []

    def make(key):
        made.append(key)
        return xr.Dataset({"a": ("x", np.zeros(100))})

    for key in (1, 2, 1, 3, 1, 2):
        kept.of(key, lambda key=key: make(key))
    assert made == [1, 2, 3, 2]
    assert kept.nbytes <= 2000
