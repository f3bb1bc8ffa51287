"""ROIs of the original layout: traces, masks by the Allen segmentation or EXTRACT, tracking."""

import json
import reprlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, AxisIndex, Once, OrthogonalArray
from oscaxr.errors import FormatError
from oscaxr.files.direct import DirectFile
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import DatasetReader, Source, as_words, open_source
from oscaxr.files.remote import Place
from oscaxr.formats.original.matches import matches_in
from oscaxr.model import names as n
from oscaxr.model.derived import MIN_TOTAL_WEIGHT, MaskReader, Parts, WholeMasks, trace_facts

DATASETS: Final = ("data", "FC")
"""Names of the traces in their files: dF/F, raw fluorescence."""


class TurnedReader:
    """A reader of (roi, time) traces as (time, roi), the order of the other formats."""

    def __init__(self, reader: DatasetReader) -> None:
        self.reader = reader
        self.shape = reader.shape[::-1]
        self.dtype = reader.dtype
        self.chunk_shape = reader.chunk_shape[::-1] if reader.chunk_shape else None

    def __repr__(self) -> str:
        return repr(self.reader)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.arrays.lazy.Reader`)."""
        return self.reader.read(indices[::-1]).T


def find_traces(file: Hdf5File) -> tuple[DatasetReader, list[str]]:
    """Find the traces of a file and the names of their ROIs."""
    with open_source(file, "a file of traces") as source:
        found = [name for name in DATASETS if source.get(name) is not None]
        path = found[0] if found else " or ".join(DATASETS)
        traces = source.must(path, "traces by (ROI, two-photon frame)", (None, None), "f")
        stored = source.get("roi_names")
        roi_names = _names(source.read(stored), source) if isinstance(stored, h5py.Dataset) else []
        if roi_names and len(roi_names) != len(traces):
            source.problems.append(
                f"it has traces of {len(traces)} ROIs, but names of {len(roi_names)}"
            )
        return DatasetReader(file, traces), roi_names


def _names(names: Array, source: Source) -> list[str]:
    if names.dtype.kind == "f" and np.all(names == np.rint(names)):
        names = names.astype(np.int64)
    if names.ndim != 1 or names.dtype.kind == "f":
        source.problems.append("'roi_names' is not one name or whole number an ROI")
        return []
    return as_words(names)


def trace_parts(reader: DatasetReader, n_frames: int) -> Parts:
    """Return the traces and what follows from them."""
    turned = TurnedReader(reader)
    if turned.shape[0] > n_frames:
        raise FormatError(
            f"{reader.file.path} has traces of {turned.shape[0]} two-photon frames, but the time "
            f"synchronization file has times of {n_frames}"
        )
    name = Path(reader.file.path).name
    return {
        n.DFF: OrthogonalArray(turned),
        **trace_facts(turned, name, judged=True),
    }


IntArray = npt.NDArray[np.int64]

_BOX: Final = ("x", "y", "width", "height")
_EDGES: Final = ("minx", "miny", "maxx", "maxy")
_LISTED: Final = 5
_LARGEST_FIELD: Final = 2**14


class BoxMasks(WholeMasks):
    """Boolean masks given within their boxes (x, y, width, height), as a reader."""

    def __init__(self, shape: tuple[int, int], boxes: IntArray, masks: list[Array]) -> None:
        self.shape = (len(boxes), *shape)
        self.mask_bytes = int(np.prod(shape))
        self.boxes = boxes.tolist()
        self.masks = masks

    def decoder(self) -> Callable[[Array], Array]:
        """Return what decodes the masks of some rows."""
        return self._decode

    def _decode(self, rows: Array) -> Array:
        block = np.zeros((len(rows), *self.shape[1:]), bool)
        for place, row in enumerate(rows.tolist()):
            x, y, width, height = self.boxes[row]
            block[place, y : y + height, x : x + width] = self.masks[row]
        return block


def read_allen_masks(file: DirectFile, object_list: DirectFile) -> tuple[BoxMasks, IntArray]:
    """Read the masks of the Allen segmentation."""
    shape, found = _load_masks(file)
    masks = file.place
    try:
        boxes = np.array([[roi[key] for key in _BOX] for roi in found], np.int64).reshape(-1, 4)
        every_id = np.array([roi["id"] for roi in found], np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(
            f"{masks} has ids or boxes that are not whole numbers ({error})"
        ) from None
    edges = _load_edges(object_list)
    listed = np.column_stack([edges[:, :2], edges[:, 2:] - edges[:, :2] + 1])
    chosen = _matched(boxes, listed, object_list.place)
    ids = every_id[chosen]
    order = np.argsort(ids)
    if len(np.unique(ids)) < len(ids):
        raise FormatError(f"{masks} gives the same id to several ROIs")
    chosen = chosen[order]
    boxes = boxes[chosen]
    if np.any(boxes < 0) or np.any(boxes[:, :2] + boxes[:, 2:] > shape[::-1]):
        raise FormatError(f"{masks} has ROI masks that reach beyond the field of {shape} pixels")
    drawn = [_drawn(found[i]["mask"], box, masks) for i, box in zip(chosen, boxes, strict=True)]
    return BoxMasks(shape, boxes, drawn), ids[order]


def _load_masks(file: DirectFile) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    path, stored = file.place, file.whole()
    try:
        content = json.loads(stored)
        image, rois = content["image"], content["rois"]
        shape = int(image["height"]), int(image["width"])
        unfit = [i for i, roi in enumerate(rois) if not {*_BOX, "id", "mask"} <= set(roi)]
        if not all(0 < size <= _LARGEST_FIELD for size in shape):
            raise ValueError(f"the image has {reprlib.repr(shape)} pixels")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(
            f"{path} is not a file of ROI masks ({type(error).__name__}: {error}): it is cut short "
            "or damaged"
        ) from error
    if unfit:
        raise FormatError(f"{path}: ROIs {unfit[:_LISTED]} lack their id, box or mask")
    return shape, rois


def _load_edges(file: DirectFile) -> IntArray:
    stored = file.whole()
    try:
        # Names have a space before them, all but the first.
        table = pd.read_csv(BytesIO(stored), skipinitialspace=True)
        table.columns = table.columns.str.strip()
        edges = table[list(_EDGES)].to_numpy(np.float64)
        if not np.isfinite(edges).all():
            raise ValueError("a row is not complete")
        return edges.astype(np.int64)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise FormatError(
            f"{file.place} is not a list of segmented objects with {', '.join(_EDGES)} ({error})"
        ) from error


def _matched(boxes: IntArray, listed: IntArray, path: Place) -> IntArray:
    """Return for each listed box the ROI that has it."""
    everything, where = np.unique(np.concatenate([boxes, listed]), axis=0, return_inverse=True)
    of_roi, of_row = np.split(where.ravel(), [len(boxes)])
    counts = np.bincount(of_roi, minlength=len(everything))[of_row]
    odd = np.flatnonzero(counts != 1)
    if odd.size:
        some = ", ".join(f"row {row} ({counts[row]} masks)" for row in odd[:_LISTED])
        raise FormatError(
            f"{path}: each row should have the box of exactly one ROI mask, but {odd.size} have "
            f"none or several: {some}"
        )
    if len(np.unique(of_row)) < len(of_row):
        raise FormatError(f"{path} lists the same box more than once")
    roi = np.zeros(len(everything), np.int64)
    roi[of_roi] = np.arange(len(boxes))
    return roi[of_row]


def _drawn(rows: Any, box: IntArray, path: Place) -> Array:
    """Return a mask within its box; as for weights, one of less than three pixels is empty."""
    try:
        mask = np.array(rows).reshape(box[3], box[2])
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: a mask does not fill its box ({error})") from error
    if mask.size and mask.dtype != bool:
        raise FormatError(f"{path}: a mask is not rows of booleans, but of {mask.dtype}")
    return mask.astype(bool) & (np.count_nonzero(mask) >= MIN_TOTAL_WEIGHT)


def find_extract_masks(file: Hdf5File) -> MaskReader:
    """Find the masks that EXTRACT made."""
    with open_source(file, "a file of ROI masks") as source:
        data = source.must("data", "ROI masks by (ROI, height, width)", (None, None, None))
        return MaskReader(DatasetReader(file, data))


def matched(file: DirectFile | None, roi_id: IntArray, session_id: int) -> Parts:
    """Return the position of each ROI in the tracking order, and which are listed as invalid."""
    tracked = np.full(len(roi_id), n.UNTRACKED, np.int64)
    if file is None:
        return {n.TRACKING_ID: tracked}
    path, matches = file.place, matches_in(file)
    if int(matches["session_id"]) != session_id:
        raise FormatError(f"{path} is of session {int(matches['session_id'])}, not {session_id}")
    index, bad = matches["roi_index"].values, matches["bad_roi_index"].values
    for what, rows, ids in (
        ("tracked", index, matches[n.ROI_ID].values),
        ("bad", bad, matches["bad_roi_id"].values),
    ):
        if rows.size and rows.max() >= len(roi_id):
            raise FormatError(
                f"{path} names {what} ROIs up to {rows.max()}, but the session has {len(roi_id)}"
            )
        # Dendritic ROIs have no ids but their index; the file gives them 10,000 a session.
        differ = np.flatnonzero((roi_id[rows] != ids) & (roi_id[rows] != ids % 10_000))
        if differ.size:
            first = differ[0]
            raise FormatError(
                f"{path}: {differ.size} {what} ROIs have other ids than the traces (the first: ROI "
                f"{rows[first]} is {roi_id[rows[first]]}, not {ids[first]})"
            )
    tracked[index] = np.arange(len(index))
    return {n.TRACKING_ID: tracked, n.LISTED_INVALID: np.isin(np.arange(len(roi_id)), bad)}


def find_picture(file: DirectFile) -> Any:
    """Return a grey-scale picture, decoded on first use."""
    from PIL import Image, UnidentifiedImageError

    path, stored = file.place, file.whole()
    try:
        with Image.open(BytesIO(stored)) as picture:
            mode, (width, height) = picture.mode, picture.size
            picture.verify()
    except UnidentifiedImageError:
        raise FormatError(
            f"{path} is no picture of a known kind: it is cut short or damaged"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(
            f"{path} cannot be read as a picture ({error}): it is cut short or damaged"
        ) from error
    if mode != "L":
        raise FormatError(f"{path} is a picture of mode {mode}, not of 8-bit grey")
    return computed(Once(partial(_decoded, file)), (height, width), np.uint8)


def _decoded(file: DirectFile) -> Array:
    from PIL import Image

    stored = file.whole()
    try:
        with Image.open(BytesIO(stored)) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"{file.place} cannot be decoded ({error})") from error
