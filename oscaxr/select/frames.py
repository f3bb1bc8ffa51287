"""From one clock to the other, and from frames to the segments and the images shown then."""

from typing import Any, Never

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, WindowError, few, listed
from oscaxr.model import names as n
from oscaxr.model.segments import (
    CLOCK_DIMS,
    DIM_CLOCKS,
    Clock,
    check_clock,
    first_stimulus_frames,
    nearest_frames,
    recording_frames,
)
from oscaxr.model.traces import check_same_session
from oscaxr.renamed import refuse_keywords

Array = np.ndarray[Any, Any]


def clock_of(ds: xr.Dataset, name: str) -> Clock:
    """Return the clock that a variable runs on."""
    dims = ds.variables[name].dims
    clocks = [DIM_CLOCKS[str(dim)] for dim in dims if dim in DIM_CLOCKS]
    if len(clocks) != 1:
        raise MissingVariableError(f"{name!r} has dims {dims}: it runs on neither clock")
    return clocks[0]


def convert_frames(ds: xr.Dataset, /, frames: Any, to: Clock, **unknown: Never) -> xr.DataArray:
    """Convert frames of one clock to the nearest frames of the other.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    frames : array_like of int, any shape
        Frames of the clock that is not `to`.
    to : {"twop", "stim"}
        The clock to convert to.

    Returns
    -------
    xarray.DataArray of int64
        Of the shape (and, for a DataArray, the dims and coords) of `frames`; the frame nearest in
        time. A two-photon frame outside the stimulus has no stimulus frame: -1. (Nor would a
        stimulus frame outside the two-photon recording have one of that.)

    Raises
    ------
    WindowError
        If frames lie outside the recording.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> stim = convert_frames(ds, ds.start_frame_twop, to="stim")
    >>> bool((abs(stim - ds.start_frame_stim) <= 2).all())
    True
    """
    refuse_keywords("convert_frames", unknown, ("to",))
    check_clock(to, "to")
    check_same_session(ds, frames)
    source: Clock = "stim" if to == "twop" else "twop"
    length = recording_frames(ds, source)
    recording_frames(ds, to)
    wanted = _as_array(frames)
    numbers = np.asarray(wanted.values)
    check_inside(numbers, length, source)
    lookup = frame_lookup(ds, to)
    return wanted.copy(data=lookup[numbers]).assign_attrs(
        long_name=f"{'two-photon' if to == 'twop' else 'stimulus'} frame"
    )


def check_inside(frames: Array, length: int, clock: Clock) -> None:
    """Refuse frames that lie outside the recording."""
    outside = frames[(frames < 0) | (frames >= length)]
    if outside.size:
        raise WindowError(
            f"{outside.size} frame(s) lie outside the recording of {length} {clock} frames: "
            f"{few(outside)}"
        )


def one_dimensional(values: Any, what: str) -> Array:
    """Return values as an array of one dim."""
    try:
        array = np.atleast_1d(np.asarray(values))
    except ValueError as error:
        raise WindowError(f"{what} should be one-dimensional, not rows of rows: {error}") from error
    if array.ndim != 1:
        raise WindowError(f"{what} should be one-dimensional, but has shape {array.shape}")
    return array


def whole_numbers(values: Any, what: str) -> Array:
    """Return whole numbers as an array of one dim."""
    array = one_dimensional(values, what)
    if array.dtype.kind not in "iu" and array.size:
        raise WindowError(f"{what} are whole numbers, but these are {array.dtype}")
    return array


def _as_array(values: Any) -> xr.DataArray:
    """Return frames of any shape as an array, whole numbers all."""
    array: xr.DataArray | Array = values
    if not isinstance(values, xr.DataArray):
        plain = np.asarray(values)
        array = plain if plain.size else plain.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise WindowError(f"frames are whole numbers, but these are {array.dtype}")
    return xr.DataArray(array)


