"""What comes of work reaches the page, whatever happens to the page meanwhile."""

import asyncio
import sys
import threading

import pytest

pytest.importorskip("panel")

import panel as pn
from bokeh.document import Document
from bokeh.models import Label
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

    async def hold():
        ServerSession("one", document, io_loop=loop)
        deliver = delivery(document, loop, lambda drawn: drawn())
        threading.Thread(target=send, args=(deliver,)).start()
        while not sent.is_set():
            with pn.io.hold(document):
                pass
        # All that was asked for before comes first; a busy machine takes its time.
        for _ in range(100):
            if len(heard) == count:
                break
            await asyncio.sleep(0.05)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        loop.run_sync(hold, timeout=20)
    finally:
        sys.setswitchinterval(usual)
        loop.close(all_fds=True)
    assert heard == list(range(count))


def test_what_comes_before_the_page_is_drawn_is_sent_then():
    """The browser has not fetched all of the document, or is still busy drawing it."""
    loop = IOLoop(make_current=False)
    document, label = Document(), Label(x=0, y=0, text="reading ...")
    sent, when_drawn = [], []

    async def load():
        document.add_root(label)
        ServerSession("one", document, io_loop=loop)
        # What goes to the browser.
        document.on_change(lambda event: sent.append(event))
        deliver = delivery(document, loop, when_drawn.append)
        deliver(lambda: label.update(text="found"))
        await asyncio.sleep(0.2)
        assert label.text == "reading ..."
        pn.state._connected[document] = True
        (drawn,) = when_drawn
        # As Panel runs what waits for the page: where the document may be changed.
        document.add_next_tick_callback(drawn)
        await asyncio.sleep(0.2)
        deliver(lambda: label.update(x=1))
        await asyncio.sleep(0.2)

    loop.run_sync(load, timeout=10)
    loop.close(all_fds=True)
    changes = [(event.model, event.attr) for event in sent if hasattr(event, "attr")]
    assert changes == [(label, "text"), (label, "x")]
