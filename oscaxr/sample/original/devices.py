"""What the devices recorded: the lines as a sync file, alignments to it, cameras, the pupil."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.original.folder import OriginalForm
from oscaxr.sample.timeline import COUNTS_PER_SECOND, Clocks, Counts

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
