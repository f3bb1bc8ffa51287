"""ROI masks of a file as boolean arrays, read when they are indexed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from oscaxr.arrays.columns import thread_count
from oscaxr.arrays.lazy import Array, AxisIndex, Reader, view_of
from oscaxr.model.derived import to_boolean

# Masks are decoded this many bytes at a time: they are gone over twice while in the cache.
BLOCK_BYTES = 1_000_000


class MaskReader:
    """Boolean ROI masks from whatever weights a file stores."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.dtype = np.dtype(bool)

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        # Whole masks are decoded, whatever part of the field is asked for: whether a mask counts as
        # empty depends on all of its weights.
        rois, height, width = indices
        whole = tuple(slice(0, size, 1) for size in self.shape[1:])
        is_whole = isinstance(height, slice) and isinstance(width, slice)
        is_whole = is_whole and (height, width) == whole
        view = view_of(self.reader)
        rows = np.arange(self.shape[0])[rois]
        field = np.broadcast_to(np.False_, self.shape[1:])[height][:, width].shape
        masks = np.empty((len(rows), *field), bool)
        mask_bytes = int(np.prod(self.shape[1:])) * self.reader.dtype.itemsize
        step = max(1, BLOCK_BYTES // mask_bytes)

        def decode(start: int) -> None:
            some = rows[start : start + step]
            adjacent = np.array_equal(some, np.arange(some[0], some[0] + len(some)))
            if view is not None and adjacent:
                block = to_boolean(view[some[0] : some[-1] + 1])
            else:
                block = to_boolean(self.reader.read((some, *whole)))
            masks[start : start + step] = block if is_whole else block[:, height][:, :, width]

        with ThreadPoolExecutor(thread_count()) as pool:
            for _ in pool.map(decode, range(0, len(rows), step)):
                pass
        return masks
