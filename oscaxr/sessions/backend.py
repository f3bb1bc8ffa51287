"""The xarray backend: ``xr.open_dataset(path, engine="oscaxr")``, and trees of sessions."""

from pathlib import Path
from typing import Any, Unpack

import xarray as xr

from oscaxr.errors import OptionError
from oscaxr.files.remote import is_url
from oscaxr.formats.registry import EXPORTS, is_published_name, named_like
from oscaxr.options import OpenOptions, PathLike, check_options
from oscaxr.paths import local_path
from oscaxr.sessions.open import SessionReader, path_of
from oscaxr.sessions.settings import Table
from oscaxr.sessions.tree import open_sessions


class OscaxrBackendEntrypoint(SessionReader):
    """Opens sessions of the OpenScope Credit Assignment dataset as lazy Datasets.

    ``xr.open_dataset(place, engine="oscaxr")`` gives what :func:`oscaxr.open_session` gives for the
    same place, options and ``table=``: an NWB file, a folder in the original layout, an export, or
    the address of one.
    ``xr.open_datatree(place, engine="oscaxr")`` opens all sessions of a folder, as
    :func:`oscaxr.open_sessions`, or an export of a tree.
    """

    description = "Open sessions of the OpenScope Credit Assignment dataset (DANDI 000037)"
    url = "https://doi.org/10.1038/s41597-023-02214-y"

    def open_datatree(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: PathLike,
        *,
        table: Table | None = None,
        **options: Unpack[OpenOptions],
    ) -> xr.DataTree:
        """Open the sessions of a folder, or an export of a tree.

        Parameters
        ----------
        filename_or_obj : path-like
            Folder to search, at any depth, or what :func:`oscaxr.save` made of a tree.
        table : path-like or pandas.DataFrame, optional
            The session table, which has to have all of the sessions.
        **options
            As for :func:`oscaxr.open_session`.

        Returns
        -------
        xarray.DataTree
            Lazy; closing it releases the files.
        """
        asked = path_of(filename_or_obj)
        if is_url(asked):
            return open_sessions(asked, table=table, progress=False, **options)
        path = local_path(asked)
        export = named_like(path, EXPORTS) if path.exists() else None
        tree = export.open_tree(path, check_options(options)) if export else None
        if tree is None:
            return open_sessions(path, table=table, progress=False, **options)
        if table is not None:
            tree.close()
            raise OptionError(f"table=: {path} is an export of a tree, which has its facts")
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Say whether a path looks like a session: by its name alone.

        Parameters
        ----------
        filename_or_obj : object
            Anything that was given to ``xr.open_dataset``.

        Returns
        -------
        bool
        """
        try:
            return is_published_name(Path(filename_or_obj).name)
        except TypeError:
            return False
