"""What tests of explore share: a mouse's sessions, a server of them, and a real browser."""

import os
import shutil
import threading

import pytest

import oscaxr as ox
from made_once import made_once

CHROMIUM = os.environ.get("OSCAXR_CHROMIUM") or shutil.which("chromium")


def _without_browser(reason: str) -> None:
    if os.environ.get("OSCAXR_REQUIRE_BROWSER"):
        pytest.fail(f"no browser to test with: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def explored_folder(tmp_path_factory):
    """The folder of a mouse's three sessions with tracked ROIs. Not to be written to."""

    def write(folder):
        ox.sample.write_mouse(folder, n_rois=(12, 11, 10), n_tracked=6, scale=0.05)
        return folder

    return made_once(tmp_path_factory.getbasetemp(), "explored", write)


class Served:
    """A server of pages in a thread of this process."""

    def __init__(self, shelf):
        import asyncio

        from oscaxr.explore.serving import server_of

        started = threading.Event()
        self.shelf = shelf

        def serve():
            asyncio.set_event_loop(asyncio.new_event_loop())
            self.server, self.address = server_of(shelf)
            self.server.start()
            started.set()
            self.server.io_loop.start()
            self.server.io_loop.close()

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()
        assert started.wait(60)

    def stop(self):
        def halt():
            self.server.stop()
            self.server.io_loop.stop()

        self.server.io_loop.add_callback(halt)
        self.thread.join(20)
        self.shelf.close()


@pytest.fixture(scope="module")
def served(explored_folder):
    """A server of the mouse's sessions."""
    pytest.importorskip("panel")
    from oscaxr.explore.opened import shelf_of

    server = Served(shelf_of(explored_folder))
    yield server
    server.stop()


@pytest.fixture
def serve():
    """A function that serves what it is given, until the test ends."""
    pytest.importorskip("panel")
    from oscaxr.explore.opened import shelf_of

    servers = []

    def start(what, **options):
        servers.append(Served(shelf_of(what, **options)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def browser():
    """A real browser without a window."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without_browser("playwright is not installed")
    if CHROMIUM is None:
        _without_browser("there is no chromium (set OSCAXR_CHROMIUM)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A new tab, which remembers what it asked for and what went wrong in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.asked, tab.wrong = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    yield tab
    context.close()
