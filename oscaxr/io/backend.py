"""The xarray backend: ``xr.open_dataset(path, engine="oscaxr")``."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from oscaxr.errors import SessionNotFoundError
from oscaxr.io.remote import location


class OscaxrBackendEntrypoint(BackendEntrypoint):
    """Opens a session of the OpenScope Credit Assignment dataset as a lazy Dataset."""

    description = "Open sessions of the OpenScope Credit Assignment dataset (DANDI 000037)"
    url = "https://doi.org/10.1038/s41597-023-02214-y"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "include",
        "files",
        "facts",
        "storage_options",
    )

    def open_dataset(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: str | os.PathLike[Any],
        *,
        drop_variables: str | Iterable[str] | None = None,
        include: str | Collection[str] = (),
        files: Sequence[str | os.PathLike[Any]] = (),
        facts: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Open a session.

        Parameters
        ----------
        filename_or_obj : path-like
            NWB file of the session, or its ``https://`` URL.
        drop_variables : str or iterable of str, optional
            Names to leave out.
        include : str or collection of str, optional
            Heavy parts to have too: ``"squares"``, ``"templates"``, ``"movie"``, or ``"all"``.
        files : sequence of path-like, optional
            Further files of the same session, looked into for templates and movie.
        facts : mapping, optional
            The session's row of the session table, by published column.
        storage_options : mapping, optional
            How to read from a server: ``headers``, ``auth``, ``timeout``, ``retries``,
            ``retry_wait``, ``block_size``, ``cache_size``.

        Returns
        -------
        xarray.Dataset
            Lazy; closing it releases the files.

        Raises
        ------
        SessionNotFoundError
            If there is no such file.
        FormatError
            If the file is not laid out as specified; all problems are listed.
        RemoteError
            If a server cannot be reached, or does not serve ranges of files.
        """
        from oscaxr.io.build import open_nwb

        paths = [location(path, storage_options) for path in (filename_or_obj, *files)]
        for path in paths:
            if isinstance(path, Path) and not path.is_file():
                found = "it is a folder" if path.is_dir() else "there is no such file"
                raise SessionNotFoundError(
                    f"cannot open {path} as a session: {found}. Give an NWB file, or use "
                    "oscaxr.open_session(session_id, datadir=...) to look for one."
                )
        dropped = (drop_variables,) if isinstance(drop_variables, str) else drop_variables or ()
        return open_nwb(paths, include=include, drop_variables=tuple(dropped), facts=facts)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Say whether a path looks like a session: it ends in ``.nwb``.

        Parameters
        ----------
        filename_or_obj : object
            Anything that was given to ``xr.open_dataset``.

        Returns
        -------
        bool
        """
        is_path = isinstance(filename_or_obj, str | os.PathLike)
        return is_path and str(filename_or_obj).lower().endswith(".nwb")
