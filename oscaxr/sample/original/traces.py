"""Trace files: dF/F and raw fluorescence of each segmentation, a block of frames at a time."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from oscaxr.sample.original.form import OriginalForm
from oscaxr.sample.original.rois import FoundRois
from oscaxr.sample.original.tree import Tree
from oscaxr.sample.spec import SESSION_ROIS
from oscaxr.sample.synthesis import SampleSession
from oscaxr.sample.traces import BLOCK_FRAMES


def write_traces(
    session: SampleSession, tree: Tree, form: OriginalForm
) -> Iterator[tuple[int, int]]:
    """Write the trace files."""
    segmentations = [FoundRois(session, is_extract=False)]
    if session.spec.plane == "dend" and "extract" not in form.leave_out:
        segmentations.append(FoundRois(session, is_extract=True))
    frames = session.n_twop_frames
    with ExitStack() as files:
        targets = [_open_files(rois, tree, form, files) for rois in segmentations]
        for start in range(0, frames, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, frames)
            fit = session.traces(start, stop)
            for rois, target in zip(segmentations, targets, strict=True):
                dff = rois.dff(fit, start)
                if "dff" in target:
                    target["dff"][:, start:stop] = dff
                if "raw" in target:
                    target["raw"][:, start:stop] = rois.raw(dff)
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
    storage: dict[str, Any] = (
        {}
        if form.layout == "contiguous"
        else {"chunks": (min(32, shape[0]), min(BLOCK_FRAMES, shape[1]))}
    )
    if form.layout == "gzip":
        storage["compression"] = "gzip"
    datasets = {}
    for part, (path, name) in places.items():
        if part in form.leave_out:
            continue
        file = files.enter_context(h5py.File(path, "w-"))
        datasets[part] = file.create_dataset(name, shape, form.dtype, **storage)
        file["roi_names"] = rois.ids.astype(bytes)
        if part == "raw":
            # Share and error of the neuropil that was subtracted.
            rng = rois.session.spec.random(SESSION_ROIS, 5)
            file["r"] = rng.uniform(0.0, 1.0, shape[0])
            file["RMSE"] = rng.uniform(0.1, 0.9, shape[0])
    return datasets
