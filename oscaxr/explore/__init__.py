"""Sessions in a browser: look, choose, compare, and take the Python of what is shown along."""

from importlib.util import find_spec
from typing import Any

from oscaxr.errors import MissingLibraryError


def explore(
    sessions: Any,
    *,
    datadir: Any = None,
    table: Any = None,
    matches: Any = None,
    **options: Any,
) -> Any:
    """Look at sessions in Jupyter: one time axis, responses, the field, tracked ROIs over days.

    Parameters
    ----------
    sessions : xarray.Dataset, xarray.DataTree, path-like, int, or list of them
        A session that is open, a tree of them (:func:`oscaxr.open_sessions`), what
        :func:`oscaxr.open_session` opens, or a folder of sessions, here or in an object store.
    datadir, table : path-like, optional
        As for :func:`oscaxr.open_session`, where `sessions` are ids, paths or a folder.
    matches : path-like, optional
        The matching file of a session (:func:`oscaxr.read_matches`), or its address, by which the
        masks of other days are drawn into its field.
    **options
        Further options of :func:`oscaxr.open_session`.

    Returns
    -------
    panel.viewable.Viewable
        Shows itself at the end of a notebook's cell.

    Raises
    ------
    MissingLibraryError
        If Panel is not installed (the extra ``explore``).
    SessionNotFoundError
        If there are no such sessions.

    Notes
    -----
    The command ``oscaxr explore`` serves the same to a browser.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> page = ox.explore(ds)  # doctest: +SKIP
    """
    require_panel()
    from oscaxr.explore.notebook import shown
    from oscaxr.explore.opened import shelf_of

    return shown(shelf_of(sessions, datadir=datadir, table=table, matches=matches, **options))


def require_panel() -> None:
    """Make sure that what makes pages is installed."""
    missing = [name for name in ("panel", "bokeh", "matplotlib") if find_spec(name) is None]
    if missing:
        raise MissingLibraryError(
            f"exploring in a browser needs {', '.join(missing)} (the extra `explore` of oscaxr). "
            'Install it with\n  python -m pip install "oscaxr[explore]"'
        )


__all__ = ["explore"]
