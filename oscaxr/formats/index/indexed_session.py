"""From an index to the lazy Dataset of a session, no value read before all of it was checked."""

import math
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import Array, ArrayReader, OrthogonalArray
from oscaxr.errors import FormatError, OscaxrError, UnsafeLinkError, listed
from oscaxr.files.direct import DirectFile, StorageReader, read_together
from oscaxr.files.hdf5 import Stamp
from oscaxr.files.remote import Place, RemoteSource
from oscaxr.formats.identity import Identity, check_ids, with_table
from oscaxr.formats.index.allowed import allowed_steps, followed_place
from oscaxr.formats.index.document import GROUP, ZARR_GROUP, FileState, Index, IndexedSession
from oscaxr.formats.index.zarr_arrays import ATTRS, References, array_from, attrs_from, parsed
from oscaxr.formats.published import named
from oscaxr.model import names as n
from oscaxr.model.dataset import session_dataset
from oscaxr.model.derived import Parts, pupil_shift, trace_facts
from oscaxr.model.schema import SESSION
from oscaxr.model.segments import problems_of_table
from oscaxr.options import OpenOptions, dropped_names

_CLOCKS: Final = (n.TIME, n.STIM_TIME)
# What is read at once is bounded: a session has some 250,000.
_MAX_FRAMES: Final = 2**24


def open_indexed(place: Place, options: OpenOptions, facts: Mapping[str, Any] | None) -> xr.Dataset:
    """Open a session of an index as a lazy Dataset."""
    index = Index(place)
    try:
        group = index.chosen(options.get("group"))
        references = index.references(group)
    finally:
        index.file.close()
    where, session = f"{index.file.path} ({group})", index.sessions[group]
    files = _allowed_files(where, session, place, options)
    try:
        arrays, attrs = _arrays(where, references, files)
        _check_states(where, session, files)
        coords, parts = _coords_and_parts(where, arrays)
        for stated in (vars(session), *(vars(named(one) or Identity()) for one in files)):
            check_ids(where, coords, stated)
        coords, attrs = with_table(where, coords, attrs, facts)
        dropped = dropped_names(options.get("drop_variables"))
        ds = session_dataset(where, parts, coords, attrs, dropped)
    except BaseException:
        _close(files.values())
        raise
    ds.encoding["source"] = index.file.path
    remote = tuple(file.remote for file in files.values() if file.remote is not None)
    if remote:
        ds.encoding["remote_sources"] = remote
    # Not a lambda: a Dataset is pickled with the function that closes it.
    ds.set_close(partial(_close, list(files.values())))
    return ds


def _close(files: Collection[DirectFile]) -> None:
    for file in files:
        file.close()


# -- the files ------------------------------------------------------------------------------------
def _allowed_files(
    where: str, session: IndexedSession, index: Place, options: OpenOptions
) -> dict[str, DirectFile]:
    """Return the files of a session, none of them opened; refuse those that are not allowed."""
    allowed = allowed_steps(options.get("sources"), index)
    files, problems = {}, []
    for address, state in session.files.items():
        try:
            place = followed_place(address, allowed, options.get("storage_options"))
        except (ValueError, OscaxrError) as error:
            problems.append(str(error))
            continue
        files[address] = DirectFile(place, _known_state(place, state))
    if problems:
        raise UnsafeLinkError(f"{where} leads to files that are not read:{listed(problems)}")
    return files


def _known_state(place: Place, state: FileState) -> Stamp | RemoteSource:
    if isinstance(place, Path):
        return Stamp(state.size, state.mtime_ns)
    return RemoteSource(str(place), state.size, state.etag)


def _check_states(where: str, session: IndexedSession, files: Mapping[str, DirectFile]) -> None:
    """Refuse files that are not what they were when they were indexed."""
    problems = []
    for address, file in files.items():
        try:
            found = FileState.of(file.found())
        except (OSError, OscaxrError) as error:
            problems.append(f"{address} cannot be reached: {error}")
            continue
        known = session.files[address]
        if found.size != known.size:
            problems.append(f"{address} has {found.size} bytes, and had {known.size}")
        elif found != known:
            problems.append(f"{address} was written to, or replaced by one of the same size")
    if problems:
        raise FormatError(
            f"{where}: where things lie in the files is not known any more:{listed(problems)}\n"
            "Write the index again (oscaxr.write_index), or open the files themselves."
        )


