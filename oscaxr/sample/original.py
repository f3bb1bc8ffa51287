"""A sample session as a folder of the original layout: sync file, cameras, pupil and the rest."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.files.folders import new_folder
from oscaxr.files.remote import as_given, place_of
from oscaxr.options import PathLike
from oscaxr.sample.original_folder import OriginalForm, Tree, original_place
from oscaxr.sample.original_rois import (
    FoundRois,
    write_allen_masks,
    write_extract_masks,
    write_nway,
    write_traces,
)
from oscaxr.sample.pickler import Python2Pickler
from oscaxr.sample.place import mark_folder, taking_place
from oscaxr.sample.spec import Progress, SampleSpec, tell_steps
from oscaxr.sample.stimulus_log import make_log
from oscaxr.sample.synthesis import SampleSession, make_session
from oscaxr.sample.timeline import COUNTS_PER_SECOND, Clocks, Counts

_TIME_FORM = "%Y-%m-%d %H:%M:%S"


def write_original(
    session: SampleSession | SampleSpec,
    datadir: PathLike,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **form: Any,
) -> Path | str:
    """Write one sample session as a folder in the original layout, that from before NWB.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    datadir : path-like
        Data directory; the folder goes below ``prod`` or ``pilot``. Or an address in an object
        store (``s3://bucket/data``): the folder is then made in a temporary one, and put.
    overwrite : bool, optional
        Whether to replace a sample that is already there; a folder that holds anything else, or
        whose files were changed, never is.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.
    **form
        Form of the folder, the parameters of :class:`OriginalForm`.

    Returns
    -------
    pathlib.Path or str
        The session's folder; in a store, its address, a str. It appears under its name when it is
        complete, never before; in a store, where the stimulus log is put last, readers refuse it
        until then.

    Raises
    ------
    SampleExistsError
        If the folder is there and `overwrite` is false, or holds more than a sample.
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
    ['900000001_900001_20010105_stim.pkl', '900000001_900001_20010105_sync.h5']
    """
    if isinstance(session, SampleSpec):
        session = make_session(session)
    asked = OriginalForm(**form)
    asked.check(session.spec)
    path = original_place(session.spec, place_of(datadir, storage_options))
    names = Tree(Path(), session.spec)
    # In a store: first what says that it is a sample, last what no session does without.
    marked, needed = (names.behavior_file(ending).name for ending in ("sync.h5", "stim.pkl"))
    making = partial(new_folder, first=marked, last=needed)
    with taking_place(path, overwrite=overwrite, making=making) as folder:
        tree = Tree(folder, session.spec)
        tree.segmentation.mkdir(parents=True)
        with tree.behavior_file("stim.pkl").open("wb", buffering=2**20) as log:
            Python2Pickler(log, asked.pickle_protocol).dump(make_log(session))
        _write_behavior(session, tree)
        _write_rois(session, tree, asked)
        tell_steps(write_traces(session, tree, asked), progress)
        mark_folder(folder)
    return as_given(path)


def _write_behavior(session: SampleSession, tree: Tree) -> None:
    """Write the pulses, what follows from them, and the pupil."""
    import h5py

    clocks = session.clocks
    contents = {
        tree.behavior_file("sync.h5"): _sync(session),
        tree.experiment_file("time_synchronization.h5"): _time_synchronization(clocks),
        tree.behavior_file("video-0.h5"): _frame_intervals(clocks.body_rise),
        tree.behavior_file("video-1.h5"): _frame_intervals(clocks.eye_rise),
    }
    for path, datasets in contents.items():
        with h5py.File(path, "w-") as file:
            for name, values in datasets.items():
                file[name] = values
    write_pupil(tree.behavior_file("pupil_data_df.h5"), session.pupil_pixels)


def _write_rois(session: SampleSession, tree: Tree, form: OriginalForm) -> None:
    from PIL import Image

    spec = session.spec
    projection = tree.processed / "max_downsample_4Hz_0.png"
    Image.fromarray(session.max_projection).save(projection, format="PNG")
    write_allen_masks(tree, FoundRois(session, is_extract=False))
    if spec.plane == "dend":
        path = tree.processed / f"{spec.session_id}_dendritic_masks.h5"
        write_extract_masks(path, FoundRois(session, is_extract=True))
    if spec.n_tracked:
        write_nway(tree, form.mates)


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


def _toggles(clocks: Clocks) -> dict[str, Counts]:
    """When each line changes its state; all begin low."""
    photodiode = [clocks.start_flash, clocks.screen_events, clocks.stop_flash]
    end = max(clocks.eye_rise[-1], clocks.body_rise[-1]) + 2 * _CAMERA_HIGH
    return {
        "2p_vsync": np.concatenate([clocks.twop_fall - _TWOP_HIGH, clocks.twop_fall]),
        "stim_vsync": np.concatenate([clocks.stim_rise, clocks.stim_fall]),
        "stim_photodiode": np.concatenate(photodiode),
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


def _sync(session: SampleSession) -> dict[str, Any]:
    """Return what the sync file holds."""
    states = line_states(_toggles(session.clocks))
    labels = [""] * _N_LINES
    for label, bit in LINE_LABELS.items():
        labels[bit] = label
    start = session.spec.start
    stop = start + timedelta(seconds=int(session.clocks.eye_rise[-1]) / COUNTS_PER_SECOND)
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
        "start_time": start.strftime(_TIME_FORM),
        "stop_time": stop.strftime(_TIME_FORM),
        "total_samples": int(states[-1, 0]),
    }
    return {"data": states, "meta": repr(meta)}


def _time_synchronization(clocks: Clocks) -> dict[str, Any]:
    """Return the clock of the two-photon frames and the alignments to it."""
    return {
        "twop_vsync_fall": clocks.twop_times,
        # Of every pulse, while the table pairs each stimulus frame with the pulse after it.
        "stimulus_alignment": clocks.frames_on_screen(clocks.stim_fall).astype(np.float64),
        "eye_tracking_alignment": clocks.camera_frames(clocks.eye_rise).astype(np.float64),
        "body_camera_alignment": clocks.camera_frames(clocks.body_rise).astype(np.float64),
        "stim_delay": clocks.monitor_delay,
        **dict.fromkeys(("ophys_delta", "stim_delta", "eye_delta", "behavior_delta"), 0),
    }


def _frame_intervals(rises: Counts) -> dict[str, Any]:
    """Return what the log of a camera holds: the time between its frames."""
    return {"frame_intervals": (np.diff(rises) / COUNTS_PER_SECOND).astype(np.float32)}


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
