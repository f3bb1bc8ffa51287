"""A synthetic session as a Dataset in memory, without a file."""

from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import ArrayReader
from oscaxr.model import names as n
from oscaxr.model import segments as table
from oscaxr.model.dataset import session_dataset
from oscaxr.model.derived import mask_facts, pupil_shift, trace_facts
from oscaxr.model.facts import facts_from_row
from oscaxr.model.schema import SESSION, template_spec
from oscaxr.model.signals import remove_running_outliers
from oscaxr.options import parts_of
from oscaxr.sample.mouse import sample_session_table
from oscaxr.sample.spec import SampleSpec
from oscaxr.sample.synthesis import SampleSession, make_session


def session(
    spec: SampleSpec | None = None, *, include: str | Collection[str] = (), **description: Any
) -> xr.Dataset:
    """Make a synthetic session Dataset in memory.

    Parameters
    ----------
    spec : SampleSpec, optional
        Its description.
    include : str or collection of str, optional
        ``"squares"``, ``"templates"``, ``"movie"`` or ``"all"``, as for
        :func:`oscaxr.open_session`.
    **description
        Fields of :class:`SampleSpec`, instead of `spec`.

    Returns
    -------
    xarray.Dataset
        With the schema of a session opened from a file.

    Raises
    ------
    SampleError
        If the description cannot be made into a session.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.sample.session(n_rois=6, n_tracked=3, scale=0.02).dff.dims
    ('time', 'roi')
    """
    if spec is None:
        if "n_rois" in description:
            description.setdefault("n_tracked", min(9, description["n_rois"] // 2))
        spec = SampleSpec(**description)
    made = make_session(spec)
    parts = {**_traces(made), **_rois(made), **_segments(made)}
    words, _ = parts_of(include)
    if "squares" in words:
        x, y = made.squares()
        flow = np.flatnonzero(made.segments["stimulus_type"] == n.VISFLOW)
        dims = (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME)
        parts |= {
            name: (dims, values.reshape(len(flow), -1, values.shape[-1]))
            for name, values in (("square_x", x), ("square_y", y))
        }
        parts[n.FLOW_SEGMENT] = ((n.FLOW_SEGMENT,), flow)
    if "templates" in words:
        for name, images in made.templates().items():
            template = template_spec(name)
            parts[template.name] = (template.dims, images.reshape(images.shape[:3]))
    if "movie" in words:
        parts[n.MOVIE] = ((n.TIME, n.HEIGHT, n.WIDTH), made.movie())
    row = sample_session_table([spec]).iloc[0]
    coords, attrs = facts_from_row(row)
    where = f"sample session {made.spec.session_id}"
    return session_dataset(where, parts, coords=coords, attrs=attrs, source_format="memory")


def _traces(made: SampleSession) -> dict[str, Any]:
    dff = made.traces()
    velocity, _, _ = remove_running_outliers(made.run_velocity)
    parts: dict[str, Any] = {
        n.DFF: ((n.TIME, n.ROI), dff),
        **trace_facts(ArrayReader(dff), f"sample session {made.spec.session_id}"),
        n.RUN_VELOCITY: ((n.STIM_TIME,), velocity),
        n.TIME: ((n.TIME,), made.twop_times),
        n.STIM_TIME: ((n.STIM_TIME,), made.stim_times),
    }
    for name in (n.PUPIL_DIAMETER, n.PUPIL_CENTER_X, n.PUPIL_CENTER_Y):
        parts[name] = ((n.TIME,), getattr(made, name))
    return parts | pupil_shift(ArrayReader(made.pupil_center_x), ArrayReader(made.pupil_center_y))


def _rois(made: SampleSession) -> dict[str, Any]:
    n_rois = len(made.roi_id)
    masks = made.masks()
    order = np.full(n_rois, n.UNTRACKED, np.int64)
    if made.tracking_id is not None:
        is_tracked = np.isfinite(made.tracking_id)
        order[is_tracked] = made.tracking_id[is_tracked].astype(np.int64)
    return {
        n.ROI: ((n.ROI,), np.arange(n_rois)),
        n.ROI_ID: ((n.ROI,), made.roi_id),
        n.TRACKING_ID: ((n.ROI,), order),
        n.ROI_MASK: ((n.ROI, n.HEIGHT, n.WIDTH), masks),
        **mask_facts(ArrayReader(masks), np.arange(n_rois)),
        n.MAX_PROJECTION: ((n.HEIGHT, n.WIDTH), made.max_projection),
    }


def _segments(made: SampleSession) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in made.segments.items():
        kind = SESSION[name].kind
        if kind == "int":
            columns[name] = table.as_frames(values, name)
        else:
            columns[name] = table.as_text(values) if kind == "str" else values.astype(np.float64)
    columns["duration"] = columns["stop_time"] - columns["start_time"]
    columns |= table.derive(columns)
    columns[n.SEGMENT] = np.arange(len(columns["stop_time"]))
    parts: dict[str, Any] = {name: ((n.SEGMENT,), values) for name, values in columns.items()}
    for name, part in zip(n.GABOR_PATCH_VARIABLES, ("x", "y", "size", "orientation"), strict=True):
        parts[name] = ((n.SEGMENT, n.PATCH), getattr(made.patches, part))
    return parts
