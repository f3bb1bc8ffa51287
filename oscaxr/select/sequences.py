"""Windows of any variable around segments, frames or times, as one labelled array."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

from oscaxr.arrays.computed import scaled
from oscaxr.arrays.dask_windows import dask_windows
from oscaxr.arrays.lazy import Once, OrthogonalArray
from oscaxr.arrays.window_sums import group_numbers
from oscaxr.arrays.window_variable import WindowVariable
from oscaxr.arrays.windows import WindowReader, Windows
from oscaxr.arrays.xarray_internals import cached, innermost, with_variable
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    WindowError,
    few,
    option,
    warn,
)
from oscaxr.model import names as n
from oscaxr.model import traces
from oscaxr.model.invalid_rois import KEPT, LEFT_OUT, Invalid, check_invalid, without_invalid
from oscaxr.model.schema import SEQUENCES
from oscaxr.model.segments import (
    CLOCK_DIMS,
    Clock,
    check_clock,
    check_seconds,
    is_whole,
    recording_frames,
)
from oscaxr.model.synthetic import SIGN
from oscaxr.renamed import refuse_keywords
from oscaxr.select.frames import clock_of, frame_lookup
from oscaxr.select.references import ReferenceFrames, find_references, labelled

Array = np.ndarray[Any, Any]
Edge = Literal["drop", "nan", "raise"]

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
        on different clocks; or if the session was cut along a clock and `times` are not given.
    SessionMismatchError
        If the segments, frames or times are of another session.
    MissingVariableError
        If there is no such variable, or it runs on neither clock.

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

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
    >>> u = ox.sequences(ds, "dff", unexpected, pre=1, post=1)
    >>> u.dims, u.sizes["rel_time"]
    (('roi', 'sequence', 'rel_time'), 60)
    """
    refuse_keywords("sequences", unknown, sequences.__kwdefaults__ or ())
    is_one = isinstance(name, str | xr.Dataset | xr.DataArray) or not np.iterable(name)
    names: list[Any] = [name] if is_one else list(name)
    if not all(isinstance(one, str) for one in names):
        raise CriterionError(
            'sequences needs the name of what is to be extracted first: sequences("dff", segments)'
        )
    check_invalid(invalid)
    on = _common_clock(ds, names, clock)
    found = find_references(ds, on, segments=segments, frames=frames, times=times)
    if times is None:
        for own in {clock_of(ds, one) for one in names}:
            recording_frames(ds, own)
    fps = float(ds.attrs[f"{on}_fps"])
    offsets, length = _offsets(found, fps, pre, post, pad)
    found, length = _within(found, offsets, length, edge, on)
    windows = Windows(found.frames, offsets, found.n_frames, length)
    coords = _coords(ds, found, windows, offsets / fps, on)
    if not is_whole(ds, on):
        _check_steps(coords[n.TIME].values, fps)
    told = {"fps": fps, "clock": on, "interpolated": int(interpolate), "scaled": int(scale)}
    arrays = [_extract(_with_rois(ds, one, invalid), one, windows, coords, told) for one in names]
    if isinstance(name, str):
        return arrays[0]
    whole = {key: v for key, v in ds.attrs.items() if key.endswith("_fps") or key == SIGN}
    return xr.Dataset({array.name: array for array in arrays}, attrs=whole)


def _with_rois(ds: xr.Dataset, name: str, invalid: Invalid) -> xr.Dataset:
    """Return the session with those ROIs that a variable's windows are to have."""
    return without_invalid(ds, invalid) if n.LISTED_INVALID in ds[name].coords else ds


def _check_steps(times: Array, fps: float) -> None:
    """Refuse windows across gaps of a session that was cut: their labels would be wrong."""
    steps = np.diff(times, axis=1)
    wrong: Array = np.any(np.abs(steps * fps - 1) > 0.5, axis=1)
    if wrong.any():
        raise WindowError(
            f"{wrong.sum()} of {len(wrong)} windows do not follow each other at {fps:.2f} Hz: "
            "frames were left out of this session. Extract from the whole session."
        )


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
    windows: Windows,
    coords: Mapping[Hashable, xr.Variable],
    told: Mapping[str, Any],
) -> xr.DataArray:
    """Return the windows of one variable, with what is told of them as attributes."""
    variable = ds[name]
    own = clock_of(ds, name)
    if own != told["clock"]:
        windows = replace(windows, lookup=frame_lookup(ds, own))
    if told["interpolated"]:
        variable = traces.interpolate(variable)
    source = variable.transpose(CLOCK_DIMS[own], ...)
    dims = (*source.dims[1:], n.SEQUENCE, n.REL_TIME)
    noted = {key: ds.attrs[key] for key in (LEFT_OUT, KEPT, SIGN) if key in ds.attrs}
    attrs = {**variable.attrs, **told, **noted}
    along = [coord for coord in coords.values() if coord.dims == (n.SEQUENCE,)]
    groups = Once(partial(group_numbers, along, len(windows.reference)))
    data = _data(source.variable, windows, groups)
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


