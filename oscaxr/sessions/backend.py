"""The xarray backend: ``xr.open_dataset(path, engine="oscaxr")``, and trees of sessions."""

from pathlib import Path
from typing import Any, Final, Unpack

import xarray as xr

from oscaxr.formats.registry import EXPORTS, is_published_name, named_like
from oscaxr.options import OpenOptions, PathLike, check_honoured, check_options
from oscaxr.sessions.open import SessionReader, path_of
from oscaxr.sessions.tree import open_sessions
from oscaxr.store.open import layouts_of, open_exported

_OF_TREES: Final = ("drop_variables", "chunks")


class OscaxrBackendEntrypoint(SessionReader):
    """Opens sessions of the OpenScope Credit Assignment dataset as lazy Datasets.

    ``xr.open_dataset(place, engine="oscaxr")`` gives what :func:`oscaxr.open_session` gives for the
    same place and options: an NWB file or its URL, a folder in the original layout, or an export.
    ``xr.open_datatree(place, engine="oscaxr")`` opens all sessions of a folder, as
    :func:`oscaxr.open_sessions`, or an export of a tree.
    """

    description = "Open sessions of the OpenScope Credit Assignment dataset (DANDI 000037)"
    url = "https://doi.org/10.1038/s41597-023-02214-y"

    def open_datatree(  # type: ignore[override] # xarray's base class names no options
        self, filename_or_obj: PathLike, **options: Unpack[OpenOptions]
    ) -> xr.DataTree:
        """Open the sessions of a folder, or an export of a tree.

        Parameters
        ----------
        filename_or_obj : path-like
            Folder to search, at any depth, or what :func:`oscaxr.save` made of a tree.
        **options
            As for :func:`oscaxr.open_session`.

        Returns
        -------
        xarray.DataTree
            Lazy; closing it releases the files.
        """
        path = Path(path_of(filename_or_obj)).expanduser()
        is_export = path.exists() and named_like(path, EXPORTS) is not None
        if is_export and layouts_of(path)[""].kind == "DataTree":
            check_honoured(check_options(options), _OF_TREES, "an export of a tree", path, {})
            given: dict[str, Any] = {k: value for k, value in options.items() if k in _OF_TREES}
            tree: xr.DataTree = open_exported(path, **given)
            return tree
        return open_sessions(path, progress=False, **options)

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
