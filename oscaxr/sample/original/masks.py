"""ROI masks and images: the Allen Institute's lists, EXTRACT's weights, the maximum projection."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.original.rois import FoundRois
from oscaxr.sample.original.tree import Tree
from oscaxr.sample.spec import IMAGES

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
    """Write the Allen Institute's masks, and the list of those that count.

    Parameters
    ----------
    tree : Tree
        Where to.
    rois : FoundRois
        ROIs of the Allen Institute's segmentation.

    Notes
    -----
    Masks and list are in no order; a row of the list is matched to a mask by its box alone, so no
    two boxes are equal. Some masks have no row.
    """
    height, width = rois.session.spec.field_shape
    rng = rois.session.spec.random(IMAGES, 1)
    found: list[NDArray[np.bool_]] = []
    boxes, areas = [], []
    for start in range(0, len(rois.rows), _STEP):
        masks = rois.masks(start, min(start + _STEP, len(rois.rows)), "bool")
        block = _boxes(masks)
        boxes.append(block)
        areas.append(masks.sum(axis=(1, 2)))
        found += [
            mask[y0 : y1 + 1, x0 : x1 + 1]
            for mask, (x0, y0, x1, y1) in zip(masks, block, strict=True)
        ]
    tight = np.concatenate(boxes)
    kept = _told_apart(tight)
    entries = [
        _entry(number, box, np.pad(mask, [(0, 0), (0, box[2] - box[0] + 1 - mask.shape[1])]), True)
        for number, box, mask in zip(rois.ids.tolist(), kept.tolist(), found, strict=True)
    ]
    first_free = int(rois.ids[-1]) + 1_000
    for k in range(_REJECTED):
        box = [2 + 6 * k, 3, 5 + 6 * k, 4]
        entries.append(_entry(first_free + k, box, np.ones((2, 4), bool), k == 1))
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
    order = rng.permutation(len(kept))
    _write_object_list(
        tree.segmentation / "objectlist.txt", kept[order], np.concatenate(areas)[order]
    )


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (min x, min y, max x, max y) of each mask, inclusive."""
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    _, height, width = masks.shape
    low = columns.argmax(axis=1), rows.argmax(axis=1)
    high = width - 1 - columns[:, ::-1].argmax(axis=1), height - 1 - rows[:, ::-1].argmax(axis=1)
    return np.column_stack([*low, *high])


def _told_apart(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Widen boxes until no two are equal; masks stay away from the border."""
    boxes = boxes.copy()
    while True:
        _, first = np.unique(boxes, axis=0, return_index=True)
        again = np.delete(np.arange(len(boxes)), first)
        if not again.size:
            return boxes
        boxes[again, 2] += 1


def _entry(number: int, box: list[int], mask: NDArray[np.bool_], valid: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "id": number,
        "x": x0,
        "y": y0,
        "width": x1 - x0 + 1,
        "height": y1 - y0 + 1,
        "valid": valid,
        "mask": mask.tolist(),
        "mask_page": 0,
    }


def _write_object_list(path: Path, boxes: NDArray[np.int64], areas: NDArray[np.int64]) -> None:
    columns: dict[str, NDArray[Any]] = dict.fromkeys(
        _OBJECT_HEADER.split(", "), np.zeros(len(boxes))
    )
    columns |= {
        "traceindex": np.arange(len(boxes)),
        "cx": (boxes[:, 0] + boxes[:, 2]) // 2,
        "cy": (boxes[:, 1] + boxes[:, 3]) // 2,
        **dict(zip(("minx", "miny", "maxx", "maxy"), boxes.T, strict=True)),
        "area": areas,
        "shape0": np.full(len(boxes), 0.91),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    lines = [_OBJECT_HEADER, *(", ".join(f"{value:g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
