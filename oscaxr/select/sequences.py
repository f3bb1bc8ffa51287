"""Windows of any variable around segments, frames or times, as one labelled array."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.columns import thread_count, work_alone
from oscaxr.arrays.computed import scaled
from oscaxr.arrays.dask_windows import dask_windows
from oscaxr.arrays.interpolated import interpolated_windows
from oscaxr.arrays.lazy import Once, OrthogonalArray
from oscaxr.arrays.window_sums import group_numbers
from oscaxr.arrays.window_variable import WindowVariable
from oscaxr.arrays.windows import WindowReader, Windows
from oscaxr.arrays.xarray_internals import cached, innermost, with_variable
from oscaxr.errors import (
    CriterionError,
    MissingVariableError,
    WindowError,
    few,
)
from oscaxr.model import names as n
from oscaxr.model import traces
from oscaxr.model.invalid_rois import KEPT, LEFT_OUT, Invalid, check_invalid, without_invalid
from oscaxr.model.schema import SEQUENCES
from oscaxr.model.segments import (
    CLOCK_DIMS,
    Clock,
    check_clock,
    is_whole,
    recording_frames,
)
from oscaxr.model.synthetic import SIGN
from oscaxr.renamed import refuse_keywords
from oscaxr.select.frames import clock_of, frame_lookup
from oscaxr.select.references import ReferenceFrames, find_references, labelled
from oscaxr.select.time_grid import check_gaps, checked_rate, on_grid
from oscaxr.select.window_edges import (
    Edge,
    check_edge,
    check_steps,
    true_times,
    window_offsets,
    within_recording,
)

Array = np.ndarray[Any, Any]

# Computed from all traces or masks when first used: were they carried along, loading two windows
# would read the whole recording. The session has them.
WHOLE_RECORDING: Final = frozenset(
    {n.VALID, n.INVALID_REASON, "centroid_y", "centroid_x", "area_px"}
)


def sequences(
    ds: xr.Dataset,
    /,
    name: str | Iterable[str] = n.DFF,
    segments: Any = None,
    *,
    frames: Any = None,
    times: Any = None,
    pre: float = 0.0,
    post: float | None = None,
    pad: tuple[int, int] = (0, 0),
    edge: Edge = "drop",
    clock: Clock | None = None,
    rate: float | None = None,
    interpolate: bool = False,
    scale: bool = False,
    invalid: Invalid = "drop",
    **unknown: Any,
) -> Any:
    """Extract windows around segments, frames or times.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    name : str or iterable of str, optional
        Variable(s) that run on one of the two clocks.
    segments : xarray.Dataset, array_like of int, optional
        A selection of segments (:func:`oscaxr.select_segments`) or segment numbers. The reference
        frame of a segment is its start frame.
    frames : array_like of int, optional
        Reference frames on the clock of the windows, instead of segments.
    times : array_like of float, optional
        Reference times, s, instead of segments; each stands for the frame nearest to it.
    pre, post : float, optional
        Seconds before and after the reference frame: frames ``-round(pre * fps)`` up to
        ``round(post * fps)``, exclusive. Without `post`, each sequence is its whole segment and
        the shorter ones end in NaN.
    pad : tuple of int, optional
        Frames to add before and after.
    edge : {"drop", "nan", "raise"}, optional
        What to do with a window that leaves the recording: drop it (with a warning that names
        it), fill it with NaN, or raise.
    clock : {"twop", "stim"}, optional
        Clock of the windows; the variable's own by default. On the other clock, each frame has
        the value of the nearest frame of the variable's own.
    rate : float, optional
        Time points a second, Hz: ``rel_time`` is k/rate instead of frames, for all sessions alike,
        and values are interpolated linearly between the frames before and after. Each variable is
        read on its own clock; `clock` says whose reference frames are at 0.
    interpolate : bool, optional
        Fill NaNs of a running or pupil trace beforehand, linearly over frames.
    scale : bool, optional
        Subtract the variable's median and divide by its spread, over the whole recording.
    invalid : {"drop", "keep"}, optional
        What to do with ROIs that the session's files list as invalid (``listed_invalid``; original
        layout): leave them out, or keep them.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        One variable as an array, several as a Dataset, of dims (..., sequence, rel_time). Lazy:
        read when it is used. Along ``sequence`` lie the segments' coordinates (the index is the
        segment number, or the position in `frames` or `times`), ``reference_frame`` and, with
        ``rel_time``, the true ``time`` of every frame. The attribute ``invalid_rois_left_out``, or
        ``invalid_rois_kept``, says how many ROIs were, if any. ROIs keep ``roi_id`` and
        ``tracking_id``; what is computed from the whole recording (``valid``, the masks' geometry)
        stays with the session.

    Raises
    ------
    WindowError
        If the window is empty, is longer than the recording (or whole thousands of seconds: those
        are milliseconds), or leaves the recording under ``edge="raise"``; if ``edge="drop"`` would
        leave no window of any; if a segment, frame or time does not exist; if several variables run
        on different clocks; or if the session was cut along a clock and `times` are not given. With
        `rate`, also if it is not above 0, or there is no `post`, or a `pad`, which is in frames.
    SessionMismatchError
        If the segments, frames or times are of another session.
    MissingVariableError
        If there is no such variable, or it runs on neither clock; with `rate`, if it holds flags or
        whole numbers, between which nothing lies.

    Warns
    -----
    DroppedSequencesWarning
        Naming the sequences that ``edge="drop"`` left out.
    InvalidRoiWarning
        Once a session, if ROIs were left out.

    Notes
    -----
    ``rel_time`` of the frame k frames after the reference frame is k/fps, with the rates of the
    stimulus table. (The published tool spreads its labels evenly from -pre to post, which is off
    by up to one frame.)

    With `rate`, ``time`` is the reference frame's time and ``rel_time`` more. A value at the time
    of a frame is that frame's; one between two frames is NaN where either is; one before the first
    or after the last frame is outside the recording (`edge`). Nothing is averaged: a `rate` well
    below the frame rate picks values, so smooth before. Such windows are read before they are
    averaged, however many they are.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    >>> u = ox.sequences(ds, "dff", unexpected, pre=1, post=1)
    >>> u.dims, u.sizes["rel_time"]
    (('roi', 'sequence', 'rel_time'), 60)

    On a grid of 20 Hz, which sessions of other frame rates have, too:

    >>> ox.sequences(ds, "dff", unexpected, pre=0.1, post=0.1, rate=20).rel_time.values
    array([-0.1 , -0.05,  0.  ,  0.05])
    """
    refuse_keywords("sequences", unknown, sequences.__kwdefaults__ or ())
    is_one = isinstance(name, str | xr.Dataset | xr.DataArray) or not np.iterable(name)
    names: list[Any] = [name] if is_one else list(name)
    if not all(isinstance(one, str) for one in names):
        raise CriterionError(
            'sequences needs the name of what is to be extracted first: sequences("dff", segments)'
        )
    check_invalid(invalid)
    check_edge(edge)
    on = _common_clock(ds, names, clock)
    found = find_references(ds, on, segments=segments, frames=frames, times=times)
    if times is None:
        for own in {clock_of(ds, one) for one in names}:
            recording_frames(ds, own)
    own_fps = float(ds.attrs[f"{on}_fps"])
    fps = own_fps if rate is None else checked_rate(rate, post, pad)
    offsets, length = window_offsets(found, fps, pre, post, pad, found.n_frames / own_fps)
    told = {"fps": fps, "clock": on, "interpolated": int(interpolate), "scaled": int(scale)}
    if rate is None:
        found, length = within_recording(found, offsets, length, edge, on)
        windows = Windows(found.frames, offsets, found.n_frames, length)
        instants = true_times(ds, windows, on)
        if not is_whole(ds, on):
            check_steps(instants, fps)
        cut = partial(_cut_frames, ds, windows, on)
    else:
        found, instants = on_grid(ds, found, offsets / fps, names, edge, on)
        cut = partial(_cut_times, ds, instants)
    coords = _coords(found, instants, offsets, offsets / fps)
    arrays = [_extract(_with_rois(ds, one, invalid), one, cut, coords, told) for one in names]
    if isinstance(name, str):
        return arrays[0]
    whole = {key: v for key, v in ds.attrs.items() if key.endswith("_fps") or key == SIGN}
    return xr.Dataset({array.name: array for array in arrays}, attrs=whole)


def _with_rois(ds: xr.Dataset, name: str, invalid: Invalid) -> xr.Dataset:
    """Return the session with those ROIs that a variable's windows are to have."""
    return without_invalid(ds, invalid) if n.LISTED_INVALID in ds[name].coords else ds


def _common_clock(ds: xr.Dataset, names: list[str], clock: Clock | None) -> Clock:
    """Return the clock of the windows of variables, which must all exist."""
    missing = [one for one in names if one not in ds]
    if missing or not names:
        clocks = set(CLOCK_DIMS.values())
        running = [str(v) for v in ds.data_vars if clocks & set(ds.variables[v].dims)]
        there = few(running) or "none: call this on the session, and give the segments selected"
        raise MissingVariableError(f"no variable {few(map(repr, missing))} here; traces: {there}")
    own = {one: clock_of(ds, one) for one in names}
    if clock is not None:
        check_clock(clock)
        return clock
    if len(set(own.values())) > 1:
        which = ", ".join(f"{one} ({its})" for one, its in own.items())
        raise WindowError(
            f"{which} run on different clocks, so their frames do not line up. Give clock='twop' "
            "(or 'stim') to put them all on one, or extract them one by one."
        )
    return own[names[0]]


def _extract(
    ds: xr.Dataset,
    name: str,
    cut: Callable[[xr.Variable, Clock, Mapping[Hashable, xr.Variable]], Any],
    coords: Mapping[Hashable, xr.Variable],
    told: Mapping[str, Any],
) -> xr.DataArray:
    """Return the windows of one variable, with what is told of them as attributes."""
    variable = ds[name]
    own = clock_of(ds, name)
    if told["interpolated"]:
        variable = traces.interpolate(variable)
    source = variable.transpose(CLOCK_DIMS[own], ...)
    dims = (*source.dims[1:], n.SEQUENCE, n.REL_TIME)
    noted = {key: ds.attrs[key] for key in (LEFT_OUT, KEPT, SIGN) if key in ds.attrs}
    attrs = {**variable.attrs, **told, **noted}
    data = cut(source.variable, own, coords)
    if told["scaled"]:
        attrs["units"] = "1"
        factors = traces.scale_factors(ds, name, interpolate=bool(told["interpolated"]))
        pair = (factors[part].variable for part in (traces.MEDIAN, traces.SPREAD))
        data = scaled(xr.Variable(dims, data), *pair)
    clocks = set(CLOCK_DIMS.values())
    own_coords = {
        key: ds.variables[key]
        for key in variable.coords
        if key in ds.variables and key not in WHOLE_RECORDING
    }
    kept = {key: coord for key, coord in own_coords.items() if not set(coord.dims) & clocks}
    found = xr.DataArray(data, {**kept, **coords}, dims, name=name, attrs=attrs)
    return with_variable(found, WindowVariable(dims, data, attrs))


def _cut_frames(
    ds: xr.Dataset,
    windows: Windows,
    clock: Clock,
    source: xr.Variable,
    own: Clock,
    coords: Mapping[Hashable, xr.Variable],
) -> Any:
    """Return windows of frames of a variable, by those of its own clock."""
    if own != clock:
        windows = replace(windows, lookup=frame_lookup(ds, own))
    along = [coord for coord in coords.values() if coord.dims == (n.SEQUENCE,)]
    groups = Once(partial(group_numbers, along, len(windows.reference)))
    return _data(source, windows, groups)


def _cut_times(
    ds: xr.Dataset, times: Array, source: xr.Variable, own: Clock, coords: object
) -> Any:
    """Return a variable at times, from the frames of its own clock."""
    check_gaps(ds, own, times)
    return interpolated_windows(source, ds.variables[CLOCK_DIMS[own]].values, times)


def _data(source: xr.Variable, windows: Windows, groups: Once) -> Any:
    """Return the windows as data of dims (..., sequence, rel_time): lazy, dask, or in memory."""
    n_others = source.ndim - 1
    order = (*range(2, n_others + 2), 0, 1)
    if source.chunks is not None:
        return dask_windows(source, windows)
    array = OrthogonalArray(WindowReader(source, windows, groups), order=order)
    if isinstance(innermost(source), np.ndarray):
        return array.get_duck_array()
    return cached(array)


def _coords(
    found: ReferenceFrames, times: Array, offsets: Array, rel_time: Array
) -> dict[Hashable, xr.Variable]:
    values: dict[str, tuple[tuple[str, ...], Any]] = {
        n.SEQUENCE: ((n.SEQUENCE,), labelled(found.labels)),
        n.REL_TIME: ((n.REL_TIME,), rel_time),
        n.REL_FRAME: ((n.REL_TIME,), offsets),
        "reference_frame": ((n.SEQUENCE,), found.frames),
        n.TIME: ((n.SEQUENCE, n.REL_TIME), times),
    }
    variables: dict[Hashable, xr.Variable] = {
        name: xr.Variable(dims, data, SEQUENCES[name].attrs)
        for name, (dims, data) in values.items()
    }
    # The indexes first, and the columns of the table before the rest: it is printed in this order.
    indexes: dict[Hashable, xr.Variable] = {k: variables[k] for k in (n.SEQUENCE, n.REL_TIME)}
    return {**indexes, **found.coords, **variables}


# Windows are read and reduced this many bytes at a time, in memory that is used again.
_BLOCK_BYTES: Final = 32 * 2**20


def reduced(
    windows: xr.DataArray, function: Callable[[xr.DataArray], xr.DataArray]
) -> xr.DataArray:
    """Reduce lazy windows over ``rel_time``, a block of sequences at a time in each thread.

    The function is given windows without the coordinates of sequences and ROIs, which the result
    has.
    """
    length = windows.sizes[n.SEQUENCE]
    step = max(1, length * _BLOCK_BYTES // max(1, windows.size * 8))
    if windows.chunks is not None or step >= length:
        return function(windows)
    coords = windows.coords.variables
    bare = windows.drop_vars([name for name, own in coords.items() if own.dims != (n.REL_TIME,)])
    blocks = [slice(start, start + step) for start in range(0, length, step)]
    with ThreadPoolExecutor(thread_count(), initializer=work_alone) as pool:
        parts = [*pool.map(lambda block: function(bare.isel({n.SEQUENCE: block})), blocks)]
    found = xr.concat(parts, n.SEQUENCE, coords="minimal", compat="override", join="override")
    kept = {name: own for name, own in coords.items() if {*own.dims} <= {*found.dims}}
    return found.drop_vars(list(found.coords)).assign_coords(kept)
