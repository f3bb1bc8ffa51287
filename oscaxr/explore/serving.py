"""The server of pages: on this computer alone, a page of its own for each browser tab."""

import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import panel as pn
from panel.io.resources import LOCAL_DIST
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

from oscaxr.errors import CriterionError
from oscaxr.explore.frame import framed
from oscaxr.explore.looks import look_of
from oscaxr.explore.opened import Shelf
from oscaxr.explore.session_choice import SessionChoice
from oscaxr.explore.takeaway import small_button
from oscaxr.explore.view import View, read_query

ADDRESS: Final = "127.0.0.1"
# A busy machine may take seconds from a page to its connection; without one in this time, there is
# a new document, which knows less of the address.
_LIFETIME_MS: Final = 10_000


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def server_of(shelf: Shelf, port: int | None = None) -> tuple[Any, str]:
    """Make the server, not started yet, and the address of its page."""
    port = port or free_port()
    server: Any = pn.io.server.get_server(
        {"/": lambda: begin_page(shelf, server.io_loop)},
        port=port,
        address=ADDRESS,
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}"],
        show=False,
        start=False,
        # A tab that is closed lets its session go soon.
        unused_session_lifetime_milliseconds=_LIFETIME_MS,
        check_unused_sessions_milliseconds=_LIFETIME_MS // 5,
    )
    server.io_loop.asyncio_loop.set_exception_handler(_tell_of_errors)
    return server, f"http://{ADDRESS}:{port}/"


def _tell_of_errors(loop: Any, context: dict[str, Any]) -> None:
    """Tell of what goes wrong, but not of tabs that are closed while they are sent something."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def begin_page(shelf: Shelf, loop: IOLoop) -> None:
    """Begin the page of one connection: it is made while the browser reads its scripts."""
    document = pn.state.curdoc
    document.title = "oscaxr explore"
    # Style sheets come from here also where Panel does not know yet that there is a server.
    document.template_variables["dist_url"] = LOCAL_DIST
    # The browser gets the document only then: in a session, one callback follows the other.
    document.add_next_tick_callback(
        lambda: page_of(shelf, loop).server_doc(document, document.title)
    )


def page_of(shelf: Shelf, loop: IOLoop) -> Any:
    """Make the page of one connection."""
    view, problem = _asked_view(shelf)
    document, location = pn.state.curdoc, pn.state.location

    def tell_link(view: View) -> None:
        if location is not None:
            location.search = f"?{view.query()}"

    pn.config.theme = "dark" if view.is_dark else "default"
    choice = SessionChoice(
        shelf,
        delivery(document, loop, pn.state.onload),
        told=tell_link,
        later=lambda act, wait: document.add_timeout_callback(act, wait),
    )
    shade = small_button("Light" if view.is_dark else "Dark", width=56, align="end")
    shade.js_on_click(code=_OTHER_SHADE.replace("SHADE", "light" if view.is_dark else "dark"))
    top = pn.Row(choice.select, shade, margin=0)
    choice.open(view, problem)
    pn.state.on_session_destroyed(lambda context: choice.close())
    beside = pn.Column(top, choice.beside, margin=0)
    return framed(look_of(view.is_dark), choice.above, beside, choice.middle)


Act = Callable[[], None]


def delivery(
    document: Any, loop: IOLoop, when_drawn: Callable[[Act], Any]
) -> Callable[[Act], None]:
    """Return what runs functions where a document may be changed; any thread may call it.

    They wait until the page is drawn, when `when_drawn` runs what it is given. The loop is the
    server's: pages may be made in threads of their own.
    """
    # Before, the browser may have a document without what is changed; and Panel drops changes.
    waiting: list[Act] = []
    is_drawn = False

    def together(act: Act) -> None:
        # All changes of an act in one message: each by itself would be drawn.
        with pn.io.hold(document):
            act()

    def drawn() -> None:
        nonlocal is_drawn
        is_drawn = True
        for act in waiting:
            together(act)
        waiting.clear()

    def run(act: Act) -> None:
        if is_drawn:
            together(act)
        else:
            waiting.append(act)

    def deliver(act: Act) -> None:
        # The document is asked in the loop's own thread: what another thread adds while changes
        # are held back may get lost with the end of the hold, and is never run.
        loop.add_callback(document.add_next_tick_callback, lambda: run(act))

    when_drawn(drawn)
    return deliver


def _asked_view(shelf: Shelf) -> tuple[View, str]:
    """Return the view that the address asks for, and what is wrong with the address."""
    query = urlencode(
        [
            (name, value.decode(errors="replace"))
            for name, values in pn.state.session_args.items()
            for value in values
        ]
    )
    try:
        view, problem = read_query(query), ""
    except CriterionError as error:
        view, problem = View(), str(error)
    return view if view.session else view.changed(session=next(iter(shelf.sources))), problem


# The link of the page as it is now, with the other shade.
_OTHER_SHADE: Final = """
const link = new URL(window.location);
link.searchParams.set("shade", "SHADE");
window.location = link;
"""
