"""The least that plain h5py and numpy must do for each task; oscaxr is measured against these."""

import h5py
import numpy as np

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
RUNNING = "processing/behavior/BehavioralTimeSeries/running_velocity"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
TRIALS = "intervals/trials"
TEXT = ("stimulus_type", "stimulus_template_name", "gabor_frame", "main_flow_direction")
PATCHES = ("gabor_locations_x", "gabor_locations_y", "gabor_sizes", "gabor_orientations")


def open_and_read_table(path):
    """Read the clocks, the running trace, the ROI ids and the stimulus table with its patches."""
    found = {}
    with h5py.File(path) as file:
        found["time"] = file[f"{DFF}/timestamps"][:]
        found["stim_time"] = file[f"{RUNNING}/timestamps"][:]
        found["run_velocity"] = file[f"{RUNNING}/data"][:]
        found["roi_id"] = file[f"{PLANE}/id"][:]
        found["tracking_id"] = file[f"{PLANE}/tracking_id"][:]
        trials = file[TRIALS]
        for name in trials:
            if name.startswith("square_locations") or name == "id":
                continue
            found[name] = trials[name].asstr()[:] if name in TEXT else trials[name][:]
    for name in PATCHES:
        counts = np.diff(found[f"{name}_index"].astype(int), prepend=0)
        table = np.full((len(counts), 30), np.nan)
        table[counts > 0] = found[name].reshape(-1, 30)
        found[name] = table
    return found


def windows_by_slice(path, frames, before, after):
    """Slice one window after the other."""
    with h5py.File(path) as file:
        data = file[f"{DFF}/data"]
        return np.stack([data[frame - before : frame + after] for frame in frames])


def windows_by_chunk(path, frames, before, after):
    """Read each touched row of chunks once, and pick the frames from it."""
    rows = frames[:, None] + np.arange(-before, after)
    with h5py.File(path) as file:
        data = file[f"{DFF}/data"]
        out = np.empty((*rows.shape, data.shape[1]), data.dtype)
        step = data.chunks[0]
        for chunk in np.unique(rows // step):
            block = data[chunk * step : (chunk + 1) * step]
            inside = rows // step == chunk
            out[inside] = block[rows[inside] - chunk * step]
    return out


def wide_mean(path, frames, before, after):
    """Add up windows one by one, from blocks of the recording."""
    total = None
    with h5py.File(path, rdcc_nbytes=16 * 2**20) as file:
        data = file[f"{DFF}/data"]
        for frame in frames:
            window = data[frame - before : frame + after]
            total = window.astype(float) if total is None else total + window
    return total / len(frames)


def percentiles(path):
    """Read all traces, and take percentiles of each ROI, NaN-aware, over the transposed array."""
    return np.nanpercentile(full_traces(path).T, [5, 50, 95], axis=1)


def full_traces(path):
    """Read all traces."""
    with h5py.File(path) as file:
        return file[f"{DFF}/data"][:]


def masks(path):
    """Read all masks and make them boolean, the small ones empty."""
    with h5py.File(path) as file:
        weights = file[f"{PLANE}/image_mask"][:]
    found = weights >= 0.1
    found[found.sum(axis=(1, 2)) < 3] = False
    return found
