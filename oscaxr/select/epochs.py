"""Epochs: stretches of a session, from a start up to, not including, a stop; sets of them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, WindowError, few
from oscaxr.model import names as n
from oscaxr.model.segments import DIM_CLOCKS, is_finite

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_START: Final = "start_time"
_STOP: Final = "stop_time"
_TIMES: Final[Mapping[str, Mapping[str, str]]] = {
    _START: {"long_name": "start of the epoch", "units": "s"},
    _STOP: {"long_name": "stop of the epoch", "units": "s"},
}
# A frame lasts until the next, unless this comes later than so many usual frames.
_LONGEST_FRAME: Final = 1.5
_RUNNING_CM_PER_S: Final = 1.0
_BOUT_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.5


def epochs(data: Any, stop: Any = None, *, bridge: float = 0.0, least: float = 0.0) -> xr.Dataset:
    """Return the stretches of a session that segments, blocks, flags or times cover.

    Parameters
    ----------
    data : xarray.Dataset, xarray.DataArray or array_like of float
        A session, a selection of segments (:func:`select_segments`), blocks (:func:`blocks`) or
        epochs, which are covered from their start to their stop; or flags (bool) over ``time`` or
        ``stim_time``, each frame lasting until the next; or start times, s, with `stop`.
    stop : array_like of float, optional
        Stop times, s, one for each start time.
    bridge : float, optional
        Gaps of up to so many seconds are closed.
    least : float, optional
        Shorter epochs than this, s, are left out, after gaps were closed.

    Returns
    -------
    xarray.Dataset
        Dim ``epoch``, with the coordinates ``start_time`` and ``stop_time`` (s, on the session's
        clock) and the facts of the session. An epoch includes its start and excludes its stop.
        Epochs are in order and do not touch: what overlaps or touches is one epoch.

    Raises
    ------
    MissingVariableError
        If a Dataset has no start and stop times.
    WindowError
        If times are not finite, a stop lies before its start, or frames are not in order.
    CriterionError
        If flags are not bool over one clock, or `stop` stands beside what is no times.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> flow = ox.epochs(ox.blocks(ds, stimulus="visflow"))
    >>> unexpected = ox.epochs(ds.osca.select(stimulus="visflow", unexpected=1))
    >>> flow.sizes["epoch"], unexpected.sizes["epoch"]
    (2, 2)
    """
    _check_seconds(bridge=bridge, least=least)
    known: Mapping[Any, Any] = data.coords if isinstance(data, xr.Dataset | xr.DataArray) else {}
    if stop is not None:
        if any(isinstance(one, xr.Dataset) for one in (data, stop)):
            raise CriterionError(
                "epochs with stop= are of times, and one of both is a Dataset: give start and stop "
                "times, or what is to be covered alone, epochs(segments) or segments.osca.epochs()"
            )
        start, end = np.atleast_1d(np.asarray(data)), np.atleast_1d(np.asarray(stop))
    elif isinstance(data, xr.Dataset):
        start, end = _times_of(data)
    elif isinstance(data, xr.DataArray):
        start, end = _times_of_flags(data)
    else:
        raise CriterionError(
            f"epochs of a {type(data).__name__}: give segments, blocks, flags over a clock, or "
            "start and stop times"
        )
    start, end = _joined(*_checked(start, end), bridge)
    long = end - start >= least
    return _made(start[long], end[long], known)


def running_bouts(
    ds: xr.Dataset,
    above: float = _RUNNING_CM_PER_S,
    *,
    bridge: float = _PAUSE_SECONDS,
    least: float = _BOUT_SECONDS,
) -> xr.Dataset:
    """Return the epochs in which the mouse ran.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    above : float, optional
        Speed in cm/s that is exceeded, whatever the direction.
    bridge : float, optional
        Pauses of up to so many seconds are part of a bout.
    least : float, optional
        Shorter bouts than this, s, are left out, after pauses were closed.

    Returns
    -------
    xarray.Dataset
        As of :func:`epochs`.

    Raises
    ------
    MissingVariableError
        If the session has no running velocity.
    WindowError
        If an argument is no number of seconds, or of cm/s.

    Notes
    -----
    A frame is one of running if the absolute velocity is above the threshold. Frames without a
    value (dropped ones, outliers) are not: as a pause, they are part of a bout if they are few. The
    defaults (1 cm/s, 0.5 s, 1 s) are choices of this package; the papers define no bouts. Smooth
    the velocity first to have the noise of the wheel begin no bouts
    (``ds.assign(run_velocity=ds.run_velocity.osca.smooth(0.2))``).

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> bouts = ds.osca.running_bouts(above=5)
    >>> bool((bouts.stop_time - bouts.start_time >= 1).all())
    True
    """
    if n.RUN_VELOCITY not in ds:
        raise MissingVariableError(f"running bouts need {n.RUN_VELOCITY!r}, which is not there")
    if not is_finite(above) or above < 0:
        raise WindowError(f"above={above!r}: give a speed in cm/s, 0 or more")
    return epochs(abs(ds[n.RUN_VELOCITY]) > above, bridge=bridge, least=least)


def epoch_union(first: xr.Dataset, *others: xr.Dataset) -> xr.Dataset:
    """Return what lies in any of several sets of epochs.

    Parameters
    ----------
    first : xarray.Dataset
        Epochs (:func:`epochs`, :func:`running_bouts`), or what these can be made of.
    *others : xarray.Dataset
        More of them, of the same session.

    Returns
    -------
    xarray.Dataset
        As of :func:`epochs`.

    Raises
    ------
    CriterionError
        If they are of different sessions.
    MissingVariableError
        If one has no start and stop times.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.epoch_union(ox.epochs([0, 20], [10, 30]), ox.epochs([10], [12])).stop_time.values
    array([12., 30.])
    """
    return _combined(first, *others, of=lambda inside: inside.any(axis=0))


def epoch_intersection(first: xr.Dataset, *others: xr.Dataset) -> xr.Dataset:
    """Return what lies in all of several sets of epochs.

    Parameters
    ----------
    first : xarray.Dataset
        Epochs (:func:`epochs`, :func:`running_bouts`), or what these can be made of.
    *others : xarray.Dataset
        More of them, of the same session.

    Returns
    -------
    xarray.Dataset
        As of :func:`epochs`.

    Raises
    ------
    CriterionError
        If they are of different sessions.
    MissingVariableError
        If one has no start and stop times.

    Examples
    --------
    >>> import oscaxr as ox
    >>> both = ox.epoch_intersection(ox.epochs([0, 20], [10, 30]), ox.epochs([8], [22]))
    >>> both.start_time.values, both.stop_time.values
    (array([ 8., 20.]), array([10., 22.]))
    """
    return _combined(first, *others, of=lambda inside: inside.all(axis=0))


def epoch_difference(first: xr.Dataset, *others: xr.Dataset) -> xr.Dataset:
    """Return what lies in the first of several sets of epochs, and in none of the others.

    Parameters
    ----------
    first : xarray.Dataset
        Epochs (:func:`epochs`, :func:`running_bouts`), or what these can be made of.
    *others : xarray.Dataset
        What to take away, of the same session.

    Returns
    -------
    xarray.Dataset
        As of :func:`epochs`.

    Raises
    ------
    CriterionError
        If they are of different sessions.
    MissingVariableError
        If one has no start and stop times.

    Examples
    --------
    >>> import oscaxr as ox
    >>> rest = ox.epoch_difference(ox.epochs([0], [30]), ox.epochs([10], [12]))
    >>> rest.start_time.values, rest.stop_time.values
    (array([ 0., 12.]), array([10., 30.]))
    """
    return _combined(first, *others, of=lambda inside: inside[0] & ~inside[1:].any(axis=0))


def lie_within(start: Floats, stop: Floats, within: xr.Dataset) -> tuple[Flags, Flags]:
    """Flag what lies wholly within one epoch, and what does so in part only."""
    begin, end = within[_START].values, within[_STOP].values
    if not begin.size:
        return np.zeros(len(start), bool), np.zeros(len(start), bool)
    row = np.maximum(np.searchsorted(begin, start, side="right") - 1, 0)
    wholly = (begin[row] <= start) & (stop <= end[row]) & (start < end[row])
    # The first epoch that ends after the start: whether it begins before the stop.
    ahead = np.searchsorted(end, start, side="right")
    touched = ahead < len(begin)
    touched[touched] = begin[ahead[touched]] < stop[touched]
    return wholly, touched & ~wholly


def same_session(*given: xr.Dataset) -> None:
    """Refuse epochs of one session for another."""
    numbers = {int(one.coords["session_id"]) for one in given if "session_id" in one.coords}
    if len(numbers) > 1:
        raise CriterionError(
            f"these are epochs and segments of different sessions ({few(sorted(numbers))}); times "
            "of one say nothing of another"
        )


def _combined(first: xr.Dataset, *others: xr.Dataset, of: Any) -> xr.Dataset:
    """Combine epochs by what is inside of which, between any two of their edges."""
    given = [as_epochs(one) for one in (first, *others)]
    same_session(*given)
    sets = [(one[_START].values, one[_STOP].values) for one in given]
    grid = np.unique(np.concatenate([edges for one in sets for edges in one]))
    at = grid[:-1]
    inside = np.array(
        [
            np.searchsorted(start, at, side="right") > np.searchsorted(stop, at, side="right")
            for start, stop in sets
        ]
    )
    kept = of(inside) if at.size else np.zeros(0, bool)
    return _made(*_joined(at[kept], grid[1:][kept], 0.0), given[0].coords)


def as_epochs(data: Any) -> xr.Dataset:
    """Return epochs, also of what they can be made of; nothing but a Dataset is."""
    if not isinstance(data, xr.Dataset):
        raise CriterionError(
            f"epochs are a Dataset (oscaxr.epochs makes them), not a {type(data).__name__}"
        )
    return epochs(data)


def _times_of(data: xr.Dataset) -> tuple[Any, Any]:
    """Return the start and stop times of whatever a Dataset is about."""
    for dim in (n.EPOCH, n.SEGMENT, n.BLOCK):
        if all(name in data.variables and data[name].dims == (dim,) for name in _TIMES):
            return data[_START].values, data[_STOP].values
    raise MissingVariableError(
        f"there is no 'start_time' with 'stop_time' over {n.EPOCH!r}, {n.SEGMENT!r} or "
        f"{n.BLOCK!r}; the dims are {[str(dim) for dim in data.dims]}"
    )


def _times_of_flags(flags: xr.DataArray) -> tuple[Floats, Floats]:
    """Return start and stop times of the frames that are flagged."""
    if flags.dtype != bool or len(flags.dims) != 1 or flags.dims[0] not in DIM_CLOCKS:
        raise CriterionError(
            f"flags of epochs are bool over {' or '.join(map(repr, DIM_CLOCKS))}, not "
            f"{flags.dtype} over {[str(dim) for dim in flags.dims]}"
        )
    times = flags[flags.dims[0]].values.astype(np.float64)
    if not times.size:
        return times, times
    steps = np.diff(times)
    if not (steps > 0).all():
        raise WindowError(f"the frames are not in the order of their {flags.dims[0]!r}")
    usual = float(np.median(steps)) if steps.size else 0.0
    is_last = np.append(steps > _LONGEST_FRAME * usual, True)
    stop = np.where(is_last, times + usual, np.append(times[1:], np.inf))
    chosen = flags.values
    return times[chosen], stop[chosen]


def _checked(start: Any, stop: Any) -> tuple[Floats, Floats]:
    """Return times as floats, if they are those of epochs."""
    if start.shape != stop.shape or start.ndim != 1:
        raise WindowError(f"{start.shape} start times do not go with {stop.shape} stop times")
    if start.dtype.kind not in "iuf" or stop.dtype.kind not in "iuf":
        raise WindowError(f"start and stop times are seconds, not {start.dtype} and {stop.dtype}")
    begin, end = start.astype(np.float64), stop.astype(np.float64)
    odd = np.flatnonzero(~(np.isfinite(begin) & np.isfinite(end) & (begin <= end)))
    if odd.size:
        k = int(odd[0])
        raise WindowError(
            f"{odd.size} of {len(begin)} epochs have no finite times, or stop before they start "
            f"(the first: {begin[k]:g} to {end[k]:g} s)"
        )
    return begin, end


def _joined(start: Floats, stop: Floats, bridge: float) -> tuple[Floats, Floats]:
    """Put times in order, and make one of what overlaps, touches, or has small gaps between."""
    # From a start up to the same time, there is nothing.
    order = np.argsort(start[start < stop], kind="stable")
    begin, end = start[start < stop][order], stop[start < stop][order]
    if not begin.size:
        return begin, end
    reached = np.maximum.accumulate(end)
    first = np.append(True, begin[1:] - reached[:-1] > bridge)
    last = np.append(first[1:], True)
    return begin[first], reached[last]


def _made(start: Floats, stop: Floats, known: Mapping[Any, Any]) -> xr.Dataset:
    """Return epochs as a Dataset, with the facts of their session among the known coordinates."""
    times = {_START: start, _STOP: stop}
    facts = {name: coord for name, coord in known.items() if not coord.dims and name not in _TIMES}
    return xr.Dataset(
        coords={
            n.EPOCH: (n.EPOCH, np.arange(len(start)), {"long_name": "epoch"}),
            **{name: (n.EPOCH, times[name], dict(attrs)) for name, attrs in _TIMES.items()},
            **facts,
        }
    )


def _check_seconds(**given: Any) -> None:
    for name, value in given.items():
        if not is_finite(value) or value < 0:
            raise WindowError(f"{name}={value!r}: give seconds, 0 or more")