# -- what it holds --------------------------------------------------------------------------------
def _arrays(
    where: str, references: References, files: Mapping[str, DirectFile]
) -> tuple[dict[str, Array | StorageReader], dict[str, Any]]:
    """Return the arrays and attributes of a session; all that is wrong is one error."""
    by_name: dict[str, dict[str, Any]] = {}
    for key, value in references.items():
        name, _, inner = key.rpartition("/")
        by_name.setdefault(name, {})[inner] = value
    own = by_name.pop("", {})
    arrays: dict[str, Array | StorageReader] = {}
    problems = []
    attrs: dict[str, Any] = {}
    try:
        if own.keys() != {GROUP, ATTRS} or parsed(own[GROUP]) != ZARR_GROUP:
            raise ValueError("it is no group of zarr format 2, with attributes")
        attrs = attrs_from(own[ATTRS])
        attrs.pop("coordinates", None)
        if not isinstance(attrs.get("source_format"), str):
            raise ValueError("its attributes do not say what its source is (source_format)")
    except (ValueError, RecursionError) as error:
        problems.append(str(error))
    for name, entries in by_name.items():
        try:
            arrays[name] = array_from(name, entries, files)
            if name in _CLOCKS and math.prod(arrays[name].shape) > _MAX_FRAMES:
                raise ValueError(f"it has more than {_MAX_FRAMES} frames")
        except (ValueError, TypeError, RecursionError) as error:
            problems.append(f"{name[:60]}: {error}")
    missing = [name for name, spec in SESSION.items() if spec.required and name not in by_name]
    problems += [f"{name}: it is missing" for name in missing]
    if problems:
        raise FormatError(f"{where} is not followed:{listed(problems)}\nWrite the index again.")
    return arrays, attrs


def _coords_and_parts(
    where: str, arrays: Mapping[str, Array | StorageReader]
) -> tuple[dict[str, Any], Parts]:
    """Return the facts of a session, and its arrays with what follows from its traces."""
    stored = {name: one for name, one in arrays.items() if isinstance(one, StorageReader)}
    traces = stored.get(n.DFF)
    if traces is None:
        raise FormatError(f"{where} is not followed: {n.DFF} is in the index itself")
    coords: dict[str, Any] = {}
    parts: Parts = {}
    for name, array in arrays.items():
        if isinstance(array, np.ndarray):
            (parts if array.shape else coords)[name] = array if array.shape else array.item()
    clocks = [name for name in _CLOCKS if name in stored]
    parts |= dict(zip(clocks, read_together([stored.pop(name) for name in clocks]), strict=True))
    parts |= {name: OrthogonalArray(reader) for name, reader in stored.items()}
    if problems := [*_problems_of_values(parts)]:
        raise FormatError(f"{where} has values that no session has:{listed(problems)}")
    parts |= trace_facts(traces, Path(traces.file.path).name)
    pupil = [arrays[name] for name in (n.PUPIL_CENTER_X, n.PUPIL_CENTER_Y) if name in arrays]
    if len(pupil) == 2:
        parts |= pupil_shift(*(ArrayReader(x) if isinstance(x, np.ndarray) else x for x in pupil))
    return coords, parts


def _problems_of_values(parts: Parts) -> Iterator[str]:
    """Say what is wrong with clocks, ROIs and the stimulus table, which are read at once."""
    for clock in _CLOCKS:
        if not (np.diff(parts[clock]) > 0).all():
            yield f"{clock} does not increase"
    for name in (n.ROI, n.ROI_ID, n.TRACKING_ID):
        values = parts[name][parts[name] != n.UNTRACKED]
        if len(np.unique(values)) < len(values):
            yield f"{name} has the same number for several ROIs"
    columns = {name: values for name, values in parts.items() if SESSION[name].dims == (n.SEGMENT,)}
    yield from problems_of_table(
        columns, {"stim": len(parts[n.STIM_TIME]), "twop": len(parts[n.TIME])}
    )
