"""The least that plain h5py and numpy must do for each task; oscaxr is measured against these."""

import pickle
from typing import Any, NamedTuple

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
    """Add up windows one by one; the cache holds two rows of chunks."""
    total = None
    with h5py.File(path, rdcc_nbytes=cache_bytes(path), rdcc_nslots=100_003) as file:
        data = file[f"{DFF}/data"]
        for frame in frames:
            window = data[frame - before : frame + after]
            total = window.astype(float) if total is None else total + window
    return total / len(frames)


def cache_bytes(path):
    """Return the size of two rows of chunks of the traces."""
    with h5py.File(path) as file:
        data = file[f"{DFF}/data"]
        row = 0 if data.chunks is None else data.chunks[0] * data.shape[1] * data.dtype.itemsize
    return max(2**20, 2 * row + 2**20)


def percentiles(path):
    """Read all traces, and take percentiles of each ROI, NaN-aware, over the transposed array."""
    return np.nanpercentile(full_traces(path).T, [5, 50, 95], axis=1)


def full_traces(path):
    """Read all traces."""
    with h5py.File(path) as file:
        return file[f"{DFF}/data"][:]


# -- masks -----------------------------------------------------------------------------------------
def mask_blocks(path):
    """Yield the masks as booleans, by rows of chunks or 64 at a time."""
    with h5py.File(path) as file:
        weights = file[f"{PLANE}/image_mask"]
        step = weights.chunks[0] if weights.chunks else 1
        step *= max(1, 64 // step)
        for start in range(0, len(weights), step):
            yield start, weights[start : start + step] >= 0.1


def masks(path):
    """Make all masks boolean, the small ones empty."""
    with h5py.File(path) as file:
        found = np.empty(file[f"{PLANE}/image_mask"].shape, bool)
    for start, block in mask_blocks(path):
        block[block.sum(axis=(1, 2)) < 3] = False
        found[start : start + len(block)] = block
    return found


def geometry(path):
    """Return centroids (y, x) and numbers of pixels of all masks."""
    parts = []
    for _, block in mask_blocks(path):
        by_row, by_column = block.sum(axis=2), block.sum(axis=1)
        area = by_row.sum(axis=1)
        centres = [by @ np.arange(by.shape[1]) / area for by in (by_row, by_column)]
        parts.append([*centres, area])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


# -- plain writing ---------------------------------------------------------------------------------
class Stored(NamedTuple):
    """An array in memory, with how an export stores it."""

    name: str
    values: Any
    options: dict[str, Any]


def stored_in_zarr(path):
    """Read the arrays of an export, with chunks and codecs."""
    import zarr

    group = zarr.open_group(path, mode="r")
    return [
        Stored(
            name,
            array[...],
            {
                "shape": array.shape,
                "dtype": array.dtype,
                "chunks": array.chunks,
                "shards": array.shards,
                "compressors": array.compressors,
                "filters": array.filters,
                "dimension_names": array.metadata.dimension_names,
                "attributes": dict(array.attrs),
            },
        )
        for name, array in group.arrays()
    ]


def write_zarr(stored, path):
    """Write arrays with zarr alone."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    for one in stored:
        group.create_array(one.name, **one.options)[...] = one.values


def stored_in_netcdf(path):
    """Read the arrays of an export, with chunks and filters."""
    found = []
    with h5py.File(path) as file:
        for name, data in file.items():
            chunked = data.chunks is not None
            options = {
                "dtype": data.dtype,
                "chunks": data.chunks,
                "compression": data.compression if chunked else None,
                "compression_opts": data.compression_opts if chunked else None,
                "shuffle": data.shuffle,
                "fletcher32": data.fletcher32,
            }
            found.append(Stored(name, data[()], options))
    return found


def write_netcdf(stored, path):
    """Write arrays with h5py alone."""
    with h5py.File(path, "w") as file:
        for one in stored:
            file.create_dataset(one.name, data=one.values, **one.options)


STORED = {"zarr": stored_in_zarr, "netCDF": stored_in_netcdf}
WRITERS = {"zarr": write_zarr, "netCDF": write_netcdf}


# -- the original format ---------------------------------------------------------------------------
def open_original(folder):
    """Unpickle the stimulus log and read the events of the sync file."""
    (log,) = folder.glob("*_stim.pkl")
    (sync,) = folder.glob("*_sync.h5")
    with log.open("rb") as stream, h5py.File(sync) as file:
        return pickle.load(stream, encoding="latin1"), file["data"][()]


def original_windows(folder, frames, before, after):
    """Slice one window after the other, of all ROIs."""
    with h5py.File(original_traces(folder)) as file:
        data = file["data"]
        windows = [data[:, frame - before : frame + after] for frame in frames]
    return np.stack(windows, axis=1)


def original_percentiles(folder):
    """Read all traces, and take percentiles of each ROI."""
    with h5py.File(original_traces(folder)) as file:
        return np.nanpercentile(file["data"][()], (5, 50, 95), axis=1)


def original_traces(folder):
    """Return the file of the traces."""
    (found,) = folder.glob("ophys_experiment_*/*_dff.h5")
    return found
