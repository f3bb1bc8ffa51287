"""The xarray backend: ``xr.open_dataset(path, engine="oscaxr")``."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import xarray as xr
from xarray.backends import BackendEntrypoint

from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.files.remote import location
from oscaxr.formats.original.files import is_session_folder

_ORIGINAL_FOLDER: Final = re.compile(r"ophys_session_\d{9,}")


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
        "fluorescence",
        "segmentation",
        "keep_decoded",
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
        fluorescence: str | None = None,
        segmentation: str | None = None,
        keep_decoded: bool | str | os.PathLike[Any] = False,
    ) -> xr.Dataset:
        """Open a session.

        Parameters
        ----------
        filename_or_obj : path-like
            NWB file of the session, or its ``https://`` URL; or its folder in the original layout.
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
        fluorescence, segmentation, keep_decoded : optional
            As for :func:`oscaxr.open_session`: for the original layout.

        Returns
        -------
        xarray.Dataset
            Lazy; closing it releases the files.

        Raises
        ------
        SessionNotFoundError
            If there is no such file or folder.
        FormatError
            If the file is not laid out as specified; all problems are listed.
        RemoteError
            If a server cannot be reached, or does not serve ranges of files.
        CriterionError
            If an NWB file is asked for what only the original layout has.
        """
        paths = [location(path, storage_options) for path in (filename_or_obj, *files)]
        names = (drop_variables,) if isinstance(drop_variables, str) else drop_variables or ()
        common: dict[str, Any] = {
            "include": include,
            "drop_variables": tuple(names),
            "facts": facts,
        }
        if isinstance(paths[0], Path) and is_session_folder(paths[0]):
            from oscaxr.formats.original.dataset import open_original

            return open_original(
                paths[0],
                **common,
                fluorescence=fluorescence,
                segmentation=segmentation,
                keep_decoded=keep_decoded,
            )
        for path in paths:
            if isinstance(path, Path) and not path.is_file():
                found = "it is a folder" if path.is_dir() else "there is no such file"
                raise SessionNotFoundError(
                    f"cannot open {path} as a session: {found}. Give an NWB file or a session's "
                    "folder, or use oscaxr.open_session(session_id, datadir=...) to look for one."
                )
        check_original_options(str(paths[0]), fluorescence, segmentation)
        from oscaxr.formats.nwb.dataset import open_nwb

        return open_nwb(paths, **common)

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
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        name = str(filename_or_obj).rstrip("/").rpartition("/")[2].lower()
        return name.endswith(".nwb") or _ORIGINAL_FOLDER.fullmatch(name) is not None


def check_original_options(source: str, fluorescence: str | None, segmentation: str | None) -> None:
    """Refuse what only sessions in the original layout can give."""
    asked = []
    if fluorescence not in (None, "dff"):
        asked.append(f"fluorescence={fluorescence!r}")
    if segmentation is not None:
        asked.append(f"segmentation={segmentation!r}")
    if asked:
        raise CriterionError(
            f"{' and '.join(asked)}: {source} is not a session in the original layout, and holds "
            "dF/F of one segmentation only"
        )
