"""The stimulus image that was on the screen at each stimulus frame."""

from typing import Any

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.model import names as n
from oscaxr.model.clocks import check_same_session
from oscaxr.select.frames import segments_at

Array = np.ndarray[Any, Any]


def stimulus_images(ds: xr.Dataset, frames: Any) -> xr.DataArray:
    """Return the template image shown at each stimulus frame.

    Parameters
    ----------
    ds : xarray.Dataset
        A session opened with ``include="templates"``.
    frames : array_like of int, (frame,)
        Stimulus frames.

    Returns
    -------
    xarray.DataArray
        (frame, template_height, template_width), with the coordinates ``segment``,
        ``stimulus_template_name`` and ``template_frame`` along ``frame``.

    Raises
    ------
    MissingVariableError
        If the session was opened without templates, or lacks the template of a frame.
    WindowError
        If a frame falls into no segment, or beyond the end of its template.

    Notes
    -----
    A Gabor segment or gray screen shows one image throughout; visual flow shows the next image of
    its template with each frame.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> ox.stimulus_images(ds, [0])
    Traceback (most recent call last):
    ...
    oscaxr.errors.MissingVariableError: this session has no stimulus templates: ...
    """
    templates = [str(name) for name in ds.data_vars if str(name).startswith("template_")]
    if not templates:
        raise MissingVariableError(
            "this session has no stimulus templates: open it with include='templates' (they come "
            "with files named *behavior+image+ophys.nwb)"
        )
    check_same_session(ds, frames)
    wanted, segments = _frames_and_segments(ds, frames)
    table = ds[[]].assign_coords(
        {name: ds[name] for name in ("stimulus_type", "stimulus_template_name",
                                     "start_frame_stim_template", "start_frame_stim")}
    ).sel({n.SEGMENT: segments})  # fmt: skip
    template = table["stimulus_template_name"].values
    moving = table["stimulus_type"].values == n.VISFLOW
    position = table["start_frame_stim_template"].values + np.where(
        moving, wanted - table["start_frame_stim"].values, 0
    )
    _check_images(ds, wanted, template, position, templates)
    first = ds[templates[0]]
    images = np.empty((len(wanted), *first.shape[1:]), first.dtype)
    for name in np.unique(template):
        shown = template == name
        images[shown] = ds[f"template_{name}"].variable[position[shown]].values
    return xr.DataArray(
        images,
        dims=("frame", *first.dims[1:]),
        coords={
            "frame": wanted,
            n.SEGMENT: ("frame", segments),
            "stimulus_template_name": ("frame", template),
            "template_frame": ("frame", position),
        },
        name="stimulus_image",
        attrs={"long_name": "stimulus image", "units": "1"},
    )


def _frames_and_segments(ds: xr.Dataset, frames: Any) -> tuple[Array, Array]:
    """Return the stimulus frames asked for, and the segment each falls into."""
    wanted = np.atleast_1d(np.asarray(frames))
    if wanted.ndim != 1 or (wanted.dtype.kind not in "iu" and wanted.size):
        raise WindowError(
            f"frames are whole numbers in one dimension, but these are {wanted.dtype} of shape "
            f"{wanted.shape}"
        )
    segments = segments_at(ds, wanted, "stim").values
    if (segments < 0).any():
        raise WindowError(f"stimulus frames {wanted[segments < 0][:10]} fall into no segment")
    return wanted, segments


def _check_images(
    ds: xr.Dataset, wanted: Array, template: Array, position: Array, templates: list[str]
) -> None:
    """Refuse frames whose template or image is not in the session, all problems at once."""
    problems = []
    missing = [str(name) for name in np.unique(template) if f"template_{name}" not in ds]
    if missing:
        raise MissingVariableError(
            f"this session has no stimulus template {', '.join(map(repr, missing))}; there are "
            f"{', '.join(templates)}"
        )
    for name in np.unique(template):
        variable = f"template_{name}"
        length = ds[variable].shape[0]
        beyond = wanted[(template == name) & ((position < 0) | (position >= length))]
        if beyond.size:
            problems.append(
                f"stimulus frames {beyond[:10].tolist()} lie beyond the {length} images of "
                f"{variable}: the file holds fewer images than were shown; choose frames or "
                f"segments whose start_frame_stim_template is below {length}"
            )
    if problems:
        raise WindowError("cannot find the stimulus images:\n  - " + "\n  - ".join(problems))