def _offsets(
    found: ReferenceFrames, fps: float, pre: float, post: float | None, pad: Sequence[int]
) -> tuple[Array, Array | None]:
    """Return the frames from the reference frame, and how many each sequence has if they differ."""
    if np.shape(pad) != (2,) or not all(isinstance(k, int | np.integer) for k in pad):
        raise WindowError(f"pad={pad!r}: it is two numbers of frames, (before, after)")
    before, after = (int(count) for count in pad)
    if max(map(abs, pad)) > found.n_frames:
        raise WindowError(
            f"pad={tuple(pad)}: these are numbers of frames, of a recording of {found.n_frames}"
        )
    check_seconds({"pre": pre, "post": 0 if post is None else post}, found.n_frames / fps)
    first = -int(np.round(pre * fps)) - before
    length = None
    if post is not None:
        stop = int(np.round(post * fps)) + after
    elif found.lengths is None:
        raise WindowError(f"give {option('post')} in seconds (only segments have their own length)")
    else:
        stop = int(found.lengths.max(initial=0)) + after
        length = found.lengths + after - first
        if found.lengths.size and (length == length[0]).all():
            length = None
    if stop <= first and (post is not None or found.frames.size):
        raise WindowError(
            f"{option('pre', pre)} s, {option('post', post)} s and pad={tuple(pad)} make an empty "
            f"window: frames {first} to {stop} (exclusive) at {fps:.2f} Hz. It is to end later."
        )
    return np.arange(first, stop), length


def _within(
    found: ReferenceFrames, offsets: Array, length: Array | None, edge: Edge, clock: Clock
) -> tuple[ReferenceFrames, Array | None]:
    """Apply the policy for windows that leave the recording."""
    if edge not in ("drop", "nan", "raise"):
        raise WindowError(f"{option('edge', edge)}: it is 'drop', 'nan' or 'raise'")
    if edge == "nan" or not len(offsets):
        return found, length
    last = offsets[0] + length - 1 if length is not None else offsets[-1]
    # The published flank check asks for one frame more than the window has at the end.
    beyond = found.frames + last + 1 >= found.n_frames
    outside = (found.frames + offsets[0] < 0) | beyond
    if not outside.any():
        return found, length
    message = (
        f"the windows of {outside.sum()} of {len(outside)} sequences come too close to an end of "
        f"the recording of {found.n_frames} {clock} frames "
        f"({found.what} {few(found.labels[outside])})"
    )
    if edge == "raise":
        raise WindowError(f"{message}. Shorten pre or post, or {option('edge', 'drop')} or 'nan'.")
    if outside.all():
        raise WindowError(
            f"{message}: none of the {len(outside)} windows is left. Shorten {option('pre')} or "
            f"{option('post')}; {option('edge', 'nan')} keeps them, filled with NaN"
        )
    warn(
        f"{message} and were dropped. {option('edge', 'nan')} keeps them, filled with NaN.",
        DroppedSequencesWarning,
    )
    return found.keep(~outside), None if length is None else length[~outside]


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
    ds: xr.Dataset, found: ReferenceFrames, windows: Windows, rel_time: Array, clock: Clock
) -> dict[Hashable, xr.Variable]:
    frames = windows.frames()
    times = ds.variables[CLOCK_DIMS[clock]].values[np.maximum(frames, 0)]
    values: dict[str, tuple[tuple[str, ...], Any]] = {
        n.SEQUENCE: ((n.SEQUENCE,), labelled(found.labels)),
        n.REL_TIME: ((n.REL_TIME,), rel_time),
        n.REL_FRAME: ((n.REL_TIME,), windows.offsets),
        "reference_frame": ((n.SEQUENCE,), found.frames),
        n.TIME: ((n.SEQUENCE, n.REL_TIME), np.where(frames < 0, np.nan, times)),
    }
    variables: dict[Hashable, xr.Variable] = {
        name: xr.Variable(dims, data, SEQUENCES[name].attrs)
        for name, (dims, data) in values.items()
    }
    # The indexes first, and the columns of the table before the rest: it is printed in this order.
    indexes: dict[Hashable, xr.Variable] = {k: variables[k] for k in (n.SEQUENCE, n.REL_TIME)}
    return {**indexes, **found.coords, **variables}


# Windows are read and reduced this many bytes at a time.
_BLOCK_BYTES: Final = 128 * 2**20


def reduced(
    windows: xr.DataArray, function: Callable[[xr.DataArray], xr.DataArray]
) -> xr.DataArray:
    """Reduce lazy windows, a block of sequences at a time."""
    length = windows.sizes[n.SEQUENCE]
    step = max(1, length * _BLOCK_BYTES // max(1, windows.size * 8))
    if windows.chunks is not None or step >= length:
        return function(windows)
    blocks = [slice(start, start + step) for start in range(0, length, step)]
    parts = [function(windows.isel({n.SEQUENCE: block})) for block in blocks]
    return xr.concat(parts, n.SEQUENCE, coords="minimal", compat="override", join="override")
