"""From places to a Dataset through xarray's own opener, which adds chunks and caching."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from oscaxr.errors import SessionNotFoundError
from oscaxr.files.remote import location
from oscaxr.formats.registry import open_places
from oscaxr.options import PathLike, check_options


class SessionReader(BackendEntrypoint):
    """Opens the session that lies at given places; what all openers have in common."""

    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "files",
        "facts",
        "include",
        "storage_options",
        "fluorescence",
        "segmentation",
        "keep_decoded",
    )

    def open_dataset(  # type: ignore[override] # xarray's base class names no options
        self,
        filename_or_obj: PathLike,
        *,
        drop_variables: str | Iterable[str] | None = None,
        files: Sequence[PathLike] = (),
        facts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Open a session, lazily."""
        checked = check_options({"drop_variables": drop_variables, **options})
        storage = checked.get("storage_options")
        if not isinstance(filename_or_obj, str | os.PathLike):
            raise SessionNotFoundError(
                f"cannot open a {type(filename_or_obj).__name__} as a session: give the path or "
                "the URL of a session, which is opened by oscaxr itself (lazily, and again in "
                "other processes), not something that is open or read already"
            )
        places = [location(path, storage) for path in (filename_or_obj, *files)]
        return open_places(places, checked, facts)
