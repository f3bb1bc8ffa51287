"""Traces of an NWB session: dF/F, running, pupil, and the two clocks."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.errors import DroppedFramesWarning, warn
from oscaxr.io.hdf5 import DatasetReader
from oscaxr.io.nwb.source import DFF, PUPIL, RUNNING, Source
from oscaxr.model import names as n
from oscaxr.model import signals
from oscaxr.model.derived import pupil_shift, trace_facts
from oscaxr.model.lazy import Array, OrthogonalArray

Parts = dict[str, tuple[tuple[str, ...], Any]]


def read_clocks(source: Source) -> dict[str, Array]:
    """Read the timestamps of the stimulus and the two-photon frames."""
    clocks = {}
    for name, path in (("stim", f"{RUNNING}/timestamps"), ("twop", f"{DFF}/timestamps")):
        times = source.values(path, f"times of the {name} frames", (None,))
        if times is None:
            continue
        back = np.flatnonzero(~(np.diff(times) > 0))
        if back.size:
            source.problems.append(
                f"{path} does not increase at {back.size} place(s), first at frame {back[0] + 1} "
                f"({times[back[0]]:.4f} s, then {times[back[0] + 1]:.4f} s)"
            )
        elif len(times) < 2:
            source.problems.append(f"{path} has {len(times)} frame(s)")
        else:
            clocks[name] = times.astype(np.float64, copy=False)
    return clocks


def find_dff(source: Source, n_frames: int | None) -> h5py.Dataset | None:
    """Return the dataset of dF/F, (time, roi), its shape checked against the clock."""
    return source.array(f"{DFF}/data", "dF/F by (two-photon frame, ROI)", (n_frames, None))


def read_dff(source: Source, dataset: h5py.Dataset) -> Parts:
    """Return dF/F and what is computed from whole traces on first use."""
    reader = DatasetReader(source.file, dataset)
    name = Path(source.file.path).name
    return {n.DFF: ((n.TIME, n.ROI), OrthogonalArray(reader)), **trace_facts(reader, name)}


def read_running(source: Source, n_frames: int | None) -> Parts:
    """Read running velocity, its outliers set to NaN; warn when many frames are missing."""
    velocity = source.values(f"{RUNNING}/data", "running velocity", (n_frames,))
    if velocity is None:
        return {}
    cleaned, n_in_file, n_added = signals.remove_running_outliers(velocity)
    message = signals.dropped_frames_message(cleaned, n_in_file, n_added)
    if message:
        warn(f"{Path(source.file.path).name}: {message}", DroppedFramesWarning)
    return {n.RUN_VELOCITY: ((n.STIM_TIME,), cleaned)}


def read_pupil(source: Source, n_frames: int) -> Parts:
    """Return the pupil traces that the file has, lazy."""
    parts: Parts = {}
    readers = {}
    for name, series in (
        (n.PUPIL_DIAMETER, "pupil_diameter"),
        (n.PUPIL_CENTER_X, "pupil_position_x"),
        (n.PUPIL_CENTER_Y, "pupil_position_y"),
    ):
        what = f"{series.replace('_', ' ')} by two-photon frame"
        dataset = source.array(f"{PUPIL}/{series}/data", what, (n_frames,), required=False)
        if dataset is not None:
            readers[name] = DatasetReader(source.file, dataset)
            parts[name] = ((n.TIME,), OrthogonalArray(readers[name]))
    if n.PUPIL_CENTER_X in readers and n.PUPIL_CENTER_Y in readers:
        parts |= pupil_shift(readers[n.PUPIL_CENTER_X], readers[n.PUPIL_CENTER_Y])
    return parts
