"""Results of sessions in the output folder: what is there and current is not computed again."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import xarray as xr

from oscaxr.atomic import explained
from oscaxr.files.folders import new_file
from oscaxr.files.remote import Place, RemoteSource
from oscaxr.files.sources import source_paths

FOLDER: Final = "session_results"
# The attribute that says what a result was computed of, how, and by which version.
_MADE_FROM: Final = "made_from"
_LARGE_BYTES: Final = 1_000_000


def identity_of(ds: xr.Dataset) -> dict[str, Any]:
    """Return what tells a session, in the files that it has now, from others: plain values."""
    facts = {str(name): coord.values.item() for name, coord in ds.coords.items() if not coord.dims}
    files = []
    for source in source_paths(ds):
        if isinstance(source, RemoteSource):
            files.append([source.name, source.size, source.etag])
        else:
            status = source.stat()
            files.append([source.name, status.st_size, status.st_mtime_ns])
    return {"facts": facts, "files": sorted(files, key=str)}


def made_from(identity: Mapping[str, Any], recipe: str, parameters: Mapping[str, Any]) -> str:
    """Return what a result is known by: session, analysis, parameters and version."""
    known = {
        "session": identity,
        "recipe": recipe,
        "parameters": dict(parameters),
        "version": version("oscaxr"),
    }
    return json.dumps(known, sort_keys=True, default=str)


def name_of(recipe: str, session_id: int) -> str:
    """Return where a result lies below the folder of results."""
    return f"{recipe}/ses-{session_id}.nc"


def keep(result: xr.Dataset, place: Place, made: str) -> None:
    """Write a result, complete or not at all."""
    with explained(f"cannot write {place}"), new_file(place, overwrite=True) as temporary:
        digest = hashlib.sha256(made.encode()).hexdigest()
        told = result.assign_attrs({_MADE_FROM: digest})
        # Checksums, so that a disk's mistake is no result. Masks are nearly empty, and large.
        stored = {
            name: {"fletcher32": True, "zlib": array.nbytes > _LARGE_BYTES, "complevel": 1}
            for name, array in result.variables.items()
            if array.ndim and array.dtype.kind in "biuf"
        }
        told.to_netcdf(temporary, engine="netcdf4", encoding=stored)


def kept(path: Path, made: str) -> xr.Dataset | None:
    """Read a result; None where there is none, or one of something else."""
    if not path.is_file():
        return None
    try:
        with xr.open_dataset(path, engine="netcdf4") as stored:
            if stored.attrs.get(_MADE_FROM) != hashlib.sha256(made.encode()).hexdigest():
                return None
            result = stored.load()
    # No file of ours any more: cut short, perhaps, changed by the disk, or of another kind.
    except (OSError, RuntimeError, ValueError, KeyError):
        return None
    del result.attrs[_MADE_FROM]
    return result
