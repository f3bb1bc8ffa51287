"""Images of an NWB session: maximum projection, stimulus templates, motion-corrected movie."""

from typing import Any

import h5py

from oscaxr.io.hdf5 import DatasetReader
from oscaxr.io.nwb.source import MAX_PROJECTION, MOVIE, TEMPLATES, Source
from oscaxr.model import names as n
from oscaxr.model.lazy import OrthogonalArray
from oscaxr.model.schema import template_spec

Parts = dict[str, tuple[tuple[str, ...], Any]]


def read_max_projection(source: Source) -> Parts:
    """Return the maximum projection, lazy."""
    dataset = source.array(MAX_PROJECTION, "maximum projection", (None, None), required=False)
    if dataset is None:
        return {}
    return {n.MAX_PROJECTION: ((n.HEIGHT, n.WIDTH), _lazy(source, dataset))}


def read_templates(source: Source) -> Parts:
    """Return the stimulus template images, lazy."""
    group = source.get(TEMPLATES)
    parts: Parts = {}
    for name in sorted(group) if isinstance(group, h5py.Group) else []:
        dataset = source.get(f"{TEMPLATES}/{name}/data")
        if isinstance(dataset, h5py.Dataset) and dataset.ndim in (3, 4):
            spec = template_spec(name)
            parts[spec.name] = (spec.dims, _lazy(source, dataset))
        else:
            source.problems.append(
                f"{TEMPLATES}/{name}/data is not a series of images (frame, height, width, 1)"
            )
    return parts


def read_movie(source: Source, n_frames: int) -> Parts:
    """Return the motion-corrected stack, lazy."""
    dataset = source.array(
        f"{MOVIE}/data", "motion-corrected stack", (n_frames, None, None), required=False
    )
    if dataset is None:
        return {}
    return {n.MOVIE: ((n.TIME, n.HEIGHT, n.WIDTH), _lazy(source, dataset))}


def _lazy(source: Source, dataset: h5py.Dataset) -> OrthogonalArray:
    reader = DatasetReader(source.file, dataset)
    if dataset.ndim == 4 and dataset.shape[3] == 1:
        # Images are stored with one colour channel: drop it as an int index would.
        indices = (*(slice(0, size, 1) for size in dataset.shape[:3]), 0)
        return OrthogonalArray(reader, indices)
    return OrthogonalArray(reader)
