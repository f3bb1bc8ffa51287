"""The server of pages: on this computer alone, a page of its own for each browser tab."""

import socket
from collections.abc import Callable
from html import escape
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import panel as pn
from panel import theme

from oscaxr.errors import CriterionError, OscaxrError
from oscaxr.explore.application import CSS, Page
from oscaxr.explore.background import Background
from oscaxr.explore.opened import Opened, Shelf
from oscaxr.explore.static_page import static_page
from oscaxr.explore.takeaway import small_button
from oscaxr.explore.view import View, read_query
from oscaxr.explore.widgets import COMPACT

ADDRESS: Final = "127.0.0.1"
_LIFETIME_MS: Final = 4000


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
        # A tab that is closed lets its session go soon.
        unused_session_lifetime_milliseconds=_LIFETIME_MS,
        check_unused_sessions_milliseconds=_LIFETIME_MS // 2,
    )
    return server, f"http://{ADDRESS}:{port}/"


class Fast(theme.Fast):
    """The design of the page without its font, which would come from the outside."""

    # Of the same name: Panel finds the scripts of a design by it.
    _resources: ClassVar = {
        kind: what for kind, what in theme.Fast._resources.items() if kind != "font"
    }


def page_of(shelf: Shelf) -> Any:
    """Make the page of one connection."""
    problem = ""
    query = "&".join(
        urlencode({name: values[0].decode(errors="replace")})
        for name, values in pn.state.session_args.items()
    )
    try:
        view = read_query(query)
    except CriterionError as error:
        view, problem = View(), str(error)
    if not view.session:
        view = view.changed(session=next(iter(shelf.sources)))
    template = pn.template.FastListTemplate(
        title="oscaxr explore",
        design=Fast,
        theme="dark" if view.is_dark else "default",
        theme_toggle=False,
        main_layout=None,
        sidebar_width=330,
        raw_css=[CSS],
        header_background="#1f3a5f",
        font="sans-serif",
    )
    choose = pn.widgets.Select(
        label="session",
        options={source.label: key for key, source in shelf.sources.items()},
        value=view.session if view.session in shelf.sources else None,
        width=230,
        margin=(2, 5),
        stylesheets=[COMPACT],
    )
    shade = small_button("Light" if view.is_dark else "Dark", width=56, align="end")
    shade.js_on_click(code=_OTHER_SHADE.replace("SHADE", "light" if view.is_dark else "dark"))
    slot = pn.Column(sizing_mode="stretch_both", margin=0)
    side = pn.Column(pn.Row(choose, shade, margin=0), pn.Column(), margin=0)
    said = pn.Row(margin=0)
    template.header.append(said)
    holder = _Holder(shelf, side, slot, said)
    choose.param.watch(
        lambda event: holder.open(holder.view.changed(session=event.new, rois=())), "value"
    )
    template.sidebar.append(side)
    template.main.append(slot)
    for note in shelf.notes:
        side.append(_alert("Not all files could be used", note, "warning"))
    holder.open(view, problem)
    pn.state.on_session_destroyed(lambda context: holder.close())
    return template


# The link of the page as it is now, with the other shade.
_OTHER_SHADE: Final = """
const link = new URL(window.location);
link.searchParams.set("shade", "SHADE");
window.location = link;
"""


def _alert(title: str, words: str, kind: str) -> Any:
    text = f"<b>{escape(title)}</b><br>{escape(words)}".replace("\n", "<br>")
    return pn.pane.Alert(text, alert_type=kind, sizing_mode="stretch_width")


class _Holder:
    """Holds the session that a connection looks at, and exchanges it."""

    def __init__(self, shelf: Shelf, side: Any, slot: Any, said: Any) -> None:
        self._shelf, self._side, self._slot, self._said = shelf, side, slot, said
        self._opened: Opened | None = None
        self._background: Background | None = None
        self.view = View()

    def open(self, view: View, problem: str = "") -> None:
        """Show a session; one that cannot be opened is named, the others stay usable."""
        self.close()
        self.view = view
        try:
            self._opened = self._shelf.take(view.session)
            page = self._page(self._opened, view)
        except Exception as error:
            # Nothing of the machine is to be seen in the page, as in a traceback.
            source = self._shelf.sources.get(view.session)
            label = view.session if source is None else source.label
            known = isinstance(error, OscaxrError | OSError)
            words = str(error) if known else f"{type(error).__name__}: see where this was started"
            self._slot.objects = [_alert(f"{label} cannot be shown", words, "danger")]
            self._side[1] = pn.Column()
            self._said.objects = []
            if not known:
                raise
            return
        self._slot.objects = [page.main]
        self._said.objects = [page.said]
        self._side[1] = page.controls.column
        page.refresh()
        if problem:
            page.controls.say(problem)

    def _page(self, opened: Opened, view: View) -> Page:
        document = pn.state.curdoc

        def deliver(act: Callable[[], None]) -> None:
            document.add_next_tick_callback(act)

        self._background = Background(deliver)
        return Page(
            self._shelf,
            opened,
            view,
            self._background,
            later=lambda act, wait: document.add_timeout_callback(act, wait),
            told=self._tell_link,
            whole=lambda view: static_page(self._shelf, view.query()),
        )

    def close(self) -> None:
        """Let the session go."""
        if self._background is not None:
            self._background.stop()
        if self._opened is not None:
            self._shelf.give_back(self._opened)
        self._background = self._opened = None

    def _tell_link(self, view: View) -> None:
        self.view = view
        if pn.state.location is not None:
            pn.state.location.search = f"?{view.query()}"
