"""What is done to responses between scaling and statistics: baseline, smooth, integrate, fill."""

from collections.abc import Callable, Hashable
from typing import Any, Final, Literal, Never, TypeVar

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, WindowError, option
from oscaxr.measure.statistics import mean, median
from oscaxr.model import names as n
from oscaxr.model.segments import check_seconds
from oscaxr.renamed import refuse_keywords

Data = TypeVar("Data", xr.DataArray, xr.Dataset)

_SMOOTHED: Final = (n.REL_TIME, n.TIME, n.STIM_TIME)


Window = tuple[float, float]


def baseline(
    data: Data,
    /,
    window: float | Window = 0.5,
    *,
    stat: Literal["mean", "median"] = "mean",
    **unknown: Never,
) -> Data:
    """Subtract from each sequence its mean or median over a baseline window.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences, with the dim ``rel_time``. Of a Dataset, every variable with that dim is taken.
    window : float or tuple of float, optional
        Length of the window at the beginning of each sequence, s: its first
        ``round(window * fps)`` frames. Or where it begins and ends, the end excluded:
        ``(-0.5, 0)`` is what comes before the event.
    stat : {"mean", "median"}, optional
        What is subtracted.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `data`, float64, same unit, with the attribute ``baseline`` saying what was subtracted.

    Raises
    ------
    MissingVariableError
        If there is no dim ``rel_time``, or the frame rate cannot be known.
    WindowError
        If the window holds no frame, or more frames than the sequences have.
    CriterionError
        If `stat` is not known.

    Notes
    -----
    NaNs in the window are left out; a sequence whose window is all NaN becomes NaN.

    Examples
    --------
    >>> u = xr.DataArray([[1.0, 3.0, 9.0]], dims=("sequence", "rel_time"),
    ...                  coords={"rel_time": [-1.0, -0.5, 0.0]}, attrs={"fps": 2.0})
    >>> baseline(u, 1.0).values
    array([[-1.,  1.,  7.]])
    """
    refuse_keywords("baseline", unknown, ("window", "stat"))
    if stat not in ("mean", "median"):
        raise CriterionError(f"stat={stat!r} is not known; it may be 'mean' or 'median'")
    reduce = mean if stat == "mean" else median

    def one(array: xr.DataArray) -> xr.DataArray:
        if not isinstance(window, int | float | str | np.generic):
            first = _within(array, window)
            asked = f"rel_time from {window[0]} to {window[1]} s"
        else:
            _check_window(array, window=window)
            n_frames = int(np.round(window * frame_rate(array)))
            asked = f"the first {window} s ({n_frames} frames)"
            available = array.sizes[n.REL_TIME]
            if not 0 < n_frames <= available:
                raise WindowError(f"the baseline was to be {asked}, but sequences have {available}")
            first = array.isel({n.REL_TIME: slice(None, n_frames)})
        level = reduce(first, n.REL_TIME)
        # The bare variable: labels of the window must not be matched against the sequence's.
        result = (array - level.variable).transpose(*array.dims)
        return _described(result, array, baseline=f"{stat} over {asked}")

    return _each(data, one, n.REL_TIME)


