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
from oscaxr.model.schema import template_spec
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
    words, _ = parts_of(include)
    where = f"sample session {made.spec.session_id}"
    parts = {**_recorded(made), **_segments(made), **_heavy(made, words)}
    parts |= trace_facts(ArrayReader(parts[n.DFF]), where)
    parts |= mask_facts(ArrayReader(parts[n.ROI_MASK]), parts[n.ROI])
    parts |= pupil_shift(ArrayReader(made.pupil_center_x), ArrayReader(made.pupil_center_y))
    coords, attrs = facts_from_row(sample_session_table([spec]).iloc[0])
    return session_dataset(
        where, parts, coords, {**attrs, "synthetic": 1, "source_format": "memory"}
    )


def _recorded(made: SampleSession) -> dict[str, Any]:
    """Return the traces, their clocks and the ROIs."""
    velocity, _, _ = remove_running_outliers(made.run_velocity)
    order = np.full(len(made.roi_id), np.nan) if made.tracking_id is None else made.tracking_id
    return {
        n.DFF: made.traces(),
        n.RUN_VELOCITY: velocity,
        n.PUPIL_DIAMETER: made.pupil_diameter,
        n.PUPIL_CENTER_X: made.pupil_center_x,
        n.PUPIL_CENTER_Y: made.pupil_center_y,
        n.TIME: made.twop_times,
        n.STIM_TIME: made.stim_times,
        n.ROI: np.arange(len(order)),
        n.ROI_ID: made.roi_id,
        n.TRACKING_ID: np.nan_to_num(order, nan=n.UNTRACKED).astype(np.int64),
        n.ROI_MASK: made.masks(),
        n.MAX_PROJECTION: made.max_projection,
    }


def _segments(made: SampleSession) -> dict[str, Any]:
    columns = table.completed({name: table.typed(name, v) for name, v in made.segments.items()})
    columns[n.SEGMENT] = np.arange(len(columns["stop_time"]))
    patches = vars(made.patches).values()
    return columns | dict(zip(n.GABOR_PATCH_VARIABLES, patches, strict=True))


def _heavy(made: SampleSession, words: Collection[str]) -> dict[str, Any]:
    """Return the parts that a session has only when asked for."""
    arrays: dict[str, Any] = {}
    if "squares" in words:
        arrays["square_x"], arrays["square_y"] = made.squares()
        arrays[n.FLOW_SEGMENT] = np.flatnonzero(made.segments["stimulus_type"] == n.VISFLOW)
    if "templates" in words:
        for name, images in made.templates().items():
            arrays[template_spec(name).name] = images.reshape(images.shape[:3])
    if "movie" in words:
        arrays[n.MOVIE] = made.movie()
    return arrays
