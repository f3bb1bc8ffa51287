"""Traces of an NWB session: dF/F, running, pupil, and the two clocks."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, OrthogonalArray
from oscaxr.errors import DroppedFramesWarning, warn
from oscaxr.files.hdf5 import DatasetReader
from oscaxr.formats.nwb.source import DFF, MAX_PROJECTION, MOVIE, PUPIL, RUNNING, TEMPLATES, Source
from oscaxr.model import names as n
from oscaxr.model import signals
from oscaxr.model.derived import pupil_shift, trace_facts
from oscaxr.model.schema import template_spec

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


def read_max_projection(source: Source) -> Parts:
    """Return the maximum projection, lazy."""
    dataset = source.array(MAX_PROJECTION, "maximum projection", (None, None), required=False)
    if dataset is None:
        return {}
    return {n.MAX_PROJECTION: ((n.HEIGHT, n.WIDTH), _lazy(source, dataset))}


def read_templates(source: Source) -> Parts:
    """Return the stimulus template images, lazy."""
    group = source.get(TEMPLATES)
    parts: Parts = {}
    for name in sorted(group) if isinstance(group, h5py.Group) else []:
        dataset = source.get(f"{TEMPLATES}/{name}/data")
        if isinstance(dataset, h5py.Dataset) and dataset.ndim in (3, 4):
            spec = template_spec(name)
            parts[spec.name] = (spec.dims, _lazy(source, dataset))
        else:
            source.problems.append(
                f"{TEMPLATES}/{name}/data is not a series of images (frame, height, width, 1)"
            )
    return parts


def read_movie(source: Source, n_frames: int) -> Parts:
    """Return the motion-corrected stack, lazy."""
    dataset = source.array(
        f"{MOVIE}/data", "motion-corrected stack", (n_frames, None, None), required=False
    )
    if dataset is None:
        return {}
    return {n.MOVIE: ((n.TIME, n.HEIGHT, n.WIDTH), _lazy(source, dataset))}


def _lazy(source: Source, dataset: h5py.Dataset) -> OrthogonalArray:
    reader = DatasetReader(source.file, dataset)
    if dataset.ndim == 4 and dataset.shape[3] == 1:
        # Images are stored with one colour channel: drop it as an int index would.
        indices = (*(slice(0, size, 1) for size in dataset.shape[:3]), 0)
        return OrthogonalArray(reader, indices)
    return OrthogonalArray(reader)
