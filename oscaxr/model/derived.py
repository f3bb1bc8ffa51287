"""What follows from whole traces or masks, computed on first use; the definitions on masks."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays import percentiles
from oscaxr.arrays.columns import (
    column_reader,
    finite_columns,
    stored_width,
    thread_count,
    work_alone,
)
from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import (
    Array,
    AxisIndex,
    Once,
    OrthogonalArray,
    Reader,
    read_increasing,
    read_whole,
)
from oscaxr.errors import InvalidRoiWarning, warn
from oscaxr.model import names as n
from oscaxr.model import signals

MIN_WEIGHT: Final = 0.1
"""A pixel with less weight than this is not part of the ROI."""
MIN_TOTAL_WEIGHT: Final = 3.0
"""An ROI whose weights sum to less than this is empty."""
# Masks are decoded this many bytes at a time: they are gone over twice while in the cache.
MASK_BLOCK_BYTES: Final = 1_000_000
# Of masks that are stored together no more than this.
TOGETHER_BYTES: Final = 128_000_000


def to_boolean(weights: Array) -> Array:
    """Turn mask weights into pixels that belong to the ROI."""
    # The rule of the published analysis: weights below 0.1 are zeroed, ROIs whose weights then sum
    # to less than 3 are emptied, the rest becomes boolean.
    n_rois = len(weights)
    if weights.dtype.itemsize == 1 and weights.dtype.kind in "bui" and _is_binary(weights):
        masks = weights.view(np.bool_)
        total: Array = np.array([np.count_nonzero(mask) for mask in masks], np.float64)
    else:
        masks = weights >= MIN_WEIGHT
        kept = np.where(masks, weights, 0)
        total = kept.reshape(n_rois, -1).sum(axis=1, dtype=np.float64)
    empty = total < MIN_TOTAL_WEIGHT
    if empty.any() and np.any(total[empty] > 0):
        masks = masks.copy()
        masks[empty] = False
    return masks


def _is_binary(values: Array) -> bool:
    if values.dtype.kind == "b" or not values.size:
        return True
    return bool(values.max() <= 1 and (values.dtype.kind == "u" or values.min() >= 0))


def geometry(masks: Array) -> dict[str, Array]:
    """Return the centroid and area of each mask."""
    _, height, width = masks.shape
    rows = masks.sum(axis=2, dtype=np.int64)
    columns = masks.sum(axis=1, dtype=np.int64)
    area = rows.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return {
            "centroid_y": rows @ np.arange(height) / area,
            "centroid_x": columns @ np.arange(width) / area,
            "area_px": area,
        }


def _rows_at_a_time(reader: Any, n_bytes: int, mask_bytes: int) -> int:
    """Return how many masks to take at a time: all of those that are stored together."""
    together: int = getattr(reader, "rows_together", 1)
    return max(1, n_bytes // max(1, mask_bytes) // together) * together


class WholeMasks:
    """Boolean ROI masks as a reader: whole masks are decoded, whatever is asked of the field."""

    # Whether a mask counts as empty depends on all of its weights.
    shape: tuple[int, ...]
    dtype = np.dtype(bool)
    mask_bytes: int
    # Masks that are stored together are decoded together.
    rows_together = 1

    def decoder(self) -> Callable[[Array], Array]:
        """Return what decodes the masks of some rows."""
        raise NotImplementedError

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return read_increasing(self._read, indices)

    def _read(self, indices: tuple[AxisIndex, ...]) -> Array:
        rois, height, width = indices
        rows = np.arange(self.shape[0])[rois]
        field = np.broadcast_to(np.False_, self.shape[1:])[height][:, width].shape
        masks = np.empty((len(rows), *field), bool)
        block = rows // _rows_at_a_time(self, MASK_BLOCK_BYTES, self.mask_bytes)
        bounds = np.flatnonzero(np.diff(block, prepend=-1, append=-1)).tolist()
        decode = self.decoder()

        def fill(bound: tuple[int, int]) -> None:
            part = slice(*bound)
            masks[part] = decode(rows[part])[:, height][:, :, width]

        with ThreadPoolExecutor(thread_count(), initializer=work_alone) as pool:
            for _ in pool.map(fill, pairwise(bounds)):
                pass
        return masks


class MaskReader(WholeMasks):
    """Boolean ROI masks from whatever weights a file stores."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.mask_bytes = int(np.prod(reader.shape[1:])) * reader.dtype.itemsize
        stored = getattr(reader, "chunk_shape", None)
        most = max(1, TOGETHER_BYTES // max(1, self.mask_bytes))
        self.rows_together = min(stored[0], most) if stored else 1

    def __repr__(self) -> str:
        return repr(self.reader)

    def decoder(self) -> Callable[[Array], Array]:
        """Return what decodes the masks of some rows."""
        whole = tuple(slice(0, size, 1) for size in self.shape[1:])
        return lambda rows: to_boolean(self.reader.read((rows, *whole)))


Parts = dict[str, Any]
"""Arrays of a session, by name; their dims are declared (see :mod:`oscaxr.model.schema`)."""

# Traces and masks are gone through this many bytes at a time.
BLOCK_BYTES = 32_000_000


def field_shape(parts: Mapping[str, Any], dropped: Collection[str]) -> tuple[int, int] | None:
    """Return the height and width of the field of view; None where nothing of it is there."""
    there = [name for name in (n.ROI_MASK, n.MAX_PROJECTION, n.MOVIE) if name in parts]
    images = [parts[name] for name in there if name not in dropped]
    return images[0].shape[-2:] if images else None


def pixel_positions(parts: Mapping[str, Any], dropped: Collection[str]) -> Parts:
    """Return the rows and columns of the field of view."""
    shape = field_shape(parts, dropped)
    return (
        {} if shape is None else dict(zip((n.HEIGHT, n.WIDTH), map(np.arange, shape), strict=True))
    )


def trace_facts(reader: Reader, source: str, *, judged: bool = False) -> Parts:
    """Return what follows from whole traces."""
    told = _Told(source)
    facts = Once(partial(_factors, reader, told, judged))
    shape = (reader.shape[1],)
    parts = {
        n.DFF_MEDIAN: computed(facts, shape, np.float64, "median"),
        n.DFF_SPREAD: computed(facts, shape, np.float64, "spread"),
    }
    if not judged:
        valid = Once(partial(_valid, reader, facts, told))
        return {**parts, n.VALID: computed(valid, shape, np.bool_)}
    parts[n.VALID] = computed(facts, shape, np.bool_, "valid")
    return {**parts, n.INVALID_REASON: computed(facts, shape, signals.REASON_DTYPE, "reason")}


def _traces(reader: Reader) -> xr.DataArray:
    return xr.DataArray(OrthogonalArray(reader), dims=(n.TIME, n.ROI))


def _factors(reader: Reader, told: "_Told", judged: bool) -> dict[str, Array]:
    traces = _traces(reader)
    width = stored_width(traces, n.TIME)
    read = column_reader(traces, n.TIME)
    n_frames, n_rois = traces.shape
    found = percentiles.column_factors(read, n_frames, n_rois, align=width, with_ranges=judged)
    low, median, high = found.percentiles
    with np.errstate(invalid="ignore"):
        facts: dict[str, Array] = {"median": median, "spread": high - low, "valid": found.valid}
    if judged:
        facts["reason"] = signals.reasons(median, found.ranges)
        facts["valid"] = facts["reason"] == signals.FINE
    told.warn_of_invalid(facts["valid"], facts.get("reason"))
    return facts


def _valid(reader: Reader, facts: Once, told: "_Told") -> Array:
    """Find ROIs without NaN or infinite values; warn of the others."""
    if facts.done:
        known: Array = facts()["valid"]
        return known
    traces = _traces(reader)
    # Whole chunks, however long they are.
    row_of_chunks = stored_width(traces, n.ROI) * reader.shape[1] * 8
    valid = finite_columns(traces, n.TIME, max(BLOCK_BYTES, row_of_chunks))
    told.warn_of_invalid(valid)
    return valid


class _Told:
    """Says once which ROIs are invalid, whichever of the facts is computed first."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.done = False

    def warn_of_invalid(self, valid: Array, reasons: Array | None = None) -> None:
        invalid = np.flatnonzero(~valid)
        if self.done or not invalid.size:
            return
        self.done = True
        listed = ", ".join(map(str, invalid[:10])) + ", ..." * (len(invalid) > 10)
        what = "have NaN or infinite values in their dF/F"
        if reasons is not None:
            kinds, counts = np.unique(reasons[invalid], return_counts=True)
            found = ", ".join(f"{k} {count}" for k, count in zip(kinds, counts, strict=True))
            what = f"are bad, which NWB files leave out ({found})"
        warn(
            f"{self.source}: {len(invalid)} of {len(valid)} ROIs {what}; they are marked "
            f"valid=False (roi {listed}). ds.isel(roi=ds.valid) leaves them out everywhere.",
            InvalidRoiWarning,
        )


def mask_facts(reader: Reader, rows: Array) -> Parts:
    """Return what follows from ROI masks."""
    found = Once(partial(_geometry, reader, rows))
    dtypes = {"centroid_y": np.float64, "centroid_x": np.float64, "area_px": np.int64}
    return {name: computed(found, (len(rows),), dtype, name) for name, dtype in dtypes.items()}


def _geometry(reader: Reader, rows: Array) -> dict[str, Array]:
    whole = tuple(slice(0, size, 1) for size in reader.shape[1:])
    step = _rows_at_a_time(reader, BLOCK_BYTES, int(np.prod(reader.shape[1:])))
    blocks = [
        geometry(reader.read((rows[i : i + step], *whole))) for i in range(0, len(rows), step)
    ]
    if not blocks:
        return geometry(np.zeros((0, *reader.shape[1:]), bool))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def pupil_shift(x: Reader, y: Reader) -> Parts:
    """Return the shift of the pupil centre from frame to frame."""
    shift = Once(partial(_center_shift, x, y))
    return {n.PUPIL_CENTER_SHIFT: computed(shift, x.shape, np.float64)}


def _center_shift(x: Reader, y: Reader) -> Array:
    return signals.center_shift(read_whole(x), read_whole(y))
