"""Files of the ROIs found in a session, unfit ones among them: traces, masks, tracked ROIs."""

import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.original_folder import OriginalForm, Tree
from oscaxr.sample.planted_rois import (
    BLOCK_FRAMES,
    MaskKind,
    all_roi_ids,
    allen_id_base,
    allen_rows,
    bad_rois,
    field_shift,
    tracked_rows,
)
from oscaxr.sample.spec import IMAGES, SESSION_ROIS, SampleError, SampleSpec, hdf5_storage
from oscaxr.sample.synthesis import SampleSession

# In this order, over and over. By the published rules an ROI is bad if its trace has a NaN or an
# infinity, if its median is nearer to its maximum than to its minimum, or if its mean is negative.
BAD_KINDS: Final = ("nan", "infinite", "dimming", "negative")


class FoundRois:
    """The ROIs of a session's files, in their order."""

    def __init__(self, session: SampleSession, *, is_extract: bool) -> None:
        spec = session.spec
        self.session = session
        self.is_extract = is_extract
        self.rows = np.arange(spec.n_rois + spec.n_bad_rois) if is_extract else allen_rows(spec)
        self.ids = all_roi_ids(spec) if is_extract else allen_id_base(spec) + self.rows
        every_bad = bad_rois(spec)
        is_bad = every_bad[self.rows]
        # Number of each ROI among the fit, or among the unfit.
        number = np.where(every_bad, every_bad.cumsum(), (~every_bad).cumsum())[self.rows] - 1
        # Fit ROI of the session that each ROI is, or is made from; and what is wrong with it.
        self._source = np.where(is_bad, 7 * number % spec.n_rois, number)
        self._kind = np.where(is_bad, np.array(BAD_KINDS)[number % len(BAD_KINDS)], "")

    def dff(self, fit: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        """Return dF/F of all ROIs in a range of frames."""
        dff = fit.T[self._source]
        if not self.is_extract and self.session.spec.plane == "dend":
            dff *= 0.8  # another segmentation, other traces
        kind = self._kind
        total = self.session.n_twop_frames
        frames = np.arange(start, start + len(fit))
        is_gap = (frames >= total // 3) & (frames < total // 3 + max(1, total // 50))
        dff[np.ix_(kind == "nan", is_gap)] = np.nan
        dff[np.ix_(kind == "infinite", frames == total // 2)] = np.inf
        dff[kind == "dimming"] = 2.0 - dff[kind == "dimming"]
        dff[kind == "negative"] -= 0.5
        return dff

    def raw(self, dff: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return raw fluorescence."""
        rng = self.session.spec.random(SESSION_ROIS, 4)
        ground = rng.uniform(200.0, 900.0, len(bad_rois(self.session.spec)))[self.rows]
        return np.asarray(ground[:, np.newaxis] * (1.0 + dff))

    def masks(self, kind: MaskKind) -> Iterator[NDArray[Any]]:
        """Yield the mask of each ROI; that of an unfit one is the mirror image of a fit one's."""
        for row, is_bad in zip(self._source.tolist(), self._kind != "", strict=True):
            (mask,) = self.session.masks(row, row + 1, kind)
            yield mask[:, ::-1] if is_bad else mask


# Of the columns of the object list, the boxes alone are known for certain.
_OBJECT_HEADER: Final = (
    "traceindex, cx, cy, mask2Frame, frame, object, minx, miny, maxx, maxy, area, shape0, shape1, "
    "eXcluded, meanInt0, meanInt1, maxInt0, maxInt1, maxMeanRatio, snpoffsetmean, snpoffsetstdv, "
    "act2, act3, OvlpCount, OvlpAreaPer, OvlpObj0, corcoef0, OvlpObj1, corcoef1"
)
_REJECTED: Final = 3  # ROIs that the segmentation found and that are on no list


def write_extract_masks(path: Path, rois: FoundRois) -> None:
    """Write the weights of EXTRACT's ROIs."""
    import h5py

    field = rois.session.spec.field_shape
    with h5py.File(path, "w-") as file:
        data = file.create_dataset(
            "data", (len(rois.rows), *field), "float32", chunks=(1, *field), compression="gzip"
        )
        for row, mask in enumerate(rois.masks("weights")):
            data[row] = mask


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
    entries = []
    taken: set[tuple[int, int, int, int]] = set()
    for number, mask in zip(rois.ids.tolist(), rois.masks("bool"), strict=True):
        y, x = np.nonzero(mask)
        x0, y0, x1, y1 = map(int, (x.min(), y.min(), x.max(), y.max()))
        # Boxes are widened until no two are equal; masks stay away from the border.
        while (x0, y0, x1, y1) in taken:
            x1 += 1
        if x1 >= width:
            raise SampleError(
                f"{len(rois.rows)} ROIs are too many for a field {width} pixels wide: no two boxes "
                "may be equal. Give a larger field_shape, or fewer ROIs."
            )
        taken.add((x0, y0, x1, y1))
        entries.append(_entry(number, x0, y0, mask[y0 : y1 + 1, x0 : x1 + 1], valid=True))
    return entries


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


def write_traces(
    session: SampleSession, tree: Tree, form: OriginalForm
) -> Iterator[tuple[int, int]]:
    """Write the trace files."""
    segmentations = [FoundRois(session, is_extract=False)]
    if session.spec.plane == "dend":
        segmentations.append(FoundRois(session, is_extract=True))
    frames = session.n_twop_frames
    with ExitStack() as files:
        targets = [_open_files(rois, tree, form, files) for rois in segmentations]
        for start in range(0, frames, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, frames)
            fit = session.traces(start, stop)
            for rois, target in zip(segmentations, targets, strict=True):
                dff = rois.dff(fit, start)
                for part, dataset in target.items():
                    dataset[:, start:stop] = dff if part == "dff" else rois.raw(dff)
            yield stop, frames


def _open_files(
    rois: FoundRois, tree: Tree, form: OriginalForm, files: ExitStack
) -> dict[str, Any]:
    """Make the files of one segmentation; return their empty datasets."""
    import h5py

    ending = "_dendritic" if rois.is_extract else ""
    places = {
        "dff": (tree.experiment_file(f"dff{ending}.h5"), "data"),
        "raw": (tree.experiment / f"neuropil_correction{ending}.h5", "FC"),
    }
    shape = (len(rois.rows), rois.session.n_twop_frames)
    storage = hdf5_storage(form.layout, shape, (32, BLOCK_FRAMES))
    datasets = {}
    for part, (path, name) in places.items():
        file = files.enter_context(h5py.File(path, "w-"))
        datasets[part] = file.create_dataset(name, shape, form.dtype, **storage)
        file["roi_names"] = rois.ids.astype(bytes)
        if part == "raw":
            # Share and error of the neuropil that was subtracted.
            rng = rois.session.spec.random(SESSION_ROIS, 5)
            file["r"] = rng.uniform(0.0, 1.0, shape[0])
            file["RMSE"] = rng.uniform(0.1, 0.9, shape[0])
    return datasets


_DENDRITE_IDS: Final = 10_000  # to a session


def write_nway(tree: Tree, mates: Collection[SampleSpec]) -> None:
    """Write the n-way file of a session: its tracked ROIs, and the mates that share them."""
    spec = tree.spec
    number = spec.session_number
    is_bad = bad_rois(spec)
    tracked = np.flatnonzero(~is_bad)[tracked_rows(spec)]
    bad = np.flatnonzero(is_bad)
    ids = all_roi_ids(spec)
    # Dendrites get numbers of their own, but for the bad ones.
    offset = _DENDRITE_IDS * number if spec.plane == "dend" else 0
    matched = sorted((spec, *mates), key=lambda one: one.session_number)
    tables = {
        "rois": {
            f"sess_{number}_roi_id": (ids[tracked] + offset).tolist(),
            "dff-ordered_roi_index": tracked.tolist(),
        },
        "bad_rois": {
            f"sess_{number}_bad_roi_id": ids[bad].tolist(),
            "dff_local_bad_roi_idx": bad.tolist(),
        },
        "metadata": {
            "nway_info": ["Union over permutations of listed sessions."],
            "minimum_iou": [0.3],
            "sess_ns": [[one.session_number for one in matched]],
            "sess_ids": [[one.session_id for one in matched]],
            **{
                f"sess_{mate.session_number}_to_sess_{number}_transformation_matrix": [
                    _matrix(spec, mate)
                ]
                for mate in matched
                if mate is not spec
            },
        },
    }
    columns = {
        table: {name: dict(enumerate(values)) for name, values in content.items()}
        for table, content in tables.items()
    }
    name = f"mouse_{spec.mouse_id}__session_{spec.session_id}__nway_matched_rois.json"
    (tree.processed / name).write_text(json.dumps(columns), encoding="ascii")


def _matrix(spec: SampleSpec, mate: SampleSpec) -> list[list[float]]:
    """Return where in the mate's field (x, y, 1) a place in the session's field lies."""
    shift_y, shift_x = (field_shift(mate) - field_shift(spec)).astype(np.float64).tolist()
    return [[1.0, 0.0, shift_x], [0.0, 1.0, shift_y], [0.0, 0.0, 1.0]]
