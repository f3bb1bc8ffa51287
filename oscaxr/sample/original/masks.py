"""ROI masks and images: the Allen Institute's lists, EXTRACT's weights, the maximum projection."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.original.rois import FoundRois
from oscaxr.sample.original.tree import Tree
from oscaxr.sample.spec import IMAGES, SampleError

_STEP: Final = 64
# Of the columns of the object list, the boxes alone are known for certain.
_OBJECT_HEADER: Final = (
    "traceindex, cx, cy, mask2Frame, frame, object, minx, miny, maxx, maxy, area, shape0, shape1, "
    "eXcluded, meanInt0, meanInt1, maxInt0, maxInt1, maxMeanRatio, snpoffsetmean, snpoffsetstdv, "
    "act2, act3, OvlpCount, OvlpAreaPer, OvlpObj0, corcoef0, OvlpObj1, corcoef1"
)
_REJECTED: Final = 3  # ROIs that the segmentation found and that are on no list


def write_max_projection(path: Path, image: NDArray[np.uint8]) -> None:
    """Write the maximum projection as an 8-bit gray PNG."""
    from PIL import Image

    Image.fromarray(image).save(path, format="PNG")


def write_extract_masks(path: Path, rois: FoundRois) -> None:
    """Write the weights of EXTRACT's ROIs."""
    import h5py

    field = rois.session.spec.field_shape
    count = len(rois.rows)
    with h5py.File(path, "w-") as file:
        data = file.create_dataset(
            "data", (count, *field), "float32", chunks=(1, *field), compression="gzip"
        )
        for start in range(0, count, _STEP):
            stop = min(start + _STEP, count)
            data[start:stop] = rois.masks(start, stop, "weights")


def write_allen_masks(tree: Tree, rois: FoundRois) -> None:
    """Write the Allen Institute's masks, and the list of those that count."""
    # Masks and list are in no order; a row of the list is matched to a mask by its box alone, so no
    # two boxes are equal. Some masks have no row.
    height, width = rois.session.spec.field_shape
    rng = rois.session.spec.random(IMAGES, 1)
    entries = _listed(rois, width)
    order = rng.permutation(len(entries))
    _write_object_list(tree.segmentation / "objectlist.txt", [entries[k] for k in order])
    first_free = int(rois.ids[-1]) + 1_000
    rejected = np.ones((2, 4), dtype=bool)
    entries += [
        _entry(first_free + k, 2 + 6 * k, 3, rejected, valid=k == 1) for k in range(_REJECTED)
    ]
    content = {
        "image": {"width": width, "height": height},
        "motion_border": {"x0": 9.0, "x1": 7.0, "y0": 11.0, "y1": 6.0},
        "rois": [entries[k] for k in rng.permutation(len(entries))],
        "storage_directory": "/".join(tree.processed.relative_to(tree.folder).parts),
        "log_0": "",
        "motion_corrected_stack": "concat_31Hz_0.h5",
    }
    path = tree.processed / f"{tree.experiment_id}_input_extract_traces.json"
    path.write_text(json.dumps(content), encoding="ascii")


def _listed(rois: FoundRois, width: int) -> list[dict[str, Any]]:
    """Describe the ROIs that count, each by its mask within a box of its own."""
    cut: list[NDArray[np.bool_]] = []
    boxes = []
    for start in range(0, len(rois.rows), _STEP):
        masks = rois.masks(start, min(start + _STEP, len(rois.rows)), "bool")
        boxes.append(_boxes(masks))
        for mask, (x0, y0, x1, y1) in zip(masks, boxes[-1], strict=True):
            # A copy, so that the images can be forgotten.
            cut.append(mask[y0 : y1 + 1, x0 : x1 + 1].copy())
    tight = np.concatenate(boxes)
    right = _told_apart(tight, width)[:, 2] - tight[:, 2]
    return [
        _entry(number, x0, y0, np.pad(mask, [(0, 0), (0, wider)]), valid=True)
        for number, (x0, y0), mask, wider in zip(
            rois.ids.tolist(), tight[:, :2].tolist(), cut, right.tolist(), strict=True
        )
    ]


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (min x, min y, max x, max y) of each mask, inclusive."""
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    _, height, width = masks.shape
    low = columns.argmax(axis=1), rows.argmax(axis=1)
    high = width - 1 - columns[:, ::-1].argmax(axis=1), height - 1 - rows[:, ::-1].argmax(axis=1)
    return np.column_stack([*low, *high])


def _told_apart(boxes: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Widen boxes until no two are equal; masks stay away from the border."""
    boxes = boxes.copy()
    while True:
        _, first = np.unique(boxes, axis=0, return_index=True)
        again = np.delete(np.arange(len(boxes)), first)
        if not again.size:
            return boxes
        boxes[again, 2] += 1
        if boxes[:, 2].max() >= width:
            raise SampleError(
                f"{len(boxes)} ROIs are too many for a field {width} pixels wide: no two boxes may "
                "be equal. Give a larger field_shape, or fewer ROIs."
            )


def _entry(number: int, x: int, y: int, mask: NDArray[np.bool_], *, valid: bool) -> dict[str, Any]:
    return {
        "id": number,
        "x": x,
        "y": y,
        "width": mask.shape[1],
        "height": mask.shape[0],
        "valid": valid,
        "mask": mask.tolist(),
        "mask_page": 0,
    }


def _write_object_list(path: Path, entries: list[dict[str, Any]]) -> None:
    lines = [_OBJECT_HEADER]
    for number, entry in enumerate(entries):
        x, y = entry["x"], entry["y"]
        right, below = x + entry["width"] - 1, y + entry["height"] - 1
        known = {
            "traceindex": number,
            "cx": (x + right) // 2,
            "cy": (y + below) // 2,
            "minx": x,
            "miny": y,
            "maxx": right,
            "maxy": below,
            "area": int(np.sum(entry["mask"])),
            "shape0": 0.91,
        }
        lines.append(", ".join(str(known.get(name, 0)) for name in _OBJECT_HEADER.split(", ")))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
