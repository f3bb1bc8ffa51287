"""The server of pages: on this computer alone, a page of its own for each browser tab."""

import socket
from collections.abc import Callable
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

import panel as pn

from oscaxr.errors import CriterionError, OscaxrError
from oscaxr.explore.application import CSS, Page
from oscaxr.explore.background import Background
from oscaxr.explore.opened import Opened, Shelf
from oscaxr.explore.view import View, read_query

ADDRESS: Final = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def server_of(shelf: Shelf, port: int | None = None) -> tuple[Any, str]:
    """Make the server, not started yet, and the address of its page."""
    port = port or free_port()
    server = pn.io.server.get_server(
        {"/": lambda: page_of(shelf)},
        port=port,
        address=ADDRESS,
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}"],
        title="oscaxr explore",
        show=False,
        start=False,
    )
    return server, f"http://{ADDRESS}:{port}/"


def page_of(shelf: Shelf) -> Any:
    """Make the page of one connection."""
    problem = ""
    query = "&".join(
        urlencode({name: values[0].decode()}) for name, values in pn.state.session_args.items()
    )
    try:
        view = read_query(query)
    except CriterionError as error:
        view, problem = View(), str(error)
    is_dark = view.is_dark
    if not view.session:
        view = view.changed(session=next(iter(shelf.sources)))
    template = pn.template.FastListTemplate(
        title="oscaxr explore",
        theme="dark" if is_dark else "default",
        theme_toggle=False,
        main_layout=None,
        sidebar_width=330,
        raw_css=[CSS],
        header_background="#1f3a5f",
        font="sans-serif",
        font_url="",
    )
    choose = pn.widgets.Select(
        name="session",
        options={source.label: key for key, source in shelf.sources.items()},
        value=view.session if view.session in shelf.sources else None,
        width=300,
    )
    slot = pn.Column(sizing_mode="stretch_both", margin=0)
    side = pn.Column(choose, pn.Column(), margin=0)
    holder = _Holder(shelf, side, slot)
    choose.param.watch(
        lambda event: holder.open(View(session=event.new, theme=view.theme)), "value"
    )
    template.sidebar.append(side)
    template.main.append(slot)
    holder.open(view, problem)
    pn.state.on_session_destroyed(lambda context: holder.close())
    return template


class _Holder:
    """Holds the session that a connection looks at, and exchanges it."""

    def __init__(self, shelf: Shelf, side: Any, slot: Any) -> None:
        self._shelf, self._side, self._slot = shelf, side, slot
        self._opened: Opened | None = None
        self._background: Background | None = None

    def open(self, view: View, problem: str = "") -> None:
        """Show a session; one that cannot be opened is named, the others stay usable."""
        self.close()
        document = pn.state.curdoc

        def deliver(act: Callable[[], None]) -> None:
            document.add_next_tick_callback(act)

        try:
            self._opened = self._shelf.take(view.session)
        except (OscaxrError, OSError) as error:
            name = self._shelf.sources.get(view.session)
            label = view.session if name is None else name.label
            self._slot.objects = [
                pn.pane.Alert(
                    f"**{escape(label)} cannot be opened**\n\n{escape(str(error))}",
                    alert_type="danger",
                )  # fmt: skip
            ]
            self._side[1] = pn.Column()
            return
        self._background = Background(deliver)
        page = Page(
            self._shelf, self._opened, view, self._background,
            later=lambda act, wait: document.add_timeout_callback(act, wait), told=_tell_link,
        )  # fmt: skip
        self._slot.objects = [page.main]
        self._side[1] = page.controls.column
        page.refresh()
        if problem:
            page.controls.say(problem)

    def close(self) -> None:
        """Let the session go."""
        if self._background is not None:
            self._background.stop()
        if self._opened is not None:
            self._shelf.give_back(self._opened)
        self._background = self._opened = None


def _tell_link(view: View) -> None:
    if pn.state.location is not None:
        pn.state.location.search = f"?{view.query()}"
