"""What comes of work reaches the page, whatever happens to the page meanwhile."""

import sys
import threading

import pytest

pytest.importorskip("panel")

import panel as pn
from bokeh.document import Document
from bokeh.server.session import ServerSession
from tornado.ioloop import IOLoop

from oscaxr.explore.serving import delivery


def test_nothing_is_lost_while_changes_are_held_back():
    """A page that holds its changes back again and again, and a thread with much to say."""
    loop = IOLoop(make_current=False)
    document, heard, count = Document(), [], 300
    sent = threading.Event()

    def send(deliver):
        for number in range(count):
            deliver(lambda number=number: heard.append(number))
        sent.set()

    def start():
        ServerSession("one", document, io_loop=loop)
        threading.Thread(target=send, args=(delivery(document),)).start()
        while not sent.is_set():
            with pn.io.hold(document):
                pass
        # After all that was asked for before.
        loop.call_later(0.3, loop.stop)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        loop.add_callback(start)
        loop.start()
    finally:
        sys.setswitchinterval(usual)
        loop.close(all_fds=True)
    assert heard == list(range(count))