def frame_lookup(ds: xr.Dataset, to: Clock) -> Array:
    """Return for each frame of the other clock the nearest frame of this one."""
    # Times tell what is outside, not the frames of the stimulus table, so that it also holds for a
    # session that was cut along a clock or to some of its segments. For a whole session, the
    # two-photon frames with a stimulus frame are those from the table's first to its last (but for
    # the very last one, if it began after the last stimulus frame). A session of the original
    # layout knows the alignment itself (`aligned_frame_twop`), which is then used.
    if n.ALIGNED_FRAME_TWOP in ds.coords:
        aligned = ds[n.ALIGNED_FRAME_TWOP].values
        if to == "twop":
            return aligned.astype(np.int64)
        return first_stimulus_frames(aligned, ds.sizes[n.TIME])
    source: Clock = "stim" if to == "twop" else "twop"
    times, clock = ds[CLOCK_DIMS[source]].values, ds[CLOCK_DIMS[to]].values
    if not len(clock):
        return np.full(len(times), -1)
    half = 0.5 / float(ds.attrs[f"{source}_fps"])
    # The last frame lasts as long as the others.
    stop = clock[-1] + 1.0 / float(ds.attrs[f"{to}_fps"])
    outside = (times < clock[0] - half) | (times >= stop - half)
    return np.where(outside, -1, nearest_frames(clock, times))


def segments_at(
    ds: xr.Dataset, /, frames: Any, clock: Clock = "twop", **unknown: Never
) -> xr.DataArray:
    """Return the segment that each frame falls into.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or a selection of its segments.
    frames : array_like of int, any shape
        Frames of `clock`.
    clock : {"twop", "stim"}, optional
        Their clock.

    Returns
    -------
    xarray.DataArray of int64
        Segment numbers, of the shape of `frames`; -1 where a frame falls into none.

    Notes
    -----
    The published tool's ``get_segs_by_frame``.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> ox.segments_at(ds, ds.start_frame_twop.values[:3]).values
    array([0, 1, 2])
    """
    refuse_keywords("segments_at", unknown, ("clock",))
    check_clock(clock)
    check_same_session(ds, frames)
    wanted = _as_array(frames)
    start, stop = ds[f"start_frame_{clock}"].values, ds[f"stop_frame_{clock}"].values
    # A selection may have been put into another order.
    in_time = np.argsort(start, kind="stable")
    start, stop, numbers = start[in_time], stop[in_time], ds[n.SEGMENT].values[in_time]
    found = np.full(wanted.shape, -1, np.int64)
    if len(numbers):
        position = np.searchsorted(start, wanted.values, side="right") - 1
        inside = (position >= 0) & (wanted.values < stop[np.maximum(position, 0)])
        found = np.where(inside, numbers[np.maximum(position, 0)], -1)
    return wanted.copy(data=found).assign_attrs(long_name="segment number")


# -- the images that were on the screen ----------------------------------------------------------
def stimulus_images(ds: xr.Dataset, /, frames: Any, **unknown: Never) -> xr.DataArray:
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
    refuse_keywords("stimulus_images", unknown, ())
    templates = [str(name) for name in ds.data_vars if str(name).startswith("template_")]
    if not templates:
        raise MissingVariableError(
            "this session has no stimulus templates: open it with include='templates' (of files "
            "*behavior+image+ophys.nwb)"
        )
    check_same_session(ds, frames)
    wanted = whole_numbers(frames, "frames")
    segments = segments_at(ds, wanted, "stim").values
    if (segments < 0).any():
        raise WindowError(f"stimulus frames {wanted[segments < 0][:10]} fall into no segment")
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


def _check_images(
    ds: xr.Dataset, wanted: Array, template: Array, position: Array, templates: list[str]
) -> None:
    """Refuse frames whose template or image is not in the session, all problems at once."""
    shown = [str(name) for name in np.unique(template)]
    missing = [name for name in shown if f"template_{name}" not in templates]
    if missing:
        raise MissingVariableError(f"no stimulus template {few(missing)}; only {few(templates)}")
    problems = []
    for name in shown:
        length = len(ds[f"template_{name}"])
        beyond = wanted[(template == name) & ((position < 0) | (position >= length))]
        if beyond.size:
            problems.append(
                f"stimulus frames {beyond[:10].tolist()} lie beyond the {length} images of "
                f"template_{name}: the file holds fewer images than were shown; choose frames or "
                f"segments whose start_frame_stim_template is below {length}"
            )
    if problems:
        raise WindowError(f"cannot find the stimulus images:{listed(problems)}")
