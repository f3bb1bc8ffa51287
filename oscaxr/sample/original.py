"""A sample session as a folder of the original layout: sync file, cameras, pupil and the rest."""

import os
import pickle
from collections.abc import Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.original_folder import (
    OriginalForm,
    Pickled,
    Storage,
    Tree,
    original_path,
)
from oscaxr.sample.original_rois import (
    FoundRois,
    nway_name,
    write_allen_masks,
    write_extract_masks,
    write_max_projection,
    write_nway,
    write_traces,
)
from oscaxr.sample.pickler import Python2Pickler
from oscaxr.sample.spec import Progress, SampleSpec, taking_place
from oscaxr.sample.stimulus_log import make_log
from oscaxr.sample.synthesis import SampleSession, make_session
from oscaxr.sample.timeline import COUNTS_PER_SECOND, Clocks, Counts

_TIME_FORM = "%Y-%m-%d %H:%M:%S"


def write_original(
    session: SampleSession | SampleSpec,
    datadir: str | os.PathLike[str],
    *,
    mouse_folder: bool = True,
    pickled_by: Pickled = "python2",
    pickle_protocol: int = 0,
    layout: Storage = "contiguous",
    dtype: Literal["float32", "float64"] = "float32",
    mates: Iterable[SampleSpec] = (),
    leave_out: Collection[str] = (),
    startup_spike: bool = False,
    photodiode_glitches: int = 0,
    alignment_shift: int = 0,
    unknown_eye_frames: int = 0,
    pupil_frames: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one sample session as a folder in the original layout, that from before NWB.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    datadir : path-like
        Data directory; the folder goes below ``prod`` or ``pilot``.
    mouse_folder : bool, optional
        Whether the sessions of a mouse have a folder of their own.
    pickled_by : {"python2", "python3"}, optional
        Which Python the stimulus log looks pickled by. The recorded ones are by Python 2.
    pickle_protocol : int, optional
        0 or 2 by Python 2, up to 5 by Python 3.
    layout : {"contiguous", "chunked", "gzip"}, optional
        How HDF5 stores the traces.
    dtype : {"float32", "float64"}, optional
        Of the traces.
    mates : iterable of SampleSpec, optional
        The mouse's other sessions, named in the file of tracked ROIs with the matrices that lay
        their fields over this one.
    leave_out : collection of str, optional
        Of what not every session has: ``"pupil"`` and ``"tracking"`` (the files), ``"dff"``,
        ``"raw"`` (the trace files), ``"extract"`` (all of the second segmentation of dendrites),
        ``"squares"`` and ``"orientations"`` (in the stimulus log).
    startup_spike : bool, optional
        Whether the stimulus line has a spike a second before the first pulse. By the definitions
        of this format it counts as a pulse, so that all times and frames differ from those of the
        session without.
    photodiode_glitches : int, optional
        How many times the photodiode flickers before it sees the screen change.
    alignment_shift : int, optional
        By how many two-photon frames the stored alignment of the stimulus is off.
    unknown_eye_frames : int, optional
        Number of two-photon frames, from the first, for which no frame of the eye camera is stored.
    pupil_frames : int, optional
        At most so many rows of the pupil table: a recording that stopped early.
    overwrite : bool, optional
        Whether to replace a folder that is already there.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.

    Returns
    -------
    pathlib.Path
        The session's folder. It appears under its name when it is complete, never before.

    Raises
    ------
    SampleExistsError
        If the folder is there and `overwrite` is false.
    SampleError
        If an option has no meaning; all problems are listed.

    Notes
    -----
    The same session written by :func:`write_nwb` tells the same. This layout also has unfit ROIs
    (`n_bad_rois` of the session), raw fluorescence, and the alignment of all stimulus frames; the
    gray frame of a Gabor sequence has the mean orientation of the frame before it. A session with
    other parameters than those of production is written as a pilot session.

    Examples
    --------
    >>> import tempfile
    >>> spec = SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(64, 64))
    >>> with tempfile.TemporaryDirectory() as datadir:
    ...     folder = write_original(spec, datadir)
    ...     sorted(path.name for path in folder.glob("*_s*"))
    ['758519303_408021_20180926_stim.pkl', '758519303_408021_20180926_sync.h5']
    """
    if isinstance(session, SampleSpec):
        session = make_session(session)
    form = OriginalForm(
        mouse_folder=mouse_folder,
        pickled_by=pickled_by,
        pickle_protocol=pickle_protocol,
        layout=layout,
        dtype=dtype,
        mates=tuple(mates),
        leave_out=tuple(leave_out),
        startup_spike=startup_spike,
        photodiode_glitches=photodiode_glitches,
        alignment_shift=alignment_shift,
        unknown_eye_frames=unknown_eye_frames,
        pupil_frames=pupil_frames,
    )
    form.check(session.spec)
    path = original_path(session.spec, datadir, mouse_folder=mouse_folder)
    with taking_place(path, overwrite=overwrite) as folder:
        _write(session, Tree(folder, session.spec), form, progress)
    return path


def _write(
    session: SampleSession, tree: Tree, form: OriginalForm, progress: Progress | None
) -> None:
    tree.make_folders()
    _write_behavior(session, tree, form)
    _write_rois(session, tree, form)
    for done, total in write_traces(session, tree, form):
        if progress is not None:
            progress(done, total)


def _write_behavior(session: SampleSession, tree: Tree, form: OriginalForm) -> None:
    clocks = session.clocks
    with tree.behavior_file("stim.pkl").open("wb", buffering=2**20) as file:
        log = make_log(session, form)
        if form.pickled_by == "python2":
            Python2Pickler(file, form.pickle_protocol).dump(log)
        else:
            pickle.dump(log, file, protocol=form.pickle_protocol)
    start = session.spec.start
    stop = start + timedelta(seconds=int(clocks.eye_rise[-1]) / COUNTS_PER_SECOND)
    stamps = start.strftime(_TIME_FORM), stop.strftime(_TIME_FORM)
    write_sync(tree.behavior_file("sync.h5"), clocks, form, *stamps)
    write_time_synchronization(tree.experiment_file("time_synchronization.h5"), clocks, form)
    write_video(tree.behavior_file("video-0.h5"), clocks.body_rise)
    write_video(tree.behavior_file("video-1.h5"), clocks.eye_rise)
    if "pupil" not in form.leave_out:
        rows = session.pupil_pixels[: form.pupil_frames]
        write_pupil(tree.behavior_file("pupil_data_df.h5"), rows)


def _write_rois(session: SampleSession, tree: Tree, form: OriginalForm) -> None:
    spec = session.spec
    write_max_projection(tree.processed / "max_downsample_4Hz_0.png", session.max_projection)
    write_allen_masks(tree, FoundRois(session, is_extract=False))
    if spec.plane == "dend" and "extract" not in form.leave_out:
        path = tree.processed / f"{spec.session_id}_dendritic_masks.h5"
        write_extract_masks(path, FoundRois(session, is_extract=True))
    if spec.n_tracked and "tracking" not in form.leave_out:
        write_nway(tree.processed / nway_name(spec), spec, form.mates)


LINE_LABELS: Final = {
    "2p_vsync": 0,
    "stim_vsync": 2,
    "stim_photodiode": 4,
    "acq_trigger": 5,
    "cam1_exposure": 8,
    "cam2_exposure": 9,
}
_N_LINES: Final = 32
_TWOP_HIGH: Final = 1_700
_CAMERA_HIGH: Final = 1_000
_ACQUISITION_START: Final = 500_000
_SPIKE_LEAD: Final = 100_000
_SPIKE_HIGH: Final = 20
_GLITCH: Final = (2_000, 1_000)  # before an event


def startup_spike(clocks: Clocks) -> int:
    """Return when a spike of the card at start-up would rise: a second before the first pulse."""
    return int(clocks.stim_rise[0]) - _SPIKE_LEAD


def _photodiode(clocks: Clocks, glitches: int) -> Counts:
    events = clocks.screen_events
    # Not at the ends, which tell where the stimulus begins and where it stops.
    at = np.unique(np.linspace(2, len(events) - 4, glitches).astype(np.int64))
    parts = [clocks.start_flash, events, clocks.stop_flash]
    parts += [events[at] - before for before in _GLITCH]
    return np.sort(np.concatenate(parts))


def _toggles(clocks: Clocks, form: OriginalForm) -> dict[str, Counts]:
    """When each line changes its state; all begin low."""
    stim = [clocks.stim_rise, clocks.stim_fall]
    if form.startup_spike:
        stim += [np.array([startup_spike(clocks), startup_spike(clocks) + _SPIKE_HIGH])]
    end = max(clocks.eye_rise[-1], clocks.body_rise[-1]) + 2 * _CAMERA_HIGH
    return {
        "2p_vsync": np.concatenate([clocks.twop_fall - _TWOP_HIGH, clocks.twop_fall]),
        "stim_vsync": np.concatenate(stim),
        "stim_photodiode": _photodiode(clocks, form.photodiode_glitches),
        "acq_trigger": np.array([_ACQUISITION_START, end]),
        "cam1_exposure": np.concatenate([clocks.body_rise, clocks.body_rise + _CAMERA_HIGH]),
        "cam2_exposure": np.concatenate([clocks.eye_rise, clocks.eye_rise + _CAMERA_HIGH]),
    }


def line_states(toggles: dict[str, Counts]) -> NDArray[np.uint32]:
    """Return the states of all lines whenever one changes."""
    counts = np.concatenate([[0], *toggles.values()])
    bits = [np.full(len(at), 1 << LINE_LABELS[name]) for name, at in toggles.items()]
    order = np.argsort(counts, kind="stable")
    counts = counts[order]
    states = np.bitwise_xor.accumulate(np.concatenate([[0], *bits])[order])
    # Lines that change at the same time are one row.
    is_last = np.append(counts[1:] != counts[:-1], True)
    return np.column_stack([counts[is_last], states[is_last]]).astype(np.uint32)


def write_sync(path: Path, clocks: Clocks, form: OriginalForm, started: str, stopped: str) -> None:
    """Write the sync file."""
    import h5py

    states = line_states(_toggles(clocks, form))
    labels = [""] * _N_LINES
    for label, bit in LINE_LABELS.items():
        labels[bit] = label
    meta = {
        "ni_daq": {
            "device": "Dev1",
            "counter_input": "Ctr0",
            "counter_output": "Ctr2",
            "counter_output_freq": float(COUNTS_PER_SECOND),
            "event_bits": _N_LINES,
            "counter_bits": 32,
        },
        "line_labels": labels,
        "timeouts": [],
        "version": {"dataset": 1.04, "sync": 1.05},
        "start_time": started,
        "stop_time": stopped,
        "total_samples": int(states[-1, 0]),
    }
    with h5py.File(path, "w-") as file:
        file["data"] = states
        file["meta"] = repr(meta)


def write_time_synchronization(path: Path, clocks: Clocks, form: OriginalForm) -> None:
    """Write the clock of the two-photon frames and the alignments to it."""
    import h5py

    falls = clocks.stim_fall
    if form.startup_spike:
        falls = np.append(startup_spike(clocks) + _SPIKE_HIGH, falls)
    eye = clocks.camera_frames(clocks.eye_rise).astype(np.float64)
    eye[: form.unknown_eye_frames] = np.nan
    arrays = {
        "twop_vsync_fall": clocks.twop_times,
        # Of every pulse, while the table pairs each stimulus frame with the pulse after it.
        "stimulus_alignment": clocks.frames_on_screen(falls) + float(form.alignment_shift),
        "eye_tracking_alignment": eye,
        "body_camera_alignment": clocks.camera_frames(clocks.body_rise).astype(np.float64),
        "stim_delay": clocks.monitor_delay,
    }
    with h5py.File(path, "w-") as file:
        for name, values in arrays.items():
            file[name] = values
        for name in ("ophys_delta", "stim_delta", "eye_delta", "behavior_delta"):
            file[name] = 0


def write_video(path: Path, rises: Counts) -> None:
    """Write the log of a camera: the time between its frames."""
    import h5py

    with h5py.File(path, "w-") as file:
        file["frame_intervals"] = (np.diff(rises) / COUNTS_PER_SECOND).astype(np.float32)


KEY: Final = "pupil_data"
COLUMNS: Final = (b"nan_diam", b"nan_center_x", b"nan_center_y")
_GROUP: Final = {"CLASS": b"GROUP", "VERSION": b"1.0"}
_ARRAY: Final = {"CLASS": b"ARRAY", "VERSION": b"2.4", "FLAVOR": b"numpy"}
_TABLE: Final = {
    **_GROUP,
    "pandas_type": b"frame",
    "pandas_version": b"0.15.2",
    "encoding": b"UTF-8",
    "errors": b"strict",
    "axis0_variety": b"regular",
    "axis1_variety": b"regular",
    "block0_items_variety": b"regular",
}
_PICKLED_NONE: Final = b"N."


def write_pupil(path: Path, pixels: NDArray[np.float64]) -> None:
    """Write the pupil table, without PyTables."""
    import h5py

    def describe(item: Any, attrs: dict[str, Any]) -> None:
        for name, value in attrs.items():
            item.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value

    with h5py.File(path, "w-") as file:
        describe(file, {**_GROUP, "PYTABLES_FORMAT_VERSION": b"2.1"})
        group = file.create_group(KEY)
        describe(group, {**_TABLE, "ndim": np.int64(2), "nblocks": np.int64(1)})
        names = np.array(COLUMNS)
        arrays = {
            "axis0": (names, b"string"),
            "axis1": (np.arange(len(pixels), dtype=np.int64), b"integer"),
            "block0_items": (names, b"string"),
            "block0_values": (pixels, None),
        }
        for name, (values, kind) in arrays.items():
            group[name] = values
            describe(group[name], {**_ARRAY, "transposed": np.uint8(1)})
            if kind is not None:
                describe(group[name], {"kind": kind, "name": _PICKLED_NONE})