def smooth(data: Data, frames: int) -> Data:
    """Replace each value by the mean of the frames around it.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences (smoothed along ``rel_time``) or full traces (along ``time`` or ``stim_time``).
    frames : int
        Number of frames in the window, odd, so that the window lies about its frame.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `data`, float64, same unit.

    Raises
    ------
    WindowError
        If `frames` is even or less than 1.
    MissingVariableError
        If there is no dim to smooth along.

    Notes
    -----
    At the ends, and beside NaNs, the mean is that of the frames there are; a value is NaN only if
    its whole window is. The published analyses differ: their rolling mean continues a trace beyond
    its ends by its mirror image, NaNs spread over the window, and an even window lies half a frame
    off its frame.

    Examples
    --------
    >>> smooth(xr.DataArray([0.0, 3.0, 6.0, 0.0], dims="time"), 3).values
    array([1.5, 3. , 3. , 3. ])
    """
    if not isinstance(frames, int | np.integer):
        raise WindowError(f"{option('frames', frames)}: give a whole number of frames, an odd one")
    if frames < 1 or frames % 2 == 0:
        raise WindowError(
            f"frames={frames}: it must be odd, so that the mean lies about its frame; take "
            f"{max(1, frames - 1)} or {max(1, frames + 1)}"
        )

    def one(array: xr.DataArray) -> xr.DataArray:
        dim = next((one for one in _SMOOTHED if one in array.dims), None)
        if dim is None:
            raise MissingVariableError(
                f"{array.name!r} has {array.dims}; smoothing is along {list(_SMOOTHED)}"
            )
        present = array.notnull()
        known = array.where(present, 0.0).astype(np.float64)
        total, count = known, present.astype(np.int32)
        for offset in range(1, frames // 2 + 1):
            for step in (-offset, offset):
                total = total + known.shift({dim: step}, fill_value=0.0)
                count = count + present.shift({dim: step}, fill_value=False)
        return _described(total / count.where(count > 0), array, smoothed_frames=int(frames))

    if isinstance(data, xr.Dataset):
        for dim in _SMOOTHED:
            if dim in data.dims:
                data = _each(data, one, dim)
        return data
    return one(data)


def integrate(
    data: Data, /, window: Window | None = None, *, skipna: bool = False, **unknown: Never
) -> Data:
    """Integrate over a window: the sum over ``rel_time``, divided by the frame rate.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences, with the dim ``rel_time``. Of a Dataset, every variable with that dim is taken.
    window : tuple of float, optional
        Where the window begins and ends, s, the end excluded; all of the sequence by default.
        ``(0, 0.6)`` takes the frames that sequences of ``pre=0, post=0.6`` have.
    skipna : bool, optional
        Leave NaNs out, as the published analyses do for traces with missing frames. By default a
        missing frame makes the integral NaN, since leaving it out counts it as zero.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Without ``rel_time``, float64, in the unit of `data` times s.

    Raises
    ------
    MissingVariableError
        If there is no dim ``rel_time``, or the frame rate cannot be known.
    WindowError
        If the window holds no frame, or frames that the sequences do not have.

    Notes
    -----
    A slice of labels, ``u.sel(rel_time=slice(0, 0.6))``, has both of its ends, as everywhere in
    xarray: one frame more, where one lies at the end.

    Examples
    --------
    >>> u = xr.DataArray([[1.0, 3.0]], dims=("sequence", "rel_time"), attrs={"fps": 2.0})
    >>> integrate(u).values
    array([2.])
    """
    refuse_keywords("integrate", unknown, ("window", "skipna"))

    def one(array: xr.DataArray) -> xr.DataArray:
        rate = frame_rate(array)
        part = array if window is None else _within(array, window)
        kept = part.where(part.notnull(), 0.0) if skipna else part
        result = kept.sum(n.REL_TIME, skipna=False, dtype=np.float64) / rate
        unit = array.attrs.get("units", "1")
        units = "s" if unit == "1" else f"{unit} s"
        return _described(result, array, integrated=1, fps=rate, units=units)

    result = _each(data, one, n.REL_TIME)
    if isinstance(result, xr.Dataset):
        return result.drop_dims(n.REL_TIME, errors="ignore")
    return result


def _within(array: xr.DataArray, window: Any) -> xr.DataArray:
    """Return the frames of a window whose end is excluded, all of which have to be there."""
    if not isinstance(window, tuple | list | np.ndarray) or len(window) != 2:
        raise WindowError(
            f"{option('window', window)}: give where it begins and ends, two numbers of seconds: "
            "window=(0, 0.6)"
        )
    _check_window(array, **{"window[0]": window[0], "window[1]": window[1]})
    rate = frame_rate(array)
    start, stop = (int(np.round(edge * rate)) for edge in window)
    frames = np.round(array[n.REL_TIME].values * rate)
    inside = (frames >= start) & (frames < stop)
    if not 0 < stop - start == np.count_nonzero(inside):
        raise WindowError(
            f"the window from {window[0]} to {window[1]} s has {max(0, stop - start)} frames, of "
            f"which {np.count_nonzero(inside)} are there: sequences last {_extent(array)}"
        )
    return array.isel({n.REL_TIME: inside})


def _check_window(array: xr.DataArray, **edges: Any) -> None:
    """Refuse what is no seconds, or so far beyond the sequences that it is milliseconds."""
    lasting = array.sizes[n.REL_TIME] / frame_rate(array)
    # Sequences of a few frames may be asked for a second, which is none of milliseconds.
    check_seconds(edges, lasting, "sequences", times=max(20.0, 10.0 / max(lasting, 1e-9)))


def frame_rate(array: xr.DataArray) -> float:
    """Return the frame rate of sequences, from their labels, or their attribute ``fps``."""
    stated = float(array.attrs["fps"]) if "fps" in array.attrs else None
    if n.REL_TIME in array.coords and array.sizes[n.REL_TIME] > 1:
        steps = np.diff(array[n.REL_TIME].values)
        mean = float(steps.mean())
        if not (steps > 0).all() or np.ptp(steps) > 0.01 * mean:
            raise WindowError(
                f"the labels of {n.REL_TIME!r} do not follow each other in equal steps (from "
                f"{steps.min():.4g} to {steps.max():.4g} s): apply this before picking frames"
            )
        # Every second frame may have been picked: then the labels know better.
        if stated is None or abs(mean * stated - 1) > 0.01:
            return 1 / mean
    if stated is not None:
        return stated
    raise MissingVariableError(
        f"the frame rate of {array.name!r} is not known: set its attribute 'fps', or give it two "
        f"labels of {n.REL_TIME!r}"
    )


def _each(data: Data, function: Callable[[xr.DataArray], xr.DataArray], dim: Hashable) -> Data:
    """Apply a function to an array, or to every variable of a Dataset that has the dim."""
    if dim not in data.dims:
        raise MissingVariableError(f"no dim {dim!r} in {[*data.dims]}: take sequences first")
    if isinstance(data, xr.DataArray):
        return function(data)
    fps = {"fps": data.attrs["fps"]} if "fps" in data.attrs else {}
    changed = {
        name: function(array.assign_attrs({**fps, **array.attrs}))
        for name, array in data.data_vars.items()
        if dim in array.dims
    }
    return data.assign(changed)


def _extent(array: xr.DataArray) -> str:
    labels = array[n.REL_TIME].values
    return f"from {labels[0]:.6g} to {labels[-1]:.6g} s" if len(labels) else "no time at all"


def _described(result: xr.DataArray, source: xr.DataArray, **attrs: Any) -> xr.DataArray:
    """Give a result the name and attributes of its source, and more."""
    result = result.rename(source.name)
    result.attrs = {**source.attrs, **attrs}
    return result
