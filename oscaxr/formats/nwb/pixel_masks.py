"""ROI masks that an NWB file stores as lists of pixels (``pixel_mask``)."""

from collections.abc import Callable
from functools import partial

import h5py
import numpy as np

from oscaxr.arrays.lazy import Array, Once, read_whole
from oscaxr.errors import FormatError
from oscaxr.files.hdf5_arrays import DatasetReader, Source
from oscaxr.formats.nwb.header import MAX_PROJECTION, PLANE
from oscaxr.model.derived import WholeMasks, to_boolean

FIELDS = ("x", "y", "weight")


def find_pixel_masks(source: Source, n_rois: int) -> WholeMasks | None:
    """Find lists of pixels; the field is that of the maximum projection, else what they need."""
    path = f"{PLANE}/pixel_mask"
    pixels = source.get(path)
    ends = source.values(f"{path}_index", "ends of the lists of pixels", (n_rois,))
    if ends is None:
        return None
    fits = isinstance(pixels, h5py.Dataset) and pixels.ndim == 1 and pixels.dtype.names == FIELDS
    if not fits or np.any(np.diff(ends, prepend=0) < 0) or ends[-1:].sum() != len(pixels):
        source.problems.append(
            f"{path} is not a list of pixels ({', '.join(FIELDS)}) for each of {n_rois} ROIs"
        )
        return None
    once = Once(partial(read_whole, DatasetReader(source.file, pixels)))
    picture = source.get(MAX_PROJECTION)
    if isinstance(picture, h5py.Dataset) and picture.ndim == 2:
        field = picture.shape
    else:
        values = source.read(pixels)
        field = tuple(int(values[name].max(initial=0)) + 1 for name in ("y", "x"))
    return PixelMasks(once, ends.astype(np.int64), field, f"{source.file.path}: {path}")


class PixelMasks(WholeMasks):
    """Boolean ROI masks from lists of pixels: x is the column, y the row, as in pynwb."""

    def __init__(self, pixels: Once, ends: Array, field: tuple[int, ...], where: str) -> None:
        self.pixels = pixels
        self.ends = ends
        self.shape = (len(ends), *field)
        self.mask_bytes = int(np.prod(field)) * 8
        self.where = where

    def decoder(self) -> Callable[[Array], Array]:
        """Return what decodes the masks of some rows."""
        pixels = self.pixels()
        if any(
            np.any(pixels[name] >= size) for name, size in zip("yx", self.shape[1:], strict=True)
        ):
            raise FormatError(
                f"{self.where} has pixels outside the field of {self.shape[1:]} pixels"
            )
        starts = np.concatenate([[0], self.ends])

        def decode(rows: Array) -> Array:
            counts = self.ends[rows] - starts[rows]
            roi = np.repeat(np.arange(len(rows)), counts)
            first = np.repeat(starts[rows] - np.cumsum(counts) + counts, counts)
            chosen = pixels[first + np.arange(counts.sum())]
            weights = np.zeros((len(rows), *self.shape[1:]))
            weights[roi, chosen["y"], chosen["x"]] = chosen["weight"]
            return to_boolean(weights)

        return decode
