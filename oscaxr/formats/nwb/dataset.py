"""From the files of a session to its lazy Dataset."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from oscaxr.errors import FormatError
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import Source, open_source
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.identity import check_ids, line_of, with_table
from oscaxr.formats.nwb import header, recordings, stimulus_table
from oscaxr.formats.published import name_of
from oscaxr.model import names as n
from oscaxr.model.dataset import session_dataset
from oscaxr.model.derived import field_shape
from oscaxr.model.synthetic import MARK
from oscaxr.options import OpenOptions, dropped_names, parts_of

_KIND = (
    "laid out as a session of DANDI 000037 (is it a processed session file, "
    "sub-*_ses-*_behavior+ophys.nwb, and was it fetched whole?)"
)


def open_nwb(
    paths: Sequence[Path | RemoteFile], options: OpenOptions, facts: Mapping[str, Any] | None
) -> xr.Dataset:
    """Open the NWB files of one session as a lazy Dataset."""
    wanted, _ = parts_of(options.get("include", ()))
    dropped = dropped_names(options.get("drop_variables"))
    several = len(paths) > 1
    file = (several and _find_file_with(paths, f"{header.DFF}/data")) or Hdf5File(paths[0])
    files = [file]
    try:
        with open_source(file, _KIND, dropped) as source:
            parts, coords, attrs = _core(source)
        header.check_same_session(file.path, coords, paths)
        coords, attrs = with_table(file.path, coords, attrs, facts)
        # Images, tracks and the pupil may lie in any file of the session.
        for word in (*wanted, *(["pupil"] if n.PUPIL_DIAMETER not in parts else [])):
            parts |= _find_part(word, paths, parts, coords, dropped, files)
        attrs["source_files"] = ", ".join(map(name_of, paths))
        attrs["source_format"] = "nwb"
        ds = session_dataset(file.path, parts, coords, attrs, dropped)
    except BaseException:
        _close(files)
        raise
    ds.encoding["source"] = file.path
    remote = tuple(dict.fromkeys(f.remote for f in files if f.remote is not None))
    if remote:
        ds.encoding["remote_sources"] = remote
    # Not a lambda: a Dataset is pickled with the function that closes it.
    ds.set_close(partial(_close, files))
    return ds


def _find_part(
    word: str,
    paths: Sequence[Path | RemoteFile],
    known: Mapping[str, Any],
    coords: Mapping[str, Any],
    dropped: Collection[str],
    files: list[Hdf5File],
) -> dict[str, Any]:
    """Read a part of the session from the first file that has it, and note that file."""
    times, n_segments = known[n.TIME], len(known[n.SEGMENT])
    parts: dict[str, tuple[str, Callable[[Source], dict[str, Any]]]] = {
        "squares": (header.SQUARES, partial(stimulus_table.read_squares, n_segments=n_segments)),
        "templates": (header.TEMPLATES, recordings.read_templates),
        "movie": (header.MOVIE, partial(recordings.read_movie, n_frames=len(times))),
        "pupil": (header.PUPIL, partial(recordings.read_pupil, times=times)),
    }
    where, read = parts[word]
    holder = _find_file_with(paths, where)
    if holder is None:
        return {}
    files.append(holder)
    with open_source(holder, _KIND, dropped) as source:
        check_ids(holder.path, _facts(source)[0], coords)
        return read(source)


def _find_file_with(paths: Sequence[Path | RemoteFile], wanted: str) -> Hdf5File | None:
    """Open the first of a session's files that holds an object."""
    for path in paths:
        file = Hdf5File(path)
        with file.handle() as handle:
            source = Source(file, handle, _KIND)
            item = source.get(wanted)
            # Where there is a problem, it is told when the object is read.
            if (
                source.problems
                or isinstance(item, h5py.Dataset)
                or (item is not None and len(item))
            ):
                return file
        file.close()
    return None


def _close(files: Sequence[Hdf5File]) -> None:
    for file in files:
        file.close()


def _core(source: Source) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Read what every session has; problems are noted in the source and raised by its owner."""
    coords, attrs = _facts(source)
    clocks = recordings.read_clocks(source)
    n_stim, n_twop = (len(clocks[c]) if c in clocks else None for c in ("stim", "twop"))
    dff = recordings.find_dff(source, n_twop)
    table = recordings.read_roi_table(source, None if dff is None else dff.shape[1])
    running = recordings.read_running(source, n_stim)
    columns = stimulus_table.read_segments(source, clocks)
    if dff is None or not columns or n_twop is None or n_stim is None:
        # Nothing more can be told of an unfit file; its problems say why.
        source.problems.append("the session could not be assembled")
        source.finish()
        raise FormatError(source.file.path)
    n_segments = len(columns["stimulus_type"])
    # Traces first: the order of the variables is the order in which the Dataset prints them.
    parts = {
        **recordings.dff_parts(source, dff),
        **running,
        **recordings.read_pupil(source, clocks["twop"], source.get(f"{header.DFF}/timestamps")),
        **table,
        n.TIME: clocks["twop"],
        n.STIM_TIME: clocks["stim"],
        n.SEGMENT: np.arange(n_segments, dtype=np.int64),
        **columns,
        **stimulus_table.read_patches(source, n_segments),
        **recordings.read_max_projection(source),
    }
    parts |= recordings.read_pixel_spacing(source, field_shape(parts, source.dropped))
    return parts, coords, attrs


def _facts(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    ids = {name: source.text(path) for name, path in header.IDS.items()}
    coords: dict[str, Any] = {name: int(text) for name, text in ids.items() if text.isdecimal()}
    if "mouse_id" not in coords:
        source.problems.append(
            f"{header.IDS['mouse_id']} should be the mouse id, but is {ids['mouse_id']!r}"
        )
    texts = dict.fromkeys(header.TEXTS, "")
    for name, path in header.TEXTS.items():
        with source.part(name):
            texts[name] = source.text(path)
    number = header.session_id_of(ids["session_id"], texts["identifier"])
    if number is None:
        texts["session_name"] = ids["session_id"]
    else:
        coords["session_id"] = number
    texts |= header.start_attrs(texts["session_start_time"], number, coords.get("mouse_id"))
    attrs: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if line := line_of(texts["genotype"]):
        coords["line"] = line
    if MARK in source.handle.attrs:
        attrs["synthetic"] = 1
    version = source.handle.attrs.get("nwb_version", "")
    attrs["nwb_version"] = version.decode() if isinstance(version, bytes) else str(version)
    return coords, attrs
