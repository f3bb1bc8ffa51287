"""``oscaxr explore``: sessions in a browser."""

import gc
import webbrowser
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oscaxr.cli import console
from oscaxr.cli.demo import demo_sessions
from oscaxr.cli.place_options import TargetOption, place_to_write
from oscaxr.cli.session_options import Asked, takes_session
from oscaxr.explore import require_panel
from oscaxr.files.remote import Place, is_url
from oscaxr.formats.registry import is_session
from oscaxr.options import PathLike
from oscaxr.paths import local_path
from oscaxr.sessions.settings import table_setting

if TYPE_CHECKING:
    from oscaxr.explore.opened import Shelf


@takes_session
def explore(
    asked: Asked,
    demo: Annotated[bool, typer.Option("--demo", help="Look at small made-up sessions.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Port; by default one that is free.")
    ] = None,
    static: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL", help="Write one page that needs no server, and serve nothing."
        ),
    ] = None,
    view: Annotated[
        str,
        typer.Option(metavar="LINK", help="What to show first: what stands behind ? in a link."),
    ] = "",
    matches: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Matching file, to draw masks of other days into its session's.",
        ),
    ] = None,
    overwrite: console.OverwriteOption = False,
    target_option: TargetOption = None,
) -> None:
    """Look at sessions in a browser: the session, responses, the field, ROIs over days.

    SESSION may also be a folder of sessions, here or in an object store. The page is
    served to this computer alone, until Ctrl-C. Nothing is written beside the data.
    """
    require_panel()
    # Takes seconds, in which the session is opened.
    warm = Thread(target=import_module, args=("oscaxr.explore.serving",), daemon=True)
    warm.start()
    page = None
    if static is not None:
        page = console.check_target(place_to_write(static, target_option), overwrite=overwrite)
    matching = matches if matches is None or is_url(matches) else local_path(matches)
    with console.working("opening"):
        shelf = _shelf(asked, demo, matching)
        warm.join()
    try:
        if page is not None:
            _write(shelf, view, page, overwrite)
        else:
            _serve(shelf, port, view, browser)
    finally:
        shelf.close()


def _shelf(asked: Asked, demo: bool, matches: PathLike | None) -> "Shelf":
    """Find the sessions; one that is there by itself is opened, so that an error is said."""
    from oscaxr.explore.opened import shelf_of

    numbered = asked.mouse is not None or asked.session is not None
    if sum((demo, asked.word is not None, numbered)) != 1:
        raise typer.BadParameter(
            "say what to look at: a session, a folder of sessions, --mouse and --session, or --demo"
        )
    if demo:
        folder, _ = demo_sessions()
        return shelf_of(folder, matches=matches)
    word = asked.word
    given: dict[str, Any] = {**asked.options, "matches": matches}
    if word is not None and Path(word).is_dir() and not is_session(Path(word)):
        return shelf_of(Path(word), table=_place(asked.table), **given)
    given |= {"datadir": _place(asked.datadir), "table": _place(asked.table)}
    if numbered:
        given["table"] = _place(asked.table) or _table_of(asked)
        given |= {"mouse": asked.mouse, "session": asked.session, "run_type": asked.run_type}
    shelf = shelf_of(int(word) if word is not None and word.isdecimal() else word, **given)
    if len(shelf.sources) == 1:
        shelf.give_back(shelf.take(next(iter(shelf.sources))))
    return shelf


def _table_of(asked: Asked) -> Place | None:
    asked.numbered_table(required=True)
    return table_setting(None, asked.datadir, asked.options.get("storage_options")).value


def _place(word: str | None) -> PathLike | None:
    """Return a path of this computer as one, to be written down whole; an address as it is."""
    return word if word is None or is_url(word) else Path(word)


def _serve(shelf: "Shelf", port: int | None, view: str, browser: bool) -> None:
    from oscaxr.explore.serving import server_of

    server, address = server_of(shelf, port)
    server.start()
    # All that was imported stays: it need not be gone through whenever garbage is searched for.
    gc.freeze()
    address += f"?{view}" if view else ""
    console.tell(f"Serving {len(shelf.sources)} session(s) at {address}\nStop with Ctrl-C.")
    for note in shelf.notes:
        console.note(note)
    if browser:
        server.io_loop.add_callback(webbrowser.open, address)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        console.tell("Stopped.")
    finally:
        server.stop()


def _write(shelf: "Shelf", view: str, path: Place, overwrite: bool) -> None:
    from oscaxr.explore.static_page import static_page

    with console.working("drawing"), console.new_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(static_page(shelf, view), encoding="utf-8")
    console.tell(f"Wrote {path}")
