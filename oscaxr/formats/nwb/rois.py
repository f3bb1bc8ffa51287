"""The ROI table of an NWB session: ids, tracking, masks, and the geometry of the masks."""

from collections.abc import Collection
from typing import Any

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, OrthogonalArray
from oscaxr.files.hdf5 import DatasetReader
from oscaxr.files.masks import MaskReader
from oscaxr.formats.nwb.source import DFF, PLANE, Source
from oscaxr.model import names as n
from oscaxr.model.derived import mask_facts

Parts = dict[str, tuple[tuple[str, ...], Any]]


def read_roi_table(source: Source, n_traces: int | None, dropped: Collection[str] = ()) -> Parts:
    """Read the ROI table, in the order of the traces."""
    if source.need(PLANE, "the ROI table") is None:
        return {}
    ids = source.values(f"{PLANE}/id", "ROI ids", (None,))
    if ids is None:
        return {}
    rows = _rows_of_traces(source, n_traces, len(ids))
    repeated = len(ids) - len(np.unique(ids))
    if repeated:
        source.problems.append(f"{PLANE}/id has {repeated} repeated ROI id(s)")
    parts: Parts = {
        n.ROI: ((n.ROI,), rows),
        n.ROI_ID: ((n.ROI,), ids[rows].astype(np.int64)),
        n.TRACKING_ID: ((n.ROI,), _tracking_ids(source, len(ids))[rows]),
    }
    known = len(source.problems)
    masks = source.array(f"{PLANE}/image_mask", "ROI masks", (len(ids), None, None), required=False)
    if n.ROI_MASK in dropped:
        del source.problems[known:]
    return parts | ({} if masks is None else _masks(source, masks, rows))


def _rows_of_traces(source: Source, n_traces: int | None, n_rows: int) -> Array:
    """Return the row of the ROI table that each trace belongs to."""
    everything = np.arange(n_rows, dtype=np.int64)
    if n_traces is None:
        return everything
    region = source.values(f"{DFF}/rois", "rows of the ROI table", (None,), required=False)
    rows = everything if region is None else region.astype(np.int64)
    if len(rows) != n_traces or (region is None and n_rows != n_traces):
        source.problems.append(
            f"{DFF}/data has {n_traces} traces, but {DFF}/rois names {len(rows)} of the {n_rows} "
            f"rows of {PLANE}: which trace is which ROI cannot be told"
        )
        return everything
    if n_rows != n_traces:
        source.problems.append(
            f"{PLANE} has {n_rows} ROIs, but {DFF}/data has {n_traces} traces; each ROI of a "
            "session file has a trace"
        )
        return everything
    if rows.size and (rows.min() < 0 or rows.max() >= n_rows or len(np.unique(rows)) < len(rows)):
        source.problems.append(
            f"{DFF}/rois does not name each trace's own row of {PLANE} (0 to {n_rows - 1})"
        )
        return everything
    return rows


def _tracking_ids(source: Source, n_rows: int) -> Array:
    untracked = np.full(n_rows, n.UNTRACKED, np.int64)
    values = source.values(f"{PLANE}/tracking_id", "tracking order", (n_rows,), required=False)
    if values is None:
        return untracked
    values = values.astype(np.float64)
    # Files that store whole numbers cannot say NaN: they say a negative number.
    tracked = np.isfinite(values) & ~(values < 0)
    ids = values[tracked]
    if not np.array_equal(ids, np.rint(ids)):
        source.problems.append(f"{PLANE}/tracking_id has fractional values")
        return untracked
    unique, counts = np.unique(ids, return_counts=True)
    if np.any(counts > 1):
        twice = ", ".join(str(int(i)) for i in unique[counts > 1][:10])
        source.problems.append(
            f"{PLANE}/tracking_id gives the same tracking id to several ROIs ({twice}); a tracked "
            "ROI must be one ROI in each session"
        )
        return untracked
    untracked[tracked] = ids.astype(np.int64)
    return untracked


def _masks(source: Source, masks: h5py.Dataset, rows: Array) -> Parts:
    reader = MaskReader(DatasetReader(source.file, masks))
    array = OrthogonalArray(reader)
    if not np.array_equal(rows, np.arange(len(rows))):
        array = OrthogonalArray(reader, (rows, *array.indices[1:]))
    return {n.ROI_MASK: ((n.ROI, n.HEIGHT, n.WIDTH), array), **mask_facts(reader, rows)}
